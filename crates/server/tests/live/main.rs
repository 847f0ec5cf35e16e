//! Presence that is pushed, and presence for applications, over real connections.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod ask;
#[expect(dead_code, reason = "shared with the tests of several nodes, which use the rest of it")]
mod clients;
mod events;
#[path = "../http/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests of HTTP, which use all of it")]
mod harness;
mod limits;
mod line;
mod privacy;
mod resume;
mod rights;
mod sessions;
mod shutdown;
mod sockets;
mod tickets;
