//! The API keys.

use std::cmp::Reverse;

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::store::{API_KEYS, ApiKeyStore, AuditEntry};
use crate::{ApiKey, ApiKeyId, KeyHash, NewApiKey, StoreError, WhichKey};

const KEYS_MAX: usize = 10_000;

#[async_trait]
impl ApiKeyStore for MemoryStore {
    async fn insert_api_key(
        &self,
        key: &NewApiKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        let mut state = self.state.lock();
        if state.keys.iter().any(|other| other.revoked_at.is_none() && other.name == key.name) {
            return Ok(None);
        }
        let NewApiKey { name, prefix, hash } = key.clone();
        let id = ApiKeyId(i64::try_from(state.keys.len()).unwrap_or(i64::MAX - 1) + 1);
        let key = ApiKey { id, name, prefix, hash, created_at: now, last_used_at: None, revoked_at: None };
        state.keys.push(key.clone());
        state.log(audit.map(|audit| key.described(audit)).as_ref());
        Ok(Some(key))
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let mut keys = self.state.lock().keys.clone();
        keys.sort_by_key(|key| (key.revoked_at.is_some(), Reverse(key.id)));
        keys.truncate(KEYS_MAX);
        Ok(keys)
    }

    async fn api_key(&self, hash: &KeyHash) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.state.lock().keys.iter().find(|key| key.hash == *hash).cloned())
    }

    async fn revoke_api_key(
        &self,
        which: &WhichKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        let mut state = self.state.lock();
        let is_meant = |key: &&mut ApiKey| match which {
            WhichKey::Id(id) => key.id == *id,
            WhichKey::Name(name) => key.name == *name,
        };
        let Some(key) = state.keys.iter_mut().filter(|key| key.revoked_at.is_none()).find(is_meant) else {
            return Ok(None);
        };
        key.revoked_at = Some(now);
        let key = key.clone();
        state.changed(API_KEYS);
        state.log(audit.map(|audit| key.described(audit)).as_ref());
        Ok(Some(key))
    }

    async fn note_api_keys_used(&self, ids: &[ApiKeyId], at: Timestamp) -> Result<(), StoreError> {
        for key in self.state.lock().keys.iter_mut().filter(|key| ids.contains(&key.id)) {
            key.last_used_at = Some(at);
        }
        Ok(())
    }
}
