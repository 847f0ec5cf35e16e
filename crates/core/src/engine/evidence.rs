//! Evidence of life, and sessions that go. **A renewal moves a deadline and two times; it touches neither the wheel nor the allocator.**

use alloc::vec::Vec;

use super::change::Opening;
use super::session::{Session, is_part_of};
use super::slab::Slot;
use super::{Engine, fits};
use crate::{Activity, Effect, Effects, EndReason, Now, Reason, Rejected, SessionNumber, Timestamp};

impl Engine {
    /// The steady state: renews a live session whose activity stays and returns true. Returns false, having changed
    /// nothing, when more than that is needed ([`apply`](Self::apply) it then; in a cluster [`propose`](Self::propose) it: the
    /// session may be another node's, or about to end). Allocates nothing, has no effects.
    /// `activity: None` keeps the session's activity.
    pub fn renew(&mut self, now: Now, user: &str, session: &str, activity: Option<Activity>) -> bool {
        let Some(owner) = self.find(user) else { return false };
        if self.users[owner].rare.as_ref().is_some_and(|rare| rare.barred || rare.held.is_some()) {
            return false;
        }
        let Some(slot) = self.find_session(owner, session) else { return false };
        if !self.sessions[slot].marks.is_renewable() {
            return false;
        }
        if activity.is_some_and(|activity| activity != self.sessions[slot].activity) {
            return false;
        }
        self.hear(now, owner, slot);
        true
    }

    /// Hands over each session heard since the last call, once, with its last evidence, in no particular order.
    ///
    /// A session that ended in between is left out: its end was an effect.
    pub fn drain_evidence(&mut self, visitor: &mut dyn FnMut(SessionNumber, Timestamp)) {
        for &slot in &self.heard {
            if let Some(session) = self.sessions.get_mut(slot)
                && session.marks.take_heard()
            {
                visitor(session.number, session.last_evidence);
            }
        }
        self.heard.clear();
    }

    pub(super) fn evidence(
        &mut self,
        now: Now,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        out: &mut Effects,
    ) -> Result<(), Rejected> {
        if !fits(session) {
            return Err(Rejected::BadName);
        }
        let owner = match self.look_up(user)? {
            Some(owner) if self.users[owner].barred() => return Err(Rejected::Barred),
            Some(owner) => owner,
            None => {
                self.room()?;
                self.enter(now, user.into())
            }
        };
        let mut reason = Reason::Activity;
        if self.end_held(owner, out) {
            reason = Reason::Evidence;
        }
        let save = if let Some(slot) = self.find_session(owner, session) {
            self.own(now, slot);
            self.hear(now, owner, slot);
            self.turn(owner, slot, activity).then(|| Effect::SaveSession(self.session_row(slot)))
        } else {
            reason = Reason::Evidence;
            self.make_room_for_session(owner, out);
            let slot = self.open_new(now, owner, session, activity.unwrap_or_default());
            Some(Effect::OpenSession(self.session_row(slot)))
        };
        out.extend(save);
        self.show(now, owner, reason, None, out);
        Ok(())
    }

    pub(super) fn end_session(
        &mut self,
        now: Now,
        user: &str,
        session: &str,
        reason: EndReason,
        out: &mut Effects,
    ) -> Result<(), Rejected> {
        if !fits(session) {
            return Err(Rejected::BadName);
        }
        let Some(owner) = self.look_up(user)? else { return Ok(()) };
        let ending: Vec<Slot> =
            self.session_slots(owner).filter(|&slot| is_part_of(&self.sessions[slot].name, session)).collect();
        let mut keep = false;
        for slot in ending {
            keep |= self.close(slot, out);
        }
        // A tab that goes is not the person's goodbye: what an administrator set is left standing.
        let ends_held = reason != EndReason::Disconnected;
        self.after_end(now, owner, reason, ends_held, keep, out);
        Ok(())
    }

    pub(super) fn end_user(
        &mut self,
        now: Now,
        user: &str,
        reason: EndReason,
        out: &mut Effects,
    ) -> Result<(), Rejected> {
        let Some(owner) = self.look_up(user)? else { return Ok(()) };
        let keep = self.close_all(owner, out);
        self.after_end(now, owner, reason, true, keep, out);
        Ok(())
    }

    pub(super) fn drop_session(&mut self, now: Now, user: &str, session: &str) -> Result<(), Rejected> {
        if !fits(session) {
            return Err(Rejected::BadName);
        }
        let Some(owner) = self.look_up(user)? else { return Ok(()) };
        let Some(slot) = self.find_session(owner, session) else { return Ok(()) };
        if !self.sessions[slot].marks.is_renewable() {
            // The deadline of another node's session is that node's.
            return Ok(());
        }
        let deadline = now.tick + self.policy.reconnect_grace();
        if deadline < self.sessions[slot].deadline {
            let session = &mut self.sessions[slot];
            session.deadline = deadline;
            session.marks.drop_connection();
            // The entry would come up too late now.
            self.wheel.rearm(now.tick, &mut self.sessions, slot);
        }
        Ok(())
    }

    /// The user was heard through this session.
    pub(super) fn hear(&mut self, now: Now, owner: Slot, slot: Slot) {
        let deadline = now.tick + self.policy.inactivity_timeout();
        let clustered = self.me.is_some();
        let session = &mut self.sessions[slot];
        session.deadline = session.deadline.max(deadline);
        session.last_evidence = if clustered { session.last_evidence.max(now.wall) } else { now.wall };
        if session.marks.hear() {
            self.heard.push(slot);
        }
        self.saw(owner, now.wall);
    }

    /// The user was there at this moment. Of several nodes' clocks the latest counts: `last_seen` does not go back because a
    /// slower one speaks. A single node's clock is believed also when it steps back.
    pub(super) fn saw(&mut self, user: Slot, at: Timestamp) {
        let clustered = self.me.is_some();
        let user = &mut self.users[user];
        let at = if clustered { user.last_seen().map_or(at, |seen| seen.max(at)) } else { at };
        user.see(Some(at));
    }

    /// Gives a session this activity; true when that is a change.
    pub(super) fn turn(&mut self, owner: Slot, slot: Slot, activity: Option<Activity>) -> bool {
        let old = self.sessions[slot].activity;
        let Some(new) = activity.filter(|&new| new != old) else { return false };
        self.sessions[slot].activity = new;
        let owner = &mut self.users[owner];
        let count = owner.count_mut(old);
        *count = count.saturating_sub(1);
        *owner.count_mut(new) += 1;
        true
    }

    /// Ends the session that was silent longest when the user is at the limit: whoever opens too many hurts only themselves.
    pub(super) fn make_room_for_session(&mut self, owner: Slot, out: &mut Effects) {
        while self.users[owner].session_count() >= usize::from(self.limits.sessions_per_user_max.max(1)) {
            let silent = self.session_slots(owner).min_by_key(|&slot| {
                let session = &self.sessions[slot];
                (session.last_evidence, session.number)
            });
            let Some(silent) = silent else { return };
            self.close(silent, out);
        }
    }

    fn open_new(&mut self, now: Now, owner: Slot, name: &str, activity: Activity) -> Slot {
        self.tidy_heard();
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(self.number_step);
        let opening = Opening {
            name: name.into(),
            number,
            activity,
            opened_at: now.wall,
            last_evidence: now.wall,
            deadline: now.tick + self.policy.inactivity_timeout(),
        };
        self.saw(owner, now.wall);
        self.open(now, owner, Session::unarmed(owner, opening))
    }

    /// Drops entries of ended sessions when they outnumber the live ones: without a drain, churn must not make the list grow for ever.
    pub(super) fn tidy_heard(&mut self) {
        if self.heard.len() < 1024 || self.heard.len() / 2 < self.sessions.len() {
            return;
        }
        let sessions = &mut self.sessions;
        self.heard.retain(|&slot| sessions.get_mut(slot).is_some_and(|session| session.marks.take_heard()));
        for &slot in &self.heard {
            sessions[slot].marks.put_heard();
        }
    }

    /// What every end of sessions on somebody's word has in common.
    fn after_end(
        &mut self,
        now: Now,
        owner: Slot,
        reason: EndReason,
        ends_held: bool,
        mut keep: bool,
        out: &mut Effects,
    ) {
        if self.users[owner].session_count() == 0 {
            if ends_held {
                self.end_held(owner, out);
            }
            if reason != EndReason::ForcedLogout && !self.users[owner].barred() {
                keep |= self.users[owner].last_seen() != Some(now.wall);
                self.saw(owner, now.wall);
            }
        }
        let reason = match reason {
            EndReason::Logout => Reason::Logout,
            EndReason::Disconnected => Reason::Disconnected,
            EndReason::ForcedLogout => Reason::ForcedLogout,
        };
        self.finish(now, owner, reason, None, keep, out);
    }
}
