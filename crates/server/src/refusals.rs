//! Who was refused: a counter for each, and a line in the log now and then.
//!
//! **However many are refused, each kind has at most one line a second**: nobody fills the disk by being refused. Lines hold neither
//! tokens, keys and passwords nor addresses; what is typed as a name may be a password, so names are not there either.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use metrics::{Counter, counter, describe_counter};
use presently_accounts::{AuthError, LoginError};

/// How far apart the lines of one kind are.
const LINE_EVERY_US: i64 = 1_000_000;

/// The counters of this process.
pub(crate) struct Refusals {
    by_login: [(&'static str, Counter); 4],
    tokens: Sparse,
    keys: Sparse,
    too_many: Sparse,
}

/// A counter whose lines are sparse.
struct Sparse {
    counter: Counter,
    /// Since when there was no line.
    said_us: AtomicI64,
    unsaid: AtomicU64,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        describe_counter!("presently_logins_refused_total", "Logins that failed, by reason.");
        describe_counter!("presently_tokens_refused_total", "Tokens that did not admit.");
        describe_counter!("presently_keys_refused_total", "API keys that did not admit.");
        describe_counter!("presently_too_many_requests_total", "Answers of 429, whatever for.");
        Self {
            by_login: ["invalid_credentials", "not_active", "too_many_attempts", "unavailable"]
                .map(|reason| (reason, counter!("presently_logins_refused_total", "reason" => reason))),
            tokens: Sparse::new(counter!("presently_tokens_refused_total")),
            keys: Sparse::new(counter!("presently_keys_refused_total")),
            too_many: Sparse::new(counter!("presently_too_many_requests_total")),
        }
    }

    /// A login failed. Its line was written where the account is known.
    pub(crate) fn login(&self, error: &LoginError) {
        let why = match error {
            LoginError::InvalidCredentials => "invalid_credentials",
            LoginError::NotActive(_) => "not_active",
            LoginError::Throttled { .. } => "too_many_attempts",
            LoginError::Busy | LoginError::Store(_) => "unavailable",
        };
        if let Some((_, counter)) = self.by_login.iter().find(|(reason, _)| *reason == why) {
            counter.increment(1);
        }
    }

    /// A token did not admit; that the store did not answer is no refusal.
    pub(crate) fn token(&self, error: &AuthError, now: Timestamp) {
        let reason = match error {
            AuthError::TokenNotValid => "token_not_valid",
            AuthError::UserNotFound => "user_not_found",
            AuthError::UserInactive => "user_inactive",
            AuthError::Store(_) => return,
        };
        if let Some(refused) = self.tokens.count(now) {
            tracing::info!(reason, refused, "token refused");
        }
    }

    /// A key did not admit; that the store did not answer is no refusal.
    pub(crate) fn key(&self, error: &AuthError, now: Timestamp) {
        if matches!(error, AuthError::Store(_)) {
            return;
        }
        if let Some(refused) = self.keys.count(now) {
            tracing::info!(refused, "API key refused");
        }
    }

    /// An answer was 429.
    pub(crate) fn too_many(&self, now: Timestamp) {
        if let Some(refused) = self.too_many.count(now) {
            tracing::info!(refused, "too many requests");
        }
    }
}

impl Sparse {
    fn new(counter: Counter) -> Self {
        Self { counter, said_us: AtomicI64::new(i64::MIN), unsaid: AtomicU64::new(0) }
    }

    /// Counts one; when it is time for a line, how many it speaks of.
    fn count(&self, now: Timestamp) -> Option<u64> {
        self.counter.increment(1);
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        let now_us = now.as_microsecond();
        let said_us = self.said_us.load(Ordering::Relaxed);
        // A clock that was set back is no reason to fall silent.
        let is_time = now_us.saturating_sub(said_us) >= LINE_EVERY_US || now_us < said_us;
        let is_ours =
            is_time && self.said_us.compare_exchange(said_us, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_ours.then(|| self.unsaid.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_a_second_apart_and_speak_of_all_since_the_last() {
        let sparse = Sparse::new(Counter::noop());
        let at = |ms: i64| Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap();
        assert_eq!(sparse.count(at(0)), Some(1));
        for ms in 1..1_000 {
            assert_eq!(sparse.count(at(ms)), None);
        }
        assert_eq!(sparse.count(at(1_000)), Some(1_000));
        assert_eq!(sparse.count(at(-50_000)), Some(1), "the clock was set back");
    }
}
