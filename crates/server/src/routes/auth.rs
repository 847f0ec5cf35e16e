//! Signing in and out.

use std::net::IpAddr;

use axum::extract::State;
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};
use presently::{Activity, EndReason};
use presently_accounts::{AuthError, Device, RefreshError, SignedIn};

use crate::app::App;
use crate::extract::{Json, Nothing};
use crate::front::ClientAddress;
use crate::identify::{self, By};
use crate::problem::{Problem, ProblemBody};
use crate::settings::Registration;
use crate::wire::{self, Login, Logout, Message, Refresh, Register, SignedInBody, Tokens, Verify, convert};

type Answer<T> = Result<axum::Json<T>, Problem>;

/// From where somebody signs in.
pub(crate) fn device(address: IpAddr, headers: &HeaderMap) -> Device {
    let user_agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    Device { address, user_agent: user_agent.unwrap_or_default() }
}

/// Signs in. The user is online from this moment on, and the answer says so.
#[utoipa::path(
    post, path = "/api/auth/login/", tag = "auth", request_body = Login,
    responses(
        (status = 200, body = SignedInBody),
        (status = 400, description = "A field is missing or blank", body = ProblemBody<'static>),
        (status = 401, description = "`invalid_credentials`", body = ProblemBody<'static>),
        (status = 403, description = "`account_suspended`, `account_banned`, `account_pending`; `origin_refused`: sent by a page of another site whose origin is not listed", body = ProblemBody<'static>),
        (status = 429, description = "`too_many_attempts`: too many failures for this account from this address, or from this address across names", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn login(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(sent): Json<Login>,
) -> Answer<SignedInBody> {
    let signed_in = sign_in(&app, sent, &device(address, &headers)).await?;
    let presence = open_presence(&app, &signed_in).await?;
    Ok(axum::Json(SignedInBody { user: convert::user(signed_in.account, &presence), tokens: signed_in.tokens.into() }))
}

/// Signs in by the name and the password that were sent; a refusal is counted.
pub(crate) async fn sign_in(app: &App, sent: Login, device: &Device) -> Result<SignedIn, Problem> {
    let (username, password) = credentials(sent)?;
    app.accounts().login(&username, &password, device, app.now()).await.map_err(|error| {
        app.metrics().refusals().login(&error);
        error.into()
    })
}

/// The name and the password of a login, neither of them blank.
fn credentials(sent: Login) -> Result<(String, String), Problem> {
    let (username, password) = (sent.username.unwrap_or_default(), sent.password.unwrap_or_default());
    if username.trim().is_empty() || password.is_empty() {
        let mut problem = Problem::bad_request("credentials_required", "Username and password are required");
        for (field, value) in [("username", username.trim()), ("password", password.as_str())] {
            if value.is_empty() {
                problem = problem.with_error(field, "This field is required.");
            }
        }
        return Err(problem);
    }
    Ok((username, password))
}

/// Makes the login's own session live, unless its rights were taken in between.
pub(crate) async fn open_presence(app: &App, signed_in: &SignedIn) -> Result<presently::Presence, Problem> {
    let user = signed_in.account.id.to_string();
    let mut as_of = signed_in.as_of;
    loop {
        let still = move |app: &App| app.accounts().still_admits(as_of);
        let opened =
            app.presently().evidence_kept(&user, &signed_in.session, Some(Activity::Active), || still(app)).await;
        match opened {
            Err(presently::Error::Stale) => as_of = identify::authenticate(app, &signed_in.tokens.access).await?.as_of,
            opened => return Ok(opened?),
        }
    }
}

/// Makes an account, when registration is open, and signs it in; it is offline until its first request.
#[utoipa::path(
    post, path = "/api/auth/register/", tag = "auth", request_body = Register,
    responses(
        (status = 201, body = SignedInBody),
        (status = 400, description = "Sentences by field in `errors`", body = ProblemBody<'static>),
        (status = 403, description = "`registration_closed`; `origin_refused`: sent by a page of another site whose origin is not listed", body = ProblemBody<'static>),
        (status = 429, description = "`too_many_registrations`: twenty in five minutes from this address", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn register(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(sent): Json<Register>,
) -> Result<(StatusCode, axum::Json<SignedInBody>), Problem> {
    if app.settings().registration == Registration::Closed {
        return Err(Problem::new(StatusCode::FORBIDDEN, "registration_closed", "Registration is closed."));
    }
    let username = sent.username.unwrap_or_default();
    let email = sent.email.unwrap_or_default();
    let password = sent.password.unwrap_or_default();
    let signed_in =
        app.accounts().register(&username, &email, &password, &device(address, &headers), app.now()).await?;
    let presence = app.presently().presence(&signed_in.account.id.to_string()).await?;
    let body = SignedInBody { user: convert::user(signed_in.account, &presence), tokens: signed_in.tokens.into() };
    Ok((StatusCode::CREATED, axum::Json(body)))
}

/// Trades a refresh token for new tokens. It is good once: used twice, its session ends.
#[utoipa::path(
    post, path = "/api/auth/refresh/", tag = "auth", request_body = Refresh,
    responses(
        (status = 200, body = Tokens),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, description = "`token_not_valid`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn refresh(State(app): State<App>, Json(sent): Json<Refresh>) -> Answer<Tokens> {
    let token = required("refresh", sent.refresh)?;
    match app.accounts().refresh(&token, app.now()).await {
        Ok(refreshed) => Ok(axum::Json(refreshed.tokens.into())),
        Err(RefreshError::Auth(error)) => Err(identify::token_refused(&app, error)),
        Err(RefreshError::NotActive(_)) => Err(Problem::account_not_active()),
        Err(RefreshError::Reused { account, session }) => {
            app.presently().end_session(&account.to_string(), &session, EndReason::ForcedLogout).await?;
            Err(identify::token_refused(&app, AuthError::TokenNotValid))
        }
    }
}

/// Whether a token is good.
#[utoipa::path(
    post, path = "/api/auth/verify/", tag = "auth", request_body = Verify,
    responses(
        (status = 200, description = "It is: `{}`"),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, description = "It is not", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn verify(State(app): State<App>, Json(sent): Json<Verify>) -> Answer<serde_json::Value> {
    let token = required("token", sent.token)?;
    app.accounts().verify(&token, app.now()).await.map_err(|error| identify::token_refused(&app, error))?;
    Ok(axum::Json(serde_json::json!({})))
}

fn required(field: &str, value: Option<String>) -> Result<String, Problem> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| Problem::field(field, "This field is required."))
}

/// Ends the session of this token: its tokens stop working at once. Offline if it was the user's last session.
#[utoipa::path(
    post, path = "/api/auth/logout/", tag = "auth", request_body = Option<Logout>, security(("token" = [])),
    responses((status = 200, body = Message), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn logout(State(app): State<App>, By(caller): By, Json(sent): Json<Logout>) -> Answer<Message> {
    for session in app.accounts().logout(&caller, sent.refresh_token.as_deref(), app.now()).await? {
        app.presently().end_session(&caller.user, &session, EndReason::Logout).await?;
    }
    Ok(message("Successfully logged out"))
}

/// Ends every session of the user.
#[utoipa::path(
    post, path = "/api/auth/logout-all/", tag = "auth", security(("token" = [])),
    responses((status = 200, body = Message), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn logout_all(State(app): State<App>, By(caller): By, Json(_): Json<Nothing>) -> Answer<Message> {
    app.end_sessions(caller.account, EndReason::Logout, None).await?;
    Ok(message("Successfully logged out everywhere"))
}

pub(crate) fn message(text: impl Into<String>) -> axum::Json<wire::Message> {
    axum::Json(wire::Message { message: text.into() })
}
