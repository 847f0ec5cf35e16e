//! `POST /api/auth/verify/`

use presently_testkit::http::{Answer, Shown, TIMEOUT, TestServer};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn a_good_token_is_an_empty_object() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for token in [&alice.access, &alice.refresh, &server.foreign_token(alice.id)] {
        assert_eq!(verify(&server, token).await.ok(), json!({}));
        let twin = server.post("/api/users/verify/").json(json!({"token": token})).await;
        assert_eq!(twin.ok(), json!({}));
    }
}

#[tokio::test]
async fn a_bad_token_is_a_401() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    for garbage in ["garbage", "a.b.c", &alice.access[1..]] {
        verify(&server, garbage).await.problem(401, "token_not_valid");
    }
    alice.logout().await;
    admin.act(bob.id, "suspend").await;
    for token in [&alice.access, &alice.refresh, &bob.access, &bob.refresh] {
        verify(&server, token).await.problem(401, "token_not_valid");
    }
    server.advance(secs(3_601)).await;
    verify(&server, &admin.access).await.problem(401, "token_not_valid");
    verify(&server, &admin.refresh).await.ok();
}

#[tokio::test]
async fn a_missing_or_blank_token_is_a_400() {
    let server = TestServer::start().await;
    for body in [json!({}), json!({"token": ""}), json!({"refresh": "x"}), json!({"token": null})] {
        server.post("/api/auth/verify/").json(body).await.is(400);
    }
    server.post("/api/auth/verify/").await.is(400);
}

#[tokio::test]
async fn it_is_no_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(60)).await;
    server.post("/api/auth/verify/").bearer(&alice.access).json(json!({"token": alice.access})).await.ok();
    server.advance(secs(60)).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    verify(&server, &alice.access).await.ok();
    server.advance(TIMEOUT).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

async fn verify(server: &TestServer, token: &str) -> Answer {
    server.post("/api/auth/verify/").json(json!({"token": token})).await
}
