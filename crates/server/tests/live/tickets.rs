//! Tickets.

use presently_testkit::http::{TestServer, Visitor, keys, text};
use presently_testkit::secs;
use serde_json::json;

use crate::line::{Socket, Stream, client, pass};

async fn ticket(of: &Visitor) -> String {
    let answer = of.post("/api/presence/tickets").await.ok();
    assert_eq!(keys(&answer), ["expires_in", "ticket"]);
    assert_eq!(answer["expires_in"], 30);
    text(&answer["ticket"])
}

#[tokio::test]
async fn a_user_has_a_hundred_unused_tickets() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.visitor("alice").await, server.visitor("bob").await);
    for _ in 0..100 {
        ticket(&alice).await;
    }
    let answer = alice.post("/api/presence/tickets").await;
    answer.problem(429, "too_many_tickets");
    assert!(answer.header("retry-after").is_some());
    ticket(&bob).await;
    pass(&server, secs(30)).await;
    ticket(&alice).await;
}

#[tokio::test]
async fn a_ticket_opens_one_stream() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let path = format!("/api/presence/events?users=1&ticket={}", ticket(&alice).await);
    let mut stream = Stream::of(client().get(format!("http://{}{path}", server.address()))).await.unwrap();
    stream.snapshot().await;
    server.get(&path).await.problem(401, "token_not_valid");
    alice.logout().await;
    stream.ends().await;
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let query = format!("?ticket={}", ticket(&alice).await);
    let mut socket = Socket::connect(server.address(), &query, None).await.ok().unwrap();
    assert_eq!(socket.frame().await["user_id"], alice.id.to_string());
    assert_eq!(Socket::connect(server.address(), &query, None).await.err(), Some(401));
    alice.logout().await;
    socket.is_closed(4101).await;
}

#[tokio::test]
async fn a_ticket_is_good_for_thirty_seconds_and_nowhere_else() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let late = ticket(&alice).await;
    server.get(&format!("/api/presence/count?ticket={late}")).await.problem(401, "not_authenticated");
    pass(&server, secs(30)).await;
    server.get(&format!("/api/presence/events?users=1&ticket={late}")).await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn a_ticket_is_worth_no_more_than_its_token() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let ticket = ticket(&alice).await;
    alice.logout().await;
    server.get(&format!("/api/presence/events?users=1&ticket={ticket}")).await.problem(401, "token_not_valid");
    server.post("/api/presence/tickets").await.problem(401, "not_authenticated");
}

#[tokio::test]
async fn a_stream_by_ticket_is_evidence_of_its_user() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let one = ticket(&alice).await;
    pass(&server, secs(20)).await;
    let path = format!("/api/presence/events?users=1&ticket={one}");
    let _stream = Stream::of(client().get(format!("http://{}{path}", server.address()))).await.unwrap();
    let shown = server.shown(&admin, alice.id).await;
    assert_eq!(json!(shown.last_seen), json!(server.now()));
}
