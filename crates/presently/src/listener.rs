//! What keeps `last_seen` across a crash: once a second, everything that was heard goes to the store as one packed block.
//! **Evidence is let go of only when a block with it was appended.**

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use presently_core::{SessionNumber, Tick, Timestamp};

use crate::cluster::whisper;
use crate::evidence::{Stamp, pack};
use crate::shard::SHARDS;
use crate::shared::Shared;
use crate::store::{EvidenceBlock, StoreError};

const EVERY: Duration = Duration::from_secs(1);
/// How often it is seen whether the wall clock stepped, and what counts as a step.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(500);
/// Entries of one block.
const BLOCK_MAX: usize = 1_000_000;

/// Entries that wait while the store is away, unless twice as many sessions live: what was heard last is kept.
const WAITING_MAX: usize = 4_000_000;

/// What was heard and is not appended yet.
#[derive(Debug)]
pub(crate) struct Heard {
    life: u64,
    /// Not sorted, and with older evidence of a session before newer.
    waiting: Vec<(SessionNumber, Timestamp)>,
    /// The blocks that must stay, by their place in this life: the wall clock may step, and then their times say little.
    kept: VecDeque<(Tick, Timestamp)>,
}

impl Heard {
    /// `oldest` is the time of the oldest block of earlier lives.
    pub(crate) fn new(life: u64, opened: Tick, oldest: Option<Timestamp>) -> Self {
        Self { life, waiting: Vec::new(), kept: oldest.map(|at| (opened, at)).into_iter().collect() }
    }

    /// Sorted by number, the newest evidence of each, at most `limit`.
    fn tidy(&mut self, limit: usize) {
        self.waiting.sort_by_key(|&(number, _)| number);
        self.waiting.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = later.1;
            }
            same
        });
        if self.waiting.len() > limit {
            self.waiting.sort_unstable_by_key(|&(_, at)| std::cmp::Reverse(at));
            self.waiting.truncate(limit);
            self.waiting.sort_unstable_by_key(|&(number, _)| number);
        }
    }

    /// The time from which blocks must stay, so that silence can be measured over `length` of listening.
    fn keep_from(&mut self, now: presently_core::Now, length: Duration) -> Timestamp {
        while self.kept.front().is_some_and(|&(tick, _)| now.tick - tick > length) {
            self.kept.pop_front();
        }
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        let by_wall = Timestamp(now.wall.0.saturating_sub(micros));
        self.kept.iter().map(|&(_, at)| at).fold(by_wall, Ord::min)
    }
}

pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut failing = false;
    while wait(&shared).await {
        shared.stream.end_opening();
        let appended = append(&shared).await;
        if let Err(error) = &appended
            && !failing
        {
            tracing::warn!(%error, "evidence could not be kept; it is tried again each second");
        }
        failing = appended.is_err();
    }
}

/// For a second, or until the wall clock steps: what comes between a step and the next block has its place among the blocks by the
/// wall clock alone. False when the tasks are to end.
async fn wait(shared: &Shared) -> bool {
    let begun = shared.clock.now();
    loop {
        if !shared.pause(LOOK_EVERY).await {
            return false;
        }
        let now = shared.clock.now();
        let passed = now.tick - begun.tick;
        let (expected, step) = (begun.wall + passed, i64::try_from(STEP.as_micros()).unwrap_or(i64::MAX));
        if passed >= EVERY || (now.wall.0 - expected.0).abs() > step {
            return true;
        }
    }
}

/// Appends what was heard since the last time. An empty block says that the server listened until then.
pub(crate) async fn append(shared: &Shared) -> Result<(), StoreError> {
    let mut heard = shared.heard.lock().await;
    let (mut users, mut sessions) = (0, 0);
    let (several, mut whispered) = (shared.cluster.is_some(), Vec::new());
    for place in 0..SHARDS {
        let from = heard.waiting.len();
        shared.shards.at(place, |shard| {
            let counts = shard.engine.counts();
            (users, sessions) = (users + counts.users, sessions + counts.sessions);
            shard.engine.drain_evidence(&mut |number, at| heard.waiting.push((number, at)));
        });
        if several && heard.waiting.len() > from {
            whispered.push((place, heard.waiting[from..].to_vec()));
        }
    }
    let stamp = Stamp { life: heard.life, tick: shared.clock.now().tick };
    whisper(shared, stamp, whispered).await;
    if users == 0 && heard.waiting.is_empty() {
        shared.set_journal_health(Ok(()));
        return Ok(());
    }
    heard.tidy(WAITING_MAX.max(usize::try_from(sessions).unwrap_or(usize::MAX / 2) * 2));
    let now = shared.clock.now();
    let stamp = Stamp { life: heard.life, tick: now.tick };
    let keep_from = heard.keep_from(now, shared.config.policy.inactivity_timeout() * 2 + Duration::from_secs(60));
    let mut at = now.wall;
    loop {
        let count = heard.waiting.len().min(BLOCK_MAX);
        let block = EvidenceBlock { at, packed: pack(stamp, at, &heard.waiting[..count]) };
        let appended = shared.store.append_evidence(&block, keep_from).await;
        shared.set_journal_health(appended.clone());
        appended?;
        heard.kept.push_back((now.tick, at));
        heard.waiting.drain(..count);
        if heard.waiting.is_empty() {
            break;
        }
        at = at + Duration::from_micros(1);
    }
    if heard.waiting.capacity() > BLOCK_MAX {
        heard.waiting = Vec::new();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use presently_core::Now;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(300);

    fn now(second: u64, wall: i64) -> Now {
        Now { tick: Tick(second * 1_000_000), wall: Timestamp(wall * 1_000_000) }
    }

    #[test]
    fn the_newest_evidence_of_a_session_is_kept() {
        let mut heard = Heard::new(1, Tick(0), None);
        heard.waiting = vec![(2, Timestamp(20)), (1, Timestamp(30)), (2, Timestamp(10)), (1, Timestamp(31))];
        heard.tidy(9);
        assert_eq!(heard.waiting, [(1, Timestamp(31)), (2, Timestamp(10))]);
        heard.waiting.push((3, Timestamp(20)));
        heard.tidy(2);
        assert_eq!(heard.waiting, [(1, Timestamp(31)), (3, Timestamp(20))]);
    }

    #[test]
    fn a_wall_that_steps_forward_drops_no_block_that_is_needed() {
        let mut heard = Heard::new(1, Tick(0), None);
        heard.kept.extend([(Tick(10_000_000), Timestamp(10_000_000)), (Tick(11_000_000), Timestamp(11_000_000))]);
        assert_eq!(heard.keep_from(now(12, 3612), LENGTH), Timestamp(10_000_000));
        assert_eq!(heard.keep_from(now(311, 3911), LENGTH), Timestamp(11_000_000));
        assert_eq!(heard.keep_from(now(312, 3912), LENGTH), Timestamp(3_612_000_000));
    }
}
