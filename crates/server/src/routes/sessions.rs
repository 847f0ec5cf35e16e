//! The sessions of a user: of presence, as admins see them, and the caller's own logins.

use axum::extract::State;
use http::StatusCode;
use presently::{EndReason, SessionView};
use presently_accounts::AccountId;

use crate::app::App;
use crate::extract::{AccountPath, SessionPath};
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::routes::status::account;
use crate::standing::login_of;
use crate::wire::{OwnSession, OwnSessions, SessionBody, Sessions, convert};

/// The live sessions of a user, oldest first.
#[utoipa::path(
    get, path = "/api/users/admin/users/{id}/sessions/", tag = "admin", security(("token" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, body = Sessions), (status = 404, body = ProblemBody<'static>))
)]
pub(crate) async fn sessions(State(app): State<App>, id: AccountPath) -> Result<axum::Json<Sessions>, Problem> {
    let account = account(&app, id).await?;
    let live = app.presently().explain(&account.id.to_string()).map(|why| why.sessions).unwrap_or_default();
    let sessions = session_bodies(&app, Some(account.id), live).await?;
    Ok(axum::Json(Sessions { count: sessions.len(), sessions }))
}

/// Ends a session of a user, with the login it belongs to: its tokens stop working, its sockets close.
#[utoipa::path(
    delete, path = "/api/users/admin/users/{id}/sessions/{session}/", tag = "admin", operation_id = "end_session", security(("token" = [])),
    params(("id" = i64, Path), ("session" = String, Path, description = "An `id` from the list; a `/` in it may be written `%2F`")),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "`user_not_found`, `session_not_found`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn end(
    State(app): State<App>,
    by: By,
    id: AccountPath,
    SessionPath(session): SessionPath,
) -> Result<StatusCode, Problem> {
    let account = account(&app, id).await?;
    let audit = by.audit(&app, "end_session", Some(account.id), "");
    if app.end_login(account.id, login_of(&session), EndReason::ForcedLogout, Some(audit)).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::session_not_found())
    }
}

/// The caller's logins, oldest first.
#[utoipa::path(
    get, path = "/api/auth/sessions/", tag = "auth", operation_id = "own_sessions", security(("token" = [])),
    responses((status = 200, body = OwnSessions), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn own(State(app): State<App>, By(caller): By) -> Result<axum::Json<OwnSessions>, Problem> {
    let live = app.presently().explain(&caller.user).map(|why| why.sessions).unwrap_or_default();
    let last_evidence = |login: &str| {
        live.iter().filter(|session| login_of(&session.session) == login).map(|session| session.last_evidence).max()
    };
    let logins = app.accounts().sessions(caller.account, app.now()).await?;
    let sessions = logins.into_iter().map(|login| OwnSession {
        current: *login.id == *caller.session,
        last_seen: last_evidence(&login.id).map_or_else(|| convert::jiff_time(login.refreshed_at), convert::time),
        created_at: convert::jiff_time(login.created_at),
        expires_at: convert::jiff_time(login.expires_at),
        device: login.device,
        address: login.address,
        id: login.id,
    });
    Ok(axum::Json(OwnSessions { sessions: sessions.collect() }))
}

/// Ends a login of the caller's: its tokens stop working, at once. The current one too: that is a logout.
#[utoipa::path(
    delete, path = "/api/auth/sessions/{id}/", tag = "auth", operation_id = "end_own_session", security(("token" = [])), params(("id" = String, Path)),
    responses(
        (status = 204, description = "It has ended"),
        (status = 401, body = ProblemBody<'static>),
        (status = 404, description = "`session_not_found`: it is none of the caller's", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn end_own(
    State(app): State<App>,
    By(caller): By,
    SessionPath(session): SessionPath,
) -> Result<StatusCode, Problem> {
    if app.end_login(caller.account, &session, EndReason::Logout, None).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::session_not_found())
    }
}

/// Live sessions, with what is known of the logins they belong to.
pub(crate) async fn session_bodies(
    app: &App,
    account: Option<AccountId>,
    live: Vec<SessionView>,
) -> Result<Vec<SessionBody>, Problem> {
    let credentials = match account {
        Some(account) => app.accounts().sessions(account, app.now()).await?,
        None => Vec::new(),
    };
    let now = app.clock().now().wall;
    let bodies = live.into_iter().map(|session| {
        let login = login_of(&session.session);
        let login = credentials.iter().find(|credentials| credentials.id == login);
        SessionBody {
            device: login.map(|login| login.device.clone()),
            address: login.map(|login| login.address.clone()),
            id: session.session.to_string(),
            session: session.session.into(),
            since: convert::time(session.opened_at),
            last_evidence: convert::time(session.last_evidence),
            deadline: convert::time(now + session.remaining),
            activity: session.activity.as_str(),
        }
    });
    Ok(bodies.collect())
}
