//! Several nodes as they are run: real processes on one PostgreSQL and one Valkey, which are killed, stopped, restarted and cut off.
//! Time is real, so leases and timeouts are short.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod deaths;
mod everything;
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
