//! Signing in. **An unknown user, a wrong password and a deactivated account are one answer, in one time.**

use std::borrow::Cow;

use jiff::Timestamp;

use crate::fields;
use crate::hashing::Busy;
use crate::network::Network;
use crate::new_password::PASSWORD_BYTES_MAX;
use crate::service::Accounts;
use crate::store::CredentialSession;
use crate::throttle::Refusal;
use crate::token::random_id;
use crate::username::{may_be_username, normal_username};
use crate::{
    Account, AccountId, AccountStatus, Device, Draft, LoginError, RefreshTokens, ServiceError, SignedIn, StoreError,
};

const USER_AGENT_MAX: usize = 256;
/// How often a login begins anew when the account was changed under it.
const ROUNDS_MAX: u32 = 3;

impl Accounts {
    /// Signs somebody in by their password.
    pub async fn login(
        &self,
        username: &str,
        password: &str,
        device: &Device,
        now: Timestamp,
    ) -> Result<SignedIn, LoginError> {
        let network = Network::of(device.address);
        let attempt = self.inner.throttle.begin(username, network, now).await.map_err(|refusal| match refusal {
            Refusal::TooMany(retry_after) => LoginError::Throttled { retry_after },
            Refusal::Busy => LoginError::Busy,
        })?;
        // Nobody can have such a name or password: there is nothing to find out, and nothing to hide.
        let is_possible = may_be_username(username) && !password.is_empty() && password.len() <= PASSWORD_BYTES_MAX;
        let outcome = if is_possible {
            self.sign_in(username, password, device, now).await
        } else {
            Err(failed(None, "impossible name or password", LoginError::InvalidCredentials))
        };
        match &outcome {
            Ok(_) | Err(LoginError::NotActive(_)) => attempt.succeeded(),
            Err(LoginError::InvalidCredentials) => drop(attempt),
            Err(LoginError::Throttled { .. } | LoginError::Busy | LoginError::Store(_)) => attempt.withdrawn(),
        }
        outcome
    }

    /// Makes an account (role user, active) and signs it in.
    pub async fn register(
        &self,
        username: &str,
        email: &str,
        password: &str,
        device: &Device,
        now: Timestamp,
    ) -> Result<SignedIn, ServiceError> {
        let draft = Draft {
            username: username.to_owned(),
            email: email.to_owned(),
            password: password.to_owned(),
            ..Draft::default()
        };
        // A mistake that is seen before anything is looked up is free.
        fields::check_draft(&draft)?;
        let network = Network::of(device.address);
        let registration = self.inner.throttle.register(network, now).map_err(|refusal| match refusal {
            Refusal::TooMany(retry_after) => ServiceError::TooManyRegistrations { retry_after },
            Refusal::Busy => ServiceError::Busy,
        })?;
        let made = self.create_from(network, draft, now, None).await;
        if matches!(made, Err(ServiceError::Busy | ServiceError::Store(StoreError::Unavailable(_)))) {
            registration.withdrawn();
        } else {
            // It counts, also where it told that a name is taken.
            drop(registration);
        }
        let account = made?;
        let signed_in = self.open(&account, device, now).await?;
        signed_in.ok_or_else(|| changing().into())
    }

    async fn sign_in(
        &self,
        username: &str,
        password: &str,
        device: &Device,
        now: Timestamp,
    ) -> Result<SignedIn, LoginError> {
        let (hashing, network) = (&self.inner.hashing, Network::of(device.address));
        for _ in 0..ROUNDS_MAX {
            let found = self.account_called(username).await?;
            let verdict = hashing.verify(network, password, found.as_ref().map(|account| &account.password)).await?;
            let known = found.as_ref().map(|account| account.id);
            let Some(account) = found.filter(|account| verdict.right && account.is_active) else {
                hashing.level(&verdict).await;
                let why = match known {
                    None => "unknown name",
                    Some(_) if verdict.right => "deactivated",
                    Some(_) => "wrong password",
                };
                return Err(failed(known, why, LoginError::InvalidCredentials));
            };
            if account.status != AccountStatus::Active {
                return Err(failed(known, account.status.as_str(), LoginError::NotActive(account.status)));
            }
            let account = if verdict.outdated { self.with_new_hash(network, account, password).await } else { account };
            if let Some(signed_in) = self.open(&account, device, now).await? {
                return Ok(signed_in);
            }
        }
        Err(changing().into())
    }

    /// The account of this name as it stands, or else of what it is in its normal form.
    async fn account_called(&self, username: &str) -> Result<Option<Account>, StoreError> {
        let found = self.inner.store.account_named(username).await?;
        match normal_username(username) {
            Cow::Owned(normal) if found.is_none() => self.inner.store.account_named(&normal).await,
            _ => Ok(found),
        }
    }

    /// Replaces an old hash by one made today. That it could not be done now is no reason to refuse a login.
    async fn with_new_hash(&self, network: Network, account: Account, password: &str) -> Account {
        let Ok(hash) = self.inner.hashing.hash(network, password).await else { return account };
        match self.inner.store.replace_password(account.id, &account.password, &hash).await {
            Ok(true) => {
                tracing::debug!(account = account.id.0, "password hash renewed");
                Account { password: hash, ..account }
            }
            Ok(false) => account,
            Err(error) => {
                tracing::warn!(account = account.id.0, %error, "password hash not renewed");
                account
            }
        }
    }

    /// Opens a session for `account` as it was read; `None` when it is no longer what it was.
    async fn open(&self, account: &Account, device: &Device, now: Timestamp) -> Result<Option<SignedIn>, StoreError> {
        let inner = &self.inner;
        let as_of = inner.cache.epoch();
        let (refresh_jti, until) = (random_id(), inner.lifetimes.last_second(now));
        let row = CredentialSession {
            id: random_id(),
            account: account.id,
            refresh: RefreshTokens::one(refresh_jti.as_str()),
            address: device.address.to_canonical().to_string(),
            device: shown(&device.user_agent),
            created_at: now,
            refreshed_at: now,
            expires_at: inner.lifetimes.end(now, until),
            ended_at: None,
            ended_by_admin: false,
        };
        let tokens = inner.keys.issue(account.id, &row.id, &refresh_jti, now, inner.lifetimes, until);
        let tokens = tokens.ok_or_else(|| StoreError::Unavailable("tokens cannot be signed".to_owned()))?;
        if !inner.store.open_session(&row).await? {
            return Ok(None);
        }
        // What was changed before the session was there did not end it: it is looked at once more.
        let current = inner.store.account(account.id).await?;
        let Some(current) = current.filter(|current| is_as_it_was(current, account)) else {
            inner.store.end_session(&row, now, None).await?;
            return Ok(None);
        };
        let session = row.id.into();
        let known = inner.cache.keep_account(&current, as_of);
        inner.cache.keep_session(&session, current.id, false, &known);
        Ok(Some(SignedIn { account: current, session, tokens, as_of }))
    }
}

/// Writes the line of a failed login. **The name is not in it:** people type their password there. The throttle bounds how many come.
fn failed(account: Option<AccountId>, reason: &str, error: LoginError) -> LoginError {
    tracing::info!(account = account.map(|id| id.0), reason, "login failed");
    error
}

fn is_as_it_was(current: &Account, account: &Account) -> bool {
    current.password == account.password
        && current.tokens_valid_after == account.tokens_valid_after
        && current.may_be_present()
}

fn changing() -> StoreError {
    StoreError::Unavailable("the account is being changed at this moment".to_owned())
}

/// A user agent as it is kept: no control characters, and an end.
fn shown(user_agent: &str) -> String {
    user_agent.chars().filter(|letter| !letter.is_control()).take(USER_AGENT_MAX).collect()
}

impl From<Busy> for LoginError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::memory::MemoryStore;
    use crate::{Changes, SecretKey, Settings};

    #[test]
    fn a_user_agent_is_cut_between_characters_and_loses_control_characters() {
        assert_eq!(shown("Mozilla/5.0\r\n\u{1b}[31m (é)"), "Mozilla/5.0[31m (é)");
        let long = shown(&"é".repeat(300));
        assert_eq!((long.chars().count(), long.len()), (256, 512));
        assert_eq!(shown(""), "");
    }

    #[tokio::test]
    async fn every_refusal_that_could_tell_something_costs_one_hash_and_the_others_none() {
        let settings = Settings::new(SecretKey::random());
        let accounts = Accounts::new(Arc::new(MemoryStore::new()), settings);
        let now = "2026-11-24T01:54:46Z".parse().expect("a time");
        let device = Device { address: [192, 0, 2, 7].into(), user_agent: String::new() };
        for name in ["alice", "gone"] {
            let draft = Draft { username: name.to_owned(), password: "correct horse".to_owned(), ..Draft::default() };
            let made = accounts.create(draft, now, None).await.expect("it is made");
            let deactivate = Changes { is_active: Some(name == "alice"), ..Changes::default() };
            accounts.update(made.id, deactivate, now, None).await.expect("it is changed");
        }
        let huge = "x".repeat(1_025);
        for (name, password, cost) in [
            ("alice", "wrong horse", 1),
            ("nobody", "wrong horse", 1),
            ("gone", "wrong horse", 1),
            ("gone", "correct horse", 1),
            ("alice", huge.as_str(), 0),
            ("nobody", huge.as_str(), 0),
            ("alice", "", 0),
        ] {
            let before = accounts.inner.hashing.runs();
            let refused = accounts.login(name, password, &device, now).await.err();
            assert_eq!(refused, Some(LoginError::InvalidCredentials), "{name}");
            assert_eq!(accounts.inner.hashing.runs() - before, cost, "{name}");
        }
        for name in ["alice", "nobody"] {
            while accounts.login(name, "wrong horse", &device, now).await.err() == Some(LoginError::InvalidCredentials)
            {
            }
            let before = accounts.inner.hashing.runs();
            let refused = accounts.login(name, "correct horse", &device, now).await.err();
            assert!(matches!(refused, Some(LoginError::Throttled { .. })), "{refused:?}");
            assert_eq!(accounts.inner.hashing.runs(), before, "{name}");
        }
    }
}
