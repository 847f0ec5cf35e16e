//! `POST /api/auth/logout-all/`

use presently_testkit::http::{Shown, TestServer, signed, text};
use presently_testkit::secs;

#[tokio::test]
async fn every_session_of_the_user_ends() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    let foreign = server.foreign(phone.id, "alice");
    foreign.beat().await;
    server.advance(secs(3)).await;
    let told = phone.post("/api/auth/logout-all/").await.ok();
    assert!(!text(&told["message"]).is_empty());
    assert_eq!(server.shown(&admin, phone.id).await, Shown::at("offline", &server.now()));
    for gone in [&phone, &laptop, &foreign] {
        gone.is_shut_out().await;
    }
    admin.beat().await;
}

#[tokio::test]
async fn it_has_a_twin_under_users() {
    let server = TestServer::start().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    laptop.post("/api/users/logout-all/").await.ok();
    phone.is_shut_out().await;
    laptop.is_shut_out().await;
}

#[tokio::test]
async fn a_login_in_the_same_second_works() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let old = server.visitor("alice").await;
    old.post("/api/auth/logout-all/").await.ok();
    let new = server.login("alice").await;
    assert_eq!(new.beat().await["online_status"], "online");
    old.is_shut_out().await;
    assert_eq!(server.shown(&admin, old.id).await.status, "online");
}

#[tokio::test]
async fn a_token_made_elsewhere_counts_by_its_iat() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(10)).await;
    let mut before = server.foreign_claims(alice.id);
    before["iat"] = (server.unix() - 5).into();
    alice.post("/api/auth/logout-all/").await.ok();
    server.bearing(alice.id, "alice", signed(&before)).is_shut_out().await;
    server.advance(secs(2)).await;
    server.foreign(alice.id, "alice").beat().await;
    server.bearing(alice.id, "alice", signed(&before)).is_shut_out().await;
}

#[tokio::test]
async fn it_holds_after_a_restart() {
    let mut server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(alice.id, "alice");
    alice.post("/api/auth/logout-all/").await.ok();
    server.restart_after(secs(5)).await;
    alice.is_shut_out().await;
    foreign.is_shut_out().await;
    server.login("alice").await.beat().await;
}

#[tokio::test]
async fn nobody_else_is_hit() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    alice.post("/api/auth/logout-all/").await.ok();
    bob.beat().await;
    assert_eq!(server.shown(&admin, bob.id).await.status, "online");
}
