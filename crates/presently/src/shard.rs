//! The engines behind their locks. **A shard is held only inside a closure**, so no lock can be held across an await.

use foldhash::quality::FixedState;
use parking_lot::Mutex;
use presently_core::{Counts, Engine, Limits, Policy, Presence, SessionNumber, Status, Timestamp};
use std::hash::BuildHasher;

use crate::pace::Pace;
use crate::veil::Veils;

/// A power of two: enough that two threads rarely meet, few enough that visiting all of them is cheap.
pub(crate) const SHARDS: usize = 64;
/// Users looked at under one lock when everybody is visited.
pub(crate) const VISIT_STEP: usize = 512;

#[derive(Debug)]
pub(crate) struct Shards {
    shards: Box<[Padded]>,
    hasher: FixedState,
    policy: Policy,
    limits: Limits,
    seed: u64,
    first: SessionNumber,
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
    /// How much of it was of users who were invisible.
    pub(crate) evidence_hidden: u64,
    /// How often something was decided here: who left the lock in between sees whether the world moved.
    pub(crate) decided: u64,
    /// What others see in the place of the truth.
    pub(crate) veils: Veils,
    /// How fast each user changed something lately.
    pub(crate) pace: Pace,
    /// Nothing is taken any more.
    pub(crate) closed: bool,
}

/// Shown a user: the name, the status, the last evidence, and since when.
pub(crate) type Visitor<'a> = dyn FnMut(&str, Status, Option<Timestamp>, Timestamp) + 'a;

impl Shard {
    /// Counts evidence that was taken.
    pub(crate) fn count_evidence(&mut self, user: &str) {
        self.evidence += 1;
        if !self.veils.is_empty() && self.veils.get(user).is_some_and(|veil| veil.hidden) {
            self.evidence_hidden += 1;
        }
    }
}

impl Shards {
    /// Empty shards; `first` is above every session number that the store may know.
    pub(crate) fn new(policy: Policy, limits: Limits, first: SessionNumber, seed: [u64; 2]) -> Self {
        let hasher = FixedState::with_seed(seed[1]);
        let mut shards = Self { shards: Box::default(), hasher, policy, limits, seed: seed[0], first };
        let padded = |engine| {
            let (veils, pace) = (Veils::default(), Pace::default());
            Padded(Mutex::new(Shard {
                engine,
                evidence: 0,
                evidence_hidden: 0,
                decided: 0,
                veils,
                pace,
                closed: false,
            }))
        };
        shards.shards = shards.empty_engines().map(padded).collect();
        shards
    }

    /// New engines, one for each shard.
    pub(crate) fn empty_engines(&self) -> impl Iterator<Item = Engine> {
        (0..SHARDS as u64).map(|place| {
            let number = self.first.saturating_add(place);
            Engine::new(self.policy, self.limits, self.seed.wrapping_add(place), number, SHARDS as u64)
        })
    }

    /// Which shard holds `user`.
    pub(crate) fn place(&self, user: &str) -> usize {
        // Another seed and other bits than the engine's own table uses: the same ones would crowd its buckets.
        (self.hasher.hash_one(user) >> 32) as usize % SHARDS
    }

    /// Holds the shard of `user`.
    pub(crate) fn with<T>(&self, user: &str, act: impl FnOnce(&mut Shard) -> T) -> T {
        self.at(self.place(user), act)
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

    /// Evidence taken of users who were not invisible.
    pub(crate) fn evidence_of_visible(&self) -> u64 {
        (0..SHARDS).map(|place| self.at(place, |shard| shard.evidence - shard.evidence_hidden)).sum()
    }

    /// One locked step of a visit to everybody online or away; returns where to go on in this shard. Who leaves and returns
    /// meanwhile may be visited twice.
    pub(crate) fn visit_step(&self, place: usize, from: usize, visitor: &mut Visitor<'_>) -> Option<usize> {
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
