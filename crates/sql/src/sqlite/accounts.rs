//! The account store.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use presently_accounts::store::{AccountStore, AuditEntry, CredentialSession, Page, PageQuery, Rotation};
use presently_accounts::{Account, AccountId, Changes, NewAccount, PasswordHash, StoreError, fold_case};
use sqlx::SqliteConnection;

use super::SqliteStores;
use super::page;
use crate::changed::{changed, made};
use crate::failure::Failure;
use crate::moment::{kept, micros};
use crate::rows::Columns as _;
use crate::rows::accounts as rows;
use crate::rows::accounts::{
    CHANGES_MAX, SESSIONS_MAX, select_accounts, select_audit, select_sessions, session_columns,
};
use crate::search::search_key;

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

    async fn account_named(&self, username: &str) -> Result<Option<Account>, StoreError> {
        const SQL: &str = select_accounts!("FROM users u WHERE u.username_key = ?");
        Ok(self.rows(sqlx::query(SQL).bind(fold_case(username)), rows::account).await?.pop())
    }

    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        Ok(page::page(&self.shared.readers, query).await?)
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
        self.write(move |connection| insert(connection, new, kept(now), audit).boxed()).await
    }

    async fn update(
        &self,
        id: AccountId,
        changes: &Changes,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError> {
        let (changes, audit) = (changes.clone(), audit.cloned());
        self.write(move |connection| update(connection, id, changes, kept(now), audit).boxed()).await
    }

    async fn replace_password(
        &self,
        id: AccountId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?";
        let query = sqlx::query(SQL).bind(new.0.clone()).bind(id.0).bind(old.0.clone());
        self.write(move |connection| async move { Ok(query.execute(connection).await?.rows_affected() == 1) }.boxed())
            .await
    }

    async fn delete(&self, id: AccountId, _now: Timestamp, audit: Option<&AuditEntry>) -> Result<(), StoreError> {
        let audit = audit.cloned();
        self.write(move |connection| {
            async move {
                // Its credential sessions go with it, by their foreign key.
                let gone = sqlx::query("DELETE FROM users WHERE id = ?").bind(id.0).execute(&mut *connection).await?;
                if gone.rows_affected() == 0 {
                    return Err(Failure::NotFound);
                }
                log(connection, audit).await
            }
            .boxed()
        })
        .await
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let entry = entry.clone();
        self.write(move |connection| log(connection, Some(entry)).boxed()).await
    }

    async fn audit_page(&self, before_id: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        const SQL: &str = select_audit!("WHERE id < ? ORDER BY id DESC LIMIT ?");
        let query = sqlx::query(SQL).bind(before_id.unwrap_or(i64::MAX)).bind(limit);
        Ok(self.rows(query, rows::audit).await?)
    }

    async fn open_session(&self, session: &CredentialSession) -> Result<bool, StoreError> {
        const SQL: &str = concat!(
            "INSERT INTO credential_sessions (",
            session_columns!(),
            ") SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8 FROM users WHERE id = ?2 AND is_active = 1 AND status = 'active'"
        );
        let session = session.clone();
        self.write(move |connection| {
            async move { Ok(bind_session(sqlx::query(SQL), &session).execute(connection).await?.rows_affected() == 1) }
                .boxed()
        })
        .await
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

    async fn rotate(
        &self,
        id: &str,
        old_jti: &str,
        new_jti: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Rotation, StoreError> {
        let (id, old_jti, new_jti) = (id.to_owned(), old_jti.to_owned(), new_jti.to_owned());
        self.write(move |connection| {
            async move {
                let rotated = sqlx::query(
                    "UPDATE credential_sessions SET refresh_jti = ?, expires_at = ? \
                     WHERE id = ? AND refresh_jti = ? AND ended_at IS NULL AND expires_at > ?",
                )
                .bind(new_jti)
                .bind(micros(expires_at))
                .bind(id.clone())
                .bind(old_jti)
                .bind(micros(now))
                .execute(&mut *connection)
                .await?;
                if rotated.rows_affected() == 1 {
                    return Ok(Rotation::Rotated);
                }
                let reused = sqlx::query(
                    "UPDATE credential_sessions SET ended_at = ?2 \
                     WHERE id = ?1 AND ended_at IS NULL AND expires_at > ?2",
                )
                .bind(id)
                .bind(micros(now))
                .execute(connection)
                .await?;
                Ok(if reused.rows_affected() == 1 { Rotation::Reused } else { Rotation::Gone })
            }
            .boxed()
        })
        .await
    }

    async fn end_session(&self, session: &CredentialSession, now: Timestamp) -> Result<(), StoreError> {
        let session = CredentialSession { ended_at: Some(now), ..session.clone() };
        self.write(move |connection| end_session(connection, session).boxed()).await
    }

    async fn prune_sessions(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM credential_sessions WHERE id IN \
             (SELECT id FROM credential_sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?)";
        self.write(move |connection| {
            async move { Ok(sqlx::query(SQL).bind(micros(now)).bind(limit).execute(connection).await?.rows_affected()) }
                .boxed()
        })
        .await
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

async fn insert(
    connection: &mut SqliteConnection,
    new: NewAccount,
    now: Timestamp,
    audit: Option<AuditEntry>,
) -> Result<Account, Failure> {
    const SQL: &str = "INSERT INTO users (username, username_key, email, password_hash, first_name, last_name, bio, \
         role, status, is_active, is_staff, email_verified, is_approved, created_at, updated_at, search_key) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', ?7, ?8, 1, ?9, ?10, ?11, ?12, ?12, ?13) \
         ON CONFLICT (username_key) DO NOTHING RETURNING id";
    let inserted = sqlx::query(SQL)
        .bind(new.username.clone())
        .bind(fold_case(&new.username))
        .bind(new.email.clone())
        .bind(new.password.0.clone())
        .bind(new.first_name.clone())
        .bind(new.last_name.clone())
        .bind(new.role.as_str())
        .bind(new.status.as_str())
        .bind(new.is_staff)
        .bind(new.email_verified)
        .bind(new.is_approved)
        .bind(micros(now))
        .bind(search_key(&new.username, &new.email, &new.first_name, &new.last_name))
        // All, not one: a row that is fetched before the end leaves the statement half done.
        .fetch_all(&mut *connection)
        .await?;
    let Some(row) = inserted.first() else { return Err(Failure::UsernameTaken) };
    let id = AccountId(row.number(0)?);
    log(connection, audit.map(|entry| AuditEntry { target: entry.target.or(Some(id)), ..entry })).await?;
    Ok(made(id, new, now))
}

async fn update(
    connection: &mut SqliteConnection,
    id: AccountId,
    changes: Changes,
    now: Timestamp,
    audit: Option<AuditEntry>,
) -> Result<Account, Failure> {
    const FIND: &str = select_accounts!("FROM users u WHERE u.id = ?");
    const SQL: &str = "UPDATE users SET email = ?2, password_hash = ?3, first_name = ?4, last_name = ?5, avatar = ?6, \
         bio = ?7, role = ?8, status = ?9, is_active = ?10, is_staff = ?11, email_verified = ?12, is_approved = ?13, \
         updated_at = ?14, tokens_valid_after = ?15, search_key = ?16 WHERE id = ?1";
    let found = sqlx::query(FIND).bind(id.0).fetch_all(&mut *connection).await?;
    let old = rows::account(found.first().ok_or(Failure::NotFound)?)?;
    let ends_sessions = changes.end_sessions;
    let new = changed(old, changes, now);
    sqlx::query(SQL)
        .bind(id.0)
        .bind(new.email.clone())
        .bind(new.password.0.clone())
        .bind(new.first_name.clone())
        .bind(new.last_name.clone())
        .bind(new.avatar.clone())
        .bind(new.bio.clone())
        .bind(new.role.as_str())
        .bind(new.status.as_str())
        .bind(new.is_active)
        .bind(new.is_staff)
        .bind(new.email_verified)
        .bind(new.is_approved)
        .bind(micros(now))
        .bind(new.tokens_valid_after.map(micros))
        .bind(search_key(&new.username, &new.email, &new.first_name, &new.last_name))
        .execute(&mut *connection)
        .await?;
    if ends_sessions {
        sqlx::query("UPDATE credential_sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL")
            .bind(micros(now))
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
    }
    log(connection, audit).await?;
    Ok(new)
}

async fn end_session(connection: &mut SqliteConnection, session: CredentialSession) -> Result<(), Failure> {
    const END: &str = "UPDATE credential_sessions SET ended_at = coalesce(ended_at, ?) WHERE id = ? AND user_id = ?";
    const REFUSE: &str = concat!(
        "INSERT INTO credential_sessions (",
        session_columns!(),
        ") SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8 FROM users WHERE id = ?2 ON CONFLICT (id) DO NOTHING"
    );
    let ended = sqlx::query(END)
        .bind(session.ended_at.map(micros))
        .bind(session.id.clone())
        .bind(session.account.0)
        .execute(&mut *connection)
        .await?;
    let is_foreign = session.refresh_jti.is_empty();
    if ended.rows_affected() == 0 && is_foreign {
        bind_session(sqlx::query(REFUSE), &session).execute(connection).await?;
    }
    Ok(())
}

pub(super) async fn log(connection: &mut SqliteConnection, entry: Option<AuditEntry>) -> Result<(), Failure> {
    const SQL: &str = "INSERT INTO audit_log (actor, action, target, detail, at) VALUES (?, ?, ?, ?, ?)";
    if let Some(entry) = entry {
        sqlx::query(SQL)
            .bind(entry.actor.map(|id| id.0))
            .bind(entry.action)
            .bind(entry.target.map(|id| id.0))
            .bind(entry.detail)
            .bind(micros(entry.at))
            .execute(connection)
            .await?;
    }
    Ok(())
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind_session(query: Query, session: &CredentialSession) -> Query {
    query
        .bind(session.id.clone())
        .bind(session.account.0)
        .bind(session.refresh_jti.clone())
        .bind(session.address.clone())
        .bind(session.device.clone())
        .bind(micros(session.created_at))
        .bind(micros(session.expires_at))
        .bind(session.ended_at.map(micros))
}
