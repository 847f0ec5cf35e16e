//! The account store.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use presently_accounts::store::{AccountStore, AuditEntry, CredentialSession, Page, PageQuery, Rotation, Trade};
use presently_accounts::{Account, AccountId, Changes, NewAccount, PasswordHash, StoreError, fold_case};

use sqlx::sqlite::SqliteRow;

use super::SqliteStores;
use super::page;
use crate::moment::{kept, micros};
use crate::rows::Columns as _;
use crate::rows::accounts as rows;
use crate::rows::accounts::{
    CHANGES_MAX, SESSIONS_MAX, insert_session, select_accounts, select_audit, select_sessions,
};
use crate::writes;

/// Accounts before a moment and an id, newest first. In two parts, each of which is a range of the index: of many accounts of one moment
/// (an import) the comparison of both columns at once would read all for each slice.
const BEFORE: &str = select_accounts!(
    "FROM (SELECT * FROM (SELECT * FROM users WHERE created_at = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3) UNION ALL \
     SELECT * FROM (SELECT * FROM users WHERE created_at < ?1 ORDER BY created_at DESC, id DESC LIMIT ?3)) u \
     ORDER BY u.created_at DESC, u.id DESC LIMIT ?3"
);

#[async_trait]
impl AccountStore for SqliteStores {
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        const SQL: &str = select_accounts!("FROM users u WHERE u.id = ?");
        Ok(self.rows(sqlx::query(SQL).bind(id.0), rows::account).await?.pop())
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        const SQL: &str = select_accounts!("FROM users u WHERE u.id IN (SELECT value FROM json_each(?))");
        let ids = page::list(ids.iter().map(|id| id.0));
        Ok(self.rows(sqlx::query(SQL).bind(ids), rows::account).await?)
    }

    async fn account_ids(&self) -> Result<Vec<AccountId>, StoreError> {
        Ok(self.rows(sqlx::query("SELECT id FROM users"), |row| Ok(AccountId(row.number(0)?))).await?)
    }

    async fn accounts_before(
        &self,
        before: Option<(Timestamp, AccountId)>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let (at, id) = before.map_or((i64::MAX, i64::MAX), |(at, id)| (micros(at), id.0));
        Ok(self.rows(sqlx::query(BEFORE).bind(at).bind(id).bind(limit), rows::account).await?)
    }

    async fn account_named(&self, username: &str) -> Result<Option<Account>, StoreError> {
        const SQL: &str = select_accounts!("FROM users u WHERE u.username_key = ?");
        Ok(self.rows(sqlx::query(SQL).bind(fold_case(username)), rows::account).await?.pop())
    }

    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        Ok(page::page(&self.shared.readers, query).await?)
    }

    async fn old_hash_after(&self, after: &str) -> Result<Option<PasswordHash>, StoreError> {
        // In the words of the index that makes it cheap.
        const SQL: &str = "SELECT password_hash FROM users \
             WHERE substr(password_hash, 1, 31) <> '$argon2id$v=19$m=19456,t=2,p=1$' AND password_hash > ? \
             ORDER BY password_hash LIMIT 1";
        let hash = |row: &SqliteRow| Ok(PasswordHash(row.text(0)?.into_owned()));
        Ok(self.rows(sqlx::query(SQL).bind(after.to_owned()), hash).await?.pop())
    }

    async fn admin_count(&self) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT count(*) FROM users \
             WHERE (is_staff = 1 OR role = 'admin') AND is_active = 1 AND status = 'active'";
        let count = self.rows(sqlx::query(SQL), |row| row.number(0)).await?.pop();
        Ok(count.unwrap_or(0).unsigned_abs())
    }

    async fn barred(&self) -> Result<Vec<AccountId>, StoreError> {
        const SQL: &str = "SELECT id FROM users WHERE is_active = 0 OR status <> 'active'";
        Ok(self.rows(sqlx::query(SQL), |row| Ok(AccountId(row.number(0)?))).await?)
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
        const SQL: &str = "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?";
        let query = sqlx::query(SQL).bind(new.0.clone()).bind(id.0).bind(old.0.clone());
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
        const SQL: &str = select_audit!("WHERE id < ? ORDER BY id DESC LIMIT ?");
        let query = sqlx::query(SQL).bind(before_id.unwrap_or(i64::MAX)).bind(limit);
        Ok(self.rows(query, rows::audit).await?)
    }

    async fn open_session(&self, session: &CredentialSession) -> Result<bool, StoreError> {
        const SQL: &str = insert_session!("FROM users WHERE id = $2 AND is_active AND status = 'active'");
        let opened = self.execute(writes::with_session(sqlx::query(SQL), session)).await?;
        Ok(opened == 1)
    }

    async fn session(&self, id: &str) -> Result<Option<CredentialSession>, StoreError> {
        const SQL: &str = select_sessions!("WHERE id = ?");
        Ok(self.rows(sqlx::query(SQL).bind(id.to_owned()), rows::session).await?.pop())
    }

    async fn sessions(&self, account: AccountId, now: Timestamp) -> Result<Vec<CredentialSession>, StoreError> {
        const SQL: &str = select_sessions!(
            "WHERE user_id = ? AND ended_at IS NULL AND expires_at > ? ORDER BY created_at, id LIMIT ?"
        );
        let query = sqlx::query(SQL).bind(account.0).bind(micros(now)).bind(SESSIONS_MAX);
        Ok(self.rows(query, rows::session).await?)
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
             (SELECT id FROM credential_sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?)";
        Ok(self.execute(sqlx::query(SQL).bind(micros(now)).bind(limit)).await?)
    }

    async fn newest_change(&self) -> Result<i64, StoreError> {
        // One step down a tree: as cheap as asking SQLite whether anything changed at all.
        const SQL: &str = "SELECT coalesce(max(seq), 0) FROM account_changes";
        let newest = self.rows(sqlx::query(SQL), |row| row.number(0)).await?.pop();
        Ok(newest.unwrap_or(0))
    }

    async fn changes_after(&self, after: i64) -> Result<(i64, Vec<AccountId>), StoreError> {
        const SQL: &str = "SELECT seq, user_id FROM account_changes WHERE seq > ? ORDER BY seq LIMIT ?";
        let query = sqlx::query(SQL).bind(after).bind(i64::from(CHANGES_MAX));
        Ok(rows::read_up_to(after, self.rows(query, rows::change).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::OpenOptions;

    #[tokio::test]
    async fn a_slice_of_accounts_of_one_moment_is_a_range_of_the_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let stores =
            SqliteStores::open(folder.path().join("presently.db"), OpenOptions::default()).await.expect("opens");
        let explain = format!("EXPLAIN QUERY PLAN {BEFORE}");
        let query = sqlx::query(sqlx::AssertSqlSafe(explain)).bind(5_i64).bind(6_i64).bind(250_i64);
        let plan: Vec<String> = stores.rows(query, |row| Ok(row.text(3)?.into_owned())).await.expect("a plan");
        let plan = plan.join("\n");
        assert!(plan.contains("users_by_created_at (created_at=? AND rowid<?)"), "{plan}");
        assert!(plan.contains("users_by_created_at (created_at<?)"), "{plan}");
        assert!(!plan.contains("SCAN users"), "{plan}");
    }
}
