//! One of several nodes. **Whatever changes what is shown is an entry of the one log, and every node follows the entries in order**: all
//! decide the same, each transition once; what a live session's owner hears of it stays in the owner's memory.
//!
//! - `proposals`: what this node wants decided, and who waits for it
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
mod heard;
mod joiner;
mod keeper;
mod proposals;
mod term;
mod whispers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use presently_core::cluster::{Act, Node};
use presently_core::{Input, Tick};
use presently_replication::{Former, Journal, LOST, View};
use tokio::sync::{oneshot, watch};

pub(crate) use presently_replication::Command;
pub(crate) use proposals::{Finish, Proposal, Proposals, Refusal};
pub(crate) use term::take_part;
pub(crate) use whispers::whisper;

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
    before: Mutex<Former>,
    /// What was heard of other nodes' sessions and is not in the log yet.
    pub(crate) gathered: heard::Gathered,
    /// It leaves for good.
    leaving: AtomicBool,
    /// What was decided alone and is to be told to the others; the oldest go first.
    alone: Mutex<Journal>,
    /// Why this node is cut off, and since when.
    pub(crate) cut_off: Mutex<Option<(Tick, BusError)>>,
    /// What the store knew at the start, until it is taken up or not needed.
    pub(crate) restored: Mutex<Option<Restored>>,
    /// Becomes true when this node is a member or decides alone for the first time.
    pub(crate) settled: watch::Sender<bool>,
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
            before: Mutex::new(Former::new(now)),
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

    fn stand(&self, view: Option<&View>) {
        let node = Node(self.node());
        self.others.store(view.map_or(0, |view| view.len().saturating_sub(1)), Ordering::Release);
        self.leads.store(view.is_some_and(|view| view.leader() == Some(node)), Ordering::Release);
        self.member.store(view.is_some(), Ordering::Release);
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
        if let Err(error) = self.bus.leave(bus::Node(self.node()), self.epoch(), LOST).await {
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
            let proposal =
                Proposal { completion: finish, ..Proposal::new(Command::Act(Act::Tick), now.wall, now.tick) };
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
        let proposal = Proposal::new(Command::Act(act), now.wall, now.tick);
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
                self.propose_then(cluster, shard, Command::Act(act), finish)
            }
        }
    }

    /// Has a command decided by the log, or alone while there is none.
    pub(crate) fn propose_then<T: Send + 'static>(
        &self,
        cluster: &Cluster,
        shard: &mut Shard,
        command: Command,
        finish: impl FnOnce(&Self, &mut Shard, Outcome) -> T + Send + 'static,
    ) -> Result<Decision<T>, Error> {
        let (told, mut made) = oneshot::channel();
        let finish = Finish::Decided(Box::new(move |shared, decided| {
            // Who gave up waiting changes nothing.
            let _ = told.send(decided.map(|(shard, outcome)| finish(shared, shard, outcome)));
        }));
        let now = self.clock.now();
        let proposal = Proposal { completion: Some(finish), ..Proposal::new(command, now.wall, now.tick) };
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
