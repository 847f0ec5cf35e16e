//! What is evidence of life.

use presently_testkit::http::{Shown, TICK, TIMEOUT, TestServer, Visitor};
use presently_testkit::secs;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn any_authenticated_request_is_whatever_its_path_and_its_answer() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let own = format!("/api/users/admin/users/{}", alice.id);
    let status = format!("{own}/online-status/");
    let requests = [
        (Method::GET, "/api/auth/profile/", 200),
        (Method::GET, "/api/users/profile", 200),
        (Method::GET, "/api/users/all-users/", 200),
        (Method::GET, "/api/users/admin/users/online/", 200),
        (Method::GET, "/api/users/admin/users/online/?limit=x", 400),
        (Method::GET, &*status, 200),
        (Method::GET, "/api/users/admin/users/999999/online-status/", 404),
        (Method::GET, "/api/users/admin/users/", 403),
        (Method::DELETE, &*own, 403),
        (Method::GET, "/api/no/such/path/", 404),
        (Method::GET, "/no-such-path", 404),
        (Method::POST, "/api/no/such/path/", 404),
        (Method::GET, "/api/auth/../nothing", 404),
        (Method::DELETE, "/api/auth/profile/", 405),
        (Method::PUT, "/api/users/heartbeat/", 405),
        (Method::PATCH, "/api/users/all-users", 405),
    ];
    for (method, path, status) in requests {
        server.advance(secs(70)).await;
        let answer = alice.call(method.clone(), path).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        let shown = Shown::at("online", &server.now());
        assert_eq!(server.shown(&admin, alice.id).await, shown, "{method} {path} renews");
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"], "she was never seen to leave");
}

#[tokio::test]
async fn each_of_them_brings_an_offline_user_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let requests = [
        (Method::GET, "/api/auth/profile/"),
        (Method::GET, "/api/users/all-users/"),
        (Method::GET, "/api/users/admin/users/"),
        (Method::GET, "/api/no/such/path/"),
        (Method::DELETE, "/api/auth/profile/"),
        (Method::POST, "/api/users/heartbeat/"),
    ];
    for (method, path) in requests {
        server.advance(TIMEOUT).await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
        alice.call(method.clone(), path).await;
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()), "{method} {path}");
    }
}

#[tokio::test]
async fn requests_to_the_paths_of_operations_are_evidence_too() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for path in ["/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs"] {
        server.advance(secs(70)).await;
        alice.get(path).await;
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()), "{path}");
    }
}

#[tokio::test]
async fn a_heartbeat_read_refresh_and_verify_are_the_only_ones_that_are_none() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(60)).await;
    let pair = json!({"refresh": alice.refresh});
    alice.get("/api/users/heartbeat/").await.ok();
    alice.post("/api/auth/refresh/").json(pair).await.ok();
    alice.post("/api/auth/verify/").json(json!({"token": alice.access})).await.ok();
    alice.post("/api/users/verify/").json(json!({"token": "x"})).await.is(401);
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(secs(60)).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

#[tokio::test]
async fn a_request_without_good_credentials_is_none() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(60)).await;
    server.get("/api/auth/profile/").bearer(&format!("{}x", alice.access)).await.is(401);
    server.get("/api/auth/profile/").bearer(&alice.refresh).await.is(401);
    server.get("/api/no/such/path/").bearer(&alice.refresh).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
}

#[tokio::test]
async fn a_watcher_that_polls_is_online_and_the_watched_is_not() {
    let server = TestServer::start().await;
    let watcher = server.visitor("watcher").await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    for _ in 0..30 {
        server.advance(secs(30)).await;
        watcher.get(&format!("/api/users/admin/users/{}/online-status/", alice.id)).await.ok();
    }
    assert_eq!(server.shown(&watcher, alice.id).await, Shown::at("offline", &login));
    assert_eq!(server.shown(&watcher, watcher.id).await, Shown::at("online", &server.now()));
    assert_eq!(server.history(watcher.id).await, ["offline->online"]);
}

#[tokio::test]
async fn it_renews_the_session_of_its_login_only() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    laptop.beat_with(json!({"activity": "idle"})).await;
    // The phone is silent, the laptop polls: what the laptop says holds alone once the phone's time is over.
    server.advance(secs(60)).await;
    laptop.get("/api/auth/profile/").await.ok();
    server.advance(secs(60) - TICK).await;
    assert_eq!(server.shown(&admin, phone.id).await.status, "online");
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, phone.id).await.status, "away");
}

#[tokio::test]
async fn the_acts_of_an_admin_count_for_the_admin() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(500)).await;
    every_look(&admin, &alice).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    assert_eq!(server.shown(&alice, admin.id).await, Shown::at("online", &server.now()));
}

async fn every_look(admin: &Visitor, at: &Visitor) {
    let about = format!("/api/users/admin/users/{}", at.id);
    for path in ["", "/online-status", "/sessions"] {
        admin.get(&format!("{about}{path}/")).await.ok();
    }
    admin.patch(&format!("{about}/")).json(json!({"first_name": "X"})).await.ok();
    admin.act(at.id, "activate").await;
}
