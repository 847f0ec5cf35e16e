//! A small web server that shows who is online. Every request that names a user is evidence of life; there is no heartbeat code.
//!
//! ```text
//! cargo run -p presently --example embed
//! curl -H 'X-User: alice' http://localhost:3000/
//! ```

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::routing::get;
use presently::clock::SystemClock;
use presently::memory::MemoryStore;
use presently::{Config, PresenceLayer, Presently, SessionId, UserId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let presently = Presently::open(Config::default(), Arc::new(MemoryStore::new()), SystemClock::new()).await?;
    let app = Router::new()
        .route("/", get(who_is_online))
        .layer(PresenceLayer::new(presently.clone(), who_asks))
        .with_state(presently.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let goodbye = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(goodbye).await?;
    presently.shutdown().await?;
    Ok(())
}

/// An application takes this from its own authentication; this one believes a header.
fn who_asks(request: &Request<Body>) -> Option<(UserId, SessionId)> {
    let user = request.headers().get("x-user")?.to_str().ok()?;
    Some((user.into(), "web".into()))
}

async fn who_is_online(State(presently): State<Presently>) -> String {
    let online = presently.newest_online(None, 100).await;
    let lines = online.iter().map(|presence| format!("{} is {}\n", presence.user, presence.status.as_str()));
    lines.chain([format!("{} online\n", presently.counts().online)]).collect()
}
