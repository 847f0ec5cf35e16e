//! The API keys.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use presently_accounts::store::{ApiKeyStore, AuditEntry};
use presently_accounts::{ApiKey, ApiKeyId, KeyHash, NewApiKey, StoreError, WhichKey};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::SqliteStores;
use super::accounts::{known_moment, log, time};
use super::page;
use crate::failure::Failure;
use crate::moment::{kept, micros};

/// The columns that [`key_row`] reads.
macro_rules! key_columns {
    () => {
        "id, name, prefix, key_hash, created_at, last_used_at, revoked_at"
    };
}

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
        const SQL: &str =
            concat!("SELECT ", key_columns!(), " FROM api_keys ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 10000");
        Ok(self.rows(sqlx::query(SQL), key_row).await?)
    }

    async fn api_key(&self, hash: &KeyHash) -> Result<Option<ApiKey>, StoreError> {
        const SQL: &str = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE key_hash = ?");
        Ok(self.rows(sqlx::query(SQL).bind(hash.0.to_vec()), key_row).await?.pop())
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
    let Some(key) = rows.first().map(key_row).transpose()? else { return Ok(None) };
    log(connection, audit.map(|audit| key.described(&audit))).await?;
    Ok(Some(key))
}

fn key_row(row: &SqliteRow) -> Result<ApiKey, Failure> {
    let hash: &[u8] = row.try_get(3)?;
    let some_time = |column: usize| row.try_get::<Option<i64>, _>(column)?.map(known_moment).transpose();
    Ok(ApiKey {
        id: ApiKeyId(row.try_get(0)?),
        name: row.try_get(1)?,
        prefix: row.try_get(2)?,
        hash: KeyHash(hash.try_into().map_err(|_| Failure::nonsense("a key's hash of another length"))?),
        created_at: time(row, 4)?,
        last_used_at: some_time(5)?,
        revoked_at: some_time(6)?,
    })
}
