//! The API keys.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use presently_accounts::store::{ApiKeyStore, AuditEntry};
use presently_accounts::{ApiKey, ApiKeyId, KeyHash, NewApiKey, StoreError, WhichKey};

use super::PostgresStores;
use crate::moment::{kept, micros};
use crate::rows::accounts as rows;
use crate::rows::accounts::key_columns;
use crate::writes;

#[async_trait]
impl ApiKeyStore for PostgresStores {
    async fn insert_api_key(
        &self,
        key: &NewApiKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        let (new, audit) = (key.clone(), audit.cloned());
        self.write(move |connection| writes::insert_key(connection, new, now, audit).boxed()).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(self.shared.pool.rows(sqlx::query(rows::KEYS), rows::key).await?)
    }

    async fn api_key(&self, hash: &KeyHash) -> Result<Option<ApiKey>, StoreError> {
        const SQL: &str = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE key_hash = $1");
        Ok(self.shared.pool.rows(sqlx::query(SQL).bind(hash.0.to_vec()), rows::key).await?.pop())
    }

    async fn revoke_api_key(
        &self,
        which: &WhichKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        let (which, audit) = (which.clone(), audit.cloned());
        self.write(move |connection| writes::revoke_key(connection, which, now, audit).boxed()).await
    }

    async fn note_api_keys_used(&self, ids: &[ApiKeyId], at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE api_keys SET last_used_at = $1 WHERE id = ANY($2)";
        let query = sqlx::query(SQL).bind(micros(kept(at))).bind(ids.iter().map(|id| id.0).collect::<Vec<i64>>());
        self.execute(query).await?;
        Ok(())
    }
}
