//! `/api/auth/profile/`

use presently_testkit::http::{Shown, TestServer};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn it_is_the_callers_user() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    for path in ["/api/auth/profile/", "/api/users/profile/"] {
        assert_eq!(alice.get(path).await.ok(), alice.user);
        assert_eq!(bob.get(path).await.ok(), bob.user);
    }
}

#[tokio::test]
async fn it_tells_of_its_own_evidence() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(500)).await;
    let user = alice.get("/api/auth/profile/").await.ok();
    assert_eq!(Shown::of(&user), Shown::at("online", &server.now()));
    assert_eq!(user["is_online"], true);
}

#[tokio::test]
async fn it_keeps_the_away_of_who_is_away() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"activity": "idle"})).await;
    server.advance(secs(5)).await;
    let user = alice.get("/api/auth/profile/").await.ok();
    assert_eq!(Shown::of(&user), Shown::at("away", &server.now()));
}

#[tokio::test]
async fn it_shows_what_an_admin_changed() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let patch = json!({"first_name": "Alice", "last_name": "", "email": "new@example.org", "role": "moderator"});
    admin.patch(&format!("/api/users/admin/users/{}/", alice.id)).json(patch).await.ok();
    let user = alice.get("/api/auth/profile/").await.ok();
    assert_eq!(user["first_name"], "Alice");
    assert_eq!(user["full_name"], "Alice");
    assert_eq!(user["email"], "new@example.org");
    assert_eq!(user["role"], "moderator");
}

#[tokio::test]
async fn its_owner_changes_what_is_theirs_and_nothing_else() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(5)).await;
    let change = json!({
        "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com", "bio": "Two\nlines", "avatar":
        "https://example.org/ada.png", "role": "admin", "is_staff": true, "username": "root", "status": "banned", "id": 1,
        "email_verified": true, "password": "another password entirely",
    });
    for (turn, call) in [alice.put("/api/auth/profile/"), alice.patch("/api/users/profile/")].into_iter().enumerate() {
        let mut change = change.clone();
        change["bio"] = json!(format!("turn {turn}"));
        let user = call.json(change).await.ok();
        assert_eq!(user["full_name"], "Ada Lovelace");
        assert_eq!(user["email"], "ada@example.com");
        assert_eq!(user["bio"], format!("turn {turn}"));
        assert_eq!(user["avatar"], "https://example.org/ada.png");
        assert_eq!(user["updated_at"], server.now());
        for (field, stays) in [("role", json!("user")), ("is_staff", json!(false)), ("username", json!("alice"))] {
            assert_eq!(user[field], stays);
        }
        assert_eq!(user["email_verified"], false);
        assert_eq!(alice.get("/api/auth/profile/").await.ok(), user);
    }
    for call in [alice.put("/api/auth/profile/"), alice.patch("/api/auth/profile/")] {
        let user = call.json(json!({"avatar": null})).await.ok();
        assert_eq!((&user["avatar"], &user["first_name"]), (&json!(null), &json!("Ada")), "what is absent stays");
    }
    alice.put("/api/auth/profile/").await.ok();
    server.login("alice").await;
}

#[tokio::test]
async fn what_may_not_stand_there_is_named_and_changes_nothing() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.account("bob").await;
    let long = |length: usize| json!("x".repeat(length));
    for (field, value) in [
        ("first_name", long(151)),
        ("last_name", json!("a\u{0}b")),
        ("last_name", json!(5)),
        ("email", json!("no address")),
        ("email", json!("BOB@example.org")),
        ("email", json!(["a@b.cd"])),
        ("bio", long(1_001)),
        ("bio", json!({})),
        ("avatar", json!("javascript:alert(1)")),
        ("avatar", json!("ftp://example.org/a.png")),
        ("avatar", json!(format!("https://example.org/{}", "x".repeat(500)))),
        ("avatar", json!(true)),
        ("avatar", json!("")),
    ] {
        let body = alice.patch("/api/auth/profile/").json(json!({"first_name": "X", field: value})).await;
        let body = if field == "first_name" { body.is(400) } else { body.names_field(field) };
        if body["errors"].as_object().is_some_and(|errors| errors.len() == 1) {
            assert!(body["errors"].as_object().unwrap().values().any(|of| of[0] == body["detail"]), "{body}");
        }
    }
    let user = alice.get("/api/auth/profile/").await.ok();
    assert_eq!((&user["first_name"], &user["email"]), (&alice.user["first_name"], &alice.user["email"]));
}
