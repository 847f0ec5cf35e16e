//! Who holds connections, and whom that keeps out.

use std::net::IpAddr;
use std::time::Duration;

use presently_testkit::process::{Place, Server};
use presently_testkit::{PASSWORD, eventually, free_port, ms};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::raw::{Raw, figure, from, get, post};
use crate::websocket::Socket;

/// An answer that takes longer than this is none.
const SOON: Duration = Duration::from_secs(5);

async fn silent(from: IpAddr, server: &Server, count: usize) -> Vec<Raw> {
    let mut opened = Vec::new();
    for _ in 0..count {
        opened.push(Raw::connect(from, server.address()).await);
    }
    opened
}

fn open(connections: &[Raw]) -> usize {
    connections.iter().filter(|connection| !connection.is_closed()).count()
}

/// Waits until the server has closed all but `count` of them.
async fn are_left(connections: &[Raw], count: usize) {
    eventually(SOON, "connections are closed", async || open(connections) <= count).await;
    sleep(ms(200)).await;
    assert_eq!(open(connections), count);
}

/// Asserts that the health, and a login, are answered to this address.
async fn is_served(address: IpAddr, server: &Server) {
    let began = Instant::now();
    let answer = Raw::connect(address, server.address()).await.ask(get("/healthz")).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let login = post("/api/auth/login/", "", &json!({"username": "alice", "password": PASSWORD}).to_string());
    let answer = Raw::connect(address, server.address()).await.ask(login).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn silence_locks_nobody_out() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let server = place.serve(&["--connections-max", "100"]).await;
    let flood = silent(from(2), &server, 200).await;
    is_served(from(3), &server).await;
    // Not even who comes from the same address.
    is_served(from(2), &server).await;
    assert!(open(&flood) <= 16, "{}", open(&flood));
}

#[tokio::test]
async fn silence_from_everywhere_locks_nobody_out() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let server = place.serve(&["--connections-max", "100"]).await;
    let mut flood = Vec::new();
    for last in 10..20 {
        flood.extend(silent(from(last), &server, 16).await);
    }
    is_served(from(3), &server).await;
    assert!(open(&flood) <= 100, "{}", open(&flood));
}

#[tokio::test]
async fn an_address_holds_a_tenth_at_most() {
    let server = Place::new().serve(&["--connections-max", "400"]).await;
    let (mut first, second) = (silent(from(2), &server, 100).await, silent(from(3), &server, 39).await);
    are_left(&first, 40).await;
    are_left(&second, 39).await;
    let newest = first.last_mut().unwrap();
    assert_eq!(newest.ask(get("/healthz")).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_is_excepted() {
    let server = Place::new().serve(&["--connections-max", "200", "--trusted-proxies", "127.0.0.2"]).await;
    let proxy = silent(from(2), &server, 100).await;
    let others = silent(from(3), &server, 100).await;
    are_left(&others, 20).await;
    assert_eq!(open(&proxy), 100);
}

#[tokio::test]
async fn who_has_signed_in_makes_no_room() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let server = place.serve(&["--connections-max", "100"]).await;
    let (_, token) = server.login("alice").await;
    let beat = post("/api/users/heartbeat/", &token, "");
    let profile = format!("GET /api/auth/profile/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut known = silent(from(2), &server, 2).await;
    assert_eq!(known[0].ask(&beat).await.expect("an answer").status, 200);
    assert_eq!(known[1].ask(&profile).await.expect("an answer").status, 200);
    // A wrong token is no credential.
    let mut unknown = Raw::connect(from(2), server.address()).await;
    let wrong = post("/api/users/heartbeat/", "wrong", "");
    assert_eq!(unknown.ask(wrong).await.expect("an answer").status, 401);
    let flood = silent(from(2), &server, 100).await;
    are_left(&flood, 16).await;
    assert!(unknown.is_closed());
    assert_eq!(known[0].ask(&beat).await.expect("an answer").status, 200);
    assert_eq!(known[1].ask(&profile).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn where_there_is_no_seat_it_is_said_at_once() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let operations = format!("127.0.0.1:{}", free_port());
    let server = place.serve(&["--connections-max", "20", "--operations-listen", &operations]).await;
    let (_, token) = server.login("alice").await;
    let beat = post("/api/users/heartbeat/", &token, "");
    let mut seats = Vec::new();
    while seats.len() < 20 {
        let mut seat = Raw::connect(from(2), server.address()).await;
        // Our own client's connections leave as others come.
        let answer = seat.ask(&beat).await.expect("an answer");
        match answer.status {
            200 => seats.push(seat),
            503 => break,
            _ => panic!("{answer:?}"),
        }
    }
    assert!(seats.len() >= 18, "{}", seats.len());
    let began = Instant::now();
    let refused = Raw::connect(from(3), server.address()).await.ask(get("/healthz")).await.expect("an answer");
    refused.problem(503, "too_many_connections");
    assert!(refused.header("x-request-id").is_some(), "{refused:?}");
    assert!(began.elapsed() < SOON);
    assert_eq!(Raw::connect(from(1), &operations).await.ask(get("/healthz")).await.unwrap().status, 200);
    assert!(figure(&operations, r#"presently_connections_refused_total{reason="full"}"#).await >= 1.0);
    seats.truncate(10);
    eventually(SOON, "there are seats again", async || {
        let mut newcomer = Raw::connect(from(3), server.address()).await;
        newcomer.ask(get("/healthz")).await.is_some_and(|answer| answer.status == 200)
    })
    .await;
}

#[tokio::test]
async fn a_connection_has_ten_seconds_for_its_first_request() {
    let server = Place::new().serve(&[]).await;
    let began = Instant::now();
    let mut kept = Raw::connect(from(2), server.address()).await;
    assert_eq!(kept.ask(get("/healthz")).await.expect("an answer").status, 200);
    let mut silent = Raw::connect(from(2), server.address()).await;
    let mut slow = Raw::connect(from(2), server.address()).await;
    let slowly = async {
        for byte in get(&format!("/{}", "a".repeat(200))).bytes() {
            slow.send([byte]).await;
            sleep(ms(100)).await;
            if began.elapsed() > ms(10_500) {
                break;
            }
        }
        slow.answer().await.expect("an answer").problem(408, "request_timeout");
        assert!(slow.closes(SOON).await);
    };
    let silently = async {
        assert!(silent.closes(ms(15_000)).await);
        assert!((ms(9_500)..ms(13_000)).contains(&began.elapsed()), "{:?}", began.elapsed());
    };
    tokio::join!(slowly, silently);
    assert!((ms(9_500)..ms(14_000)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(kept.ask(get("/healthz")).await.expect("an answer").status, 200);
    let name = r#"presently_connections_refused_total{reason="slow_head"}"#;
    assert!(figure(server.address(), name).await >= 2.0);
}

#[tokio::test]
async fn sockets_without_a_token_hold_a_hundredth_of_the_seats() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let server = place.serve(&["--connections-max", "1000"]).await;
    let (_, token) = server.login("alice").await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(Socket::open(from(2), server.address()).await);
    }
    // One from elsewhere takes the place of the one that waited longest, and has all the time it needs.
    let mut alices = Socket::open(from(3), server.address()).await;
    for _ in 0..40 {
        flood.push(Socket::open(from(2), server.address()).await);
    }
    assert_eq!(flood[0].closed().await, Some(4007));
    alices.say(&json!({"type": "auth", "token": token}).to_string()).await;
    assert!(alices.hear().await.expect("an answer").contains("\"ready\""));
    let mut left = 0;
    for socket in &mut flood {
        left += usize::from(socket.is_open().await);
    }
    assert!((1..=10).contains(&left), "{left}");
}
