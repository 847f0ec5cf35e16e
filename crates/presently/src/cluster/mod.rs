//! One of several nodes. **Whatever changes what is shown is an entry of the one log, and every node follows the entries in order**: all
//! decide the same, each transition once; what a live session's owner hears of it stays in the owner's memory.
//!
//! - `frame`: entries as bytes
//! - `proposals`: what this node wants decided, and who waits for it
//! - `roll`: who takes part
//! - `term`: one membership from joining to losing it, and what runs during it: `appender`, `follower`, `keeper`
//! - `joiner`, `copy`: beginning with another node's state, and giving it to others
//! - `founder`: beginning with one's own
//! - `alone`: deciding while the bus is out of reach
//! - `heard`: heartbeats that come to another node than their session's, packed
//! - `whispers`: what others heard of their sessions, each second

mod alone;
mod appender;
mod copy;
mod follower;
mod founder;
mod frame;
mod heard;
mod joiner;
mod keeper;
mod proposals;
mod roll;
mod term;
mod whispers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use presently_core::cluster::{Act, Ancestry, Node};
use presently_core::{Engine, Input, Tick};
use tokio::sync::{oneshot, watch};

pub(crate) use proposals::{Finish, Proposal, Proposals, Refusal, Wish};
pub(crate) use term::take_part;
pub(crate) use whispers::whisper;

use self::roll::Roll;
use self::term::Followed;
use crate::bus::{self, Bus, BusError};
use crate::config::Error;
use crate::restore::Restored;
use crate::shard::Shard;
use crate::shared::{Outcome, Shared};

/// How long a node that leaves waits until what was asked for is decided.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
const LEAVE_LOOK: Duration = Duration::from_millis(10);

/// What the rest of the driver knows of the cluster.
pub(crate) struct Cluster {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) proposals: Proposals,
    /// This node follows the log.
    member: AtomicBool,
    /// Of all members it is the one who does what only one is to do.
    leads: AtomicBool,
    /// Its incarnation, or zero.
    node: AtomicU64,
    epoch: AtomicU64,
    /// How many other members there are.
    others: AtomicUsize,
    /// A name under which it may have joined, without a reply.
    unanswered: Mutex<Option<Node>>,
    /// What was so when it was a member last.
    before: Mutex<Before>,
    /// What was heard of other nodes' sessions and is not in the log yet.
    pub(crate) gathered: heard::Gathered,
    /// It leaves for good.
    leaving: AtomicBool,
    /// What was decided alone and is to be told to the others; the oldest go first.
    alone: Mutex<alone::Journal>,
    /// Why this node is cut off, and since when.
    pub(crate) cut_off: Mutex<Option<(Tick, BusError)>>,
    /// What the store knew at the start, until it is taken up or not needed.
    pub(crate) restored: Mutex<Option<Restored>>,
    /// Becomes true when this node is a member or decides alone for the first time.
    pub(crate) settled: watch::Sender<bool>,
}

/// What a node knows of the cluster from when it was a member last, or is one.
#[derive(Debug, Default)]
struct Before {
    /// Its name.
    node: Option<Node>,
    /// How far it followed the log.
    followed: Followed,
    /// How its state came to be.
    ancestry: Ancestry,
    /// When it was surely a member for the last time; before the first time, when it began.
    since: Tick,
    /// What it followed last may not be in the log any more.
    trimmed: bool,
}

impl Before {
    /// What `engine`, which was right until then, has to claim of the `copy` that is to succeed it, whose state came to be as
    /// `theirs` says.
    fn claims(&self, engine: &Engine, copy: &Engine, theirs: &Ancestry, claim: &mut dyn FnMut(Act)) {
        let know = |number| {
            let epoch = self.ancestry.epoch_of(number).filter(|_| !self.trimmed);
            epoch.is_some_and(|epoch| theirs.knows(epoch, number))
        };
        engine.claims(self.since, self.followed.seq, copy, &know, claim);
    }
}

impl Cluster {
    pub(crate) fn new(bus: Arc<dyn Bus>, restored: Restored, now: Tick) -> Self {
        Self {
            bus,
            proposals: Proposals::default(),
            member: AtomicBool::new(false),
            leads: AtomicBool::new(false),
            node: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            others: AtomicUsize::new(0),
            unanswered: Mutex::new(None),
            before: Mutex::new(Before { since: now, ..Before::default() }),
            gathered: heard::Gathered::default(),
            leaving: AtomicBool::new(false),
            alone: Mutex::default(),
            cut_off: Mutex::new(None),
            restored: Mutex::new(Some(restored)),
            settled: watch::Sender::new(false),
        }
    }

    /// Whether this node follows the log at this moment.
    pub(crate) fn is_member(&self) -> bool {
        self.member.load(Ordering::Acquire)
    }

    /// Whether it does what only one node is to do.
    pub(crate) fn leads(&self) -> bool {
        self.is_member() && self.leads.load(Ordering::Acquire)
    }

    pub(crate) fn node(&self) -> u64 {
        self.node.load(Ordering::Acquire)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn stand(&self, roll: Option<&Roll>) {
        let node = Node(self.node());
        self.others.store(roll.map_or(0, |roll| roll.len().saturating_sub(1)), Ordering::Release);
        self.leads.store(roll.is_some_and(|roll| roll.eldest() == Some(node)), Ordering::Release);
        self.member.store(roll.is_some(), Ordering::Release);
    }

    /// This node and the others.
    pub(crate) fn members(&self) -> usize {
        self.others.load(Ordering::Acquire) + 1
    }

    /// Whether others go on when this node leaves.
    pub(crate) fn has_heir(&self) -> bool {
        self.others.load(Ordering::Acquire) > 0
    }

    /// `Ok` while this node is a member.
    pub(crate) fn health(&self) -> Result<(), BusError> {
        match &*self.cut_off.lock() {
            Some((_, why)) => Err(why.clone()),
            None => Ok(()),
        }
    }

    /// Hands everything over to the others: what was asked for is decided, and this node's sessions are another's.
    pub(crate) async fn leave(&self, shared: &Shared) {
        if !self.is_member() {
            return;
        }
        let began = shared.clock.now().tick;
        heard::hand_in(shared, self);
        while self.proposals.len() > 0 && self.is_member() && shared.clock.now().tick - began < LEAVE_WITHIN {
            shared.clock.sleep(LEAVE_LOOK).await;
        }
        self.leaving.store(true, Ordering::Release);
        if let Err(error) = self.bus.leave(bus::Node(self.node()), self.epoch(), frame::LOST).await {
            tracing::debug!(%error, "the lease was not given up");
        }
    }

    /// Returns when this node has followed whatever was in the log when this was called, and whatever it had proposed itself; at once
    /// when it decides alone.
    pub(crate) async fn caught_up(&self, shared: &Shared) -> Result<(), Error> {
        heard::hand_in(shared, self);
        loop {
            shared.closed()?;
            let (told, reached) = oneshot::channel();
            let now = shared.clock.now();
            let finish = Some(Finish::Reached(told));
            let proposal = Proposal { wish: Wish::Act(Act::Tick), wall: now.wall, at: now.tick, given: None, finish };
            match self.proposals.push(proposal) {
                Ok(()) => {}
                Err(Refusal::Full(_)) => return Err(Error::Full),
                Err(Refusal::Alone(_)) => return Ok(()),
            }
            // When it came to nothing the membership is over, and another one, or none, begins.
            if reached.await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Proposes something that nobody waits for. False when there is no room, or nobody to propose it to.
    pub(crate) fn propose(&self, shared: &Shared, act: Act) -> bool {
        let now = shared.clock.now();
        let proposal = Proposal { wish: Wish::Act(act), wall: now.wall, at: now.tick, given: None, finish: None };
        self.proposals.push(proposal).is_ok()
    }
}

/// What becomes of something that was asked for.
#[derive(Debug)]
pub(crate) enum Decision<T> {
    /// It is decided.
    Made(T),
    /// The log is yet to be followed up to it.
    Pending(oneshot::Receiver<Result<T, Error>>),
}

impl<T> Decision<T> {
    /// Ends when it is decided.
    pub(crate) async fn made(self) -> Result<T, Error> {
        match self {
            Self::Made(made) => Ok(made),
            Self::Pending(made) => made.await.unwrap_or(Err(Error::Closed)),
        }
    }
}

impl Shared {
    /// Decides `input`, and has `finish` push what follows from it before the shard is let go: at once, or when the log of the
    /// cluster comes to it.
    pub(crate) fn decide_then<T: Send + 'static>(
        &self,
        shard: &mut Shard,
        input: Input<'_>,
        finish: impl FnOnce(&Self, &mut Shard, Outcome) -> T + Send + 'static,
    ) -> Result<Decision<T>, Error> {
        match &self.cluster {
            None => Ok(Decision::Made(self.decide_alone(shard, input, finish)?)),
            Some(cluster) => {
                self.room_for(shard, &input)?;
                let act = shard.engine.propose(self.clock.now(), &input)?;
                self.propose_then(cluster, shard, Wish::Act(act), finish)
            }
        }
    }

    /// Has a wish decided by the log, or alone while there is none.
    pub(crate) fn propose_then<T: Send + 'static>(
        &self,
        cluster: &Cluster,
        shard: &mut Shard,
        wish: Wish,
        finish: impl FnOnce(&Self, &mut Shard, Outcome) -> T + Send + 'static,
    ) -> Result<Decision<T>, Error> {
        let (told, mut made) = oneshot::channel();
        let finish = Finish::Decided(Box::new(move |shared, decided| {
            // Who gave up waiting changes nothing.
            let _ = told.send(decided.map(|(shard, outcome)| finish(shared, shard, outcome)));
        }));
        let now = self.clock.now();
        let proposal = Proposal { wish, wall: now.wall, at: now.tick, given: None, finish: Some(finish) };
        match cluster.proposals.push(proposal) {
            Ok(()) => Ok(Decision::Pending(made)),
            Err(Refusal::Full(_)) => Err(Error::Full),
            Err(Refusal::Alone(proposal)) => {
                self.settle_alone(cluster, shard, *proposal);
                made.try_recv().unwrap_or(Err(Error::Closed)).map(Decision::Made)
            }
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("member", &self.is_member()).finish_non_exhaustive()
    }
}
