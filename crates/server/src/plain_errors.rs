//! The HTTP layer's own refusals (a request that is no HTTP, headers beyond its buffer) in the one shape.
//!
//! The layer writes them itself, bare, before any service sees a request. **Every answer of the service carries a request
//! id**, so a head without one is the layer's: it is replaced on its way out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::front;
use crate::problem::Problem;

const ERROR: &[u8] = b"HTTP/1.1 4";
const REQUEST_ID: &[u8] = b"x-request-id";
/// The layer's refusals are shorter than this.
const HEAD_BYTES_MAX: usize = 512;

/// A stream that replaces such refusals.
pub(crate) struct PlainErrors<S> {
    stream: S,
    /// What is written in the place of a refusal, from where on, and how long the refusal was.
    instead: Option<(Vec<u8>, usize, usize)>,
    /// The last write was taken in part only: the layer above has more of it.
    is_behind: bool,
    is_demo: bool,
}

impl<S> PlainErrors<S> {
    pub(crate) const fn new(stream: S, is_demo: bool) -> Self {
        Self { stream, instead: None, is_behind: false, is_demo }
    }

    /// The stream itself; `None` while the layer above has something that was not written.
    pub(crate) fn into_stream(self) -> Option<S> {
        (!self.is_behind && self.instead.is_none()).then_some(self.stream)
    }

    fn note(&mut self, written: &Poll<io::Result<usize>>, whole: usize) {
        self.is_behind = !matches!(written, Poll::Ready(Ok(written)) if *written == whole);
    }
}

/// The refusal in the one shape, when `head` is one of the layer's own.
fn replacement(head: &[u8], is_demo: bool) -> Option<Vec<u8>> {
    if !head.starts_with(ERROR) || head.len() > HEAD_BYTES_MAX || !head.ends_with(b"\r\n\r\n") {
        return None;
    }
    if head.windows(REQUEST_ID.len()).any(|window| window.eq_ignore_ascii_case(REQUEST_ID)) {
        return None;
    }
    let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse::<u16>().ok()?;
    let problem = match StatusCode::from_u16(status).ok()? {
        status @ StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            Problem::new(status, "headers_too_large", "The headers are larger than 16,384 bytes together.")
        }
        status @ StatusCode::URI_TOO_LONG => Problem::new(status, "uri_too_long", "The address is too long."),
        status => Problem::new(status, "invalid_request", "The request is not valid HTTP/1.1."),
    };
    Some(bare(&problem, is_demo))
}

/// A problem as an answer after which the connection ends, for where there is no HTTP layer.
pub(crate) fn bare(problem: &Problem, is_demo: bool) -> Vec<u8> {
    let mut response: Response = problem.clone().into_response();
    front::finish(response.headers_mut(), front::new_request_id(), is_demo);
    let (body, status) = (problem.body(), response.status());
    let reason = status.canonical_reason().unwrap_or("Error");
    let mut text =
        format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\ncontent-length: {}\r\n", status.as_u16(), body.len())
            .into_bytes();
    for (name, value) in response.headers() {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    [text, b"\r\n".to_vec(), body].concat()
}

impl<S: AsyncRead + Unpin> AsyncRead for PlainErrors<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PlainErrors<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            match replacement(buf, self.is_demo) {
                Some(instead) => self.instead = Some((instead, 0, buf.len())),
                None => {
                    let written = Pin::new(&mut self.stream).poll_write(cx, buf);
                    self.note(&written, buf.len());
                    return written;
                }
            }
        }
        let this = &mut *self;
        while let Some((instead, from, _)) = &mut this.instead {
            if *from == instead.len() {
                break;
            }
            *from += ready!(Pin::new(&mut this.stream).poll_write(cx, &instead[*from..]))?;
        }
        Poll::Ready(Ok(this.instead.take().map_or(0, |(_, _, refusal)| refusal)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A refusal has no body: it comes as one slice.
        match bufs {
            [one] => self.poll_write(cx, one),
            _ if self.instead.is_some() => self.poll_write(cx, &[]),
            _ => {
                let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
                self.note(&written, bufs.iter().map(|buf| buf.len()).sum());
                written
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_refusal_is_replaced() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let text = String::from_utf8(replacement(bare, false).unwrap()).unwrap();
        assert!(text.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{text}");
        assert!(text.contains("application/problem+json") && text.contains("headers_too_large"), "{text}");
        assert!(!text.contains("x-presently-demo"), "{text}");
        let demo = String::from_utf8(replacement(bare, true).unwrap()).unwrap();
        assert!(demo.contains("\r\nx-presently-demo: true\r\n"), "{demo}");
        assert!(replacement(b"HTTP/1.1 404 Not Found\r\nX-Request-Id: 5\r\n\r\n", false).is_none());
        assert!(replacement(b"HTTP/1.1 200 OK\r\n\r\n", false).is_none());
    }
}
