//! `POST /api/users/admin/users/{id}/set-online-status/`

use presently_testkit::http::{Shown, TICK, TIMEOUT, TestServer, text};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn it_answers_what_is_shown_now() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for status in ["offline", "away", "online"] {
        let told = admin.set(alice.id, json!({"status": status})).await.ok();
        assert_eq!(told["user_id"], alice.id);
        assert_eq!(told["online_status"], status);
        assert!(!text(&told["message"]).is_empty());
        assert_eq!(server.shown(&admin, alice.id).await, Shown::of(&told));
    }
}

#[tokio::test]
async fn online_is_now_and_expires_like_everybody_else() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    server.advance(secs(3)).await;
    let told = admin.set(id, json!({"status": "online"})).await.ok();
    let set = server.now();
    assert_eq!(Shown::of(&told), Shown::at("online", &set));
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, id).await, Shown::at("online", &set));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, id).await, Shown::at("offline", &set));
}

#[tokio::test]
async fn offline_is_now_and_holds_until_the_next_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"session": "tab"})).await;
    server.advance(secs(3)).await;
    let told = admin.set(alice.id, json!({"status": "offline"})).await.ok();
    let set = server.now();
    assert_eq!(Shown::of(&told), Shown::at("offline", &set));
    server.advance(secs(50)).await;
    alice.own().await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &set));
    assert_eq!(alice.beat().await["online_status"], "online");
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn any_request_is_the_next_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for status in ["offline", "away"] {
        admin.set(alice.id, json!({"status": status})).await.ok();
        alice.get("/api/auth/profile/").await.ok();
        assert_eq!(server.shown(&admin, alice.id).await.status, "online", "after {status}");
    }
}

#[tokio::test]
async fn away_leaves_last_seen_and_expires_too() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(10)).await;
    let told = admin.set(alice.id, json!({"status": "away"})).await.ok();
    assert_eq!(Shown::of(&told), Shown::at("away", &login));
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &login));
    server.advance(TIMEOUT).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

#[tokio::test]
async fn online_holds_for_the_whole_timeout_although_the_sessions_end_before() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(60)).await;
    admin.set(alice.id, json!({"status": "online"})).await.ok();
    let set = server.now();
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &set));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &set));
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn an_override_stands_on_top_of_what_the_sessions_say_until_it_ends() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let told = admin.set(alice.id, json!({"status": "away", "expires_in": 300})).await.ok();
    assert_eq!(Shown::of(&told), Shown::at("away", &server.now()));
    for _ in 0..5 {
        server.advance(secs(50)).await;
        assert_eq!(alice.beat().await["online_status"], "away", "a heartbeat does not overrule it");
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &server.now()));
    }
    let beat = server.now();
    server.advance(secs(50) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &beat));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &beat));
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->away", "away->online"]);
}

#[tokio::test]
async fn an_override_leaves_last_seen() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    let never = server.account("never").await;
    server.advance(secs(10)).await;
    for status in ["online", "offline", "away"] {
        let body = json!({"status": status, "expires_in": 60});
        assert_eq!(Shown::of(&admin.set(alice.id, body.clone()).await.ok()), Shown::at(status, &login));
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at(status, &login));
        assert_eq!(Shown::of(&admin.set(never, body).await.ok()), Shown::never(status));
        assert_eq!(server.shown(&admin, never).await, Shown::never(status));
    }
    server.advance(secs(60)).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    assert_eq!(server.shown(&admin, never).await, Shown::never("offline"));
}

#[tokio::test]
async fn an_override_outlives_the_sessions() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    admin.set(alice.id, json!({"status": "online", "expires_in": 600})).await.ok();
    server.advance(secs(600) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

#[tokio::test]
async fn null_clears_the_override_and_what_lies_beneath_shows() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    alice.beat_with(json!({"activity": "idle"})).await;
    admin.set(alice.id, json!({"status": "offline", "expires_in": 600})).await.ok();
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    let told = admin.set(alice.id, json!({"status": null})).await.ok();
    assert_eq!(Shown::of(&told), Shown::at("away", &login));
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &login));
    admin.set(alice.id, json!({"status": null})).await.ok();
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &login), "nothing to clear is no error");
}

#[tokio::test]
async fn a_new_override_replaces_the_old_one() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    admin.set(alice.id, json!({"status": "offline", "expires_in": 600})).await.ok();
    admin.set(alice.id, json!({"status": "away", "expires_in": 30})).await.ok();
    assert_eq!(server.shown(&admin, alice.id).await.status, "away");
    server.advance(secs(30)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    server.advance(secs(1_000)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn a_logout_under_an_override_shows_when_the_override_ends() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    admin.set(alice.id, json!({"status": "online", "expires_in": 60})).await.ok();
    server.advance(secs(5)).await;
    alice.logout().await;
    let logout = server.now();
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    server.advance(secs(55)).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &logout));
}

#[tokio::test]
async fn a_body_without_a_status_is_a_400() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for body in [json!({}), json!({"expires_in": 60}), json!({"online_status": "away"})] {
        admin.set(alice.id, body).await.is(400);
    }
    admin.post(&format!("/api/users/admin/users/{}/set-online-status/", alice.id)).await.is(400);
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
}

#[tokio::test]
async fn a_status_that_is_none_is_invalid_status() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for status in ["busy", "", "Online", "online ", "invisible", "\u{0}"] {
        admin.set(alice.id, json!({"status": status})).await.problem(400, "invalid_status");
    }
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
}

#[tokio::test]
async fn a_bad_end_is_a_400_that_names_it() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for bad in [json!(0), json!(-1), json!("60"), json!(true), json!([]), json!(1e300), json!(-0.5)] {
        let body = json!({"status": "away", "expires_in": bad});
        admin.set(alice.id, body).await.names_field("expires_in");
    }
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
}

#[tokio::test]
async fn who_may_not_be_present_cannot_be_set_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for how in ["suspend", "ban", "deactivate"] {
        let user = server.visitor(how).await;
        if how == "deactivate" {
            let path = format!("/api/users/admin/users/{}/", user.id);
            admin.patch(&path).json(json!({"is_active": false})).await.ok();
        } else {
            admin.act(user.id, how).await;
        }
        admin.set(user.id, json!({"status": "online"})).await.problem(403, "account_not_active");
        let body = json!({"status": "online", "expires_in": 60});
        admin.set(user.id, body).await.problem(403, "account_not_active");
        assert_eq!(server.shown(&admin, user.id).await.status, "offline");
        admin.set(user.id, json!({"status": "offline"})).await.ok();
        assert_eq!(server.shown(&admin, user.id).await.status, "offline");
    }
}

#[tokio::test]
async fn an_override_of_who_is_suspended_then_does_not_bring_them_back() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    admin.set(alice.id, json!({"status": "online", "expires_in": 600})).await.ok();
    admin.act(alice.id, "suspend").await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    admin.act(alice.id, "activate").await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn an_admin_can_set_their_own_until_their_next_request() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let told = admin.set(admin.id, json!({"status": "away"})).await.ok();
    assert_eq!(told["online_status"], "away");
    let bob = server.visitor("bob").await;
    assert_eq!(server.shown(&bob, admin.id).await.status, "away");
    admin.get("/api/auth/profile/").await.ok();
    assert_eq!(server.shown(&bob, admin.id).await.status, "online");
}

#[tokio::test]
async fn what_was_set_survives_a_restart() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let over = server.visitor("over").await;
    let held = server.visitor("held").await;
    let off = server.visitor("off").await;
    let login = server.now();
    admin.set(over.id, json!({"status": "away", "expires_in": 100})).await.ok();
    admin.set(held.id, json!({"status": "away"})).await.ok();
    admin.set(off.id, json!({"status": "offline"})).await.ok();
    server.restart().await;
    assert_eq!(server.shown(&admin, over.id).await, Shown::at("away", &login));
    assert_eq!(server.shown(&admin, held.id).await, Shown::at("away", &login));
    assert_eq!(server.shown(&admin, off.id).await, Shown::at("offline", &login));
    assert_eq!(over.beat().await["online_status"], "away");
    assert_eq!(held.beat().await["online_status"], "online");
    server.advance(secs(100)).await;
    assert_eq!(server.shown(&admin, over.id).await, Shown::at("online", &login));
}

#[tokio::test]
async fn an_override_that_ended_while_the_server_was_down_is_over() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    admin.set(alice.id, json!({"status": "away", "expires_in": 60})).await.ok();
    server.restart_after(secs(61)).await;
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
}
