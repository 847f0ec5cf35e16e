//! Whoever loses the right to watch is cut off at once.

use std::time::Duration;

use presently_accounts::Role;
use presently_testkit::http::{TestServer, claims, text};
use presently_testkit::secs;
use serde_json::json;

use crate::line::{Socket, Stream, pass};

/// The contract allows a second.
const AT_ONCE: Duration = secs(1);

#[tokio::test]
async fn every_act_that_takes_rights_closes_with_its_code() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for (act, code) in [("force-logout", 4102), ("suspend", 4103), ("ban", 4103)] {
        let someone = server.visitor(&format!("for-{act}")).await;
        let mut socket = Socket::open(server.address(), &someone).await;
        socket.watch(&[admin.id]).await;
        let mut stream = Stream::open(server.address(), &someone, "?users=1").await;
        stream.snapshot().await;
        admin.act(someone.id, act).await;
        tokio::time::timeout(AT_ONCE, socket.is_closed(code)).await.unwrap();
        tokio::time::timeout(AT_ONCE, stream.ends()).await.unwrap();
        assert_eq!(server.shown(&admin, someone.id).await.status, "offline", "{act}");
    }
}

#[tokio::test]
async fn deactivation_and_erasure_close_too() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let (alice, bob) = (server.visitor("alice").await, server.visitor("bob").await);
    let mut of_alice = Socket::open(server.address(), &alice).await;
    let mut of_bob = Socket::open(server.address(), &bob).await;
    admin.patch(&format!("/api/users/admin/users/{}/", alice.id)).json(json!({"is_active": false})).await.ok();
    of_alice.is_closed(4103).await;
    admin.delete(&format!("/api/users/admin/users/{}/", bob.id)).await.is(204);
    of_bob.is_closed(4101).await;
}

#[tokio::test]
async fn a_logout_closes_the_sockets_of_its_login_alone() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let phone = server.login("alice").await;
    let mut of_laptop = Socket::open(server.address(), &alice).await;
    let mut of_phone = Socket::open(server.address(), &phone).await;
    let mut stream = Stream::open(server.address(), &alice, "?users=1").await;
    stream.snapshot().await;
    alice.logout().await;
    tokio::time::timeout(AT_ONCE, of_laptop.is_closed(4101)).await.unwrap();
    tokio::time::timeout(AT_ONCE, stream.ends()).await.unwrap();
    of_phone.say(json!({"type": "ping"}));
    assert_eq!(of_phone.frame().await, json!({"type": "pong"}));
    phone.post("/api/auth/logout-all/").await.ok();
    tokio::time::timeout(AT_ONCE, of_phone.is_closed(4101)).await.unwrap();
}

#[tokio::test]
async fn a_session_that_an_admin_ends_closes_its_sockets_alone() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let phone = server.login("alice").await;
    let mut of_laptop = Socket::open(server.address(), &alice).await;
    let mut of_phone = Socket::open(server.address(), &phone).await;
    let sessions = format!("/api/users/admin/users/{}/sessions/", alice.id);
    admin.delete(&format!("{sessions}{}/", text(&claims(&alice.access)["sid"]))).await.is(204);
    tokio::time::timeout(AT_ONCE, of_laptop.is_closed(4102)).await.unwrap();
    of_phone.say(json!({"type": "ping"}));
    assert_eq!(of_phone.frame().await, json!({"type": "pong"}));
    phone.delete(&format!("/api/auth/sessions/{}/", text(&claims(&phone.access)["sid"]))).await.is(204);
    tokio::time::timeout(AT_ONCE, of_phone.is_closed(4101)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_told_after_an_act_that_took_the_right() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let bob = server.account("bob").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    socket.watch(&[bob]).await;
    let mut stream = Stream::open(server.address(), &alice, &format!("?users={bob}")).await;
    stream.snapshot().await;
    admin.act(alice.id, "suspend").await;
    server.login("bob").await;
    assert_eq!(stream.next().await, None);
    assert_eq!(socket.frame_if_any().await, None);
}

#[tokio::test]
async fn an_expired_token_ends_its_connections() {
    let server = TestServer::start_with(|settings| settings.access_token_lifetime = secs(60)).await;
    let alice = server.visitor("alice").await;
    let mut socket = Socket::open(server.address(), &alice).await;
    let mut stream = Stream::open(server.address(), &alice, "?users=1").await;
    stream.snapshot().await;
    pass(&server, secs(60)).await;
    socket.is_closed(4000).await;
    stream.ends().await;
}

#[tokio::test]
async fn who_is_no_admin_any_more_does_not_go_on_as_one() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let other = server
        .account_with(presently_accounts::Draft { role: Role::Admin, ..presently_testkit::http::draft("other") })
        .await;
    let other_admin = server.login("other").await;
    let mut socket = Socket::open(server.address(), &other_admin).await;
    socket.say(json!({"type": "watch"}));
    socket.frame().await;
    admin.patch(&format!("/api/users/admin/users/{other}/")).json(json!({"role": "user"})).await.ok();
    socket.is_closed(4002).await;
    other_admin.is_not_shut_out().await;
}

#[tokio::test]
async fn somebody_elses_trouble_is_not_ours() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let (alice, bob) = (server.visitor("alice").await, server.visitor("bob").await);
    let mut socket = Socket::open(server.address(), &alice).await;
    socket.watch(&[bob.id]).await;
    let mut stream = Stream::open(server.address(), &alice, &format!("?users={}", bob.id)).await;
    stream.snapshot().await;
    admin.act(bob.id, "suspend").await;
    assert_eq!(socket.diff().await[0]["status"], "offline");
    assert_eq!(stream.presence().await["status"], "offline");
    socket.is_silent().await;
    stream.is_silent().await;
}

#[tokio::test]
async fn who_may_not_be_present_may_not_watch() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let token = server.foreign_token(alice.id);
    pass(&server, secs(2)).await;
    admin.act(alice.id, "suspend").await;
    pass(&server, secs(2)).await;
    assert!(!token.is_empty());
    let later = server.foreign_token(alice.id);
    let refused = Socket::connect(server.address(), "", Some(&format!("Bearer {later}"))).await.err();
    assert_eq!(refused, Some(403));
    let mut socket = Socket::bare(server.address()).await;
    socket.say(json!({"type": "auth", "token": later}));
    socket.error("account_not_active").await;
    socket.is_closed(4103).await;
}
