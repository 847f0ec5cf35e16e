//! Optional bodies, and bodies that are too much.

use presently_testkit::http::{Call, RawAnswer, TestServer};
use presently_testkit::secs;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The ways to say nothing.
fn nothings(call: impl Fn() -> Call) -> Vec<(&'static str, Call)> {
    vec![
        ("no body", call()),
        ("no body, typed", call().header("content-type", "application/json")),
        ("no body, typed as text", call().header("content-type", "text/plain")),
        ("empty body", call().raw("")),
        ("empty body, typed", call().raw("").header("content-type", "application/json")),
        ("{}", call().raw("{}")),
        ("{}, typed", call().raw("{}").header("content-type", "application/json")),
        ("{}, typed with a charset", call().raw("{}").header("content-type", "application/json; charset=utf-8")),
        ("{}, spaced", call().raw(" {\n}\r\n")),
    ]
}

#[tokio::test]
async fn a_heartbeat_may_come_with_any_kind_of_nothing() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for (_, call) in nothings(|| alice.post("/api/users/heartbeat/")) {
        assert_eq!(call.await.ok()["online_status"], "online");
    }
}

#[tokio::test]
async fn a_logout_may_come_with_any_kind_of_nothing() {
    let server = TestServer::start().await;
    let id = server.account("alice").await;
    for path in ["/api/auth/logout/", "/api/users/logout/", "/api/auth/logout-all/", "/api/users/logout-all/"] {
        for at in 0..nothings(|| server.post(path)).len() {
            server.advance(secs(1)).await;
            let token = server.foreign_token(id);
            let (_, call) = nothings(|| server.post(path)).swap_remove(at);
            let told = call.bearer(&token).await.ok();
            assert!(told["message"].is_string(), "{path}");
            server.get("/api/auth/profile/").bearer(&token).await.problem(401, "token_not_valid");
            server.advance(secs(1)).await;
        }
    }
}

#[tokio::test]
async fn the_acts_of_an_admin_may_come_with_any_kind_of_nothing() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    for act in ["force-logout", "suspend", "activate", "approve", "ban"] {
        for (what, call) in nothings(|| admin.post(&format!("/api/users/admin/users/{id}/{act}/"))) {
            let answer = call.await;
            assert_eq!(answer.status, 200, "{act} with {what}: {}", answer.text);
            assert!(answer.json()["message"].is_string(), "{act} with {what}");
        }
    }
}

#[tokio::test]
async fn the_acts_of_an_admin_may_come_with_a_reason() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    for act in ["force-logout", "suspend", "activate", "approve", "ban"] {
        for reason in [json!("spam"), json!(""), json!("ünï\u{1F600}")] {
            let path = format!("/api/users/admin/users/{id}/{act}/");
            admin.post(&path).json(json!({"reason": reason})).await.ok();
        }
    }
}

#[tokio::test]
async fn an_optional_body_that_is_no_json_is_a_400_and_nothing_is_done() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let about = format!("/api/users/admin/users/{}", alice.id);
    for body in ["{", "hello", "{}x", "[", "\u{1}"] {
        for typed in [true, false] {
            let typed = |call: Call| if typed { call.header("content-type", "application/json") } else { call };
            for path in ["/api/users/heartbeat/", "/api/auth/logout/", "/api/auth/logout-all/"] {
                let answer = typed(alice.post(path).raw(body)).await;
                assert_eq!(answer.status, 400, "{path} with {body}: {}", answer.text);
            }
            for act in ["force-logout", "suspend", "ban", "activate", "approve", "set-online-status"] {
                let answer = typed(admin.post(&format!("{about}/{act}/")).raw(body)).await;
                assert_eq!(answer.status, 400, "{act} with {body}: {}", answer.text);
            }
        }
    }
    alice.beat().await;
}

#[tokio::test]
async fn a_json_body_needs_no_content_type() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let login = json!({"username": "alice", "password": presently_testkit::PASSWORD}).to_string();
    server.post("/api/auth/login/").raw(login).await.ok();
    let set = format!("/api/users/admin/users/{id}/set-online-status/");
    let told = admin.post(&set).raw(r#"{"status":"away"}"#).await.ok();
    assert_eq!(told["online_status"], "away");
}

#[tokio::test]
async fn a_body_of_another_type_is_read_as_json_or_refused() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for content_type in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml", "x", ";;"]
    {
        let call = alice.post("/api/users/heartbeat/").header("content-type", content_type);
        let answer = call.raw(r#"{"activity":"active"}"#).await;
        assert!(matches!(answer.status, 200 | 415), "{content_type}: {}", answer.text);
        let call = alice.post("/api/users/heartbeat/").header("content-type", content_type);
        let answer = call.raw("activity=active").await;
        assert!(matches!(answer.status, 400 | 415), "{content_type}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_announced_body_that_is_too_large_is_a_413() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for (path, token) in
        [("/api/auth/login/", ""), ("/api/users/heartbeat/", &*alice.access), ("/api/auth/logout/", &*alice.access)]
    {
        let authorization = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: 2000000000\r\n\r\n{{\"username\":\""
        );
        let answer = server.raw(head.as_bytes()).await;
        assert_eq!(answer.status, 413, "{path}: {answer:?}");
        answer.is_a_problem(path);
    }
    alice.beat().await;
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_a_413() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536));
    let (mut read, mut write) = stream.split();
    let sending = async {
        for _ in 0..1_024 {
            if write.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    let reading = async {
        let mut bytes = vec![0; 4_096];
        let read = tokio::io::AsyncReadExt::read(&mut read, &mut bytes).await.unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    let answer = tokio::select! {
        answer = reading => answer,
        () = async { sending.await; tokio::time::sleep(secs(5)).await } => String::new(),
    };
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    server.login("alice").await;
}

#[tokio::test]
async fn a_body_that_never_comes_does_not_hold_up_others() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let head = "POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    alice.beat().await;
    drop(held);
    alice.beat().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_request() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let head = format!(
        "POST /api/auth/logout/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{}}",
        alice.access
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = RawAnswer::read(&mut stream).await;
    assert!(answer.status == 0 || (400..500).contains(&answer.status), "{answer:?}");
    alice.beat().await;
}
