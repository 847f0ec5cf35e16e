//! A store that forgets with the process: for programs that need no memory across restarts, and for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::store::{Batch, EvidenceBlock, NetChange, Saved, Sight, Store, StoreError, TransitionRow, VeilRow};
use crate::{HeldRow, OverrideRow, PresenceRow, SessionNumber, SessionRow, Source, Status, Timestamp, UserId};

/// Keeps everything in memory, and every promise of [`Store`] except that of lasting.
///
/// A [`Presently`](crate::Presently) that is opened again on the same `MemoryStore` finds what the last one kept.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    presences: BTreeMap<UserId, PresenceRow>,
    sessions: BTreeMap<SessionNumber, SessionRow>,
    overrides: BTreeMap<(UserId, Source), OverrideRow>,
    held: BTreeMap<UserId, HeldRow>,
    veils: BTreeMap<UserId, VeilRow>,
    /// By user, then in the order of their arrival.
    transitions: BTreeMap<UserId, Vec<TransitionRow>>,
    /// In the order of their time, and of their arrival within it.
    evidence: Vec<EvidenceBlock>,
    failure: Option<StoreError>,
    commits: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every call fails with `failure`, until it is called with `None`: for tests of what a program does then.
    pub fn fail_with(&self, failure: Option<StoreError>) {
        self.kept.lock().failure = failure;
    }

    /// How many batches were kept.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.kept.lock().commits
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> Result<T, StoreError> {
        let mut kept = self.kept.lock();
        match &kept.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(act(&mut kept)),
        }
    }
}

impl Kept {
    fn commit(&mut self, batch: &Batch) {
        for user in &batch.erased {
            self.presences.remove(user);
            self.held.remove(user);
            self.veils.remove(user);
            self.transitions.remove(user);
            self.sessions.retain(|_, row| row.user != *user);
            self.overrides.retain(|(owner, _), _| owner != user);
        }
        for row in &batch.presences {
            let known = self.presences.get(&row.user).and_then(|older| older.last_seen);
            let row = PresenceRow { last_seen: row.last_seen.or(known), ..row.clone() };
            self.presences.insert(row.user.clone(), row);
        }
        self.sessions.extend(batch.sessions.iter().map(|row| (row.number, row.clone())));
        for number in &batch.ended_sessions {
            self.sessions.remove(number);
        }
        self.overrides.extend(batch.overrides.iter().map(|row| ((row.user.clone(), row.source), row.clone())));
        for key in &batch.ended_overrides {
            self.overrides.remove(key);
        }
        self.held.extend(batch.held.iter().map(|row| (row.user.clone(), row.clone())));
        for user in &batch.ended_held {
            self.held.remove(user);
        }
        self.veils.extend(batch.veils.iter().map(|row| (row.user.clone(), row.clone())));
        for user in &batch.ended_veils {
            self.veils.remove(user);
        }
        for row in &batch.transitions {
            self.transitions.entry(row.user.clone()).or_default().push(row.clone());
        }
        self.commits += 1;
    }

    fn load(&self) -> Vec<Saved> {
        let present = self.presences.values().filter(|row| row.status != Status::Offline);
        let all = present.cloned().map(Saved::Presence);
        let all = all.chain(self.sessions.values().cloned().map(Saved::Session));
        let all = all.chain(self.overrides.values().cloned().map(Saved::Override));
        let all = all.chain(self.held.values().cloned().map(Saved::Held));
        let all = all.chain(self.veils.values().cloned().map(Saved::Veil));
        all.chain(self.evidence.iter().cloned().map(Saved::Evidence)).collect()
    }

    fn prune(&mut self, before: Timestamp, limit: u32) -> u64 {
        let mut gone = 0;
        self.transitions.retain(|_, rows| {
            rows.retain(|row| {
                let goes = row.at < before && gone < u64::from(limit);
                gone += u64::from(goes);
                !goes
            });
            !rows.is_empty()
        });
        gone
    }
}

/// Microseconds of a slice, one at least.
fn slice_micros(every: Duration) -> u64 {
    u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), StoreError> {
        self.with(|kept| kept.load())?.into_iter().for_each(saved);
        Ok(())
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.with(|kept| kept.commit(batch))
    }

    async fn append_evidence(&self, block: &EvidenceBlock, keep_from: Timestamp) -> Result<(), StoreError> {
        self.with(|kept| {
            let place = kept.evidence.partition_point(|older| older.at <= block.at);
            kept.evidence.insert(place, block.clone());
            kept.evidence.retain(|block| block.at >= keep_from);
        })
    }

    async fn presences(&self, users: &[UserId]) -> Result<Vec<Option<PresenceRow>>, StoreError> {
        self.with(|kept| users.iter().map(|user| kept.presences.get(user).cloned()).collect())
    }

    async fn present_after(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<PresenceRow>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.with(|kept| {
            let rows = kept.presences.range::<UserId, _>((after.map_or(Unbounded, Excluded), Unbounded));
            let present = rows.map(|(_, row)| row).filter(|row| row.status != Status::Offline);
            present.take(limit as usize).cloned().collect()
        })
    }

    async fn transitions(
        &self,
        user: &UserId,
        sight: Sight,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<TransitionRow>, StoreError> {
        self.with(|kept| {
            let rows = kept.transitions.get(user).into_iter().flatten();
            let asked = |row: &&TransitionRow| row.audience.includes(sight) && from <= row.at && row.at < to;
            let mut rows: Vec<_> = rows.filter(asked).cloned().collect();
            rows.sort_by_key(|row| row.at);
            rows.split_off(rows.len().saturating_sub(limit as usize))
        })
    }

    async fn transition_before(
        &self,
        user: &UserId,
        sight: Sight,
        before: Timestamp,
    ) -> Result<Option<TransitionRow>, StoreError> {
        self.with(|kept| {
            let rows = kept.transitions.get(user).into_iter().flatten();
            rows.filter(|row| row.audience.includes(sight) && row.at < before).max_by_key(|row| row.at).cloned()
        })
    }

    async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, StoreError> {
        self.with(|kept| {
            let mut slices = BTreeMap::new();
            for row in kept.transitions.values().flatten() {
                if from <= row.at && row.at < to && row.audience.includes(Sight::Insider) {
                    let slice = (row.at.0 - from.0).unsigned_abs() / slice_micros(every);
                    let change = slices.entry(slice).or_insert(NetChange { slice, ..NetChange::default() });
                    change.add(row.from, row.to);
                }
            }
            slices.into_values().collect()
        })
    }

    async fn history_begins(&self) -> Result<Option<Timestamp>, StoreError> {
        self.with(|kept| {
            let rows = kept.transitions.values().flatten();
            rows.filter(|row| row.audience.includes(Sight::Insider)).map(|row| row.at).min()
        })
    }

    async fn prune_transitions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.with(|kept| kept.prune(before, limit))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.with(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_memory_store_keeps_every_promise() {
        crate::conformance::run(async || Arc::new(MemoryStore::new()) as Arc<dyn Store>).await;
    }

    #[tokio::test]
    async fn a_store_taken_down_fails_until_it_is_back() {
        let store = MemoryStore::new();
        let full = StoreError::Unwritable("no room".into());
        store.fail_with(Some(full.clone()));
        assert_eq!(store.probe().await, Err(full.clone()));
        assert_eq!(store.commit(&Batch::default()).await, Err(full));
        store.fail_with(None);
        assert_eq!(store.probe().await, Ok(()));
    }
}
