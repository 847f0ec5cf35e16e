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
mod wire;

use std::time::Duration;

pub use answer::{Answer, RawAnswer, assert_time, find, keys, rfc3339, text, usernames};
pub use nodes::OneNode;
pub use people::{Visitor, draft};
pub use server::TestServer;
pub use shown::Shown;
pub use tokens::{claims, signed, signed_by};
pub use wire::Call;

/// What tokens are signed with.
pub const SECRET: &str = "not much of a secret, but long enough for HS256 to like it";
/// The inactivity timeout that servers have unless a test says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// The smallest step of the clock.
pub const TICK: Duration = Duration::from_micros(1);
