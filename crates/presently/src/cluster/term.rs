//! One membership after the other. **A node is a member, or it is joining, or it decides alone; it is never silent for longer than
//! [`ALONE_AFTER`] about which.**

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use presently_core::Tick;
use presently_core::cluster::{DecodeError, Node};
use presently_replication::{Followed, LOST};

use super::copy::Copies;
use super::{Cluster, appender, copy, follower, heard, joiner, keeper, whispers};
use crate::bus::{self, BusError};
use crate::shared::Shared;
use crate::watch::{Epoch, EpochChange};

/// How long proposals wait for a node that joins again before it decides alone.
pub(super) const ALONE_AFTER: Duration = Duration::from_secs(2);
/// The pause between two attempts to join.
const JOIN_EVERY: Duration = Duration::from_secs(1);

/// One membership.
pub(super) struct Term<'a> {
    pub(super) shared: &'a Shared,
    pub(super) cluster: &'a Cluster,
    pub(super) node: Node,
    pub(super) epoch: u64,
    /// When the lease was last known to be held.
    pub(super) renewed: Mutex<Tick>,
    pub(super) followed: Mutex<Followed>,
    /// The copy for the node that joined last, until it is handed over.
    pub(super) copies: Copies,
}

/// Why a membership is over.
#[derive(Debug)]
pub(super) enum End {
    /// The lease is gone, or the log is another one: it begins again.
    Lost,
    /// The same, because the log does not go on from where it was read: what was read last may be in it no more.
    Trimmed,
    /// Others decide what this node cannot read: it takes part no more.
    Newer,
    /// The bus is out of reach.
    CutOff(BusError),
}

/// What became of bytes that cannot be read: garbage is passed over.
pub(super) fn unread(seq: u64, error: DecodeError) -> Result<(), End> {
    if error.is_newer() {
        return Err(End::Newer);
    }
    tracing::error!(seq, "an entry of the log makes no sense and is passed over");
    Ok(())
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        if error.is_newer() { Self::Newer } else { Self::Lost }
    }
}

impl From<presently_replication::End> for End {
    fn from(end: presently_replication::End) -> Self {
        match end {
            presently_replication::End::Lost => Self::Lost,
            presently_replication::End::Trimmed => Self::Trimmed,
            presently_replication::End::Newer => Self::Newer,
        }
    }
}

impl From<BusError> for End {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Unavailable(_) | BusError::Refused(_) => Self::CutOff(error),
            BusError::Epoch | BusError::Lost => Self::Lost,
            BusError::Trimmed => Self::Trimmed,
            BusError::Newer => Self::Newer,
        }
    }
}

/// Takes part until the program ends.
pub(crate) async fn take_part(shared: Arc<Shared>) {
    let Some(cluster) = &shared.cluster else { return };
    let mut stop = shared.stopping();
    // One that panicked was a member.
    let mut alone = !cluster.proposals.is_open();
    cluster.stand(None);
    loop {
        let end = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => return,
            end = one_term(&shared, cluster, &mut alone) => end,
        };
        cluster.stand(None);
        if cluster.leaving.load(Ordering::Acquire) {
            return;
        }
        cluster.proposals.begin_again();
        match end {
            End::Lost | End::Trimmed => {
                tracing::warn!("this node is no member any more; it joins again");
                // It may still be one by name, which has to wait for its lease to end otherwise.
                let _ = cluster.bus.leave(bus::Node(cluster.node()), cluster.epoch(), LOST).await;
            }
            End::CutOff(why) => go_alone(&shared, cluster, &mut alone, why),
            End::Newer => {
                // Joining again would only end at the next such entry: whoever watches here would begin anew each time.
                *cluster.cut_off.lock() = None;
                go_alone(&shared, cluster, &mut alone, BusError::Newer);
                let _ = cluster.bus.leave(bus::Node(cluster.node()), cluster.epoch(), LOST).await;
                let _ = stop.wait_for(|&stop| stop).await;
                return;
            }
        }
        if alone {
            if !shared.pause(JOIN_EVERY).await {
                return;
            }
            shared.metrics.alone.increment(JOIN_EVERY.as_secs());
        }
    }
}

/// Joins, and is a member until it ends.
async fn one_term(shared: &Shared, cluster: &Cluster, alone: &mut bool) -> End {
    let mut joining = std::pin::pin!(joiner::join(shared, cluster));
    let mut late = shared.clock.sleep(ALONE_AFTER);
    let mut waited = cluster.proposals.is_open();
    let term = loop {
        tokio::select! {
            biased;
            joined = &mut joining => match joined {
                Ok(term) => break term,
                Err(end) => return end,
            },
            () = &mut late => {
                let waits = cluster.proposals.is_open();
                if waits && waited {
                    let why = BusError::Unavailable("this node is joining again".into());
                    go_alone(shared, cluster, alone, why);
                }
                waited = waits;
                late = shared.clock.sleep(ALONE_AFTER);
            }
        }
    };
    *alone = false;
    *cluster.cut_off.lock() = None;
    let members = term.followed.lock().view.len();
    tracing::info!(node = term.node.0, members, "this node is a member");
    cluster.settled.send_replace(true);
    let began = shared.clock.now().tick;
    let end = term.run().await;
    let (followed, since) = (std::mem::take(&mut *term.followed.lock()), began.max(*term.renewed.lock()));
    cluster.before.lock().ended(term.node, followed, since, matches!(end, End::Trimmed));
    end
}

impl Term<'_> {
    /// Its name to the bus.
    pub(super) const fn me(&self) -> bus::Node {
        bus::Node(self.node.0)
    }

    async fn run(&self) -> End {
        // 1. Follow the log, 2. add to it, 3. stay a member, 4. hear what is whispered, 5. tell what was heard of others'
        // sessions, 6. hand over copies.
        tokio::select! {
            end = follower::follow(self) => end,
            end = appender::append(self) => end,
            end = keeper::keep(self) => end,
            end = whispers::hear(self) => end,
            end = heard::gather(self) => end,
            end = copy::hand_over(self) => end,
        }
    }
}

/// From now on this node decides itself.
fn go_alone(shared: &Shared, cluster: &Cluster, alone: &mut bool, why: BusError) {
    let cut_off = (shared.clock.now().tick, why);
    let (_, why) = cluster.cut_off.lock().get_or_insert(cut_off).clone();
    *alone = true;
    if !cluster.proposals.is_open() && *cluster.settled.borrow() {
        // It was alone before.
        return;
    }
    tracing::error!(error = %why, "this node is cut off from the others and decides alone");
    joiner::restore(shared, cluster);
    turn_away(shared);
    let waiting = cluster.proposals.close();
    shared.settle_all_alone(cluster, waiting);
    shared.own_alone(&cluster.gathered.take());
    cluster.settled.send_replace(true);
}

/// What is told from now on has no place in the log: its numbers are this node's own, and mean nothing to anybody who comes back.
pub(super) fn turn_away(shared: &Shared) {
    let now = shared.clock.now().tick;
    let epoch = Epoch(getrandom::u64().unwrap_or(now.0));
    shared.queue.change_epoch(EpochChange { epoch, log: None }, now);
}
