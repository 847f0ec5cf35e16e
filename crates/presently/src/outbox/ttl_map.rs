//! What happened a moment ago, by user. **Nothing stays longer than its time, and never more than so many.**

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use presently_core::{Tick, UserId};

/// Long enough for a store to have what another node keeps, which it does in a group commit of a few milliseconds.
const STAYS: Duration = Duration::from_secs(10);
/// Beyond it the oldest go before their time: what is read then may be as old as the store.
const MAX: usize = 200_000;

#[derive(Debug)]
pub(crate) struct TtlMap<T> {
    by_user: HashMap<UserId, (Tick, T), RandomState>,
    /// By age. A user who came again is in it twice, and counts by the later one.
    order: VecDeque<(Tick, UserId)>,
}

impl<T> Default for TtlMap<T> {
    fn default() -> Self {
        Self { by_user: HashMap::default(), order: VecDeque::new() }
    }
}

impl<T> TtlMap<T> {
    pub(crate) fn put(&mut self, now: Tick, user: UserId, what: T) {
        self.tidy(now);
        self.order.push_back((now, user.clone()));
        self.by_user.insert(user, (now, what));
    }

    pub(crate) fn get(&self, now: Tick, user: &str) -> Option<&T> {
        self.by_user.get(user).filter(|(at, _)| now - *at <= STAYS).map(|(_, what)| what)
    }

    pub(crate) fn remove(&mut self, user: &str) {
        self.by_user.remove(user);
    }

    /// Lets go of what is too old.
    pub(crate) fn tidy(&mut self, now: Tick) {
        while let Some((at, user)) = self.order.front()
            && (now - *at > STAYS || self.order.len() >= MAX)
        {
            if self.by_user.get(user).is_some_and(|(newest, _)| newest == at) {
                self.by_user.remove(user);
            }
            self.order.pop_front();
        }
        if self.order.is_empty() && self.order.capacity() > 1024 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn what_came_again_stays_from_then_on() {
        let mut lately = TtlMap::default();
        lately.put(Tick(0), "alice".into(), 1);
        lately.put(Tick(8 * SECOND), "alice".into(), 2);
        lately.tidy(Tick(15 * SECOND));
        assert_eq!(lately.get(Tick(15 * SECOND), "alice"), Some(&2));
        lately.tidy(Tick(19 * SECOND));
        assert_eq!(lately.get(Tick(15 * SECOND), "alice"), None);
    }

    #[test]
    fn nothing_stays_because_nothing_comes_after_it() {
        let mut lately = TtlMap::default();
        lately.put(Tick(0), "alice".into(), 1);
        assert_eq!(lately.get(Tick(10 * SECOND), "alice"), Some(&1));
        assert_eq!(lately.get(Tick(11 * SECOND), "alice"), None);
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let mut lately = TtlMap::default();
        for n in 0..MAX + 10 {
            lately.put(Tick(0), format!("user-{n}").into(), ());
        }
        assert!(lately.by_user.len() <= MAX && lately.order.len() <= MAX);
        assert_eq!(lately.get(Tick(0), "user-0"), None);
    }
}
