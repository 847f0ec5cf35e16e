//! The live sessions of a user.

use axum::extract::State;
use presently::SessionView;
use presently_accounts::AccountId;

use crate::app::App;
use crate::extract::AccountPath;
use crate::problem::{Problem, ProblemBody};
use crate::routes::status::account;
use crate::wire::{SessionBody, Sessions, convert};

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
        let login = session.session.split('/').next().unwrap_or_default();
        let login = credentials.iter().find(|credentials| credentials.id == login);
        SessionBody {
            device: login.map(|login| login.device.clone()),
            address: login.map(|login| login.address.clone()),
            session: session.session.into(),
            since: convert::time(session.opened_at),
            last_evidence: convert::time(session.last_evidence),
            deadline: convert::time(now + session.remaining),
            activity: session.activity.as_str(),
        }
    });
    Ok(bodies.collect())
}
