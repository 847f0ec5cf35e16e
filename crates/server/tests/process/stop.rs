//! A server that is told to stop loses nothing, and stops.

use presently_testkit::ms;
use presently_testkit::process::{Place, history};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test]
async fn sigterm_and_sigint_stop_it_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let mut server = place.serve(&[]).await;
        let began = Instant::now();
        let status = server.end_by(signal).await;
        assert_eq!(status.code(), Some(0), "SIG{signal}");
        assert!(began.elapsed() < ms(5_000), "SIG{signal} took {:?}", began.elapsed());
        assert_eq!(server.stderr(), "");
    }
}

#[tokio::test]
async fn nothing_is_lost() {
    let place = Place::new();
    for (name, more) in [("boss", &["--role", "admin"][..]), ("alice", &[]), ("bob", &[]), ("carol", &[])] {
        place.user(name, more).await;
    }
    let mut server = place.serve(&[]).await;
    let (_, boss) = server.login("boss").await;
    let (alice, alice_token) = server.login("alice").await;
    let (bob, bob_token) = server.login("bob").await;
    let (carol, carol_token) = server.login("carol").await;
    server.post("/api/users/heartbeat/", &bob_token, json!({"activity": "idle"})).await;
    server.post("/api/auth/logout/", &carol_token, json!({})).await;
    tokio::time::sleep(ms(1_500)).await;
    let beat = server.beat(&alice_token).await;
    let before = [server.shown(&boss, alice).await, server.shown(&boss, bob).await, server.shown(&boss, carol).await];
    assert_eq!(before[0].1.as_deref(), beat["last_seen"].as_str());
    server.stop().await;
    let mut server = place.serve(&[]).await;
    let after = [server.shown(&boss, alice).await, server.shown(&boss, bob).await, server.shown(&boss, carol).await];
    assert_eq!(after, before, "to the microsecond");
    assert_eq!(server.post("/api/users/heartbeat/", &carol_token, json!({})).await.0, 401);
    server.beat(&alice_token).await;
    server.stop().await;
    assert_eq!(history(&place, alice).await, ["offline->online"]);
    assert_eq!(history(&place, bob).await, ["offline->online", "online->away"]);
    assert_eq!(history(&place, carol).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn connections_that_idle_or_hang_do_not_hold_it_up() {
    let place = Place::new();
    let mut server = place.serve(&[]).await;
    let mut held = Vec::new();
    for bytes in [&b""[..], b"GET /heal", b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"]
    {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(ms(100)).await;
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < ms(15_000), "{:?}", began.elapsed());
}

#[tokio::test]
async fn requests_under_way_are_answered() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let mut server = place.serve(&[]).await;
    let way = server.way();
    let logins: Vec<_> = (0..6)
        .map(|_| {
            let way = way.clone();
            let body = json!({"username": "alice", "password": presently_testkit::PASSWORD});
            tokio::spawn(async move { way.send("POST", "/api/auth/login/", "", Some(body)).await })
        })
        .collect();
    tokio::time::sleep(ms(30)).await;
    server.stop().await;
    let mut tokens = Vec::new();
    for login in logins {
        // Who came too late got no connection; whoever was let in got an answer.
        match login.await.unwrap() {
            Ok((200, told)) => tokens.push(told["tokens"]["access"].as_str().unwrap().to_owned()),
            Ok((status, told)) => assert_eq!(status, 503, "{told}"),
            Err(_) => {}
        }
    }
    let server = place.serve(&[]).await;
    for token in tokens {
        server.beat(&token).await;
    }
}
