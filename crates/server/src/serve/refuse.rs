//! Saying no to a connection that has no HTTP layer: it never got one, or lost it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::seats::Full;
use crate::plain_errors;
use crate::problem::Problem;

/// How long one who is refused may take to hear it.
const HEARING_TIMEOUT: Duration = Duration::from_secs(1);
/// So many hear it at once; the connections of others are closed without a word, so that refusing costs next to nothing.
const HEARINGS_MAX: usize = 64;

/// Refuses newcomers.
pub(super) struct Refusals {
    hearings: Arc<Semaphore>,
    is_demo: bool,
}

impl Refusals {
    pub(super) fn new(is_demo: bool) -> Self {
        Self { hearings: Arc::new(Semaphore::new(HEARINGS_MAX)), is_demo }
    }

    /// Tells a newcomer that there is no seat, and closes the connection.
    pub(super) fn no_seat(&self, full: Full, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Ok(hearing) = Arc::clone(&self.hearings).try_acquire_owned() else { return };
        let problem = match full {
            Full::Address => Problem::too_many(
                "too_many_connections",
                "Your address holds as many connections without credentials as it may. Try again in a moment.",
            ),
            Full::All => Problem::unavailable(
                "too_many_connections",
                "The server holds as many connections as it may. Try again in a moment.",
                "all seats are taken",
            ),
        };
        let is_demo = self.is_demo;
        tokio::spawn(async move {
            let _hearing = hearing;
            say(&problem, stream, is_demo).await;
        });
    }
}

/// Sends the problem, and closes. What was sent and not read is read first: else the other side would hear of a reset alone.
pub(super) async fn say(problem: &Problem, mut stream: impl AsyncRead + AsyncWrite + Unpin, is_demo: bool) {
    let saying = async {
        stream.write_all(&plain_errors::bare(problem, is_demo)).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 512];
        while stream.read(&mut ignored).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ = tokio::time::timeout(HEARING_TIMEOUT, saying).await;
}
