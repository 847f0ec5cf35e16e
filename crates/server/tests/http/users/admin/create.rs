//! `POST /api/users/admin/users/`

use presently_testkit::PASSWORD;
use presently_testkit::http::{Answer, Shown, TestServer, Visitor};
use serde_json::json;

#[tokio::test]
async fn it_makes_an_account_that_can_sign_in() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let draft = json!({
        "username": "alice", "email": "alice@example.org", "password": PASSWORD, "first_name": "Ada", "last_name": "Byron",
        "role": "moderator",
    });
    let user = create(&admin, draft).await.is(201);
    assert_eq!(user["username"], "alice");
    assert_eq!(user["email"], "alice@example.org");
    assert_eq!(user["full_name"], "Ada Byron");
    assert_eq!(user["role"], "moderator");
    assert_eq!(user["status"], "active");
    assert_eq!(Shown::of(&user), Shown::never("offline"));
    assert!(user.get("password").is_none());
    let alice = server.login("alice").await;
    assert_eq!(json!(alice.id), user["id"]);
}

#[tokio::test]
async fn a_name_and_a_password_are_enough() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let user = create(&admin, json!({"username": "alice", "password": PASSWORD})).await.is(201);
    assert_eq!(user["email"], "");
    assert_eq!(user["role"], "user");
    assert_eq!(user["is_staff"], false);
}

#[tokio::test]
async fn an_admin_can_make_an_admin() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    create(&admin, json!({"username": "second", "password": PASSWORD, "role": "admin"})).await.is(201);
    server.login("second").await.get("/api/users/admin/users/").await.ok();
}

#[tokio::test]
async fn bad_fields_are_named_and_nothing_is_made() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("taken").await;
    let cases = [
        (json!({"password": PASSWORD}), "username"),
        (json!({"username": "", "password": PASSWORD}), "username"),
        (json!({"username": "  ", "password": PASSWORD}), "username"),
        (json!({"username": "taken", "password": PASSWORD}), "username"),
        (json!({"username": "TAKEN", "password": PASSWORD}), "username"),
        (json!({"username": "a".repeat(1_000), "password": PASSWORD}), "username"),
        (json!({"username": "new"}), "password"),
        (json!({"username": "new", "password": ""}), "password"),
        (json!({"username": "new", "password": PASSWORD, "email": "no address"}), "email"),
        (json!({"username": "new", "password": PASSWORD, "email": "TAKEN@example.org"}), "email"),
        (json!({"username": "new", "password": PASSWORD, "role": "god"}), "role"),
    ];
    for (draft, field) in cases {
        create(&admin, draft).await.names_field(field);
    }
    let all = create(&admin, json!({})).await.is(400);
    assert!(all["errors"]["username"].is_array() && all["errors"]["password"].is_array(), "{all}");
    create(&admin, json!({"username": "", "password": PASSWORD, "email": "x", "role": "god"})).await.is(400);
    assert_eq!(admin.get("/api/users/admin/users/").await.ok()["count"], 2);
}

#[tokio::test]
async fn a_name_is_taken_in_any_case_of_any_alphabet() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for (name, other) in [("Änne", "äNNE"), ("ОЛЬГА", "ольга"), ("ŻANETA", "żaneta")] {
        create(&admin, json!({"username": name, "password": PASSWORD})).await.is(201);
        create(&admin, json!({"username": other, "password": PASSWORD})).await.names_field("username");
        server.try_login(name, PASSWORD).await.ok();
    }
}

#[tokio::test]
async fn no_body_is_a_400() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    admin.post("/api/users/admin/users/").await.is(400);
}

async fn create(admin: &Visitor, draft: serde_json::Value) -> Answer {
    admin.post("/api/users/admin/users/").json(draft).await
}
