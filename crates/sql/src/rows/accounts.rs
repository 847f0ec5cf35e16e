//! The rows of accounts, and what is around them.

use presently_accounts::store::{AuditEntry, CredentialSession};
use presently_accounts::{
    Account, AccountId, AccountStatus, ApiKey, ApiKeyId, KeyHash, PasswordHash, RefreshTokens, Role,
};

use super::Columns;
use crate::failure::Failure;

/// Sessions of one account in one answer.
pub(crate) const SESSIONS_MAX: u32 = 1_000;
/// Changes in one answer.
pub(crate) const CHANGES_MAX: u32 = 10_000;

/// Selects what [`account`] reads.
macro_rules! select_accounts {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.username, u.email, u.password_hash, u.first_name, u.last_name, u.avatar, u.bio, u.role, ",
            "u.status, u.is_active, u.is_staff, u.email_verified, u.is_approved, u.message_count, u.report_count, ",
            "u.created_at, u.updated_at, u.tokens_valid_after ",
            $rest
        )
    };
}
pub(crate) use select_accounts;

/// Keeps what `with_session` gives, of an account that is there.
macro_rules! insert_session {
    ($rest:literal) => {
        concat!(
            "INSERT INTO credential_sessions (id, user_id, refresh_jti, address, device, created_at, expires_at, ended_at, ",
            "refresh_others, refreshed_at, ended_by_admin) SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11 ",
            $rest
        )
    };
}
pub(crate) use insert_session;

/// Selects what [`session`] reads.
macro_rules! select_sessions {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, refresh_jti, address, device, created_at, expires_at, ended_at, refresh_others, ",
            "coalesce(refreshed_at, created_at), ended_by_admin FROM credential_sessions ",
            $rest
        )
    };
}
pub(crate) use select_sessions;

/// Selects what [`audit`] reads.
macro_rules! select_audit {
    ($rest:literal) => {
        concat!("SELECT id, actor, action, target, detail, at FROM audit_log ", $rest)
    };
}
pub(crate) use select_audit;

/// The columns that [`key`] reads.
macro_rules! key_columns {
    () => {
        "id, name, prefix, key_hash, created_at, last_used_at, revoked_at"
    };
}
pub(crate) use key_columns;

/// Selects every key: those that are good first, and of each kind the newest first.
pub(crate) const KEYS: &str =
    concat!("SELECT ", key_columns!(), " FROM api_keys ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 10000");

pub(crate) fn account(row: &impl Columns) -> Result<Account, Failure> {
    Ok(Account {
        id: AccountId(row.number(0)?),
        username: row.text(1)?.into_owned(),
        email: row.text(2)?.into_owned(),
        password: PasswordHash(row.text(3)?.into_owned()),
        first_name: row.text(4)?.into_owned(),
        last_name: row.text(5)?.into_owned(),
        avatar: row.some_text(6)?.map(Into::into),
        bio: row.text(7)?.into_owned(),
        role: row.word(8, Role::parse)?,
        status: row.word(9, AccountStatus::parse)?,
        is_active: row.truth(10)?,
        is_staff: row.truth(11)?,
        email_verified: row.truth(12)?,
        is_approved: row.truth(13)?,
        message_count: row.number(14)?,
        report_count: row.number(15)?,
        created_at: row.moment(16)?,
        updated_at: row.moment(17)?,
        tokens_valid_after: row.some_moment(18)?,
    })
}

pub(crate) fn session(row: &impl Columns) -> Result<CredentialSession, Failure> {
    Ok(CredentialSession {
        id: row.text(0)?.into_owned(),
        account: AccountId(row.number(1)?),
        refresh: RefreshTokens::read(&row.text(2)?, &row.text(8)?),
        address: row.text(3)?.into_owned(),
        device: row.text(4)?.into_owned(),
        created_at: row.moment(5)?,
        expires_at: row.moment(6)?,
        refreshed_at: row.moment(9)?,
        ended_at: row.some_moment(7)?,
        ended_by_admin: row.truth(10)?,
    })
}

/// A line of the log, with its number.
pub(crate) fn audit(row: &impl Columns) -> Result<(i64, AuditEntry), Failure> {
    let entry = AuditEntry {
        actor: row.some_number(1)?.map(AccountId),
        action: row.text(2)?.into_owned(),
        target: row.some_number(3)?.map(AccountId),
        detail: row.text(4)?.into_owned(),
        at: row.moment(5)?,
    };
    Ok((row.number(0)?, entry))
}

pub(crate) fn key(row: &impl Columns) -> Result<ApiKey, Failure> {
    let hash = row.bytes(3)?.try_into().map_err(|_| Failure::nonsense("a key's hash of another length"))?;
    Ok(ApiKey {
        id: ApiKeyId(row.number(0)?),
        name: row.text(1)?.into_owned(),
        prefix: row.text(2)?.into_owned(),
        hash: KeyHash(hash),
        created_at: row.moment(4)?,
        last_used_at: row.some_moment(5)?,
        revoked_at: row.some_moment(6)?,
    })
}

/// A change of an account: its number, and the account.
pub(crate) fn change(row: &impl Columns) -> Result<(i64, AccountId), Failure> {
    Ok((row.number(0)?, AccountId(row.number(1)?)))
}

/// Where the reader of these changes is then, and which accounts they were of.
pub(crate) fn read_up_to(after: i64, changes: Vec<(i64, AccountId)>) -> (i64, Vec<AccountId>) {
    let newest = changes.last().map_or(after, |(seq, _)| *seq);
    (newest, changes.into_iter().map(|(_, id)| id).collect())
}
