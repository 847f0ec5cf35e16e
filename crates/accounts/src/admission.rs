//! Who a token speaks for. **The epoch is read before anything else is, so that an answer is never newer than it claims.**
//!
//! The order of refusals: what is no good token; an account that is gone; a token that was voided; an account that is deactivated.

use std::sync::Arc;

use jiff::Timestamp;

use crate::cache::Known;
use crate::service::Accounts;
use crate::session::foreign_session;
use crate::store::CredentialSession;
use crate::token::{Claims, Kind, TOKEN_MAX, moment};
use crate::{AuthError, Caller, StoreError};

impl Accounts {
    /// The hot path: answers from memory, or `None` when the store must be asked ([`Self::authenticate`] does).
    #[must_use]
    pub fn authenticate_cached(&self, access_token: &str, now: Timestamp) -> Option<Result<Caller, AuthError>> {
        let cache = &self.inner.cache;
        let as_of = cache.epoch();
        let claims = match self.claims(access_token, Kind::Access, now) {
            Ok(claims) => claims,
            Err(error) => return Some(Err(error)),
        };
        let known = cache.account(claims.account)?;
        if known.voids(&claims) {
            return Some(Err(AuthError::TokenNotValid));
        }
        if !cache.is_live(&claims, &known) {
            return None;
        }
        Some(caller(&claims, known, as_of))
    }

    /// Who an access token speaks for. Accounts that are not active are callers too: see [`Caller::admission`].
    pub async fn authenticate(&self, access_token: &str, now: Timestamp) -> Result<Caller, AuthError> {
        if let Some(answer) = self.authenticate_cached(access_token, now) {
            return answer;
        }
        let as_of = self.inner.cache.epoch();
        let claims = self.claims(access_token, Kind::Access, now)?;
        self.admit(&claims, now, as_of).await
    }

    /// Whether a token (access or refresh) is good now.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<(), AuthError> {
        let as_of = self.inner.cache.epoch();
        if let Ok(claims) = self.claims(token, Kind::Access, now) {
            return self.admit(&claims, now, as_of).await.map(|_| ());
        }
        let claims = self.claims(token, Kind::Refresh, now)?;
        if claims.foreign {
            return Err(AuthError::TokenNotValid);
        }
        self.admit(&claims, now, as_of).await?;
        let row = self.inner.store.session(&claims.session).await?;
        let is_good = |row: CredentialSession| row.refresh.admits(&claims.jti, self.inner.rotation, now);
        if row.is_some_and(is_good) { Ok(()) } else { Err(AuthError::TokenNotValid) }
    }

    /// What a token of this kind says, if its time is now.
    pub(crate) fn claims(&self, token: &str, kind: Kind, now: Timestamp) -> Result<Arc<Claims>, AuthError> {
        if token.len() > TOKEN_MAX {
            return Err(AuthError::TokenNotValid);
        }
        let keys = &self.inner.keys;
        let claims = match kind {
            Kind::Access => self.inner.cache.token(token, now, || keys.read(token, now)),
            Kind::Refresh => keys.read(token, now).map(Arc::new),
        };
        claims.filter(|claims| claims.kind == kind && claims.is_current(now)).ok_or(AuthError::TokenNotValid)
    }

    async fn admit(&self, claims: &Claims, now: Timestamp, as_of: u64) -> Result<Caller, AuthError> {
        let (store, cache) = (&self.inner.store, &self.inner.cache);
        let known = match cache.account(claims.account) {
            Some(known) => known,
            None => {
                let account = store.account(claims.account).await?.ok_or(AuthError::UserNotFound)?;
                cache.keep_account(&account, as_of)
            }
        };
        if known.voids(claims) {
            return Err(AuthError::TokenNotValid);
        }
        if !cache.is_live(claims, &known) {
            let is_live = match store.session(&claims.session).await? {
                Some(row) => {
                    row.account == claims.account && row.ended_at.is_none() && (claims.foreign || row.expires_at > now)
                }
                None if claims.is_ahead => self.open_foreign(claims, now).await?,
                // Another foreign token has a row only when it was ended.
                None => claims.foreign,
            };
            if !is_live {
                return Err(AuthError::TokenNotValid);
            }
            cache.keep_session(&claims.session, claims.account, claims.foreign, &known);
        }
        caller(claims, known, as_of)
    }
}

impl Accounts {
    /// Keeps a foreign token that says a later moment than now as a session, which ends with the others: by its time of issue alone it
    /// would outlive an end of all sessions until then, at another node or after a restart.
    async fn open_foreign(&self, claims: &Claims, now: Timestamp) -> Result<bool, StoreError> {
        let store = &self.inner.store;
        let row = foreign_session(&claims.session, claims.account, moment(claims.expires_at), now);
        let Err(error) = store.open_session(&row).await else { return Ok(true) };
        // Of two requests at once the other one opened it.
        match store.session(&claims.session).await? {
            Some(row) => Ok(row.account == claims.account && row.ended_at.is_none()),
            None => Err(error),
        }
    }
}

fn caller(claims: &Claims, known: Known, as_of: u64) -> Result<Caller, AuthError> {
    if !known.is_active {
        return Err(AuthError::UserInactive);
    }
    Ok(Caller {
        account: claims.account,
        user: known.user,
        session: claims.session.clone(),
        foreign: claims.foreign,
        expires_at: claims.expires_at,
        admission: known.admission,
        as_of,
    })
}
