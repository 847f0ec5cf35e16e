//! The caller's own presence, and whether others see it.

use axum::extract::State;
use presently::Presence;

use crate::app::App;
use crate::extract::Json;
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::wire::{OwnPresence, SetInvisible, convert};

/// The caller's own presence, the true one.
#[utoipa::path(
    get, path = "/api/presence/me", tag = "presence", security(("token" = [])),
    responses((status = 200, body = OwnPresence), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn me(State(app): State<App>, By(caller): By) -> Result<axum::Json<OwnPresence>, Problem> {
    let presence = app.presently().presence(&caller.user).await?;
    Ok(own(&app, presence))
}

/// Becomes invisible, or visible again. To everybody but admins an invisible user is offline since they became so.
#[utoipa::path(
    put, path = "/api/presence/me", tag = "presence", security(("token" = [])), request_body = SetInvisible,
    responses(
        (status = 200, body = OwnPresence),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn set_me(
    State(app): State<App>,
    By(caller): By,
    Json(sent): Json<SetInvisible>,
) -> Result<axum::Json<OwnPresence>, Problem> {
    let invisible = sent.invisible.ok_or_else(|| Problem::field("invisible", "This field is required."))?;
    let presence = app.presently().set_invisible(&caller.user, invisible).await?;
    Ok(own(&app, presence))
}

fn own(app: &App, presence: Presence) -> axum::Json<OwnPresence> {
    let invisible = app.presently().is_invisible(&presence.user);
    axum::Json(OwnPresence { presence: convert::presence(presence, app.clock().now().wall), invisible })
}
