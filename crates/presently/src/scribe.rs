//! The one task that writes down and announces. **Nobody is told of a transition before the store kept it or refused it**, and
//! everybody is told in the order of decisions.
//!
//! While one batch is written the next one gathers: group commit without waiting for company. A store that is away stops
//! nothing but memory across a restart: transitions are told all the same, and their rows wait, conflated, until it is back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use presently_core::{Effect, Tick, Transition};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::gather::Gather;
use crate::queue::Kept;
use crate::shared::Shared;
use crate::store::{Batch, StoreError};

/// The pause after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// How long a store may take before nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often decisions are announced while a store makes everybody wait.
const STALLED_ROUND: Duration = Duration::from_millis(100);
/// History lines held back while the store is away.
const HISTORY_MAX: usize = 100_000;

pub(crate) async fn write_down(shared: Arc<Shared>) {
    Scribe { shared, backlog: Gather::default(), waiting: Vec::new(), number: 0, down: None }.run().await;
}

struct Scribe {
    shared: Arc<Shared>,
    /// What the store does not have.
    backlog: Gather,
    waiting: Vec<oneshot::Sender<Kept>>,
    /// The number of the newest effect in the backlog.
    number: u64,
    down: Option<Down>,
}

/// The store failed.
struct Down {
    at: Tick,
    retry_after: Duration,
}

type Tidings = Vec<(Transition, Tick)>;

impl Scribe {
    async fn run(mut self) {
        loop {
            // 1. Wait for work: something decided, somebody who waits, or the time to try again.
            match self.until_retry() {
                None => self.shared.queue.ready().await,
                Some(pause) => tokio::select! {
                    biased;
                    () = self.shared.clock.sleep(pause) => {}
                    () = self.shared.queue.ready() => {}
                },
            }
            // 2. Take everything. It is bounded: inputs are refused beyond the queue's limit.
            let tidings = self.take();
            // 3. While the store is known to be away, announce, and do not ask it more often than agreed.
            if self.until_retry().is_some_and(|pause| !pause.is_zero()) {
                self.hold_back();
                self.tell(tidings);
                continue;
            }
            // 4. Keep, 5. announce, 6. answer those who wait.
            self.keep(tidings).await;
        }
    }

    /// How long the store is left alone; `None` while it works.
    fn until_retry(&self) -> Option<Duration> {
        let down = self.down.as_ref()?;
        // Somebody who waits is worth a try: the disk may have been freed a moment ago.
        let pause = if self.waiting.is_empty() { down.retry_after } else { RETRY_FIRST.min(down.retry_after) };
        Some((down.at + pause) - self.shared.clock.now().tick)
    }

    fn take(&mut self) -> Tidings {
        let taken = self.shared.queue.take();
        self.number = taken.number;
        self.waiting.extend(taken.waiters);
        let mut tidings = Tidings::new();
        for (effect, at) in taken.decided {
            if let Effect::Announce(transition) = &effect {
                tracing::debug!(
                    user = %transition.user,
                    from = transition.from.as_str(),
                    to = transition.to.as_str(),
                    reason = transition.reason.as_str(),
                    "transition"
                );
            }
            tidings.extend(self.backlog.absorb(effect).map(|transition| (transition, at)));
        }
        tidings
    }

    async fn keep(&mut self, mut tidings: Tidings) {
        let batch = Arc::new(self.backlog.take());
        let number = self.number;
        let rows = rows(&batch);
        let began = self.shared.clock.now().tick;
        let kept = self.attempt(&batch, &mut tidings).await;
        match kept {
            Ok(()) => {
                if rows > 0 {
                    self.shared.metrics.flushed(rows, self.shared.clock.now().tick - began);
                }
                self.shared.queue.kept(&batch, number);
                if self.down.take().is_some() {
                    tracing::info!(rows, "the store is back; everything is kept");
                }
                self.shared.set_health(Ok(()));
                self.shared.queue.set_backlog(self.backlog.rows());
            }
            Err(ref error) => {
                let later = self.backlog.take();
                self.backlog.absorb_batch(Arc::unwrap_or_clone(batch));
                self.backlog.absorb_batch(later);
                self.back_off(error);
                self.hold_back();
            }
        }
        self.tell(tidings);
        self.answer(&kept);
    }

    /// Lets the store keep the batch. When it takes too long nobody waits for it, but it is not given up.
    async fn attempt(&mut self, batch: &Arc<Batch>, tidings: &mut Tidings) -> Kept {
        if batch.is_empty() && self.down.is_none() {
            return Ok(());
        }
        // A task of its own: a store that panics has failed, and takes nothing with it.
        let mut attempt = JoinSet::new();
        let (store, rows, was_down) = (Arc::clone(&self.shared.store), Arc::clone(batch), self.down.is_some());
        attempt.spawn(async move {
            if was_down {
                // Something light first.
                store.probe().await?;
            }
            store.commit(&rows).await
        });
        let mut patience = PATIENCE;
        loop {
            tokio::select! {
                biased;
                kept = attempt.join_next() => return match kept {
                    Some(Ok(kept)) => kept,
                    _ => Err(StoreError::Damaged("the store panicked".into())),
                },
                () = self.shared.clock.sleep(patience) => {}
            }
            let slow = StoreError::Unavailable("it takes too long to answer".into());
            if patience == PATIENCE {
                tracing::error!(error = %slow, "the store failed");
            }
            self.shared.set_health(Err(slow.clone()));
            self.tell(std::mem::take(tidings));
            let later = self.take();
            self.hold_back();
            self.tell(later);
            self.answer(&Err(slow));
            patience = STALLED_ROUND;
        }
    }

    fn back_off(&mut self, error: &StoreError) {
        let at = self.shared.clock.now().tick;
        let retry_after = self.down.as_ref().map_or(RETRY_FIRST, |down| (down.retry_after * 2).min(RETRY_LAST));
        if self.down.is_none() {
            tracing::error!(%error, "the store failed");
        }
        self.down = Some(Down { at, retry_after });
        self.shared.set_health(Err(error.clone()));
    }

    /// Keeps the backlog within its bounds.
    fn hold_back(&mut self) {
        let dropped = self.backlog.shorten_history(HISTORY_MAX);
        if dropped > 0 {
            let before = self.shared.history_dropped.fetch_add(dropped, Ordering::Relaxed);
            self.shared.metrics.history_dropped.increment(dropped);
            if before == 0 {
                tracing::warn!(dropped, "the store is away for too long; the oldest history lines are given up");
            }
        }
        self.shared.queue.set_backlog(self.backlog.rows());
    }

    fn tell(&self, tidings: Tidings) {
        let now = self.shared.clock.now().tick;
        for (transition, decided) in tidings {
            self.shared.metrics.announced(&transition, now - decided);
            self.shared.board.tell(transition);
        }
    }

    fn answer(&mut self, kept: &Kept) {
        for waiter in self.waiting.drain(..) {
            // Who gave up waiting lost nothing.
            let _ = waiter.send(kept.clone());
        }
    }
}

fn rows(batch: &Batch) -> usize {
    batch.erased.len()
        + batch.presences.len()
        + batch.sessions.len()
        + batch.ended_sessions.len()
        + batch.overrides.len()
        + batch.ended_overrides.len()
        + batch.held.len()
        + batch.ended_held.len()
        + batch.transitions.len()
}
