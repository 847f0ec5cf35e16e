//! What the server asks.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::cache::Cache;
use crate::hashing::Hashing;
use crate::ids::{AccountIds, Ids};
use crate::store::AccountStore;
use crate::throttle::Throttle;
use crate::token::{Keys, Lifetimes};
use crate::{Account, AccountId, AccountStatus, RefreshRotation, Role, SecretKey};

/// The settings of the service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Signs tokens.
    pub secret: SecretKey,
    /// Default 60 minutes. Counted in whole seconds.
    pub access_lifetime: Duration,
    /// Default 7 days. Counted in whole seconds.
    pub refresh_lifetime: Duration,
    /// What becomes of a refresh token that is used.
    pub refresh_rotation: RefreshRotation,
    /// A login ends for good so long after it was made, however often it was refreshed. Default 30 days. Counted in whole seconds.
    pub session_lifetime_max: Duration,
}

impl Settings {
    /// The defaults, with this secret.
    #[must_use]
    pub fn new(secret: SecretKey) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            secret,
            access_lifetime: Duration::from_secs(3_600),
            refresh_lifetime: 7 * DAY,
            refresh_rotation: RefreshRotation::default(),
            session_lifetime_max: 30 * DAY,
        }
    }
}

/// From where somebody signs in.
#[derive(Clone, Debug)]
pub struct Device {
    /// The peer, or what a trusted proxy says.
    pub address: IpAddr,
    /// The User-Agent header, or empty.
    pub user_agent: String,
}

/// Two tokens. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenPair {
    /// For requests.
    pub access: String,
    /// For [`Accounts::refresh`].
    pub refresh: String,
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenPair(…)")
    }
}

/// A login that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub account: Account,
    /// Their session's id (`sid`), which is also the name of the login's own presence session.
    pub session: Arc<str>,
    /// Their tokens.
    pub tokens: TokenPair,
    /// For [`Accounts::still_admits`].
    pub as_of: u64,
}

/// A refresh that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The new tokens.
    pub tokens: TokenPair,
}

/// Who a token speaks for: enough to decide without a look at the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// The account's number in digits: the user's name in presence.
    pub user: Arc<str>,
    /// The session: `sid`, or `jti` of a foreign token.
    pub session: Arc<str>,
    /// Whether the token came without `sid`.
    pub foreign: bool,
    /// When the token ends, in seconds since 1970.
    pub expires_at: i64,
    /// What the account may.
    pub admission: Admission,
    /// For [`Accounts::still_admits`].
    pub as_of: u64,
}

/// What an account may, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Staff or role admin.
    pub is_admin: bool,
    /// The account's state (deactivated accounts never get here: [`AuthError::UserInactive`](crate::AuthError::UserInactive)).
    pub status: AccountStatus,
}

/// An account to make, as somebody typed it. Its `Debug` shows no password.
#[derive(Clone, Default)]
#[allow(missing_docs, reason = "as in Account")]
pub struct Draft {
    pub username: String,
    pub email: String,
    pub password: String,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
    pub status: AccountStatus,
    pub is_staff: bool,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("username", &self.username).field("role", &self.role).finish_non_exhaustive()
    }
}

/// The service. Cheap to clone; clones are one.
///
/// - Signing in and out: [`login`](Self::login), [`register`](Self::register), [`refresh`](Self::refresh),
///   [`verify`](Self::verify), [`logout`](Self::logout), [`end_session`](Self::end_session), [`end_sessions`](Self::end_sessions).
/// - Each request: [`authenticate_cached`](Self::authenticate_cached), else [`authenticate`](Self::authenticate); and, after
///   whatever it caused, [`still_admits`](Self::still_admits).
/// - Accounts: [`create`](Self::create), [`prepare`](Self::prepare) and [`update`](Self::update),
///   [`set_password`](Self::set_password), [`check_own_password`](Self::check_own_password), [`delete`](Self::delete),
///   [`sessions`](Self::sessions).
/// - API keys: [`make_key`](Self::make_key), [`keys`](Self::keys), [`revoke_key`](Self::revoke_key),
///   [`authenticate_key`](Self::authenticate_key).
/// - Now and then: [`follow_changes`](Self::follow_changes), [`tidy`](Self::tidy).
///
/// What takes rights away goes to the store first, then out of the caches, and no older reading comes back into them: who
/// authenticates afterwards meets the new state, and who did before is told by `still_admits`.
#[derive(Clone)]
pub struct Accounts {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn AccountStore>,
    pub(crate) keys: Keys,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) rotation: RefreshRotation,
    pub(crate) hashing: Hashing,
    pub(crate) throttle: Throttle,
    pub(crate) cache: Cache,
    pub(crate) ids: Ids,
    /// The number of the last change that was followed.
    pub(crate) followed: tokio::sync::Mutex<Option<i64>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("lifetimes", &self.inner.lifetimes).finish_non_exhaustive()
    }
}

impl Accounts {
    /// A service over this store.
    #[must_use]
    pub fn new(store: Arc<dyn AccountStore>, settings: Settings) -> Self {
        let seconds = |lifetime: Duration| i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let inner = Inner {
            store,
            keys: Keys::new(&settings.secret),
            lifetimes: Lifetimes {
                access_seconds: seconds(settings.access_lifetime),
                refresh_seconds: seconds(settings.refresh_lifetime),
                session_seconds: seconds(settings.session_lifetime_max),
            },
            rotation: settings.refresh_rotation,
            hashing: Hashing::new(),
            throttle: Throttle::new(),
            cache: Cache::new(),
            ids: Ids::default(),
            followed: tokio::sync::Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The store beneath. What is changed there directly is known here after [`Self::follow_changes`].
    #[must_use]
    pub fn store(&self) -> &Arc<dyn AccountStore> {
        &self.inner.store
    }

    /// Which accounts there are, as far as [`follow_changes`](Self::follow_changes) has heard; those made or erased here at once.
    #[must_use]
    pub fn ids(&self) -> AccountIds {
        self.inner.ids.now()
    }

    /// Whether nothing was revoked, suspended or erased since `as_of`. False asks to [authenticate](Self::authenticate) again; it
    /// says nothing of whom it was.
    #[must_use]
    pub fn still_admits(&self, as_of: u64) -> bool {
        self.inner.cache.epoch() == as_of
    }

    /// Asks the store anew about this account when its tokens come next: another process may have ended them. What
    /// [`follow_changes`](Self::follow_changes) does soon, at once.
    pub fn doubt(&self, account: crate::AccountId) {
        self.inner.cache.revoke(&[account]);
    }

    /// Drops throttle counters, expired sessions and cache entries that no longer matter, and notes which API keys were used. Call it
    /// each minute.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), crate::StoreError> {
        const PRUNED_AT_ONCE: u32 = 1_000;
        const ROUNDS_MAX: u32 = 100;
        self.inner.throttle.tidy(now);
        self.inner.cache.tidy(now);
        self.inner.cache.keys().tidy().await;
        let used = self.inner.cache.keys().take_used(now);
        if !used.is_empty() {
            self.inner.store.note_api_keys_used(&used, now).await?;
        }
        for _ in 0..ROUNDS_MAX {
            if self.inner.store.prune_sessions(now, PRUNED_AT_ONCE).await? < u64::from(PRUNED_AT_ONCE) {
                break;
            }
        }
        Ok(())
    }
}
