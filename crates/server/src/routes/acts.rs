//! What admins do to accounts: each at once on every surface.

use axum::extract::State;
use http::StatusCode;
use presently::EndReason;
use presently_accounts::{AccountId, AccountStatus, Changes};

use super::auth::message;
use crate::app::App;
use crate::extract::{AccountPath, Json};
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::routes::status::account;
use crate::wire::{Message, Why};

/// The longest reason kept, in characters.
const REASON_CHARS_MAX: usize = 500;

type Answer = Result<axum::Json<Message>, Problem>;

/// Refuses what admins may not do to themselves. Whether there is another admin decides the database; here it only says why.
pub(crate) async fn not_oneself(app: &App, by: &By, id: AccountId, what: &str) -> Result<(), Problem> {
    if by.0.account != id {
        return Ok(());
    }
    if app.accounts().store().admin_count().await? <= 1 {
        return Err(Problem::last_admin());
    }
    Err(Problem::new(StatusCode::CONFLICT, "not_yourself", format!("You cannot {what} yourself.")))
}

fn reason(why: Why) -> Result<String, Problem> {
    let reason = why.reason.unwrap_or_default();
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::field("reason", "Must be at most 500 characters."));
    }
    Ok(reason)
}

async fn stop(
    app: &App,
    by: &By,
    AccountPath(id): AccountPath,
    why: Why,
    action: &'static str,
    status: AccountStatus,
) -> Answer {
    not_oneself(app, by, id, action).await?;
    let audit = by.audit(app, action, Some(id), reason(why)?);
    let changes = Changes { status: Some(status), end_sessions: true, ..Changes::default() };
    let account = app.change(id, changes, Some(audit)).await?;
    Ok(message(format!("{} is {}", account.username, status.as_str())))
}

/// Ends every session of a user; their tokens stop working.
#[utoipa::path(
    post, path = "/api/users/admin/users/{id}/force-logout/", tag = "admin", request_body = Option<Why>,
    security(("token" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Message), (status = 404, body = ProblemBody<'static>))
)]
pub(crate) async fn force_logout(State(app): State<App>, by: By, id: AccountPath, Json(why): Json<Why>) -> Answer {
    let audit = by.audit(&app, "force_logout", Some(id.0), reason(why)?);
    let account = account(&app, id).await?;
    app.end_sessions(account.id, EndReason::ForcedLogout, Some(audit)).await?;
    Ok(message(format!("{} is logged out everywhere", account.username)))
}

/// Suspends an account: offline at once, until it is activated.
#[utoipa::path(
    post, path = "/api/users/admin/users/{id}/suspend/", tag = "admin", request_body = Option<Why>,
    security(("token" = [])), params(("id" = i64, Path)),
    responses(
        (status = 200, body = Message),
        (status = 404, body = ProblemBody<'static>),
        (status = 409, description = "`not_yourself`, `last_admin`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn suspend(State(app): State<App>, by: By, id: AccountPath, Json(why): Json<Why>) -> Answer {
    stop(&app, &by, id, why, "suspend", AccountStatus::Suspended).await
}

/// Bans an account: offline at once, until it is activated.
#[utoipa::path(
    post, path = "/api/users/admin/users/{id}/ban/", tag = "admin", request_body = Option<Why>,
    security(("token" = [])), params(("id" = i64, Path)),
    responses(
        (status = 200, body = Message),
        (status = 404, body = ProblemBody<'static>),
        (status = 409, description = "`not_yourself`, `last_admin`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn ban(State(app): State<App>, by: By, id: AccountPath, Json(why): Json<Why>) -> Answer {
    stop(&app, &by, id, why, "ban", AccountStatus::Banned).await
}

/// Lets a suspended, banned, pending or deactivated account be present again.
#[utoipa::path(
    post, path = "/api/users/admin/users/{id}/activate/", tag = "admin", request_body = Option<Why>,
    security(("token" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Message), (status = 404, body = ProblemBody<'static>))
)]
pub(crate) async fn activate(
    State(app): State<App>,
    by: By,
    AccountPath(id): AccountPath,
    Json(why): Json<Why>,
) -> Answer {
    let audit = by.audit(&app, "activate", Some(id), reason(why)?);
    let changes = Changes { status: Some(AccountStatus::Active), is_active: Some(true), ..Changes::default() };
    let account = app.change(id, changes, Some(audit)).await?;
    Ok(message(format!("{} is active", account.username)))
}

/// Approves a pending account: it becomes active. An active one stays as it is; a suspended or banned one is not for this call.
#[utoipa::path(
    post, path = "/api/users/admin/users/{id}/approve/", tag = "admin", request_body = Option<Why>,
    security(("token" = [])), params(("id" = i64, Path)),
    responses(
        (status = 200, body = Message),
        (status = 404, body = ProblemBody<'static>),
        (status = 409, description = "`not_pending`: it is suspended or banned, and stays so", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn approve(
    State(app): State<App>,
    by: By,
    AccountPath(id): AccountPath,
    Json(why): Json<Why>,
) -> Answer {
    let audit = by.audit(&app, "approve", Some(id), reason(why)?);
    let account = app.change(id, Changes { approve: true, ..Changes::default() }, Some(audit)).await?;
    Ok(message(format!("{} is approved", account.username)))
}
