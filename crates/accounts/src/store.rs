//! The port to what is known of accounts. **What a call returned is durable.**

use async_trait::async_trait;
use jiff::Timestamp;

pub use crate::key_store::ApiKeyStore;
use crate::{
    Account, AccountId, AccountStatus, Changes, NewAccount, PasswordHash, RefreshRotation, RefreshTokens, Role,
    StoreError,
};

/// Stands for the API keys in the list of changes: no account has this number.
pub const API_KEYS: AccountId = AccountId(0);

/// A login's credentials: what its tokens stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSession {
    /// The `sid` in its tokens; for a foreign token (one without `sid`) its `jti`.
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// Its refresh tokens; none for a foreign token.
    pub refresh: RefreshTokens,
    /// From which address.
    pub address: String,
    /// With which user agent (cut to 256 characters).
    pub device: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was opened or last refreshed.
    pub refreshed_at: Timestamp,
    /// Until when its refresh tokens are good: the row may go afterwards.
    pub expires_at: Timestamp,
    /// When it was ended; its tokens are void since.
    pub ended_at: Option<Timestamp>,
    /// Whether an administrator ended it, this one alone.
    pub ended_by_admin: bool,
}

impl CredentialSession {
    /// Whether its tokens may be good at this moment.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.expires_at > now
    }

    /// What becomes of it when a refresh token is used. A second use that comes too late ends it.
    pub fn trade(&mut self, trade: &Trade, now: Timestamp) -> Rotation {
        if !self.is_live(now) {
            return Rotation::Gone;
        }
        let outcome = self.refresh.trade(&trade.old_jti, &trade.new_jti, trade.rotation, now);
        match outcome {
            Rotation::Rotated => (self.refreshed_at, self.expires_at) = (now, trade.expires_at),
            Rotation::Reused => self.ended_at = Some(now),
            Rotation::Gone => {}
        }
        outcome
    }
}

/// A refresh token that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The one that was brought.
    pub old_jti: String,
    /// The one that is to be good from now on.
    pub new_jti: String,
    /// What becomes of the old one.
    pub rotation: RefreshRotation,
    /// Until when the session's tokens are good then.
    pub expires_at: Timestamp,
}

/// What a refresh came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The old `jti` was good, or was used a moment ago; the new one is good now.
    Rotated,
    /// The old `jti` was used before: the session was ended by this call.
    Reused,
    /// No such live session.
    Gone,
}

/// In which order a page of accounts comes. Ties go by id; turned round, the whole order is, ties included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// By creation (then id).
    #[default]
    CreatedAt,
    /// By [`crate::fold_case`] of the username.
    Username,
    /// By last seen: never seen counts as oldest.
    LastSeen,
    /// offline < away < online (then id).
    OnlineStatus,
}

/// What is live now of one user: laid over what the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Who.
    pub account: AccountId,
    /// `away` or `online` (an override may also say `offline`).
    pub online_status: &'static str,
    /// The last evidence, in microseconds since 1970.
    pub last_seen_us: Option<i64>,
}

/// A question for a page of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// Text in username, e-mail, given or family name, in any case ([`crate::fold_case`] on both sides); `%` and `_` mean themselves.
    pub search: Option<String>,
    /// Only this state. `"inactive"` (deactivated accounts, whatever their state) is [`PageQuery::is_active`] false.
    pub status: Option<AccountStatus>,
    /// Only active or deactivated ones.
    pub is_active: Option<bool>,
    /// Only this role.
    pub role: Option<Role>,
    /// Only those with this live status: `online`, `away` or `offline`.
    pub online_status: Option<&'static str>,
    /// Everybody who is live, when `online_status` is asked for or ordered by, or `LastSeen` is. Who is not in it is offline.
    pub live: Vec<Live>,
    /// The order.
    pub ordering: Ordering,
    /// Whether the order is turned round.
    pub descending: bool,
    /// How many to pass over.
    pub offset: u64,
    /// How many to return; 0 is all.
    pub limit: u64,
}

/// A page of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many there are in all.
    pub count: u64,
    /// Those asked for.
    pub accounts: Vec<Account>,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who did it; `None` is the command line.
    pub actor: Option<AccountId>,
    /// What: a stable word such as `suspend`.
    pub action: String,
    /// To whom.
    pub target: Option<AccountId>,
    /// More: the reason given, what changed. Never a secret.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// What the service asks of a store.
#[async_trait]
pub trait AccountStore: ApiKeyStore {
    /// The account of this number.
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError>;
    /// The accounts of these numbers, in any order; unknown ones are left out. Up to 10,000 a call.
    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError>;
    /// The numbers of all accounts, in any order.
    async fn account_ids(&self) -> Result<Vec<AccountId>, StoreError>;
    /// The newest `limit` accounts of those made before the one that was made at this moment with this number, newest first.
    async fn accounts_before(
        &self,
        before: Option<(Timestamp, AccountId)>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError>;
    /// The account of this name, in any case of letters.
    async fn account_named(&self, username: &str) -> Result<Option<Account>, StoreError>;
    /// A page of accounts.
    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError>;
    /// The first password hash after `after`, in the order of their bytes, of those that do not begin with
    /// [`PasswordHash::TODAY`].
    async fn old_hash_after(&self, after: &str) -> Result<Option<PasswordHash>, StoreError>;
    /// How many admins there are who may sign in.
    async fn admin_count(&self) -> Result<u64, StoreError>;
    /// Everybody who may not be present (not active, or deactivated).
    async fn barred(&self) -> Result<Vec<AccountId>, StoreError>;

    /// Makes an account, unless one has its username or its e-mail address, in any case of letters. The line for the audit log gets the new account as its target when it names none.
    async fn insert(
        &self,
        account: &NewAccount,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError>;
    /// Changes an account, as [`Account::changed`] says, which is decided while nobody else changes it, unless another one has the new
    /// username or e-mail address ([`insert`](Self::insert)); with `end_sessions` its sessions
    /// end and `tokens_valid_after` becomes `now`. The last active admin stays one: [`StoreError::LastAdmin`], also of several changes
    /// at once, whoever makes them.
    async fn update(
        &self,
        id: AccountId,
        changes: &Changes,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError>;
    /// Replaces a password's hash by another hash of the same password, if it is still `old`; returns whether it was. Nothing else
    /// changes, and it is no change to be followed.
    ///
    /// As it stands here a password set between the two calls would be lost: stores do it in one step instead.
    async fn replace_password(
        &self,
        id: AccountId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let Some(account) = self.account(id).await?.filter(|account| account.password == *old) else {
            return Ok(false);
        };
        let changes = Changes { password: Some(new.clone()), ..Changes::default() };
        self.update(id, &changes, account.updated_at, None).await.map(|_| true)
    }
    /// Erases an account with its credential sessions, but not the last active admin; presence and history are erased by the presence
    /// store.
    async fn delete(&self, id: AccountId, now: Timestamp, audit: Option<&AuditEntry>) -> Result<(), StoreError>;
    /// Writes a line into the audit log.
    async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError>;
    /// The audit log, newest first, at most `limit`, those before `before_id` when given; with the id of each line.
    async fn audit_page(&self, before_id: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError>;

    /// Opens a session if the account is active at this moment; false (nothing kept) when it is not.
    async fn open_session(&self, session: &CredentialSession) -> Result<bool, StoreError>;
    /// The session of this id, live or ended.
    async fn session(&self, id: &str) -> Result<Option<CredentialSession>, StoreError>;
    /// The live sessions of an account, oldest first, at most 1,000.
    async fn sessions(&self, account: AccountId, now: Timestamp) -> Result<Vec<CredentialSession>, StoreError>;
    /// Does to a session what [`CredentialSession::trade`] says, atomically. One that is not there is [`Rotation::Gone`].
    async fn rotate(&self, id: &str, trade: &Trade, now: Timestamp) -> Result<Rotation, StoreError>;
    /// Ends a session; one that has ended keeps its first end. For a foreign token (no refresh tokens) that has no row one is
    /// made, already ended, and kept until its `expires_at`.
    async fn end_session(
        &self,
        session: &CredentialSession,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<(), StoreError>;
    /// Drops sessions that expired before `now`, at most `limit`; returns how many went.
    async fn prune_sessions(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// The number of the newest change to any account or its sessions, made by this or another process.
    async fn newest_change(&self) -> Result<i64, StoreError>;
    /// Whose accounts or sessions changed after change number `after`, with the number up to which this answer goes; at most 10,000
    /// entries. A change is an account that was made, changed or erased, or a session that ended (a foreign token's too); opening and
    /// rotating are none. An API key that was revoked is a change of [`API_KEYS`].
    async fn changes_after(&self, after: i64) -> Result<(i64, Vec<AccountId>), StoreError>;
}
