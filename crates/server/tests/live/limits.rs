//! Limits, each with an answer.

use presently_testkit::http::{OneNode, TestServer};
use presently_testkit::secs;
use serde_json::json;

use crate::line::{Socket, Stream, pass, until};

#[tokio::test]
async fn ten_thousand_and_one_users_change_nothing() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.account("bob").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    socket.watch(&[bob]).await;
    let users: Vec<_> = (1_000_000..1_010_000).map(|n| n.to_string()).collect();
    socket.say(json!({"type": "watch", "users": users}));
    socket.error("too_many_users").await;
    socket.say(json!({"type": "watch", "users": users[1..]}));
    let snapshot = socket.frame().await;
    assert_eq!(snapshot["presences"].as_array().unwrap().len(), 9_999);
    server.login("bob").await;
    assert_eq!(socket.diff().await[0]["user_id"], bob.to_string());
}

#[tokio::test]
async fn a_talker_is_stopped() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    for _ in 0..101 {
        socket.say(json!({"type": "ping"}));
    }
    for _ in 0..100 {
        assert_eq!(socket.frame().await, json!({"type": "pong"}));
    }
    socket.error("too_many_messages").await;
    socket.is_closed(4008).await;
}

#[tokio::test]
async fn a_socket_that_changes_its_activity_too_often_hears_that_and_stays() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    // The login and the socket were two changes.
    for turn in 0..98 {
        socket.say(json!({"type": "activity", "activity": if turn % 2 == 0 { "idle" } else { "active" }}));
    }
    socket.say(json!({"type": "activity", "activity": "idle"}));
    socket.error("too_many_changes").await;
    socket.say(json!({"type": "ping"}));
    assert_eq!(socket.frame().await, json!({"type": "pong"}));
    let authorization = format!("Bearer {}", alice.access);
    let mut another = Socket::connect(server.address(), "", Some(&authorization)).await.unwrap();
    another.error("too_many_changes").await;
    another.is_closed(4010).await;
    pass(&server, secs(1)).await;
    socket.say(json!({"type": "activity", "activity": "idle"}));
    socket.say(json!({"type": "ping"}));
    assert_eq!(socket.frame().await, json!({"type": "pong"}));
}

#[tokio::test]
async fn a_steady_talker_is_not() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    for _ in 0..10 {
        for _ in 0..20 {
            socket.say(json!({"type": "ping"}));
            assert_eq!(socket.frame().await, json!({"type": "pong"}));
        }
        pass(&server, secs(1)).await;
    }
}

#[tokio::test]
async fn a_message_may_have_half_a_mebibyte() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    socket.say_text(&format!(r#"{{"type":"ping","more":"{}"}}"#, "x".repeat(500_000)));
    assert_eq!(socket.frame().await, json!({"type": "pong"}));
    socket.say_text(&"x".repeat(524_289));
    socket.is_closed(1009).await;
}

#[tokio::test]
async fn a_binary_frame_ends_the_socket_before_and_after_the_token() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    socket.say_bytes(br#"{"type":"ping"}"#);
    socket.is_closed(1003).await;
    let mut stranger = Socket::bare(server.address()).await;
    stranger.say_bytes(b"\0");
    stranger.is_closed(1003).await;
}

#[tokio::test]
async fn a_user_may_have_so_many_streams_and_sockets() {
    let server = TestServer::start_with(|settings| settings.streams_per_user_max = 3).await;
    server.speak_to(OneNode::LimitsItsConnections);
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    let mut stream = Stream::open(server.address(), &alice, "?users=1").await;
    stream.snapshot().await;
    let socket = Socket::open(server.address(), &alice).await;
    let _second = Socket::open(server.address(), &alice).await;
    alice.get("/api/presence/events?users=1").await.problem(429, "too_many_connections");
    let refused = Socket::connect(server.address(), "", Some(&format!("Bearer {}", alice.access))).await.err();
    assert_eq!(refused, Some(429));
    let mut late = Socket::bare(server.address()).await;
    late.say(json!({"type": "auth", "token": alice.access}));
    late.error("too_many_connections").await;
    late.is_closed(4007).await;
    Socket::open(server.address(), &bob).await.close().await;
    socket.close().await;
    let authorization = format!("Bearer {}", alice.access);
    until("there is room again", async || Socket::connect(server.address(), "", Some(&authorization)).await.is_ok())
        .await;
}

#[tokio::test]
async fn the_server_keeps_room_for_requests() {
    let server = TestServer::start_with(|settings| settings.connections_max = Some(20)).await;
    server.speak_to(OneNode::LimitsItsConnections);
    let alice = server.visitor("alice").await;
    let mut sockets = Vec::new();
    for _ in 0..18 {
        sockets.push(Socket::open(server.address(), &alice).await);
    }
    let answer = alice.get("/api/presence/events?users=1").await;
    answer.problem(503, "too_many_connections");
    alice.beat().await;
}

#[tokio::test]
async fn a_reader_who_takes_nothing_holds_nobody_up() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let stalled = Socket::open(server.address(), &admin).await;
    stalled.say(json!({"type": "watch", "users": [alice.id.to_string()]}));
    stalled.stall();
    let mut reader = Socket::open(server.address(), &admin).await;
    reader.watch(&[alice.id]).await;
    for round in 0..300 {
        if round % 90 == 89 {
            // A user changes no more than ten times a second in the long run.
            pass(&server, secs(9)).await;
        }
        let activity = if round % 2 == 0 { "idle" } else { "active" };
        alice.beat_with(json!({"activity": activity})).await;
        let expected = if round % 2 == 0 { "away" } else { "online" };
        assert_eq!(reader.diff().await[0]["status"], expected);
    }
}
