//! The one task that writes down and announces. **Everybody is told in the order of decisions, and of a transition not before the store
//! kept it or refused it**, unless it makes everybody wait: then they are told all the same, well within a second.
//!
//! While one slice is written the next one gathers: group commit without waiting for company. A store that is away stops
//! nothing but memory across a restart: transitions are told all the same, and their rows wait, conflated, until it is back. Then they are
//! written a slice at a time, and what was kept once is not tried again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use presently_core::{Effect, Presence, Tick, Transition, UserId};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::outbox::coalescer::{Coalescer, Slice};
use crate::outbox::entry::{Change, Entry, Keep};
use crate::outbox::queue::{Kept, Waiter};
use crate::privacy::unseen;
use crate::shared::Shared;
use crate::store::{Audience, StoreError};

/// The pause after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// How long a store may take before nobody waits for it any more, as long as any other call of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How old a decision may be when it is told. With the rounds of the sweeper and of this task everybody is told within a second of a deadline.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// How long the store may take to say when somebody was last seen.
const COMPLETE_WITHIN: Duration = Duration::from_millis(200);
/// How often new decisions are looked at while the store has a slice.
const ROUND: Duration = Duration::from_millis(100);
/// Rows of one slice at most: a fraction of a second for most stores, so that whoever waits for the next one does not wait long.
const SLICE_MAX: usize = 20_000;
/// Rows of one slice at most when the store is very slow. One user may have so many.
const SLICE_MIN: usize = 100;
/// A slice that takes longer is too large: the next one has half as many rows. The statements of a slow store end after some seconds.
const SLICE_SLOW: Duration = Duration::from_secs(1);
/// A slice that takes no longer may be larger: the next one has twice as many rows, up to the limit.
const SLICE_QUICK: Duration = Duration::from_millis(250);
/// How often the log says how far a long backlog is.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// History lines held back while the store is away.
const HISTORY_MAX: usize = 100_000;
/// Mailboxes filled before their readers are woken and other tasks get their turn.
const MAILBOXES_MAX: usize = 4096;
/// Users asked of the store in one call.
const CALL_MAX: usize = 10_000;

pub(crate) async fn write_down(shared: Arc<Shared>) {
    let backlog = Coalescer::new(shared.cluster.is_some());
    let writer = Writer {
        shared,
        backlog,
        slice_max: SLICE_MAX,
        untold: VecDeque::new(),
        waiting: Vec::new(),
        number: 0,
        down: None,
        progress_at: None,
    };
    writer.run().await;
}

struct Writer {
    shared: Arc<Shared>,
    /// What the store does not have, but for the slice in flight.
    backlog: Coalescer,
    slice_max: usize,
    /// What is to be told, in order.
    untold: VecDeque<Round>,
    waiting: Vec<Waiting>,
    /// The number of the newest effect that was taken up.
    number: u64,
    down: Option<Down>,
    /// When the log says how far the backlog is.
    progress_at: Option<Tick>,
}

/// The store failed.
struct Down {
    at: Tick,
    retry_after: Duration,
}

/// What was taken up at once.
struct Round {
    /// What somebody is told of.
    entries: Vec<Entry>,
    /// The number of the newest entry of all.
    number: u64,
    /// How far the log was followed then.
    followed: u64,
}

/// Somebody who waits until something is kept.
struct Waiting {
    until: Until,
    told: oneshot::Sender<Kept>,
}

enum Until {
    /// Nothing of this user waits.
    User(UserId),
    /// Nobody waits who stands before this place.
    Place(u64),
}

impl Writer {
    async fn run(mut self) {
        loop {
            // 1. Wait for work: something decided, somebody who waits, or the time to try again.
            match self.until_retry() {
                None if self.has_work() => {}
                None => self.shared.queue.ready().await,
                Some(pause) => tokio::select! {
                    biased;
                    () = self.shared.clock.sleep(pause) => {}
                    () = self.shared.queue.ready() => {}
                },
            }
            // 2. Take up everything. It is bounded: inputs are refused beyond the queue's limit.
            self.take();
            // 3. While the store is known to be away, announce, and do not ask it more often than agreed.
            if self.until_retry().is_some_and(|pause| !pause.is_zero()) {
                self.hold_back(0);
                self.tell_all().await;
                continue;
            }
            // 4. Keep a slice, 5. announce, 6. answer those who wait.
            self.keep().await;
        }
    }

    fn has_work(&self) -> bool {
        !(self.backlog.is_empty() && self.untold.is_empty() && self.waiting.is_empty())
    }

    /// How long the store is left alone; `None` while it works.
    fn until_retry(&self) -> Option<Duration> {
        let down = self.down.as_ref()?;
        // Somebody who waits is worth a try: the disk may have been freed a moment ago.
        let pause = if self.waiting.is_empty() { down.retry_after } else { RETRY_FIRST.min(down.retry_after) };
        Some((down.at + pause) - self.shared.clock.now().tick)
    }

    fn take(&mut self) {
        let taken = self.shared.queue.take();
        let mut entries: Vec<Entry> = Vec::new();
        for entry in taken.entries {
            if let Some((transition, Audience::Everybody | Audience::Insiders)) = entry.change.announced() {
                tracing::debug!(
                    user = %transition.user,
                    from = transition.from.as_str(),
                    to = transition.to.as_str(),
                    reason = transition.reason.as_str(),
                    "transition"
                );
            }
            let told = self.backlog.absorb(entry.change, entry.keep);
            entries.extend(told.map(|change| Entry { change, ..entry }));
        }
        self.number = taken.number;
        let place = self.backlog.next_place();
        self.waiting.extend(taken.waiters.into_iter().map(|Waiter { user, told }| {
            let until = user.map_or(Until::Place(place), Until::User);
            Waiting { until, told }
        }));
        self.untold.push_back(Round { entries, number: taken.number, followed: taken.followed });
    }

    async fn keep(&mut self) {
        let awaited = self.waiting.iter().filter_map(|waiting| match &waiting.until {
            Until::User(user) => Some(user),
            Until::Place(_) => None,
        });
        let slice = self.backlog.cut(self.slice_max, awaited);
        if !self.backlog.is_empty() {
            // The store cannot keep up: nobody waits for it to be told.
            self.tell_all().await;
        }
        let answered = self.covered();
        let mut rounds = std::mem::take(&mut self.untold);
        let number = self.number;
        let began = self.shared.clock.now().tick;
        let (was_given, kept) = self.attempt(&slice, &mut rounds).await;
        let took = self.shared.clock.now().tick - began;
        self.suit(kept.is_ok(), took);
        match kept {
            Ok(()) => {
                if slice.rows() > 0 {
                    self.shared.metrics.flushed(slice.rows(), took);
                }
                self.shared.queue.kept(slice.users(), number);
                self.hold_back(0);
                self.is_up();
                self.complete(&mut rounds).await;
                self.tell(rounds).await;
                answer(answered, &Ok(()));
            }
            Err(error) => {
                self.backlog.put_back(slice, was_given);
                self.back_off(&error);
                self.hold_back(0);
                self.tell(rounds).await;
                self.tell_all().await;
                answer(answered, &Err(error.clone()));
                answer(self.waiting.drain(..), &Err(error));
            }
        }
    }

    /// Who waits for nothing but what is not in the backlog any more.
    fn covered(&mut self) -> Vec<Waiting> {
        let oldest = self.backlog.oldest_place();
        let backlog = &self.backlog;
        let covered = self.waiting.extract_if(.., |waiting| match &waiting.until {
            Until::User(user) => !backlog.contains(user),
            Until::Place(place) => *place <= oldest,
        });
        covered.collect()
    }

    /// Lets the store keep the slice, and says whether it was given it. When it takes too long nobody waits for it, but it is not given up.
    async fn attempt(&mut self, slice: &Slice, rounds: &mut VecDeque<Round>) -> (bool, Kept) {
        let batch = slice.batch();
        if batch.is_empty() && self.down.is_none() {
            return (true, Ok(()));
        }
        // A task of its own: a store that panics has failed, and takes nothing with it.
        let mut attempt = JoinSet::new();
        let (store, was_down) = (Arc::clone(&self.shared.store), self.down.is_some());
        attempt.spawn(async move {
            if was_down {
                // Something light first.
                let within_reach = store.probe().await;
                if within_reach.is_err() {
                    return (false, within_reach);
                }
            }
            (true, store.commit(&batch).await)
        });
        let began = self.shared.clock.now().tick;
        let mut is_slow = false;
        loop {
            tokio::select! {
                biased;
                kept = attempt.join_next() => return match kept {
                    Some(Ok(outcome)) => outcome,
                    _ => (true, Err(StoreError::Damaged("the store panicked".into()))),
                },
                () = self.shared.clock.sleep(ROUND) => {}
            }
            self.take();
            self.hold_back(slice.rows());
            let now = self.shared.clock.now().tick;
            if now - began < PATIENCE {
                self.tell_old(rounds, now).await;
                continue;
            }
            let slow = StoreError::Unavailable("it takes too long to answer".into());
            if !is_slow {
                is_slow = true;
                tracing::error!(error = %slow, "the store failed");
            }
            self.shared.set_health(Err(slow.clone()));
            self.tell(std::mem::take(rounds)).await;
            self.tell_all().await;
            answer(self.waiting.drain(..), &Err(slow));
        }
    }

    /// Slices as the store can take them.
    fn suit(&mut self, is_kept: bool, took: Duration) {
        if took > SLICE_SLOW {
            self.slice_max = (self.slice_max / 2).max(SLICE_MIN);
        } else if is_kept && took <= SLICE_QUICK {
            self.slice_max = (self.slice_max * 2).min(SLICE_MAX);
        }
    }

    /// The store kept something.
    fn is_up(&mut self) {
        let (now, left) = (self.shared.clock.now().tick, self.backlog.rows());
        let is_back = self.down.take().is_some();
        self.shared.set_health(Ok(()));
        if is_back && left > 0 {
            tracing::info!(rows_left = left, "the store is back; what waited for it is being kept");
            self.progress_at = Some(now + PROGRESS_EVERY);
        } else if left == 0 && (is_back || self.progress_at.take().is_some()) {
            tracing::info!("the store is back; everything is kept");
        } else if self.progress_at.is_some_and(|at| at <= now) {
            tracing::info!(rows_left = left, "what waited for the store is being kept");
            self.progress_at = Some(now + PROGRESS_EVERY);
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

    /// Keeps the backlog within its bounds, and says how long it is with the rows in flight.
    fn hold_back(&mut self, in_flight: usize) {
        let dropped = self.backlog.shorten_history(HISTORY_MAX);
        if dropped > 0 {
            let before = self.shared.health.history_dropped.fetch_add(dropped, Ordering::Relaxed);
            self.shared.metrics.history_dropped.increment(dropped);
            if before == 0 {
                tracing::warn!(dropped, "the store is away for too long; the oldest history lines are given up");
            }
        }
        self.shared.queue.set_backlog(self.backlog.rows() + in_flight);
    }

    /// The engine does not know when somebody was last seen who was not heard since they came into memory; the store does.
    async fn complete(&self, rounds: &mut VecDeque<Round>) {
        let mut unknown: Vec<&mut Transition> = rounds
            .iter_mut()
            .flat_map(|round| &mut round.entries)
            .filter_map(|entry| entry.change.announced_mut())
            // What others see was frozen, and is never completed.
            .filter(|(_, audience)| *audience != Audience::Others)
            .map(|(transition, _)| transition)
            .filter(|transition| transition.last_seen.is_none())
            .collect();
        if unknown.is_empty() {
            return;
        }
        let mut too_late = self.shared.clock.sleep(COMPLETE_WITHIN);
        for transitions in unknown.chunks_mut(CALL_MAX) {
            let names: Vec<UserId> = transitions.iter().map(|transition| transition.user.clone()).collect();
            // Without an answer the transition is told as it is: in time.
            let rows = tokio::select! {
                biased;
                rows = self.shared.store.presences(&names) => rows.unwrap_or_default(),
                () = &mut too_late => return,
            };
            for (transition, row) in transitions.iter_mut().zip(rows) {
                transition.last_seen = row.and_then(|row| row.last_seen);
            }
        }
    }

    /// Tells what has become too old to wait for the store.
    async fn tell_old(&mut self, rounds: &mut VecDeque<Round>, now: Tick) {
        while let Some(round) = rounds.pop_front_if(|round| round.is_old(now)) {
            self.tell_one(round).await;
        }
        while rounds.is_empty()
            && let Some(round) = self.untold.pop_front_if(|round| round.is_old(now))
        {
            self.tell_one(round).await;
        }
    }

    async fn tell_all(&mut self) {
        let all = std::mem::take(&mut self.untold);
        self.tell(all).await;
    }

    async fn tell(&self, rounds: VecDeque<Round>) {
        for round in rounds {
            self.tell_one(round).await;
        }
    }

    /// Tells everybody, in order. Waits for nobody, and lets others have their turn.
    async fn tell_one(&self, Round { entries, number, followed }: Round) {
        let (shared, mut wake, mut filled) = (&self.shared, Vec::new(), 0);
        let superseded = superseded(&entries);
        for (place, Entry { change, at, log, keep }) in entries.into_iter().enumerate() {
            let now = shared.clock.now().tick;
            let (presence, audience) = match change.announced() {
                Some((transition, audience)) => {
                    let left_out =
                        if shared.config.figures_of_invisible { Audience::Others } else { Audience::Insiders };
                    // Counted once in the whole group.
                    if keep == Keep::All && audience != left_out {
                        shared.metrics.announced(transition, now - at);
                    }
                    (presence_of(transition), audience)
                }
                None => match change {
                    Change::Effect(Effect::Erase(ref user)) => (unseen(user), Audience::Everybody),
                    Change::Epoch(change) => {
                        wake.extend(shared.stream.change_epoch(change));
                        continue;
                    }
                    _ => continue,
                },
            };
            if !superseded.contains(&place) {
                filled += 1 + shared.stream.tell(now, log, presence, audience, shared.config.visibility, &mut wake);
            }
            if let Change::Effect(Effect::Announce(transition)) | Change::Announce(transition, _) = change {
                shared.stream.tell_all(transition, audience);
            }
            if filled > MAILBOXES_MAX {
                filled = 0;
                wake.drain(..).for_each(|mailbox| mailbox.wake());
                tokio::task::yield_now().await;
            }
        }
        wake.iter().for_each(|mailbox| mailbox.wake());
        shared.stream.reached(followed);
        shared.stream.told_up_to(number);
    }
}

/// Of which entries watchers hear nothing. That a user leaves is said by the erasure at the same place of the log: of two at one place,
/// whoever comes back there would miss the second.
fn superseded(entries: &[Entry]) -> BTreeSet<usize> {
    let mut superseded = BTreeSet::new();
    for (place, entry) in entries.iter().enumerate() {
        if let (Change::Effect(Effect::Erase(_)), Some(_)) = (&entry.change, entry.log) {
            let before = entries[..place].iter().rev().take_while(|before| before.log == entry.log);
            superseded.extend((0..place).rev().zip(before).map(|(place, _)| place));
        }
    }
    superseded
}

fn presence_of(transition: &Transition) -> Presence {
    Presence {
        user: transition.user.clone(),
        status: transition.to,
        last_seen: transition.last_seen,
        since: Some(transition.at),
    }
}

impl Round {
    fn is_old(&self, now: Tick) -> bool {
        self.entries.first().is_none_or(|entry| now - entry.at >= TOLD_WITHIN)
    }
}

fn answer(waiting: impl IntoIterator<Item = Waiting>, kept: &Kept) {
    for waiting in waiting {
        // Who gave up waiting lost nothing.
        let _ = waiting.told.send(kept.clone());
    }
}
