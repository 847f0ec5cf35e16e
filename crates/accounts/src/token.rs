//! Tokens: JWT, HS256. **What [`Keys::read`] returns was signed with our secret; whether it is still good is for others to say.**

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{AccountId, TokenPair};

pub(crate) const TOKEN_MAX: usize = 4_096;
const ID_MAX: usize = 128;
/// As many as the hash of HS256 has (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// How far the clock of who issues foreign tokens may be ahead of ours.
const LEEWAY_SECONDS: i64 = 30;
/// The end of the year 9998: what comes later is no moment that a store could keep.
const EXPIRES_MAX: i64 = 253_370_764_800;

/// The key that tokens are signed with. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct SecretKey(Vec<u8>);

/// Why a secret could be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// Too few bytes.
    #[error("the secret key is too short: it must have at least 32 bytes")]
    TooShort,
    /// All bytes are the same.
    #[error("the secret key is one byte repeated: anybody can guess it")]
    OneByte,
}

impl SecretKey {
    /// A key of these bytes (the text of the setting, as it is): at least 32, not all the same.
    ///
    /// # Errors
    /// See [`WeakSecret`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, WeakSecret> {
        let bytes = bytes.into();
        match bytes.first() {
            Some(first) if bytes.len() >= SECRET_BYTES_MIN => {
                if bytes.iter().all(|byte| byte == first) {
                    Err(WeakSecret::OneByte)
                } else {
                    Ok(Self(bytes))
                }
            }
            _ => Err(WeakSecret::TooShort),
        }
    }

    /// A key that nobody knows, for who makes no tokens that others shall read.
    #[must_use]
    pub fn random() -> Self {
        Self([random_bytes(), random_bytes()].concat())
    }

    /// What tells it from another one: a digest, which helps to guess it no more than a token does.
    #[must_use]
    pub fn mark(&self) -> String {
        let digest = Sha256::new().chain_update(b"presently secret key").chain_update(&self.0).finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// Its bytes, for other keys to be derived from.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Refresh,
}

/// What a token says.
pub(crate) struct Claims {
    pub(crate) kind: Kind,
    pub(crate) account: AccountId,
    /// `sid`, or `jti` of a foreign token.
    pub(crate) session: Arc<str>,
    pub(crate) jti: String,
    /// Whether it came without `sid`.
    pub(crate) foreign: bool,
    /// Whole seconds since 1970, rounded down. Of a foreign token, no later than when it was read.
    pub(crate) issued_at: i64,
    /// Whether it is a foreign token that said a later moment than when it was read.
    pub(crate) is_ahead: bool,
    pub(crate) not_before: i64,
    pub(crate) expires_at: i64,
    /// The life of the account under which the session was found live when this token came last: see the cache. 0 for none.
    pub(crate) live_in: AtomicU64,
}

impl Claims {
    /// Whether its time has come and is not over.
    pub(crate) fn is_current(&self, now: Timestamp) -> bool {
        let now = now.as_microsecond().div_euclid(1_000_000);
        self.not_before <= now && now < self.expires_at
    }
}

/// The claims on the wire, those of djangorestframework-simplejwt included.
#[derive(Deserialize)]
struct Received {
    token_type: String,
    exp: serde_json::Number,
    iat: Option<serde_json::Number>,
    nbf: Option<serde_json::Number>,
    jti: String,
    user_id: UserId,
    sid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum UserId {
    Number(i64),
    Digits(String),
}

#[derive(Serialize)]
struct Issued<'a> {
    token_type: &'a str,
    exp: i64,
    iat: i64,
    jti: &'a str,
    user_id: i64,
    sid: &'a str,
}

/// Signs and reads tokens.
pub(crate) struct Keys {
    signing: EncodingKey,
    reading: DecodingKey,
    validation: Validation,
}

impl Keys {
    pub(crate) fn new(secret: &SecretKey) -> Self {
        // Times are judged by the caller's clock, not by the one that the library would read.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self { signing: EncodingKey::from_secret(&secret.0), reading: DecodingKey::from_secret(&secret.0), validation }
    }

    /// What `token` says, when it is one of ours or made with our secret. **A foreign token is voided by its time of issue, so that may
    /// not be ahead:** within the leeway it counts as now, beyond it the token is refused. Our own end with their session.
    pub(crate) fn read(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let claims = self.signed(token)?;
        let now = now.as_microsecond().div_euclid(1_000_000);
        if !claims.foreign || claims.issued_at <= now {
            return Some(claims);
        }
        let is_near = claims.issued_at.saturating_sub(now) <= LEEWAY_SECONDS;
        is_near.then_some(Claims { issued_at: now, is_ahead: true, ..claims })
    }

    fn signed(&self, token: &str) -> Option<Claims> {
        let token = jsonwebtoken::decode::<Received>(token, &self.reading, &self.validation).ok()?;
        // RFC 7515, 4.1.11: who does not understand what is critical must refuse.
        if token.header.crit.is_some() {
            return None;
        }
        token.claims.understood()
    }

    /// Two tokens of a session; `refresh_jti` is the id of the second. Neither is good after the second `until`.
    pub(crate) fn issue(
        &self,
        account: AccountId,
        session: &str,
        refresh_jti: &str,
        now: Timestamp,
        lifetimes: Lifetimes,
        until: i64,
    ) -> Option<TokenPair> {
        let iat = now.as_microsecond().div_euclid(1_000_000);
        let sign = |token_type, jti: &str, seconds: i64| {
            let exp = iat.saturating_add(seconds).min(until);
            let claims = Issued { token_type, exp, iat, jti, user_id: account.0, sid: session };
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing).ok()
        };
        Some(TokenPair {
            access: sign("access", &random_id(), lifetimes.access_seconds)?,
            refresh: sign("refresh", refresh_jti, lifetimes.refresh_seconds)?,
        })
    }
}

/// How long tokens are good for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) access_seconds: i64,
    pub(crate) refresh_seconds: i64,
    pub(crate) session_seconds: i64,
}

impl Lifetimes {
    /// The second in which a session that was opened then ends for good.
    pub(crate) fn last_second(self, opened: Timestamp) -> i64 {
        opened.as_second().saturating_add(self.session_seconds).min(EXPIRES_MAX)
    }

    /// When the last of the tokens ends that are issued now, of a session that ends `until` then.
    pub(crate) fn end(self, now: Timestamp, until: i64) -> Timestamp {
        let seconds = self.access_seconds.max(self.refresh_seconds);
        moment(now.as_second().saturating_add(seconds).min(until))
    }
}

/// This second since 1970; beyond what can be told, the last that can.
pub(crate) fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds.clamp(0, EXPIRES_MAX)).unwrap_or(Timestamp::MAX)
}

impl Received {
    fn understood(self) -> Option<Claims> {
        let kind = match self.token_type.as_str() {
            "access" => Kind::Access,
            "refresh" => Kind::Refresh,
            _ => return None,
        };
        let account = match self.user_id {
            UserId::Number(number) => number,
            UserId::Digits(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            UserId::Digits(_) => return None,
        };
        let expires_at = seconds(&self.exp)?;
        if account < 0 || !(0..=EXPIRES_MAX).contains(&expires_at) || !is_id(&self.jti) {
            return None;
        }
        if !self.sid.as_deref().is_none_or(is_id) {
            return None;
        }
        let foreign = self.sid.is_none();
        Some(Claims {
            kind,
            account: AccountId(account),
            session: self.sid.as_deref().unwrap_or(&self.jti).into(),
            jti: self.jti,
            foreign,
            is_ahead: false,
            issued_at: self.iat.as_ref().map_or(Some(0), seconds)?,
            not_before: self.nbf.as_ref().map_or(Some(i64::MIN), seconds)?,
            expires_at,
            live_in: AtomicU64::new(0),
        })
    }
}

fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Whole seconds, rounded down.
#[expect(clippy::cast_possible_truncation, reason = "a float beyond the range becomes the end of the range")]
fn seconds(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64))
}

/// 128 random bits, in 22 characters.
pub(crate) fn random_id() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes())
}

pub(crate) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
