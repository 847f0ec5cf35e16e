//! Logs go to stdout; tokens, passwords and bodies are never in them.

use presently_testkit::PASSWORD;
use presently_testkit::process::Place;
use serde_json::{Value, json};

#[tokio::test]
async fn nothing_secret_is_logged_even_when_everything_is() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let mut server = place.serve_in(("PRESENTLY_LOG", "trace"), &[]).await;
    let wrong = "a password that is wrong";
    let (_, told) = server.try_login("boss", PASSWORD).await;
    server.try_login("boss", wrong).await;
    let access = told["tokens"]["access"].as_str().unwrap().to_owned();
    let refresh = told["tokens"]["refresh"].as_str().unwrap().to_owned();
    server.beat(&access).await;
    let made = "a password of somebody new";
    let body = json!({"username": "new", "password": made, "email": "new@example.org"});
    assert_eq!(server.post("/api/users/admin/users/", &access, body).await.0, 201);
    server.post("/api/auth/refresh/", "", json!({"refresh": refresh})).await;
    server.post("/api/auth/verify/", "", json!({"token": access})).await;
    server.post("/api/auth/logout/", &access, json!({"refresh_token": refresh})).await;
    server.stop().await;
    let logged = server.stdout();
    for secret in [PASSWORD, wrong, made, &access, &refresh, "$argon2"] {
        assert!(!logged.contains(secret), "{secret} is logged");
    }
}

#[tokio::test]
async fn in_json_every_line_is_an_object() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let mut server = place.serve_in(("PRESENTLY_LOG", "debug"), &["--log-format", "json"]).await;
    server.login("boss").await;
    server.get("/no/such/path", "").await;
    server.stop().await;
    let logged = server.stdout();
    assert!(!logged.is_empty());
    for line in logged.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn the_callers_request_id_is_in_the_lines_of_its_request() {
    let place = Place::new();
    let mut server = place.serve_in(("PRESENTLY_LOG", "debug"), &[]).await;
    let http = presently_testkit::client().no_proxy().build().unwrap();
    let call = http.get(format!("http://{}/no/such/path", server.address())).header("x-request-id", "find-me-1");
    assert_eq!(call.send().await.unwrap().headers()["x-request-id"], "find-me-1");
    server.stop().await;
    assert!(server.stdout().lines().any(|line| line.contains("find-me-1")), "{}", server.stdout());
}

#[tokio::test]
async fn a_log_that_nobody_reads_is_no_reason_to_complain() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let change = |command: &mut std::process::Command| {
        command.stdout(writer);
    };
    let mut server = place.serve_as(change, &[]).await;
    assert_eq!(server.end_by("TERM").await.code(), Some(0));
    assert_eq!(server.stderr(), "");
}

#[tokio::test]
async fn a_filter_that_is_none_is_named() {
    let place = Place::new();
    let server = place.serve_in(("PRESENTLY_LOG", "presently=loud"), &[]).await;
    let printed = server.stdout();
    assert!(printed.lines().any(|line| line.contains("WARN") && line.contains("PRESENTLY_LOG")), "{printed}");
}
