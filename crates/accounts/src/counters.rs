//! What happened how often lately, by whom. **There are never more counters than the rule allows: the oldest go.**

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// How much of something is too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// So many within the window; no more are let in.
    pub(crate) max: u32,
    /// The window begins with the first.
    pub(crate) window_us: i64,
    /// Counters at the same time.
    pub(crate) keys_max: usize,
}

pub(crate) struct Counters<K> {
    rule: Rule,
    by_key: HashMap<K, Counter>,
    /// The keys as they came, with their numbers; those of keys that went are passed over.
    oldest: VecDeque<(K, u64)>,
    last_number: u64,
}

struct Counter {
    number: u64,
    since_us: i64,
    counted: u32,
    under_way: u32,
}

/// Whether one more may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Go,
    /// As many are under way as may still count.
    Wait,
    /// Until then.
    TooMany(Duration),
}

impl<K: Copy + Eq + Hash> Counters<K> {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, by_key: HashMap::new(), oldest: VecDeque::new(), last_number: 0 }
    }

    /// Whether one more may begin now.
    pub(crate) fn turn(&mut self, key: &K, now_us: i64) -> Turn {
        let Some(counter) = self.by_key.get_mut(key) else { return Turn::Go };
        // After a step of the clock back, the window begins anew instead of lasting for hours.
        counter.since_us = counter.since_us.min(now_us);
        let ends_us = counter.since_us.saturating_add(self.rule.window_us);
        if now_us >= ends_us {
            (counter.since_us, counter.counted) = (now_us, 0);
        }
        if counter.counted >= self.rule.max {
            return Turn::TooMany(Duration::from_micros(u64::try_from(ends_us - now_us).unwrap_or(0)));
        }
        if counter.counted + counter.under_way >= self.rule.max { Turn::Wait } else { Turn::Go }
    }

    /// Begins one; the number is for [`Self::finish`].
    pub(crate) fn start(&mut self, key: K, now_us: i64) -> u64 {
        if !self.by_key.contains_key(&key) {
            self.make_room();
            self.last_number += 1;
            self.oldest.push_back((key, self.last_number));
        }
        let number = self.last_number;
        let new = Counter { number, since_us: now_us, counted: 0, under_way: 0 };
        let counter = self.by_key.entry(key).or_insert(new);
        counter.under_way += 1;
        counter.number
    }

    /// Ends one that was begun. A counter that went meanwhile stays gone.
    pub(crate) fn finish(&mut self, (key, number): (K, u64), counts: bool) {
        let Some(counter) = self.by_key.get_mut(&key).filter(|counter| counter.number == number) else { return };
        counter.under_way = counter.under_way.saturating_sub(1);
        counter.counted += u32::from(counts);
        if counter.under_way == 0 && counter.counted == 0 {
            self.by_key.remove(&key);
        }
    }

    /// Takes back what was counted.
    pub(crate) fn forgive(&mut self, (key, number): (K, u64)) {
        if let Some(counter) = self.by_key.get_mut(&key).filter(|counter| counter.number == number) {
            counter.counted = 0;
        }
    }

    /// Drops the counters whose window is over.
    pub(crate) fn tidy(&mut self, now_us: i64) {
        let window_us = self.rule.window_us;
        self.by_key.retain(|_, counter| counter.under_way > 0 || now_us < counter.since_us.saturating_add(window_us));
        self.forget_the_gone();
    }

    fn make_room(&mut self) {
        while self.by_key.len() >= self.rule.keys_max
            && let Some((oldest, number)) = self.oldest.pop_front()
        {
            if self.by_key.get(&oldest).is_some_and(|counter| counter.number == number) {
                self.by_key.remove(&oldest);
            }
        }
        if self.oldest.len() >= 2 * self.rule.keys_max {
            self.forget_the_gone();
        }
    }

    fn forget_the_gone(&mut self) {
        let by_key = &self.by_key;
        self.oldest.retain(|(key, number)| by_key.get(key).is_some_and(|counter| counter.number == *number));
    }

    /// How many counters there are, and how many keys are remembered in their order.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.by_key.len(), self.oldest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { max: 3, window_us: 60, keys_max: 10 };

    /// One that begins and counts.
    fn count(counters: &mut Counters<u8>, key: u8, now_us: i64) {
        let number = counters.start(key, now_us);
        counters.finish((key, number), true);
    }

    #[test]
    fn a_window_begins_with_the_first_and_ends_for_all() {
        let mut counters = Counters::new(RULE);
        for now_us in [5, 20, 64] {
            assert_eq!(counters.turn(&1, now_us), Turn::Go);
            count(&mut counters, 1, now_us);
        }
        assert_eq!(counters.turn(&1, 64), Turn::TooMany(Duration::from_micros(1)));
        assert_eq!(counters.turn(&2, 64), Turn::Go);
        assert_eq!(counters.turn(&1, 65), Turn::Go, "the window is over");
        count(&mut counters, 1, 65);
        assert_eq!(counters.turn(&1, 124), Turn::Go, "and a new one has begun");
    }

    #[test]
    fn as_many_are_under_way_as_may_still_count() {
        let mut counters = Counters::new(RULE);
        count(&mut counters, 1, 0);
        let numbers = [counters.start(1, 0), counters.start(1, 0)];
        assert_eq!(counters.turn(&1, 0), Turn::Wait);
        counters.finish((1, numbers[0]), false);
        assert_eq!(counters.turn(&1, 0), Turn::Go);
        counters.finish((1, numbers[1]), true);
        assert_eq!(counters.turn(&1, 0), Turn::Go, "two of three");
        counters.forgive((1, numbers[1]));
        for _ in 0..2 {
            assert_eq!(counters.turn(&1, 0), Turn::Go);
            count(&mut counters, 1, 0);
        }
        assert_eq!(counters.turn(&1, 0), Turn::Go, "what was forgiven counts no more");
    }

    #[test]
    fn what_ends_after_its_counter_went_says_nothing_of_the_next_one() {
        let mut counters = Counters::new(RULE);
        let withdrawn = counters.start(1, 0);
        counters.finish((1, withdrawn), false);
        assert_eq!(counters.sizes().0, 0, "nothing is left to count");
        count(&mut counters, 1, 0);
        for _ in 0..5 {
            counters.finish((1, withdrawn), true);
        }
        counters.forgive((1, withdrawn));
        assert_eq!(counters.turn(&1, 0), Turn::Go);
        count(&mut counters, 1, 0);
        count(&mut counters, 1, 0);
        assert!(matches!(counters.turn(&1, 0), Turn::TooMany(_)));
    }

    #[test]
    fn tidying_leaves_what_is_under_way_and_what_still_counts() {
        let mut counters = Counters::new(RULE);
        count(&mut counters, 1, 0);
        count(&mut counters, 2, 1);
        let under_way = counters.start(3, 0);
        counters.tidy(60);
        assert_eq!(counters.sizes(), (2, 2), "of the first the window is over");
        counters.finish((3, under_way), true);
        counters.tidy(61);
        assert_eq!(counters.sizes(), (0, 0));
    }

    #[test]
    fn the_oldest_counter_goes_also_when_its_key_had_one_before() {
        let mut counters = Counters::new(RULE);
        // Ten keys; the first of them came, went, and came again as the last.
        let gone = counters.start(0, 0);
        counters.finish((0, gone), false);
        for key in (1..10).chain([0]) {
            count(&mut counters, key, 0);
        }
        count(&mut counters, 10, 0);
        let kept: Vec<u8> = (0..11).filter(|key| counters.by_key.contains_key(key)).collect();
        assert_eq!(kept, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn keys_that_went_are_cleared_away_when_they_are_as_many_as_there_may_be_counters() {
        let mut counters = Counters::new(RULE);
        let mut most = 0;
        for key in 0..100 {
            let number = counters.start(key, 0);
            counters.finish((key, number), false);
            most = most.max(counters.sizes().1);
        }
        assert_eq!(most, 2 * RULE.keys_max);
    }
}
