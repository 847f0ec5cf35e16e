//! How an event stream leaves the HTTP layer once its head is written.
//!
//! The layer keeps two buffers of eight kilobytes for a connection, and a stream that waits needs neither. **A stream is handed
//! over at most once, and only when nothing of the answer is left unwritten.**

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Version};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::stream::Events;

/// How long a reader may take nothing: then it is given up, and comes back where it was.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a stream is left for the task of its connection.
#[derive(Clone, Default)]
pub(crate) struct Handoff(Arc<Mutex<Option<Box<Events>>>>);

impl Handoff {
    /// Whether the answer to this request may be handed over: it has a body, and its body is in chunks.
    pub(crate) fn serves<B>(request: &Request<B>) -> bool {
        *request.method() == Method::GET && request.version() == Version::HTTP_11
    }

    /// Leaves a stream whose answer's head is about to be written.
    pub(crate) fn leave(&self, events: Events) {
        *self.0.lock() = Some(Box::new(events));
    }

    /// The stream that was left.
    pub(crate) fn take(&self) -> Option<Box<Events>> {
        self.0.lock().take()
    }
}

/// Writes the stream as the chunks of its answer until it ends, or its reader does.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut events: Box<Events>, mut stream: S) {
    let mut ignored = [0; 16];
    loop {
        let text = tokio::select! {
            text = events.next() => text,
            // The reader has gone; or it asks for more before this has ended, which it may do on another connection.
            _ = stream.read(&mut ignored) => return,
        };
        let ends = text.is_none();
        let chunk = text.map_or_else(|| Bytes::from_static(b"0\r\n\r\n"), |text| chunk(&text));
        let written = tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&chunk)).await;
        if ends || !matches!(written, Ok(Ok(()))) {
            // Whoever is still there reads the end; whoever is not cannot be told.
            let _ = stream.shutdown().await;
            return;
        }
    }
}

fn chunk(text: &str) -> Bytes {
    Bytes::from(format!("{:x}\r\n{text}\r\n", text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_how_long_it_is() {
        assert_eq!(chunk(":\n\n"), "3\r\n:\n\n\r\n");
        assert_eq!(chunk(&"x".repeat(26)), format!("1a\r\n{}\r\n", "x".repeat(26)));
    }
}
