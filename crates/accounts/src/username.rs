//! Names to sign in with. **A new one is normal, in one script, and looks like no other; old ones stay as they are, and sign in.**

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfkc};
use unicode_security::{MixedScript as _, skeleton};

use crate::fold_case;

const CHARACTERS_MAX: usize = 150;

/// A name as a new account has it: in the form NFKC, so that what is typed in another way is the same name.
#[must_use]
pub fn normal_username(text: &str) -> Cow<'_, str> {
    if is_nfkc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfkc().collect()) }
}

/// What a name looks like, whatever it is made of (the skeleton of Unicode's UTS 39, in any case of letters): names of one look are
/// unique among the accounts that were made since it is kept.
#[must_use]
pub fn username_look(text: &str) -> String {
    fold_case(&skeleton(&normal_username(text)).collect::<String>())
}

/// Whether an account could have a name as short or long as this. The letters do not matter: accounts that were made elsewhere may
/// have others.
pub(crate) fn may_be_username(text: &str) -> bool {
    (1..=CHARACTERS_MAX).contains(&text.chars().count())
}

/// What speaks against a new name, in its normal form, in a sentence for the person who typed it.
pub(crate) fn objection(text: &str) -> Option<String> {
    let sentence = if text.is_empty() {
        "This field may not be blank."
    } else if !text.chars().all(|letter| letter.is_alphanumeric() || "@.+-_".contains(letter)) {
        "Enter a valid username: it may contain only letters, digits and @/./+/-/_ characters."
    } else if text.chars().count() > CHARACTERS_MAX {
        "Ensure this field has no more than 150 characters."
    } else if !text.is_single_script() {
        "Enter a username in one script: letters of different ones look alike."
    } else {
        return None;
    };
    Some(sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_script_with_the_signs_and_digits_of_ascii() {
        let longest = "x".repeat(150);
        for good in [
            "alice",
            "alice@example.org",
            "a.b+c-d_e",
            "Zoë",
            "Мария2",
            "山田太郎",
            "やまだタロウ山",
            "Ελένη",
            "5",
            &longest,
        ] {
            assert_eq!(objection(&normal_username(good)), None, "{good}");
        }
        let too_long = "x".repeat(151);
        // The first letter is Cyrillic in the first, the last one Greek in the second.
        for bad in ["\u{430}lice", "alic\u{3b5}", "", " ", "a b", "a/b", "a\u{200b}b", "a\u{202e}b", "<a>", &too_long] {
            assert!(objection(&normal_username(bad)).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn one_name_in_several_spellings_is_one() {
        for spelling in ["Zoë", "Zoe\u{308}", "\u{ff3a}oë"] {
            assert_eq!(normal_username(spelling), "Zoë");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_look() {
        for (one, other) in [
            ("paypal", "paypa1"),
            ("Alice", "AIice"),
            ("admin", "adrnin"),
            ("BOBO", "bob0"),
            ("coco", "\u{441}\u{43e}\u{441}\u{43e}"),
            ("Zoë", "Zoe\u{308}"),
        ] {
            assert_eq!(username_look(one), username_look(other), "{one} {other}");
        }
        for (one, other) in [("alice", "alicia"), ("u1", "u2"), ("bob", "rob"), ("a.b", "ab"), ("Zoë", "Zoe")] {
            assert_ne!(username_look(one), username_look(other), "{one} {other}");
        }
    }
}
