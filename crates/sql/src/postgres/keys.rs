//! The API keys.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use presently_accounts::store::{ApiKeyStore, AuditEntry};
use presently_accounts::{ApiKey, ApiKeyId, KeyHash, NewApiKey, StoreError, WhichKey};
use sqlx::PgConnection;

use super::PostgresStores;
use super::accounts::log;
use super::text::kept as text;
use crate::failure::Failure;
use crate::moment::{kept, micros};
use crate::rows::accounts as rows;
use crate::rows::accounts::key_columns;

#[async_trait]
impl ApiKeyStore for PostgresStores {
    async fn insert_api_key(
        &self,
        key: &NewApiKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        const SQL: &str = concat!(
            "INSERT INTO api_keys (name, prefix, key_hash, created_at) VALUES ($1, $2, $3, $4) ",
            "ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING ",
            key_columns!()
        );
        let query = sqlx::query(SQL)
            .bind(text(&key.name))
            .bind(text(&key.prefix))
            .bind(key.hash.0.to_vec())
            .bind(micros(kept(now)));
        let audit = audit.cloned();
        self.write(move |connection| changed(connection, query, audit).boxed()).await
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
        const BY_ID: &str = concat!(
            "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL RETURNING ",
            key_columns!()
        );
        const BY_NAME: &str = concat!(
            "UPDATE api_keys SET revoked_at = $1 WHERE name = $2 AND revoked_at IS NULL RETURNING ",
            key_columns!()
        );
        let now = micros(kept(now));
        let query = match which {
            WhichKey::Id(id) => sqlx::query(BY_ID).bind(now).bind(id.0),
            WhichKey::Name(name) => sqlx::query(BY_NAME).bind(now).bind(text(name)),
        };
        let audit = audit.cloned();
        self.write(move |connection| changed(connection, query, audit).boxed()).await
    }

    async fn note_api_keys_used(&self, ids: &[ApiKeyId], at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE api_keys SET last_used_at = $1 WHERE id = ANY($2)";
        let query = sqlx::query(SQL).bind(micros(kept(at))).bind(ids.iter().map(|id| id.0).collect::<Vec<i64>>());
        self.execute(query).await?;
        Ok(())
    }
}

type Query = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The key that the statement returns, and its line in the log.
async fn changed(
    connection: &mut PgConnection,
    query: Query,
    audit: Option<AuditEntry>,
) -> Result<Option<ApiKey>, Failure> {
    let rows = query.fetch_all(&mut *connection).await?;
    let Some(key) = rows.first().map(rows::key).transpose()? else { return Ok(None) };
    log(connection, audit.map(|audit| key.described(&audit))).await?;
    Ok(Some(key))
}
