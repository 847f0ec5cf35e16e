//! The account store.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use presently_accounts::store::{AccountStore, AuditEntry, CredentialSession, Page, PageQuery, Rotation, Trade};
use presently_accounts::{Account, AccountId, Changes, NewAccount, PasswordHash, StoreError, fold_case};
use sqlx::postgres::PgRow;

use super::PostgresStores;
use super::page;
use super::pool::Pool;
use super::text::kept as text;
use crate::failure::Failure;
use crate::moment::{kept, micros};
use crate::rows::Columns as _;
use crate::rows::accounts as rows;
use crate::rows::accounts::{
    CHANGES_MAX, SESSIONS_MAX, insert_session, select_accounts, select_audit, select_sessions,
};
use crate::writes;

/// The key of the advisory lock under which changes are numbered: "PRSN", then 2.
const NUMBERING_LOCK: i64 = 0x5052_534e_0000_0002;

#[async_trait]
impl AccountStore for PostgresStores {
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        const SQL: &str = select_accounts!("FROM users u WHERE u.id = $1");
        Ok(self.shared.pool.rows(sqlx::query(SQL).bind(id.0), rows::account).await?.pop())
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        const SQL: &str = select_accounts!("FROM users u WHERE u.id = ANY($1)");
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        Ok(self.shared.pool.rows(sqlx::query(SQL).bind(ids), rows::account).await?)
    }

    async fn account_ids(&self) -> Result<Vec<AccountId>, StoreError> {
        let query = sqlx::query("SELECT id FROM users");
        Ok(self.shared.pool.rows(query, |row| Ok(AccountId(row.number(0)?))).await?)
    }

    async fn accounts_before(
        &self,
        before: Option<(Timestamp, AccountId)>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        const SQL: &str = select_accounts!(
            "FROM users u WHERE (u.created_at, u.id) < ($1, $2) ORDER BY u.created_at DESC, u.id DESC LIMIT $3"
        );
        let (at, id) = before.map_or((i64::MAX, i64::MAX), |(at, id)| (micros(at), id.0));
        let query = sqlx::query(SQL).bind(at).bind(id).bind(i64::from(limit));
        Ok(self.shared.pool.rows(query, rows::account).await?)
    }

    async fn account_named(&self, username: &str) -> Result<Option<Account>, StoreError> {
        const SQL: &str = select_accounts!("FROM users u WHERE u.username_key = $1");
        Ok(self.shared.pool.rows(sqlx::query(SQL).bind(text(&fold_case(username))), rows::account).await?.pop())
    }

    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        Ok(page::page(&self.shared.pool, query).await?)
    }

    async fn old_hash_after(&self, after: &str) -> Result<Option<PasswordHash>, StoreError> {
        // In the words of the index that makes it cheap.
        const SQL: &str = "SELECT password_hash FROM users \
             WHERE substr(password_hash, 1, 31) <> '$argon2id$v=19$m=19456,t=2,p=1$' \
             AND password_hash COLLATE \"C\" > $1 ORDER BY password_hash COLLATE \"C\" LIMIT 1";
        let hash = |row: &PgRow| Ok(PasswordHash(row.text(0)?.into_owned()));
        Ok(self.shared.pool.rows(sqlx::query(SQL).bind(text(after)), hash).await?.pop())
    }

    async fn admin_count(&self) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT count(*) FROM users \
             WHERE (is_staff OR role = 'admin') AND is_active AND status = 'active'";
        let count = self.shared.pool.rows(sqlx::query(SQL), |row| row.number(0)).await?.pop();
        Ok(count.unwrap_or(0).unsigned_abs())
    }

    async fn barred(&self) -> Result<Vec<AccountId>, StoreError> {
        const SQL: &str = "SELECT id FROM users WHERE NOT is_active OR status <> 'active'";
        Ok(self.shared.pool.rows(sqlx::query(SQL), |row| Ok(AccountId(row.number(0)?))).await?)
    }

    async fn insert(
        &self,
        account: &NewAccount,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError> {
        let (new, audit) = (account.clone(), audit.cloned());
        self.write(move |connection| writes::insert(connection, new, kept(now), audit).boxed()).await
    }

    async fn update(
        &self,
        id: AccountId,
        changes: &Changes,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError> {
        let (changes, audit) = (changes.clone(), audit.cloned());
        self.write(move |connection| writes::update(connection, id, changes, kept(now), audit).boxed()).await
    }

    async fn replace_password(
        &self,
        id: AccountId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3";
        let query = sqlx::query(SQL).bind(text(&new.0)).bind(id.0).bind(text(&old.0));
        let replaced = self.execute(query).await?;
        Ok(replaced == 1)
    }

    async fn delete(&self, id: AccountId, _now: Timestamp, audit: Option<&AuditEntry>) -> Result<(), StoreError> {
        let audit = audit.cloned();
        self.write(move |connection| writes::delete(connection, id, audit).boxed()).await
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let entry = entry.clone();
        self.write(move |connection| writes::log(connection, Some(entry)).boxed()).await
    }

    async fn audit_page(&self, before_id: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        const SQL: &str = select_audit!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
        let query = sqlx::query(SQL).bind(before_id.unwrap_or(i64::MAX)).bind(i64::from(limit));
        Ok(self.shared.pool.rows(query, rows::audit).await?)
    }

    async fn open_session(&self, session: &CredentialSession) -> Result<bool, StoreError> {
        // The account is held for as long: whoever suspends it comes before, and no session is opened, or after, and ends it.
        const SQL: &str = insert_session!("FROM users WHERE id = $2 AND is_active AND status = 'active' FOR SHARE");
        let opened = self.execute(writes::with_session(sqlx::query(SQL), session)).await?;
        Ok(opened == 1)
    }

    async fn session(&self, id: &str) -> Result<Option<CredentialSession>, StoreError> {
        const SQL: &str = select_sessions!("WHERE id = $1");
        Ok(self.shared.pool.rows(sqlx::query(SQL).bind(text(id)), rows::session).await?.pop())
    }

    async fn sessions(&self, account: AccountId, now: Timestamp) -> Result<Vec<CredentialSession>, StoreError> {
        const SQL: &str = select_sessions!(
            "WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY created_at, id LIMIT $3"
        );
        let query = sqlx::query(SQL).bind(account.0).bind(micros(now)).bind(i64::from(SESSIONS_MAX));
        Ok(self.shared.pool.rows(query, rows::session).await?)
    }

    async fn rotate(&self, id: &str, trade: &Trade, now: Timestamp) -> Result<Rotation, StoreError> {
        let (id, trade) = (id.to_owned(), trade.clone());
        self.write(move |connection| async move { writes::rotate(connection, &id, &trade, kept(now)).await }.boxed())
            .await
    }

    async fn end_session(
        &self,
        session: &CredentialSession,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let session = CredentialSession { ended_at: Some(now), ..session.clone() };
        let audit = audit.cloned();
        self.write(move |connection| writes::end_session(connection, session, audit).boxed()).await
    }

    async fn prune_sessions(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM credential_sessions WHERE id IN \
             (SELECT id FROM credential_sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(self.execute(sqlx::query(SQL).bind(micros(now)).bind(i64::from(limit))).await?)
    }

    async fn newest_change(&self) -> Result<i64, StoreError> {
        Ok(newest_change(&self.shared.pool).await?)
    }

    async fn changes_after(&self, after: i64) -> Result<(i64, Vec<AccountId>), StoreError> {
        const SQL: &str = "SELECT seq, user_id FROM account_changes WHERE seq > $1 ORDER BY seq LIMIT $2";
        if newest_change(&self.shared.pool).await? <= after {
            return Ok((after, Vec::new()));
        }
        let query = sqlx::query(SQL).bind(after).bind(i64::from(CHANGES_MAX));
        Ok(rows::read_up_to(after, self.shared.pool.rows(query, rows::change).await?))
    }
}

/// The number of the newest change; those that have none yet are given one.
async fn newest_change(pool: &Pool) -> Result<i64, Failure> {
    const NEWEST: &str = "SELECT (SELECT coalesce(max(seq), 0) FROM account_changes), \
         EXISTS (SELECT FROM account_changes_unnumbered)";
    const NUMBER: &str = "WITH taken AS (DELETE FROM account_changes_unnumbered RETURNING user_id) \
         INSERT INTO account_changes (seq, user_id) \
         SELECT nextval('account_changes_seq'), user_id FROM (SELECT DISTINCT user_id FROM taken) AS users \
         ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq";
    let newest = |row: &PgRow| Ok((row.number(0)?, row.truth(1)?));
    let found = pool.rows(sqlx::query(NEWEST), newest).await?.pop();
    let (newest, more) = found.unwrap_or_default();
    if !more {
        return Ok(newest);
    }
    pool.transact(|connection| {
        async move {
            // **Invariant:** numbers become visible in their order. The lock goes when they are visible, not before.
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(NUMBERING_LOCK).execute(&mut *connection).await?;
            sqlx::query(NUMBER).execute(&mut *connection).await?;
            let row = sqlx::query("SELECT coalesce(max(seq), 0) FROM account_changes").fetch_one(connection).await?;
            row.number(0)
        }
        .boxed()
    })
    .await
}
