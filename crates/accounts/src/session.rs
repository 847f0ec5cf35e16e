//! Sessions of credentials: how they go on and how they end.

use std::sync::Arc;

use jiff::Timestamp;

use crate::service::Accounts;
use crate::store::{AuditEntry, CredentialSession, Rotation, Trade};
use crate::token::{Claims, Kind, moment, random_id};
use crate::{
    Account, AccountId, AccountStatus, AuthError, Caller, Changes, RefreshError, RefreshRotation, RefreshTokens,
    Refreshed, StoreError, TokenPair,
};

impl Accounts {
    /// Trades a refresh token for new tokens of its session. What becomes of the old one, [`RefreshRotation`] says.
    pub async fn refresh(&self, refresh_token: &str, now: Timestamp) -> Result<Refreshed, RefreshError> {
        let inner = &self.inner;
        let claims = self.claims(refresh_token, Kind::Refresh, now)?;
        if claims.foreign {
            return Err(AuthError::TokenNotValid.into());
        }
        let account = inner.store.account(claims.account).await?.ok_or(AuthError::UserNotFound)?;
        let row = inner.store.session(&claims.session).await?.ok_or(AuthError::TokenNotValid)?;
        if row.account != claims.account || !row.is_live(now) {
            return Err(AuthError::TokenNotValid.into());
        }
        if !account.is_active {
            return Err(AuthError::UserInactive.into());
        }
        if account.status != AccountStatus::Active {
            return Err(RefreshError::NotActive(account.status));
        }
        let stays = inner.rotation == RefreshRotation::Off;
        let last_second = inner.lifetimes.last_second(row.created_at);
        // A token that stays is not good for longer than it was.
        let until = if stays { last_second.min(row.expires_at.as_second()) } else { last_second };
        if until <= now.as_second() {
            return Err(AuthError::TokenNotValid.into());
        }
        let trade = Trade {
            old_jti: claims.jti.clone(),
            new_jti: if stays { claims.jti.clone() } else { random_id() },
            rotation: inner.rotation,
            expires_at: if stays { row.expires_at } else { inner.lifetimes.end(now, until) },
        };
        let tokens = inner.keys.issue(claims.account, &claims.session, &trade.new_jti, now, inner.lifetimes, until);
        let tokens = tokens.ok_or(AuthError::TokenNotValid)?;
        match inner.store.rotate(&claims.session, &trade, now).await? {
            Rotation::Rotated if stays => {
                Ok(Refreshed { tokens: TokenPair { refresh: refresh_token.to_owned(), ..tokens } })
            }
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
            return store.end_session(&foreign_session(session, account, moment(expires_at), now), now, None).await;
        }
        match store.session(session).await? {
            Some(row) if row.account == account => store.end_session(&row, now, None).await,
            _ => Ok(()),
        }
    }

    /// Ends one session of the account: its tokens are void when this returns. Returns whether there was anything to end.
    pub async fn end_session(
        &self,
        account: AccountId,
        session: &str,
        how: SessionEnd,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<bool, StoreError> {
        let _revocation = self.inner.cache.revocation(account);
        let store = &self.inner.store;
        let row = match store.session(session).await? {
            Some(row) if row.account == account && row.is_live(now) => row,
            // Nobody here knows how long a token is good that was made elsewhere.
            None if how.is_present => foreign_session(session, account, moment(i64::MAX), now),
            _ => return Ok(false),
        };
        store.end_session(&CredentialSession { ended_by_admin: how.by_admin, ..row }, now, audit.as_ref()).await?;
        Ok(true)
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

/// How one session is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// By an administrator, and not by its owner.
    pub by_admin: bool,
    /// It is there for presence: when no login has its name, the token behind it was made elsewhere.
    pub is_present: bool,
}

/// What is kept of a token that was made elsewhere, and ended here.
pub(crate) fn foreign_session(
    id: &str,
    account: AccountId,
    expires_at: Timestamp,
    now: Timestamp,
) -> CredentialSession {
    CredentialSession {
        id: id.to_owned(),
        account,
        refresh: RefreshTokens::none(),
        address: String::new(),
        device: String::new(),
        created_at: now,
        refreshed_at: now,
        expires_at,
        ended_at: None,
        ended_by_admin: false,
    }
}
