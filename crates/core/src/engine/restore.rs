//! What was known before a restart. **Silence counts only while somebody listens: a restored session has the rest of its timeout before it.**

use super::change::Opening;
use super::session::Session;
use super::user::{Held, Standing};
use super::{Engine, Slot, fits};
use crate::{
    Effect, Effects, Now, Reason, Rejected, RestoredOverride, RestoredSession, RestoredUser, Status, Transition, UserId,
};

impl Engine {
    pub(super) fn restore(&mut self, now: Now, mut user: RestoredUser, out: &mut Effects) -> Result<(), Rejected> {
        user.held = user.held.filter(|(status, _)| *status != Status::Offline);
        if let Some(slot) = self.look_up(&user.user)? {
            if self.users[slot].barred() && !self.users[slot].since_known {
                self.restore_barred(now, slot, user, out);
            }
            return Ok(());
        }
        if user.sessions.is_empty() && user.overrides.is_empty() && user.held.is_none() {
            if user.status != Status::Offline {
                out.push(gone(now, user.user, user.status, user.last_seen, Reason::Expired));
            }
            return Ok(());
        }
        self.room()?;
        let RestoredUser { user: name, status, last_seen, since, sessions, overrides, held } = user;
        let slot = self.enter(now, name);
        let restored = &mut self.users[slot];
        restored.see(last_seen);
        restored.since = since;
        restored.since_known = true;
        self.restore_sessions(now, slot, sessions, out);
        for standing in overrides {
            self.restore_override(now, slot, &standing);
        }
        if let Some((status, remaining)) = held {
            let deadline = now.tick + remaining.min(self.policy.inactivity_timeout());
            self.hold(slot, Held { status, set_at: since, deadline });
        }
        self.recount(slot, status);
        let reason = if self.users[slot].rare.is_none() && self.users[slot].session_count() == 0 {
            Reason::Expired
        } else {
            Reason::Mended
        };
        self.finish(now, slot, reason, None, false, out);
        Ok(())
    }

    fn restore_sessions(
        &mut self,
        now: Now,
        user: Slot,
        mut sessions: alloc::vec::Vec<RestoredSession>,
        out: &mut Effects,
    ) {
        // Numbers are given in the order of opening; the wall clock may have stepped between two openings.
        sessions.sort_by_key(|session| session.number);
        for RestoredSession { number, session: name, activity, opened_at, last_evidence, remaining } in sessions {
            if !fits(&name) || self.find_session(user, &name).is_some() {
                out.push(Effect::ForgetSession(self.users[user].name.clone(), number));
                continue;
            }
            self.make_room_for_session(user, out);
            let deadline = now.tick + remaining.min(self.policy.inactivity_timeout());
            let opening = Opening { name, number, activity, opened_at, last_evidence, deadline };
            self.open(now, user, Session::unarmed(user, opening));
        }
    }

    fn restore_override(&mut self, now: Now, user: Slot, restored: &RestoredOverride) {
        let &RestoredOverride { source, status, set_at, ends_at, ends_after } = restored;
        let deadline = ends_after.map(|length| now.tick + length);
        self.stand(user, source, Standing { status, set_at, ends_at, deadline });
    }

    /// The account was barred while nobody listened: what the store still has of the user ends.
    fn restore_barred(&mut self, now: Now, slot: Slot, user: RestoredUser, out: &mut Effects) {
        out.extend(user.sessions.iter().map(|session| Effect::ForgetSession(user.user.clone(), session.number)));
        if user.held.is_some() {
            out.push(Effect::ForgetHeld(user.user.clone()));
        }
        out.extend(user.overrides.iter().map(|standing| Effect::ForgetOverride(user.user.clone(), standing.source)));
        let barred = &mut self.users[slot];
        barred.see(user.last_seen);
        barred.since = user.since;
        barred.since_known = true;
        if user.status != Status::Offline {
            barred.since = now.wall;
            out.push(gone(now, user.user, user.status, user.last_seen, Reason::Barred));
        }
    }
}

/// The announcement that a user who was shown is not any more.
fn gone(now: Now, user: UserId, from: Status, last_seen: Option<crate::Timestamp>, reason: Reason) -> Effect {
    Effect::Announce(Transition { user, from, to: Status::Offline, at: now.wall, last_seen, reason, lateness: None })
}
