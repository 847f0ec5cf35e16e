//! What was decided and not yet written down. **Effects are pushed while the shard that decided them is held**, so for each user
//! the order of effects is the order of decisions. Locks are taken in the order shard, queue.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use presently_core::{Effect, PresenceRow, Tick, UserId};
use tokio::sync::{Notify, oneshot};

use crate::outbox::coalescer::row_of;
use crate::outbox::entry::{Change, Entry, Keep, Logged};
use crate::outbox::ttl_map::TtlMap;
use crate::store::{Audience, StoreError};
use crate::watch::EpochChange;

/// Told to a caller who waits until everything decided before is kept.
pub(crate) type Kept = Result<(), StoreError>;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    /// The writer has something to do.
    ready: Notify,
    /// How many effects wait, to look at without the lock.
    len: AtomicUsize,
    /// How many rows the store does not have yet.
    backlog: AtomicUsize,
    /// The store is away: nobody needs to wait for it.
    away: AtomicBool,
}

#[derive(Debug, Default)]
struct Pending {
    taken: Taken,
    /// The newest row of each user that the store does not have yet, wherever it is: here, in the batch in flight, or in the backlog.
    overlay: HashMap<UserId, (u64, Overlaid), RandomState>,
    /// What other nodes keep at this moment of users who are not in memory any more.
    elsewhere: TtlMap<Overlaid>,
    /// Of whom this node kept something, which may reach the store after what another node decided later.
    written: TtlMap<()>,
    /// This node is one of several.
    several: bool,
}

/// Everything that waited.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) entries: Vec<Entry>,
    pub(crate) waiters: Vec<Waiter>,
    /// How many effects were ever pushed, these included.
    pub(crate) number: u64,
    /// How far the log was followed: what follows from it up to there is among `entries`, or was before.
    pub(crate) followed: u64,
}

/// Who waits until something is kept.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Everything decided of this user; of everybody, without one.
    pub(crate) user: Option<UserId>,
    pub(crate) told: oneshot::Sender<Kept>,
}

/// What the store will know of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overlaid {
    /// The newest row; `None` when the user is erased and did not come back.
    pub(crate) row: Option<PresenceRow>,
    /// What the store has of the user is about to go: it counts for nothing.
    pub(crate) erased: bool,
}

impl Queue {
    /// Effects that nobody has looked at yet: beyond it, inputs are refused and the sweeper pauses. Renewals go on. The writer looks at them
    /// ten times a second, whatever the store does, so this is reached only where it gets no processor.
    pub(crate) const PENDING_MAX: usize = 200_000;
    /// Rows that wait for the store: beyond it, inputs are refused. About a gigabyte of memory.
    pub(crate) const BACKLOG_MAX: usize = 2_000_000;

    /// Takes up changes. The caller holds the shard that decided them.
    pub(crate) fn push(&self, changes: impl ExactSizeIterator<Item = Change>, at: Tick, from: Option<Logged<'_>>) {
        if changes.len() > 0 {
            self.add(changes, at, from, None);
        }
    }

    /// The same of one user; the receiver is told when everything decided of them is kept. Giving up on it loses nothing.
    pub(crate) fn push_and_wait(
        &self,
        user: &str,
        changes: impl Iterator<Item = Change>,
        at: Tick,
        from: Option<Logged<'_>>,
    ) -> oneshot::Receiver<Kept> {
        let (told, kept) = oneshot::channel();
        self.add(changes, at, from, Some(Waiter { user: Some(user.into()), told }));
        kept
    }

    /// The receiver is told when everything decided until now is kept and told.
    pub(crate) fn settled(&self, at: Tick) -> oneshot::Receiver<Kept> {
        let (told, kept) = oneshot::channel();
        self.add(std::iter::empty(), at, None, Some(Waiter { user: None, told }));
        kept
    }

    fn add(&self, changes: impl Iterator<Item = Change>, at: Tick, from: Option<Logged<'_>>, waiter: Option<Waiter>) {
        let mut pending = self.pending.lock();
        let keep = from.map_or(Keep::All, |from| pending.keep(at, from));
        let log = from.map(|from| from.seq);
        for change in changes {
            pending.taken.number += 1;
            pending.note(&change, at, keep);
            pending.taken.entries.push(Entry { change, at, log, keep });
        }
        pending.taken.waiters.extend(waiter);
        self.len.store(pending.taken.entries.len(), Ordering::Relaxed);
        drop(pending);
        self.ready.notify_one();
    }

    /// The log was followed up to here.
    pub(crate) fn followed(&self, seq: u64) {
        self.pending.lock().taken.followed = seq;
        self.ready.notify_one();
    }

    /// The numbers of what is told mean something else from here on.
    pub(crate) fn change_epoch(&self, change: EpochChange, at: Tick) {
        let mut pending = self.pending.lock();
        pending.taken.number += 1;
        pending.taken.followed = change.log.unwrap_or(0);
        pending.taken.entries.push(Entry { change: Change::Epoch(change), at, log: None, keep: Keep::All });
        self.len.store(pending.taken.entries.len(), Ordering::Relaxed);
        drop(pending);
        self.ready.notify_one();
    }

    /// This node is one of several from now on.
    pub(crate) fn be_one_of_several(&self) {
        self.pending.lock().several = true;
    }

    /// Ends when there may be something to take.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Hands over everything that waits.
    pub(crate) fn take(&self) -> Taken {
        let mut pending = self.pending.lock();
        let (number, followed) = (pending.taken.number, pending.taken.followed);
        self.len.store(0, Ordering::Relaxed);
        std::mem::replace(&mut pending.taken, Taken { number, followed, ..Taken::default() })
    }

    /// The store has everything that was decided of these users up to the effect `number`.
    pub(crate) fn kept<'a>(&self, users: impl Iterator<Item = &'a UserId>, number: u64) {
        let mut users = users.peekable();
        while users.peek().is_some() {
            // Small steps: whoever decides something waits for this lock.
            let mut pending = self.pending.lock();
            for user in users.by_ref().take(1000) {
                if pending.overlay.get(user).is_some_and(|(at, _)| *at <= number) {
                    pending.overlay.remove(user);
                }
            }
            if pending.overlay.is_empty() && pending.overlay.capacity() > 10_000 {
                pending.overlay = HashMap::default();
            }
        }
    }

    /// What the store does not know yet of a user who is not in memory.
    pub(crate) fn overlay(&self, now: Tick, user: &str) -> Option<Overlaid> {
        let pending = self.pending.lock();
        let own = pending.overlay.get(user).map(|(_, overlay)| overlay);
        own.or_else(|| pending.elsewhere.get(now, user)).cloned()
    }

    /// How many changes were ever pushed.
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

    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}

impl Pending {
    /// What another node decides is kept there, unless this node may yet overwrite it with something older.
    fn keep(&mut self, at: Tick, from: Logged<'_>) -> Keep {
        if from.own {
            Keep::All
        } else if self.overlay.contains_key(from.user) || self.written.get(at, from.user).is_some() {
            Keep::Rows
        } else {
            Keep::Nothing
        }
    }

    fn note(&mut self, change: &Change, at: Tick, keep: Keep) {
        let (user, row) = match change {
            Change::Effect(Effect::Announce(transition)) | Change::Announce(transition, Audience::Insiders) => {
                (&transition.user, Some(row_of(transition)))
            }
            Change::Effect(Effect::SavePresence(row)) => (&row.user, Some(row.clone())),
            Change::Effect(Effect::Erase(user)) => (user, None),
            _ => return,
        };
        let erased = row.is_none();
        if keep == Keep::Nothing {
            let older = self.elsewhere.get(at, user).filter(|_| !erased).cloned();
            let overlay = older.unwrap_or(Overlaid { row: None, erased });
            self.elsewhere.put(at, user.clone(), overlay.with(row));
            return;
        }
        if self.several {
            self.elsewhere.remove(user);
            self.written.put(at, user.clone(), ());
        }
        let number = self.taken.number;
        let (newest, overlay) = self.overlay.entry(user.clone()).or_default();
        *newest = number;
        let older = std::mem::take(overlay);
        *overlay = if erased { Overlaid { row: None, erased } } else { older.with(row) };
    }
}

impl Overlaid {
    fn with(mut self, row: Option<PresenceRow>) -> Self {
        if let Some(mut row) = row {
            row.last_seen = row.last_seen.or(self.row.and_then(|older| older.last_seen));
            self.row = Some(row);
        }
        self
    }
}
