//! How much of a message may come before it is whole. **The WebSocket layer keeps whatever comes**, so it is given no more than that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::bodies::{Bodies, Unfinished};

/// What the layer may have read of the next message, and what frames say of themselves.
const BESIDE_BYTES: usize = 2 * 1024;
/// So much of each message counts for nothing: what a socket that waits holds anyway.
const FREE_BYTES: usize = 4 * 1024;

/// A stream on which so much may come at once.
pub(super) struct Bounded<S> {
    stream: S,
    bytes_max: usize,
    bytes: usize,
    unfinished: Unfinished,
}

impl<S> Bounded<S> {
    /// Messages of so many bytes; what is under way of them counts among `all`.
    pub(super) fn new(stream: S, bytes_max: usize, all: &Arc<Bodies>) -> Self {
        Self { stream, bytes_max, bytes: 0, unfinished: all.begin() }
    }

    /// Messages of so many bytes from now on.
    pub(super) fn takes(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// A message is whole.
    pub(super) fn is_whole(&mut self) {
        self.bytes = 0;
        self.unfinished.done();
    }

    /// So much was no part of a message.
    pub(super) fn had_beside(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max + BESIDE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if self.bytes > FREE_BYTES {
            self.unfinished.grow(bytes).map_err(|_| io::Error::from(io::ErrorKind::QuotaExceeded))?;
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.count(buf.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
