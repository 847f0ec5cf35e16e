//! Time passing. **Nobody is offline later than a tenth of a second after their deadline**, unless the queue is full.

use std::sync::Arc;
use std::time::Duration;

use crate::Now;
use crate::cluster::Cluster;
use crate::shard::SHARDS;
use crate::shared::Shared;

const EVERY: Duration = Duration::from_millis(100);
/// Sessions looked at under one lock.
const STEP: usize = 512;
/// Steps of one shard in one round: what is left then waits for the next round.
const STEPS_MAX: usize = 1000;

/// How far the wall clock may go apart from the tick before the ends of overrides are counted anew.
const APART_MAX: i64 = 250_000;

pub(crate) async fn sweep_on(shared: Arc<Shared>) {
    let mut apart = apart(shared.clock.now());
    while shared.pause(EVERY).await {
        let now = shared.clock.now();
        // It was set, or the machine slept: the tick does not count that.
        if (self::apart(now) - apart).abs() > APART_MAX {
            apart = self::apart(now);
            for place in 0..SHARDS {
                shared.shards.at(place, |shard| shard.engine.wall_stepped(shared.clock.now()));
            }
        }
        sweep(&shared).await;
    }
}

/// The wall clock's lead over the tick, in microseconds.
fn apart(now: Now) -> i64 {
    now.wall.0.saturating_sub(i64::try_from(now.tick.0).unwrap_or(i64::MAX))
}

/// Ends everything that is due.
pub(crate) async fn sweep(shared: &Shared) {
    let mut took = Duration::ZERO;
    'shards: for place in 0..SHARDS {
        for _ in 0..STEPS_MAX {
            if shared.queue.is_full() {
                break 'shards;
            }
            let began = shared.clock.now().tick;
            if !step(shared, place) {
                break;
            }
            took += shared.clock.now().tick - began;
            tokio::task::yield_now().await;
        }
    }
    if !took.is_zero() {
        shared.metrics.swept(took);
    }
}

/// One locked step; false when nothing more is due in this shard.
fn step(shared: &Shared, place: usize) -> bool {
    if let Some(cluster) = &shared.cluster {
        return propose(shared, cluster, place);
    }
    shared.shards.at(place, |shard| {
        let now = shared.clock.now();
        if shard.closed || shard.engine.next_deadline().is_none_or(|at| at > now.tick) {
            return false;
        }
        let effects = shared.counted(shard, |shard| shard.engine.sweep(now, STEP));
        shared.push(shard, now, effects);
        true
    })
}

/// The same of one of several nodes, which may only propose what is due. While it is cut off, nobody is ended by silence.
fn propose(shared: &Shared, cluster: &Cluster, place: usize) -> bool {
    if !cluster.is_member() {
        return false;
    }
    let leads = cluster.leads();
    shared.shards.at(place, |shard| {
        let now = shared.clock.now();
        if shard.closed || cluster.proposals.is_full() {
            return false;
        }
        if shard.engine.adopt(now, STEP) {
            return true;
        }
        if shard.engine.next_due(leads).is_none_or(|at| at > now.tick) {
            return false;
        }
        for act in shard.engine.due(now, leads, STEP) {
            cluster.propose(shared, act);
        }
        true
    })
}
