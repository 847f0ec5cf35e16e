//! The newest of many, exactly, **with room for no more than are asked for**.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::RangeInclusive;

use crate::{Presence, Timestamp, UserId};

/// Room for users who are offered twice because they left and returned during the visit.
const SPARE: usize = 16;

/// The order of a page: newest first, then by name.
type Key = (Reverse<Timestamp>, UserId);

pub(crate) struct Newest {
    after: Option<Key>,
    limit: usize,
    /// The last of the page on top.
    page: BinaryHeap<Entry>,
}

struct Entry {
    key: Key,
    presence: Presence,
}

impl Newest {
    pub(crate) fn new(after: Option<(Timestamp, UserId)>, limit: usize) -> Self {
        Self { after: after.map(|(at, user)| (Reverse(at), user)), limit, page: BinaryHeap::new() }
    }

    /// Takes a user up when their time belongs to the page and `make` wants them: only for those few is more looked at than a time.
    pub(crate) fn offer(
        &mut self,
        user: &str,
        last_seen: Option<Timestamp>,
        make: impl FnOnce(&str) -> Option<Presence>,
    ) {
        if self.limit == 0 {
            return;
        }
        let key = (Reverse(last_seen.unwrap_or(Timestamp(i64::MIN))), user);
        let lies_after = |bound: &Key| key > (bound.0, bound.1.as_str());
        if !self.after.as_ref().is_none_or(lies_after) {
            return;
        }
        let is_full = self.page.len() >= self.limit.saturating_add(SPARE);
        if is_full && self.page.peek().is_some_and(|last| lies_after(&last.key)) {
            return;
        }
        let Some(presence) = make(user) else { return };
        if is_full {
            self.page.pop();
        }
        self.page.push(Entry { key: (key.0, presence.user.clone()), presence });
    }

    /// When somebody must have been seen who may belong to the page.
    pub(crate) fn seen(&self) -> RangeInclusive<Timestamp> {
        let newest = self.after.as_ref().map_or(Timestamp(i64::MAX), |(Reverse(at), _)| *at);
        let is_full = self.page.len() >= self.limit.saturating_add(SPARE);
        let oldest = self.page.peek().filter(|_| is_full).map_or(Timestamp(i64::MIN), |last| last.key.0.0);
        oldest..=newest
    }

    pub(crate) fn finish(self) -> Vec<Presence> {
        let sorted = self.page.into_sorted_vec();
        let mut names = HashSet::with_capacity(sorted.len());
        let firsts = sorted.into_iter().filter(|entry| names.insert(entry.key.1.clone()));
        firsts.take(self.limit).map(|entry| entry.presence).collect()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Status;

    fn page(all: &[(String, Option<i64>)], after: Option<(Timestamp, UserId)>, limit: usize) -> Vec<(i64, String)> {
        let mut newest = Newest::new(after, limit);
        for (user, at) in all {
            let last_seen = at.map(Timestamp);
            newest.offer(user, last_seen, |user| {
                Some(Presence { user: user.into(), status: Status::Online, last_seen, since: None })
            });
        }
        let seen = |presence: &Presence| presence.last_seen.map_or(i64::MIN, |at| at.0);
        newest.finish().iter().map(|presence| (seen(presence), presence.user.to_string())).collect()
    }

    proptest! {
        #[test]
        fn pages_are_those_of_a_full_sort(
            all in proptest::collection::hash_map("[a-c]{1,3}", proptest::option::of(0_i64..5), 0..60),
            limit in 1_usize..40,
        ) {
            let all: Vec<_> = all.into_iter().collect();
            let mut expected: Vec<(i64, String)> =
                all.iter().map(|(user, at)| (at.unwrap_or(i64::MIN), user.clone())).collect();
            expected.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            let (mut walked, mut after) = (Vec::new(), None);
            loop {
                let next = page(&all, after, limit);
                let Some(last) = next.last() else { break };
                prop_assert!(next.len() <= limit);
                after = Some((Timestamp(last.0), UserId::from(last.1.as_str())));
                walked.extend(next);
            }
            prop_assert_eq!(walked, expected);
        }
    }

    #[test]
    fn who_returns_during_the_visit_is_listed_once() {
        let all = [("a".to_owned(), Some(1)), ("b".to_owned(), Some(2)), ("a".to_owned(), Some(3))];
        assert_eq!(page(&all, None, 2), [(3, "a".to_owned()), (2, "b".to_owned())]);
    }
}
