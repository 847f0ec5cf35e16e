//! Readers who are too slow.
//!
//! **What is sent makes progress, or the connection ends**: once a write has to wait, [`STEP_BYTES`] of it, or all of it, must be
//! taken within [`STEP_TIMEOUT`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::metrics::{Refused, refused};

/// How long a reader may take for one step: the longest pause of a phone between two cells, and more.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// How much that is: two kilobytes a second, which the slowest of mobile networks have.
const STEP_BYTES: usize = 64 * 1024;

/// A stream whose reader is held to a pace.
pub(crate) struct Paced<S> {
    stream: S,
    /// Runs from when a write had to wait until a step was taken.
    patience: Option<Pin<Box<Sleep>>>,
    /// What was taken meanwhile.
    taken: usize,
}

impl<S> Paced<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, patience: None, taken: 0 }
    }

    fn pace(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(STEP_TIMEOUT)));
                if patience.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                refused(Refused::SlowReader);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the reader takes nothing")))
            }
            Poll::Ready(Ok(bytes)) if self.patience.is_some() => {
                self.taken += bytes;
                if self.taken >= STEP_BYTES {
                    self.rest();
                }
                Poll::Ready(Ok(bytes))
            }
            done => done,
        }
    }

    fn rest(&mut self) {
        self.patience = None;
        self.taken = 0;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.pace(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.pace(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked for when nothing is left to be written.
        self.rest();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Writes 1 MiB to a reader who takes `step` bytes and then pauses; returns how long that went well.
    async fn written_to(step: usize, pause: Duration) -> (Duration, io::Result<()>) {
        let (stream, mut reader) = duplex(1024);
        let reading = tokio::spawn(async move {
            let mut bytes = vec![0; step];
            while reader.read_exact(&mut bytes).await.is_ok() {
                sleep(pause).await;
            }
        });
        let began = Instant::now();
        let written = Paced::new(stream).write_all(&vec![0; 1 << 20]).await;
        reading.abort();
        (began.elapsed(), written)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (took, written) = written_to(1, Duration::from_secs(1_000)).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(took >= STEP_TIMEOUT && took < STEP_TIMEOUT + Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn so_is_who_takes_a_few_bytes_now_and_then() {
        let (took, written) = written_to(1_000, Duration::from_secs(1)).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(took < STEP_TIMEOUT * 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_but_steady_gets_everything() {
        let (took, written) = written_to(STEP_BYTES, STEP_TIMEOUT - Duration::from_secs(5)).await;
        written.unwrap();
        assert!(took > Duration::from_secs(300), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_whole_is_forgotten() {
        let (stream, mut reader) = duplex(1024);
        let mut stream = Paced::new(stream);
        for _ in 0..5 {
            let (written, read) = tokio::join!(
                async {
                    stream.write_all(&[0; 4_000]).await?;
                    stream.flush().await
                },
                async {
                    sleep(STEP_TIMEOUT - Duration::from_secs(5)).await;
                    reader.read_exact(&mut [0; 4_000]).await
                }
            );
            written.unwrap();
            read.unwrap();
        }
    }
}
