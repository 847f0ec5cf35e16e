//! What a key opens, and all that it does not.

use presently_testkit::http::TestServer;
use presently_testkit::secs;
use reqwest::Method;
use serde_json::json;

use crate::helpers::{Application, KEYS, TOUCH, heard, sessions};

/// Every call that needs a user or an admin.
const OF_USERS: &[(&str, &str)] = &[
    ("POST", "/api/auth/logout/"),
    ("POST", "/api/users/logout/"),
    ("POST", "/api/auth/logout-all/"),
    ("GET", "/api/auth/profile/"),
    ("GET", "/api/users/profile"),
    ("POST", "/api/users/heartbeat/"),
    ("POST", "/api/users/heartbeat"),
    ("GET", "/api/users/heartbeat/"),
    ("GET", "/api/users/all-users/"),
    ("GET", "/api/users/admin/users/"),
    ("POST", "/api/users/admin/users/"),
    ("GET", "/api/users/admin/users/online/"),
    ("GET", "/api/users/admin/users/1/"),
    ("PATCH", "/api/users/admin/users/1/"),
    ("DELETE", "/api/users/admin/users/1/"),
    ("GET", "/api/users/admin/users/1/online-status/"),
    ("POST", "/api/users/admin/users/1/set-online-status/"),
    ("POST", "/api/users/admin/users/1/force-logout/"),
    ("POST", "/api/users/admin/users/1/suspend/"),
    ("GET", "/api/users/admin/users/1/sessions/"),
    ("GET", KEYS),
    ("POST", KEYS),
    ("DELETE", "/api/users/admin/api-keys/1/"),
];

#[tokio::test]
async fn a_key_opens_nothing_that_needs_a_user() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    for (method, path) in OF_USERS {
        let method: Method = method.parse().unwrap();
        application.call(&server, method.clone(), path).await.problem(403, "permission_denied");
        server.call(method.clone(), path).header("x-api-key", &application.key).await.problem(403, "permission_denied");
        // A browser's way to the heartbeat goes through the router.
        let foreign = application.call(&server, method, path).header("origin", "http://a.example");
        foreign.await.problem(403, "permission_denied");
    }
}

#[tokio::test]
async fn a_bad_key_is_refused_everywhere_alike() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let paths = OF_USERS.iter().map(|(method, path)| (*method, *path)).chain([("POST", TOUCH)]);
    let (head, _) = application.key.split_at(40);
    for (method, path) in paths {
        let method: Method = method.parse().unwrap();
        for key in [format!("{}x", application.key), format!("{head}{}", "A".repeat(13)), "presently_".to_owned()] {
            server.call(method.clone(), path).bearer(&key).await.problem(401, "token_not_valid");
            server.call(method.clone(), path).header("x-api-key", &key).await.problem(401, "token_not_valid");
        }
        for odd in [&b"\xff\xfe"[..], b""] {
            server.call(method.clone(), path).header_bytes("x-api-key", odd).await.problem(401, "token_not_valid");
        }
    }
}

#[tokio::test]
async fn a_token_is_no_key_and_a_key_no_token() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let application = Application::of(&server, "billing").await;
    server.get("/api/auth/profile/").header("x-api-key", &alice.access).await.problem(401, "token_not_valid");
    server.post("/api/auth/verify/").json(json!({"token": application.key})).await.problem(401, "token_not_valid");
    let refresh = server.post("/api/auth/refresh/").json(json!({"refresh": application.key}));
    refresh.await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn what_is_open_to_anyone_is_open_to_a_key_good_or_bad() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let application = Application::of(&server, "billing").await;
    for key in [&*application.key, "presently_nonsense"] {
        server.get("/healthz").bearer(key).await.ok();
        let login = json!({"username": "alice", "password": presently_testkit::PASSWORD});
        server.post("/api/auth/login/").bearer(key).header("x-api-key", key).json(login).await.ok();
    }
    application.call(&server, Method::GET, "/nowhere").await.problem(404, "not_found");
}

#[tokio::test]
async fn touch_takes_no_token_of_a_user() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let body = json!({"users": [heard("x")]});
    for visitor in [&admin, &alice] {
        visitor.post(TOUCH).json(body.clone()).await.problem(403, "permission_denied");
        visitor.post("/api/presence/touch/").raw("nonsense").await.problem(403, "permission_denied");
        visitor.call(Method::GET, TOUCH).await.is(405);
    }
    server.post(TOUCH).json(body).await.problem(401, "not_authenticated");
    server.get(TOUCH).await.problem(401, "not_authenticated");
    assert!(sessions(&server, "x").is_empty());
}

#[tokio::test]
async fn a_request_of_an_application_is_nobodys_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let before = server.app().presently().counts();
    server.advance(secs(10)).await;
    for path in ["/healthz", "/nowhere", "/api/auth/profile/", "/api/users/heartbeat/"] {
        application.call(&server, Method::GET, path).await;
    }
    application.touch(&server, vec![]).await;
    assert_eq!(server.app().presently().counts(), before);
    let told = admin.own().await.last_seen;
    assert_ne!(told, Some(server.now()), "not of the admin who made the key either");
}

#[tokio::test]
async fn the_document_says_how_applications_authenticate() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.ok();
    let ways = &document["paths"]["/api/presence/touch"]["post"]["security"];
    assert_eq!(ways, &json!([{"api_key": []}, {"api_key_bearer": []}]));
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["api_key"], json!({"type": "apiKey", "in": "header", "name": "X-API-Key"}));
    assert_eq!(schemes["api_key_bearer"]["scheme"], "bearer");
    let sent = &document["components"]["schemas"]["Touched"];
    assert_eq!(sent["required"], json!(["user_id"]), "{sent}");
    assert!(server.get("/api/docs").await.text.contains("API key"));
}
