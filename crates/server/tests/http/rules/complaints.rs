//! What users of other presence systems complain of, a test each.

use presently_testkit::http::{Shown, TICK, TIMEOUT, TestServer, find};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn no_ghost_stays_online_for_ever() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let user = server.visitor(&format!("user-{n}")).await;
        match n {
            0 => drop(user.beat_with(json!({"activity": "idle"})).await),
            1 => drop(user.beat_with(json!({"session": "a tab that never says goodbye"})).await),
            2 => drop(admin.set(user.id, json!({"status": "online"})).await.ok()),
            3 => drop(admin.set(user.id, json!({"status": "away"})).await.ok()),
            4 => drop(admin.set(user.id, json!({"status": "online", "expires_in": 60})).await.ok()),
            _ => {}
        }
        ids.push(user.id);
    }
    server.restart_after(secs(10)).await;
    server.advance(TIMEOUT).await;
    for id in ids {
        assert_eq!(server.shown(&admin, id).await.status, "offline");
    }
}

#[tokio::test]
async fn one_tab_of_many_closed_leaves_the_user_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    let desk = server.login("alice").await;
    phone.logout().await;
    assert_eq!(server.shown(&admin, phone.id).await.status, "online");
    // A tab that is closed without a word goes at its own deadline.
    for _ in 0..5 {
        server.advance(secs(60)).await;
        laptop.beat().await;
        assert_eq!(server.shown(&admin, phone.id).await.status, "online");
    }
    desk.is_not_shut_out().await;
    assert_eq!(server.history(phone.id).await, ["offline->online"]);
}

#[tokio::test]
async fn nobody_is_offline_after_a_restart() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let mut users = Vec::new();
    for n in 0..8 {
        users.push(server.visitor(&format!("user-{n}")).await);
    }
    server.crash_for(secs(300)).await;
    let online = admin.get("/api/users/admin/users/online/").await.ok();
    assert_eq!(online["count"], 9);
    for user in &users {
        user.beat().await;
        assert_eq!(server.history(user.id).await, ["offline->online"]);
    }
}

#[tokio::test]
async fn sweeping_twice_announces_once() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(TIMEOUT - TICK).await;
    let sweeps = (0..10).map(|_| server.advance(TICK));
    for sweep in sweeps {
        sweep.await;
    }
    let apps: Vec<_> = (0..10).map(|_| server.app()).collect();
    for app in apps {
        server.on_server(async move { app.presently().sweep().await }).await.unwrap();
    }
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_late_heartbeat_now_and_then_does_not_flap() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    // Heartbeats of 30 s of which up to three in a row are lost.
    for gap in [30, 30, 60, 30, 90, 119, 30, 60, 90, 30, 119, 119] {
        server.advance(secs(gap)).await;
        alice.beat().await;
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
}

#[tokio::test]
async fn a_status_set_by_hand_is_not_overruled_by_the_next_heartbeat() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for status in ["offline", "away"] {
        admin.set(alice.id, json!({"status": status, "expires_in": 100})).await.ok();
        for body in
            [json!({}), json!({"activity": "active"}), json!({"session": "new tab"}), json!({"activity": "idle"})]
        {
            server.advance(secs(20)).await;
            assert_eq!(alice.beat_with(body).await["online_status"], status);
            assert_eq!(server.shown(&admin, alice.id).await.status, status);
        }
        let again = server.login("alice").await;
        assert_eq!(again.user["online_status"], status, "not by a new login either");
        server.advance(secs(20)).await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    }
}

#[tokio::test]
async fn a_background_tab_that_the_browser_throttles_stays() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    // Hidden pages get one timer a minute, and not on the second.
    for drift in 0..30 {
        server.advance(secs(60 + drift % 10)).await;
        alice.beat_with(json!({"activity": "idle"})).await;
        admin.beat().await;
    }
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->away"]);
}

#[tokio::test]
async fn clients_whose_clock_is_wrong_change_nothing() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let body = json!({"timestamp": "2099-01-01T00:00:00Z", "last_seen": "1970-01-01T00:00:00Z", "at": 1e15});
    let call = alice.post("/api/users/heartbeat/").header("date", "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(call.json(body).await.ok()["last_seen"], server.now());
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn a_suspended_user_leaks_through_no_surface() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let tab = server.login("alice").await;
    tab.beat_with(json!({"session": "tab"})).await;
    admin.set(alice.id, json!({"status": "online", "expires_in": 10_000})).await.ok();
    let seen = server.now();
    admin.act(alice.id, "suspend").await;
    server.advance(secs(2)).await;
    let foreign = server.foreign(alice.id, "alice");
    for path in ["/api/auth/profile/", "/api/users/all-users/", "/api/no/such/path/"] {
        foreign.get(path).await;
        alice.get(path).await;
    }
    foreign.post("/api/users/heartbeat/").await.is(403);
    foreign.get("/api/users/heartbeat/").await.is(403);
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &seen));
    let bob = server.visitor("bob").await;
    assert_eq!(server.shown(&bob, alice.id).await, Shown::at("offline", &seen));
    server.advance(secs(300)).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &seen));
}

#[tokio::test]
async fn a_herd_that_comes_back_at_once_is_served() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let mut tokens = Vec::new();
    for n in 0..10 {
        let id = server.account(&format!("user-{n}")).await;
        tokens.extend((0..30).map(|_| server.foreign(id, "")));
    }
    for token in &tokens {
        token.beat().await;
    }
    server.restart().await;
    let herd: Vec<_> = tokens.iter().map(|token| tokio::spawn(send(token.post("/api/users/heartbeat/")))).collect();
    for beat in herd {
        assert_eq!(beat.await.unwrap(), 200);
    }
    let online = admin.get("/api/users/admin/users/online/").await.ok();
    assert_eq!(online["count"], 11);
    for token in tokens.iter().step_by(30) {
        assert!(find(&online["online_users"], token.id).is_some());
        assert_eq!(server.history(token.id).await, ["offline->online"]);
    }
}

async fn send(call: presently_testkit::http::Call) -> u16 {
    call.await.status
}
