//! `/api/auth/sessions/` and `/api/auth/sessions/{id}/`

use presently_testkit::http::{Shown, TestServer, Visitor, claims, keys, rfc3339, text};
use presently_testkit::{PASSWORD, secs};
use serde_json::{Value, json};

#[tokio::test]
async fn they_are_the_callers_own_logins_and_nobody_elses() {
    let server = TestServer::start().await;
    let began = server.now();
    let laptop = server.visitor("alice").await;
    server.visitor("bob").await;
    server.advance(secs(60)).await;
    let login = json!({"username": "alice", "password": PASSWORD});
    let phone = server.post("/api/auth/login/").header("user-agent", "Phone/2.0").json(login).await.ok();
    let phone = server.bearing(laptop.id, "alice", text(&phone["tokens"]["access"]));
    server.advance(secs(5)).await;

    let sessions = own(&phone).await;
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    let expected = ["address", "created_at", "current", "device", "expires_at", "id", "last_seen"];
    assert!(sessions.iter().all(|session| keys(session) == expected), "{sessions:?}");
    let (first, second) = (&sessions[0], &sessions[1]);
    assert_eq!(first["id"], claims(&laptop.access)["sid"]);
    assert_eq!(
        (&first["current"], &first["created_at"], &first["last_seen"]),
        (&json!(false), &json!(began), &json!(began))
    );
    assert_eq!(first["expires_at"], rfc3339(presently::Timestamp((server.unix() - 65 + 7 * 86_400) * 1_000_000)));
    assert_eq!(second["id"], claims(&phone.access)["sid"]);
    assert_eq!((&second["current"], &second["device"]), (&json!(true), &json!("Phone/2.0")));
    assert_eq!((&second["address"], &second["last_seen"]), (&json!("127.0.0.1"), &json!(server.now())));
    assert_eq!(own(&laptop).await[0]["current"], true);
}

#[tokio::test]
async fn one_that_is_not_present_was_last_seen_when_it_was_refreshed() {
    let server = TestServer::start().await;
    let laptop = server.visitor("alice").await;
    server.advance(secs(600)).await;
    server.post("/api/auth/refresh/").json(json!({"refresh": laptop.refresh})).await.ok();
    let refreshed = server.now();
    server.advance(secs(600)).await;
    let phone = server.login("alice").await;
    let sessions = own(&phone).await;
    assert_eq!(sessions[0]["last_seen"], refreshed);
}

#[tokio::test]
async fn one_that_is_ended_is_gone_at_once_with_its_presence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let laptop = server.visitor("alice").await;
    let phone = server.login("alice").await;
    phone.beat_with(json!({"session": "tab"})).await;
    laptop.beat_with(json!({"activity": "idle"})).await;
    let answer = laptop.delete(&path(&phone)).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    phone.is_shut_out().await;
    assert_eq!(own(&laptop).await.len(), 1);
    assert_eq!(server.shown(&admin, laptop.id).await.status, "away", "nothing of the phone is present any more");
    laptop.delete(&path(&phone)).await.problem(404, "session_not_found");
    laptop.is_not_shut_out().await;
}

#[tokio::test]
async fn ending_the_current_one_is_a_logout() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(5)).await;
    alice.delete(&path(&alice)).await.is(204);
    alice.is_shut_out().await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &server.now()));
    let foreign = server.foreign(alice.id, "alice");
    foreign.beat().await;
    foreign.delete(&format!("/api/auth/sessions/{}/", text(&claims(&foreign.access)["jti"]))).await.is(204);
    foreign.is_shut_out().await;
}

#[tokio::test]
async fn nobody_ends_anothers() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for who in [&admin, &server.visitor("bob").await] {
        who.delete(&path(&alice)).await.problem(404, "session_not_found");
    }
    for strange in ["x", "%00", "%2F", "%F0%9F%98%80", &"x".repeat(500)] {
        alice.delete(&format!("/api/auth/sessions/{strange}/")).await.problem(404, "session_not_found");
    }
    alice.is_not_shut_out().await;
}

#[tokio::test]
async fn a_login_ends_for_good_after_its_time() {
    let server = TestServer::start_with(|settings| settings.session_lifetime_max = secs(120)).await;
    let alice = server.visitor("alice").await;
    server.advance(secs(100)).await;
    let pair = server.post("/api/auth/refresh/").json(json!({"refresh": alice.refresh})).await.ok();
    let session = server.bearing(alice.id, "alice", text(&pair["access"]));
    assert_eq!(own(&session).await[0]["expires_at"], rfc3339(presently::Timestamp((server.unix() + 20) * 1_000_000)));
    server.advance(secs(20)).await;
    session.is_shut_out().await;
    server.post("/api/auth/refresh/").json(json!({"refresh": pair["refresh"]})).await.problem(401, "token_not_valid");
}

async fn own(visitor: &Visitor) -> Vec<Value> {
    let told = visitor.get("/api/auth/sessions/").await.ok();
    told["sessions"].as_array().unwrap_or_else(|| panic!("{told} has sessions")).clone()
}

fn path(visitor: &Visitor) -> String {
    format!("/api/auth/sessions/{}/", text(&claims(&visitor.access)["sid"]))
}
