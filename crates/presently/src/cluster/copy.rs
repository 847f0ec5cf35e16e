//! Giving one's state to a node that joins. **A copy is of one place in the log**: it is made while nothing is followed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use presently_core::cluster::Node;
use presently_replication::snapshot::{Record, Writer};
use tokio::sync::Notify;

use super::term::{End, Term};
use crate::bus::{self, BusError};
use crate::shard::{SHARDS, VISIT_STEP};

/// Nodes that wait for a copy; those beyond ask again.
const ASKED_MAX: usize = 256;
/// How long a full queue of chunks is waited for, and how often.
const PUT_AGAIN: Duration = Duration::from_millis(50);
const PUT_TRIES_MAX: usize = 200;

/// For whom a copy is, and its chunks.
type Copy = (Node, Arc<[Vec<u8>]>);

/// Who asked for a copy, and the one that is being handed over.
#[derive(Default)]
pub(super) struct Copies {
    asked: Mutex<VecDeque<Node>>,
    next: Mutex<Option<Copy>>,
    ready: Notify,
}

impl Copies {
    /// A node asks for a copy, maybe again.
    pub(super) fn ask(&self, node: Node) {
        let mut asked = self.asked.lock();
        let given = self.next.lock().as_ref().is_some_and(|&(to, _)| to == node);
        if !given && !asked.contains(&node) && asked.len() < ASKED_MAX {
            asked.push_back(node);
        }
    }
}

/// Makes the next copy, of the place up to which the log was followed, if one is asked for and none is on its way.
pub(super) async fn prepare(term: &Term<'_>) {
    if term.copies.next.lock().is_some() {
        return;
    }
    let Some(to) = term.copies.asked.lock().pop_front() else { return };
    let seq = {
        let followed = term.followed.lock();
        if !followed.view.is_live(to) || followed.view.donor(to) != Some(term.node) {
            return;
        }
        followed.seq
    };
    let began = term.shared.clock.now().tick;
    let mut chunks = Writer::default();
    chunks.put(&Record::Place(seq));
    let view = term.followed.lock().view.clone();
    chunks.put(&Record::View(view));
    let ancestry = term.cluster.before.lock().ancestry.clone();
    chunks.put(&Record::Ancestry(ancestry));
    for shard in 0..SHARDS {
        chunks.put(&Record::Past(shard, term.shared.shards.at(shard, |held| held.engine.past())));
        let mut from = Some(0);
        while let Some(start) = from {
            from = term.shared.shards.at(shard, |held| {
                let now = term.shared.clock.now();
                held.engine.visit_states(now, start, VISIT_STEP, &mut |state| chunks.put(&Record::User(shard, state)))
            });
            tokio::task::yield_now().await;
        }
        term.shared.shards.at(shard, |held| {
            held.veils.iter().for_each(|(user, veil)| chunks.put(&Record::Veil(shard, veil.row(user))));
        });
    }
    let chunks = chunks.finish();
    let size: usize = chunks.iter().map(Vec::len).sum();
    term.shared.metrics.copied(size);
    let took_ms = (term.shared.clock.now().tick - began).as_millis() as u64;
    tracing::info!(node = to.0, bytes = size, took_ms, "a copy is made for a node that joins");
    *term.copies.next.lock() = Some((to, chunks.into()));
    term.copies.ready.notify_one();
}

/// Hands copies over.
pub(super) async fn hand_over(term: &Term<'_>) -> End {
    loop {
        let next = term.copies.next.lock().as_ref().map(|(to, chunks)| (*to, Arc::clone(chunks)));
        let Some((to, chunks)) = next else {
            term.copies.ready.notified().await;
            continue;
        };
        for chunk in &*chunks {
            if let Err(error) = put(term, to, chunk).await {
                // Who waits for it asks again.
                tracing::warn!(node = to.0, %error, "a copy could not be handed over");
                break;
            }
        }
        *term.copies.next.lock() = None;
    }
}

/// Waits while too many chunks wait: whoever joins takes them, or is gone.
async fn put(term: &Term<'_>, to: Node, chunk: &[u8]) -> Result<(), BusError> {
    for _ in 0..PUT_TRIES_MAX {
        if term.cluster.bus.put_chunk(bus::Node(to.0), chunk).await? {
            return Ok(());
        }
        term.shared.clock.sleep(PUT_AGAIN).await;
    }
    Err(BusError::Unavailable("nobody takes the chunks".into()))
}
