//! Signing in to the panel and out of it. **Only admins get a cookie**, and who is none is not even shown online.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use presently::EndReason;
use presently_accounts::{Caller, RefreshError};

use super::cookie;
use crate::app::App;
use crate::extract::{Json, Nothing};
use crate::front::{ClientAddress, Origin};
use crate::identify;
use crate::problem::{Problem, ProblemBody};
use crate::routes::auth::{credentials, device, open_presence};
use crate::wire::{Login, User, convert};

type Secure = axum::Extension<Origin>;

fn is_secure(origin: &Origin) -> bool {
    origin.0.starts_with("https://")
}

/// A page of another site could otherwise sign its reader in as somebody else, or out.
fn of_the_panel(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if cookie::is_of_the_panel(method, headers) {
        return Ok(());
    }
    let detail = "This call is the panel's own: it needs the header X-Presently-Panel: 1, sent from this origin.";
    Err(Problem::new(StatusCode::FORBIDDEN, "not_from_the_panel", detail))
}

fn with_cookies(cookies: [HeaderValue; 2], response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    for value in cookies {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// Signs an admin in to the panel: the tokens come in cookies that no script can read.
#[utoipa::path(
    post, path = "/admin/session", tag = "panel", request_body = Login, operation_id = "panel_sign_in",
    params(("X-Presently-Panel" = String, Header, description = "`1`: no page of another site can send it")),
    responses(
        (status = 200, description = "The admin; cookies `presently_session` and `presently_refresh`", body = User),
        (status = 400, description = "A field is missing or blank", body = ProblemBody<'static>),
        (status = 401, description = "`invalid_credentials`", body = ProblemBody<'static>),
        (status = 403, description = "`not_an_admin`, `not_from_the_panel`, `account_suspended`, `account_banned`, `account_pending`", body = ProblemBody<'static>),
        (status = 429, description = "`too_many_attempts`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn sign_in(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    axum::Extension(origin): Secure,
    headers: HeaderMap,
    Json(sent): Json<Login>,
) -> Result<Response, Problem> {
    of_the_panel(&Method::POST, &headers)?;
    let (username, password) = credentials(sent)?;
    let signed_in = app.accounts().login(&username, &password, &device(address, &headers), app.now()).await?;
    if !signed_in.account.is_admin() {
        let caller = identify::authenticate(&app, &signed_in.tokens.access).await?;
        app.accounts().logout(&caller, None, app.now()).await?;
        let detail = "This account is not an administrator's. The panel is for administrators only.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not_an_admin", detail));
    }
    let presence = open_presence(&app, &signed_in).await?;
    let cookies = cookie::of(&app, &signed_in.tokens, is_secure(&origin));
    Ok(with_cookies(cookies, axum::Json(convert::user(signed_in.account, &presence))))
}

/// Trades the refresh token in its cookie for new tokens, in cookies again.
#[utoipa::path(
    post, path = "/admin/session/refresh", tag = "panel", operation_id = "panel_refresh",
    params(("X-Presently-Panel" = String, Header, description = "`1`")),
    responses(
        (status = 204, description = "The cookies are new"),
        (status = 401, description = "Sign in again", body = ProblemBody<'static>),
        (status = 403, description = "`not_from_the_panel`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn refresh(
    State(app): State<App>,
    axum::Extension(origin): Secure,
    headers: HeaderMap,
    Json(_): Json<Nothing>,
) -> Result<Response, Problem> {
    of_the_panel(&Method::POST, &headers)?;
    let secure = is_secure(&origin);
    let token = cookie::value(&headers, cookie::REFRESH).ok_or_else(Problem::not_authenticated)?;
    let problem = match app.accounts().refresh(token, app.now()).await {
        Ok(refreshed) => {
            return Ok(with_cookies(cookie::of(&app, &refreshed.tokens, secure), StatusCode::NO_CONTENT));
        }
        Err(RefreshError::Auth(error)) => error.into(),
        Err(RefreshError::NotActive(_)) => Problem::account_not_active(),
        Err(RefreshError::Reused { account, session }) => {
            app.presently().end_session(&account.to_string(), &session, EndReason::ForcedLogout).await?;
            Problem::token_not_valid()
        }
    };
    if problem.status().is_server_error() {
        return Err(problem);
    }
    Ok(with_cookies(cookie::gone(secure), problem))
}

/// Signs out of the panel: the session ends, its tokens stop working at once, the cookies go.
#[utoipa::path(
    delete, path = "/admin/session", tag = "panel", operation_id = "panel_sign_out",
    params(("X-Presently-Panel" = String, Header, description = "`1`")),
    responses(
        (status = 204, description = "Signed out, also when the session had ended before"),
        (status = 403, description = "`not_from_the_panel`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn sign_out(
    State(app): State<App>,
    axum::Extension(origin): Secure,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    of_the_panel(&Method::DELETE, &headers)?;
    if let Some(caller) = holder(&app, &headers).await? {
        let refresh = cookie::value(&headers, cookie::REFRESH);
        for session in app.accounts().logout(&caller, refresh, app.now()).await? {
            app.presently().end_session(&caller.user, &session, EndReason::Logout).await?;
        }
    }
    Ok(with_cookies(cookie::gone(is_secure(&origin)), StatusCode::NO_CONTENT))
}

/// Whose cookies these are: by the access token, or when that has expired by the refresh token.
async fn holder(app: &App, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    if let Some(access) = cookie::value(headers, cookie::SESSION) {
        match identify::authenticate(app, access).await {
            Ok(caller) => return Ok(Some(caller)),
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(_) => {}
        }
    }
    let Some(refresh) = cookie::value(headers, cookie::REFRESH) else { return Ok(None) };
    match app.accounts().refresh(refresh, app.now()).await {
        Ok(refreshed) => identify::authenticate(app, &refreshed.tokens.access).await.map(Some),
        Err(_) => Ok(None),
    }
}
