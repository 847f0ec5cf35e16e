//! A new password, chosen by its owner. **Guesses of the old one are counted as those at a login are.**

use std::time::Duration;

use jiff::Timestamp;

use crate::network::Network;
use crate::new_password::{PASSWORD_BYTES_MAX, check_new_password};
use crate::service::Accounts;
use crate::throttle::Refusal;
use crate::{Caller, Changes, Device, FieldErrors, ServiceError, StoreError};

/// Why a password was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The old one is wrong (`old_password`), or the new one does not do (`new_password`).
    #[error("some fields are not valid")]
    Invalid(FieldErrors),
    /// Too many wrong ones for this account from this address.
    #[error("too many failed attempts")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many passwords are being hashed at once.
    #[error("too many passwords at once")]
    Busy,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// What is to change when the caller's password is `old` and becomes `new`: for [`update`](Self::update), which fails with
    /// [`StoreError::PasswordChanged`] when it is another one by then. All sessions end but the caller's; a token that was made
    /// elsewhere goes with the others, as nothing tells it from them.
    pub async fn check_own_password(
        &self,
        caller: &Caller,
        old: &str,
        new: &str,
        device: &Device,
        now: Timestamp,
    ) -> Result<Changes, PasswordError> {
        let (store, hashing) = (&self.inner.store, &self.inner.hashing);
        let account = store.account(caller.account).await?.ok_or(StoreError::NotFound)?;
        // First, so that nobody learns of the old one by way of a new one that does not do.
        check_new_password("new_password", new, &account.username, &account.email)?;
        let network = Network::of(device.address);
        let attempt =
            self.inner.throttle.begin(&account.username, network, now).await.map_err(|refusal| match refusal {
                Refusal::TooMany(retry_after) => PasswordError::Throttled { retry_after },
                Refusal::Busy => PasswordError::Busy,
            })?;
        if old.is_empty() || old.len() > PASSWORD_BYTES_MAX {
            return Err(wrong());
        }
        match hashing.verify(network, old, Some(&account.password)).await {
            Ok(verdict) if verdict.right => attempt.succeeded(),
            Ok(_) => {
                tracing::info!(account = account.id.0, "password not changed: the old one was wrong");
                return Err(wrong());
            }
            Err(busy) => {
                attempt.withdrawn();
                return Err(ServiceError::from(busy).into());
            }
        }
        let password = hashing.hash(network, new).await.map_err(ServiceError::from)?;
        Ok(Changes {
            password: Some(password),
            password_was: Some(account.password),
            end_sessions: true,
            spare: (!caller.foreign).then(|| caller.session.as_ref().to_owned()),
            ..Changes::default()
        })
    }
}

fn wrong() -> PasswordError {
    PasswordError::Invalid([("old_password", vec!["The old password is wrong.".to_owned()])].into())
}

impl From<ServiceError> for PasswordError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Invalid(fields) => Self::Invalid(fields),
            ServiceError::TooManyRegistrations { retry_after } => Self::Throttled { retry_after },
            ServiceError::Busy => Self::Busy,
            ServiceError::Store(error) => Self::Store(error),
        }
    }
}
