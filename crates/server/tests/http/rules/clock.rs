//! When the clock of the machine steps, nobody is thrown offline and nobody stays for ever.

use presently_testkit::http::{Shown, TICK, TIMEOUT, TestServer};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn a_step_forward_throws_nobody_offline() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(10)).await;
    server.step_wall(1_800).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(secs(110) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

#[tokio::test]
async fn a_step_back_keeps_nobody_for_ever() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.step_wall(-3_600).await;
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    server.advance(TICK).await;
    let shown = server.shown(&admin, alice.id).await;
    assert_eq!(shown.status, "offline");
    assert_eq!(shown.last_seen, Some(login));
}

#[tokio::test]
async fn after_a_step_back_evidence_counts_as_ever() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.step_wall(-1_800).await;
    for _ in 0..5 {
        server.advance(secs(100)).await;
        let told = alice.beat().await;
        assert_eq!(told["online_status"], "online");
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
    server.advance(TIMEOUT).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn an_override_ends_at_the_time_that_it_shows_whatever_the_wall_clock_did() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    admin.set(alice.id, json!({"status": "away", "expires_in": 60})).await.ok();
    server.step_wall(-30).await;
    server.advance(secs(90) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "away");
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
}

#[tokio::test]
async fn a_step_during_the_downtime_throws_nobody_offline_and_keeps_nobody_for_ever() {
    for down in [0, 86_400] {
        let mut server = TestServer::start().await;
        let alice = server.visitor("alice").await;
        server.advance(secs(60)).await;
        server.restart_after(secs(down)).await;
        server.step_wall(-1_000).await;
        let admin = server.admin().await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "online", "down for {down} s");
        server.advance(server.rest_after_restart(secs(60))).await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "offline", "down for {down} s");
    }
}
