//! A store in memory that tells of each call, before it is made and after, and waits for whoever listens.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use presently_accounts::memory::MemoryStore;
use presently_accounts::store::{
    AccountStore, ApiKeyStore, AuditEntry, CredentialSession, Page, PageQuery, Rotation, Trade,
};
use presently_accounts::{
    Account, AccountId, ApiKey, ApiKeyId, Changes, KeyHash, NewAccount, NewApiKey, PasswordHash, StoreError, WhichKey,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Before(&'static str),
    After(&'static str),
}

/// What the listener does meanwhile; when it fails, so does the call.
type Wait = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

pub(crate) struct Hooked {
    pub(crate) store: Arc<MemoryStore>,
    hook: Box<dyn Fn(Call, Arc<MemoryStore>) -> Wait + Send + Sync>,
}

impl Hooked {
    pub(crate) fn new(hook: impl Fn(Call, Arc<MemoryStore>) -> Wait + Send + Sync + 'static) -> Self {
        Self { store: Arc::new(MemoryStore::new()), hook: Box::new(hook) }
    }

    async fn around<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        (self.hook)(Call::Before(name), self.store.clone()).await?;
        let answer = call.await;
        (self.hook)(Call::After(name), self.store.clone()).await?;
        answer
    }
}

#[async_trait]
impl ApiKeyStore for Hooked {
    async fn insert_api_key(
        &self,
        key: &NewApiKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.around("insert_api_key", self.store.insert_api_key(key, now, audit)).await
    }
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.around("api_keys", self.store.api_keys()).await
    }
    async fn api_key(&self, hash: &KeyHash) -> Result<Option<ApiKey>, StoreError> {
        self.around("api_key", self.store.api_key(hash)).await
    }
    async fn revoke_api_key(
        &self,
        which: &WhichKey,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.around("revoke_api_key", self.store.revoke_api_key(which, now, audit)).await
    }
    async fn note_api_keys_used(&self, ids: &[ApiKeyId], at: Timestamp) -> Result<(), StoreError> {
        self.around("note_api_keys_used", self.store.note_api_keys_used(ids, at)).await
    }
}

#[async_trait]
impl AccountStore for Hooked {
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.around("account", self.store.account(id)).await
    }
    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        self.around("accounts", self.store.accounts(ids)).await
    }
    async fn account_ids(&self) -> Result<Vec<AccountId>, StoreError> {
        self.around("account_ids", self.store.account_ids()).await
    }
    async fn accounts_before(
        &self,
        before: Option<(Timestamp, AccountId)>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        self.around("accounts_before", self.store.accounts_before(before, limit)).await
    }
    async fn account_named(&self, username: &str) -> Result<Option<Account>, StoreError> {
        self.around("account_named", self.store.account_named(username)).await
    }
    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        self.around("page", self.store.page(query)).await
    }
    async fn old_hash_after(&self, after: &str) -> Result<Option<PasswordHash>, StoreError> {
        self.around("old_hash_after", self.store.old_hash_after(after)).await
    }
    async fn admin_count(&self) -> Result<u64, StoreError> {
        self.around("admin_count", self.store.admin_count()).await
    }
    async fn barred(&self) -> Result<Vec<AccountId>, StoreError> {
        self.around("barred", self.store.barred()).await
    }
    async fn insert(
        &self,
        new: &NewAccount,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError> {
        self.around("insert", self.store.insert(new, now, audit)).await
    }
    async fn update(
        &self,
        id: AccountId,
        changes: &Changes,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError> {
        self.around("update", self.store.update(id, changes, now, audit)).await
    }
    async fn replace_password(
        &self,
        id: AccountId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        self.around("replace_password", self.store.replace_password(id, old, new)).await
    }
    async fn delete(&self, id: AccountId, now: Timestamp, audit: Option<&AuditEntry>) -> Result<(), StoreError> {
        self.around("delete", self.store.delete(id, now, audit)).await
    }
    async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.around("audit", self.store.audit(entry)).await
    }
    async fn audit_page(&self, before_id: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        self.around("audit_page", self.store.audit_page(before_id, limit)).await
    }
    async fn open_session(&self, session: &CredentialSession) -> Result<bool, StoreError> {
        self.around("open_session", self.store.open_session(session)).await
    }
    async fn session(&self, id: &str) -> Result<Option<CredentialSession>, StoreError> {
        self.around("session", self.store.session(id)).await
    }
    async fn sessions(&self, account: AccountId, now: Timestamp) -> Result<Vec<CredentialSession>, StoreError> {
        self.around("sessions", self.store.sessions(account, now)).await
    }
    async fn rotate(&self, id: &str, trade: &Trade, now: Timestamp) -> Result<Rotation, StoreError> {
        self.around("rotate", self.store.rotate(id, trade, now)).await
    }
    async fn end_session(
        &self,
        session: &CredentialSession,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        self.around("end_session", self.store.end_session(session, now, audit)).await
    }
    async fn prune_sessions(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.around("prune_sessions", self.store.prune_sessions(now, limit)).await
    }
    async fn newest_change(&self) -> Result<i64, StoreError> {
        self.around("newest_change", self.store.newest_change()).await
    }
    async fn changes_after(&self, after: i64) -> Result<(i64, Vec<AccountId>), StoreError> {
        self.around("changes_after", self.store.changes_after(after)).await
    }
}
