//! Small errors that say what is still true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{AccountId, AccountStatus};

/// Why a store did not do it. Nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Out of reach, locked, full or read-only: what was asked was not done.
    #[error("the account store is unavailable: {0}")]
    Unavailable(String),
    /// Another account has this username.
    #[error("the username is taken")]
    UsernameTaken,
    /// Another account has this e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The password is another one by now.
    #[error("the password was changed meanwhile")]
    PasswordChanged,
    /// No such account.
    #[error("there is no such account")]
    NotFound,
    /// Only a pending account is approved.
    #[error("the account is {}, not pending", .0.as_str())]
    NotPending(AccountStatus),
    /// Nobody would be left who administers.
    #[error("it is the last active admin")]
    LastAdmin,
}

/// Sentences by field.
pub type FieldErrors = BTreeMap<&'static str, Vec<String>>;

/// Why a login was refused. The throttle has counted it where it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Unknown user, wrong password or deactivated account: not told apart, in the same time.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// Right password; the account may not sign in.
    #[error("the account is {}", .0.as_str())]
    NotActive(AccountStatus),
    /// Too many failures for this account from this address, or from this address for any.
    #[error("too many failed attempts")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many passwords are being hashed at once.
    #[error("too many logins at once")]
    Busy,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token does not admit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Garbage, bad signature, expired, wrong type, revoked.
    #[error("the token is not valid")]
    TokenNotValid,
    /// The account is gone.
    #[error("the user does not exist")]
    UserNotFound,
    /// The account is deactivated.
    #[error("the user is inactive")]
    UserInactive,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a refresh was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// The token does not admit.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The account may not be present.
    #[error("the account is {}", .0.as_str())]
    NotActive(AccountStatus),
    /// The token was used before: its session has been ended. To the caller it is a token that is not valid.
    #[error("the token was used before, its session has been ended")]
    Reused {
        /// Whose.
        account: AccountId,
        /// The session that was ended.
        session: Arc<str>,
    },
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        Self::Auth(error.into())
    }
}

/// Why an act on an account was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The input does not do.
    #[error("some fields are not valid")]
    Invalid(FieldErrors),
    /// Too many accounts were registered from this address.
    #[error("too many registrations")]
    TooManyRegistrations {
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
