//! When presence ends.

use presently_testkit::http::{Shown, TICK, TIMEOUT, TestServer};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn offline_comes_exactly_at_the_deadline_and_last_seen_stays() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_short_timeout_is_as_exact() {
    let server = TestServer::start_with(|settings| {
        settings.inactivity_timeout = secs(5);
        settings.heartbeat_interval = secs(2);
        settings.reconnect_grace = secs(1);
    })
    .await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for _ in 0..10 {
        server.advance(secs(4)).await;
        alice.beat().await;
        admin.beat().await;
    }
    let beat = server.now();
    server.advance(secs(5) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &beat));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &beat));
}

#[tokio::test]
async fn a_heartbeat_in_the_last_moment_is_in_time() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for _ in 0..20 {
        server.advance(TIMEOUT - TICK).await;
        alice.beat().await;
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
    server.advance(TIMEOUT).await;
    server.foreign(admin.id, "boss").beat().await;
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn each_user_has_a_deadline_of_their_own() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let mut users = Vec::new();
    for n in 0..12 {
        users.push(server.visitor(&format!("user-{n}")).await);
        server.advance(secs(10)).await;
    }
    // The first came 120 s ago, the last 10 s ago.
    for gone in 0..12 {
        for (n, user) in users.iter().enumerate() {
            let expected = if n <= gone { "offline" } else { "online" };
            assert_eq!(server.shown(&admin, user.id).await.status, expected, "user-{n} after {gone}");
        }
        server.advance(secs(10)).await;
    }
}

#[tokio::test]
async fn after_expiry_the_tokens_are_good_and_the_next_evidence_opens_presence_again() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(3_000)).await;
    assert_eq!(alice.own().await.status, "offline");
    assert_eq!(alice.beat().await["online_status"], "online");
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline", "offline->online"]);
}

#[tokio::test]
async fn away_expires_like_the_others() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"activity": "idle"})).await;
    let beat = server.now();
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &beat));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &beat));
}

#[tokio::test]
async fn the_merge_follows_the_sessions_down() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let status = async || server.shown(&admin, alice.id).await.status;
    server.advance(secs(40)).await;
    alice.beat_with(json!({"session": "idle tab", "activity": "idle"})).await;
    assert_eq!(status().await, "online");
    server.advance(secs(80)).await;
    assert_eq!(status().await, "away", "the active one is gone, the idle one is not");
    server.advance(secs(40)).await;
    assert_eq!(status().await, "offline");
}
