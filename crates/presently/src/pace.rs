//! How fast one user may change what is kept of them. **Decided under the lock under which the change is**, so that what is refused
//! has changed nothing. Heartbeats that change nothing never come here.
//!
//! A user is remembered while what they changed still weighs, which is ten seconds at most: there are never more of them than changed
//! something in that time.

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use presently_core::Tick;

use crate::UserId;

/// One change weighs so long: ten a second in the long run. A person makes a few in a minute; a program that reconnects a user's
/// tabs makes as many as there are tabs.
const EVERY: Duration = Duration::from_millis(100);
/// Changes at once: as many as the sessions that one user may have with some to spare.
const AT_ONCE: u32 = 100;
/// What all changes at once weigh.
const WEIGHT_MAX: Duration = Duration::from_millis(EVERY.as_millis() as u64 * AT_ONCE as u64);
/// Users remembered before it is looked who can be forgotten.
const TIDY_FROM: usize = 64;

/// When the changes of each user will have lost their weight (the theoretical arrival time of GCRA, ITU-T I.371).
#[derive(Debug, Default)]
pub(crate) struct Pace {
    even_at: HashMap<UserId, Tick, RandomState>,
    tidy_at: usize,
}

impl Pace {
    /// Takes one change of `user`, or says how long they are to wait.
    pub(crate) fn take(&mut self, now: Tick, user: &str) -> Result<(), Duration> {
        let weight = self.even_at.get(user).map_or(Duration::ZERO, |&even_at| even_at - now) + EVERY;
        if weight > WEIGHT_MAX {
            return Err(weight.saturating_sub(WEIGHT_MAX));
        }
        self.keep(now, user, weight);
        Ok(())
    }

    /// Counts a change that is not refused for its pace.
    pub(crate) fn charge(&mut self, now: Tick, user: &str) {
        let weight = self.even_at.get(user).map_or(Duration::ZERO, |&even_at| even_at - now) + EVERY;
        self.keep(now, user, weight.min(WEIGHT_MAX));
    }

    fn keep(&mut self, now: Tick, user: &str, weight: Duration) {
        if self.even_at.len() >= self.tidy_at.max(TIDY_FROM) {
            self.even_at.retain(|_, even_at| *even_at > now);
            self.tidy_at = 2 * self.even_at.len();
        }
        self.even_at.insert(user.into(), now + weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick(millis * 1_000)
    }

    #[test]
    fn a_hundred_at_once_and_then_ten_a_second() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.take(at(0), "alice"), Ok(()));
        }
        assert_eq!(pace.take(at(0), "alice"), Err(Duration::from_millis(100)));
        assert_eq!(pace.take(at(0), "bob"), Ok(()), "others are not held to it");
        let taken = (0..10_000).filter(|&millis| pace.take(at(millis), "alice").is_ok()).count();
        assert_eq!(taken, 99, "the one at 100 ms is the first");
        assert_eq!(pace.take(at(30_000), "alice"), Ok(()));
        for _ in 0..99 {
            assert_eq!(pace.take(at(30_000), "alice"), Ok(()));
        }
        assert!(pace.take(at(30_000), "alice").is_err());
    }

    #[test]
    fn what_is_not_refused_weighs_no_more_than_the_most() {
        let mut pace = Pace::default();
        for _ in 0..1_000 {
            pace.charge(at(0), "alice");
        }
        assert!(pace.take(at(0), "alice").is_err());
        assert_eq!(pace.take(at(100), "alice"), Ok(()));
    }

    #[test]
    fn users_are_forgotten_when_their_changes_weigh_nothing() {
        let mut pace = Pace::default();
        for user in 0..10_000_u64 {
            pace.charge(at(user * 10), &user.to_string());
        }
        assert!(pace.even_at.len() <= 2 * TIDY_FROM, "{}", pace.even_at.len());
    }
}
