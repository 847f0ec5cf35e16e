//! Where every request comes in and every answer goes out: limits, request ids, paths, panics, headers, one log line.
//!
//! **Heartbeats stand in front of the router**: they share its authentication, limits and errors, and pass by the rest.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use ipnet::IpNet;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::app::App;
use crate::problem::{Cause, Problem, in_one_shape};
use crate::serve::Seat;
use crate::{address, cross_site, identify, routes};

/// The longest path with its query, in bytes.
const URI_BYTES_MAX: usize = 8 * 1024;
/// The same for event streams, which name their users there: 10,000 numbers fit.
const EVENTS_URI_BYTES_MAX: usize = 63 * 1024;
/// All headers together, in bytes. The HTTP layer reads more, so that the answer can say why.
pub(crate) const HEADER_BYTES_MAX: usize = 16 * 1024;
/// How long a handler may take.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// On each answer of a demo, and of nobody else.
pub(crate) static X_PRESENTLY_DEMO: HeaderName = HeaderName::from_static("x-presently-demo");
static CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
static CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The address that a request came from: the peer's, or what a trusted proxy says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().copied().ok_or_else(|| Problem::internal("a request without an address"))
    }
}

/// `http://host` as the caller wrote it, for links back here.
#[derive(Clone, Debug)]
pub(crate) struct Origin(pub(crate) String);

/// Whether the request came over HTTPS, as a trusted proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverHttps(pub(crate) bool);

/// The outermost service.
#[derive(Clone)]
pub(crate) struct Front {
    app: App,
    router: Router,
    /// Whether heartbeats come here.
    takes_heartbeats: bool,
}

impl Front {
    pub(crate) fn new(app: App) -> Self {
        Self { router: routes::router(&app), app, takes_heartbeats: true }
    }

    /// For those who run the server, and nobody else.
    pub(crate) fn for_operations(app: App) -> Self {
        Self { router: routes::operations_router(&app), app, takes_heartbeats: false }
    }

    /// Answers one request. Never fails, never panics.
    pub(crate) async fn answer(&self, peer: SocketAddr, seat: &Seat, mut request: Request<Body>) -> Response {
        let started = self.app.clock().now().tick;
        let id = request_id(request.headers());
        let hot = self.takes_heartbeats && is_hot(&request);
        let over_https = is_over_https(&request, peer.ip(), &self.app.settings().trusted_proxies);
        let described =
            tracing::enabled!(tracing::Level::DEBUG).then(|| format!("{} {}", request.method(), request.uri().path()));

        let answered = match refusal(&request) {
            Some(problem) => Ok(problem.into_response()),
            None if hot => AssertUnwindSafe(routes::heartbeat::beat(&self.app, seat, request)).catch_unwind().await,
            None => {
                strip_trailing_slash(request.uri_mut());
                let refused = cross_site::refusal(&request, &self.app.settings().cors_origins);
                let address = address::of_client(peer.ip(), request.headers(), &self.app.settings().trusted_proxies);
                request.extensions_mut().insert(ClientAddress(address));
                request.extensions_mut().insert(seat.clone());
                let origin = origin(&request, over_https);
                request.extensions_mut().insert(origin);
                request.extensions_mut().insert(OverHttps(over_https));
                let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default());
                match refused {
                    Some(problem) => Ok(problem.into_response()),
                    None => AssertUnwindSafe(self.route(request)).catch_unwind().instrument(span).await,
                }
            }
        };
        let response = answered.unwrap_or_else(|panic| Problem::internal(panic_text(panic.as_ref())).into_response());
        let mut response = in_one_shape(response);

        let took = self.app.clock().now().tick - started;
        self.app.metrics().answered(response.status(), took);
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            self.app.metrics().refusals().too_many(self.app.now());
        }
        if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
            tracing::error!(request_id = ?id, status = response.status().as_u16(), cause, "request failed");
        } else if let Some(described) = described {
            if hot {
                tracing::trace!(request_id = ?id, status = response.status().as_u16(), took_us = took.as_micros(), "{described}");
            } else {
                tracing::debug!(request_id = ?id, status = response.status().as_u16(), took_us = took.as_micros(), "{described}");
            }
        }
        finish(response.headers_mut(), id, self.app.is_demo());
        if over_https {
            keep_to_https(response.headers_mut());
        }
        response
    }

    async fn route(&self, request: Request<Body>) -> Response {
        match tokio::time::timeout(HANDLER_TIMEOUT, self.router.clone().oneshot(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => Problem::unavailable(
                "timeout",
                "The answer took too long; what was asked may still happen.",
                "a handler ran into the time limit",
            )
            .into_response(),
        }
    }
}

/// A heartbeat that needs nothing of the router: a page of another origin goes through it, for CORS.
fn is_hot(request: &Request<Body>) -> bool {
    *request.method() == Method::POST
        && matches!(request.uri().path(), "/api/users/heartbeat/" | "/api/users/heartbeat")
        && !request.headers().contains_key(ORIGIN)
}

fn refusal(request: &Request<Body>) -> Option<Problem> {
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    let events = request.uri().path().trim_end_matches('/') == identify::EVENTS;
    let uri_max = if events { EVENTS_URI_BYTES_MAX } else { URI_BYTES_MAX };
    if uri > uri_max {
        let detail = format!("The address is longer than {uri_max} bytes.");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", detail));
    }
    let (mut bytes, mut hosts) = (0, 0);
    for (name, value) in request.headers() {
        bytes += name.as_str().len() + value.len() + 4;
        hosts += usize::from(*name == HOST);
    }
    if bytes > HEADER_BYTES_MAX {
        return Some(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            "The headers are larger than 16,384 bytes together.",
        ));
    }
    // HTTP/1.0 knows no hosts; two would be read as one by a proxy and as the other here (RFC 9112, section 3.2).
    let is_sane = hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11);
    (!is_sane).then(|| Problem::bad_request("bad_host", "A request of HTTP/1.1 has exactly one Host."))
}

/// The caller's id when it is sane (1 to 64 of letters, digits, `-`, `_`, `.`), else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    if let Some(sent) = headers.get(&X_REQUEST_ID) {
        let sane = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=64).contains(&sent.len()) && sent.as_bytes().iter().all(sane) {
            return sent.clone();
        }
    }
    new_request_id()
}

/// An id that no other request has.
pub(crate) fn new_request_id() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static BASE: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| getrandom::u64().unwrap_or_default());
    let number = BASE.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut text = [0_u8; 16];
    for (place, byte) in text.iter_mut().enumerate() {
        let digit = (number >> (60 - 4 * place)) & 0xf;
        *byte = b"0123456789abcdef"[digit as usize];
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
}

/// Every path works with and without its trailing slash: routes are written without.
fn strip_trailing_slash(uri: &mut Uri) {
    let path = uri.path();
    // Slashes alone are no other name of the first page.
    if path.len() < 3 || !path.ends_with('/') {
        return;
    }
    let bare = path.strip_suffix('/').unwrap_or(path);
    let text = match uri.query() {
        Some(query) => format!("{bare}?{query}"),
        None => bare.to_owned(),
    };
    if let Ok(path_and_query) = PathAndQuery::try_from(text) {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(path_and_query);
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

fn is_over_https(request: &Request<Body>, peer: IpAddr, proxies: &[IpNet]) -> bool {
    !proxies.is_empty()
        && request
            .headers()
            .get(&X_FORWARDED_PROTO)
            .is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
        && address::is_trusted(peer, proxies)
}

fn origin(request: &Request<Body>, over_https: bool) -> Origin {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).filter(|host| {
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'))
    });
    Origin(host.map_or_else(String::new, |host| format!("{}://{host}", if over_https { "https" } else { "http" })))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("without a word"))
}

/// The headers of every answer.
pub(crate) fn finish(headers: &mut HeaderMap, id: HeaderValue, is_demo: bool) {
    headers.insert(X_REQUEST_ID.clone(), id);
    if is_demo {
        headers.insert(X_PRESENTLY_DEMO.clone(), HeaderValue::from_static("true"));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY.clone(), HeaderValue::from_static("same-site"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

/// The headers of answers over HTTPS besides: the browser stays with it, and no page of another origin holds a window of ours.
fn keep_to_https(headers: &mut HeaderMap) {
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    headers.insert(CROSS_ORIGIN_OPENER_POLICY.clone(), HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_slash_goes_and_the_query_stays() {
        for (before, after) in
            [("/a/b/?x=1", "/a/b?x=1"), ("/a/b/", "/a/b"), ("/", "/"), ("/a", "/a"), ("//", "//"), ("/a//", "/a/")]
        {
            let mut uri: Uri = before.parse().unwrap();
            strip_trailing_slash(&mut uri);
            assert_eq!(uri.to_string(), after);
        }
    }

    #[test]
    fn an_insane_request_id_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID.clone(), HeaderValue::from_static("abc-1"));
        assert_eq!(request_id(&headers), "abc-1");
        headers.insert(X_REQUEST_ID.clone(), HeaderValue::from_static("a b"));
        assert_eq!(request_id(&headers).len(), 16);
        assert_ne!(new_request_id(), new_request_id());
    }
}
