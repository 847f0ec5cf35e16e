//! What is written of accounts, said once for both databases. Each function is a part of a transaction that the caller began.

use jiff::Timestamp;
use presently_accounts::store::{AuditEntry, CredentialSession, Rotation, Trade};
use presently_accounts::{
    Account, AccountId, ApiKey, Changes, NewAccount, NewApiKey, StoreError, WhichKey, fold_case, username_look,
};

use crate::failure::Failure;
use crate::link::{Link, Values};
use crate::moment::kept;
use crate::rows::accounts::{account, key, key_columns, session};
use crate::rows::{Columns as _, Dialect as _};
use crate::search::search_key;

pub(crate) async fn insert<L: Link>(
    link: &mut L,
    new: NewAccount,
    now: Timestamp,
    audit: Option<AuditEntry>,
) -> Result<Account, Failure> {
    const SQL: &str = "INSERT INTO users (username, username_key, email, password_hash, first_name, last_name, bio, \
         role, status, is_active, is_staff, email_verified, is_approved, created_at, updated_at, search_key, email_key, \
         username_look) \
         VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, TRUE, $9, $10, $11, $12, $12, $13, $14, $15) \
         ON CONFLICT DO NOTHING RETURNING id";
    const NAMED: &str = "SELECT id FROM users WHERE username_key = $1 OR username_look = $2";
    let username_key = fold_case(&new.username);
    let query = L::query(SQL)
        .text(&new.username)
        .text(&username_key)
        .text(&new.email)
        .text(&new.password.0)
        .text(&new.first_name)
        .text(&new.last_name)
        .text(new.role.as_str())
        .text(new.status.as_str())
        .truth(new.is_staff)
        .truth(new.email_verified)
        .truth(new.is_approved)
        .moment(now)
        .text(&search_key(&new.username, &new.email, &new.first_name, &new.last_name))
        .some_text(email_key(&new.email).as_deref())
        .text(&username_look(&new.username));
    let inserted = link.rows(query).await?;
    let Some(row) = inserted.first() else {
        let named = link.rows(L::query(NAMED).text(&username_key).text(&username_look(&new.username))).await?;
        let taken = if named.is_empty() { StoreError::EmailTaken } else { StoreError::UsernameTaken };
        return Err(Failure::Rule(taken));
    };
    let id = AccountId(row.number(0)?);
    log(link, audit.map(|entry| AuditEntry { target: entry.target.or(Some(id)), ..entry })).await?;
    Ok(new.made(id, now))
}

pub(crate) async fn update<L: Link>(
    link: &mut L,
    id: AccountId,
    changes: Changes,
    now: Timestamp,
    audit: Option<AuditEntry>,
) -> Result<Account, Failure> {
    const SQL: &str = "UPDATE users SET email = $2, password_hash = $3, first_name = $4, last_name = $5, avatar = $6, \
         bio = $7, role = $8, status = $9, is_active = $10, is_staff = $11, email_verified = $12, is_approved = $13, \
         updated_at = $14, tokens_valid_after = $15, search_key = $16, username = $17, username_key = $18, \
         email_key = CASE WHEN $19 THEN $20 ELSE email_key END, \
         username_look = CASE WHEN $21 THEN $22 ELSE username_look END WHERE id = $1";
    const END: &str =
        "UPDATE credential_sessions SET ended_at = $1 WHERE user_id = $2 AND ended_at IS NULL AND id <> $3";
    if changes.may_take_an_admin() {
        hold_admins(link).await?;
    }
    let old = account_to_change(link, id).await?;
    let (was_admin, old_email) = (old.is_active_admin(), email_key(&old.email));
    let old_look = username_look(&old.username);
    let (ends_sessions, spare) = (changes.end_sessions, changes.spare.clone().unwrap_or_default());
    let new = old.changed(changes, now).map_err(Failure::Rule)?;
    if was_admin && !new.is_active_admin() {
        refuse_last_admin(link, id).await?;
    }
    let query = L::query(SQL)
        .number(id.0)
        .text(&new.email)
        .text(&new.password.0)
        .text(&new.first_name)
        .text(&new.last_name)
        .some_text(new.avatar.as_deref())
        .text(&new.bio)
        .text(new.role.as_str())
        .text(new.status.as_str())
        .truth(new.is_active)
        .truth(new.is_staff)
        .truth(new.email_verified)
        .truth(new.is_approved)
        .moment(now)
        .some_moment(new.tokens_valid_after)
        .text(&search_key(&new.username, &new.email, &new.first_name, &new.last_name))
        .text(&new.username)
        .text(&fold_case(&new.username))
        // An address or a look that an older account had first stays as it is, while it stays.
        .truth(email_key(&new.email) != old_email)
        .some_text(email_key(&new.email).as_deref())
        .truth(username_look(&new.username) != old_look)
        .text(&username_look(&new.username));
    link.execute(query).await?;
    if ends_sessions {
        link.execute(L::query(END).moment(now).number(id.0).text(&spare)).await?;
    }
    log(link, audit).await?;
    Ok(new)
}

/// What e-mail addresses are unique by; `None` for none.
fn email_key(email: &str) -> Option<String> {
    (!email.is_empty()).then(|| fold_case(email))
}

pub(crate) async fn delete<L: Link>(link: &mut L, id: AccountId, audit: Option<AuditEntry>) -> Result<(), Failure> {
    hold_admins(link).await?;
    if account_to_change(link, id).await?.is_active_admin() {
        refuse_last_admin(link, id).await?;
    }
    // Its credential sessions go with it, by their foreign key.
    link.execute(L::query("DELETE FROM users WHERE id = $1").number(id.0)).await?;
    log(link, audit).await
}

/// The account as it stands, which nobody else changes before this transaction ends.
async fn account_to_change<L: Link>(link: &mut L, id: AccountId) -> Result<Account, Failure> {
    let found = link.rows(L::query(L::Dialect::ACCOUNT_TO_CHANGE).number(id.0)).await?;
    account(found.first().ok_or(Failure::Rule(StoreError::NotFound))?)
}

/// From here to the end of the transaction nobody else takes an admin away. **Comes before any lock on an account.**
async fn hold_admins<L: Link>(link: &mut L) -> Result<(), Failure> {
    if let Some(hold) = L::Dialect::HOLD_ADMINS {
        link.execute(L::query(hold)).await?;
    }
    Ok(())
}

/// Refuses to go on when there is no other active admin than this one.
async fn refuse_last_admin<L: Link>(link: &mut L, id: AccountId) -> Result<(), Failure> {
    let others = link.rows(L::query(L::Dialect::OTHER_ADMIN).number(id.0)).await?;
    if others.is_empty() { Err(Failure::Rule(StoreError::LastAdmin)) } else { Ok(()) }
}

/// A line in the log.
pub(crate) async fn log<L: Link>(link: &mut L, entry: Option<AuditEntry>) -> Result<(), Failure> {
    const SQL: &str = "INSERT INTO audit_log (actor, action, target, detail, at) VALUES ($1, $2, $3, $4, $5)";
    if let Some(entry) = entry {
        let query = L::query(SQL)
            .some_number(entry.actor.map(|id| id.0))
            .text(&entry.action)
            .some_number(entry.target.map(|id| id.0))
            .text(&entry.detail)
            .moment(entry.at);
        link.execute(query).await?;
    }
    Ok(())
}

/// Gives a statement the columns of a session.
pub(crate) fn with_session<Q: Values>(query: Q, session: &CredentialSession) -> Q {
    query
        .text(&session.id)
        .number(session.account.0)
        .text(session.refresh.newest())
        .text(&session.address)
        .text(&session.device)
        .moment(session.created_at)
        .moment(session.expires_at)
        .some_moment(session.ended_at)
        .text(&session.refresh.others())
        .moment(session.refreshed_at)
        .truth(session.ended_by_admin)
}

/// Ends a session; one of a foreign token is kept as ended though it was never opened here.
pub(crate) async fn end_session<L: Link>(
    link: &mut L,
    session: CredentialSession,
    audit: Option<AuditEntry>,
) -> Result<(), Failure> {
    const END: &str = "UPDATE credential_sessions SET ended_at = coalesce(ended_at, $1), \
         ended_by_admin = CASE WHEN ended_at IS NULL THEN $4 ELSE ended_by_admin END WHERE id = $2 AND user_id = $3";
    let query = L::query(END).some_moment(session.ended_at).text(&session.id).number(session.account.0);
    let ended = link.execute(query.truth(session.ended_by_admin)).await?;
    let is_foreign = session.refresh.is_none();
    if ended == 0 && is_foreign {
        link.execute(with_session(L::query(L::Dialect::REFUSED_SESSION), &session)).await?;
    }
    log(link, audit).await
}

/// Does to a session what the use of a refresh token does.
pub(crate) async fn rotate<L: Link>(
    link: &mut L,
    id: &str,
    trade: &Trade,
    now: Timestamp,
) -> Result<Rotation, Failure> {
    const SQL: &str = "UPDATE credential_sessions \
         SET refresh_jti = $2, refresh_others = $3, refreshed_at = $4, expires_at = $5, ended_at = $6 WHERE id = $1";
    let found = link.rows(L::query(L::Dialect::SESSION_TO_CHANGE).text(id)).await?;
    let Some(row) = found.first() else { return Ok(Rotation::Gone) };
    let mut changed = session(row)?;
    let outcome = changed.trade(trade, now);
    if outcome != Rotation::Gone {
        let query = L::query(SQL)
            .text(id)
            .text(changed.refresh.newest())
            .text(&changed.refresh.others())
            .moment(changed.refreshed_at)
            .moment(changed.expires_at)
            .some_moment(changed.ended_at);
        link.execute(query).await?;
    }
    Ok(outcome)
}

/// Makes a key, unless one of this name is good.
pub(crate) async fn insert_key<L: Link>(
    link: &mut L,
    new: NewApiKey,
    now: Timestamp,
    audit: Option<AuditEntry>,
) -> Result<Option<ApiKey>, Failure> {
    const SQL: &str = concat!(
        "INSERT INTO api_keys (name, prefix, key_hash, created_at) VALUES ($1, $2, $3, $4) ",
        "ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING ",
        key_columns!()
    );
    let query = L::query(SQL).text(&new.name).text(&new.prefix).bytes(&new.hash.0).moment(kept(now));
    changed_key(link, query, audit).await
}

/// Revokes a key that is good.
pub(crate) async fn revoke_key<L: Link>(
    link: &mut L,
    which: WhichKey,
    now: Timestamp,
    audit: Option<AuditEntry>,
) -> Result<Option<ApiKey>, Failure> {
    const BY_ID: &str =
        concat!("UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL RETURNING ", key_columns!());
    const BY_NAME: &str = concat!(
        "UPDATE api_keys SET revoked_at = $1 WHERE name = $2 AND revoked_at IS NULL RETURNING ",
        key_columns!()
    );
    let query = match which {
        WhichKey::Id(id) => L::query(BY_ID).moment(kept(now)).number(id.0),
        WhichKey::Name(name) => L::query(BY_NAME).moment(kept(now)).text(&name),
    };
    changed_key(link, query, audit).await
}

/// The key that the statement returns, and its line in the log.
async fn changed_key<L: Link>(
    link: &mut L,
    query: L::Query,
    audit: Option<AuditEntry>,
) -> Result<Option<ApiKey>, Failure> {
    let rows = link.rows(query).await?;
    let Some(key) = rows.first().map(key).transpose()? else { return Ok(None) };
    log(link, audit.map(|audit| key.described(&audit))).await?;
    Ok(Some(key))
}
