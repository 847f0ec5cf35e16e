//! Presence as Server-Sent Events.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use presently::{Position, UserId, Watcher};

use crate::app::App;
use crate::extract::Params;
use crate::identify::{self, Identity};
use crate::problem::{Problem, ProblemBody};
use crate::push::handoff::Handoff;
use crate::push::pass::{Holder, KeyPass, Pass};
use crate::push::stream::{Begun, Events};
use crate::wire::user_ids;

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A stream of Server-Sent Events: one `snapshot`, then a `presence` for each transition.
///
/// Every event has an `id`; whoever comes back with it (`Last-Event-ID`, with the same `users`) gets exactly what they missed, or
/// a new snapshot. Ends when the credentials do.
#[utoipa::path(
    get, path = "/api/presence/events", tag = "presence", security(("token" = []), ("api_key" = [])),
    params(
        ("users" = Option<String>, Query, description = "Up to 10,000 names, separated by commas; admins may leave it out and get everybody"),
        ("ticket" = Option<String>, Query, description = "In the place of `Authorization`: from `POST /api/presence/tickets`"),
        ("last_event_id" = Option<String>, Query, description = "In the place of `Last-Event-ID`"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event received"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 400, description = "`too_many_users`, `invalid_field`", body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
        (status = 403, description = "`permission_denied`: only admins watch everybody", body = ProblemBody<'static>),
        (status = 414, description = "`uri_too_long`: watch so many by WebSocket", body = ProblemBody<'static>),
        (status = 429, description = "`too_many_connections` of this user", body = ProblemBody<'static>),
        (status = 503, description = "`too_many_connections` in all", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn events(
    State(app): State<App>,
    axum::Extension(identity): axum::Extension<Identity>,
    handoff: Option<axum::Extension<Handoff>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let users = users(&params)?;
    let credential = identify::credential(&headers).ok_or_else(Problem::not_authenticated)?;
    let holder = match identity {
        Identity::Known(caller) => Holder::User(Pass::new(credential, caller)),
        Identity::Application(_) => {
            let (key, as_of) = identify::application(&app, &headers).await?;
            Holder::Application(KeyPass::new(credential, key, as_of))
        }
        Identity::Refused(problem) => return Err(problem),
        Identity::Nobody => return Err(Problem::not_authenticated()),
    };
    let mut place = app.push().crowd.enter()?;
    place.belongs_to(&holder.name())?;
    let mut watcher = app.presently().watcher(holder.viewer());
    let begun = begin(&mut watcher, users.as_deref(), last_event_id(&headers, &params)).await?;
    let events = Events::new(app, holder, watcher, place, begun);
    let mut response = Response::new(match handoff {
        Some(axum::Extension(handoff)) => {
            handoff.leave(events);
            // Nothing of it is written by the HTTP layer, which lets go of the connection after the head.
            Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
        }
        None => events.into_body(),
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(X_ACCEL_BUFFERING.clone(), HeaderValue::from_static("no"));
    Ok(response)
}

fn users(params: &Params) -> Result<Option<Vec<UserId>>, Problem> {
    let Some(text) = params.text("users") else { return Ok(None) };
    let names: Vec<_> = text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.len() > Watcher::WATCHED_MAX {
        return Err(Problem::field("users", "At most 10,000 users can be watched at once.").with_code("too_many_users"));
    }
    user_ids(names).map(Some)
}

/// Where the stream broke off. An id that cannot be read asks for a snapshot.
fn last_event_id(headers: &HeaderMap, params: &Params) -> Option<Position> {
    let header = headers.get(&LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    header.or(params.text("last_event_id"))?.trim().parse().ok()
}

async fn begin(watcher: &mut Watcher, users: Option<&[UserId]>, from: Option<Position>) -> Result<Begun, Problem> {
    Ok(match (users, from) {
        (Some(users), Some(from)) => Begun::again(from, watcher.resume(users, from).await?),
        (Some(users), None) => Begun::anew(watcher.watch(users).await?),
        (None, Some(from)) => Begun::again(from, watcher.resume_everybody(from).await?),
        (None, None) => Begun::anew(watcher.watch_everybody().await?),
    })
}
