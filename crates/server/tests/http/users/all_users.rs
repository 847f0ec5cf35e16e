//! `GET /api/users/all-users/`

use presently_testkit::http::{Shown, TestServer, assert_time, find, keys};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn everybody_is_there_for_anybody_who_is_signed_in() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.account("bob").await;
    let told = alice.get("/api/users/all-users/").await.ok();
    assert_eq!(keys(&told), ["count", "users"]);
    assert_eq!(told["count"], told["users"].as_array().unwrap().len());
    let user = find(&told["users"], alice.id).unwrap();
    let expected = [
        "created_at",
        "email",
        "first_name",
        "id",
        "is_active",
        "last_name",
        "last_seen",
        "online_status",
        "role",
        "status",
        "username",
    ];
    assert_eq!(keys(&user), expected);
    assert_eq!(user["username"], "alice");
    assert_eq!(user["first_name"], "Ada");
    assert_eq!(user["role"], "user");
    assert_eq!(user["status"], "active");
    assert_eq!(user["is_active"], true);
    assert_time(&user["created_at"]);
    assert_eq!(Shown::of(&user), Shown::at("online", &server.now()));
    assert_eq!(Shown::of(&find(&told["users"], bob).unwrap()), Shown::never("offline"));
}

#[tokio::test]
async fn addresses_are_for_admins() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let told = alice.get("/api/users/all-users/").await.ok();
    for user in told["users"].as_array().unwrap() {
        assert_eq!(user["email"], "", "not even one's own");
    }
    let told = admin.get("/api/users/all-users/").await.ok();
    assert_eq!(find(&told["users"], alice.id).unwrap()["email"], "alice@example.org");
}

#[tokio::test]
async fn it_is_live() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let status = async || {
        let told = admin.get("/api/users/all-users/").await.ok();
        Shown::of(&find(&told["users"], alice.id).unwrap())
    };
    server.advance(secs(40)).await;
    alice.beat_with(json!({"activity": "idle"})).await;
    assert_eq!(status().await, Shown::at("away", &server.now()));
    alice.logout().await;
    assert_eq!(status().await, Shown::at("offline", &server.now()));
}

#[tokio::test]
async fn more_than_a_page_of_them_is_still_everybody() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for n in 0..25 {
        server.account(&format!("user-{n}")).await;
    }
    let told = admin.get("/api/users/all-users/").await.ok();
    assert_eq!(told["count"], 26);
    assert_eq!(told["users"].as_array().unwrap().len(), 26);
}
