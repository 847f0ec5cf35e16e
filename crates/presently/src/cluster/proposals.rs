//! What this node wants decided, shared between who proposes, the appender and the follower.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use presently_core::cluster::{Entry, Node};
use presently_core::{Now, Tick};
use presently_replication::{Command, InFlight};
use tokio::sync::{Notify, oneshot};

use crate::config::Error;
use crate::shard::Shard;
use crate::shared::{Outcome, Shared};

/// Given the shard of the user, which is held, or why nothing has changed.
pub(crate) type Conclude = Box<dyn FnOnce(&Shared, Result<(&mut Shard, Outcome), Error>) + Send>;

/// What is left to do once a proposal is decided.
pub(crate) enum Finish {
    Decided(Conclude),
    /// Tells somebody who waits that the log was followed so far.
    Reached(oneshot::Sender<()>),
}

pub(crate) type Proposal = presently_replication::Proposal<Finish>;
pub(crate) type Refusal = presently_replication::Refusal<Finish>;
type Pure = presently_replication::Proposals<Finish>;

#[derive(Default)]
pub(crate) struct Proposals {
    inner: Mutex<Pure>,
    /// There may be something to append.
    ready: Notify,
    /// How many wait or are in flight, to look at without the lock.
    len: AtomicUsize,
}

impl Proposals {
    fn with<T>(&self, act: impl FnOnce(&mut Pure) -> T) -> T {
        let mut inner = self.inner.lock();
        let done = act(&mut inner);
        self.len.store(inner.len(), Ordering::Relaxed);
        done
    }

    /// Takes a proposal; gives it back when this node decides alone.
    pub(crate) fn push(&self, proposal: Proposal) -> Result<(), Refusal> {
        self.with(|inner| inner.push(proposal))?;
        self.ready.notify_one();
        Ok(())
    }

    /// From now on proposals are taken.
    pub(crate) fn open(&self) {
        self.with(Pure::open);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.inner.lock().is_open()
    }

    /// From now on this node decides alone: hands over what waits, in order.
    pub(crate) fn close(&self) -> Vec<Proposal> {
        self.with(Pure::close)
    }

    /// The node begins another life: what was given to the log and is still true waits again.
    pub(crate) fn begin_again(&self) {
        self.with(Pure::begin_again);
        self.ready.notify_one();
    }

    /// Puts commands in front of what waits: they were decided before.
    pub(crate) fn put_first(&self, commands: Vec<Command>, now: Now) {
        self.with(|inner| inner.put_first(commands, now));
        self.ready.notify_one();
    }

    /// Takes out acts that the others have followed under a former name of this node: they must not be decided again.
    pub(crate) fn take_followed(&self, followed: impl Fn(InFlight) -> bool) -> Vec<Proposal> {
        self.with(|inner| inner.take_followed(followed))
    }

    /// The next count, for an entry that is no proposal of a user.
    pub(crate) fn next_count(&self) -> u64 {
        self.with(Pure::next_count)
    }

    /// Ends when there may be something to append.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Hands over the bytes of what waits; from now on it is in flight.
    pub(crate) fn take(&self, node: Node) -> Vec<Vec<u8>> {
        let (frames, more) = self.with(|inner| (inner.take(node), inner.has_waiting()));
        if more {
            self.ready.notify_one();
        }
        frames
    }

    /// The follower came to this entry of this node.
    pub(crate) fn followed(&self, entry: &Entry) -> Option<Proposal> {
        let came = self.with(|inner| inner.followed(entry));
        if came.lost > 0 {
            tracing::warn!(proposals = came.lost, "the log has lost what was given to it; it is given again");
            self.ready.notify_one();
        }
        came.found
    }

    /// Since when the eldest in flight is waited for.
    pub(crate) fn in_flight_since(&self) -> Option<Tick> {
        self.inner.lock().in_flight_since()
    }

    /// How many wait or are in flight.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether what nobody waits for is better proposed later.
    pub(crate) fn is_full(&self) -> bool {
        self.len() > Pure::MAX / 2
    }
}
