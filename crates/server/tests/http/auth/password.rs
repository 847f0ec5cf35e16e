//! `POST /api/auth/password/`

use presently_testkit::http::{Answer, OneNode, TestServer, Visitor, text};
use presently_testkit::{PASSWORD, secs};
use serde_json::{Value, json};

const NEW: &str = "an entirely different horse";

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_not_this_one() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let laptop = server.visitor("alice").await;
    let phone = server.login("alice").await;
    phone.beat_with(json!({"session": "tab"})).await;
    server.advance(secs(2)).await;
    laptop.beat_with(json!({"activity": "idle"})).await;
    let told = change(&laptop, PASSWORD, NEW).await.ok();
    assert!(!text(&told["message"]).is_empty());
    phone.is_shut_out().await;
    laptop.is_not_shut_out().await;
    server.post("/api/auth/refresh/").json(json!({"refresh": laptop.refresh})).await.ok();
    assert_eq!(server.shown(&admin, laptop.id).await.status, "away", "nothing of the phone is present any more");
    server.try_login("alice", PASSWORD).await.problem(401, "invalid_credentials");
    server.try_login("alice", NEW).await.ok();
}

#[tokio::test]
async fn a_token_made_elsewhere_ends_with_the_others() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(alice.id, "alice");
    foreign.beat().await;
    change(&foreign, PASSWORD, NEW).await.ok();
    foreign.is_shut_out().await;
    alice.is_shut_out().await;
    server.try_login("alice", NEW).await.ok();
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let phone = server.login("alice").await;
    let wrong = change(&alice, "not the one", NEW).await.names_field("old_password");
    assert_eq!(wrong["detail"], wrong["errors"]["old_password"][0]);
    for weak in ["short", "alice", "password1", &"x".repeat(1_025)] {
        let told = change(&alice, PASSWORD, weak).await.names_field("new_password");
        assert_eq!(told["errors"].as_object().unwrap().len(), 1);
    }
    for (body, fields) in [
        (json!({}), &["old_password", "new_password"][..]),
        (json!({"old_password": PASSWORD}), &["new_password"]),
        (json!({"old_password": "", "new_password": NEW}), &["old_password"]),
        (json!({"old_password": 5, "new_password": NEW}), &["old_password"]),
        (json!({"old_password": PASSWORD, "new_password": [NEW]}), &["new_password"]),
    ] {
        let answer = alice.post("/api/auth/password/").json(body).await;
        fields.iter().for_each(|field| drop(answer.names_field(field)));
    }
    phone.is_not_shut_out().await;
    server.try_login("alice", PASSWORD).await.ok();
}

#[tokio::test]
async fn guesses_of_the_old_one_are_counted_with_those_at_a_login() {
    let server = TestServer::start().await;
    server.speak_to(OneNode::CountsFailedLogins);
    let alice = server.visitor("alice").await;
    for guess in 0..5 {
        server.try_login("alice", &format!("guess at the door {guess}")).await.problem(401, "invalid_credentials");
        change(&alice, &format!("guess within {guess}"), NEW).await.names_field("old_password");
    }
    change(&alice, PASSWORD, NEW).await.problem(429, "too_many_attempts");
    server.try_login("alice", PASSWORD).await.problem(429, "too_many_attempts");
    // A new one that does not do tells nothing of the old one, and counts as nothing.
    change(&alice, "guess", "short").await.names_field("new_password");
    server.advance(secs(61)).await;
    for _ in 0..20 {
        change(&alice, "guess", "short").await.names_field("new_password");
    }
    change(&alice, PASSWORD, NEW).await.ok();
}

#[tokio::test]
async fn of_two_changes_at_once_one_holds() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let changes: Vec<_> = (0..4)
        .map(|n| {
            let alice = alice.clone();
            tokio::spawn(async move { change(&alice, PASSWORD, &format!("{NEW} {n}")).await })
        })
        .collect();
    let mut answers = Vec::new();
    for change in changes {
        answers.push(change.await.unwrap());
    }
    let held: Vec<_> = (0..4).filter(|n| answers[*n].status == 200).collect();
    assert_eq!(held.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.names_field("old_password");
    }
    server.try_login("alice", &format!("{NEW} {}", held[0])).await.ok();
}

async fn change(visitor: &Visitor, old: &str, new: &str) -> Answer {
    let body: Value = json!({"old_password": old, "new_password": new});
    visitor.post("/api/auth/password/").json(body).await
}
