//! The API keys.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use presently_accounts::store::{ApiKeyStore, AuditEntry};
use presently_accounts::{ApiKey, ApiKeyId, KeyHash, NewApiKey, StoreError, WhichKey};
use sqlx::SqliteConnection;

use super::SqliteStores;
use super::accounts::log;
use super::page;
use crate::failure::Failure;
use crate::moment::{kept, micros};
use crate::rows::accounts as rows;
use crate::rows::accounts::key_columns;

#[async_trait]
impl ApiKeyStore for SqliteStores {
    async fn insert_api_key(
        &self,
        key: &NewApiKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        const SQL: &str = concat!(
            "INSERT INTO api_keys (name, prefix, key_hash, created_at) VALUES (?, ?, ?, ?) ",
            "ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING ",
            key_columns!()
        );
        let query = sqlx::query(SQL)
            .bind(key.name.clone())
            .bind(key.prefix.clone())
            .bind(key.hash.0.to_vec())
            .bind(micros(kept(now)));
        let audit = audit.cloned();
        self.write(move |connection| changed(connection, query, audit).boxed()).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(self.rows(sqlx::query(rows::KEYS), rows::key).await?)
    }

    async fn api_key(&self, hash: &KeyHash) -> Result<Option<ApiKey>, StoreError> {
        const SQL: &str = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE key_hash = ?");
        Ok(self.rows(sqlx::query(SQL).bind(hash.0.to_vec()), rows::key).await?.pop())
    }

    async fn revoke_api_key(
        &self,
        which: &WhichKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        const BY_ID: &str = concat!(
            "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING ",
            key_columns!()
        );
        const BY_NAME: &str = concat!(
            "UPDATE api_keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL RETURNING ",
            key_columns!()
        );
        let now = micros(kept(now));
        let query = match which {
            WhichKey::Id(id) => sqlx::query(BY_ID).bind(now).bind(id.0),
            WhichKey::Name(name) => sqlx::query(BY_NAME).bind(now).bind(name.clone()),
        };
        let audit = audit.cloned();
        self.write(move |connection| changed(connection, query, audit).boxed()).await
    }

    async fn note_api_keys_used(&self, ids: &[ApiKeyId], at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE api_keys SET last_used_at = ? WHERE id IN (SELECT value FROM json_each(?))";
        let query = sqlx::query(SQL).bind(micros(kept(at))).bind(page::list(ids.iter().map(|id| id.0)));
        self.write(move |connection| {
            async move {
                query.execute(connection).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// The key that the statement returns, and its line in the log.
async fn changed(
    connection: &mut SqliteConnection,
    query: Query,
    audit: Option<AuditEntry>,
) -> Result<Option<ApiKey>, Failure> {
    // All, not one: a row that is fetched before the end leaves the statement half done.
    let rows = query.fetch_all(&mut *connection).await?;
    let Some(key) = rows.first().map(rows::key).transpose()? else { return Ok(None) };
    log(connection, audit.map(|audit| key.described(&audit))).await?;
    Ok(Some(key))
}
