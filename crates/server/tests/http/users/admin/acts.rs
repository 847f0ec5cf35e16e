//! `POST /api/users/admin/users/{id}/{force-logout,suspend,ban,activate,approve}/`

use presently_accounts::AccountStatus;
use presently_testkit::http::{Shown, TestServer, text};
use presently_testkit::{PASSWORD, secs};
use serde_json::json;

#[tokio::test]
async fn a_forced_logout_ends_everything_and_the_user_may_come_back() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    let foreign = server.foreign(phone.id, "alice");
    foreign.beat().await;
    laptop.beat_with(json!({"session": "tab"})).await;
    let seen = server.now();
    server.advance(secs(5)).await;
    let told = admin.act(phone.id, "force-logout").await;
    assert!(!text(&told["message"]).is_empty());
    assert_eq!(server.shown(&admin, phone.id).await, Shown::at("offline", &seen));
    for gone in [&phone, &laptop, &foreign] {
        gone.is_shut_out().await;
    }
    assert_eq!(server.shown(&admin, phone.id).await, Shown::at("offline", &seen));
    let user = admin.get(&format!("/api/users/admin/users/{}/", phone.id)).await.ok();
    assert_eq!(user["status"], "active");
    let back = server.login("alice").await;
    back.beat().await;
    assert_eq!(server.shown(&admin, phone.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn a_suspended_or_banned_user_is_gone_at_once_and_cannot_come_back() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for (act, state, code) in [("suspend", "suspended", "account_suspended"), ("ban", "banned", "account_banned")] {
        let alice = server.visitor(act).await;
        let tab = server.login(act).await;
        let seen = server.now();
        server.advance(secs(5)).await;
        let told = admin.post(&about(alice.id, act)).json(json!({"reason": "spam"})).await.ok();
        assert!(!text(&told["message"]).is_empty());
        let user = admin.get(&format!("/api/users/admin/users/{}/", alice.id)).await.ok();
        assert_eq!(user["status"], state);
        assert_eq!(user["display_status"], state);
        assert_eq!(user["is_active"], true);
        alice.is_shut_out().await;
        tab.is_shut_out().await;
        server.try_login(act, PASSWORD).await.problem(403, code);
        server.advance(secs(2)).await;
        let foreign = server.foreign(alice.id, act);
        foreign.post("/api/users/heartbeat/").await.problem(403, "account_not_active");
        foreign.get("/api/auth/profile/").await.problem(403, "account_not_active");
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &seen));
    }
}

#[tokio::test]
async fn an_activated_user_starts_offline_and_comes_with_the_next_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for act in ["suspend", "ban"] {
        let alice = server.visitor(act).await;
        let seen = server.now();
        admin.act(alice.id, act).await;
        let told = admin.act(alice.id, "activate").await;
        assert!(!text(&told["message"]).is_empty());
        let user = admin.get(&format!("/api/users/admin/users/{}/", alice.id)).await.ok();
        assert_eq!(user["status"], "active");
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &seen));
        alice.is_shut_out().await;
        server.login(act).await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    }
}

#[tokio::test]
async fn an_approved_user_may_sign_in() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account_in("alice", AccountStatus::Pending).await;
    let told = admin.act(id, "approve").await;
    assert!(!text(&told["message"]).is_empty());
    let user = admin.get(&format!("/api/users/admin/users/{id}/")).await.ok();
    assert_eq!(user["status"], "active");
    assert_eq!(user["is_approved"], true);
    assert_eq!(server.shown(&admin, id).await, Shown::never("offline"));
    server.login("alice").await.beat().await;
}

#[tokio::test]
async fn nobody_suspended_or_banned_is_approved() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for (act, state) in [("suspend", "suspended"), ("ban", "banned")] {
        let alice = server.visitor(act).await;
        admin.act(alice.id, act).await;
        let before = admin.get(&format!("/api/users/admin/users/{}/", alice.id)).await.ok();
        admin.post(&about(alice.id, "approve")).await.problem(409, "not_pending");
        let after = admin.get(&format!("/api/users/admin/users/{}/", alice.id)).await.ok();
        assert_eq!(after, before);
        assert_eq!(after["status"], state);
        server.advance(secs(2)).await;
        server.foreign(alice.id, act).post("/api/users/heartbeat/").await.problem(403, "account_not_active");
    }
    let audit = admin.get("/api/users/admin/audit/").await.ok();
    assert!(!audit.to_string().contains("approve"), "what was refused is no act: {audit}");
}

#[tokio::test]
async fn doing_it_twice_is_no_error() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    for act in ["force-logout", "suspend", "ban", "activate", "approve"] {
        admin.act(id, act).await;
        admin.act(id, act).await;
    }
}

#[tokio::test]
async fn approving_or_activating_who_is_present_leaves_them_present() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for act in ["activate", "approve"] {
        admin.act(alice.id, act).await;
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
        alice.beat().await;
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
}

#[tokio::test]
async fn nobody_suspends_or_bans_themselves() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for act in ["suspend", "ban"] {
        admin.post(&about(admin.id, act)).await.is(409);
        server.foreign(admin.id, "boss").post(&about(admin.id, act)).await.is(409);
    }
    let user = admin.get("/api/auth/profile/").await.ok();
    assert_eq!(user["status"], "active");
    assert_eq!(user["online_status"], "online");
}

#[tokio::test]
async fn a_forced_logout_of_oneself_is_one() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    admin.act(admin.id, "force-logout").await;
    admin.is_shut_out().await;
    server.login("boss").await.beat().await;
}

#[tokio::test]
async fn it_is_evidence_of_the_admin_and_not_of_the_user() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(500)).await;
    admin.act(alice.id, "approve").await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    assert_eq!(server.shown(&admin, admin.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn states_survive_a_restart() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let suspended = server.visitor("suspended").await;
    let banned = server.visitor("banned").await;
    let out = server.visitor("out").await;
    let seen = server.now();
    admin.act(suspended.id, "suspend").await;
    admin.act(banned.id, "ban").await;
    admin.act(out.id, "force-logout").await;
    server.restart_after(secs(5)).await;
    for user in [&suspended, &banned, &out] {
        user.is_shut_out().await;
        assert_eq!(server.shown(&admin, user.id).await, Shown::at("offline", &seen));
    }
    server.try_login("suspended", PASSWORD).await.problem(403, "account_suspended");
    let foreign = server.foreign(suspended.id, "suspended");
    foreign.post("/api/users/heartbeat/").await.problem(403, "account_not_active");
    assert_eq!(server.shown(&admin, suspended.id).await, Shown::at("offline", &seen));
    server.login("out").await;
}

fn about(id: i64, act: &str) -> String {
    format!("/api/users/admin/users/{id}/{act}/")
}
