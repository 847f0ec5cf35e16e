//! The slow work, once a minute. **Each round is bounded**, and a store that is away costs it nothing but its turn.

use std::sync::Arc;
use std::time::Duration;

use presently_core::{Effect, PresenceRow};

use crate::compare::{compare, present};
use crate::shared::Shared;
use crate::store::StoreError;
use crate::{Presence, Status, Timestamp, UserId};

const EVERY: Duration = Duration::from_secs(60);
/// Rounds in which everybody's row is refreshed once: an hour.
const REFRESH_ROUNDS: usize = 60;
/// Rows refreshed between two looks at the queue.
const REFRESH_STEP: usize = 500;
const PRUNE_STEP: u32 = 1000;
/// How long one round prunes at most. Half of the time is for what expired, so pruning keeps up with whatever the same store could
/// write; the rest is the next round's.
const PRUNE_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn keep_up(shared: Arc<Shared>) {
    let mut refreshed_to = None;
    while shared.pause(EVERY).await {
        if shared.cluster.as_ref().is_some_and(|cluster| !cluster.leads()) {
            continue;
        }
        let present = present(&shared).await;
        if let Err(error) = compare(&shared, &present).await {
            tracing::debug!(%error, "the comparison was put off");
        }
        refresh(&shared, &present, &mut refreshed_to).await;
        if let Err(error) = prune(&shared).await {
            tracing::debug!(%error, "pruning the history was put off");
        }
    }
}

/// Writes the `last_seen` of the next few of those present, in the order of their names: programs that query the table
/// see it move, and heartbeats still cost no write.
pub(crate) async fn refresh(shared: &Shared, present: &[UserId], refreshed_to: &mut Option<UserId>) {
    let from = refreshed_to.as_ref().map_or(0, |last| present.partition_point(|user| user <= last));
    let to = present.len().min(from + present.len().div_ceil(REFRESH_ROUNDS));
    for names in present[from..to].chunks(REFRESH_STEP) {
        if shared.queue.is_away() || shared.queue.len() + shared.queue.backlog() > REFRESH_STEP {
            return;
        }
        names.iter().for_each(|user| save(shared, user));
        *refreshed_to = names.last().cloned();
        tokio::task::yield_now().await;
    }
    if to == present.len() {
        *refreshed_to = None;
    }
}

/// Queues the row of a user as they are, if they are present.
pub(crate) fn save(shared: &Shared, user: &str) {
    shared.shards.with(user, |shard| {
        if let Some(Presence { user, status, last_seen, since: Some(since) }) = shard.engine.presence(user)
            && status != Status::Offline
        {
            let row = PresenceRow { user, status, last_seen, since };
            shared.push(shard, shared.clock.now(), vec![Effect::SavePresence(row)]);
        }
    });
}

async fn prune(shared: &Shared) -> Result<(), StoreError> {
    let retention = i64::try_from(shared.config.history_retention.as_micros()).unwrap_or(i64::MAX);
    let began = shared.clock.now();
    let before = Timestamp(began.wall.0.saturating_sub(retention));
    let mut stop = shared.stopping();
    while shared.clock.now().tick - began.tick < PRUNE_WITHIN && !*stop.borrow_and_update() {
        if shared.store.prune_transitions(before, PRUNE_STEP).await? < u64::from(PRUNE_STEP) {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}
