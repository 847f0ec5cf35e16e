//! The frames of a WebSocket.

use presently_testkit::http::TestServer;
use presently_testkit::secs;
use serde_json::json;

use crate::line::{Socket, pass};

#[tokio::test]
async fn ready_snapshot_diff_and_pong_are_as_documented() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.account("bob").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    assert_eq!(socket.ready["user_id"], alice.id.to_string());
    assert_eq!(socket.ready["heartbeat_interval_ms"], 30_000);
    assert!(socket.ready["session"].as_str().unwrap().contains("/ws-"));

    let snapshot = socket.watch(&[bob, alice.id]).await;
    assert_eq!(snapshot["epoch"].as_str().unwrap().len(), 16);
    assert_eq!(snapshot["presences"][0]["status"], "offline");
    assert_eq!(snapshot["presences"][1]["status"], "online");
    let bob = server.login("bob").await;
    let diff = socket.frame().await;
    assert_eq!(diff["type"], "diff");
    assert!(diff["seq"].as_u64().unwrap() > snapshot["seq"].as_u64().unwrap());
    assert_eq!(diff["presences"][0]["user_id"], bob.id.to_string());
    assert_eq!(diff["presences"][0]["status"], "online");

    socket.say(json!({"type": "ping"}));
    assert_eq!(socket.frame().await, json!({"type": "pong"}));
    socket.say(json!({"type": "unwatch", "users": [bob.id.to_string()]}));
    socket.say(json!({"type": "ping"}));
    assert_eq!(socket.frame().await, json!({"type": "pong"}));
    bob.logout().await;
    socket.is_silent().await;
}

#[tokio::test]
async fn the_first_frame_says_who_it_is() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut socket = Socket::bare(server.address()).await;
    socket.say(json!({"type": "watch", "users": ["1"]}));
    socket.error("not_authenticated").await;
    socket.say(json!({"type": "auth", "token": alice.access}));
    let ready = socket.frame().await;
    assert_eq!((&ready["type"], &ready["user_id"]), (&json!("ready"), &json!(alice.id.to_string())));
    socket.watch(&[1]).await;
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_closed_after_ten_seconds() {
    let server = TestServer::start().await;
    let mut socket = Socket::bare(server.address()).await;
    // The answer to this tells that the server waits.
    socket.say(json!({"type": "ping"}));
    socket.error("not_authenticated").await;
    pass(&server, secs(9)).await;
    socket.is_silent().await;
    pass(&server, secs(1)).await;
    socket.is_closed(4001).await;
}

#[tokio::test]
async fn a_bad_token_is_refused() {
    let server = TestServer::start().await;
    let mut socket = Socket::bare(server.address()).await;
    socket.say(json!({"type": "auth", "token": "garbage"}));
    socket.error("token_not_valid").await;
    socket.is_closed(4101).await;
    assert_eq!(Socket::connect(server.address(), "", Some("Bearer garbage")).await.err(), Some(401));
    assert_eq!(Socket::connect(server.address(), "?ticket=garbage", None).await.err(), Some(401));
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_so() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.get("/api/presence/ws").await.problem(401, "not_authenticated");
    let answer = alice.get("/api/presence/ws").await;
    answer.problem(426, "upgrade_required");
    alice.post("/api/presence/ws").await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn nonsense_is_answered_and_changes_nothing() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.account("bob").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    socket.watch(&[bob]).await;
    for (text, code) in [
        ("nonsense", "invalid_json"),
        ("[]", "invalid_json"),
        ("{}", "invalid_field"),
        (r#"{"type":"dance"}"#, "unknown_type"),
        (r#"{"type":"watch","users":"1"}"#, "invalid_field"),
        (r#"{"type":"watch","users":[""]}"#, "invalid_field"),
        (r#"{"type":"watch"}"#, "permission_denied"),
        (r#"{"type":"activity","activity":"asleep"}"#, "invalid_field"),
    ] {
        socket.say_text(text);
        socket.error(code).await;
    }
    server.login("bob").await;
    assert_eq!(socket.diff().await[0]["status"], "online");
}

#[tokio::test]
async fn an_admin_may_watch_everybody() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let mut socket = Socket::open(server.address(), &admin).await;
    socket.say(json!({"type": "watch"}));
    assert_eq!(socket.frame().await["presences"].as_array().unwrap().len(), 1);
    server.visitor("alice").await;
    assert_eq!(socket.diff().await[0]["status"], "online");
}

#[tokio::test]
async fn a_newer_token_of_the_same_login_goes_on() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let other = server.visitor("bob").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    let refreshed = server.post("/api/auth/refresh/").json(json!({"refresh": alice.refresh})).await.ok();
    socket.say(json!({"type": "auth", "token": refreshed["access"]}));
    assert_eq!(socket.frame().await, socket.ready);
    socket.say(json!({"type": "auth", "token": other.access}));
    socket.error("another_login").await;
}
