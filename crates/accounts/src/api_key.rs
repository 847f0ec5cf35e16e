//! API keys: how the back end of an application says who it is. **A key is shown once, when it is made; what is kept is its hash.**
//!
//! A key is `presently_`, 32 random bytes in base64url, and 36 bits of a checksum. It is kept as its SHA-256, a fast hash and unsalted:
//! passwords need slow ones because they can be guessed, and nobody guesses 256 random bits.
//!
//! **What was invented is refused without a look into the store**, by its checksum. Keys that were made before there were checksums stay
//! good: no more of them come, so their hashes are read once a minute at most, and what is not among them is refused.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::service::Accounts;
use crate::store::{API_KEYS, AuditEntry};
use crate::{AuthError, FieldErrors, ServiceError, StoreError};

/// What every key begins with: people, logs and scanners know one when they see it, and no token looks like one.
const BEGINNING: &str = "presently_";
const RANDOM_BYTES: usize = 32;
/// The random bytes in base64url, without padding.
const RANDOM_LETTERS: usize = 43;
/// 36 bits of the SHA-256 of what comes before, in base64url.
const CHECKSUM_LETTERS: usize = 6;
/// How many of those are kept to tell keys apart: 36 bits, which leaves 220 to guess.
const SHOWN_LETTERS: usize = 6;
const NAME_MAX: usize = 100;
/// Keys that live at once.
const LIVE_MAX: usize = 1_000;

/// The number of a key. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(pub i64);

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a whole key. Compared in constant time; its `Debug` shows nothing.
#[derive(Clone, Copy)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of what looks like a key; `None` for anything else.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        let letters = key.strip_prefix(BEGINNING)?;
        if !letters.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return None;
        }
        let fits = is_without_checksum(key) || {
            letters.len() == RANDOM_LETTERS + CHECKSUM_LETTERS
                && key.split_at_checked(key.len() - CHECKSUM_LETTERS).is_some_and(|(text, sum)| checksum(text) == sum)
        };
        fits.then(|| Self::of_text(key))
    }

    fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A key as it is known after it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its number.
    pub id: ApiKeyId,
    /// What people call it: unique among the keys that live.
    pub name: String,
    /// Its first characters, to tell it from others.
    pub prefix: String,
    /// The hash of all of it.
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used: an hour may have gone by since. `None`: never.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked; it opens nothing since.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// `audit` with this key as its detail, when it has none: what stores write.
    #[must_use]
    pub fn described(&self, audit: &AuditEntry) -> AuditEntry {
        let mut entry = audit.clone();
        if entry.detail.is_empty() {
            entry.detail = format!("{} (key {})", self.name, self.id);
        }
        entry
    }
}

/// What a new key is made of, for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in ApiKey")]
pub struct NewApiKey {
    pub name: String,
    pub prefix: String,
    pub hash: KeyHash,
}

/// How a key is named by whoever revokes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichKey {
    /// The one of this number.
    Id(ApiKeyId),
    /// The living one of this name.
    Name(String),
}

/// A key that was just made, with its text, which nobody can show again. Its `Debug` does not show it.
pub struct MadeKey {
    /// What is kept.
    pub key: ApiKey,
    /// What the application sends.
    pub text: String,
}

impl fmt::Debug for MadeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeKey").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Makes a key. An `audit` without a detail names the key in it.
    pub async fn make_key(
        &self,
        name: &str,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<MadeKey, ServiceError> {
        check_name(name)?;
        let store = &self.inner.store;
        let living = store.api_keys().await?.iter().filter(|key| key.revoked_at.is_none()).count();
        if living >= LIVE_MAX {
            return Err(name_error("There are 1,000 keys already: revoke one that is not needed."));
        }
        let text = new_text();
        let prefix = text[..BEGINNING.len() + SHOWN_LETTERS].to_owned();
        let new = NewApiKey { name: name.to_owned(), prefix, hash: KeyHash::of_text(&text) };
        match store.insert_api_key(&new, now, audit.as_ref()).await? {
            Some(key) => Ok(MadeKey { key, text }),
            None => Err(name_error("A key with that name already exists.")),
        }
    }

    /// The keys: those that live, then the revoked, each newest first; at most 10,000.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.inner.store.api_keys().await
    }

    /// Revokes a key: when this returns it opens nothing here, and within a second nothing in another process. `None` when no such
    /// key lives.
    pub async fn revoke_key(
        &self,
        which: &WhichKey,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        let _revocation = self.inner.cache.revocation(API_KEYS);
        self.inner.store.revoke_api_key(which, now, audit.as_ref()).await
    }

    /// The key that this text is. Whoever acts on it takes [`as_of`](Self::as_of) before and asks
    /// [`still_admits`](Self::still_admits) after.
    ///
    /// # Errors
    /// [`AuthError::TokenNotValid`] for what is no key, unknown or revoked; [`AuthError::Store`].
    pub async fn authenticate_key(&self, key: &str) -> Result<Arc<ApiKey>, AuthError> {
        let hash = KeyHash::of(key).ok_or(AuthError::TokenNotValid)?;
        let (store, cache) = (&self.inner.store, &self.inner.cache);
        if let Some(key) = cache.keys().find(&hash) {
            return Ok(key);
        }
        let as_of = cache.epoch();
        if is_without_checksum(key) && !cache.keys().is_known(&hash, || store.api_keys()).await? {
            return Err(AuthError::TokenNotValid);
        }
        let found = store.api_key(&hash).await?;
        let key = found.filter(|key| key.hash == hash && key.revoked_at.is_none()).ok_or(AuthError::TokenNotValid)?;
        Ok(cache.keep_key(key, as_of))
    }

    /// The moment to ask [`still_admits`](Self::still_admits) about: taken before whoever calls is looked up.
    #[must_use]
    pub fn as_of(&self) -> u64 {
        self.inner.cache.epoch()
    }
}

fn new_text() -> String {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    let text = format!("{BEGINNING}{}", URL_SAFE_NO_PAD.encode(bytes));
    let sum = checksum(&text);
    text + &sum
}

/// Whether a key is of the kind that was made before there were checksums.
fn is_without_checksum(key: &str) -> bool {
    key.len() == BEGINNING.len() + RANDOM_LETTERS
}

fn checksum(text: &str) -> String {
    let digest = Sha256::new().chain_update(b"presently key checksum").chain_update(text).finalize();
    let mut letters = URL_SAFE_NO_PAD.encode(digest);
    letters.truncate(CHECKSUM_LETTERS);
    letters
}

/// Whether this could be a key at all, rather than a token.
#[must_use]
pub fn looks_like_api_key(text: &str) -> bool {
    text.starts_with(BEGINNING)
}

fn name_error(sentence: &str) -> ServiceError {
    ServiceError::Invalid(FieldErrors::from([("name", vec![sentence.to_owned()])]))
}

/// Printable is what Rust shows as it is, and the three signs that it escapes for other reasons.
fn check_name(name: &str) -> Result<(), ServiceError> {
    let letters = name.chars().count();
    if letters == 0 {
        return Err(name_error("This field may not be blank."));
    }
    if letters > NAME_MAX {
        return Err(name_error("Ensure this field has no more than 100 characters."));
    }
    let plain: String = name.chars().filter(|letter| !"\"'\\".contains(*letter)).collect();
    if !plain.escape_debug().eq(plain.chars()) || name.trim() != name {
        return Err(name_error("Enter printable characters, without blanks at the ends."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_beginning_and_49_letters_and_no_two_are_alike() {
        let (one, other) = (new_text(), new_text());
        for text in [&one, &other] {
            assert!(looks_like_api_key(text) && text.len() == BEGINNING.len() + 49, "{text}");
        }
        assert_ne!(one, other);
        assert!(KeyHash::of(&one) == KeyHash::of(&one) && KeyHash::of(&one) != KeyHash::of(&other));
    }

    #[test]
    fn the_hash_is_the_sha_256_of_the_whole_key() {
        let hash = KeyHash::of("presently_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").expect("it looks like one");
        let digest: [u8; 32] = Sha256::digest(b"presently_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").into();
        assert_eq!(hash.0, digest);
    }

    #[test]
    fn what_does_not_look_like_a_key_has_no_hash() {
        let key = new_text();
        for text in [
            "",
            "presently_",
            &key[1..],
            &key[..key.len() - 1],
            &format!("{key}x"),
            &format!(" {key}"),
            &key.replace("presently_", "Presently_"),
            &format!("presently_{}", "é".repeat(21) + "x"),
            &format!("presently_{}", "=".repeat(43)),
            &format!("presently_{}", "A".repeat(49)),
            &format!("{}{}", &key[..key.len() - 1], if key.ends_with('A') { "B" } else { "A" }),
            &format!(
                "presently_{}{}",
                if key.starts_with("presently_A") { "B" } else { "A" },
                &key["presently_A".len()..]
            ),
        ] {
            assert!(KeyHash::of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn names_have_1_to_100_printable_characters() {
        let longest = "é".repeat(100);
        for good in ["a", "Billing back end", "O'Hara \"x\" \\ 5 %", "Мария – 山田", &longest] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let too_long = "é".repeat(101);
        for bad in ["", " ", " a", "a ", "a\nb", "a\0", "\u{7f}", "a\u{202e}b", "a\u{200b}", "\u{2028}", &too_long] {
            assert!(
                matches!(check_name(bad), Err(ServiceError::Invalid(fields)) if fields.contains_key("name")),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn neither_key_nor_hash_is_shown_by_debug() {
        let text = new_text();
        let hash = KeyHash::of(&text).expect("it is one");
        let key = ApiKey {
            id: ApiKeyId(1),
            name: "a".to_owned(),
            prefix: text[..16].to_owned(),
            hash,
            created_at: Timestamp::UNIX_EPOCH,
            last_used_at: None,
            revoked_at: None,
        };
        let shown = format!("{:?}", MadeKey { key, text: text.clone() });
        assert!(!shown.contains(&text[16..]) && shown.contains("KeyHash(…)"), "{shown}");
    }
}
