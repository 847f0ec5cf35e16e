//! A service over a store in memory, for the tests.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod hooked;

use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use presently_accounts::memory::MemoryStore;
use presently_accounts::store::AccountStore;
use presently_accounts::{
    Account, AccountId, AccountStatus, Accounts, Changes, Device, NewAccount, PasswordHash, Role, SecretKey, Settings,
    SignedIn,
};
use serde_json::{Value, json};

/// The secret of the tokens that are written out in the tests.
pub(crate) const SECRET: &str = "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz!";
/// `correct horse`, as Django keeps it, with few iterations: cheap to verify.
pub(crate) const CHEAP_HASH: &str = "pbkdf2_sha256$1$seasalt2$GjMazcomIJmFhSFeCz09TZumH490n3gBSdXGIsLYpa0=";
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const START: i64 = 1_795_485_286;
pub(crate) const HOUR: i64 = 3_600;
pub(crate) const WEEK: i64 = 7 * 24 * HOUR;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_microsecond((START + seconds) * 1_000_000 + 813_742).expect("a time in this century")
}

pub(crate) fn service_over(store: Arc<dyn AccountStore>) -> Accounts {
    Accounts::new(store, settings())
}

pub(crate) fn settings() -> Settings {
    Settings::new(SecretKey::new(SECRET).expect("it is long enough"))
}

/// A service with settings of its own.
pub(crate) fn service_with(change: impl FnOnce(&mut Settings)) -> Accounts {
    let mut settings = settings();
    change(&mut settings);
    Accounts::new(Arc::new(MemoryStore::new()), settings)
}

pub(crate) fn service() -> Accounts {
    service_over(Arc::new(MemoryStore::new()))
}

pub(crate) fn device() -> Device {
    device_at("192.0.2.7")
}

pub(crate) fn device_at(address: &str) -> Device {
    Device { address: address.parse().expect("an address"), user_agent: "Firefox".to_owned() }
}

/// An account whose password is [`PASSWORD`].
pub(crate) async fn account(accounts: &Accounts, username: &str) -> Account {
    account_with(accounts, username, CHEAP_HASH).await
}

pub(crate) async fn account_with(accounts: &Accounts, username: &str, hash: &str) -> Account {
    let new = NewAccount {
        username: username.to_owned(),
        email: String::new(),
        password: PasswordHash(hash.to_owned()),
        first_name: String::new(),
        last_name: String::new(),
        role: Role::User,
        status: AccountStatus::Active,
        is_staff: false,
        email_verified: false,
        is_approved: true,
    };
    accounts.store().insert(&new, at(-1_000), None).await.expect("an account is made")
}

pub(crate) async fn login(accounts: &Accounts, username: &str, seconds: i64) -> SignedIn {
    accounts.login(username, PASSWORD, &device(), at(seconds)).await.expect("it is the right password")
}

/// An account that has signed in at the start.
pub(crate) async fn signed_in(accounts: &Accounts, username: &str) -> SignedIn {
    account(accounts, username).await;
    login(accounts, username, 0).await
}

pub(crate) async fn update(accounts: &Accounts, id: AccountId, changes: Changes, seconds: i64) -> Account {
    accounts.update(id, changes, at(seconds), None).await.expect("it is changed")
}

pub(crate) fn status(status: AccountStatus) -> Changes {
    Changes { status: Some(status), ..Changes::default() }
}

pub(crate) fn is_active(is_active: bool) -> Changes {
    Changes { is_active: Some(is_active), ..Changes::default() }
}

/// A token with these claims, signed with our secret.
pub(crate) fn signed(claims: &Value) -> String {
    signed_with(Algorithm::HS256, SECRET, claims)
}

pub(crate) fn signed_with(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("it is signed")
}

/// A foreign access token: one without `sid`.
pub(crate) fn foreign(account: AccountId, jti: &str, issued: i64) -> String {
    signed(&json!({
        "token_type": "access", "exp": START + issued + HOUR, "iat": START + issued, "jti": jti, "user_id": account.0,
    }))
}
