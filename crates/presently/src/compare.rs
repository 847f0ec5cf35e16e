//! The safety net: does the store say what the engine says? **A difference counts only when it still stands after everything
//! decided before was kept**; the engine is right, and its truth is queued like any other.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use presently_core::{Effect, PresenceRow};

use crate::config::Error;
use crate::shared::Shared;
use crate::store::StoreError;
use crate::{Presence, Status, UserId};

const PAGE: u32 = 1000;
/// Suspicions followed up in one comparison; the next one finds the rest.
const SUSPECTS_MAX: usize = 10_000;

/// Everybody shown online or away, by name.
pub(crate) async fn present(shared: &Shared) -> Arc<[UserId]> {
    let mut names: Vec<UserId> = Vec::new();
    shared.visit(&mut |user: &str, _, _, _| names.push(user.into())).await;
    // A million names take a while to sort: not on a thread that serves.
    let sorted = tokio::task::spawn_blocking(move || {
        names.sort_unstable();
        names
    });
    sorted.await.unwrap_or_default().into()
}

/// Mends what differs; returns how many did.
pub(crate) async fn compare(shared: &Shared, present: &[UserId]) -> Result<u64, Error> {
    let suspects = suspects(shared, present).await?;
    if suspects.is_empty() {
        return Ok(0);
    }
    settled(shared).await?;
    let mut mended = 0;
    for names in suspects.chunks(PAGE as usize) {
        let before: Vec<Option<Presence>> = names.iter().map(|user| settled_presence(shared, user)).collect();
        let rows = shared.store.presences(names).await?;
        for ((user, before), row) in names.iter().zip(before).zip(rows) {
            let (Some(before), status) = (before, row.map_or(Status::Offline, |row| row.status)) else { continue };
            if before.status != status && mend(shared, user, &before) {
                mended += 1;
            }
        }
    }
    if mended > 0 {
        tracing::warn!(differences = mended, "the store did not say what the engine says; it is mended");
        shared.health.repaired.fetch_add(mended, Ordering::Relaxed);
        shared.metrics.mended.increment(mended);
        settled(shared).await?;
    }
    Ok(mended)
}

/// Who looks different at a first glance, by pages of the store and by the names in memory.
async fn suspects(shared: &Shared, present: &[UserId]) -> Result<Vec<UserId>, Error> {
    let (mut suspects, mut rest, mut after) = (Vec::new(), present, None);
    loop {
        let page = shared.store.present_after(after.as_ref(), PAGE).await?;
        let last = page.last().map(|row| row.user.clone()).filter(|_| page.len() >= PAGE as usize);
        let here = last.as_ref().map_or(rest.len(), |last| rest.partition_point(|user| user <= last));
        let stored: HashSet<&UserId> = page.iter().map(|row| &row.user).collect();
        suspects.extend(rest[..here].iter().filter(|user| !stored.contains(user)).cloned());
        suspects.extend(page.iter().filter(|row| shown(shared, &row.user) != row.status).map(|row| row.user.clone()));
        rest = &rest[here..];
        if last.is_none() || suspects.len() >= SUSPECTS_MAX {
            suspects.truncate(SUSPECTS_MAX);
            return Ok(suspects);
        }
        after = last;
        tokio::task::yield_now().await;
    }
}

fn shown(shared: &Shared, user: &str) -> Status {
    shared.shards.with(user, |shard| shard.engine.presence(user)).map_or(Status::Offline, |presence| presence.status)
}

/// What the engine says of a user; `None` while the store has not caught up.
fn settled_presence(shared: &Shared, user: &UserId) -> Option<Presence> {
    shared.shards.with(user, |shard| {
        let absent = || Presence { user: user.clone(), status: Status::Offline, last_seen: None, since: None };
        shared
            .queue
            .overlay(shared.clock.now().tick, user)
            .is_none()
            .then(|| shard.engine.presence(user).unwrap_or_else(absent))
    })
}

/// Queues the engine's truth, unless it moved since `before`.
fn mend(shared: &Shared, user: &UserId, before: &Presence) -> bool {
    shared.shards.with(user, |shard| {
        let truth = shard.engine.presence(user);
        let (status, since) = truth.as_ref().map_or((Status::Offline, None), |truth| (truth.status, truth.since));
        if shard.closed
            || (status, since) != (before.status, before.since)
            || shared.queue.overlay(shared.clock.now().tick, user).is_some()
        {
            return false;
        }
        let now = shared.clock.now();
        let last_seen = truth.and_then(|truth| truth.last_seen);
        let row = PresenceRow { user: user.clone(), status, last_seen, since: since.unwrap_or(now.wall) };
        shared.push(shard, now, vec![Effect::SavePresence(row)]);
        true
    })
}

/// Returns when everything decided so far was kept and told.
pub(crate) async fn settled(shared: &Shared) -> Result<(), StoreError> {
    let kept = shared.queue.settled(shared.clock.now().tick);
    kept.await.unwrap_or_else(|_| Err(StoreError::Unavailable("what keeps it was interrupted".into())))
}
