//! Several nodes as they are run: real processes on one PostgreSQL and one Valkey, which are killed, stopped, restarted and cut off.
//! Time is real, so leases and timeouts are short.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../live/clients.rs"]
#[expect(dead_code, reason = "shared with the tests of one server's pushing, which use all of it")]
mod clients;
mod deaths;
mod everything;
#[path = "../process/harness.rs"]
#[expect(dead_code, reason = "shared with the tests of one process, which use all of it")]
mod harness;
mod network;
mod nodes;
mod outages;
mod people;
mod resume;
mod revocation;
mod rolling;
mod starts;
mod surfaces;
mod traffic;
mod watchers;
