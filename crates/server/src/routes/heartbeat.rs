//! The heartbeat: evidence of life and nothing else. **It asks no database and no network.**

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use presently::{Activity, Beat, Limits};
use presently_accounts::Caller;

use crate::app::App;
use crate::bodies;
use crate::extract::{self, Json};
use crate::identify::{self, By};
use crate::problem::{Problem, ProblemBody};
use crate::serve::Seat;
use crate::wire::{Heartbeat, HeartbeatBody, OwnStatus, convert};

/// The longest name of a tab or device, in bytes.
const SESSION_BYTES_MAX: usize = 64;
const _: () = assert!(SESSION_BYTES_MAX < Limits::ID_BYTES_MAX);

const RECORDED: &str = "Heartbeat recorded";

/// The hot path: the same functions as [`heartbeat`] behind its layers, without the router.
pub(crate) async fn beat(app: &App, seat: &Seat, request: Request<Body>) -> Response {
    match beat_inner(app, seat, request).await {
        Ok(beat) => answer(beat),
        Err(problem) => problem.into_response(),
    }
}

async fn beat_inner(app: &App, seat: &Seat, request: Request<Body>) -> Result<Beat, Problem> {
    let (parts, body) = request.into_parts();
    let caller = identify::active_caller(app, &parts.headers).await?;
    seat.is_of(&caller.user);
    let sent = bodies::read(app.bodies(), body, bodies::BYTES_MAX).await.and_then(|bytes| {
        if bytes.is_empty() { Ok(Heartbeat { activity: None, session: None }) } else { extract::parse(&bytes) }
    });
    take_or_refuse(app, &parts.headers, &caller, sent).await
}

/// Takes a heartbeat. One that cannot be read is a request like any other: refused, and evidence of the login's own session.
async fn take_or_refuse(
    app: &App,
    headers: &HeaderMap,
    caller: &Caller,
    sent: Result<Heartbeat, Problem>,
) -> Result<Beat, Problem> {
    let refused = match sent {
        Ok(sent) => match take(app, headers, caller, &sent).await {
            Err(problem) if problem.status() == StatusCode::BAD_REQUEST => problem,
            done => return done,
        },
        Err(problem) => problem,
    };
    identify::heard(app, headers, caller, &caller.session, None).await?;
    Err(refused)
}

/// Takes a heartbeat: of the login's own session, or of the one it names.
async fn take(app: &App, headers: &HeaderMap, caller: &Caller, sent: &Heartbeat) -> Result<Beat, Problem> {
    let activity = match sent.activity.as_deref() {
        None => Activity::Active,
        Some(word) => Activity::parse(word).ok_or_else(|| Problem::field("activity", "Must be active or idle."))?,
    };
    match &sent.session {
        None => identify::heard(app, headers, caller, &caller.session, Some(activity)).await,
        Some(name) => {
            if name.is_empty() || name.len() > SESSION_BYTES_MAX || name.chars().any(|c| c.is_control() || c == '/') {
                return Err(Problem::field("session", "Must be 1 to 64 bytes of printable characters without \"/\"."));
            }
            let session = format!("{}/{name}", caller.session);
            identify::heard(app, headers, caller, &session, Some(activity)).await
        }
    }
}

/// The JSON of [`HeartbeatBody`], written by hand: words and a time, nothing to escape.
fn answer(beat: Beat) -> Response {
    let text = format!(
        r#"{{"message":"{RECORDED}","online_status":"{}","last_seen":"{}"}}"#,
        beat.status.as_str(),
        convert::time(beat.last_seen)
    );
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Evidence of life: the user is online (away when idle) for the inactivity timeout from now.
#[utoipa::path(
    post, path = "/api/users/heartbeat/", tag = "presence", request_body = Option<Heartbeat>, security(("token" = [])),
    responses(
        (status = 200, body = HeartbeatBody),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
        (status = 403, description = "`account_not_active`, with `online_status`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    By(caller): By,
    headers: HeaderMap,
    sent: Result<Json<Heartbeat>, Problem>,
) -> Response {
    match take_or_refuse(&app, &headers, &caller, sent.map(|Json(sent)| sent)).await {
        Ok(beat) => answer(beat),
        Err(problem) => problem.into_response(),
    }
}

/// The caller's own presence. Asking is no evidence.
#[utoipa::path(
    get, path = "/api/users/heartbeat/", tag = "presence", security(("token" = [])),
    responses((status = 200, body = OwnStatus), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn own_status(State(app): State<App>, By(caller): By) -> Result<axum::Json<OwnStatus>, Problem> {
    let presence = app.presently().presence(&caller.user).await?;
    Ok(axum::Json(OwnStatus {
        online_status: presence.status.as_str(),
        last_seen: presence.last_seen.map(convert::time),
    }))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use presently::{Status, Timestamp};

    #[tokio::test]
    async fn the_answer_is_the_documented_shape() {
        let response = answer(Beat { status: Status::Away, last_seen: Timestamp(1_764_000_000_813_742) });
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let documented = serde_json::to_vec(&HeartbeatBody {
            message: RECORDED,
            online_status: "away",
            last_seen: "2025-11-24T16:00:00.813742Z".to_owned(),
        })
        .unwrap();
        assert_eq!(bytes, documented);
    }
}
