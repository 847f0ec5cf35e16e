//! The server stops and starts.

use presently_testkit::http::{OneNode, TestServer};
use presently_testkit::secs;

use crate::line::{Line, Socket, Stream, live_through};

#[tokio::test]
async fn a_stop_says_goodbye_and_nobody_is_seen_to_leave() {
    let mut server = TestServer::start().await;
    server.speak_to(OneNode::KnowsItsSockets);
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    let session = socket.ready["session"].clone();
    let mut stream = Stream::open(server.address(), &alice, "?users=1").await;
    stream.snapshot().await;
    live_through(&server, 5, &[alice.id]).await;
    let stopping = tokio::spawn(async move {
        server.restart_after(secs(30)).await;
        server
    });
    socket.is_closed(1001).await;
    stream.ends().await;
    let server = tokio::time::timeout(secs(5), stopping).await.expect("streams do not hold the server up").unwrap();
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
    let socket = Socket::open(server.address(), &alice).await;
    assert_eq!(socket.ready["session"], session, "the session of before the restart is taken over");
    live_through(&server, 8, &[alice.id]).await;
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
    socket.close().await;
    crate::line::until("nothing stayed behind", async || {
        server.app().presently().explain(&alice.id.to_string()).is_none_or(|why| why.sessions.is_empty())
    })
    .await;
}

#[tokio::test]
async fn a_socket_behind_a_line_finds_the_server_of_after_the_restart() {
    let mut server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let line = Line::to(server.address()).await;
    let mut socket = Socket::open(line.address, &alice).await;
    socket.watch(&[alice.id]).await;
    server.crash_for(secs(0)).await;
    line.lead_to(server.address());
    line.cut();
    let mut socket = Socket::open(line.address, &alice).await;
    let snapshot = socket.watch(&[alice.id]).await;
    assert_eq!(snapshot["presences"][0]["status"], "online");
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
}
