//! Giving one's state to a node that joins, and taking it up. **A copy decides from then on what every other node decides**; only what a session's
//! owner keeps to itself (its exact last evidence, its deadline) begins anew.

use super::change::Opening;
use super::session::Session;
use super::slab::Slot;
use super::user::{Held, Standing};
use super::{Engine, nodes};
use crate::cluster::{Act, HeldState, OverrideState, SessionState, UserState};
use crate::{
    Effect, Effects, HeldRow, Now, OverrideRow, PresenceRow, Reason, SessionNumber, Source, Status, Tick, Timestamp,
    Transition, UserId,
};

impl Engine {
    /// Visits the states of users in memory in the order of their slots, `limit` slots from `from`; returns where to go on.
    pub fn visit_states(
        &self,
        now: Now,
        from: usize,
        limit: usize,
        visitor: &mut dyn FnMut(UserState),
    ) -> Option<usize> {
        let end = from.saturating_add(limit).min(self.users.slots());
        for slot in from..end {
            if self.users.get(slot as Slot).is_some() {
                visitor(self.state(now, slot as Slot));
            }
        }
        (end < self.users.slots()).then_some(end.max(from))
    }

    fn state(&self, now: Now, slot: Slot) -> UserState {
        let user = &self.users[slot];
        let sessions = self.session_slots(slot).map(|slot| {
            let session = &self.sessions[slot];
            SessionState {
                number: session.number,
                session: session.name.clone(),
                activity: session.activity,
                opened_at: session.opened_at,
                last_evidence: session.last_evidence,
                owner: self.owner_of(slot),
            }
        });
        let overrides = Source::ALL.into_iter().filter_map(|source| {
            let Standing { status, set_at, ends_at, deadline } = user.standing(source)?;
            let remaining = deadline.map(|deadline| deadline - now.tick);
            Some(OverrideState { source, status, set_at, ends_at, remaining })
        });
        UserState {
            user: user.name.clone(),
            last_seen: user.last_seen(),
            since: user.since,
            since_known: user.since_known,
            barred: user.barred(),
            sessions: sessions.collect(),
            overrides: overrides.collect(),
            held: user.held().map(|held| HeldState {
                status: held.status,
                set_at: held.set_at,
                remaining: held.deadline - now.tick,
            }),
        }
    }

    /// Takes up a user of a copy, who is not in memory.
    pub fn load(&mut self, now: Now, state: UserState) {
        let UserState { user, last_seen, since, since_known, barred, sessions, overrides, held } = state;
        if self.find(&user).is_some() {
            return;
        }
        let slot = self.enter(now, user);
        let loaded = &mut self.users[slot];
        loaded.see(last_seen);
        loaded.since = since;
        loaded.since_known = since_known;
        if barred {
            loaded.set_barred(true);
        }
        for SessionState { number, session: name, activity, opened_at, last_evidence, owner } in sessions {
            let deadline = now.tick + self.policy.inactivity_timeout();
            let opening = Opening { name, number, activity, opened_at, last_evidence, deadline };
            let session = Session::unarmed(slot, opening);
            if self.me == Some(owner) {
                self.open(now, slot, session);
            } else {
                let session = self.link(slot, session);
                self.give(now, session, owner);
            }
        }
        for OverrideState { source, status, set_at, ends_at, remaining } in overrides {
            let deadline = remaining.map(|remaining| now.tick + remaining);
            self.stand(slot, source, Standing { status, set_at, ends_at, deadline });
        }
        if let Some(HeldState { status, set_at, remaining }) = held {
            self.hold(slot, Held { status, set_at, deadline: now.tick + remaining });
        }
        let shown = self.users[slot].merge();
        self.recount(slot, shown);
    }

    /// What a store is to have of a user in memory: for whoever cannot tell what it was given of them.
    #[must_use]
    pub fn rows(&self, user: &str) -> Effects {
        let Some(slot) = self.find(user) else { return Effects::new() };
        let user = &self.users[slot];
        let name = || user.name.clone();
        let sessions = self.session_slots(slot).map(|slot| Effect::SaveSession(self.session_row(slot)));
        let overrides = Source::ALL.into_iter().filter_map(|source| {
            let Standing { status, set_at, ends_at, .. } = user.standing(source)?;
            Some(Effect::SaveOverride(OverrideRow { user: name(), source, status, set_at, ends_at }))
        });
        let held = user
            .held()
            .map(|held| Effect::SaveHeld(HeldRow { user: name(), status: held.status, set_at: held.set_at }));
        let (status, last_seen, since) = (user.shown, user.last_seen(), user.since);
        let presence = Effect::SavePresence(PresenceRow { user: name(), status, last_seen, since });
        sessions.chain(overrides).chain(held).chain([presence]).collect()
    }

    /// Claims for what only this node can know and the `copy`, which is to succeed it, does not: its own sessions that it heard since
    /// the moment `since`, when it was surely a member for the last time, and those of whose opening the others `know` nothing. None
    /// for a session that ended on somebody's word `after` the last place that this node had followed, or is its own in the copy
    /// too. The time since `since` counts as no silence.
    pub fn claims(
        &self,
        since: Tick,
        after: u64,
        copy: &Self,
        know: &dyn Fn(SessionNumber) -> bool,
        visitor: &mut dyn FnMut(Act),
    ) {
        let timeout = self.policy.inactivity_timeout();
        for slot in 0..self.users.slots() {
            let Some(user) = self.users.get(slot as Slot) else { continue };
            for slot in self.session_slots(slot as Slot) {
                let session = &self.sessions[slot];
                let there = copy.find(&user.name).and_then(|user| copy.find_session(user, &session.name));
                if !session.marks.is_renewable()
                    || there.is_some_and(|slot| Some(copy.owner_of(slot)) == copy.me)
                    || copy.ended_after(after, &user.name, &session.name)
                {
                    continue;
                }
                let left = session.deadline - since;
                let known = if session.number < nodes::LOCAL {
                    know(session.number)
                } else {
                    !self.opened_alone(session.number)
                };
                if left >= timeout || there.is_none() && !known {
                    visitor(Act::Claim {
                        user: user.name.clone(),
                        session: session.name.clone(),
                        after,
                        activity: session.activity,
                        last_evidence: session.last_evidence,
                        remaining: left.min(timeout),
                    });
                }
            }
        }
    }

    /// This engine takes the place of `old`: the effects are what differs. What is this node's own in both has the silence left that it
    /// had at the moment `since`, as for its [claims](Self::claims).
    pub fn succeed(&mut self, now: Now, since: Tick, old: Self) -> Effects {
        let mut out = Effects::new();
        while self.adopt(now, usize::MAX) {}
        for slot in 0..old.users.slots() as Slot {
            let Some(user) = old.users.get(slot) else { continue };
            for session in old.session_slots(slot).map(|slot| &old.sessions[slot]) {
                if session.number >= nodes::LOCAL && !self.has(&user.name, session.number) {
                    out.push(Effect::ForgetSession(user.name.clone(), session.number));
                }
                if session.owned_by().is_none() {
                    self.inherit(now, since, &user.name, session);
                }
            }
            if self.find(&user.name).is_none() {
                tell(user.name.clone(), user.shown, (Status::Offline, now.wall, user.last_seen()), &mut out);
            }
        }
        for slot in 0..self.users.slots() as Slot {
            let Some(user) = self.users.get(slot) else { continue };
            let from = old.find(&user.name).map_or(Status::Offline, |slot| old.users[slot].shown);
            tell(user.name.clone(), from, (user.shown, user.since, user.last_seen()), &mut out);
        }
        out
    }

    fn has(&self, user: &str, number: SessionNumber) -> bool {
        let mut sessions = self.find(user).into_iter().flat_map(|user| self.session_slots(user));
        sessions.any(|slot| self.sessions[slot].number == number)
    }

    fn inherit(&mut self, now: Now, since: Tick, user: &str, old: &Session) {
        let Some(owner) = self.find(user) else { return };
        let Some(slot) = self.find_session(owner, &old.name) else { return };
        let left = (old.deadline - since).min(self.policy.inactivity_timeout());
        let session = &mut self.sessions[slot];
        session.last_evidence = session.last_evidence.max(old.last_evidence);
        if session.owned_by().is_none() {
            session.deadline = now.tick + left;
            if session.marks.hear() {
                self.heard.push(slot);
            }
            if old.marks.is_dropped() {
                session.marks.drop_connection();
            }
            // The entry would come up too late now.
            self.wheel.rearm(now.tick, &mut self.sessions, slot);
        }
        self.saw(owner, old.last_evidence);
    }
}

/// Announces that somebody is shown otherwise than before, if they are.
fn tell(user: UserId, from: Status, (to, at, last_seen): (Status, Timestamp, Option<Timestamp>), out: &mut Effects) {
    if from != to {
        let reason = Reason::Mended;
        out.push(Effect::Announce(Transition { user, from, to, at, last_seen, reason, lateness: None }));
    }
}
