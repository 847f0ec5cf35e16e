//! A page that closes.

use axum::extract::State;
use http::StatusCode;
use presently::EndReason;

use crate::app::App;
use crate::extract::{Json, Nothing};
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};

/// Ends the presence of this login at once: its own session, its named ones and its sockets'. The tokens stay valid, and
/// the next evidence opens it again. For the last page of a browser that closes; no evidence itself.
#[utoipa::path(
    post, path = "/api/presence/leave", tag = "presence", security(("token" = [])),
    responses((status = 204, description = "Gone"), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn leave(
    State(app): State<App>,
    By(caller): By,
    Json(_): Json<Nothing>,
) -> Result<StatusCode, Problem> {
    app.presently().end_session(&caller.user, &caller.session, EndReason::Disconnected).await?;
    Ok(StatusCode::NO_CONTENT)
}
