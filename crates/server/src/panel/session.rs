//! Signing in to the panel and out of it. **Only admins get a cookie**, and who is none is not even shown online.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use presently::EndReason;
use presently_accounts::{AuthError, Caller, RefreshError};

use super::cookie::{self, Cookie};
use crate::app::App;
use crate::extract::{Json, Nothing};
use crate::front::{ClientAddress, OverHttps};
use crate::identify::{self, Identity};
use crate::problem::{Problem, ProblemBody};
use crate::routes::auth::{self, device, open_presence};
use crate::wire::{Login, PanelSession, convert};

type Https = axum::Extension<OverHttps>;

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

/// What the panel is told of the session that its cookies stand for.
async fn told(app: &App, caller: &Caller) -> Result<PanelSession, Problem> {
    let account = app.accounts().store().account(caller.account).await?.ok_or_else(Problem::user_not_found)?;
    let presence = app.presently().presence(&caller.user).await?;
    let expires_in = caller.expires_at.saturating_sub(app.now().as_second()).max(0).unsigned_abs();
    let user = Some(convert::user(account, &presence));
    Ok(PanelSession { user, expires_in: Some(expires_in), renewable: true })
}

/// Who is signed in to the panel. To nobody that is an answer too, and no error.
#[utoipa::path(
    get, path = "/admin/session", tag = "panel", operation_id = "panel_session",
    responses((status = 200, body = PanelSession))
)]
pub(crate) async fn session(
    State(app): State<App>,
    axum::Extension(identity): axum::Extension<Identity>,
    axum::Extension(OverHttps(over_https)): Https,
    headers: HeaderMap,
) -> Result<axum::Json<PanelSession>, Problem> {
    let renewable = cookie::is_of_the_panel(&Method::GET, &headers)
        && cookie::value(&headers, Cookie::Refresh, over_https).is_some();
    match &identity {
        Identity::Known(caller) if caller.admission.is_admin => {
            Ok(axum::Json(PanelSession { renewable, ..told(&app, caller).await? }))
        }
        Identity::Refused(problem) if problem.status().is_server_error() => Err(problem.clone()),
        _ => Ok(axum::Json(PanelSession { user: None, expires_in: None, renewable })),
    }
}

/// Signs an admin in to the panel: the tokens come in cookies that no script can read.
#[utoipa::path(
    post, path = "/admin/session", tag = "panel", request_body = Login, operation_id = "panel_sign_in",
    params(("X-Presently-Panel" = String, Header, description = "`1`: no page of another site can send it")),
    responses(
        (status = 200, description = "Cookies `presently_session` and `presently_refresh`; over HTTPS their names begin with `__Host-`", body = PanelSession),
        (status = 400, description = "A field is missing or blank", body = ProblemBody<'static>),
        (status = 401, description = "`invalid_credentials`", body = ProblemBody<'static>),
        (status = 403, description = "`not_an_admin`, `not_from_the_panel`, `origin_refused`, `account_suspended`, `account_banned`, `account_pending`", body = ProblemBody<'static>),
        (status = 429, description = "`too_many_attempts`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn sign_in(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    axum::Extension(OverHttps(over_https)): Https,
    headers: HeaderMap,
    Json(sent): Json<Login>,
) -> Result<Response, Problem> {
    of_the_panel(&Method::POST, &headers)?;
    let signed_in = auth::sign_in(&app, sent, &device(address, &headers)).await?;
    let caller = identify::authenticate(&app, &signed_in.tokens.access).await?;
    if !signed_in.account.is_admin() {
        app.accounts().logout(&caller, None, app.now()).await?;
        let detail = "This account is not an administrator's. The panel is for administrators only.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not_an_admin", detail));
    }
    open_presence(&app, &signed_in).await?;
    let cookies = cookie::of(&app, &signed_in.tokens, over_https);
    Ok(with_cookies(cookies, axum::Json(told(&app, &caller).await?)))
}

/// Trades the refresh token in its cookie for new tokens, in cookies again.
#[utoipa::path(
    post, path = "/admin/session/refresh", tag = "panel", operation_id = "panel_refresh",
    params(("X-Presently-Panel" = String, Header, description = "`1`")),
    responses(
        (status = 200, description = "The cookies are new", body = PanelSession),
        (status = 401, description = "Sign in again", body = ProblemBody<'static>),
        (status = 403, description = "`not_from_the_panel`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn refresh(
    State(app): State<App>,
    axum::Extension(OverHttps(over_https)): Https,
    headers: HeaderMap,
    Json(_): Json<Nothing>,
) -> Result<Response, Problem> {
    of_the_panel(&Method::POST, &headers)?;
    let token = cookie::value(&headers, Cookie::Refresh, over_https).ok_or_else(Problem::not_authenticated)?;
    let problem = match app.accounts().refresh(token, app.now()).await {
        Ok(refreshed) => {
            let cookies = cookie::of(&app, &refreshed.tokens, over_https);
            // The old token is used up: the cookies must reach the browser, whatever else fails.
            let body = match identify::authenticate(&app, &refreshed.tokens.access).await {
                Ok(caller) => told(&app, &caller).await,
                Err(problem) => Err(problem),
            };
            return Ok(with_cookies(cookies, body.map(axum::Json)));
        }
        Err(error) => refused(&app, error).await?,
    };
    if problem.status().is_server_error() {
        return Err(problem);
    }
    Ok(with_cookies(cookie::gone(over_https), problem))
}

/// Why there are no new tokens. A refresh token that was used before ends its session.
async fn refused(app: &App, error: RefreshError) -> Result<Problem, Problem> {
    Ok(match error {
        RefreshError::Auth(error) => identify::token_refused(app, error),
        RefreshError::NotActive(_) => Problem::account_not_active(),
        RefreshError::Reused { account, session } => {
            app.presently().end_session(&account.to_string(), &session, EndReason::ForcedLogout).await?;
            identify::token_refused(app, AuthError::TokenNotValid)
        }
    })
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
    axum::Extension(OverHttps(over_https)): Https,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    of_the_panel(&Method::DELETE, &headers)?;
    if let Some(caller) = holder(&app, &headers, over_https).await? {
        let refresh = cookie::value(&headers, Cookie::Refresh, over_https);
        for session in app.accounts().logout(&caller, refresh, app.now()).await? {
            app.presently().end_session(&caller.user, &session, EndReason::Logout).await?;
        }
    }
    Ok(with_cookies(cookie::gone(over_https), StatusCode::NO_CONTENT))
}

/// Whose cookies these are: by the access token, or when that has expired by the refresh token.
async fn holder(app: &App, headers: &HeaderMap, over_https: bool) -> Result<Option<Caller>, Problem> {
    if let Some(access) = cookie::value(headers, Cookie::Session, over_https) {
        match identify::authenticate(app, access).await {
            Ok(caller) => return Ok(Some(caller)),
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(_) => {}
        }
    }
    let Some(refresh) = cookie::value(headers, Cookie::Refresh, over_https) else { return Ok(None) };
    match app.accounts().refresh(refresh, app.now()).await {
        Ok(refreshed) => identify::authenticate(app, &refreshed.tokens.access).await.map(Some),
        Err(error) => match refused(app, error).await? {
            // Nothing has ended: the cookies stay, and signing out can be tried again.
            problem if problem.status().is_server_error() => Err(problem),
            _ => Ok(None),
        },
    }
}
