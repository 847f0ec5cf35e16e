//! What may stand in the fields of an account. **Sentences are for the person who typed.**

use crate::new_password::objection;
use crate::username::{self, normal_username};
use crate::{Changes, Draft, FieldErrors, ServiceError, StoreError};

const EMAIL_MAX: usize = 254;
const EMAIL_LOCAL_MAX: usize = 64;
const NAME_MAX: usize = 150;
const BIO_MAX: usize = 1_000;
const AVATAR_MAX: usize = 500;

/// The answer to a username that somebody else has.
pub(crate) fn username_taken() -> ServiceError {
    let sentence = "A user with that username already exists.".to_owned();
    ServiceError::Invalid([("username", vec![sentence])].into())
}

/// The answer to a username that was free, but looks like somebody else's.
pub(crate) fn username_looks_taken() -> ServiceError {
    let sentence = "A user with a name that looks like this one already exists.".to_owned();
    ServiceError::Invalid([("username", vec![sentence])].into())
}

/// What a store refused, in the words of the field that is why. Whether a name was taken as it stands was asked before.
pub(crate) fn taken(error: StoreError) -> ServiceError {
    match error {
        StoreError::UsernameTaken => username_looks_taken(),
        StoreError::EmailTaken => {
            let sentence = "A user with that email address already exists.".to_owned();
            ServiceError::Invalid([("email", vec![sentence])].into())
        }
        other => other.into(),
    }
}

/// What is wrong by one or the other, told at once.
pub(crate) fn all(one: Result<(), ServiceError>, other: Result<(), ServiceError>) -> Result<(), ServiceError> {
    match (one, other) {
        (Err(ServiceError::Invalid(one)), Err(ServiceError::Invalid(other))) => {
            Err(ServiceError::Invalid(one.into_iter().chain(other).collect()))
        }
        (one, other) => one.and(other),
    }
}

pub(crate) fn check_draft(draft: &Draft) -> Result<(), ServiceError> {
    let mut errors = FieldErrors::new();
    note(&mut errors, "username", username::objection(&normal_username(&draft.username)));
    note(&mut errors, "email", email(&draft.email));
    note(&mut errors, "password", objection(&draft.password, &draft.username, &draft.email));
    note(&mut errors, "first_name", line(&draft.first_name));
    note(&mut errors, "last_name", line(&draft.last_name));
    done(errors)
}

pub(crate) fn check_changes(changes: &Changes) -> Result<(), ServiceError> {
    let mut errors = FieldErrors::new();
    note(
        &mut errors,
        "username",
        changes.username.as_deref().and_then(|name| username::objection(&normal_username(name))),
    );
    note(&mut errors, "email", changes.email.as_deref().and_then(email));
    note(&mut errors, "first_name", changes.first_name.as_deref().and_then(line));
    note(&mut errors, "last_name", changes.last_name.as_deref().and_then(line));
    note(&mut errors, "bio", changes.bio.as_deref().and_then(bio));
    note(&mut errors, "avatar", changes.avatar.as_ref().and_then(|avatar| avatar.as_deref()).and_then(avatar));
    done(errors)
}

fn note(errors: &mut FieldErrors, field: &'static str, sentence: Option<String>) {
    if let Some(sentence) = sentence {
        errors.entry(field).or_default().push(sentence);
    }
}

fn done(errors: FieldErrors) -> Result<(), ServiceError> {
    if errors.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(errors)) }
}

fn too_long(text: &str, max: usize) -> Option<String> {
    (text.chars().count() > max).then(|| format!("Ensure this field has no more than {max} characters."))
}

fn email(text: &str) -> Option<String> {
    let is_plausible = text.is_empty()
        || text.rsplit_once('@').is_some_and(|(local, domain)| {
            let labels_are = domain.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
            });
            (1..=EMAIL_LOCAL_MAX).contains(&local.len())
                && !local.chars().any(|c| c.is_whitespace() || c.is_control() || "\"(),:;<>@[\\]".contains(c))
                && labels_are
                && (domain.contains('.') || domain == "localhost")
        });
    if is_plausible { too_long(text, EMAIL_MAX) } else { Some("Enter a valid email address.".to_owned()) }
}

fn line(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return Some("This field may not contain control characters.".to_owned());
    }
    too_long(text, NAME_MAX)
}

fn bio(text: &str) -> Option<String> {
    if text.chars().any(|letter| letter.is_control() && !"\n\r\t".contains(letter)) {
        return Some("This field may not contain control characters.".to_owned());
    }
    too_long(text, BIO_MAX)
}

fn avatar(text: &str) -> Option<String> {
    let rest = ["https://", "http://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_plausible = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'<>\\^`{|}".contains(c))
    });
    if is_plausible {
        too_long(text, AVATAR_MAX)
    } else {
        Some("Enter a valid URL that begins with http(s)://.".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(result: Result<(), ServiceError>) -> Vec<&'static str> {
        match result {
            Ok(()) => vec![],
            Err(ServiceError::Invalid(errors)) => {
                assert!(errors.values().all(|sentences| sentences.len() == 1 && sentences[0].ends_with('.')));
                errors.into_keys().collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn draft(username: &str) -> Draft {
        Draft { username: username.to_owned(), password: "correct horse".to_owned(), ..Draft::default() }
    }

    #[test]
    fn email_addresses_are_empty_or_plausible() {
        let email = |text: &str| fields(check_changes(&Changes { email: Some(text.to_owned()), ..Changes::default() }));
        for good in ["", "a@b.cd", "o'hara+x@mail.example.org", "jörg@bücher.de", "root@localhost", "a@127.0.0.1"] {
            assert_eq!(email(good), [""; 0], "{good}");
        }
        let long = format!("{}@{}.org", "a".repeat(64), "b".repeat(186));
        assert_eq!(long.len(), 255);
        let long_local = format!("{}@b.org", "a".repeat(65));
        for bad in [
            "a",
            "@b.c",
            "a@",
            "a@b",
            "a@@b.c",
            "a b@c.d",
            "a@b..c",
            "a@-b.c",
            "a@b.c\n",
            "a@b c.d",
            &long,
            &long_local,
        ] {
            assert_eq!(email(bad), ["email"], "{bad:?}");
        }
    }

    #[test]
    fn names_bio_and_avatar_are_bounded_and_hold_no_control_characters() {
        let long = "x".repeat(151);
        let longer = "x".repeat(1_001);
        let url = |rest: &str| Some(Some(rest.to_owned()));
        let long_url = format!("https://{}", "x".repeat(493));
        let good = Changes {
            first_name: Some("Zoë \"Z\" O'Hara".to_owned()),
            last_name: Some(String::new()),
            bio: Some("two\nlines".to_owned()),
            avatar: url("https://example.org/a.png?x=1&y=%20#z"),
            ..Changes::default()
        };
        assert_eq!(fields(check_changes(&good)), [""; 0]);
        assert_eq!(fields(check_changes(&Changes { avatar: Some(None), ..Changes::default() })), [""; 0]);
        let all = ["avatar", "bio", "first_name", "last_name"];
        for (name, bio, avatar) in [
            (long.as_str(), longer.as_str(), long_url.as_str()),
            ("a\nb", "a\0b", "javascript:alert(1)"),
            ("a\u{7f}", "\u{1b}[0m", "https://example.org/\" onerror=\"x"),
            ("\u{85}", "\u{9b}", "https://"),
        ] {
            let bad = Changes {
                first_name: Some(name.to_owned()),
                last_name: Some(name.to_owned()),
                bio: Some(bio.to_owned()),
                avatar: url(avatar),
                ..Changes::default()
            };
            assert_eq!(fields(check_changes(&bad)), all, "{name:?} {bio:?} {avatar:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let draft = Draft { email: "x".to_owned(), password: "short".to_owned(), ..draft("no one") };
        assert_eq!(fields(check_draft(&draft)), ["email", "password", "username"]);
    }
}
