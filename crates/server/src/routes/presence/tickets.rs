//! Tickets for pages that cannot send a header.

use axum::extract::State;
use http::HeaderMap;

use crate::app::App;
use crate::extract::{Json, Nothing};
use crate::identify::{self, Identity};
use crate::problem::{Problem, ProblemBody};
use crate::push::tickets::GOOD_FOR;
use crate::wire::TicketBody;

/// Makes a ticket: for 30 seconds and one use it stands for the caller's credentials, as `?ticket=` of `events` and `ws`.
#[utoipa::path(
    post, path = "/api/presence/tickets", tag = "presence", security(("token" = []), ("api_key" = [])),
    responses(
        (status = 200, body = TicketBody),
        (status = 401, body = ProblemBody<'static>),
        (status = 429, description = "`too_many_tickets`: 100 unused ones of one user", body = ProblemBody<'static>),
        (status = 503, description = "`too_many_tickets`; of several nodes, `store_unavailable`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn tickets(
    State(app): State<App>,
    axum::Extension(identity): axum::Extension<Identity>,
    headers: HeaderMap,
    Json(_): Json<Nothing>,
) -> Result<axum::Json<TicketBody>, Problem> {
    let credential = identify::credential(&headers).ok_or_else(Problem::not_authenticated)?;
    let user = match &identity {
        Identity::Known(caller) => Some(&caller.user),
        _ => None,
    };
    let ticket = app.push().tickets.make(credential, user, app.clock().now()).await?;
    Ok(axum::Json(TicketBody { ticket, expires_in: GOOD_FOR.as_secs() }))
}
