//! Who calls, and that they live.
//!
//! **Every authenticated request of an account that may be present is evidence of life, whatever its path and its
//! answer**, but for the few named in [`is_evidence`]. The hot path and the router share these functions.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use presently::{Activity, Beat, Hearing};
use presently_accounts::store::AuditEntry;
use presently_accounts::{AccountId, AccountStatus, ApiKey, AuthError, Caller, looks_like_api_key};

use crate::app::App;
use crate::extract::Params;
use crate::panel::cookie;
use crate::problem::Problem;
use crate::serve::Seat;

/// The event stream's path.
pub(crate) const EVENTS: &str = "/api/presence/events";
/// The socket's path.
pub(crate) const SOCKET: &str = "/api/presence/ws";
/// Where an API key may stand.
pub(crate) static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// How often somebody whose rights changed in the middle of their request is looked at again.
const LOOKS_MAX: usize = 4;

/// Who sent a request, as far as its headers say.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// No credentials.
    Nobody,
    /// Credentials that do not admit.
    Refused(Problem),
    /// A good token; the account may still be suspended.
    Known(Arc<Caller>),
    /// The back end of an application, by its key. Its requests are nobody's evidence.
    Application(Arc<ApiKey>),
}

/// Which requests prove life: all but the heartbeat (its handler knows which session it names) and those that only look at
/// or end what is there, or do not look at the token.
fn is_evidence(method: &Method, path: &str) -> bool {
    // The panel's own ways to sign in, out and on are what those of the API are.
    match path {
        "/admin/session" => return !matches!(*method, Method::POST | Method::DELETE),
        "/admin/session/refresh" => return *method != Method::POST,
        _ => {}
    }
    let auth = path.strip_prefix("/api/auth/").or_else(|| path.strip_prefix("/api/users/"));
    match auth {
        Some("login" | "register" | "refresh" | "verify" | "logout") => *method != Method::POST,
        Some("heartbeat") => !matches!(*method, Method::POST | Method::GET | Method::HEAD),
        _ => (method, path) != (&Method::POST, "/api/presence/leave"),
    }
}

/// Whether the request asks to become a WebSocket: that is evidence of the socket's session, not of the login's own.
pub(crate) fn is_upgrade(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let upgrade = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    path == SOCKET && *method == Method::GET && headers.get(UPGRADE).is_some_and(upgrade)
}

/// The ticket in an address, where one is taken, becomes the header it stands for.
async fn redeem_ticket(app: &App, request: &mut Request) -> Result<(), Problem> {
    if !matches!(request.uri().path(), EVENTS | SOCKET) || request.headers().contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let Ok(params) = Params::of(request.uri()) else { return Ok(()) };
    let Some(ticket) = params.text("ticket") else { return Ok(()) };
    let credential = app.push().tickets.redeem(ticket, app.clock().now()).await?;
    let value = format!("Bearer {}", credential.as_deref().unwrap_or("used-or-expired-ticket"));
    if let Ok(value) = HeaderValue::try_from(value) {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(())
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The text of a token or an API key, wherever it stands.
pub(crate) fn credential(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| headers.get(&X_API_KEY)?.to_str().ok())
}

/// Who calls.
pub(crate) async fn identify(app: &App, headers: &HeaderMap) -> Identity {
    match (bearer(headers), headers.get(&X_API_KEY)) {
        (Some(text), _) => by_text(app, text).await,
        (None, Some(key)) => by_key(app, key.to_str().unwrap_or_default()).await,
        (None, None) => Identity::Nobody,
    }
}

/// Whose credentials this text is.
pub(crate) async fn by_text(app: &App, credential: &str) -> Identity {
    if looks_like_api_key(credential) {
        return by_key(app, credential).await;
    }
    match authenticate(app, credential).await {
        Ok(caller) => Identity::Known(Arc::new(caller)),
        Err(problem) => Identity::Refused(problem),
    }
}

async fn by_key(app: &App, key: &str) -> Identity {
    match app.accounts().authenticate_key(key).await {
        Ok(key) => Identity::Application(key),
        Err(error) => {
            app.metrics().refusals().key(&error, app.now());
            Identity::Refused(error.into())
        }
    }
}

/// The application that calls, and the moment as of which its key was good.
pub(crate) async fn application(app: &App, headers: &HeaderMap) -> Result<(Arc<ApiKey>, u64), Problem> {
    let as_of = app.accounts().as_of();
    let identity = identify(app, headers).await;
    application_of(Some(&identity)).map(|key| (key.clone(), as_of))
}

/// Whose token this is: from memory when it can be.
pub(crate) async fn authenticate(app: &App, token: &str) -> Result<Caller, Problem> {
    let now = app.now();
    let caller = match app.accounts().authenticate_cached(token, now) {
        Some(known) => known,
        None => app.accounts().authenticate(token, now).await,
    };
    caller.map_err(|error| token_refused(app, error))
}

/// The answer to a token that did not admit, which is counted.
pub(crate) fn token_refused(app: &App, error: AuthError) -> Problem {
    app.metrics().refusals().token(&error, app.now());
    error.into()
}

/// The caller of the heartbeat's hot path, who must be active.
pub(crate) async fn active_caller(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let token = match bearer(headers).filter(|text| !looks_like_api_key(text)) {
        Some(token) => token,
        None => {
            return Err(known(Some(&identify(app, headers).await)).err().unwrap_or_else(Problem::not_authenticated));
        }
    };
    let caller = authenticate(app, token).await?;
    must_be_active(&caller)?;
    Ok(caller)
}

fn must_be_active(caller: &Caller) -> Result<(), Problem> {
    if caller.admission.status == AccountStatus::Active { Ok(()) } else { Err(Problem::account_not_active()) }
}

/// Takes evidence of `caller`. Who lost the right to be present since they were authenticated is refused: nothing they
/// send can come after the act that took it.
pub(crate) async fn heard(
    app: &App,
    headers: &HeaderMap,
    caller: &Caller,
    session: &str,
    activity: Option<Activity>,
) -> Result<Beat, Problem> {
    let mut as_of = caller.as_of;
    for _ in 0..LOOKS_MAX {
        let still = || app.accounts().still_admits(as_of);
        match decided(app.presently().paced(&caller.user, session, activity, still)).await {
            Err(presently::Error::Stale) => as_of = active_caller(app, headers).await?.as_of,
            Err(presently::Error::Ended) => {
                // Another node ended the session, and with it maybe the token, of which this one has not heard yet.
                app.accounts().doubt(caller.account);
                as_of = active_caller(app, headers).await?.as_of;
            }
            done => return Ok(done?),
        }
    }
    Err(Problem::unavailable("busy", "Too many rights change at once. Try again.", "evidence kept becoming stale"))
}

async fn decided(hearing: Result<Hearing, presently::Error>) -> Result<Beat, presently::Error> {
    hearing?.decided().await
}

/// Before every route: finds out who calls, and takes the request as evidence.
pub(crate) async fn layer(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = redeem_ticket(&app, &mut request).await {
        return problem.into_response();
    }
    cookie::redeem(&mut request);
    let mut identity = identify(&app, request.headers()).await;
    if let Some(seat) = request.extensions().get::<Seat>() {
        is_of(seat, &identity);
    }
    if let Identity::Known(caller) = &identity
        && is_evidence(request.method(), request.uri().path())
        && !is_upgrade(request.method(), request.uri().path(), request.headers())
        && caller.admission.status == AccountStatus::Active
        && let Err(problem) = heard(&app, request.headers(), caller, &caller.session, None).await
    {
        if problem.status().is_server_error() {
            // Presence is beside the point of this request: it goes on.
            tracing::warn!(?problem, "evidence was not taken");
        } else {
            identity = Identity::Refused(problem);
        }
    }
    request.extensions_mut().insert(identity);
    next.run(request).await
}

/// Whose connection this is from now on.
fn is_of(seat: &Seat, identity: &Identity) {
    match identity {
        Identity::Known(caller) => seat.is_of(&caller.user),
        Identity::Application(key) if !seat.is_somebodys() => seat.is_of(&format!("app-{}", key.id).into()),
        Identity::Application(_) | Identity::Refused(_) | Identity::Nobody => {}
    }
}

fn known(identity: Option<&Identity>) -> Result<&Arc<Caller>, Problem> {
    match identity {
        Some(Identity::Known(caller)) => Ok(caller),
        Some(Identity::Application(_)) => Err(denied("This call needs a signed-in user; it takes no API key.")),
        Some(Identity::Refused(problem)) => Err(problem.clone()),
        Some(Identity::Nobody) | None => Err(Problem::not_authenticated()),
    }
}

fn application_of(identity: Option<&Identity>) -> Result<&Arc<ApiKey>, Problem> {
    match identity {
        Some(Identity::Application(key)) => Ok(key),
        Some(Identity::Known(_)) => Err(denied("This call takes an API key only: see presently key create.")),
        Some(Identity::Refused(problem)) => Err(problem.clone()),
        Some(Identity::Nobody) | None => Err(Problem::not_authenticated()),
    }
}

fn denied(detail: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "permission_denied", detail)
}

/// Before routes for whoever has a good token, suspended or not (logout).
pub(crate) async fn require_token(request: Request, next: Next) -> Response {
    match known(request.extensions().get()) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Before routes for signed-in users whose account is active.
pub(crate) async fn require_active(request: Request, next: Next) -> Response {
    match known(request.extensions().get()).and_then(|caller| must_be_active(caller)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Before routes for signed-in users whose account is active, and for applications.
pub(crate) async fn require_caller(request: Request, next: Next) -> Response {
    if let Some(Identity::Application(_)) = request.extensions().get() {
        return next.run(request).await;
    }
    require_active(request, next).await
}

/// Before the socket's route: as [`require_active`], but who asks for a socket may also say later who they are.
pub(crate) async fn require_active_or_upgrade(request: Request, next: Next) -> Response {
    let nobody = matches!(request.extensions().get(), None | Some(Identity::Nobody));
    if nobody && is_upgrade(request.method(), request.uri().path(), request.headers()) {
        return next.run(request).await;
    }
    require_active(request, next).await
}

/// Before routes for administrators.
pub(crate) async fn require_admin(request: Request, next: Next) -> Response {
    let admitted = known(request.extensions().get()).and_then(|caller| {
        must_be_active(caller)?;
        if caller.admission.is_admin { Ok(()) } else { Err(Problem::permission_denied()) }
    });
    match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The caller of a route behind one of the `require_…` layers, a signed-in user.
#[derive(Clone, Debug)]
pub(crate) struct By(pub(crate) Arc<Caller>);

impl By {
    /// A line for the audit log.
    pub(crate) fn audit(
        &self,
        app: &App,
        action: &str,
        target: Option<AccountId>,
        detail: impl Into<String>,
    ) -> AuditEntry {
        AuditEntry {
            actor: Some(self.0.account),
            action: action.to_owned(),
            target,
            detail: detail.into(),
            at: app.now(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        known(parts.extensions.get()).cloned().map(Self)
    }
}

/// It is an application that calls a route behind [`require_caller`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByApplication;

impl<S: Sync> FromRequestParts<S> for ByApplication {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        application_of(parts.extensions.get()).map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_calls_are_no_evidence() {
        for (method, path, evidence) in [
            (Method::GET, "/api/users/heartbeat", false),
            (Method::POST, "/api/users/heartbeat", false),
            (Method::DELETE, "/api/users/heartbeat", true),
            (Method::POST, "/api/auth/logout", false),
            (Method::POST, "/api/auth/logout-all", true),
            (Method::POST, "/api/users/verify", false),
            (Method::GET, "/api/auth/profile", true),
            (Method::GET, "/nowhere", true),
            (Method::POST, "/api/presence/leave", false),
            (Method::GET, "/api/presence/leave", true),
            (Method::GET, "/admin/session", true),
            (Method::POST, "/admin/session", false),
            (Method::DELETE, "/admin/session", false),
            (Method::POST, "/admin/session/refresh", false),
        ] {
            assert_eq!(is_evidence(&method, path), evidence, "{method} {path}");
        }
    }

    #[test]
    fn only_bearer_tokens_are_credentials() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bearer"), None);
    }
}
