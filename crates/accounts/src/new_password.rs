//! Whether a new password will do. **Asked wherever a password is chosen, and nowhere else: old ones still sign in.**

use std::sync::LazyLock;

use crate::{FieldErrors, ServiceError, fold_case};

const CHARACTERS_MIN: usize = 8;
/// Longer ones would only cost time.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;

/// The 20,000 most common passwords, without those that are too short anyway: in lower case, sorted by bytes.
static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("../common-passwords/list.txt").lines().collect());

/// Refuses `password` for an account of this name and e-mail address, with a sentence under `field`.
///
/// # Errors
/// [`ServiceError::Invalid`] when it is too short, too long, common, or the username or the e-mail address itself.
pub fn check_new_password(
    field: &'static str,
    password: &str,
    username: &str,
    email: &str,
) -> Result<(), ServiceError> {
    let refused = |sentence| ServiceError::Invalid(FieldErrors::from([(field, vec![sentence])]));
    objection(password, username, email).map_or(Ok(()), |sentence| Err(refused(sentence)))
}

/// What speaks against `password`, in a sentence for the person who typed it.
pub(crate) fn objection(password: &str, username: &str, email: &str) -> Option<String> {
    let sentence = if password.is_empty() {
        "This field may not be blank."
    } else if password.chars().count() < CHARACTERS_MIN {
        "This password is too short. It must contain at least 8 characters."
    } else if password.len() > PASSWORD_BYTES_MAX {
        "This password is too long. It may have at most 1,024 bytes."
    } else if fold_case(password) == fold_case(username) {
        "The password may not be the username."
    } else if fold_case(password) == fold_case(email) {
        "The password may not be the e-mail address."
    } else if COMMON.binary_search(&password.to_lowercase().as_str()).is_ok() {
        "This password is too common."
    } else {
        return None;
    };
    Some(sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(password: &str) -> bool {
        check_new_password("new_password", password, "Wintermute", "case@Straylight.example").is_err()
    }

    #[test]
    fn the_list_is_sorted_and_holds_what_could_be_asked_for() {
        assert!(COMMON.is_sorted() && COMMON.len() > 8_000);
        assert!(COMMON.iter().all(|word| word.len() >= CHARACTERS_MIN && *word == word.to_lowercase()));
    }

    #[test]
    fn common_passwords_are_refused_in_any_case() {
        for common in ["12345678", "password", "Password1", "QWERTYUIOP", "iloveyou1", "1q2w3e4r5t", COMMON[0]] {
            assert!(is_refused(common), "{common}");
        }
    }

    #[test]
    fn short_and_long_ones_the_username_and_the_email_are_refused() {
        let longest = "x".repeat(PASSWORD_BYTES_MAX);
        for good in ["correct horse", "пароль-é", "wintermute1", "straylight.example", &longest] {
            assert!(!is_refused(good), "{good}");
        }
        let too_long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        for bad in ["", "correct", "пароль", "wintermute", "WINTERMUTE", "Case@straylight.EXAMPLE", &too_long] {
            assert!(is_refused(bad), "{bad}");
        }
    }

    #[test]
    fn the_sentence_stands_under_the_field_that_was_named() {
        let refused = check_new_password("new_password", "short", "", "");
        assert!(matches!(refused, Err(ServiceError::Invalid(fields)) if fields.keys().eq(&["new_password"])));
    }
}
