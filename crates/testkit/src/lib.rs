//! Servers of other programs, for tests. **A server goes with its test, whatever becomes of the test.**
//!
//! Everything panics with a sentence when it does not work: that is a failed test.

mod postgres;
mod valkey;

pub use postgres::Postgres;
pub use valkey::{Valkey, ValkeyOptions};

/// A free port: not the next one of somebody else, for the system goes round.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its number").port()
}
