//! What was decided and not yet written down. **Effects are pushed while the shard that decided them is held**, so for each user
//! the order of effects is the order of decisions. Locks are taken in the order shard, queue.

use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use presently_core::{Effect, PresenceRow, Tick, UserId};
use tokio::sync::{Notify, oneshot};

use crate::gather::row_of;
use crate::store::{Audience, Batch, StoreError};
use crate::veil::Deed;

/// Told to a caller who waits until everything decided before is kept.
pub(crate) type Kept = Result<(), StoreError>;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    /// The scribe has something to do.
    ready: Notify,
    /// How many effects wait, to look at without the lock.
    len: AtomicUsize,
    /// How many rows the scribe holds back because the store is away.
    backlog: AtomicUsize,
}

#[derive(Debug, Default)]
struct Pending {
    taken: Taken,
    /// The newest row of each user that the store does not have yet, wherever it is: here, in the batch in flight, or in the backlog.
    unkept: HashMap<UserId, (u64, Unkept), RandomState>,
}

/// Everything that waited.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// With the moment of the decision.
    pub(crate) decided: Vec<(Deed, Tick)>,
    pub(crate) waiters: Vec<oneshot::Sender<Kept>>,
    /// How many effects were ever pushed, these included.
    pub(crate) number: u64,
}

/// What the store will know of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unkept {
    /// The newest row; `None` when the user is erased and did not come back.
    pub(crate) row: Option<PresenceRow>,
    /// What the store has of the user is about to go: it counts for nothing.
    pub(crate) erased: bool,
}

impl Queue {
    /// Effects waiting at most: beyond it, inputs are refused and the sweeper pauses. Renewals go on.
    pub(crate) const PENDING_MAX: usize = 200_000;
    /// Rows held back at most while the store is away: beyond it, inputs are refused.
    pub(crate) const BACKLOG_MAX: usize = 2_000_000;

    /// Takes up deeds. The caller holds the shard that decided them.
    pub(crate) fn push(&self, deeds: impl ExactSizeIterator<Item = Deed>, at: Tick) {
        if deeds.len() > 0 {
            self.add(deeds, at, None);
        }
    }

    /// The same; the receiver is told when these and all before are kept and told. Giving up on it loses nothing.
    pub(crate) fn push_and_wait(&self, deeds: impl Iterator<Item = Deed>, at: Tick) -> oneshot::Receiver<Kept> {
        let (waiter, kept) = oneshot::channel();
        self.add(deeds, at, Some(waiter));
        kept
    }

    fn add(&self, deeds: impl Iterator<Item = Deed>, at: Tick, waiter: Option<oneshot::Sender<Kept>>) {
        let mut pending = self.pending.lock();
        for deed in deeds {
            pending.taken.number += 1;
            pending.note(&deed);
            pending.taken.decided.push((deed, at));
        }
        pending.taken.waiters.extend(waiter);
        self.len.store(pending.taken.decided.len(), Ordering::Relaxed);
        drop(pending);
        self.ready.notify_one();
    }

    /// Ends when there may be something to take.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Hands over everything that waits.
    pub(crate) fn take(&self) -> Taken {
        let mut pending = self.pending.lock();
        let number = pending.taken.number;
        self.len.store(0, Ordering::Relaxed);
        std::mem::replace(&mut pending.taken, Taken { number, ..Taken::default() })
    }

    /// The store has everything of this batch, which holds the effects up to `number`.
    pub(crate) fn kept(&self, batch: &Batch, number: u64) {
        let mut users = batch.presences.iter().map(|row| &row.user).chain(&batch.erased).peekable();
        while users.peek().is_some() {
            // Small steps: whoever decides something waits for this lock.
            let mut pending = self.pending.lock();
            for user in users.by_ref().take(1000) {
                if pending.unkept.get(user).is_some_and(|(at, _)| *at <= number) {
                    pending.unkept.remove(user);
                }
            }
            if pending.unkept.is_empty() && pending.unkept.capacity() > 10_000 {
                pending.unkept = HashMap::default();
            }
        }
    }

    /// What the store does not know yet of a user who is not in memory.
    pub(crate) fn unkept(&self, user: &str) -> Option<Unkept> {
        self.pending.lock().unkept.get(user).map(|(_, unkept)| unkept.clone())
    }

    /// How many deeds were ever pushed.
    pub(crate) fn number(&self) -> u64 {
        self.pending.lock().taken.number
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() > Self::PENDING_MAX
    }

    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(crate) fn set_backlog(&self, rows: usize) {
        self.backlog.store(rows, Ordering::Relaxed);
    }
}

impl Pending {
    fn note(&mut self, deed: &Deed) {
        let number = self.taken.number;
        let mut row = match deed {
            Deed::Effect(Effect::Announce(transition)) | Deed::Announce(transition, Audience::Insiders) => {
                row_of(transition)
            }
            Deed::Effect(Effect::SavePresence(row)) => row.clone(),
            Deed::Effect(Effect::Erase(user)) => {
                self.unkept.insert(user.clone(), (number, Unkept { row: None, erased: true }));
                return;
            }
            _ => return,
        };
        let (at, unkept) = self.unkept.entry(row.user.clone()).or_default();
        *at = number;
        if let Some(older) = &unkept.row {
            row.last_seen = row.last_seen.or(older.last_seen);
        }
        unkept.row = Some(row);
    }
}
