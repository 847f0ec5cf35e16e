//! `POST /api/presence/touch`: what is refused, and that nothing of it is taken.

use presently_testkit::http::{Answer, TestServer};
use serde_json::{Value, json};

use crate::helpers::{Application, TOUCH, heard, status};

/// Sends these behind two good ones.
async fn after_two(application: &Application, server: &TestServer, wrong: Value) -> Answer {
    application.try_touch(server, json!([heard("anna"), heard("bob"), wrong])).await
}

#[tokio::test]
async fn the_place_of_what_is_wrong_is_named_and_nothing_is_taken() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let long = "x".repeat(129);
    for (wrong, field) in [
        (json!({}), "users[2].user_id"),
        (json!({"user_id": null}), "users[2].user_id"),
        (json!({"user_id": ""}), "users[2].user_id"),
        (json!({"user_id": long}), "users[2].user_id"),
        (json!({"user_id": "é".repeat(65)}), "users[2].user_id"),
        (json!({"user_id": "a\u{0}"}), "users[2].user_id"),
        (json!({"user_id": "a\u{7f}"}), "users[2].user_id"),
        (json!({"user_id": "a\u{85}"}), "users[2].user_id"),
        (json!({"user_id": 5}), "users[2].user_id"),
        (json!({"user_id": true}), "users[2].user_id"),
        (json!({"user_id": ["5"]}), "users[2].user_id"),
        (json!({"user_id": "5", "session": ""}), "users[2].session"),
        (json!({"user_id": "5", "session": "a/b"}), "users[2].session"),
        (json!({"user_id": "5", "session": "\n"}), "users[2].session"),
        (json!({"user_id": "5", "session": "x".repeat(65)}), "users[2].session"),
        (json!({"user_id": "5", "session": 7}), "users[2].session"),
        (json!({"user_id": "5", "activity": "busy"}), "users[2].activity"),
        (json!({"user_id": "5", "activity": ""}), "users[2].activity"),
        (json!({"user_id": "5", "activity": 0}), "users[2].activity"),
        (json!("5"), "users[2]"),
        (json!(5), "users[2]"),
        (json!(null), "users[2]"),
        (json!([]), "users[2]"),
        (json!(["5", null, null]), "users[2]"),
    ] {
        after_two(&application, &server, wrong).await.names_field(field);
        assert_eq!((status(&server, "anna").await, status(&server, "bob").await), ("offline", "offline"), "{field}");
    }
}

#[tokio::test]
async fn what_is_no_list_is_refused() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    for users in [json!(null), json!("5"), json!(5), json!({}), json!({"user_id": "5"}), json!(true)] {
        application.try_touch(&server, users).await.names_field("users");
    }
    let post = || server.post(TOUCH).bearer(&application.key);
    post().await.names_field("users");
    post().raw("{}").await.names_field("users");
    for body in ["[]", "null", "{", "nonsense", "{\"users\":[}", "{\"users\":[{\"user_id\":\"a\"}]}x"] {
        post().raw(body).await.problem(400, "invalid_json");
    }
    assert_eq!(status(&server, "a").await, "offline");
}

#[tokio::test]
async fn ten_thousand_and_one_are_refused_and_none_is_taken() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let users: Vec<_> = (0..10_001).map(|n| heard(format!("u{n}"))).collect();
    application.try_touch(&server, users).await.names_field("users");
    assert_eq!(server.app().presently().counts().online, 0);
    application.try_touch(&server, vec![json!({}); 300_000]).await.names_field("users");
}

#[tokio::test]
async fn none_at_all_is_nothing_wrong() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    assert_eq!(application.try_touch(&server, json!([])).await.ok(), json!({"accepted": 0, "rejected": []}));
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_both_spellings_of_the_path_are_one() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let body = json!({"users": [{"user_id": "anna", "mood": 5, "session": null, "activity": null}], "x": {}});
    for path in [TOUCH, "/api/presence/touch/"] {
        let answer = server.post(path).header("x-api-key", &application.key).json(body.clone()).await;
        assert_eq!(answer.ok()["accepted"], 1);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    server.post(TOUCH).header("x-api-key", &application.key).raw(body.to_string()).await.ok();
    assert_eq!(status(&server, "anna").await, "online");
}
