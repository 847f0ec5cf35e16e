//! Time passing. **Nothing ends before its deadline, and things end in the order of their deadlines, sessions before timers of the same moment.**

use super::wheel::Found;
use super::{Ending, Engine, Slot};
use crate::{Effects, Now, Reason, Tick};

impl Engine {
    /// The wall clock stepped against the tick. An override ends at the wall time that it shows, whatever the clock did: its deadline moves.
    pub fn wall_stepped(&mut self, now: Now) {
        let timers: alloc::vec::Vec<_> = self.timers.iter().copied().collect();
        for (deadline, user, ending) in timers {
            let Ending::Override(source) = ending else { continue };
            let Some(mut standing) = self.users[user].standing(source) else { continue };
            let Some(ends_at) = standing.ends_at else { continue };
            let moved = now.tick + ends_at.since(now.wall);
            standing.deadline = Some(moved);
            self.users[user].set_standing(source, Some(standing));
            self.timers.remove(&(deadline, user, ending));
            self.timers.insert((moved, user, ending));
        }
    }

    /// Ends what is past its deadline, at most `limit` things; call again while [`next_deadline`](Self::next_deadline) is due.
    ///
    /// What is looked at and lives on counts too, so the time that one call takes is bounded by `limit`.
    pub fn sweep(&mut self, now: Now, limit: usize) -> Effects {
        let mut out = Effects::new();
        for _ in 0..limit {
            let timer = self.timers.first().map(|&(deadline, ..)| deadline);
            match self.wheel.look(now.tick, timer, &mut self.sessions) {
                Found::Rearmed => {}
                Found::Expired(slot) => self.expire(now, slot, &mut out),
                Found::Timer => self.end_timer(now, &mut out),
                Found::Nothing => break,
            }
        }
        out
    }

    /// No later than this [`sweep`](Self::sweep) is due. May be early, never late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let timer = self.timers.first().map(|&(deadline, ..)| deadline);
        timer.into_iter().chain(self.wheel.next()).min()
    }

    fn expire(&mut self, now: Now, slot: Slot, out: &mut Effects) {
        let session = &self.sessions[slot];
        let (user, deadline) = (session.user, session.deadline);
        let reason = if session.marks.is_dropped() { Reason::Disconnected } else { Reason::Expired };
        let keep = self.close(slot, out);
        self.finish(now, user, reason, Some(deadline), keep, out);
    }

    fn end_timer(&mut self, now: Now, out: &mut Effects) {
        let Some((deadline, user, ending)) = self.timers.pop_first() else { return };
        let reason = match ending {
            Ending::Override(source) => {
                self.end_override(user, source, out);
                Reason::OverrideEnded
            }
            Ending::Held => {
                self.end_held(user, out);
                Reason::Expired
            }
        };
        self.finish(now, user, reason, Some(deadline), false, out);
    }
}
