//! Reading what comes with a request. **No body is read without a limit of size and of time, and all that are under way together have
//! one too**: who sends half of many bodies holds little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::problem::Problem;

/// The largest body: 10,000 users with their sessions fit.
pub(crate) const BYTES_MAX: usize = 1 << 20;
/// The largest body of the calls that anybody may make, and of the others about an account: a token of another issuer fits.
pub(crate) const ACCOUNT_BYTES_MAX: usize = 16 * 1024;
/// All bodies and messages that are under way together.
const UNFINISHED_BYTES_MAX: usize = 64 << 20;
/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long what is refused may take to arrive; then the connection is closed over it.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// The calls about accounts and tokens, after `/api/auth/` or `/api/users/`.
const ACCOUNT_CALLS: [&str; 9] =
    ["login", "logout", "logout-all", "refresh", "verify", "register", "profile", "password", "sessions"];

/// How large the body of a request to this path may be.
pub(crate) fn bytes_max(path: &str) -> usize {
    let account = path.strip_prefix("/api/auth/").or_else(|| path.strip_prefix("/api/users/"));
    let call = account.map(|rest| rest.split('/').next().unwrap_or_default());
    let is_account = call.is_some_and(|call| ACCOUNT_CALLS.contains(&call)) || path.starts_with("/admin/session");
    if is_account { ACCOUNT_BYTES_MAX } else { BYTES_MAX }
}

/// What all bodies and messages that are under way hold together.
#[derive(Debug, Default)]
pub(crate) struct Bodies(AtomicUsize);

impl Bodies {
    /// One more, of no bytes yet.
    pub(crate) fn begin(self: &Arc<Self>) -> Unfinished {
        Unfinished { all: Arc::clone(self), bytes: 0 }
    }
}

/// What has come of one body; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Unfinished {
    all: Arc<Bodies>,
    bytes: usize,
}

/// The bodies under way hold all that they may together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl Unfinished {
    /// So many bytes more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), TooMuch> {
        let before = self.all.0.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > UNFINISHED_BYTES_MAX { Err(TooMuch) } else { Ok(()) }
    }

    /// It is whole, or given up.
    pub(crate) fn done(&mut self) {
        self.all.0.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.done();
    }
}

impl From<TooMuch> for Problem {
    fn from(_: TooMuch) -> Self {
        Self::unavailable(
            "too_many_bodies",
            "Too much is being sent at once. Try again.",
            "the limit of unfinished bodies is reached",
        )
    }
}

/// The whole body.
pub(crate) async fn read(all: &Arc<Bodies>, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // Refused by its announcement, before a byte of it is kept.
    if body.size_hint().lower() > bytes_max as u64 {
        discard(body).await;
        return Err(too_large(bytes_max));
    }
    match tokio::time::timeout(TIMEOUT, collect(all, body, bytes_max)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The body did not arrive in time.")),
    }
}

/// Lets go by what is on its way. **A connection that is closed over unread bytes loses its answer**, and the next request on it.
async fn discard(mut body: Body) {
    if body.size_hint().lower() > BYTES_MAX as u64 {
        return;
    }
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, all).await;
}

async fn collect(all: &Arc<Bodies>, mut body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut unfinished = all.begin();
    let Some(first) = part(&mut body, &mut unfinished, bytes_max).await? else { return Ok(Bytes::new()) };
    // Mostly there is no other one, and nothing to copy.
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = part(&mut body, &mut unfinished, bytes_max).await? else { return Ok(first) };
    // Copied: small parts would each keep a large buffer of the connection.
    let mut whole = BytesMut::from(&*first);
    drop(first);
    whole.extend_from_slice(&second);
    drop(second);
    while let Some(more) = part(&mut body, &mut unfinished, bytes_max).await? {
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

/// The next part; `None` at the end.
async fn part(body: &mut Body, unfinished: &mut Unfinished, bytes_max: usize) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Problem::bad_request("invalid_body", "The body broke off or is not framed as HTTP asks."))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        unfinished.grow(data.len())?;
        if unfinished.bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        return Ok(Some(data));
    }
    Ok(None)
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("The body of this call may have {bytes_max} bytes, and this one is larger.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn in_parts(parts: impl IntoIterator<Item = &'static [u8], IntoIter: Send + 'static>) -> Body {
        Body::from_stream(stream::iter(parts.into_iter().map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part)))))
    }

    #[tokio::test]
    async fn a_body_is_read_in_however_many_parts_it_comes() {
        let all = Arc::default();
        for parts in [&[][..], &[b"{}" as &[u8]], &[b"{", b"}"], &[b"", b"{", b"", b"}", b""]] {
            let whole: Vec<u8> = parts.concat();
            assert_eq!(read(&all, in_parts(parts.to_vec()), 10).await.unwrap(), whole);
        }
        assert_eq!(read(&all, Body::from("0123456789"), 10).await.unwrap(), "0123456789");
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused() {
        let all = Arc::default();
        for body in [Body::from("0123456789x"), in_parts([b"01234" as &[u8], b"56789", b"x"])] {
            assert_eq!(read(&all, body, 10).await.unwrap_err().code(), "body_too_large");
        }
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn all_together_have_a_limit() {
        let all: Arc<Bodies> = Arc::default();
        let mut others = all.begin();
        others.grow(UNFINISHED_BYTES_MAX - 5).unwrap();
        assert!(read(&all, Body::from("01234"), 10).await.is_ok());
        let refused = read(&all, Body::from("012345"), 10).await.unwrap_err();
        assert_eq!((refused.status(), refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "too_many_bodies"));
        drop(others);
        assert!(read(&all, Body::from("012345"), 10).await.is_ok());
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn calls_about_accounts_take_little() {
        for path in ["/api/auth/login", "/api/users/register", "/api/auth/sessions/5", "/admin/session/refresh"] {
            assert_eq!(bytes_max(path), ACCOUNT_BYTES_MAX, "{path}");
        }
        for path in ["/api/presence/query", "/api/users/heartbeat", "/api/users/admin/users", "/api/users/all-users"] {
            assert_eq!(bytes_max(path), BYTES_MAX, "{path}");
        }
    }
}
