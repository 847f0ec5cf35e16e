//! The one harness of the tests. **What it starts goes with its test, whatever becomes of the test.**
//!
//! - [`Postgres`], [`Valkey`]: servers of other programs
//! - [`http`]: a whole server within the test, over HTTP, on a clock that the test moves; one node or three
//! - [`process`]: the program as it is run, in a folder of its own, in real time
//! - [`clients`]: an event stream and a socket, to servers of either kind
//!
//! Everything panics with a sentence when it does not work: that is a failed test. The crates below the server need only other programs'
//! servers, and leave the feature `server` out.

#[cfg(feature = "server")]
pub mod clients;
#[cfg(feature = "server")]
pub mod http;
mod postgres;
#[cfg(feature = "server")]
pub mod process;
mod valkey;

use std::net::TcpListener;
use std::time::Duration;

pub use postgres::Postgres;
pub use valkey::{Valkey, ValkeyOptions};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// How often it is looked whether something holds.
const LOOK_EVERY: Duration = ms(10);

/// `n` milliseconds.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A port that nobody listens on: not the next one of somebody else, for the system goes round.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its number").port()
}

/// Waits until `what` holds, at most `within`.
pub async fn eventually(within: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < within, "{what} within {within:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A client; the TLS library wants to be told once which cryptography it has, though nothing here is encrypted.
#[cfg(feature = "server")]
pub fn client() -> reqwest::ClientBuilder {
    // Another test of this process may have told it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
