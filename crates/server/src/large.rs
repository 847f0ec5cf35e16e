//! Large answers. **A caller has a few under way at once**, however slowly they are read: each counts until its last part was handed to
//! the connection, and further ones wait their turn for a moment.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Method;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::bodies;
use crate::identify::Identity;
use crate::problem::Problem;

/// Large answers of one caller at once: the tabs of a person, or the workers of a back end that ask in turn.
const AT_ONCE_MAX: usize = 4;
/// How long a further one waits: answers that are read take much less.
const PATIENCE: Duration = Duration::from_secs(5);
/// Parts in which a large answer is handed on, so that the connection holds one of them and not the whole.
const PART_BYTES: usize = 64 * 1024;

/// The large answers under way.
#[derive(Default)]
pub(crate) struct LargeAnswers(Mutex<HashMap<Arc<str>, Turns>>);

struct Turns {
    places: Arc<Semaphore>,
    /// Those who have a place or wait for one.
    callers: usize,
}

/// One of the places of a caller, or the wait for it.
struct Turn {
    all: Arc<LargeAnswers>,
    caller: Arc<str>,
    place: Option<OwnedSemaphorePermit>,
}

impl LargeAnswers {
    async fn turn(self: &Arc<Self>, caller: Arc<str>) -> Result<Turn, Problem> {
        let places = {
            let mut all = self.0.lock();
            let fresh = || Turns { places: Arc::new(Semaphore::new(AT_ONCE_MAX)), callers: 0 };
            let turns = all.entry(Arc::clone(&caller)).or_insert_with(fresh);
            turns.callers += 1;
            Arc::clone(&turns.places)
        };
        let mut turn = Turn { all: Arc::clone(self), caller, place: None };
        match tokio::time::timeout(PATIENCE, places.acquire_owned()).await {
            Ok(Ok(place)) => {
                turn.place = Some(place);
                Ok(turn)
            }
            _ => Err(Problem::too_many(
                "too_many_large_answers",
                format!("At most {AT_ONCE_MAX} large answers are sent to one user at once; read those first."),
            )),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if let Some(turns) = all.get_mut(&self.caller) {
            turns.callers -= 1;
            if turns.callers == 0 {
                all.remove(&self.caller);
            }
        }
    }
}

/// Whether the answer of this call grows with how many users there are. Event streams have a limit of their own.
pub(crate) fn may_be_large(method: &Method, path: &str) -> bool {
    match path {
        "/api/presence/query" => *method == Method::POST,
        "/api/users/all-users"
        | "/api/users/admin/users"
        | "/api/users/admin/users/online"
        | "/api/presence/online"
        | "/api/presence/log" => *method == Method::GET,
        _ => *method == Method::GET && path.starts_with("/api/presence/") && path.ends_with("/history"),
    }
}

/// Before every route, after it is known who calls.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    if !may_be_large(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    let caller = match request.extensions().get() {
        Some(Identity::Known(caller)) => Arc::clone(&caller.user),
        Some(Identity::Application(key)) => format!("app-{}", key.id).into(),
        // Who is refused gets no large answer.
        _ => return next.run(request).await,
    };
    // The body first: who sends slowly holds no turn meanwhile. Until there is one, the body counts as unfinished.
    let bytes_max = bodies::bytes_max(request.uri().path());
    let (parts, body) = request.into_parts();
    let turn = async {
        let body = bodies::read(app.bodies(), body, bytes_max).await?;
        let mut waiting = app.bodies().begin();
        waiting.grow(body.len())?;
        let turn = app.large_answers().turn(caller).await?;
        Ok::<_, Problem>((body, turn))
    };
    match turn.await {
        Ok((body, turn)) => {
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            response.map(|body| Body::new(InParts { body, rest: Bytes::new(), _turn: turn }))
        }
        Err(problem) => problem.into_response(),
    }
}

/// A body that is handed on in parts, and keeps its turn until the last one.
struct InParts {
    body: Body,
    /// What is left of the part of the body that is being handed on.
    rest: Bytes,
    _turn: Turn,
}

impl HttpBody for InParts {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
            match frame?.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let bytes = self.rest.len().min(PART_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest, inner) = (SizeHint::new(), self.rest.len() as u64, self.body.size_hint());
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_a_few_and_others_have_theirs() {
        let all: Arc<LargeAnswers> = Arc::default();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE_MAX {
            turns.push(all.turn("alice".into()).await.ok().unwrap());
        }
        assert_eq!(all.turn("alice".into()).await.err().unwrap().code(), "too_many_large_answers");
        assert!(all.turn("bob".into()).await.is_ok());
        let (waited, ()) = tokio::join!(all.turn("alice".into()), async {
            tokio::time::sleep(PATIENCE / 2).await;
            turns.pop();
        });
        assert!(waited.is_ok());
        drop((turns, waited));
        assert!(all.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_large_body_goes_in_parts_and_stays_whole() {
        let all: Arc<LargeAnswers> = Arc::default();
        let text: String = ('a'..='z').cycle().take(3 * PART_BYTES + 5).collect();
        let turn = all.turn("alice".into()).await.ok().unwrap();
        let mut body = InParts { body: Body::from(text.clone()), rest: Bytes::new(), _turn: turn };
        let mut got = Vec::new();
        while !body.is_end_stream() {
            assert_eq!(body.size_hint().exact(), Some((text.len() - got.len()) as u64));
            let part = body.frame().await.unwrap().unwrap().into_data().ok().unwrap();
            assert!(part.len() <= PART_BYTES);
            got.extend(part);
        }
        assert_eq!(got, text.as_bytes());
    }
}
