//! A presence server on a clock and a store that the tests hold in their hands.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use presently::clock::{Clock, ManualClock};
use presently::memory::MemoryStore;
use presently::store::{Batch, EvidenceBlock, NetChange, Saved, Sight, Store, StoreError, TransitionRow};
use presently::{Config, Presence, PresenceRow, Presently, Reason, Status, Timestamp, Told, Transitions, UserId};
use tokio::sync::watch;

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<GateStore>,
    pub(crate) presently: Presently,
    pub(crate) told: Transitions,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::open(config, ManualClock::new(), Arc::new(GateStore::default())).await
    }

    pub(crate) async fn open(config: Config, clock: Arc<ManualClock>, store: Arc<GateStore>) -> Self {
        let presently = Presently::open(config, store.clone(), clock.clone()).await.unwrap();
        let told = presently.subscribe();
        Self { clock, store, presently, told }
    }

    /// The process is gone without a word, the machine was off for `downtime`, and a new process starts.
    pub(crate) async fn crash(self, downtime: Duration) -> Self {
        let Self { clock, store, presently, told } = self;
        drop((presently, told));
        yields().await;
        Self::restart(clock, store, downtime).await
    }

    /// The same with a goodbye.
    pub(crate) async fn stop_and_start(self, downtime: Duration) -> Self {
        self.presently.shutdown().await.unwrap();
        let Self { clock, store, .. } = self;
        Self::restart(clock, store, downtime).await
    }

    async fn restart(old: Arc<ManualClock>, store: Arc<GateStore>, downtime: Duration) -> Self {
        let clock = ManualClock::new();
        let passed = old.now().wall.0 - clock.now().wall.0;
        clock.step_wall(passed + i64::try_from(downtime.as_micros()).unwrap());
        Self::open(Config::default(), clock, store).await
    }

    pub(crate) fn beat(&self, user: &str, session: &str) {
        self.presently.evidence(user, session, None, || true).unwrap();
    }

    /// Time passes, and everything in the background does what it does in that time.
    pub(crate) async fn pass(&self, length: Duration) {
        let mut left = length;
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(100));
            self.clock.advance(step);
            yields().await;
            left -= step;
        }
    }

    /// What was told since the last look, as `user from->to reason`.
    pub(crate) fn news(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        while let Some(Told::Transition(t)) = self.told.next_now() {
            news.push(format!("{} {}->{} {}", t.user, t.from.as_str(), t.to.as_str(), t.reason.as_str()));
        }
        news
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.now().wall
    }

    pub(crate) async fn presence(&self, user: &str) -> Presence {
        self.presently.presence(user).await.unwrap()
    }

    pub(crate) async fn stored(&self, user: &str) -> Option<PresenceRow> {
        self.store.memory.presences(&[user.into()]).await.unwrap().remove(0)
    }

    pub(crate) async fn history(&self, user: &str) -> Vec<(Status, Status, Reason)> {
        let all = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        let lines = self.store.memory.transitions(&user.into(), Sight::Insider, all.0, all.1, 1000).await.unwrap();
        lines.into_iter().map(|line| (line.from, line.to, line.reason)).collect()
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets the background tasks run until they wait.
pub(crate) async fn yields() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// Ends when `condition` holds; for work that needs other threads.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// A memory store that can be made to wait, to take its time, or to panic.
pub(crate) struct GateStore {
    pub(crate) memory: MemoryStore,
    open: watch::Sender<bool>,
    panics: AtomicBool,
    pace: Mutex<Option<Pace>>,
    tries: Mutex<Vec<Try>>,
    asked: AtomicUsize,
}

/// Time that a store takes.
#[derive(Clone)]
struct Pace {
    clock: Arc<ManualClock>,
    a_row: Duration,
    /// It gives up a batch that takes longer.
    longest: Duration,
}

/// A batch that the store was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    pub(crate) rows: usize,
    pub(crate) is_kept: bool,
}

impl Default for GateStore {
    fn default() -> Self {
        Self {
            memory: MemoryStore::new(),
            open: watch::Sender::new(true),
            panics: AtomicBool::new(false),
            pace: Mutex::new(None),
            tries: Mutex::default(),
            asked: AtomicUsize::new(0),
        }
    }
}

impl GateStore {
    /// From now on commits wait.
    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// From now on a commit takes so long a row, and fails after `longest`.
    pub(crate) fn slow_down(&self, clock: &Arc<ManualClock>, a_row: Duration, longest: Duration) {
        *self.pace.lock().unwrap() = Some(Pace { clock: clock.clone(), a_row, longest });
    }

    /// The batches since the last look.
    pub(crate) fn tries(&self) -> Vec<Try> {
        std::mem::take(&mut self.tries.lock().unwrap())
    }

    async fn take_time(&self, rows: usize) -> Result<(), StoreError> {
        let Some(Pace { clock, a_row, longest }) = self.pace.lock().unwrap().clone() else { return Ok(()) };
        let length = a_row * u32::try_from(rows).unwrap();
        clock.sleep(length.min(longest)).await;
        if length > longest { Err(StoreError::Unavailable("canceling statement".into())) } else { Ok(()) }
    }

    /// Of how many users it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The next commit panics.
    pub(crate) fn panic_once(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }
}

fn rows(batch: &Batch) -> usize {
    let ended = batch.ended_sessions.len() + batch.ended_overrides.len() + batch.ended_held.len();
    let saved = batch.presences.len() + batch.sessions.len() + batch.overrides.len() + batch.held.len();
    let veils = batch.veils.len() + batch.ended_veils.len();
    batch.erased.len() + saved + ended + veils + batch.transitions.len()
}

#[async_trait::async_trait]
impl Store for GateStore {
    async fn load(&self, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), StoreError> {
        self.memory.load(saved).await
    }
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "the store panics, as it was told to");
        self.open.subscribe().wait_for(|&open| open).await.unwrap();
        let rows = rows(batch);
        let kept = match self.take_time(rows).await {
            Ok(()) => self.memory.commit(batch).await,
            Err(error) => Err(error),
        };
        self.tries.lock().unwrap().push(Try { rows, is_kept: kept.is_ok() });
        kept
    }
    async fn append_evidence(&self, block: &EvidenceBlock, keep_from: Timestamp) -> Result<(), StoreError> {
        self.memory.append_evidence(block, keep_from).await
    }
    async fn presences(&self, users: &[UserId]) -> Result<Vec<Option<PresenceRow>>, StoreError> {
        self.asked.fetch_add(users.len(), Ordering::SeqCst);
        self.memory.presences(users).await
    }
    async fn present_after(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<PresenceRow>, StoreError> {
        self.memory.present_after(after, limit).await
    }
    async fn transitions(
        &self,
        user: &UserId,
        sight: Sight,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<TransitionRow>, StoreError> {
        self.memory.transitions(user, sight, from, to, limit).await
    }
    async fn transition_before(
        &self,
        user: &UserId,
        sight: Sight,
        before: Timestamp,
    ) -> Result<Option<TransitionRow>, StoreError> {
        self.memory.transition_before(user, sight, before).await
    }
    async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, StoreError> {
        self.memory.net_changes(from, to, every).await
    }
    async fn history_begins(&self) -> Result<Option<Timestamp>, StoreError> {
        self.memory.history_begins().await
    }
    async fn prune_transitions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.memory.prune_transitions(before, limit).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        self.memory.probe().await
    }
}
