//! Questions about one user, many, and everybody.

use axum::extract::State;
use presently::{Status, Watcher};

use super::Eyes;
use crate::app::App;
use crate::extract::{Json, Params, UserPath};
use crate::problem::{Problem, ProblemBody};
use crate::routes::online::{cursor, parse_cursor, place};
use crate::wire::{CountsBody, OnlinePage, PresenceBody, Presences, Query, convert, user_ids};

/// Users in one query: as many as one connection may watch.
const QUERY_MAX: usize = Watcher::WATCHED_MAX;
/// Default and largest page.
const LIMIT_MAX: usize = 1000;

/// The presence of one user. Whom nobody ever heard of is offline.
#[utoipa::path(
    get, path = "/api/presence/{user_id}", tag = "presence", security(("token" = []), ("api_key" = [])),
    params(("user_id" = String, Path, description = "1 to 128 bytes")),
    responses(
        (status = 200, body = PresenceBody),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn presence(
    State(app): State<App>,
    Eyes(viewer): Eyes,
    UserPath(user): UserPath,
) -> Result<axum::Json<PresenceBody>, Problem> {
    let presence = app.presently().presence_seen_by(&viewer, &user).await?;
    Ok(axum::Json(convert::presence(presence, app.clock().now().wall)))
}

/// The presences of up to 10,000 users, in the order asked.
#[utoipa::path(
    post, path = "/api/presence/query", tag = "presence", security(("token" = []), ("api_key" = [])), request_body = Query,
    responses(
        (status = 200, body = Presences),
        (status = 400, description = "`too_many_users`, `invalid_field`", body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn query(
    State(app): State<App>,
    Eyes(viewer): Eyes,
    Json(sent): Json<Query>,
) -> Result<axum::Json<Presences>, Problem> {
    let users = sent.users.ok_or_else(|| Problem::field("users", "This field is required."))?;
    if users.len() > QUERY_MAX {
        return Err(
            Problem::field("users", "At most 10,000 users can be asked about at once.").with_code("too_many_users")
        );
    }
    let found = app.presently().presences_seen_by(&viewer, &user_ids(users)?).await?;
    let as_of = app.clock().now().wall;
    let presences = found.into_iter().map(|presence| convert::presence(presence, as_of)).collect();
    Ok(axum::Json(Presences { presences }))
}

/// Who is online, newest `last_seen` first, a page at a time.
///
/// A cursor says where the page before ended; somebody heard in between moves to the front and is found there.
#[utoipa::path(
    get, path = "/api/presence/online", tag = "presence", security(("token" = []), ("api_key" = [])),
    params(
        ("limit" = Option<usize>, Query, description = "1 to 1000, default 1000"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, body = OnlinePage),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn online(
    State(app): State<App>,
    Eyes(viewer): Eyes,
    params: Params,
) -> Result<axum::Json<OnlinePage>, Problem> {
    let limit = params.within("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_MAX);
    let after = params.text("cursor").map(parse_cursor).transpose()?;
    let online = |_: &str, status| status == Status::Online;
    // One more than asked tells whether there is another page.
    let mut found = app.presently().newest_online_seen_by(&viewer, after, limit + 1, online).await;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|presence| cursor(&place(presence)));
    let as_of = app.clock().now().wall;
    let presences = found.into_iter().map(|presence| convert::presence(presence, as_of)).collect();
    Ok(axum::Json(OnlinePage { presences, next_cursor }))
}

/// How many are online and away, and how many sessions they have.
#[utoipa::path(
    get, path = "/api/presence/count", tag = "presence", security(("token" = []), ("api_key" = [])),
    responses((status = 200, body = CountsBody), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn count(State(app): State<App>, Eyes(viewer): Eyes) -> axum::Json<CountsBody> {
    let counts = app.presently().counts_seen_by(&viewer).await;
    axum::Json(CountsBody { online: counts.online, away: counts.away, sessions: counts.sessions })
}
