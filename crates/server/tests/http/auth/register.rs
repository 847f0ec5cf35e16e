//! `POST /api/auth/register/`

use presently_server::Registration;
use presently_testkit::http::{OneNode, Shown, TestServer, find, keys, text};
use presently_testkit::{PASSWORD, secs};
use serde_json::json;

#[tokio::test]
async fn it_is_closed_unless_opened() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for path in ["/api/auth/register/", "/api/users/register/"] {
        let body = json!({"username": "alice", "email": "alice@example.org", "password": PASSWORD});
        server.post(path).json(body).await.problem(403, "registration_closed");
    }
    server.try_login("alice", PASSWORD).await.problem(401, "invalid_credentials");
    let all = admin.get("/api/users/admin/users/?search=alice").await.ok();
    assert_eq!(all["count"], 0);
}

#[tokio::test]
async fn it_answers_as_a_login_does_and_the_user_is_offline_until_the_first_request() {
    let server = open().await;
    let admin = server.admin().await;
    for (path, name) in [("/api/auth/register/", "alice"), ("/api/users/register/", "bob")] {
        let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
        let answer = server.post(path).json(body).await.is(201);
        assert_eq!(keys(&answer), ["tokens", "user"]);
        assert_eq!(keys(&answer["tokens"]), ["access", "refresh"]);
        let user = &answer["user"];
        assert_eq!(user["username"], name);
        assert_eq!(user["email"], format!("{name}@example.org"));
        assert_eq!(user["role"], "user");
        assert_eq!(user["status"], "active");
        assert_eq!(Shown::of(user), Shown::never("offline"));
        assert_eq!(user["is_online"], false);
        let id = user["id"].as_i64().unwrap();
        assert_eq!(server.shown(&admin, id).await, Shown::never("offline"));
        let fresh = server.bearing(id, name, text(&answer["tokens"]["access"]));
        fresh.get("/api/auth/profile/").await.ok();
        assert_eq!(server.shown(&admin, id).await, Shown::at("online", &server.now()));
        server.login(name).await;
    }
}

#[tokio::test]
async fn the_email_is_optional() {
    let server = open().await;
    let body = json!({"username": "alice", "password": PASSWORD});
    let answer = server.post("/api/auth/register/").json(body).await.is(201);
    assert_eq!(answer["user"]["email"], "");
}

#[tokio::test]
async fn nobody_registers_as_more_than_a_user() {
    let server = open().await;
    let body = json!({
        "username": "mallory", "password": PASSWORD, "role": "admin", "is_staff": true, "is_superuser": true, "id": 1,
        "status": "active", "is_approved": true, "email_verified": true,
    });
    let answer = server.post("/api/auth/register/").json(body).await.is(201);
    assert_eq!(answer["user"]["role"], "user");
    assert_eq!(answer["user"]["is_staff"], false);
    assert_eq!(answer["user"]["email_verified"], false);
    let access = text(&answer["tokens"]["access"]);
    server.get("/api/users/admin/users/").bearer(&access).await.problem(403, "permission_denied");
}

#[tokio::test]
async fn a_taken_name_is_a_400_that_names_the_field() {
    let server = open().await;
    server.account("alice").await;
    for name in ["alice", "Alice", "ALICE"] {
        let body = json!({"username": name, "password": PASSWORD});
        server.post("/api/auth/register/").json(body).await.names_field("username");
    }
}

#[tokio::test]
async fn a_taken_address_is_a_400_that_names_the_field() {
    let server = open().await;
    server.account("alice").await;
    for email in ["alice@example.org", "ALICE@Example.ORG"] {
        let body = json!({"username": "bob", "email": email, "password": PASSWORD});
        let told = server.post("/api/auth/register/").json(body).await.names_field("email");
        assert_eq!(told["detail"], told["errors"]["email"][0]);
    }
    for name in ["bob", "carol"] {
        let body = json!({"username": name, "email": "", "password": PASSWORD});
        server.post("/api/auth/register/").json(body).await.is(201);
    }
}

#[tokio::test]
async fn bad_fields_are_named() {
    let server = open().await;
    let post = |body| server.post("/api/auth/register/").json(body);
    post(json!({"password": PASSWORD})).await.names_field("username");
    post(json!({"username": "", "password": PASSWORD})).await.names_field("username");
    post(json!({"username": "a".repeat(300), "password": PASSWORD})).await.names_field("username");
    post(json!({"username": "alice"})).await.names_field("password");
    post(json!({"username": "alice", "password": ""})).await.names_field("password");
    post(json!({"username": "alice", "password": "short"})).await.names_field("password");
    post(json!({"username": "alice", "password": PASSWORD, "email": "no address"})).await.names_field("email");
    let both = post(json!({})).await.is(400);
    assert!(both["errors"]["username"].is_array() && both["errors"]["password"].is_array(), "{both}");
}

#[tokio::test]
async fn of_many_who_register_one_name_at_once_one_gets_it() {
    let server = open().await;
    let admin = server.admin().await;
    let tries: Vec<_> = (0..10)
        .map(|n| {
            let name = if n % 2 == 0 { "alice" } else { "ALICE" };
            let call = server.post("/api/auth/register/").json(json!({"username": name, "password": PASSWORD}));
            tokio::spawn(async move { call.await })
        })
        .collect();
    let mut made = Vec::new();
    for attempt in tries {
        let answer = attempt.await.unwrap();
        match answer.status {
            201 => made.push(answer.json()["user"]["id"].as_i64().unwrap()),
            503 => {}
            _ => drop(answer.names_field("username")),
        }
    }
    assert_eq!(made.len(), 1);
    let all = admin.get("/api/users/all-users/").await.ok();
    assert!(find(&all["users"], made[0]).is_some());
    assert_eq!(all["count"], 2);
}

#[tokio::test]
async fn twenty_accounts_of_one_address_in_five_minutes_are_enough() {
    let server = open().await;
    server.speak_to(OneNode::CountsFailedLogins);
    let register =
        |name: String| server.post("/api/auth/register/").json(json!({"username": name, "password": PASSWORD}));
    for _ in 0..25 {
        register(String::new()).await.names_field("username");
    }
    for n in 0..20 {
        register(format!("pupil{n}x")).await.is(201);
    }
    let refused = register("one-too-many".to_owned()).await;
    assert_eq!(refused.header("retry-after"), Some("300"));
    refused.problem(429, "too_many_registrations");
    server.advance(secs(300)).await;
    register("later".to_owned()).await.is(201);
}

#[tokio::test]
async fn common_passwords_and_the_email_are_refused() {
    let server = open().await;
    for password in ["password1", "12345678", "QwertyUiop", "new@example.org"] {
        let body = json!({"username": "new", "email": "new@example.org", "password": password});
        server.post("/api/auth/register/").json(body).await.names_field("password");
    }
}

async fn open() -> TestServer {
    TestServer::start_with(|settings| settings.registration = Registration::Open).await
}
