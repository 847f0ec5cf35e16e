//! What others see of a user who is invisible, or was. **What is told of a user while a veil is over them was decided under the same
//! lock as the veil**, so no transition slips past it in either direction.
//!
//! A veil that was lifted stays until nothing of the time beneath it can show: while the user's true `last_seen` is older than the
//! moment of lifting, and while their status began before it, others get the veil's own times.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use presently_core::{Effect, Effects, Transition};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outbox::entry::Change;
use crate::store::{Audience, VeilRow};
use crate::{Presence, Status, Timestamp, UserId};

/// The veils of one shard.
pub(crate) type Veils = HashMap<UserId, Veil, RandomState>;

/// What others see of one user in the place of the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Veil {
    /// The user is invisible; otherwise they were, until `at`.
    pub(crate) hidden: bool,
    /// When it was drawn, or lifted.
    at: Timestamp,
    last_seen: Option<Timestamp>,
    since: Option<Timestamp>,
    /// No transition came after the lifting: `since` stands in for the true one.
    since_holds: bool,
}

impl Veil {
    /// Drawn over a user, or lifted from one, whom others have just seen as `shown` says. Who is there leaves now, or comes.
    pub(crate) fn drawn(shown: &VeilRow, there: bool) -> Self {
        let VeilRow { invisible: hidden, at, last_seen, since, .. } = *shown;
        let (last_seen, since) = if there { (Some(at), Some(at)) } else { (last_seen, since) };
        Self { hidden, at, last_seen, since, since_holds: true }
    }

    /// What others see when this is the truth.
    pub(crate) fn seen(&self, truth: Presence) -> Presence {
        let status = if self.hidden { Status::Offline } else { truth.status };
        Presence {
            status,
            last_seen: self.last_seen(truth.last_seen),
            since: self.since(truth.since),
            user: truth.user,
        }
    }

    pub(crate) fn last_seen(&self, truth: Option<Timestamp>) -> Option<Timestamp> {
        truth.filter(|&at| !self.hidden && at > self.at).or(self.last_seen)
    }

    pub(crate) fn since(&self, truth: Option<Timestamp>) -> Option<Timestamp> {
        if self.since_holds { self.since } else { truth.map(|since| since.max(self.at)) }
    }

    pub(crate) fn row(&self, user: &UserId) -> VeilRow {
        let Self { hidden: invisible, at, last_seen, since, since_holds } = *self;
        VeilRow { user: user.clone(), invisible, at, last_seen, since, since_holds }
    }
}

impl From<&VeilRow> for Veil {
    fn from(row: &VeilRow) -> Self {
        let VeilRow { invisible: hidden, at, last_seen, since, since_holds, user: _ } = *row;
        Self { hidden, at, last_seen, since, since_holds }
    }
}

/// What follows from `effects`, decided just now under the lock of these veils.
pub(crate) fn changes(veils: &mut Veils, count: &VeilCount, effects: Effects) -> Vec<Change> {
    let mut changes = Vec::with_capacity(effects.len());
    for effect in effects {
        match effect {
            Effect::Announce(transition) => announce(veils, count, transition, &mut changes),
            Effect::Erase(user) => {
                if veils.remove(&user).is_some() {
                    count.give_back();
                }
                changes.push(Change::Effect(Effect::Erase(user)));
            }
            other => changes.push(Change::Effect(other)),
        }
    }
    changes
}

fn announce(veils: &mut Veils, count: &VeilCount, transition: Transition, changes: &mut Vec<Change>) {
    match veils.get_mut(&transition.user) {
        None => changes.push(Change::Effect(Effect::Announce(transition))),
        Some(veil) if veil.hidden => changes.push(Change::Announce(transition, Audience::Insiders)),
        Some(veil) if transition.last_seen.is_some_and(|at| at >= veil.at) => {
            veils.remove(&transition.user);
            count.give_back();
            changes.push(Change::Unveil(transition.user.clone()));
            changes.push(Change::Effect(Effect::Announce(transition)));
        }
        Some(veil) => {
            veil.since_holds = false;
            let seen = Transition { last_seen: veil.last_seen, ..transition.clone() };
            changes.push(Change::Veil(veil.row(&transition.user)));
            changes.push(Change::Announce(transition, Audience::Insiders));
            changes.push(Change::Announce(seen, Audience::Others));
        }
    }
}

/// How many veils there are, all shards together.
#[derive(Debug, Default)]
pub(crate) struct VeilCount(AtomicUsize);

impl VeilCount {
    /// Beyond it, nobody can become invisible.
    pub(crate) const MAX: usize = 1_000_000;

    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::MAX
    }

    pub(crate) fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Others took their place.
    pub(crate) fn moved(&self, before: usize, after: usize) {
        self.0.fetch_add(after, Ordering::Relaxed);
        self.0.fetch_sub(before, Ordering::Relaxed);
    }

    /// Those of earlier lives, however many.
    pub(crate) fn restored(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}
