//! A whole server in a test: real TCP, real SQLite, real hashing, and a clock that stands until it is moved.
//!
//! **Every answer that passes through here is held to the conventions**: one error shape, no 5xx, no redirect, the headers
//! that each answer owes. A test that sends anything therefore tests those too.

mod answer;
mod documented;
mod nodes;
mod people;
mod server;
mod shown;
mod tokens;
pub(crate) mod wire;

use std::time::Duration;

pub(crate) use answer::{Answer, RawAnswer, assert_time, find, keys, rfc3339, text, usernames};
pub(crate) use nodes::OneNode;
pub(crate) use people::{Visitor, draft};
pub(crate) use server::TestServer;
pub(crate) use shown::Shown;
pub(crate) use tokens::{claims, signed, signed_by};
pub(crate) use wire::Call;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// What tokens are signed with.
pub(crate) const SECRET: &str = "not much of a secret, but long enough for HS256 to like it";
/// The inactivity timeout that servers have unless a test says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
/// The smallest step of the clock.
pub(crate) const TICK: Duration = Duration::from_micros(1);

/// `n` seconds.
pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
