//! Server-Sent Events.

use std::time::Duration;

use presently_testkit::http::{TestServer, keys};
use presently_testkit::secs;
use serde_json::json;

use crate::line::{Stream, client, pass};

#[tokio::test]
async fn a_snapshot_and_then_each_transition() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.account("bob").await;
    let mut stream = Stream::open(server.address(), &alice, &format!("?users={bob},{},nobody", alice.id)).await;
    let snapshot = stream.snapshot().await;
    let shown: Vec<_> = snapshot.iter().map(|presence| (&presence["user_id"], &presence["status"])).collect();
    let (alice_id, bob_id) = (json!(alice.id.to_string()), json!(bob.to_string()));
    assert_eq!(
        shown,
        [(&bob_id, &json!("offline")), (&alice_id, &json!("online")), (&json!("nobody"), &json!("offline"))]
    );
    assert_eq!(keys(&snapshot[0]), ["as_of", "last_seen", "since", "status", "user_id"]);

    pass(&server, secs(1)).await;
    let bob = server.login("bob").await;
    let came = stream.presence().await;
    assert_eq!((&came["user_id"], &came["status"]), (&bob_id, &json!("online")));
    assert_eq!(
        (&came["since"], &came["last_seen"], &came["as_of"]),
        (&json!(server.now()), &json!(server.now()), &json!(server.now()))
    );
    bob.beat_with(json!({"activity": "idle"})).await;
    assert_eq!(stream.presence().await["status"], "away");
    bob.logout().await;
    assert_eq!(stream.presence().await["status"], "offline");
    stream.is_silent().await;
}

#[tokio::test]
async fn offline_is_told_at_the_deadline() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let bob = server.visitor("bob").await;
    pass(&server, secs(60)).await;
    let mut stream = Stream::open(server.address(), &admin, &format!("?users={}", bob.id)).await;
    stream.snapshot().await;
    pass(&server, secs(60)).await;
    assert_eq!(stream.presence().await["status"], "offline");
}

#[tokio::test]
async fn an_admin_without_names_gets_everybody_and_others_may_not() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    alice.get("/api/presence/events").await.problem(403, "permission_denied");
    let mut stream = Stream::open(server.address(), &admin, "").await;
    assert_eq!(stream.snapshot().await.len(), 2);
    let bob = server.visitor("bob").await;
    let came = stream.presence().await;
    assert_eq!((&came["user_id"], &came["status"]), (&json!(bob.id.to_string()), &json!("online")));
}

#[tokio::test]
async fn a_sign_of_life_comes_every_fifteen_seconds() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut stream = Stream::open(server.address(), &alice, "?users=x").await;
    stream.snapshot().await;
    for _ in 0..3 {
        let mut seconds = 0;
        let comment = loop {
            // In small steps: the server counts from the moment in which it comes to wait again, which a busy machine may put off.
            pass(&server, secs(1)).await;
            seconds += 1;
            match tokio::time::timeout(Duration::from_millis(100), stream.next_line()).await {
                Ok(comment) => break comment.unwrap(),
                Err(_) => assert!(seconds < 30, "not even one in half a minute"),
            }
        };
        assert_eq!(comment.event, "");
        assert!(seconds >= 14, "{seconds}");
    }
}

#[tokio::test]
async fn a_stream_is_one_request_and_keeps_nobody_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    pass(&server, secs(60)).await;
    let mut stream = Stream::open(server.address(), &alice, "?users=x").await;
    stream.snapshot().await;
    pass(&server, secs(119)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online", "opening it was evidence");
    pass(&server, secs(1)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn ten_thousand_users_are_watched_and_no_more() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let names = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let mut stream = Stream::open(server.address(), &alice, &format!("?users={}", names(10_000))).await;
    assert_eq!(stream.snapshot().await.len(), 10_000);
    alice.get(&format!("/api/presence/events?users={}", names(10_001))).await.problem(400, "too_many_users");
    alice.get(&format!("/api/presence/events?users={}", "1234567,".repeat(8_120))).await.problem(414, "uri_too_long");
    alice.get(&format!("/api/presence/query?x={}", "y".repeat(9_000))).await.problem(414, "uri_too_long");
}

#[tokio::test]
async fn an_unreadable_last_event_id_is_a_snapshot() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for last in ["nonsense", "0000000000000000-1", "1-2-part"] {
        let mut stream = Stream::open_after(server.address(), &alice, "?users=1", Some(last)).await;
        assert_eq!(stream.snapshot().await.len(), 1);
    }
    let url = format!("http://{}/api/presence/events?users=1&last_event_id=zzz", server.address());
    let mut stream = Stream::of(client().get(url).bearer_auth(&alice.access)).await.unwrap();
    assert_eq!(stream.snapshot().await.len(), 1);
}
