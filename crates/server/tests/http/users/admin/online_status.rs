//! `GET /api/users/admin/users/{id}/online-status/`

use presently_testkit::http::TestServer;
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn it_tells_one_users_presence_to_anybody_who_is_signed_in() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    let told = bob.get(&path(alice.id)).await.ok();
    let expected = json!({
        "user_id": alice.id, "username": "alice", "online_status": "online", "last_seen": server.now(), "is_online": true,
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_was_never_seen_is_offline_without_a_last_seen() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.account("bob").await;
    let told = alice.get(&path(bob)).await.ok();
    let expected =
        json!({"user_id": bob, "username": "bob", "online_status": "offline", "last_seen": null, "is_online": false});
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_went_keeps_the_last_seen() {
    let server = TestServer::start().await;
    let bob = server.visitor("bob").await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(1_000)).await;
    let told = bob.get(&path(alice.id)).await.ok();
    assert_eq!(told["online_status"], "offline");
    assert_eq!(told["is_online"], false);
    assert_eq!(told["last_seen"], login);
}

#[tokio::test]
async fn to_be_watched_is_no_evidence_and_to_watch_is() {
    let server = TestServer::start().await;
    let bob = server.visitor("bob").await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    for _ in 0..12 {
        server.advance(secs(10)).await;
        bob.get(&path(alice.id)).await.ok();
    }
    let told = bob.get(&path(alice.id)).await.ok();
    assert_eq!(told["online_status"], "offline");
    assert_eq!(told["last_seen"], login);
    assert_eq!(bob.own().await.status, "online");
}

fn path(id: i64) -> String {
    format!("/api/users/admin/users/{id}/online-status/")
}
