//! `GET /api/users/admin/users/online/`

use presently_testkit::http::{TICK, TestServer, find, keys, text, usernames};
use presently_testkit::secs;
use serde_json::{Value, json};

const PATH: &str = "/api/users/admin/users/online/";

#[tokio::test]
async fn who_is_online_is_there_newest_first() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for name in ["anna", "zoe", "mia"] {
        server.advance(secs(1)).await;
        server.visitor(name).await;
    }
    server.account("off").await;
    server.visitor("gone").await.logout().await;
    server.advance(secs(1)).await;
    server.login("anna").await;
    server.visitor("idle").await.beat_with(json!({"activity": "idle"})).await;
    server.advance(TICK).await;
    let told = admin.get(PATH).await.ok();
    assert_eq!(usernames(&told["online_users"]), ["boss", "anna", "mia", "zoe"]);
    assert_eq!(told["count"], 4);
    assert_eq!(told["next_cursor"], json!(null));
    assert_eq!(told["online_users"][0]["last_seen"], server.now());
}

#[tokio::test]
async fn each_has_its_seven_keys() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let told = admin.get(PATH).await.ok();
    let user = find(&told["online_users"], alice.id).unwrap();
    assert_eq!(keys(&user), ["email", "id", "last_seen", "online_status", "role", "status", "username"]);
    assert_eq!(
        user,
        json!({
            "id": alice.id, "username": "alice", "email": "alice@example.org", "online_status": "online",
            "last_seen": server.now(), "role": "user", "status": "active",
        })
    );
}

#[tokio::test]
async fn it_is_open_to_everybody_without_addresses() {
    let server = TestServer::start().await;
    server.admin().await;
    let alice = server.visitor("alice").await;
    let told = alice.get(PATH).await.ok();
    assert_eq!(told["count"], 2);
    for user in told["online_users"].as_array().unwrap() {
        assert_eq!(user["email"], "");
    }
}

#[tokio::test]
async fn it_is_empty_but_for_the_watcher_when_all_have_gone() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.visitor("alice").await;
    server.advance(secs(120)).await;
    let told = admin.get(PATH).await.ok();
    assert_eq!(usernames(&told["online_users"]), ["boss"]);
}

#[tokio::test]
async fn a_limit_and_a_cursor_lead_through_everybody_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for n in 0..10 {
        if n % 3 == 0 {
            server.advance(secs(1)).await;
        }
        server.visitor(&format!("user-{n}")).await;
        server.visitor(&format!("idle-{n}")).await.beat_with(json!({"activity": "idle"})).await;
    }
    let whole = admin.get(PATH).await.ok();
    for limit in [1, 3, 4, 11, 1_000] {
        let mut seen: Vec<Value> = Vec::new();
        let mut path = format!("{PATH}?limit={limit}");
        loop {
            let page = admin.get(&path).await.ok();
            let users = page["online_users"].as_array().unwrap();
            assert!(users.len() <= limit);
            seen.extend(users.iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else {
                assert!(page["next_cursor"].is_null());
                break;
            };
            assert_eq!(users.len(), limit, "only the last page is short");
            path = format!("{PATH}?limit={limit}&cursor={cursor}");
            assert!(seen.len() <= 11);
        }
        assert_eq!(seen, *whole["online_users"].as_array().unwrap(), "by {limit}");
    }
}

#[tokio::test]
async fn a_cursor_survives_that_people_come_and_go() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let mut visitors = Vec::new();
    for n in 0..6 {
        server.advance(secs(1)).await;
        visitors.push(server.visitor(&format!("user-{n}")).await);
    }
    server.advance(secs(1)).await;
    let first = admin.get(&format!("{PATH}?limit=3")).await.ok();
    assert_eq!(usernames(&first["online_users"]), ["boss", "user-5", "user-4"]);
    visitors[4].logout().await;
    server.visitor("late").await;
    let cursor = text(&first["next_cursor"]);
    let second = admin.get(&format!("{PATH}?limit=3&cursor={cursor}")).await.ok();
    assert_eq!(usernames(&second["online_users"]), ["user-3", "user-2", "user-1"]);
}

#[tokio::test]
async fn a_bad_limit_or_cursor_is_a_400() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for bad in
        ["limit=0", "limit=-1", "limit=1001", "limit=abc", "limit=1.5", "limit=99999999999999999999", "limit=%00"]
    {
        let answer = admin.get(&format!("{PATH}?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
    }
    for bad in ["garbage", "%00", "%F0%9F%98%80", "-1", "1", &"a".repeat(4_000)] {
        let answer = admin.get(&format!("{PATH}?limit=5&cursor={bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
    }
}

#[tokio::test]
async fn it_follows_every_change_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let listed = async || {
        let told = admin.get(PATH).await.ok();
        assert_eq!(told["count"], told["online_users"].as_array().unwrap().len());
        find(&told["online_users"], alice.id).is_some()
    };
    assert!(listed().await);
    alice.beat_with(json!({"activity": "idle"})).await;
    assert!(!listed().await);
    alice.beat().await;
    assert!(listed().await);
    admin.set(alice.id, json!({"status": "offline", "expires_in": 60})).await.ok();
    assert!(!listed().await);
    admin.set(alice.id, json!({"status": null})).await.ok();
    assert!(listed().await);
    admin.act(alice.id, "suspend").await;
    assert!(!listed().await);
}
