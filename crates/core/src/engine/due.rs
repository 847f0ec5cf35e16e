//! Time passing on one of several nodes. **What is past its deadline is proposed, not ended**: the log may know that it was heard elsewhere.

use alloc::vec::Vec;
use core::time::Duration;

use super::wheel::Found;
use super::{Ending, Engine, Slot};
use crate::cluster::Act;
use crate::{Effects, Now, Reason, Source, Tick, Timestamp};

/// A proposal that came to nothing (its node was no member at that moment) is made again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Engine {
    /// Proposals for what is past its deadline, looking at no more than `limit` things; call again while
    /// [`next_due`](Self::next_due) is. The ends of overrides and held statuses are the leader's to propose.
    pub fn due(&mut self, now: Now, leads: bool, limit: usize) -> Vec<Act> {
        let mut acts = Vec::new();
        for _ in 0..limit {
            let timer = self.timers.first().map(|&(deadline, ..)| deadline).filter(|_| leads);
            match self.wheel.look(now.tick, timer, &mut self.sessions) {
                Found::Rearmed => {}
                Found::Expired(slot) => acts.push(self.propose_end(now, slot)),
                Found::Timer => acts.extend(self.propose_timer(now)),
                Found::Nothing => break,
            }
        }
        acts
    }

    /// No later than this [`due`](Self::due) has something to propose. May be early, never late.
    #[must_use]
    pub fn next_due(&self, leads: bool) -> Option<Tick> {
        let timer = self.timers.first().map(|&(deadline, ..)| deadline).filter(|_| leads);
        timer.into_iter().chain(self.wheel.next()).min()
    }

    fn propose_end(&mut self, now: Now, slot: Slot) -> Act {
        let session = &mut self.sessions[slot];
        let lateness = now.tick - session.deadline;
        session.marks.end();
        session.deadline = now.tick + AGAIN_AFTER;
        let act = Act::Expire {
            user: self.users[session.user].name.clone(),
            number: session.number,
            dropped: session.marks.is_dropped(),
            last_evidence: session.last_evidence,
            lateness,
        };
        self.wheel.arm(now.tick, &mut self.sessions, slot);
        act
    }

    fn propose_timer(&mut self, now: Now) -> Option<Act> {
        let (deadline, user, ending) = self.timers.pop_first()?;
        let again = now.tick + AGAIN_AFTER;
        self.timers.insert((again, user, ending));
        let name = self.users[user].name.clone();
        let (source, set_at) = match ending {
            Ending::Override(source) => {
                let mut standing = self.users[user].standing(source)?;
                standing.deadline = Some(again);
                self.users[user].set_standing(source, Some(standing));
                (Some(source), standing.set_at)
            }
            Ending::Held => {
                let mut held = self.users[user].held()?;
                held.deadline = again;
                self.users[user].set_held(Some(held));
                (None, held.set_at)
            }
        };
        Some(Act::EndTimer { user: name, source, set_at, lateness: now.tick - deadline })
    }

    /// [`finish`](Self::finish) of what another node noticed so late.
    pub(super) fn finish_late(
        &mut self,
        now: Now,
        user: Slot,
        reason: Reason,
        lateness: Duration,
        keep: bool,
        out: &mut Effects,
    ) {
        let micros = u64::try_from(lateness.as_micros()).unwrap_or(u64::MAX);
        self.finish(now, user, reason, Some(Tick(now.tick.0.saturating_sub(micros))), keep, out);
    }

    /// Ends the override, or the held status, that was set at this moment, if it still stands.
    pub(super) fn end_this(
        &mut self,
        user: Slot,
        source: Option<Source>,
        set_at: Timestamp,
        out: &mut Effects,
    ) -> Option<Reason> {
        match source {
            Some(source) if self.users[user].standing(source).is_some_and(|standing| standing.set_at == set_at) => {
                self.end_override(user, source, out).then_some(Reason::OverrideEnded)
            }
            None if self.users[user].held().is_some_and(|held| held.set_at == set_at) => {
                self.end_held(user, out).then_some(Reason::Expired)
            }
            _ => None,
        }
    }
}
