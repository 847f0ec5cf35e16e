//! The caller's own account.

use axum::extract::State;

use crate::app::App;
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::wire::{User, convert};

/// The caller's account.
#[utoipa::path(
    get, path = "/api/auth/profile/", tag = "auth", security(("token" = [])),
    responses((status = 200, body = User), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn profile(State(app): State<App>, By(caller): By) -> Result<axum::Json<User>, Problem> {
    let account = app.accounts().store().account(caller.account).await?.ok_or_else(Problem::user_not_found)?;
    let presence = app.presently().presence(&caller.user).await?;
    Ok(axum::Json(convert::user(account, &presence)))
}
