//! Presence in a web server.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use presently::{PresenceLayer, SessionId, Status, UserId};
use tower::ServiceExt;
use world::World;

fn identify<B>(request: &Request<B>) -> Option<(UserId, SessionId)> {
    let user = request.headers().get("x-user")?.to_str().ok()?;
    Some((user.into(), "login".into()))
}

fn app(world: &World) -> Router {
    let answer = || async { StatusCode::NO_CONTENT.into_response() };
    Router::new().route("/", get(answer)).layer(PresenceLayer::new(world.presently.clone(), identify::<Body>))
}

async fn ask(app: Router, user: Option<&str>) -> StatusCode {
    let request = Request::get("/");
    let request = if let Some(user) = user { request.header("x-user", user) } else { request };
    app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
}

#[tokio::test]
async fn each_authenticated_request_is_evidence() {
    let world = World::new().await;
    assert_eq!(ask(app(&world), Some("alice")).await, StatusCode::NO_CONTENT);
    assert_eq!(world.presence("alice").await.status, Status::Online);
    assert_eq!(ask(app(&world), None).await, StatusCode::NO_CONTENT);
    assert_eq!(world.presently.counts().users, 1);
}

#[tokio::test]
async fn no_request_fails_for_its_evidence() {
    let world = World::new().await;
    world.presently.bar("alice").await.unwrap();
    assert_eq!(ask(app(&world), Some("alice")).await, StatusCode::NO_CONTENT);
    world.presently.shutdown().await.unwrap();
    assert_eq!(ask(app(&world), Some("bob")).await, StatusCode::NO_CONTENT);
}
