//! `GET /api/auth/profile/`

use serde_json::json;

use crate::harness::{Shown, TestServer, secs};

#[tokio::test]
async fn it_is_the_callers_user() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    for path in ["/api/auth/profile/", "/api/users/profile/"] {
        assert_eq!(alice.get(path).await.ok(), alice.user);
        assert_eq!(bob.get(path).await.ok(), bob.user);
    }
}

#[tokio::test]
async fn it_tells_of_its_own_evidence() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(500)).await;
    let user = alice.get("/api/auth/profile/").await.ok();
    assert_eq!(Shown::of(&user), Shown::at("online", &server.now()));
    assert_eq!(user["is_online"], true);
}

#[tokio::test]
async fn it_keeps_the_away_of_who_is_away() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"activity": "idle"})).await;
    server.advance(secs(5)).await;
    let user = alice.get("/api/auth/profile/").await.ok();
    assert_eq!(Shown::of(&user), Shown::at("away", &server.now()));
}

#[tokio::test]
async fn it_shows_what_an_admin_changed() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let patch = json!({"first_name": "Alice", "last_name": "", "email": "new@example.org", "role": "moderator"});
    admin.patch(&format!("/api/users/admin/users/{}/", alice.id)).json(patch).await.ok();
    let user = alice.get("/api/auth/profile/").await.ok();
    assert_eq!(user["first_name"], "Alice");
    assert_eq!(user["full_name"], "Alice");
    assert_eq!(user["email"], "new@example.org");
    assert_eq!(user["role"], "moderator");
}
