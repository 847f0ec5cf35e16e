//! What waits to be kept, conflated. **At most one row a key, the newest**, so a store that is away costs memory by users and not by time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use presently_core::{
    Effect, HeldRow, OverrideRow, PresenceRow, SessionNumber, SessionRow, Source, Transition, UserId,
};

use crate::queue::Keep;
use crate::store::{Audience, Batch, TransitionRow, VeilRow};
use crate::veil::Deed;
use crate::watch::Turn;

/// A [`Batch`] in the making.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    erased: BTreeSet<UserId>,
    presences: BTreeMap<UserId, PresenceRow>,
    sessions: BTreeMap<SessionNumber, SessionRow>,
    ended_sessions: BTreeSet<SessionNumber>,
    overrides: BTreeMap<(UserId, Source), OverrideRow>,
    ended_overrides: BTreeSet<(UserId, Source)>,
    held: BTreeMap<UserId, HeldRow>,
    ended_held: BTreeSet<UserId>,
    veils: BTreeMap<UserId, VeilRow>,
    ended_veils: BTreeSet<UserId>,
    transitions: VecDeque<TransitionRow>,
}

/// What is to be told.
#[derive(Debug)]
pub(crate) enum Tiding {
    /// To these.
    Transition(Transition, Audience),
    /// Nothing remains of this user.
    Erased(UserId),
    /// The numbers mean something else.
    Turn(Turn),
}

impl Gather {
    /// Ended sessions remembered at most. One that is dropped comes back at a restart with its old evidence, and expires.
    const ENDED_SESSIONS_MAX: usize = 1_000_000;

    /// Takes up one deed; returns what is to be told.
    pub(crate) fn absorb(&mut self, deed: Deed, keep: Keep) -> Option<Tiding> {
        if keep == Keep::Nothing {
            return tiding(deed);
        }
        let effect = match deed {
            Deed::Turn(turn) => return Some(Tiding::Turn(turn)),
            Deed::Effect(Effect::Announce(transition)) => {
                return Some(self.announce(transition, Audience::Everybody, keep));
            }
            Deed::Announce(transition, audience) => return Some(self.announce(transition, audience, keep)),
            Deed::Effect(effect) => effect,
            Deed::Veil(row) => {
                self.save_veil(row);
                return None;
            }
            Deed::Unveil(user) => {
                self.end_veil(user);
                return None;
            }
        };
        match effect {
            Effect::Announce(transition) => return Some(self.announce(transition, Audience::Everybody, keep)),
            Effect::SavePresence(row) => self.save_presence(row),
            Effect::SaveSession(row) => self.save_session(row),
            Effect::ForgetSession(number) => self.end_session(number),
            Effect::SaveOverride(row) => self.save_override(row),
            Effect::ForgetOverride(user, source) => self.end_override((user, source)),
            Effect::SaveHeld(row) => self.save_held(row),
            Effect::ForgetHeld(user) => self.end_held(user),
            Effect::Erase(user) => {
                self.erase(user.clone());
                return Some(Tiding::Erased(user));
            }
        }
        None
    }

    /// Takes up what was decided after all that is here, in the order in which a store applies it.
    pub(crate) fn absorb_batch(&mut self, later: Batch) {
        later.erased.into_iter().for_each(|user| self.erase(user));
        later.presences.into_iter().for_each(|row| self.save_presence(row));
        later.sessions.into_iter().for_each(|row| self.save_session(row));
        later.ended_sessions.into_iter().for_each(|number| self.end_session(number));
        later.overrides.into_iter().for_each(|row| self.save_override(row));
        later.ended_overrides.into_iter().for_each(|key| self.end_override(key));
        later.held.into_iter().for_each(|row| self.save_held(row));
        later.ended_held.into_iter().for_each(|user| self.end_held(user));
        later.veils.into_iter().for_each(|row| self.save_veil(row));
        later.ended_veils.into_iter().for_each(|user| self.end_veil(user));
        self.transitions.extend(later.transitions);
    }

    /// Hands over everything and is empty afterwards.
    pub(crate) fn take(&mut self) -> Batch {
        let Self {
            erased,
            presences,
            sessions,
            ended_sessions,
            overrides,
            ended_overrides,
            held,
            ended_held,
            veils,
            ended_veils,
            transitions,
        } = std::mem::take(self);
        Batch {
            erased: erased.into_iter().collect(),
            presences: presences.into_values().collect(),
            sessions: sessions.into_values().collect(),
            ended_sessions: ended_sessions.into_iter().collect(),
            overrides: overrides.into_values().collect(),
            ended_overrides: ended_overrides.into_iter().collect(),
            held: held.into_values().collect(),
            ended_held: ended_held.into_iter().collect(),
            veils: veils.into_values().collect(),
            ended_veils: ended_veils.into_iter().collect(),
            transitions: transitions.into(),
        }
    }

    /// Drops the oldest history lines beyond `limit`; returns how many.
    pub(crate) fn shorten_history(&mut self, limit: usize) -> u64 {
        let surplus = self.transitions.len().saturating_sub(limit);
        self.transitions.drain(..surplus);
        surplus as u64
    }

    pub(crate) fn rows(&self) -> usize {
        self.presences.len()
            + self.sessions.len()
            + self.ended_sessions.len()
            + self.overrides.len()
            + self.ended_overrides.len()
            + self.held.len()
            + self.ended_held.len()
            + self.veils.len()
            + self.ended_veils.len()
            + self.erased.len()
            + self.transitions.len()
    }

    fn save_presence(&mut self, mut row: PresenceRow) {
        if let Some(older) = self.presences.get(&row.user) {
            row.last_seen = row.last_seen.or(older.last_seen);
        }
        self.presences.insert(row.user.clone(), row);
    }

    fn save_session(&mut self, row: SessionRow) {
        // Numbers are never used twice: one that ended stays ended.
        if !self.ended_sessions.contains(&row.number) {
            self.sessions.insert(row.number, row);
        }
    }

    fn end_session(&mut self, number: SessionNumber) {
        self.sessions.remove(&number);
        self.ended_sessions.insert(number);
        if self.ended_sessions.len() > Self::ENDED_SESSIONS_MAX {
            self.ended_sessions.pop_first();
        }
    }

    fn save_override(&mut self, row: OverrideRow) {
        let key = (row.user.clone(), row.source);
        self.ended_overrides.remove(&key);
        self.overrides.insert(key, row);
    }

    fn end_override(&mut self, key: (UserId, Source)) {
        self.overrides.remove(&key);
        self.ended_overrides.insert(key);
    }

    fn save_held(&mut self, row: HeldRow) {
        self.ended_held.remove(&row.user);
        self.held.insert(row.user.clone(), row);
    }

    fn end_held(&mut self, user: UserId) {
        self.held.remove(&user);
        self.ended_held.insert(user);
    }

    fn save_veil(&mut self, row: VeilRow) {
        self.ended_veils.remove(&row.user);
        self.veils.insert(row.user.clone(), row);
    }

    fn end_veil(&mut self, user: UserId) {
        self.veils.remove(&user);
        self.ended_veils.insert(user);
    }

    fn announce(&mut self, transition: Transition, audience: Audience, keep: Keep) -> Tiding {
        // What is kept as the user's presence is the truth.
        if audience != Audience::Others {
            self.save_presence(row_of(&transition));
        }
        if keep == Keep::All {
            self.transitions.push_back(line_of(&transition, audience));
        }
        Tiding::Transition(transition, audience)
    }

    fn erase(&mut self, user: UserId) {
        self.presences.remove(&user);
        self.sessions.retain(|_, row| row.user != user);
        for source in Source::ALL {
            let key = (user.clone(), source);
            self.overrides.remove(&key);
            self.ended_overrides.remove(&key);
        }
        self.held.remove(&user);
        self.ended_held.remove(&user);
        self.veils.remove(&user);
        self.ended_veils.remove(&user);
        self.transitions.retain(|line| line.user != user);
        self.erased.insert(user);
    }
}

/// What is to be told of a deed that another node keeps.
fn tiding(deed: Deed) -> Option<Tiding> {
    match deed {
        Deed::Effect(Effect::Announce(transition)) => Some(Tiding::Transition(transition, Audience::Everybody)),
        Deed::Announce(transition, audience) => Some(Tiding::Transition(transition, audience)),
        Deed::Effect(Effect::Erase(user)) => Some(Tiding::Erased(user)),
        Deed::Turn(turn) => Some(Tiding::Turn(turn)),
        Deed::Effect(_) | Deed::Veil(_) | Deed::Unveil(_) => None,
    }
}

/// The row that an announced transition leaves in the store.
pub(crate) fn row_of(transition: &Transition) -> PresenceRow {
    PresenceRow {
        user: transition.user.clone(),
        status: transition.to,
        last_seen: transition.last_seen,
        since: transition.at,
    }
}

fn line_of(transition: &Transition, audience: Audience) -> TransitionRow {
    TransitionRow {
        user: transition.user.clone(),
        from: transition.from,
        to: transition.to,
        at: transition.at,
        last_seen: transition.last_seen,
        reason: transition.reason,
        audience,
    }
}

#[cfg(test)]
mod tests {
    use presently_core::{Activity, Reason, Status, Timestamp};

    use super::*;

    fn announce(user: &str, to: Status, second: i64, last_seen: Option<i64>) -> Effect {
        Effect::Announce(Transition {
            user: user.into(),
            from: Status::Offline,
            to,
            at: Timestamp(second),
            last_seen: last_seen.map(Timestamp),
            reason: Reason::Evidence,
            lateness: None,
        })
    }

    fn session(number: u64, user: &str) -> Effect {
        Effect::SaveSession(SessionRow {
            number,
            user: user.into(),
            session: "tab".into(),
            activity: Activity::Active,
            opened_at: Timestamp(1),
            last_evidence: Timestamp(1),
        })
    }

    fn gathered(effects: impl IntoIterator<Item = Effect>) -> Batch {
        let mut gather = Gather::default();
        for effect in effects {
            gather.absorb(Deed::Effect(effect), Keep::All);
        }
        gather.take()
    }

    #[test]
    fn the_newest_row_of_a_user_is_kept_with_the_newest_known_last_seen() {
        let batch = gathered([announce("alice", Status::Online, 1, Some(1)), announce("alice", Status::Away, 2, None)]);
        assert_eq!(batch.presences.len(), 1);
        assert_eq!(batch.presences[0].status, Status::Away);
        assert_eq!(batch.presences[0].last_seen, Some(Timestamp(1)));
        assert_eq!(batch.transitions.len(), 2);
    }

    #[test]
    fn a_session_opened_and_ended_is_only_ended() {
        let batch = gathered([session(7, "alice"), Effect::ForgetSession(7)]);
        assert!(batch.sessions.is_empty());
        assert_eq!(batch.ended_sessions, [7]);
    }

    #[test]
    fn an_erased_user_leaves_only_what_came_after() {
        let batch = gathered([
            announce("alice", Status::Online, 1, None),
            session(1, "alice"),
            announce("bob", Status::Online, 1, None),
            Effect::ForgetHeld("alice".into()),
            Effect::Erase("alice".into()),
            session(2, "alice"),
        ]);
        assert_eq!(batch.erased, ["alice"]);
        assert_eq!(batch.presences.len(), 1);
        assert_eq!(batch.sessions.len(), 1);
        assert_eq!(batch.transitions.len(), 1);
        assert!(batch.ended_held.is_empty());
    }

    #[test]
    fn a_batch_taken_back_is_the_same_as_one_never_handed_out() {
        let earlier = [announce("alice", Status::Online, 1, Some(1)), session(1, "alice"), session(2, "bob")];
        let later = [Effect::ForgetSession(1), Effect::Erase("bob".into()), announce("alice", Status::Away, 2, None)];
        let mut returned = Gather::default();
        returned.absorb_batch(gathered(earlier.clone()));
        returned.absorb_batch(gathered(later.clone()));
        assert_eq!(returned.take(), gathered(earlier.into_iter().chain(later)));
    }

    #[test]
    fn a_long_history_loses_its_oldest_lines() {
        let mut gather = Gather::default();
        for second in 0..5 {
            gather.absorb(Deed::Effect(announce("alice", Status::Online, second, None)), Keep::All);
        }
        assert_eq!(gather.shorten_history(2), 3);
        assert_eq!(gather.take().transitions[0].at, Timestamp(3));
    }
}
