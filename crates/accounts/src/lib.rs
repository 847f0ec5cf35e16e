//! Who may: accounts, passwords, tokens and the sessions' credentials. **No password and no token is ever stored, logged or shown.**
//!
//! [`Accounts`] is the service; [`store::AccountStore`] is the port to what is remembered; [`memory::MemoryStore`] is one that forgets.
//! Time is always an argument.
//!
//! ```
//! use std::sync::Arc;
//!
//! use presently_accounts::memory::MemoryStore;
//! use presently_accounts::{Accounts, Device, Draft, SecretKey, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new(SecretKey::new("a secret that nobody else knows of")?);
//! let accounts = Accounts::new(Arc::new(MemoryStore::new()), settings);
//! let now = "2026-11-24T01:54:46Z".parse()?;
//! let draft = Draft { username: "alice".into(), password: "correct horse".into(), ..Draft::default() };
//! accounts.create(draft, now, None).await?;
//!
//! let device = Device { address: "192.0.2.7".parse()?, user_agent: String::new() };
//! let signed_in = accounts.login("Alice", "correct horse", &device, now).await?;
//! let caller = accounts.authenticate(&signed_in.tokens.access, now).await?;
//! assert_eq!(caller.account, signed_in.account.id);
//!
//! accounts.logout(&caller, None, now).await?;
//! assert!(accounts.authenticate(&signed_in.tokens.access, now).await.is_err());
//! # Ok(())
//! # }
//! ```
mod account;
mod admission;
mod api_key;
mod cache;
mod changes;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
mod error;
mod fields;
mod follow;
mod hashing;
mod ids;
mod key_cache;
mod key_store;
mod line;
mod login;
mod manage;
pub mod memory;
mod network;
mod new_password;
mod own_password;
mod password;
#[cfg(test)]
mod polled;
mod refresh;
mod service;
mod session;
pub mod store;
mod throttle;
mod token;
mod username;
mod warm_up;

pub use account::{Account, AccountId, AccountStatus, NewAccount, PasswordHash, Role, fold_case};
pub use api_key::{ApiKey, ApiKeyId, KeyHash, MadeKey, NewApiKey, WhichKey, looks_like_api_key};
pub use changes::Changes;
pub use error::{AuthError, FieldErrors, LoginError, RefreshError, ServiceError, StoreError};
pub use ids::AccountIds;
pub use new_password::check_new_password;
pub use own_password::PasswordError;
pub use refresh::{RefreshRotation, RefreshTokens};
pub use service::{Accounts, Admission, Caller, Device, Draft, Refreshed, Settings, SignedIn, TokenPair};
pub use session::SessionEnd;
pub use token::{SecretKey, WeakSecret};
pub use username::{normal_username, username_look};
