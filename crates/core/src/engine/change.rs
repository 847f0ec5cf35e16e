//! The small steps. **Only [`Engine::show`] changes what is shown, and only [`Engine::settle`] lets go of a user.**

use core::time::Duration;

use super::slab::{NIL, Slot};
use super::user::{Held, Standing, User};
use super::wheel::NOWHERE;
use super::{Ending, Engine, session::Session};
use crate::{
    Effect, Effects, Now, PresenceRow, Reason, Rejected, SessionRow, Source, Status, Tick, Timestamp, Transition,
    UserId,
};

impl Engine {
    /// Whether one more user fits.
    pub(super) fn room(&self) -> Result<(), Rejected> {
        if self.users.len() >= self.limits.users_max as usize || self.users.is_full() {
            return Err(Rejected::TooManyUsers);
        }
        Ok(())
    }

    /// Takes a user into memory who is not there, and for whom there is [`room`](Self::room).
    pub(super) fn enter(&mut self, now: Now, name: UserId) -> Slot {
        let hash = self.hash(&name);
        // Whoever decides now may have a slower clock than whoever decided that they were gone.
        let left = self.me.and_then(|_| self.left_at(&name));
        let since = left.map_or(now.wall, |left| now.wall.max(Timestamp(left.0.saturating_add(1))));
        let slot = self.users.insert(User::new(name, since, NIL));
        let (users, hasher) = (&self.users, &self.hasher);
        self.users_by_name
            .insert_unique(hash, slot, |&slot| core::hash::BuildHasher::hash_one(hasher, users[slot].name.as_str()));
        slot
    }

    /// Lets go of a user of whom nothing is left to remember.
    pub(super) fn settle(&mut self, user: Slot) {
        let held = &self.users[user];
        if held.session_count() == 0 && held.rare.is_none() && held.shown == Status::Offline {
            self.leave(user);
        }
    }

    /// Takes a user out of memory who has no sessions, no timers, and is shown offline.
    pub(super) fn leave(&mut self, user: Slot) {
        if self.me.is_some() {
            self.remember_left(user);
        }
        let hash = self.hash(&self.users[user].name);
        if let Ok(entry) = self.users_by_name.find_entry(hash, |&slot| slot == user) {
            entry.remove();
        }
        self.users.remove(user);
    }

    /// Adds a session at the young end and arms it. The caller has made room and shows the user afterwards.
    pub(super) fn open(&mut self, now: Now, user: Slot, session: Session) -> Slot {
        let slot = self.link(user, session);
        self.wheel.arm(now.tick, &mut self.sessions, slot);
        slot
    }

    /// Adds a session at the young end. The caller arms it, or gives it to the node that owns it.
    pub(super) fn link(&mut self, user: Slot, session: Session) -> Slot {
        let activity = session.activity;
        let slot = self.sessions.insert(session);
        let owner = &mut self.users[user];
        *owner.count_mut(activity) += 1;
        let youngest = owner.last;
        owner.last = slot;
        if youngest == NIL {
            owner.first = slot;
        } else {
            self.sessions[youngest].next = slot;
        }
        slot
    }

    /// Ends a session. The caller [finishes](Self::finish) the user afterwards, and keeps the presence when this returns
    /// true: the store has the user's last evidence with this session alone.
    pub(super) fn close(&mut self, slot: Slot, out: &mut Effects) -> bool {
        self.wheel.disarm(&mut self.sessions, slot);
        self.unlist(slot);
        let user = self.sessions[slot].user;
        let before = self.session_slots(user).take_while(|&other| other != slot).last().unwrap_or(NIL);
        let Some(session) = self.sessions.remove(slot) else { return false };
        let owner = &mut self.users[user];
        let count = owner.count_mut(session.activity);
        *count = count.saturating_sub(1);
        if owner.last == slot {
            owner.last = before;
        }
        if before == NIL {
            owner.first = session.next;
        } else {
            self.sessions[before].next = session.next;
        }
        if self.me.is_some() {
            self.remember_ended(user, &session.name);
        }
        let owner = &self.users[user];
        out.push(Effect::ForgetSession(owner.name.clone(), session.number));
        owner.last_seen() == Some(session.last_evidence)
    }

    /// Ends every session, oldest first; true when one [`close`](Self::close) was.
    pub(super) fn close_all(&mut self, user: Slot, out: &mut Effects) -> bool {
        let mut keep = false;
        while self.users[user].first != NIL {
            keep |= self.close(self.users[user].first, out);
        }
        keep
    }

    /// Ends the held status, if there is one.
    pub(super) fn end_held(&mut self, user: Slot, out: &mut Effects) -> bool {
        let Some(held) = self.users[user].held() else { return false };
        self.timers.remove(&(held.deadline, user, Ending::Held));
        self.users[user].set_held(None);
        out.push(Effect::ForgetHeld(self.users[user].name.clone()));
        true
    }

    /// Ends an override, if it stands.
    pub(super) fn end_override(&mut self, user: Slot, source: Source, out: &mut Effects) -> bool {
        if !self.take_override(user, source) {
            return false;
        }
        out.push(Effect::ForgetOverride(self.users[user].name.clone(), source));
        true
    }

    /// Ends an override without a word to the store: another takes its place, or everything is erased.
    pub(super) fn take_override(&mut self, user: Slot, source: Source) -> bool {
        let Some(standing) = self.users[user].standing(source) else { return false };
        if let Some(deadline) = standing.deadline {
            self.timers.remove(&(deadline, user, Ending::Override(source)));
        }
        self.users[user].set_standing(source, None);
        true
    }

    /// Lets a status hold in the place of another one, with its own deadline.
    pub(super) fn hold(&mut self, user: Slot, held: Held) {
        if let Some(old) = self.users[user].held() {
            self.timers.remove(&(old.deadline, user, Ending::Held));
        }
        self.timers.insert((held.deadline, user, Ending::Held));
        self.users[user].set_held(Some(held));
    }

    /// Lets an override stand in the place of another one of its source.
    pub(super) fn stand(&mut self, user: Slot, source: Source, standing: Standing) {
        self.take_override(user, source);
        if let Some(deadline) = standing.deadline {
            self.timers.insert((deadline, user, Ending::Override(source)));
        }
        self.users[user].set_standing(source, Some(standing));
    }

    /// Makes what is shown the merge of what is held, and announces it when that is a change.
    pub(super) fn show(&mut self, now: Now, user: Slot, reason: Reason, late: Option<Tick>, out: &mut Effects) -> bool {
        let (from, to) = (self.users[user].shown, self.users[user].merge());
        if from == to {
            return false;
        }
        self.recount(user, to);
        let clustered = self.me.is_some();
        let shown = &mut self.users[user];
        let mut at = now.wall;
        if clustered {
            // Whoever decided this may have a slower clock than whoever decided the last one.
            at = at.max(Timestamp(shown.since.0.saturating_add(i64::from(shown.since_known))));
        }
        shown.since = at;
        shown.since_known = true;
        let lateness: Option<Duration> = late.map(|deadline| now.tick - deadline);
        out.push(Effect::Announce(Transition {
            user: shown.name.clone(),
            from,
            to,
            at,
            last_seen: shown.last_seen(),
            reason,
            lateness,
        }));
        true
    }

    /// The end of what may have been the last of a user: [shows](Self::show) them, with `keep` has their presence kept even when
    /// nothing is announced, and lets go of them when nothing is left.
    pub(super) fn finish(
        &mut self,
        now: Now,
        user: Slot,
        reason: Reason,
        late: Option<Tick>,
        keep: bool,
        out: &mut Effects,
    ) {
        if !self.show(now, user, reason, late, out) && keep {
            let kept = &self.users[user];
            out.push(Effect::SavePresence(PresenceRow {
                user: kept.name.clone(),
                status: kept.shown,
                last_seen: kept.last_seen(),
                since: kept.since,
            }));
        }
        self.settle(user);
    }

    /// Changes the shown status and the counts with it.
    pub(super) fn recount(&mut self, user: Slot, to: Status) {
        let from = core::mem::replace(&mut self.users[user].shown, to);
        match from {
            Status::Online => self.online -= 1,
            Status::Away => self.away -= 1,
            Status::Offline => {}
        }
        match to {
            Status::Online => self.online += 1,
            Status::Away => self.away += 1,
            Status::Offline => {}
        }
    }

    /// The row of a live session.
    pub(super) fn session_row(&self, slot: Slot) -> SessionRow {
        let session = &self.sessions[slot];
        SessionRow {
            number: session.number,
            user: self.users[session.user].name.clone(),
            session: session.name.clone(),
            activity: session.activity,
            opened_at: session.opened_at,
            last_evidence: session.last_evidence,
        }
    }
}

impl Session {
    /// A session that is not armed yet and belongs to the end of its user's list.
    pub(super) fn unarmed(user: Slot, row: Opening) -> Self {
        let Opening { name, number, activity, opened_at, last_evidence, deadline } = row;
        Self {
            name,
            number,
            deadline,
            opened_at,
            last_evidence,
            user,
            next: NIL,
            armed: NOWHERE,
            place: 0,
            activity,
            marks: super::session::Marks::default(),
        }
    }
}

/// What is known of a session when it opens.
pub(super) struct Opening {
    pub(super) name: crate::SessionId,
    pub(super) number: crate::SessionNumber,
    pub(super) activity: crate::Activity,
    pub(super) opened_at: Timestamp,
    pub(super) last_evidence: Timestamp,
    pub(super) deadline: Tick,
}
