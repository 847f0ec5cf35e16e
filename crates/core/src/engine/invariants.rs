//! What must be true between two calls.

use std::collections::BTreeSet;
use std::vec::Vec;

use super::slab::NIL;
use super::{Ending, Engine};
use crate::{Source, Status};

impl Engine {
    /// How long the list of sessions heard is.
    pub(crate) fn heard_len(&self) -> usize {
        self.heard.len()
    }

    /// Panics unless the engine is consistent.
    pub(crate) fn check_invariants(&self) {
        let (mut online, mut away, mut sessions) = (0, 0, BTreeSet::new());
        let mut timers = BTreeSet::new();
        for (slot, user) in (0..self.users.slots() as u32).filter_map(|slot| Some((slot, self.users.get(slot)?))) {
            assert_eq!(self.find(&user.name), Some(slot), "{} is not found", user.name);
            assert_eq!(user.shown, user.merge(), "{} is not shown as merged", user.name);
            online += u64::from(user.shown == Status::Online);
            away += u64::from(user.shown == Status::Away);
            let mine: Vec<_> = self.session_slots(slot).collect();
            assert_eq!(mine.len(), user.session_count());
            assert_eq!(mine.last().copied().unwrap_or(NIL), user.last);
            // What a node opened on its own has a high number, and may be followed by what the log opens.
            let sorted = self.me.is_some() || mine.is_sorted_by_key(|&slot| self.sessions[slot].number);
            assert!(sorted, "{}: not oldest first", user.name);
            assert!(mine.iter().all(|&session| self.sessions[session].user == slot));
            let idle = mine.iter().filter(|&&slot| self.sessions[slot].activity.status() == Status::Away).count();
            assert_eq!(idle, usize::from(user.idle));
            assert!(user.rare.is_some() || !mine.is_empty(), "{} is in memory for nothing", user.name);
            assert!(!user.barred() || mine.is_empty() && user.held().is_none(), "{} is barred and present", user.name);
            sessions.extend(mine);
            timers.extend(user.held().map(|held| (held.deadline, slot, Ending::Held)));
            timers.extend(
                Source::ALL
                    .into_iter()
                    .filter_map(|source| Some((user.standing(source)?.deadline?, slot, Ending::Override(source)))),
            );
        }
        assert_eq!((self.online, self.away), (online, away));
        assert_eq!(self.users_by_name.len(), self.users.len());
        assert_eq!(self.sessions.len(), sessions.len(), "a session has no user");
        assert_eq!(self.timers, timers);
        let (others, own): (Vec<u32>, Vec<u32>) =
            sessions.into_iter().partition(|&slot| self.sessions[slot].owned_by().is_some());
        assert_eq!(self.wheel.entries(), (own.len(), own.len()), "every live session of its own is armed exactly once");
        for &slot in &own {
            self.wheel.check(&self.sessions, slot);
        }
        for slot in others.iter().chain(&own).copied() {
            assert!(!self.sessions[slot].marks.is_heard() || self.heard.contains(&slot));
        }
        self.check_others(&others);
    }
}
