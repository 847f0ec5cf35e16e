//! The engines behind their locks. **A shard is held only inside a closure**, so no lock can be held across an await.

use foldhash::quality::FixedState;
use parking_lot::Mutex;
use presently_core::{Counts, Engine, Limits, Policy, Presence, SessionNumber, Status, Timestamp};
use std::hash::BuildHasher;

/// A power of two: enough that two threads rarely meet, few enough that visiting all of them is cheap.
pub(crate) const SHARDS: usize = 64;
/// Users looked at under one lock when everybody is visited.
const VISIT_STEP: usize = 512;

/// Told of a user: the name, what is shown, the last evidence, since when.
pub(crate) type Visitor<'a> = &'a mut dyn FnMut(&str, Status, Option<Timestamp>, Timestamp);

#[derive(Debug)]
pub(crate) struct Shards {
    shards: Box<[Padded]>,
    hasher: FixedState,
}

/// On cache lines of its own: neighbours are locked by other threads.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(Mutex<Shard>);

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) engine: Engine,
    /// Evidence taken.
    pub(crate) evidence: u64,
    /// How often something was decided here: who left the lock in between sees whether the world moved.
    pub(crate) decided: u64,
    /// Nothing is taken any more.
    pub(crate) closed: bool,
}

impl Shards {
    /// Empty shards; `first` is above every session number that the store may know.
    pub(crate) fn new(policy: Policy, limits: Limits, first: SessionNumber, seed: [u64; 2]) -> Self {
        let shards = (0..SHARDS as u64).map(|place| {
            let number = first.saturating_add(place);
            let engine = Engine::new(policy, limits, seed[0].wrapping_add(place), number, SHARDS as u64);
            Padded(Mutex::new(Shard { engine, evidence: 0, decided: 0, closed: false }))
        });
        Self { shards: shards.collect(), hasher: FixedState::with_seed(seed[1]) }
    }

    /// Holds the shard of `user`.
    pub(crate) fn with<T>(&self, user: &str, act: impl FnOnce(&mut Shard) -> T) -> T {
        // Another seed and other bits than the engine's own table uses: the same ones would crowd its buckets.
        let place = (self.hasher.hash_one(user) >> 32) as usize % SHARDS;
        self.at(place, act)
    }

    /// Holds one shard.
    pub(crate) fn at<T>(&self, place: usize, act: impl FnOnce(&mut Shard) -> T) -> T {
        act(&mut self.shards[place].0.lock())
    }

    pub(crate) fn counts(&self) -> (Counts, u64) {
        let (mut sum, mut evidence) = (Counts::default(), 0);
        for place in 0..SHARDS {
            let (counts, taken) = self.at(place, |shard| (shard.engine.counts(), shard.evidence));
            sum.online += counts.online;
            sum.away += counts.away;
            sum.sessions += counts.sessions;
            sum.users += counts.users;
            evidence += taken;
        }
        (sum, evidence)
    }

    /// Visits everybody online or away, in small locked steps. Who leaves and returns meanwhile may be visited twice.
    pub(crate) fn visit_present(&self, visitor: Visitor<'_>) {
        for place in 0..SHARDS {
            let mut from = Some(0);
            while let Some(start) = from {
                from = self.visit_step(place, start, visitor);
            }
        }
    }

    /// One locked step of a visit; returns where to go on in this shard.
    pub(crate) fn visit_step(&self, place: usize, from: usize, visitor: Visitor<'_>) -> Option<usize> {
        self.at(place, |shard| {
            shard.engine.visit(from, VISIT_STEP, &mut |user, status, last_seen, since| {
                if status != Status::Offline {
                    visitor(user, status, last_seen, since);
                }
            })
        })
    }
}

/// A presence from what a visit shows.
pub(crate) fn presence(user: &str, status: Status, last_seen: Option<Timestamp>, since: Timestamp) -> Presence {
    Presence { user: user.into(), status, last_seen, since: Some(since) }
}
