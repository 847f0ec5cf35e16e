//! A restart of the server makes nobody offline and nobody online.

use presently_testkit::http::{Shown, TICK, TestServer, Visitor, text};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn everybody_is_as_they_were() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let people = people(&server, &admin).await;
    let before = look(&server, &admin, &people).await;
    for crash in [false, true] {
        if crash {
            server.crash_for(secs(0)).await;
        } else {
            server.restart().await;
        }
        assert_eq!(look(&server, &admin, &people).await, before, "crash: {crash}");
    }
}

#[tokio::test]
async fn who_comes_back_in_time_was_never_seen_to_leave() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for down in [0, 30, 119, 600] {
        server.advance(secs(60)).await;
        alice.beat().await;
        server.advance(secs(60)).await;
        server.restart_after(secs(down)).await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "online");
        server.advance(secs(60) - TICK).await;
        assert_eq!(alice.beat().await["online_status"], "online");
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
}

#[tokio::test]
async fn who_does_not_come_back_goes_at_the_deadline_with_the_old_last_seen() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(90)).await;
    server.restart_after(secs(1_000)).await;
    assert_eq!(
        server.shown(&admin, alice.id).await,
        Shown::at("online", &login),
        "silence counts while somebody listens"
    );
    server.advance(server.rest_after_restart(secs(30)) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_clean_stop_keeps_every_last_seen_to_the_microsecond() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    server.advance(secs(50) + TICK * 123_457).await;
    alice.beat().await;
    let beat = server.now();
    server.advance(TICK * 3).await;
    bob.beat_with(json!({"activity": "idle"})).await;
    let idle = server.now();
    server.restart().await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &beat));
    assert_eq!(server.shown(&admin, bob.id).await, Shown::at("away", &idle));
}

#[tokio::test]
async fn after_a_crash_last_seen_is_at_most_two_seconds_old() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for _ in 0..20 {
        server.advance(secs(1)).await;
        alice.beat().await;
    }
    let at_least = server.wall().0 - 2_000_000;
    server.crash_for(secs(0)).await;
    let shown = server.shown(&admin, alice.id).await;
    assert_eq!(shown.status, "online");
    let seen: jiff::Timestamp = shown.last_seen.unwrap().parse().unwrap();
    assert!(seen.as_microsecond() >= at_least, "{seen}");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let stays = server.visitor("stays").await;
    let leaves = server.visitor("leaves").await;
    let suspended = server.visitor("suspended").await;
    let deactivated = server.visitor("deactivated").await;
    let out = server.visitor("out").await;
    let over = server.visitor("over").await;
    let erased = server.visitor("erased").await;
    leaves.logout().await;
    admin.act(suspended.id, "suspend").await;
    let user = |id| format!("/api/users/admin/users/{id}/");
    admin.patch(&user(deactivated.id)).json(json!({"is_active": false})).await.ok();
    admin.act(out.id, "force-logout").await;
    admin.set(over.id, json!({"status": "away", "expires_in": 600})).await.ok();
    admin.delete(&user(erased.id)).await.is(204);
    let draft = json!({"username": "made", "password": presently_testkit::PASSWORD});
    admin.post("/api/users/admin/users/").json(draft).await.is(201);
    server.crash_for(secs(5)).await;
    assert_eq!(server.shown(&admin, stays.id).await.status, "online");
    assert_eq!(server.shown(&admin, over.id).await.status, "away");
    for gone in [&leaves, &suspended, &deactivated, &out] {
        assert_eq!(server.shown(&admin, gone.id).await.status, "offline", "{}", gone.username);
        gone.is_shut_out().await;
    }
    admin.get(&user(erased.id)).await.problem(404, "user_not_found");
    erased.post("/api/users/heartbeat/").await.is(401);
    server.login("made").await;
    stays.beat().await;
}

#[tokio::test]
async fn named_sessions_keep_their_activity_and_their_deadlines() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(40)).await;
    alice.beat_with(json!({"session": "tab", "activity": "idle"})).await;
    server.restart().await;
    let (login, tab) = (server.rest_after_restart(secs(80)), server.rest_after_restart(secs(120)));
    server.advance(login - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, if tab > login { "away" } else { "offline" });
    server.advance(tab - login).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn tokens_are_good_after_a_restart_and_a_logout_finds_the_old_session() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"session": "tab"})).await;
    server.restart().await;
    let pair = server.post("/api/auth/refresh/").json(json!({"refresh": alice.refresh})).await.ok();
    let renewed = server.bearing(alice.id, "alice", text(&pair["access"]));
    renewed.logout().await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &server.now()));
    alice.is_shut_out().await;
}

#[tokio::test]
async fn a_refresh_token_used_before_the_restart_is_still_used() {
    let mut server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let first = json!({"refresh": alice.refresh});
    let pair = server.post("/api/auth/refresh/").json(first.clone()).await.ok();
    server.restart_after(secs(5)).await;
    server.post("/api/auth/refresh/").json(first.clone()).await.ok();
    server.restart_after(secs(5)).await;
    server.post("/api/auth/refresh/").json(first).await.problem(401, "token_not_valid");
    let second = json!({"refresh": pair["refresh"]});
    server.post("/api/auth/refresh/").json(second).await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn two_restarts_in_a_row_lose_nothing() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let people = people(&server, &admin).await;
    let before = look(&server, &admin, &people).await;
    server.restart().await;
    server.restart_after(secs(500)).await;
    server.crash_for(secs(500)).await;
    assert_eq!(look(&server, &admin, &people).await, before);
}

/// Somebody in each status.
async fn people(server: &TestServer, admin: &Visitor) -> Vec<i64> {
    let online = server.visitor("online").await;
    let away = server.visitor("away").await;
    away.beat_with(json!({"activity": "idle"})).await;
    let gone = server.visitor("gone").await;
    gone.logout().await;
    let never = server.account("never").await;
    let suspended = server.visitor("suspended").await;
    admin.act(suspended.id, "suspend").await;
    let over = server.visitor("over").await;
    admin.set(over.id, json!({"status": "offline", "expires_in": 100_000})).await.ok();
    let held = server.visitor("held").await;
    admin.set(held.id, json!({"status": "away"})).await.ok();
    vec![online.id, away.id, gone.id, never, suspended.id, over.id, held.id]
}

async fn look(server: &TestServer, admin: &Visitor, people: &[i64]) -> Vec<Shown> {
    let mut shown = Vec::new();
    for id in people {
        shown.push(server.shown(admin, *id).await);
    }
    shown
}
