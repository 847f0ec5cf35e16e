//! The one task that writes down and announces. **Nobody is told of a transition before the store kept it or refused it**, and
//! everybody is told in the order of decisions.
//!
//! While one batch is written the next one gathers: group commit without waiting for company. A store that is away stops
//! nothing but memory across a restart: transitions are told all the same, and their rows wait, conflated, until it is back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use presently_core::{Effect, Presence, Tick, UserId};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::gather::{Gather, Tiding};
use crate::privacy::unseen;
use crate::queue::{Decided, Keep, Kept};
use crate::shared::Shared;
use crate::store::{Audience, Batch, StoreError};
use crate::veil::Deed;

/// The pause after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// How long a store may take before nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often decisions are announced while a store makes everybody wait.
const STALLED_ROUND: Duration = Duration::from_millis(100);
/// History lines held back while the store is away.
const HISTORY_MAX: usize = 100_000;
/// Mailboxes filled before their readers are woken and other tasks get their turn.
const MAILBOXES_MAX: usize = 4096;
/// Users asked of the store in one call.
const CALL_MAX: usize = 10_000;

pub(crate) async fn write_down(shared: Arc<Shared>) {
    Scribe { shared, backlog: Gather::default(), waiting: Vec::new(), number: 0, followed: 0, down: None }.run().await;
}

struct Scribe {
    shared: Arc<Shared>,
    /// What the store does not have.
    backlog: Gather,
    waiting: Vec<oneshot::Sender<Kept>>,
    /// The number of the newest effect in the backlog.
    number: u64,
    /// How far the log was followed when it was.
    followed: u64,
    down: Option<Down>,
}

/// The store failed.
struct Down {
    at: Tick,
    retry_after: Duration,
}

/// Something to tell, and where it comes from.
struct News {
    tiding: Tiding,
    decided: Tick,
    log: Option<u64>,
    /// Decided here; counted once in the whole cluster.
    own: bool,
    /// Watchers are told of what follows at the same place of the log instead, and of nothing else there.
    outlived: bool,
}

type Tidings = Vec<News>;

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
                self.tell(tidings).await;
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
        self.followed = taken.followed;
        for Decided { deed, at: decided, log, keep } in taken.decided {
            if let Deed::Effect(Effect::Announce(transition)) | Deed::Announce(transition, Audience::Insiders) = &deed {
                tracing::debug!(
                    user = %transition.user,
                    from = transition.from.as_str(),
                    to = transition.to.as_str(),
                    reason = transition.reason.as_str(),
                    "transition"
                );
            }
            let own = keep == Keep::All;
            let Some(tiding) = self.backlog.absorb(deed, keep) else { continue };
            if let (Tiding::Erased(_), Some(_)) = (&tiding, log) {
                // That the user leaves is said by the erasure: of two at one place, whoever comes back there would miss the second.
                let before = tidings.iter_mut().rev().take_while(|news| news.log == log);
                before.for_each(|news| news.outlived = true);
            }
            tidings.push(News { tiding, decided, log, own, outlived: false });
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
        if kept.is_ok() {
            self.complete(&mut tidings).await;
        }
        self.tell(tidings).await;
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
            self.tell(std::mem::take(tidings)).await;
            let later = self.take();
            self.hold_back();
            self.tell(later).await;
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

    /// The engine does not know when somebody was last seen who was not heard since they came into memory; the store does.
    async fn complete(&self, tidings: &mut Tidings) {
        let unknown = |(place, news): (usize, &News)| match &news.tiding {
            // What others see was frozen, and is never completed.
            Tiding::Transition(transition, Audience::Everybody | Audience::Insiders) => {
                transition.last_seen.is_none().then(|| (place, transition.user.clone()))
            }
            _ => None,
        };
        let (places, names): (Vec<usize>, Vec<UserId>) = tidings.iter().enumerate().filter_map(unknown).unzip();
        for (places, names) in places.chunks(CALL_MAX).zip(names.chunks(CALL_MAX)) {
            // Without an answer the transition is told as it is: in time.
            let rows = tokio::select! {
                biased;
                rows = self.shared.store.presences(names) => rows.unwrap_or_default(),
                () = self.shared.clock.sleep(PATIENCE) => Vec::new(),
            };
            for (&place, row) in places.iter().zip(rows) {
                if let Some(News { tiding: Tiding::Transition(transition, _), .. }) = tidings.get_mut(place) {
                    transition.last_seen = row.and_then(|row| row.last_seen);
                }
            }
        }
    }

    /// Tells everybody, in order. Waits for nobody, and lets others have their turn.
    async fn tell(&self, tidings: Tidings) {
        let (shared, mut wake, mut filled) = (&self.shared, Vec::new(), 0);
        let visibility = shared.config.visibility;
        for News { tiding, decided, log, own, outlived } in tidings {
            let now = shared.clock.now().tick;
            let (presence, audience) = match &tiding {
                Tiding::Turn(turn) => {
                    wake.extend(shared.stream.turn(*turn));
                    continue;
                }
                Tiding::Erased(user) => (unseen(user), Audience::Everybody),
                Tiding::Transition(transition, audience) => {
                    if own && *audience != Audience::Others {
                        shared.metrics.announced(transition, now - decided);
                    }
                    let presence = Presence {
                        user: transition.user.clone(),
                        status: transition.to,
                        last_seen: transition.last_seen,
                        since: Some(transition.at),
                    };
                    (presence, *audience)
                }
            };
            if !outlived {
                filled += 1 + shared.stream.tell(now, log, presence, audience, visibility, &mut wake);
            }
            if let Tiding::Transition(transition, audience) = tiding {
                shared.board.tell(transition, audience);
            }
            if filled > MAILBOXES_MAX {
                filled = 0;
                wake.drain(..).for_each(|mailbox| mailbox.wake());
                tokio::task::yield_now().await;
            }
        }
        wake.iter().for_each(|mailbox| mailbox.wake());
        shared.stream.reached(self.followed);
        shared.stream.told_up_to(self.number);
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
        + batch.veils.len()
        + batch.ended_veils.len()
        + batch.transitions.len()
}
