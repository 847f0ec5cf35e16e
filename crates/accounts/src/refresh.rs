//! The refresh tokens of a session. **One that was used is known as used: who brings it late has stolen it, or was stolen from.**
//!
//! Two tabs that refresh at once bring the same token. Each is given one of its own, so a session may have several that are good:
//! each goes on by itself from then on.

use std::time::Duration;

use jiff::Timestamp;

use crate::store::Rotation;

/// Tabs that go on by themselves: as many as a user may have streams by default. Of more, the one that was silent longest goes.
const GOOD_MAX: usize = 50;
/// Used tokens that are remembered within their grace. Of more, the oldest counts as used long ago.
const USED_MAX: usize = 50;
/// How long a token that was used may be used again: two tabs wake up together, and an answer that was lost is asked for again.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What becomes of a refresh token that is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshRotation {
    /// A new one takes its place; for ten seconds the old one may be used again.
    #[default]
    Grace,
    /// A new one takes its place at once.
    Strict,
    /// It stays good until its end.
    Off,
}

/// The refresh tokens of a session, by their `jti`: which are good, and which were used a moment ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshTokens {
    /// The newest last.
    good: Vec<String>,
    /// Each with the moment of its use, in microseconds since 1970; the oldest first.
    used: Vec<(String, i64)>,
}

impl RefreshTokens {
    /// Of a session that has none: one of a foreign token.
    #[must_use]
    pub const fn none() -> Self {
        Self { good: Vec::new(), used: Vec::new() }
    }

    /// Of a new session.
    #[must_use]
    pub fn one(jti: impl Into<String>) -> Self {
        Self { good: vec![jti.into()], used: Vec::new() }
    }

    /// Whether the session never had any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.good.is_empty()
    }

    /// The newest good one, or empty.
    #[must_use]
    pub fn newest(&self) -> &str {
        self.good.last().map_or("", String::as_str)
    }

    /// All others, as a line of text: good ones as they are, used ones with `@` and the moment.
    #[must_use]
    pub fn others(&self) -> String {
        let good = self.good.iter().rev().skip(1).rev().cloned();
        let used = self.used.iter().map(|(jti, at)| format!("{jti}@{at}"));
        good.chain(used).collect::<Vec<_>>().join(" ")
    }

    /// What [`newest`](Self::newest) and [`others`](Self::others) told.
    #[must_use]
    pub fn read(newest: &str, others: &str) -> Self {
        let mut tokens = Self::none();
        for word in others.split(' ').filter(|word| !word.is_empty()) {
            match word.split_once('@') {
                Some((jti, at)) => tokens.used.extend(at.parse().ok().map(|at| (jti.to_owned(), at))),
                None => tokens.good.push(word.to_owned()),
            }
        }
        if !newest.is_empty() {
            tokens.good.push(newest.to_owned());
        }
        tokens
    }

    /// Whether a refresh with this one would succeed.
    pub(crate) fn admits(&self, jti: &str, rotation: RefreshRotation, now: Timestamp) -> bool {
        self.is_good(jti) || (rotation == RefreshRotation::Grace && self.is_in_grace(jti, now))
    }

    /// Trades `old` for `new`.
    pub(crate) fn trade(&mut self, old: &str, new: &str, rotation: RefreshRotation, now: Timestamp) -> Rotation {
        if rotation == RefreshRotation::Off {
            return if self.is_good(old) { Rotation::Rotated } else { Rotation::Gone };
        }
        if !self.admits(old, rotation, now) {
            return Rotation::Reused;
        }
        self.used.retain(|(_, at)| within_grace(*at, now));
        if self.is_good(old) {
            self.good.retain(|jti| jti != old);
            self.used.push((old.to_owned(), now.as_microsecond()));
        }
        self.good.push(new.to_owned());
        self.good.drain(..self.good.len().saturating_sub(GOOD_MAX));
        self.used.drain(..self.used.len().saturating_sub(USED_MAX));
        Rotation::Rotated
    }

    fn is_good(&self, jti: &str) -> bool {
        self.good.iter().any(|good| good == jti)
    }

    fn is_in_grace(&self, jti: &str, now: Timestamp) -> bool {
        self.used.iter().any(|(used, at)| used == jti && within_grace(*at, now))
    }
}

/// Also when the clock was put back since.
fn within_grace(used_at: i64, now: Timestamp) -> bool {
    let since = now.as_microsecond().saturating_sub(used_at);
    u64::try_from(since).is_ok_and(|since| Duration::from_micros(since) < GRACE) || since < 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use RefreshRotation::{Grace, Off, Strict};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_795_485_286_000 + millis).expect("a time in this century")
    }

    /// Goes through the disk each time.
    fn trade(tokens: &mut RefreshTokens, old: &str, new: &str, rotation: RefreshRotation, millis: i64) -> Rotation {
        *tokens = RefreshTokens::read(tokens.newest(), &tokens.others());
        tokens.trade(old, new, rotation, at(millis))
    }

    #[test]
    fn tabs_that_refresh_at_once_each_go_on_by_themselves() {
        let mut tokens = RefreshTokens::one("a");
        for (old, new, millis) in [("a", "b1", 0), ("a", "b2", 9_999), ("b1", "c1", 3_600_000), ("b2", "c2", 9_999_999)]
        {
            assert_eq!(trade(&mut tokens, old, new, Grace, millis), Rotation::Rotated, "{old}");
        }
        assert_eq!(trade(&mut tokens, "b1", "x", Grace, 9_999_999), Rotation::Reused);
    }

    #[test]
    fn the_grace_is_counted_from_the_first_use_and_ends() {
        let mut tokens = RefreshTokens::one("a");
        assert_eq!(trade(&mut tokens, "a", "b", Grace, 0), Rotation::Rotated);
        assert_eq!(trade(&mut tokens, "a", "c", Grace, 6_000), Rotation::Rotated);
        assert!(tokens.admits("a", Grace, at(9_999)) && !tokens.admits("a", Strict, at(9_999)));
        assert!(!tokens.admits("a", Grace, at(10_000)));
        assert_eq!(trade(&mut tokens, "a", "d", Grace, 10_000), Rotation::Reused);
        assert_eq!(trade(&mut tokens, "never", "d", Grace, 10_000), Rotation::Reused);
    }

    #[test]
    fn a_clock_that_was_put_back_ends_no_grace() {
        let mut tokens = RefreshTokens::one("a");
        assert_eq!(trade(&mut tokens, "a", "b", Grace, 0), Rotation::Rotated);
        assert_eq!(trade(&mut tokens, "a", "c", Grace, -60_000), Rotation::Rotated);
    }

    #[test]
    fn without_grace_a_second_use_is_one_too_many() {
        let mut tokens = RefreshTokens::one("a");
        assert_eq!(trade(&mut tokens, "a", "b", Strict, 0), Rotation::Rotated);
        assert_eq!(trade(&mut tokens, "a", "c", Strict, 0), Rotation::Reused);
    }

    #[test]
    fn without_rotation_the_same_one_stays_good_and_an_old_one_ends_nothing() {
        let mut tokens = RefreshTokens::one("a");
        assert_eq!(trade(&mut tokens, "a", "b", Grace, 0), Rotation::Rotated);
        for millis in [0, 60_000, 9_999_999] {
            assert_eq!(trade(&mut tokens, "b", "b", Off, millis), Rotation::Rotated);
            assert_eq!(trade(&mut tokens, "a", "a", Off, millis), Rotation::Gone);
        }
        assert_eq!(tokens.newest(), "b");
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let mut tokens = RefreshTokens::one("start");
        for n in 0..200 {
            assert_eq!(trade(&mut tokens, "start", &format!("tab-{n}"), Grace, 0), Rotation::Rotated);
        }
        assert_eq!(tokens.good.len(), GOOD_MAX);
        assert!(!tokens.admits("tab-149", Grace, at(0)) && tokens.admits("tab-150", Grace, at(0)));
        for n in 0..200 {
            assert_eq!(
                trade(&mut tokens, &format!("tab-{}", 199 + n), &format!("tab-{}", 200 + n), Grace, 1),
                Rotation::Rotated
            );
        }
        assert_eq!((tokens.good.len(), tokens.used.len()), (GOOD_MAX, USED_MAX));
    }
}
