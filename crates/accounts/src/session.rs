//! Sessions of credentials: how they go on and how they end.

use std::sync::Arc;

use jiff::Timestamp;

use crate::service::Accounts;
use crate::store::{AuditEntry, CredentialSession, Rotation};
use crate::token::{Claims, Kind, moment, random_id};
use crate::{Account, AccountId, AccountStatus, AuthError, Caller, Changes, RefreshError, Refreshed, StoreError};

impl Accounts {
    /// Trades a refresh token for new tokens of its session. A refresh token is good once.
    pub async fn refresh(&self, refresh_token: &str, now: Timestamp) -> Result<Refreshed, RefreshError> {
        let inner = &self.inner;
        let claims = self.claims(refresh_token, Kind::Refresh, now)?;
        if claims.foreign {
            return Err(AuthError::TokenNotValid.into());
        }
        let account = inner.store.account(claims.account).await?.ok_or(AuthError::UserNotFound)?;
        let row = inner.store.session(&claims.session).await?.ok_or(AuthError::TokenNotValid)?;
        if row.account != claims.account || row.ended_at.is_some() || row.expires_at <= now {
            return Err(AuthError::TokenNotValid.into());
        }
        if !account.is_active {
            return Err(AuthError::UserInactive.into());
        }
        if account.status != AccountStatus::Active {
            return Err(RefreshError::NotActive(account.status));
        }
        let new_jti = random_id();
        let tokens = inner.keys.issue(claims.account, &claims.session, &new_jti, now, inner.lifetimes);
        let tokens = tokens.ok_or(AuthError::TokenNotValid)?;
        let expires_at = inner.lifetimes.end(now);
        match inner.store.rotate(&claims.session, &claims.jti, &new_jti, expires_at, now).await? {
            Rotation::Rotated => Ok(Refreshed { tokens }),
            Rotation::Gone => Err(AuthError::TokenNotValid.into()),
            Rotation::Reused => {
                inner.cache.revoke(&[claims.account]);
                tracing::info!(account = claims.account.0, "refresh token used twice, session ended");
                Err(RefreshError::Reused { account: claims.account, session: claims.session.clone() })
            }
        }
    }

    /// Ends the caller's session, and the one of `refresh_token` when it is a good one of the same account. Returns the ended
    /// session ids.
    pub async fn logout(
        &self,
        caller: &Caller,
        refresh_token: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        let _revocation = self.inner.cache.revocation(caller.account);
        self.end(&caller.session, caller.account, caller.foreign, caller.expires_at, now).await?;
        let mut ended = vec![caller.session.clone()];
        let other = refresh_token.and_then(|token| self.claims(token, Kind::Refresh, now).ok());
        let of_the_caller = |claims: &Arc<Claims>| claims.account == caller.account && claims.session != caller.session;
        if let Some(other) = other.filter(of_the_caller) {
            self.end(&other.session, other.account, other.foreign, other.expires_at, now).await?;
            ended.push(other.session.clone());
        }
        Ok(ended)
    }

    async fn end(
        &self,
        session: &str,
        account: AccountId,
        foreign: bool,
        expires_at: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = &self.inner.store;
        if foreign {
            let row = foreign_session(session, account, expires_at, now);
            return store.end_session(&row, now).await;
        }
        match store.session(session).await? {
            Some(row) if row.account == account => store.end_session(&row, now).await,
            _ => Ok(()),
        }
    }

    /// Ends every session of the account and voids every token issued until now.
    pub async fn end_sessions(
        &self,
        account: AccountId,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<Account, StoreError> {
        let _revocation = self.inner.cache.revocation(account);
        let changes = Changes { end_sessions: true, ..Changes::default() };
        self.inner.store.update(account, &changes, now, audit.as_ref()).await
    }

    /// The live sessions of an account, oldest first, at most 1,000.
    pub async fn sessions(&self, account: AccountId, now: Timestamp) -> Result<Vec<CredentialSession>, StoreError> {
        self.inner.store.sessions(account, now).await
    }
}

/// The row of a foreign token.
pub(crate) fn foreign_session(session: &str, account: AccountId, expires_at: i64, now: Timestamp) -> CredentialSession {
    CredentialSession {
        id: session.to_owned(),
        account,
        refresh_jti: String::new(),
        address: String::new(),
        device: String::new(),
        created_at: now,
        expires_at: moment(expires_at),
        ended_at: None,
    }
}
