//! Who asks for much and reads nothing.

use std::net::SocketAddr;
use std::time::Duration;

use presently_testkit::process::Place;
use presently_testkit::{eventually, ms};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::sleep;

use crate::raw::{Raw, figure, from, get, post, resident_bytes};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn unread_answers_hold_little_are_few_and_are_cut_off() {
    let place = Place::new();
    place.user("alice", &[]).await;
    place.user("bob", &[]).await;
    let server = place.serve(&[]).await;
    let (_, alice) = server.login("alice").await;
    let (_, bob) = server.login("bob").await;
    let users: Vec<_> = (0..10_000).map(|n| format!("{n:0>100}")).collect();
    let query = |token: &str| post("/api/presence/query", token, &json!({"users": users}).to_string());
    // One that is read: two megabytes and more.
    let read = Raw::connect(from(2), server.address()).await.ask(query(&alice)).await.expect("an answer");
    assert!(read.status == 200 && read.body.len() > 2_000_000, "{}", read.body.len());
    let before = resident_bytes(&server);
    let mut unread = Vec::new();
    for _ in 0..12 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(SocketAddr::new(from(2), 0)).unwrap();
        let stream = socket.connect(server.address().parse().unwrap()).await.unwrap();
        let mut one = Raw::over(stream);
        one.send(query(&alice)).await;
        unread.push(one);
    }
    sleep(ms(1_000)).await;
    let cost = resident_bytes(&server).saturating_sub(before);
    assert!(cost < 48 * MIB, "{} KiB", cost / 1024);
    // Nobody else waits for that.
    assert_eq!(Raw::connect(from(2), server.address()).await.ask(query(&bob)).await.expect("an answer").status, 200);
    assert_eq!(
        Raw::connect(from(2), server.address()).await.ask(get("/healthz")).await.expect("an answer").status,
        200
    );
    sleep(ms(5_000)).await;
    let mut refused = 0;
    for one in &mut unread {
        let mut status = [0; 12];
        one.stream.peek(&mut status).await.unwrap();
        refused += usize::from(status.ends_with(b"429"));
    }
    assert_eq!(refused, 8);
    let cut = r#"presently_connections_refused_total{reason="slow_reader"}"#;
    eventually(Duration::from_secs(60), "the readers are cut off", async || figure(server.address(), cut).await >= 4.0)
        .await;
    let again = Raw::connect(from(2), server.address()).await.ask(query(&alice)).await.expect("an answer");
    assert_eq!(again.status, 200);
}
