//! An open socket is a session.

use presently_testkit::http::{OneNode, TestServer, Visitor};
use presently_testkit::secs;
use serde_json::json;

use crate::line::{Socket, live_through, pass, until};

#[tokio::test]
async fn an_open_socket_needs_no_heartbeat() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let _socket = Socket::open(server.address(), &alice).await;
    live_through(&server, 20, &[alice.id]).await;
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
    let why = server.app().presently().explain(&alice.id.to_string()).unwrap();
    assert_eq!(why.sessions.len(), 1, "the login's own session expired long ago");
}

#[tokio::test]
async fn a_clean_close_ends_it_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let socket = Socket::open(server.address(), &alice).await;
    live_through(&server, 5, &[alice.id]).await;
    socket.close().await;
    becomes(&admin, alice.id, "offline").await;
    let history = admin.get(&format!("/api/presence/{}/history", alice.id)).await.ok();
    assert_eq!(history["transitions"][1]["reason"], "disconnected");
}

#[tokio::test]
async fn who_comes_back_within_the_grace_was_never_seen_to_leave() {
    let server = TestServer::start().await;
    server.speak_to(OneNode::KnowsItsSockets);
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    live_through(&server, 5, &[alice.id]).await;
    for _ in 0..3 {
        let session = socket.ready["session"].clone();
        socket.vanish().await;
        server_noticed(&server, alice.id).await;
        pass(&server, secs(9)).await;
        socket = Socket::open(server.address(), &alice).await;
        assert_eq!(socket.ready["session"], session, "the session that lost its socket is taken over");
        pass(&server, secs(5)).await;
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
    let why = server.app().presently().explain(&alice.id.to_string()).unwrap();
    assert_eq!(why.sessions.len(), 1, "nothing stayed behind");
}

#[tokio::test]
async fn who_does_not_come_back_goes_after_the_grace() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let socket = Socket::open(server.address(), &alice).await;
    live_through(&server, 5, &[alice.id]).await;
    socket.vanish().await;
    server_noticed(&server, alice.id).await;
    pass(&server, secs(9)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    pass(&server, secs(1)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn two_tabs_are_two_sessions() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let one = Socket::open(server.address(), &alice).await;
    let two = Socket::open(server.address(), &alice).await;
    assert_ne!(one.ready["session"], two.ready["session"]);
    live_through(&server, 5, &[alice.id]).await;
    one.say(json!({"type": "activity", "activity": "idle"}));
    one.say(json!({"type": "ping"}));
    until("one tab is idle", async || idle(&server, alice.id) == 1).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    two.say(json!({"type": "activity", "activity": "idle"}));
    becomes(&admin, alice.id, "away").await;
    one.say(json!({"type": "activity", "activity": "active"}));
    becomes(&admin, alice.id, "online").await;
    one.close().await;
    becomes(&admin, alice.id, "away").await;
    two.close().await;
    becomes(&admin, alice.id, "offline").await;
}

#[tokio::test]
async fn a_client_that_answers_nothing_is_dropped_after_two_intervals() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let socket = Socket::open(server.address(), &alice).await;
    socket.stall();
    pass(&server, secs(30)).await;
    assert_eq!(sockets(&server, alice.id), 1);
    // The ping is sent by now: nothing tells of it, for the client reads nothing.
    tokio::time::sleep(crate::line::SILENCE).await;
    pass(&server, secs(30)).await;
    server_noticed(&server, alice.id).await;
    pass(&server, secs(10)).await;
    assert_eq!(sockets(&server, alice.id), 0);
}

#[tokio::test]
async fn a_close_with_a_code_of_the_page_s_own_or_by_the_browser_is_no_goodbye() {
    let server = TestServer::start().await;
    server.speak_to(OneNode::KnowsItsSockets);
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for (code, goodbye) in [(3000, false), (3001, false), (3999, false), (1001, false), (4999, true), (1000, true)] {
        let socket = Socket::open(server.address(), &alice).await;
        let session = socket.ready["session"].clone();
        live_through(&server, 5, &[alice.id]).await;
        socket.close_with(Some(code)).await;
        if goodbye {
            becomes(&admin, alice.id, "offline").await;
            continue;
        }
        server_noticed(&server, alice.id).await;
        pass(&server, secs(9)).await;
        let next = Socket::open(server.address(), &alice).await;
        assert_eq!(next.ready["session"], session, "{code}: the next page takes it over");
        next.vanish().await;
        server_noticed(&server, alice.id).await;
        let history = server.history(alice.id).await;
        assert!(history.iter().all(|step| step.ends_with("->online")), "{code}: {history:?}");
    }
}

#[tokio::test]
async fn a_page_that_leaves_ends_the_login_s_presence_and_not_its_tokens() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let elsewhere = server.login("alice").await;
    let socket = Socket::open(server.address(), &alice).await;
    alice.beat_with(json!({"session": "tab-1"})).await;
    assert_eq!(alice.post("/api/presence/leave").await.status, 204);
    let why = server.app().presently().explain(&alice.id.to_string()).unwrap();
    assert_eq!(why.sessions.len(), 1, "the other login is left: {:?}", why.sessions);
    assert_eq!(elsewhere.post("/api/presence/leave").await.status, 204);
    becomes(&admin, alice.id, "offline").await;
    assert_eq!(elsewhere.post("/api/presence/leave").await.status, 204);
    becomes(&admin, alice.id, "offline").await;
    alice.beat().await;
    becomes(&admin, alice.id, "online").await;
    drop(socket);
}

/// Waits until they are shown so.
async fn becomes(admin: &Visitor, id: i64, status: &str) {
    let path = format!("/api/presence/{id}");
    until(status, async || admin.get(&path).await.ok()["status"] == status).await;
}

/// The live sessions of sockets.
fn sockets(server: &TestServer, id: i64) -> usize {
    let why = server.app().presently().explain(&id.to_string());
    why.iter().flat_map(|why| &why.sessions).filter(|session| session.session.contains("/ws-")).count()
}

fn idle(server: &TestServer, id: i64) -> usize {
    let why = server.app().presently().explain(&id.to_string());
    why.iter().flat_map(|why| &why.sessions).filter(|session| session.activity == presently::Activity::Idle).count()
}

/// The server knows that the socket dropped: its session has no more than the grace left.
async fn server_noticed(server: &TestServer, id: i64) {
    until("the drop was noticed", async || {
        server.nodes().iter().all(|node| {
            let why = node.app.presently().explain(&id.to_string());
            let mut sessions = why.iter().flat_map(|why| &why.sessions);
            // Whoever had the socket knows.
            sessions
                .all(|session| session.elsewhere || !session.session.contains("/ws-") || session.remaining <= secs(10))
        })
    })
    .await;
}
