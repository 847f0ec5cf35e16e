//! Beginning a cluster, or going on with one of which nobody else has the state. **What a founder goes on with, it says**: whoever joins can
//! tell what it never heard of.

use std::time::Duration;

use presently_core::cluster::Node;
use presently_replication::{Word, founded};

use super::follower;
use super::joiner::{LOOK_EVERY, append_frames, engines, restore, start};
use super::term::{End, Term};

/// How long one who founds a cluster waits for those who may know more: shorter than what is asked for waits for it.
const OTHERS_WITHIN: Duration = Duration::from_millis(1500);

/// How far this node had followed the log of another epoch.
pub(super) fn last_followed(term: &Term<'_>) -> Option<(u64, u64)> {
    term.cluster.before.lock().other_log(term.epoch)
}

/// Whoever had followed the same log further than this node, which is about to go on with what it has. The bus has lost the log; the others
/// find out in this moment too, and are waited for.
pub(super) async fn further(term: &Term<'_>) -> Result<Option<Node>, End> {
    let Some((epoch, seq)) = last_followed(term) else { return Ok(None) };
    let mut others = term.cluster.before.lock().followed.view.len().saturating_sub(1);
    let (mut furthest, mut node) = (seq, None);
    let mut after = term.followed.lock().seq;
    let began = term.shared.clock.now().tick;
    while others > 0 && term.shared.clock.now().tick - began < OTHERS_WITHIN {
        for logged in term.cluster.bus.read(term.epoch, after, follower::READ_MAX, LOOK_EVERY).await? {
            after = logged.seq;
            let Word::Knows(knows) = Word::read(logged.seq, &logged.bytes) else { continue };
            if knows.epoch != epoch {
                continue;
            }
            others = others.saturating_sub(1);
            if knows.seq > furthest {
                (furthest, node) = (knows.seq, Some(knows.node));
            }
        }
    }
    Ok(node)
}

/// Begins a cluster with what this node has.
pub(super) fn found(term: &Term<'_>, others: impl IntoIterator<Item = Node>) {
    restore(term.shared, term.cluster);
    let engines = engines(term);
    let seq = term.followed.lock().seq;
    for (place, mut engine) in engines.into_iter().enumerate() {
        term.shared.shards.at(place, |shard| {
            let now = term.shared.clock.now();
            engine.load_past(shard.engine.past(), seq);
            shard.engine.visit_states(now, 0, usize::MAX, &mut |mut state| {
                state.sessions.iter_mut().for_each(|session| session.owner = term.node);
                engine.load(now, state);
            });
            // Whoever was silent here while nobody told the others may have been heard there: each has a full timeout.
            shard.engine = engine;
        });
    }
    *term.followed.lock() = term.cluster.before.lock().found(term.node, others, term.epoch, seq);
    term.cluster.alone.lock().clear();
    start(term);
}

/// Begins it in a log in which others wait for a copy, or have another state.
pub(super) async fn found_anew(term: &Term<'_>, others: Vec<Node>) -> Result<(), End> {
    append_frames(term, &[founded(term.node)]).await?;
    let waiting = others.clone();
    found(term, others);
    waiting.into_iter().filter(|&node| node != term.node).for_each(|node| term.copies.ask(node));
    Ok(())
}
