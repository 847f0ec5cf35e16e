//! `POST /api/auth/logout/`

use presently_accounts::AccountStatus;
use presently_testkit::http::{Shown, TICK, TestServer, text};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn a_logout_makes_the_user_offline_now() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for path in ["/api/auth/logout/", "/api/users/logout/"] {
        let alice = if path.contains("auth") { server.visitor("alice").await } else { server.login("alice").await };
        server.advance(secs(9)).await;
        let told = alice.post(path).await.ok();
        assert!(!text(&told["message"]).is_empty());
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &server.now()));
    }
}

#[tokio::test]
async fn its_tokens_die_at_once() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    alice.logout().await;
    alice.is_shut_out().await;
    alice.post("/api/auth/logout/").await.problem(401, "token_not_valid");
    for token in [&alice.access, &alice.refresh] {
        server.post("/api/auth/verify/").json(json!({"token": token})).await.problem(401, "token_not_valid");
    }
}

#[tokio::test]
async fn the_tokens_of_the_session_before_a_refresh_die_with_it() {
    let server = TestServer::start().await;
    let first = server.visitor("alice").await;
    let pair = server.post("/api/auth/refresh/").json(json!({"refresh": first.refresh})).await.ok();
    let second = server.bearing(first.id, "alice", text(&pair["access"]));
    second.logout().await;
    first.is_shut_out().await;
    second.is_shut_out().await;
}

#[tokio::test]
async fn the_other_login_survives() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    let login = server.now();
    server.advance(secs(5)).await;
    phone.logout().await;
    assert_eq!(server.shown(&admin, phone.id).await.status, "online");
    laptop.get("/api/auth/profile/").await.ok();
    let pair = server.post("/api/auth/refresh/").json(json!({"refresh": laptop.refresh})).await.ok();
    assert!(pair["access"].is_string());
    assert!(server.now() > login);
    laptop.logout().await;
    assert_eq!(server.shown(&admin, phone.id).await, Shown::at("offline", &server.now()));
}

#[tokio::test]
async fn tabs_of_the_login_go_with_it() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for tab in ["tab-1", "tab-2", "ünï \u{1F600}"] {
        alice.beat_with(json!({"session": tab})).await;
    }
    alice.logout().await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &server.now()));
}

#[tokio::test]
async fn tabs_of_another_login_stay_even_with_the_same_name() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    phone.beat_with(json!({"session": "tab"})).await;
    laptop.beat_with(json!({"session": "tab"})).await;
    phone.logout().await;
    assert_eq!(server.shown(&admin, phone.id).await.status, "online");
    laptop.logout().await;
    assert_eq!(server.shown(&admin, phone.id).await.status, "offline");
}

#[tokio::test]
async fn the_refresh_token_in_the_body_may_be_its_own() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    alice.post("/api/auth/logout/").json(json!({"refresh_token": alice.refresh})).await.ok();
    alice.is_shut_out().await;
}

#[tokio::test]
async fn the_refresh_token_of_another_user_in_the_body_ends_nothing_of_theirs() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    alice.post("/api/auth/logout/").json(json!({"refresh_token": bob.refresh})).await;
    bob.beat().await;
    server.post("/api/auth/refresh/").json(json!({"refresh": bob.refresh})).await.ok();
}

#[tokio::test]
async fn a_stale_refresh_token_in_the_body_does_not_keep_anybody_in() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for stale in ["garbage", "", "a.b.c"] {
        let name = format!("user{}", stale.len());
        let alice = server.visitor(&name).await;
        alice.post("/api/auth/logout/").json(json!({"refresh_token": stale})).await.ok();
        alice.is_shut_out().await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    }
}

#[tokio::test]
async fn a_logout_of_somebody_whose_presence_expired_ends_their_tokens() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(600)).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    alice.logout().await;
    alice.is_shut_out().await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn without_a_token_nobody_logs_out() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.post("/api/auth/logout/").await.problem(401, "not_authenticated");
    let body = json!({"refresh_token": alice.refresh});
    server.post("/api/auth/logout/").json(body).await.problem(401, "not_authenticated");
    server.post("/api/auth/logout/").bearer(&alice.refresh).await.problem(401, "token_not_valid");
    alice.beat().await;
}

#[tokio::test]
async fn a_token_made_elsewhere_is_revoked_by_its_logout() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let one = server.foreign(id, "alice");
    let two = server.foreign(id, "alice");
    one.beat().await;
    two.beat().await;
    one.logout().await;
    one.is_shut_out().await;
    assert_eq!(server.shown(&admin, id).await.status, "online", "the other token is a session of its own");
    two.beat().await;
    server.advance(TICK).await;
    two.logout().await;
    two.is_shut_out().await;
    assert_eq!(server.shown(&admin, id).await, Shown::at("offline", &server.now()));
}

#[tokio::test]
async fn tabs_of_a_token_made_elsewhere_go_with_it() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let token = server.foreign(id, "alice");
    token.beat_with(json!({"session": "tab-1"})).await;
    token.beat_with(json!({"session": "tab-2", "activity": "idle"})).await;
    token.logout().await;
    assert_eq!(server.shown(&admin, id).await, Shown::at("offline", &server.now()));
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_after_a_restart() {
    let mut server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(alice.id, "alice");
    foreign.beat().await;
    foreign.logout().await;
    alice.logout().await;
    server.restart().await;
    foreign.is_shut_out().await;
    alice.is_shut_out().await;
}

#[tokio::test]
async fn who_may_not_be_present_may_still_log_out() {
    let server = TestServer::start().await;
    for (name, status) in [("s", AccountStatus::Suspended), ("b", AccountStatus::Banned), ("p", AccountStatus::Pending)]
    {
        let id = server.account_in(name, status).await;
        server.advance(secs(2)).await;
        let token = server.foreign(id, name);
        token.get("/api/auth/profile/").await.problem(403, "account_not_active");
        token.logout().await;
        token.is_shut_out().await;
    }
}

#[tokio::test]
async fn a_logout_in_one_breath_with_another_login_leaves_one_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let old = server.visitor("alice").await;
    for _ in 0..5 {
        let (_, new) = tokio::join!(old.post("/api/auth/logout/"), server.login("alice"));
        assert_eq!(server.shown(&admin, old.id).await.status, "online");
        new.beat().await;
        new.logout().await;
        assert_eq!(server.shown(&admin, old.id).await.status, "offline");
    }
}
