//! Passwords and their hashes. **A stored hash decides what a verification costs only within bounds.**
//!
//! Hashes are made with Argon2id, 19 MiB, two passes, one lane (OWASP's password storage cheat sheet, 2025). Those that Django made
//! are read as well (`pbkdf2_sha256$…` and `argon2$argon2id$…`), so that accounts can be taken over with their passwords.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::PasswordHash;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const STORED_MAX: usize = 1_024;
const ITERATIONS_MAX: u32 = 10_000_000;
const MEMORY_KIB_MAX: u32 = 1 << 20;
const LANES_MAX: u32 = 64;
/// What may be filled in all passes together: as much work as four passes over the most memory.
const FILLED_KIB_MAX: u64 = 4 << 20;
const PBKDF2_SALT_MAX: usize = 256;
const PBKDF2_LENGTH: usize = 32;

/// What an unknown user's password is compared with: of our own cost, and of no known password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$UHJlc2VudGx5IG5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A stored hash that can be compared with.
pub(crate) enum Stored {
    Argon2 { hash: Box<phc::PasswordHash>, is_current: bool },
    Pbkdf2 { iterations: u32, salt: String, expected: [u8; PBKDF2_LENGTH] },
}

impl Stored {
    /// Reads a stored hash; `None` when it is none, or would cost too much.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > STORED_MAX {
            return None;
        }
        match text.split_once('$')? {
            ("", _) => Self::argon2(text, true),
            ("argon2", rest) => Self::argon2(&format!("${rest}"), false),
            ("pbkdf2_sha256", rest) => Self::pbkdf2(rest),
            _ => None,
        }
    }

    /// The hash that stands in for the one of a user who does not exist.
    pub(crate) fn nobody() -> Option<Self> {
        Self::parse(NOBODY)
    }

    fn argon2(text: &str, is_ours: bool) -> Option<Self> {
        let hash = phc::PasswordHash::new(text).ok()?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = Version::try_from(hash.version?).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let filled = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > MEMORY_KIB_MAX || params.p_cost() > LANES_MAX || filled > FILLED_KIB_MAX {
            return None;
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return None;
        }
        let is_current = is_ours
            && algorithm == Algorithm::Argon2id
            && version == Version::V0x13
            && params.m_cost() >= MEMORY_KIB
            && params.t_cost() >= PASSES;
        Some(Self::Argon2 { hash: Box::new(hash), is_current })
    }

    fn pbkdf2(rest: &str) -> Option<Self> {
        let mut parts = rest.split('$');
        let (iterations, salt, expected) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || salt.is_empty() || salt.len() > PBKDF2_SALT_MAX {
            return None;
        }
        if !iterations.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let iterations = iterations.parse().ok().filter(|n| (1..=ITERATIONS_MAX).contains(n))?;
        let expected = STANDARD.decode(expected).ok()?.try_into().ok()?;
        Some(Self::Pbkdf2 { iterations, salt: salt.to_owned(), expected })
    }

    /// Whether `password` is the one. Takes as long as the hash demands.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2 { hash, .. } => Argon2::default().verify_password(password, &**hash).is_ok(),
            Self::Pbkdf2 { iterations, salt, expected } => {
                let mut found = [0; PBKDF2_LENGTH];
                pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password, salt.as_bytes(), *iterations, &mut found);
                found.ct_eq(expected).into()
            }
        }
    }

    /// Whether it is as strong as a hash made today, and in our own format.
    pub(crate) fn is_current(&self) -> bool {
        matches!(self, Self::Argon2 { is_current: true, .. })
    }

    /// Whether a verification costs exactly what one of [`Self::nobody`] does.
    pub(crate) fn costs_as_nobody(&self) -> bool {
        let Self::Argon2 { hash, .. } = self else { return false };
        Params::try_from(&**hash)
            .is_ok_and(|params| (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES))
    }
}

/// Hashes a new password. `None` when the system gives no memory or no random bytes.
pub(crate) fn hash(password: &[u8]) -> Option<PasswordHash> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password).ok()?;
    Some(PasswordHash(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verify(stored: &str, password: &str) -> Option<bool> {
        Stored::parse(stored).map(|stored| stored.verify(password.as_bytes()))
    }

    #[test]
    fn a_hash_made_here_verifies_and_is_current() {
        let made = hash("correct horse".as_bytes()).expect("it is hashed");
        assert!(made.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", made.0);
        assert_eq!(verify(&made.0, "correct horse"), Some(true));
        assert_eq!(verify(&made.0, "correct horsf"), Some(false));
        let stored = Stored::parse(&made.0).expect("it is read");
        assert!(stored.is_current() && stored.costs_as_nobody());
        assert_ne!(made, hash("correct horse".as_bytes()).expect("it is hashed"), "each has a salt of its own");
    }

    #[test]
    fn pbkdf2_hashes_of_django_verify_and_are_not_current() {
        // base64(hashlib.pbkdf2_hmac("sha256", password, salt, iterations))
        let latin = "pbkdf2_sha256$20000$seasalt2$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=";
        let other = "pbkdf2_sha256$1000$lF3Ee2kVZ8RrV2Mj1q0zXk$RGZK75WHK+NRtkUZP/GwyM/oiJaXrd4IJKNYsb7ijl4=";
        assert_eq!(verify(latin, "correct horse"), Some(true));
        assert_eq!(verify(latin, "correct horse "), Some(false));
        assert_eq!(verify(other, "пароль-é"), Some(true));
        assert_eq!(verify(other, ""), Some(false));
        // As Django 5.2 encodes it.
        let by_django = "pbkdf2_sha256$1000$seasalt2seasalt2seasal$xgA/J/a0g+er1xAmFTnvf1MWj3LfkDOjA5W/ZLVWiY4=";
        assert_eq!(verify(by_django, "correct horse"), Some(true));
        let stored = Stored::parse(latin).expect("it is read");
        assert!(!stored.is_current() && !stored.costs_as_nobody());
    }

    #[test]
    fn argon2_hashes_of_django_verify_and_are_not_current() {
        let params = Params::new(1_024, 2, 8, None).expect("they are allowed");
        let made = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(b"correct horse")
            .expect("it is hashed")
            .to_string();
        let of_django = format!("argon2{made}");
        assert_eq!(verify(&of_django, "correct horse"), Some(true));
        assert_eq!(verify(&of_django, "correct horses"), Some(false));
        assert!(!Stored::parse(&of_django).expect("it is read").is_current());
        // As Django 5.2 makes it.
        let by_django = "argon2$argon2id$v=19$m=102400,t=2,p=8$UVhOUnE0VW5ZeWRldkdUNHJOMHd6bw$BEflOa2toPX2I17GZRO6/DL2CGPLIUZDHtofVPFLU9g";
        assert_eq!(verify(by_django, "correct horse"), Some(true));
        assert!(!Stored::parse(by_django).expect("it is read").is_current());
        assert!(!Stored::parse(&made).expect("it is read").is_current(), "weaker than today's");
    }

    #[test]
    fn the_stand_in_of_nobody_costs_what_ours_do_and_matches_nothing() {
        let nobody = Stored::nobody().expect("it is read");
        assert!(nobody.costs_as_nobody() && nobody.is_current());
        assert!(!nobody.verify(b"") && !nobody.verify(b"password"));
    }

    #[test]
    fn absurd_costs_and_broken_hashes_are_refused() {
        let salted = "c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for costs in ["m=1048576,t=4,p=1", "m=65536,t=64,p=4", "m=8,t=1,p=1"] {
            assert!(Stored::parse(&format!("$argon2id$v=19${costs}${salted}")).is_some(), "{costs}");
        }
        for stored in [
            &format!("$argon2id$v=19$m=1048577,t=1,p=1${salted}"),
            &format!("$argon2id$v=19$m=1048576,t=5,p=1${salted}"),
            &format!("$argon2id$v=19$m=4294967295,t=4294967295,p=1${salted}"),
            &format!("$argon2id$v=19$m=19456,t=2,p=65${salted}"),
            &format!("$argon2id$v=18$m=19456,t=2,p=1${salted}"),
            &format!("$argon2id$m=19456,t=2,p=1${salted}"),
            &format!("$scrypt$v=19$m=19456,t=2,p=1${salted}"),
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA",
            "argon2$",
            "argon2$$",
            "pbkdf2_sha256$10000001$salt$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=",
            "pbkdf2_sha256$0$salt$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=",
            "pbkdf2_sha256$-1$salt$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=",
            "pbkdf2_sha256$+1$salt$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=",
            "pbkdf2_sha256$$salt$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=",
            "pbkdf2_sha256$1000$$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=",
            "pbkdf2_sha256$1000$salt$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=$",
            "pbkdf2_sha256$1000$salt$9sgT",
            "pbkdf2_sha256$1000$salt$",
            "pbkdf2_sha256$1000$salt",
            "pbkdf2_sha1$1000$salt$9sgTIw4KyLNfVO2VO0LAm47O2EB1JqBr7D14g8H73/8=",
            "!unusable",
            "!",
            "plain",
            "",
            "$",
            &"$".repeat(5_000),
        ] {
            assert!(Stored::parse(stored).is_none(), "{stored}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_bounds_what_it_lets_pass(
            text in "(pbkdf2_sha256|argon2|)\\$(argon2id\\$v=19\\$)?[0-9a-zA-Z=,+/$]{0,80}",
        ) {
            if let Some(Stored::Pbkdf2 { iterations, salt, .. }) = Stored::parse(&text) {
                prop_assert!(iterations <= ITERATIONS_MAX && !salt.contains('$'));
            }
        }

        #[test]
        fn what_django_writes_is_read_back(
            iterations in 1_u32..=ITERATIONS_MAX,
            salt in "[a-zA-Z0-9]{1,32}",
            expected in any::<[u8; PBKDF2_LENGTH]>(),
        ) {
            let text = format!("pbkdf2_sha256${iterations}${salt}${}", STANDARD.encode(expected));
            match Stored::parse(&text) {
                Some(Stored::Pbkdf2 { iterations: i, salt: s, expected: e }) => {
                    prop_assert_eq!((i, s, e), (iterations, salt, expected));
                }
                _ => prop_assert!(false, "{} is not read", text),
            }
        }
    }
}
