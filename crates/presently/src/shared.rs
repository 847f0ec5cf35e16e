//! What the handle and the background tasks share. **Whatever is decided is decided here, under the lock of one shard.**

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use presently_core::{Effects, Input, Now, Presence, Status};
use tokio::sync::{oneshot, watch};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::{Config, Error};
use crate::listener::Heard;
use crate::metrics::Metrics;
use crate::outbox::entry::{Change, Logged};
use crate::outbox::queue::{Kept, Queue};
use crate::restore::Restored;
use crate::shard::{Shard, Shards};
use crate::store::Store;
use crate::veil::{VeilCount, changes};
use crate::watch::Stream;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shards: Shards,
    pub(crate) queue: Queue,
    /// What watchers are told.
    pub(crate) stream: Stream,
    /// The other nodes, if there may be some.
    pub(crate) cluster: Option<Cluster>,
    /// Watchers who may begin anew at once.
    pub(crate) anew: tokio::sync::Semaphore,
    pub(crate) veils: VeilCount,
    pub(crate) heard: tokio::sync::Mutex<Heard>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    /// Users in memory, all shards together. Changes only when somebody comes or goes.
    pub(crate) users: AtomicI64,
    pub(crate) ending: Ending,
}

/// How keeping goes: what `/readyz` and the metrics ask.
#[derive(Debug)]
pub(crate) struct Health {
    /// The outcome of the last attempt to keep something.
    store: Mutex<Kept>,
    /// The same for evidence blocks.
    journal: Mutex<Kept>,
    pub(crate) history_dropped: AtomicU64,
    pub(crate) repaired: AtomicU64,
}

/// How far the shutdown is.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) closed: AtomicBool,
    /// Becomes true when the background tasks are to end.
    pub(crate) stop: watch::Sender<bool>,
    /// How the shutdown went, once it is over.
    pub(crate) ended: watch::Sender<Option<Kept>>,
}

impl Health {
    pub(crate) const fn new() -> Self {
        Self {
            store: Mutex::new(Ok(())),
            journal: Mutex::new(Ok(())),
            history_dropped: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
        }
    }

    /// What keeps something from being kept, if anything does.
    pub(crate) fn now(&self) -> Kept {
        let store = self.store.lock().clone();
        store.and_then(|()| self.journal.lock().clone())
    }
}

impl Ending {
    pub(crate) fn new() -> Self {
        Self { closed: AtomicBool::new(false), stop: watch::Sender::new(false), ended: watch::Sender::new(None) }
    }
}

impl Shared {
    /// Decides `input`, and pushes what follows from it.
    pub(crate) fn decide(&self, shard: &mut Shard, now: Now, input: Input<'_>) -> Result<(), Error> {
        let effects = self.weigh(shard, now, input)?;
        self.push(shard, now, effects);
        Ok(())
    }

    /// Decides `input` here and now, and has `finish` push what follows from it before the shard is let go.
    pub(crate) fn decide_alone<T>(
        &self,
        shard: &mut Shard,
        input: Input<'_>,
        finish: impl FnOnce(&Self, &mut Shard, Outcome) -> T,
    ) -> Result<T, Error> {
        let now = self.clock.now();
        let before = shard.engine.presence(whose(&input));
        let (in_memory, since_known) = (before.is_some(), before.is_some_and(|before| before.since.is_some()));
        let effects = self.weigh(shard, now, input)?;
        Ok(finish(self, shard, Outcome { now, effects, changes: Vec::new(), in_memory, since_known, log: None }))
    }

    /// Decides `input`; the caller pushes the effects before the shard is let go.
    pub(crate) fn weigh(&self, shard: &mut Shard, now: Now, input: Input<'_>) -> Result<Effects, Error> {
        self.room_for(shard, &input)?;
        self.counted(shard, |shard| Ok(shard.engine.apply(now, input)?))
    }

    /// Whether there is room for what may follow.
    pub(crate) fn room_for(&self, shard: &Shard, input: &Input<'_>) -> Result<(), Error> {
        if shard.closed {
            return Err(Error::Closed);
        }
        if self.queue.is_full() || self.queue.backlog() > Queue::BACKLOG_MAX {
            return Err(Error::Full);
        }
        if self.users.load(Ordering::Relaxed) >= i64::from(self.config.limits.users_max)
            && newcomer(input).is_some_and(|user| shard.engine.presence(user).is_none())
        {
            return Err(Error::Full);
        }
        Ok(())
    }

    /// Follows how many users are in memory through `change`.
    pub(crate) fn counted<T>(&self, shard: &mut Shard, change: impl FnOnce(&mut Shard) -> T) -> T {
        let before = shard.engine.counts().users;
        let changed = change(shard);
        let after = shard.engine.counts().users;
        if after != before {
            self.users.fetch_add(after.cast_signed() - before.cast_signed(), Ordering::Relaxed);
        }
        changed
    }

    pub(crate) fn push(&self, shard: &mut Shard, now: Now, effects: Effects) {
        self.push_from(shard, now, effects, None);
    }

    /// The same of what follows from an entry of the log.
    pub(crate) fn push_from(&self, shard: &mut Shard, now: Now, effects: Effects, from: Option<Logged<'_>>) {
        shard.decided += u64::from(!effects.is_empty());
        if shard.veils.is_empty() {
            self.queue.push(effects.into_iter().map(Change::Effect), now.tick, from);
        } else {
            self.queue.push(changes(&mut shard.veils, &self.veils, effects).into_iter(), now.tick, from);
        }
    }

    pub(crate) fn push_and_wait(
        &self,
        shard: &mut Shard,
        user: &str,
        now: Now,
        effects: Effects,
        from: Option<Logged<'_>>,
    ) -> oneshot::Receiver<Kept> {
        let changes = changes(&mut shard.veils, &self.veils, effects);
        self.push_changes_and_wait(shard, user, now, changes, from)
    }

    pub(crate) fn push_changes_from(&self, shard: &mut Shard, now: Now, changes: Vec<Change>, from: Logged<'_>) {
        shard.decided += u64::from(!changes.is_empty());
        self.queue.push(changes.into_iter(), now.tick, Some(from));
    }

    pub(crate) fn push_changes_and_wait(
        &self,
        shard: &mut Shard,
        user: &str,
        now: Now,
        changes: Vec<Change>,
        from: Option<Logged<'_>>,
    ) -> oneshot::Receiver<Kept> {
        shard.decided += u64::from(!changes.is_empty());
        self.queue.push_and_wait(user, changes.into_iter(), now.tick, from)
    }

    /// What is known of a user without the store. The caller holds the shard.
    pub(crate) fn known(&self, shard: &Shard, user: &str) -> Known {
        let mut known = Known::default();
        if let Some(presence) = shard.engine.presence(user) {
            known.complete = presence.last_seen.is_some() && presence.since.is_some();
            known.presence = Some(presence);
            if known.complete {
                return known;
            }
        }
        if let Some(overlay) = self.queue.overlay(self.clock.now().tick, user) {
            known.complete = overlay.erased;
            if let Some(row) = overlay.row {
                known.complete |= row.last_seen.is_some();
                known.add(Presence {
                    user: row.user,
                    status: row.status,
                    last_seen: row.last_seen,
                    since: Some(row.since),
                });
            }
        }
        known
    }

    pub(crate) fn closed(&self) -> Result<(), Error> {
        if self.ending.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.ending.stop.subscribe()
    }

    /// Waits for `length`; false when the tasks are to end.
    pub(crate) async fn pause(&self, length: std::time::Duration) -> bool {
        let mut stop = self.stopping();
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => false,
            () = self.clock.sleep(length) => true,
        }
    }

    /// Takes up what the store knew.
    pub(crate) fn restore(&self, restored: Restored) {
        self.veils.restored(restored.veils.len());
        for row in &restored.veils {
            self.shards.with(&row.user, |shard| shard.veils.insert(row.user.clone(), row.into()));
        }
        let users = restored.users.len();
        let mut refused = 0_usize;
        for user in restored.users {
            let name = user.user.clone();
            refused += usize::from(!self.shards.with(&name, |shard| {
                let now = self.clock.now();
                let effects = self.counted(shard, |shard| shard.engine.apply(now, Input::Restore(user)));
                effects.map(|effects| self.push(shard, now, effects)).is_ok()
            }));
        }
        tracing::info!(users, refused, "presence is restored");
    }

    pub(crate) fn set_health(&self, health: Kept) {
        self.queue.set_away(health.is_err());
        *self.health.store.lock() = health;
    }

    pub(crate) fn set_journal_health(&self, health: Kept) {
        *self.health.journal.lock() = health;
    }
}

/// What was decided of a user.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) now: Now,
    /// To be pushed.
    pub(crate) effects: Effects,
    /// And after them.
    pub(crate) changes: Vec<Change>,
    /// Before it, the engine knew the user.
    pub(crate) in_memory: bool,
    /// And since when their status held.
    pub(crate) since_known: bool,
    /// Where it stands in the log of a cluster.
    pub(crate) log: Option<u64>,
}

impl Outcome {
    /// Nothing follows.
    pub(crate) const fn nothing(now: Now) -> Self {
        Self { now, effects: Vec::new(), changes: Vec::new(), in_memory: false, since_known: false, log: None }
    }

    /// Where what follows from it comes from.
    pub(crate) fn logged<'a>(&self, user: &'a str) -> Option<Logged<'a>> {
        self.log.map(|seq| Logged { user, seq, own: true })
    }
}

/// What is known of a user without the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) presence: Option<Presence>,
    /// The store could add nothing.
    pub(crate) complete: bool,
}

impl Known {
    /// Adds what an older source says to what is not known yet.
    pub(crate) fn add(&mut self, older: Presence) {
        match &mut self.presence {
            None => self.presence = Some(older),
            Some(newer) => {
                newer.last_seen = newer.last_seen.or(older.last_seen);
                if newer.status == older.status {
                    newer.since = newer.since.or(older.since);
                }
            }
        }
    }
}

/// The user of whom something is to be decided.
fn whose<'a>(input: &'a Input<'_>) -> &'a str {
    match input {
        Input::Evidence { user, .. }
        | Input::EndSession { user, .. }
        | Input::EndUser { user, .. }
        | Input::Drop { user, .. }
        | Input::Set { user, .. }
        | Input::Override { user, .. }
        | Input::ClearOverride { user, .. }
        | Input::Bar { user }
        | Input::Unbar { user }
        | Input::Forget { user } => user,
        Input::Restore(restored) => &restored.user,
    }
}

/// The user whom this input may bring into memory.
fn newcomer<'a>(input: &Input<'a>) -> Option<&'a str> {
    match *input {
        Input::Evidence { user, .. } | Input::Override { user, .. } => Some(user),
        Input::Set { user, status } if status != Status::Offline => Some(user),
        _ => None,
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presently").field("config", &self.config).finish_non_exhaustive()
    }
}
