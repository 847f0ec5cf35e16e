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
