//! Accounts: made, changed, erased. **What takes a right away ends the sessions too, and is known here when the call returns.**

use jiff::Timestamp;

use crate::hashing::Busy;
use crate::network::Network;
use crate::new_password::check_new_password;
use crate::service::Accounts;
use crate::store::AuditEntry;
use crate::username::normal_username;
use crate::{Account, AccountId, AccountStatus, Changes, Draft, NewAccount, ServiceError, StoreError, fields};

impl Accounts {
    /// Checks and hashes; then makes the account.
    pub async fn create(
        &self,
        draft: Draft,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<Account, ServiceError> {
        self.create_from(Network::NONE, draft, now, audit).await
    }

    /// The same for somebody at this address, who waits in its turn.
    pub(crate) async fn create_from(
        &self,
        network: Network,
        draft: Draft,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<Account, ServiceError> {
        fields::check_draft(&draft)?;
        let draft = Draft { username: normal_username(&draft.username).into_owned(), ..draft };
        if self.inner.store.account_named(&draft.username).await?.is_some() {
            return Err(fields::username_taken());
        }
        let password = self.inner.hashing.hash(network, &draft.password).await?;
        let account = NewAccount {
            username: draft.username,
            email: draft.email,
            password,
            first_name: draft.first_name,
            last_name: draft.last_name,
            role: draft.role,
            status: draft.status,
            is_staff: draft.is_staff,
            email_verified: false,
            is_approved: draft.status == AccountStatus::Active,
        };
        let account = self.inner.store.insert(&account, now, audit.as_ref()).await.map_err(fields::taken)?;
        self.inner.ids.insert(account.id);
        Ok(account)
    }

    /// Changes as somebody typed them, checked, for [`Self::update`]; with `password` a new password too, which is hashed here and
    /// ends the sessions of the old one.
    pub async fn prepare(
        &self,
        id: AccountId,
        changes: Changes,
        password: Option<&str>,
    ) -> Result<Changes, ServiceError> {
        if changes.username.is_none() && password.is_none() {
            fields::check_changes(&changes)?;
            return Ok(changes);
        }
        let account = self.inner.store.account(id).await?.ok_or(StoreError::NotFound)?;
        // The name that an account has may be older than the rules for names.
        let username = changes.username.filter(|name| *name != account.username);
        let changes = Changes { username: username.map(|name| normal_username(&name).into_owned()), ..changes };
        let checked = password.map_or(Ok(()), |password| {
            let username = changes.username.as_deref().unwrap_or(&account.username);
            check_new_password("password", password, username, changes.email.as_deref().unwrap_or(&account.email))
        });
        fields::all(fields::check_changes(&changes), checked)?;
        if let Some(name) = &changes.username
            && self.inner.store.account_named(name).await?.is_some_and(|named| named.id != id)
        {
            return Err(fields::username_taken());
        }
        let Some(password) = password else { return Ok(changes) };
        let password = Some(self.inner.hashing.hash(Network::NONE, password).await?);
        Ok(Changes { password, end_sessions: true, ..changes })
    }

    /// Changes an account. A change that takes away (to another state than active, or deactivated) ends the sessions, asked for or
    /// not. A new password belongs to [`Self::prepare`].
    pub async fn update(
        &self,
        id: AccountId,
        changes: Changes,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<Account, ServiceError> {
        fields::check_changes(&changes)?;
        let takes_away =
            changes.is_active == Some(false) || changes.status.is_some_and(|status| status != AccountStatus::Active);
        let changes = Changes { end_sessions: changes.end_sessions || takes_away, ..changes };
        let touches_rights = changes.end_sessions || changes.approve || changes.may_take_an_admin();
        let _revocation = touches_rights.then(|| self.inner.cache.revocation(id));
        self.inner.store.update(id, &changes, now, audit.as_ref()).await.map_err(fields::taken)
    }

    /// Checks and hashes a new password; then sets it and ends the sessions of the old one.
    pub async fn set_password(
        &self,
        id: AccountId,
        password: &str,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<Account, ServiceError> {
        let changes = self.prepare(id, Changes::default(), Some(password)).await?;
        self.update(id, changes, now, audit).await
    }

    /// Erases an account with its sessions.
    pub async fn delete(&self, id: AccountId, now: Timestamp, audit: Option<AuditEntry>) -> Result<(), ServiceError> {
        let _revocation = self.inner.cache.revocation(id);
        self.inner.store.delete(id, now, audit.as_ref()).await?;
        self.inner.ids.remove(id);
        Ok(())
    }
}

impl From<Busy> for ServiceError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}
