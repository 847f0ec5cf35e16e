//! Presence over a WebSocket: the handshake.
//!
//! Pages of any origin may open one: a socket is let in by a token that its page must have, never by a cookie, so a foreign page
//! can do nothing here that it could not do by itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use presently_accounts::Caller;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::address;
use crate::app::App;
use crate::front::ClientAddress;
use crate::identify::{self, Identity};
use crate::problem::{Problem, ProblemBody};
use crate::push::pass::Pass;
use crate::push::socket::{self, Newcomer};
use crate::serve::Seat;

/// How long the answer of 101 may take to be on its way.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// A WebSocket. The token comes in `Authorization`, as `?ticket=`, or in the first frame. See the protocol in `docs/protocol.md`.
#[utoipa::path(
    get, path = "/api/presence/ws", tag = "presence", security((), ("token" = [])),
    params(("ticket" = Option<String>, Query, description = "In the place of `Authorization`: from `POST /api/presence/tickets`")),
    responses(
        (status = 101, description = "JSON text frames from here on"),
        (status = 400, description = "`invalid_handshake`", body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
        (status = 426, description = "`upgrade_required`", body = ProblemBody<'static>),
        (status = 429, description = "`too_many_connections` of this user", body = ProblemBody<'static>),
        (status = 503, description = "`too_many_connections` in all", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn ws(
    State(app): State<App>,
    identity: Option<Extension<Identity>>,
    ClientAddress(address): ClientAddress,
    seat: Option<Extension<Seat>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let caller = match identity {
        Some(Extension(Identity::Known(caller))) => Some(caller),
        _ => None,
    };
    let opened = open(app.clone(), caller.clone(), address, seat.map(|Extension(seat)| seat), request);
    if opened.is_err()
        && let Some(caller) = caller
        && identify::is_upgrade(&http::Method::GET, identify::SOCKET, &headers)
    {
        // What did not become a socket was a request like any other: evidence of the login's own session.
        identify::heard(&app, &headers, &caller, &caller.session, None).await?;
    }
    opened
}

fn open(
    app: App,
    caller: Option<Arc<Caller>>,
    address: IpAddr,
    seat: Option<Seat>,
    mut request: Request<Body>,
) -> Result<Response, Problem> {
    let key = handshake(request.headers())?;
    let (place, pass, leave) = match caller {
        Some(caller) => {
            let mut place = app.push().crowd.enter()?;
            place.belongs_to(&caller.user)?;
            let credential = identify::bearer(request.headers()).ok_or_else(Problem::not_authenticated)?;
            (place, Some(Pass::new(credential, caller)), None)
        }
        None => {
            let (place, leave) = app.push().crowd.enter_as_stranger(address::counted(address))?;
            (place, None, Some(leave))
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let newcomer = Newcomer { app, place, pass, seat, leave };
    tokio::spawn(async move {
        match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await {
            Ok(Ok(upgraded)) => socket::run(newcomer, upgraded).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection did not become a socket"),
            Err(_) => tracing::debug!("a connection did not become a socket in time"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    Ok(response)
}

/// The answer to the client's key (RFC 6455, section 4.2).
fn handshake(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(word)))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "This address speaks WebSocket: send Connection: Upgrade and Upgrade: websocket.",
        ));
    }
    if !has(SEC_WEBSOCKET_VERSION, "13") {
        return Err(Problem::bad_request("invalid_handshake", "Sec-WebSocket-Version must be 13."));
    }
    headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == 24)
        .and_then(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| Problem::bad_request("invalid_handshake", "Sec-WebSocket-Key must be 16 bytes in base64."))
}
