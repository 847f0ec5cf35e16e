//! The one shape of errors.

use presently_testkit::PASSWORD;
use presently_testkit::http::TestServer;
use serde_json::json;

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    let server = TestServer::start().await;
    let body = server.get("/no/such/path").await.problem(404, "not_found");
    assert_eq!(body["status"], 404);
}

#[tokio::test]
async fn every_code_of_the_contract_comes_in_the_one_shape() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let own = format!("/api/users/admin/users/{}", admin.id);
    server.try_login("", "").await.is(400);
    server.try_login("alice", "wrong").await.problem(401, "invalid_credentials");
    server.get("/api/auth/profile/").await.problem(401, "not_authenticated");
    server.get("/api/auth/profile/").bearer("x").await.problem(401, "token_not_valid");
    alice.get("/api/users/admin/users/").await.problem(403, "permission_denied");
    admin.get("/api/users/admin/users/?page=99").await.problem(404, "invalid_page");
    admin.get("/api/users/admin/users/99999/").await.problem(404, "user_not_found");
    admin.post(&format!("{own}/suspend/")).await.is(409);
    admin.set(alice.id, json!({"status": "busy"})).await.problem(400, "invalid_status");
    let register = json!({"username": "bob", "password": PASSWORD});
    server.post("/api/auth/register/").json(register).await.problem(403, "registration_closed");
}

#[tokio::test]
async fn malformed_json_is_a_400_in_the_one_shape() {
    let server = TestServer::start().await;
    let broken: [&[u8]; 14] = [
        b"{",
        b"}",
        b"{\"username\":",
        b"{'username':'a'}",
        b"{\"username\":\"a\",}",
        b"username=a&password=b",
        b"{\"username\":\"a\"} trailing",
        b"\xff\xfe",
        b"{\"username\":\"\xff\"}",
        b"{\"username\":\"\\ud800\"}",
        b"{\"username\":\"\\x00\"}",
        b"\xef\xbb\xbf{\"username\":\"a\"",
        b"nul",
        b"{\"username\": NaN}",
    ];
    for body in broken {
        for content_type in [Some("application/json"), None] {
            let mut call = server.post("/api/auth/login/").raw(body);
            if let Some(content_type) = content_type {
                call = call.header("content-type", content_type);
            }
            let answer = call.await;
            assert_eq!(answer.status, 400, "{:?} -> {}", String::from_utf8_lossy(body), answer.text);
        }
    }
}

#[tokio::test]
async fn json_that_is_no_object_is_a_400() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for body in ["[]", "5", "\"text\"", "true", "[{\"username\":\"a\"}]"] {
        server.post("/api/auth/login/").raw(body).await.is(400);
        server.post("/api/auth/refresh/").raw(body).await.is(400);
        server.post("/api/auth/verify/").raw(body).await.is(400);
        alice.post("/api/users/heartbeat/").raw(body).await.is(400);
    }
}

#[tokio::test]
async fn deep_nesting_is_a_400() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [200, 20_000] {
            let middle = if open == "[" { "" } else { "1" };
            let nested = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            for body in [nested.clone(), format!("{{\"username\":\"alice\",\"password\":{nested}}}")] {
                let answer = server.post("/api/auth/login/").json_text(&body).await;
                assert!(matches!(answer.status, 400 | 413), "{depth} of {open}: {}", answer.text);
            }
            let answer = alice.post("/api/users/heartbeat/").json_text(&format!("{{\"session\":{nested}}}")).await;
            assert!(matches!(answer.status, 400 | 413), "{depth} of {open}: {}", answer.text);
            // In a field that nobody reads it is refused or ignored; either way the server lives.
            let answer = alice.post("/api/users/heartbeat/").json_text(&format!("{{\"other\":{nested}}}")).await;
            assert!(matches!(answer.status, 200 | 400 | 413), "{depth} of {open}: {}", answer.text);
        }
    }
    alice.beat().await;
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let extra = json!({"username": "alice", "password": PASSWORD, "remember": true, "device": {"os": [1, 2]}});
    let access = server.post("/api/auth/login/").json(extra).await.ok()["tokens"]["access"].clone();
    let beat = json!({"activity": "active", "page": "/home", "n": 1e300});
    server.post("/api/users/heartbeat/").bearer(access.as_str().unwrap()).json(beat).await.ok();
    admin.set(id, json!({"status": "away", "why": null})).await.ok();
    let user = format!("/api/users/admin/users/{id}/");
    let patch = json!({"first_name": "Alice", "id": 4, "username_": 4, "password_hash": "x"});
    let user = admin.patch(&user).json(patch).await.ok();
    assert_eq!(user["id"], id);
    assert_eq!(user["first_name"], "Alice");
}

#[tokio::test]
async fn wrong_types_are_400s_that_name_the_field() {
    let server = TestServer::start_with(|settings| settings.registration = presently_server::Registration::Open).await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let user = format!("/api/users/admin/users/{id}");
    let set = format!("{user}/set-online-status/");
    let logout = format!("{user}/force-logout/");
    let suspend = format!("{user}/suspend/");
    let user = format!("{user}/");
    let cases = [
        ("POST", "/api/auth/login/", json!({"username": 5, "password": PASSWORD}), "username"),
        ("POST", "/api/auth/login/", json!({"username": "alice", "password": ["x"]}), "password"),
        ("POST", "/api/users/login/", json!({"username": {"$ne": ""}, "password": "x"}), "username"),
        ("POST", "/api/auth/refresh/", json!({"refresh": 5}), "refresh"),
        ("POST", "/api/auth/verify/", json!({"token": {}}), "token"),
        ("POST", "/api/auth/register/", json!({"username": 1, "password": PASSWORD}), "username"),
        ("POST", "/api/auth/register/", json!({"username": "new", "password": true}), "password"),
        ("POST", "/api/auth/register/", json!({"username": "new", "password": PASSWORD, "email": 5}), "email"),
        ("POST", "/api/auth/logout/", json!({"refresh_token": 5}), "refresh_token"),
        ("POST", "/api/users/heartbeat/", json!({"activity": 5}), "activity"),
        ("POST", "/api/users/heartbeat/", json!({"activity": "asleep"}), "activity"),
        ("POST", "/api/users/heartbeat/", json!({"session": 7}), "session"),
        ("POST", "/api/users/heartbeat/", json!({"session": {}}), "session"),
        ("POST", "/api/users/heartbeat/", json!({"session": "s".repeat(5_000)}), "session"),
        ("POST", "/api/users/admin/users/", json!({"username": 5, "password": PASSWORD}), "username"),
        ("POST", "/api/users/admin/users/", json!({"username": "new", "password": 5}), "password"),
        ("POST", "/api/users/admin/users/", json!({"username": "new", "password": PASSWORD, "role": 5}), "role"),
        ("POST", "/api/users/admin/users/", json!({"username": "new", "password": PASSWORD, "role": "god"}), "role"),
        ("POST", "/api/users/admin/users/", json!({"username": "new", "password": PASSWORD, "email": []}), "email"),
        ("PATCH", &user, json!({"first_name": 5}), "first_name"),
        ("PATCH", &user, json!({"last_name": {}}), "last_name"),
        ("PATCH", &user, json!({"email": []}), "email"),
        ("PATCH", &user, json!({"role": 5}), "role"),
        ("PATCH", &user, json!({"role": "god"}), "role"),
        ("PATCH", &user, json!({"is_staff": "yes"}), "is_staff"),
        ("PATCH", &user, json!({"is_active": 1}), "is_active"),
        ("POST", &set, json!({"status": 5}), "status"),
        ("POST", &set, json!({"status": ["online"]}), "status"),
        ("POST", &set, json!({"status": "away", "expires_in": "soon"}), "expires_in"),
        ("POST", &set, json!({"status": "away", "expires_in": true}), "expires_in"),
        ("POST", &set, json!({"status": "away", "expires_in": -5}), "expires_in"),
        ("POST", &set, json!({"status": "away", "expires_in": 0}), "expires_in"),
        ("POST", &logout, json!({"reason": 5}), "reason"),
        ("POST", &suspend, json!({"reason": ["because"]}), "reason"),
    ];
    for (method, path, body, field) in cases {
        let answer = admin.call(method.parse().unwrap(), path).json(body).await;
        answer.names_field(field);
    }
    let user = admin.get(&user).await.ok();
    assert_eq!(user["status"], "active", "nothing was done");
    assert_eq!(user["role"], "user");
    assert_eq!(user["online_status"], "offline");
}
