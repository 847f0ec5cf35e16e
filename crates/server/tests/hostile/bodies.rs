//! What is sent and never ends.

use std::time::Duration;

use presently_testkit::ms;
use presently_testkit::process::Place;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::raw::{Raw, from, get, post, post_head, resident_bytes};
use crate::websocket::Socket;

const MIB: u64 = 1 << 20;

/// The body of a login that has exactly this length.
fn login_of(length: usize) -> String {
    let empty = json!({"username": "", "password": ""}).to_string().len();
    json!({"username": "a".repeat(length - empty), "password": ""}).to_string()
}

#[tokio::test]
async fn calls_about_accounts_take_sixteen_kib() {
    let server = Place::new().serve(&[]).await;
    for path in
        ["/api/auth/login/", "/api/users/register", "/api/auth/refresh/", "/api/users/verify/", "/admin/session"]
    {
        // The announcement is enough.
        let mut announced = Raw::connect(from(2), server.address()).await;
        announced.ask(post_head(path, "", 16_385)).await.expect("an answer").problem(413, "body_too_large");
        let mut chunked = Raw::connect(from(2), server.address()).await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        chunked.send(format!("{head}3000\r\n{}\r\n1001\r\n{}\r\n", "a".repeat(0x3000), "a".repeat(0x1001))).await;
        chunked.answer().await.expect("an answer").problem(413, "body_too_large");
    }
    let body = login_of(16_384);
    assert_eq!(body.len(), 16_384);
    let answer = Raw::connect(from(2), server.address()).await.ask(post("/api/auth/login/", "", &body)).await;
    assert_eq!(answer.expect("an answer").status, 400);
}

#[tokio::test]
async fn two_hundred_unfinished_logins_cost_little_and_end() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    assert_eq!(Raw::connect(from(1), server.address()).await.ask(get("/healthz")).await.unwrap().status, 200);
    let before = resident_bytes(&server);
    let began = Instant::now();
    let mut unfinished = Vec::new();
    for _ in 0..200 {
        let mut one = Raw::connect(from(2), server.address()).await;
        one.send(post_head("/api/auth/login/", "", 16_384) + &"a".repeat(16_000)).await;
        unfinished.push(one);
    }
    sleep(ms(500)).await;
    let cost = resident_bytes(&server).saturating_sub(before);
    assert!(cost < 24 * MIB, "{} KiB", cost / 1024);
    for one in &mut unfinished {
        one.answer().await.expect("an answer").problem(408, "request_timeout");
    }
    assert!((ms(9_000)..ms(15_000)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn all_unfinished_bodies_together_have_a_limit() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let server = place.serve(&[]).await;
    let (_, token) = server.login("alice").await;
    let part = "a".repeat(1_000_000);
    let mut unfinished = Vec::new();
    for _ in 0..67 {
        let mut one = Raw::connect(from(2), server.address()).await;
        one.send(post_head("/api/presence/query", &token, 1 << 20) + &part).await;
        unfinished.push(one);
    }
    sleep(ms(500)).await;
    let mut one_more = Raw::connect(from(2), server.address()).await;
    one_more.send(post_head("/api/presence/query", &token, 1 << 20) + &part[..200_000]).await;
    one_more.answer().await.expect("an answer").problem(503, "too_many_bodies");
    // What needs no body goes on, and what was held is free when they end.
    let beat = post("/api/users/heartbeat/", &token, "");
    assert_eq!(Raw::connect(from(3), server.address()).await.ask(&beat).await.unwrap().status, 200);
    drop(unfinished);
    presently_testkit::eventually(Duration::from_secs(5), "there is room again", async || {
        let query = post("/api/presence/query", &token, &json!({"users": ["1"]}).to_string());
        Raw::connect(from(3), server.address()).await.ask(query).await.is_some_and(|answer| answer.status == 200)
    })
    .await;
}

#[tokio::test]
async fn sockets_with_half_a_message_cost_little() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    assert_eq!(Raw::connect(from(1), server.address()).await.ask(get("/healthz")).await.unwrap().status, 200);
    let before = resident_bytes(&server);
    let part = "a".repeat(8_000);
    let mut sockets = Vec::new();
    for number in 0..200 {
        let mut socket = Socket::open(from(2), server.address()).await;
        socket.begin(if number % 2 == 0 { 8_192 } else { 500_000 }, &part).await;
        sockets.push(socket);
    }
    sleep(ms(500)).await;
    let cost = resident_bytes(&server).saturating_sub(before);
    assert!(cost < 16 * MIB, "{} KiB", cost / 1024);
}

#[tokio::test]
async fn a_message_before_ready_has_eight_kib() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let server = place.serve(&[]).await;
    let (_, token) = server.login("alice").await;
    let padded = |length: usize| {
        let bare = json!({"type": "auth", "token": token, "more": ""}).to_string().len();
        json!({"type": "auth", "token": token, "more": "x".repeat(length - bare)}).to_string()
    };
    let mut fits = Socket::open(from(2), server.address()).await;
    fits.say(&padded(8_192)).await;
    assert!(fits.hear().await.expect("an answer").contains("\"ready\""));
    fits.say(&json!({"type": "ping", "more": "x".repeat(60_000)}).to_string()).await;
    assert!(fits.hear().await.expect("an answer").contains("\"pong\""));
    for length in [8_193, 9_000, 60_000] {
        let mut too_large = Socket::open(from(2), server.address()).await;
        too_large.say(&padded(length)).await;
        assert_eq!(too_large.closed().await, Some(1009), "{length}");
    }
    // Parts with signs of life between them are one message.
    let mut parts = Socket::open(from(2), server.address()).await;
    for number in 0..10_u8 {
        let head = [if number == 0 { 0x01 } else { 0x00 }, 0x80 | 126, 0x04, 0x00, 0, 0, 0, 0];
        parts.raw.send([&head[..], &[b'a'; 0x400], &[0x89, 0x80, 0, 0, 0, 0]].concat()).await;
    }
    assert_eq!(parts.closed().await, Some(1009));
}
