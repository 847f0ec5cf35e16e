//! The log's entries. **What an entry does depends on the entries before it and on nothing else of this node**: not on its clock, not on
//! what it heard, not on how many users it may hold.

use super::change::Opening;
use super::session::Session;
use super::slab::{NIL, Slot};
use super::{Engine, fits};
use crate::cluster::{Act, Entry, Node};
use crate::{Activity, Effect, Effects, Now, Reason, Rejected, Tick, Timestamp};

impl Engine {
    /// Does what an entry of the log says, which [`Members`](crate::cluster::Members) let pass. Entries come in their order, each once.
    ///
    /// The effects are the same on every node, but for `last_seen` (others may have heard more) and the presences kept because of
    /// it: who carries out what is the callers' agreement.
    ///
    /// # Errors
    /// On `Err` nothing has changed, here and everywhere: the proposer may tell who asked.
    pub fn follow(&mut self, now: Now, entry: &Entry) -> Result<Effects, Rejected> {
        self.stand_at(Some(entry.seq));
        let effects = self.follow_here(now, entry);
        self.stand_at(None);
        effects
    }

    fn follow_here(&mut self, now: Now, entry: &Entry) -> Result<Effects, Rejected> {
        let mut effects = Effects::new();
        let out = &mut effects;
        let now = Now { tick: now.tick, wall: entry.wall };
        match &entry.act {
            Act::Evidence { user, session, after, activity } => {
                self.follow_evidence(now, entry, (user, session), *after, *activity, out)?;
            }
            Act::Claim { user, session, after, .. } if self.ended_after(*after, user, session) => {}
            Act::Claim { user, session, after: _, activity, last_evidence, remaining } => {
                let deadline = now.tick + (*remaining).min(self.policy.inactivity_timeout());
                self.follow_claim(now, entry, (user, session), *activity, *last_evidence, deadline, out)?;
            }
            Act::EndSession { user, session, reason } => self.end_session(now, user, session, *reason, out)?,
            Act::EndUser { user, reason } => self.end_user(now, user, *reason, out)?,
            Act::Set { user, status } => self.set(now, user, *status, out)?,
            Act::Override { user, source, status, ends_after } => {
                self.set_override(now, user, *source, *status, *ends_after, out)?;
            }
            Act::ClearOverride { user, source } => self.clear_override(now, user, *source, out)?,
            Act::Bar { user } => self.bar(now, user, out)?,
            Act::Unbar { user } => self.unbar(user)?,
            Act::Forget { user } => self.forget(now, user, out)?,
            Act::Expire { user, number, dropped, last_evidence, lateness } => {
                let found = self.look_up(user)?;
                let slot =
                    found.and_then(|user| self.session_slots(user).find(|&slot| self.sessions[slot].number == *number));
                if let (Some(user), Some(slot)) = (found, slot)
                    && self.owner_of(slot) == entry.node
                {
                    self.sessions[slot].last_evidence = *last_evidence;
                    self.saw(user, *last_evidence);
                    let reason = if *dropped { Reason::Disconnected } else { Reason::Expired };
                    let keep = self.close_silent(slot, out);
                    self.finish_late(now, user, reason, *lateness, keep, out);
                }
            }
            Act::EndTimer { user, source, set_at, lateness } => {
                if let Some(user) = self.look_up(user)?
                    && let Some(reason) = self.end_this(user, *source, *set_at, out)
                {
                    self.finish_late(now, user, reason, *lateness, false, out);
                }
            }
            Act::Joined | Act::Lost { .. } | Act::Heard { .. } | Act::Tick => {}
        }
        Ok(effects)
    }

    fn follow_evidence(
        &mut self,
        now: Now,
        entry: &Entry,
        (user, session): (&str, &str),
        after: u64,
        activity: Option<Activity>,
        out: &mut Effects,
    ) -> Result<(), Rejected> {
        if !fits(session) {
            return Err(Rejected::BadName);
        }
        let found = self.look_up(user)?;
        if found.is_some_and(|owner| self.users[owner].barred()) {
            return Err(Rejected::Barred);
        }
        // One that was opened again since then has been ended by nobody.
        let live = found.is_some_and(|owner| self.find_session(owner, session).is_some());
        if !live && self.ended_after(after, user, session) {
            return Err(Rejected::Ended);
        }
        let owner = found.unwrap_or_else(|| self.enter(now, user.into()));
        let mut reason = Reason::Activity;
        if self.end_held(owner, out) {
            reason = Reason::Evidence;
        }
        let save = if let Some(slot) = self.find_session(owner, session) {
            self.hand(now, slot, entry.node);
            self.hear_of(now, owner, slot);
            self.turn(owner, slot, activity).then(|| Effect::SaveSession(self.session_row(slot)))
        } else {
            reason = Reason::Evidence;
            let deadline = now.tick + self.policy.inactivity_timeout();
            let named = (session, activity.unwrap_or_default());
            let slot = self.open_of(now, entry, owner, named, now.wall, deadline, out);
            Some(Effect::OpenSession(self.session_row(slot)))
        };
        out.extend(save);
        self.show(now, owner, reason, None, out);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one claim")]
    fn follow_claim(
        &mut self,
        now: Now,
        entry: &Entry,
        (user, session): (&str, &str),
        activity: Activity,
        last_evidence: Timestamp,
        deadline: Tick,
        out: &mut Effects,
    ) -> Result<(), Rejected> {
        if !fits(session) {
            return Err(Rejected::BadName);
        }
        let owner = match self.look_up(user)? {
            Some(owner) if self.users[owner].barred() => return Err(Rejected::Barred),
            Some(owner) => owner,
            None => self.enter(now, user.into()),
        };
        let save = if let Some(slot) = self.find_session(owner, session) {
            self.hand(now, slot, entry.node);
            let session = &mut self.sessions[slot];
            session.last_evidence = session.last_evidence.max(last_evidence);
            self.saw(owner, last_evidence);
            self.turn(owner, slot, Some(activity)).then(|| Effect::SaveSession(self.session_row(slot)))
        } else {
            let slot = self.open_of(now, entry, owner, (session, activity), last_evidence, deadline, out);
            Some(Effect::OpenSession(self.session_row(slot)))
        };
        out.extend(save);
        self.show(now, owner, Reason::Evidence, None, out);
        Ok(())
    }

    /// The session is this node's from now on.
    fn hand(&mut self, now: Now, slot: Slot, node: Node) {
        if self.me == Some(node) { self.own(now, slot) } else { self.give(now, slot, node) }
    }

    /// The user was heard through this session, here or elsewhere.
    fn hear_of(&mut self, now: Now, owner: Slot, slot: Slot) {
        if self.sessions[slot].owned_by().is_none() {
            self.hear(now, owner, slot);
            return;
        }
        let session = &mut self.sessions[slot];
        session.last_evidence = session.last_evidence.max(now.wall);
        self.saw(owner, now.wall);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one session")]
    fn open_of(
        &mut self,
        now: Now,
        entry: &Entry,
        owner: Slot,
        (name, activity): (&str, Activity),
        last_evidence: Timestamp,
        deadline: Tick,
        out: &mut Effects,
    ) -> Slot {
        self.tidy_heard();
        // By number, which is the same everywhere: who was silent longest is not.
        while self.users[owner].session_count() >= usize::from(self.limits.sessions_per_user_max.max(1)) {
            let oldest = self.users[owner].first;
            if oldest == NIL {
                break;
            }
            self.close(oldest, out);
        }
        let number = entry.seq;
        let opening =
            Opening { name: name.into(), number, activity, opened_at: last_evidence, last_evidence, deadline };
        self.saw(owner, last_evidence);
        let session = Session::unarmed(owner, opening);
        if self.me == Some(entry.node) {
            return self.open(now, owner, session);
        }
        let slot = self.link(owner, session);
        self.give(now, slot, entry.node);
        slot
    }
}
