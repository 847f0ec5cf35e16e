//! Which API keys were found good. Filled and emptied under the lock of [`Cache`](crate::cache::Cache), whose epoch guards it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use quick_cache::sync::Cache as Bounded;

use crate::{ApiKey, ApiKeyId, KeyHash, StoreError};

/// More than there are keys that live.
const KEYS_MAX: usize = 2_048;
/// How exact `last_used_at` is: one write of one row an hour, whatever a key is used for.
const NOTED_EVERY_SECONDS: i64 = 3_600;

pub(crate) struct KeyCache {
    keys: Bounded<[u8; 32], Arc<KnownKey>>,
    /// Used, and forgotten before that was noted.
    used: Mutex<BTreeSet<ApiKeyId>>,
    /// The hashes of all keys, for those that have no checksum to be refused by. Held while they are read: others wait for that.
    known: tokio::sync::Mutex<Option<HashSet<[u8; 32]>>>,
}

struct KnownKey {
    key: Arc<ApiKey>,
    used: AtomicBool,
    /// In seconds since 1970.
    noted_at: AtomicI64,
}

impl KeyCache {
    pub(crate) fn new() -> Self {
        Self { keys: Bounded::new(KEYS_MAX), used: Mutex::default(), known: tokio::sync::Mutex::default() }
    }

    /// The key of this hash, which is used now.
    pub(crate) fn find(&self, hash: &KeyHash) -> Option<Arc<ApiKey>> {
        let known = self.keys.get(&hash.0)?;
        if !known.used.load(Ordering::Relaxed) {
            known.used.store(true, Ordering::Relaxed);
        }
        Some(known.key.clone())
    }

    /// Keeps a key that is used now.
    pub(crate) fn keep(&self, key: &Arc<ApiKey>) {
        let noted_at = AtomicI64::new(key.last_used_at.map_or(i64::MIN, Timestamp::as_second));
        let known = KnownKey { key: key.clone(), used: AtomicBool::new(true), noted_at };
        self.keys.insert(key.hash.0, Arc::new(known));
    }

    /// Whether this is the hash of a key that was made until a minute ago.
    pub(crate) async fn is_known<F>(&self, hash: &KeyHash, all: impl FnOnce() -> F) -> Result<bool, StoreError>
    where
        F: Future<Output = Result<Vec<ApiKey>, StoreError>>,
    {
        let mut known = self.known.lock().await;
        let hashes = match known.take() {
            Some(hashes) => hashes,
            None => all().await?.iter().map(|key| key.hash.0).collect(),
        };
        Ok(known.insert(hashes).contains(&hash.0))
    }

    /// Forgets which keys there are.
    pub(crate) async fn tidy(&self) {
        *self.known.lock().await = None;
    }

    pub(crate) fn clear(&self) {
        let used = self.keys.iter().filter(|(_, known)| known.used.load(Ordering::Relaxed));
        self.used.lock().extend(used.map(|(_, known)| known.key.id));
        self.keys.clear();
    }

    /// The keys that were used since that was last noted, an hour ago or more.
    pub(crate) fn take_used(&self, now: Timestamp) -> Vec<ApiKeyId> {
        let mut used = std::mem::take(&mut *self.used.lock());
        let now = now.as_second();
        for (_, known) in self.keys.iter() {
            let noted_ago = now.saturating_sub(known.noted_at.load(Ordering::Relaxed)).saturating_abs();
            if noted_ago >= NOTED_EVERY_SECONDS && known.used.swap(false, Ordering::Relaxed) {
                known.noted_at.store(now, Ordering::Relaxed);
                used.insert(known.key.id);
            }
        }
        used.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i64) -> Arc<ApiKey> {
        Arc::new(ApiKey {
            id: ApiKeyId(id),
            name: id.to_string(),
            prefix: String::new(),
            hash: KeyHash([u8::try_from(id).expect("a small number"); 32]),
            created_at: Timestamp::UNIX_EPOCH,
            last_used_at: None,
            revoked_at: None,
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time in this century")
    }

    #[test]
    fn use_is_noted_once_an_hour() {
        let cache = KeyCache::new();
        let key = key(7);
        cache.keep(&key);
        assert_eq!(cache.take_used(at(0)), [key.id]);
        assert!(cache.find(&key.hash).is_some());
        assert_eq!(cache.take_used(at(3_599)), []);
        assert_eq!(cache.take_used(at(3_600)), [key.id], "what was used in between");
        assert_eq!(cache.take_used(at(9_999)), [], "what was not used");
    }

    #[test]
    fn use_is_noted_of_keys_that_were_forgotten_too() {
        let cache = KeyCache::new();
        let key = key(7);
        cache.keep(&key);
        cache.clear();
        assert!(cache.find(&key.hash).is_none());
        assert_eq!(cache.take_used(at(0)), [key.id]);
        assert_eq!(cache.take_used(at(1)), []);
    }
}
