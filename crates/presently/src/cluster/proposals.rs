//! What this node wants decided. **A proposal is answered exactly once**: when it is followed in the log, when this node decides it
//! alone because it is cut off, or by the end of its waiter's channel.
//!
//! Proposals are put into the log in the order in which they were made, each with a count. What was appended waits for the
//! follower to come to it; whether an append that failed reached the log is not known, so it is appended again with the same
//! counts, and who follows drops what it has seen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use presently_core::cluster::{Act, Entry, Node};
use presently_core::{Now, Tick, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::frame;
use crate::config::Error;
use crate::shard::Shard;
use crate::shared::{Outcome, Shared};
use crate::store::VeilRow;

/// Given the shard of the user, which is held, or why nothing has changed.
pub(crate) type Conclude = Box<dyn FnOnce(&Shared, Result<(&mut Shard, Outcome), Error>) + Send>;

/// What is left to do once a proposal is decided.
pub(crate) enum Finish {
    Decided(Conclude),
    /// Tells somebody who waits that the log was followed so far.
    Reached(oneshot::Sender<()>),
}

/// What is to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// By the engine.
    Act(Act),
    /// A veil is drawn over the user, or lifted. `shown` is what others saw of them, should they turn out to be offline.
    Veil { shown: VeilRow },
}

impl Wish {
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::Act(act) => act.user(),
            Self::Veil { shown } => Some(&shown.user),
        }
    }

    /// Whether it is still true when the node has been a member under another name since.
    fn outlives_its_node(&self) -> bool {
        match self {
            Self::Act(act) => act.outlives_its_node(),
            Self::Veil { .. } => true,
        }
    }
}

/// The name and the count of an entry.
pub(crate) type Given = (Node, u64);

pub(crate) struct Proposal {
    pub(crate) wish: Wish,
    pub(crate) wall: Timestamp,
    /// When it was made.
    pub(crate) at: Tick,
    /// Under which name and count it was given to the log last.
    pub(crate) given: Option<Given>,
    pub(crate) finish: Option<Finish>,
}

#[derive(Default)]
pub(crate) struct Proposals {
    inner: Mutex<Inner>,
    /// There may be something to append.
    ready: Notify,
    /// How many wait, to look at without the lock.
    len: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    /// Proposals are taken: this node is a member, or about to be one.
    open: bool,
    /// Not given to the log yet, with their bytes.
    waiting: VecDeque<Proposal>,
    /// Given to the log and not followed yet, by count.
    given: VecDeque<(u64, Proposal)>,
    /// The last count given.
    count: u64,
}

impl Proposals {
    /// Proposals that wait or are on their way at most: beyond it, inputs are refused. Renewals go on.
    const MAX: usize = 100_000;
    /// Proposals appended at once.
    const BATCH_MAX: usize = 1024;

    /// Takes a proposal; gives it back when this node decides alone.
    pub(crate) fn push(&self, proposal: Proposal) -> Result<(), Refusal> {
        let mut inner = self.inner.lock();
        if !inner.open {
            return Err(Refusal::Alone(Box::new(proposal)));
        }
        if inner.waiting.len() + inner.given.len() >= Self::MAX {
            return Err(Refusal::Full(Box::new(proposal)));
        }
        inner.waiting.push_back(proposal);
        self.count(&inner);
        drop(inner);
        self.ready.notify_one();
        Ok(())
    }

    /// From now on proposals are taken.
    pub(crate) fn open(&self) {
        self.inner.lock().open = true;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.inner.lock().open
    }

    /// From now on this node decides alone: hands over what waits, in order.
    pub(crate) fn close(&self) -> Vec<Proposal> {
        let mut inner = self.inner.lock();
        inner.open = false;
        let given = std::mem::take(&mut inner.given);
        let waiting = std::mem::take(&mut inner.waiting);
        self.count(&inner);
        given.into_iter().map(|(_, proposal)| proposal).chain(waiting).collect()
    }

    /// The node begins another life: what was given to the log and is still true waits again.
    pub(crate) fn begin_again(&self) {
        let mut inner = self.inner.lock();
        let given = std::mem::take(&mut inner.given).into_iter().map(|(_, proposal)| proposal);
        let waiting = std::mem::take(&mut inner.waiting);
        inner.waiting = given.chain(waiting).filter(|proposal| proposal.wish.outlives_its_node()).collect();
        inner.count = 0;
        self.count(&inner);
        drop(inner);
        self.ready.notify_one();
    }

    /// Puts wishes in front of what waits: they were decided before.
    pub(crate) fn put_first(&self, wishes: impl DoubleEndedIterator<Item = Wish>, now: Now) {
        let mut inner = self.inner.lock();
        for wish in wishes.rev() {
            let (wall, at) = (now.wall, now.tick);
            inner.waiting.push_front(Proposal { wish, wall, at, given: None, finish: None });
        }
        self.count(&inner);
        drop(inner);
        self.ready.notify_one();
    }

    /// Takes out acts that the others have followed under a former name of this node: they must not be decided again.
    pub(crate) fn take_followed(&self, followed: impl Fn(Given) -> bool) -> Vec<Proposal> {
        let mut inner = self.inner.lock();
        let waiting = std::mem::take(&mut inner.waiting);
        let done = |proposal: &Proposal| {
            // A veil may be drawn twice.
            matches!(proposal.wish, Wish::Act(_)) && proposal.given.is_some_and(&followed)
        };
        let (done, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(done);
        inner.waiting = waiting.into();
        self.count(&inner);
        done
    }

    /// The next count, for an entry that is no proposal of a user.
    pub(crate) fn next_count(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.count += 1;
        inner.count
    }

    /// Ends when there may be something to append.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Hands over the bytes of what waits; from now on it is given to the log.
    pub(crate) fn take(&self, node: Node) -> Vec<Vec<u8>> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let number = inner.waiting.len().min(Self::BATCH_MAX);
        let mut frames = Vec::with_capacity(number);
        for mut proposal in inner.waiting.drain(..number) {
            inner.count += 1;
            proposal.given = Some((node, inner.count));
            frames.push(frame::encode(node, inner.count, proposal.wall, &proposal.wish));
            inner.given.push_back((inner.count, proposal));
        }
        if !inner.waiting.is_empty() {
            self.ready.notify_one();
        }
        frames
    }

    /// The follower came to this entry of this node. What was given before it and did not come is not in the log, which lost it, and
    /// never will be: it waits again.
    pub(crate) fn followed(&self, entry: &Entry) -> Option<Proposal> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let come = inner.given.partition_point(|(count, _)| *count <= entry.count);
        let mut come: VecDeque<_> = inner.given.drain(..come).collect();
        let found = come.pop_back_if(|(count, _)| *count == entry.count);
        if !come.is_empty() {
            tracing::warn!(proposals = come.len(), "the log has lost what was given to it; it is given again");
            for (_, proposal) in come.into_iter().rev().filter(|(_, proposal)| proposal.wish.outlives_its_node()) {
                inner.waiting.push_front(proposal);
            }
            self.ready.notify_one();
        }
        self.count(inner);
        found.map(|(_, proposal)| proposal)
    }

    /// Since when the eldest that was given to the log is waited for.
    pub(crate) fn given_at(&self) -> Option<Tick> {
        self.inner.lock().given.front().map(|(_, proposal)| proposal.at)
    }

    /// How many wait or are on their way.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether what nobody waits for is better proposed later.
    pub(crate) fn is_full(&self) -> bool {
        self.len() > Self::MAX / 2
    }

    fn count(&self, inner: &Inner) {
        self.len.store(inner.waiting.len() + inner.given.len(), Ordering::Relaxed);
    }
}

/// Why a proposal was not taken.
pub(crate) enum Refusal {
    /// This node is cut off, and decides it itself.
    Alone(Box<Proposal>),
    /// There are too many.
    Full(Box<Proposal>),
}
