//! The part of the port that is about API keys.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::AuditEntry;
use crate::{ApiKey, ApiKeyId, KeyHash, NewApiKey, StoreError, WhichKey};

/// What is remembered of API keys: a part of [`AccountStore`](crate::store::AccountStore).
///
/// A line for the audit log without a detail gets the key's ([`ApiKey::described`]).
#[async_trait]
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Keeps a new key; `None`, and nothing kept, when a key of this name lives.
    async fn insert_api_key(
        &self,
        key: &NewApiKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError>;
    /// The keys: those that live, then the revoked, each newest first; at most 10,000.
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError>;
    /// The key of this hash, living or revoked.
    async fn api_key(&self, hash: &KeyHash) -> Result<Option<ApiKey>, StoreError>;
    /// Revokes a key that lives; `None`, and no line in the audit log, when no such key does. It is a change to be followed, of
    /// [`API_KEYS`](crate::store::API_KEYS).
    async fn revoke_api_key(
        &self,
        which: &WhichKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError>;
    /// Notes that these were used; it is no change to be followed. Unknown ones are passed over.
    async fn note_api_keys_used(&self, ids: &[ApiKeyId], at: Timestamp) -> Result<(), StoreError>;
}
