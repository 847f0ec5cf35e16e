//! Headers that every answer owes.

use presently_testkit::PASSWORD;
use presently_testkit::http::{Answer, TestServer};
use serde_json::json;

#[tokio::test]
async fn a_sane_request_id_comes_back() {
    let server = TestServer::start().await;
    let sane = ["abc", "req-1", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "A_b.C-9", "01J9ZQ3Z5W8Y7X6V5T4S3R2Q1P"];
    for id in sane {
        for path in ["/healthz", "/no/such/path", "/api/auth/profile/"] {
            let answer = server.get(path).header("x-request-id", id).await;
            assert_eq!(answer.header("x-request-id"), Some(id), "{path}");
        }
    }
}

#[tokio::test]
async fn an_insane_request_id_is_replaced() {
    let server = TestServer::start().await;
    let long = "a".repeat(5_000);
    for id in ["", "a b", "a\tb", "<script>", "\"quoted\"", "a=b\\n", &long] {
        let answer = server.get("/healthz").header("x-request-id", id).await;
        let got = answer.header("x-request-id").unwrap();
        assert_ne!(got, id);
        assert!(got.len() <= 128, "{got}");
    }
    let answer = server.get("/healthz").header_bytes("x-request-id", b"\xff\xfe").await;
    assert!(answer.header("x-request-id").is_some_and(|id| id.is_ascii()));
}

#[tokio::test]
async fn a_request_without_an_id_gets_one_of_its_own() {
    let server = TestServer::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = server.get("/healthz").await;
        assert!(seen.insert(answer.header("x-request-id").unwrap().to_owned()), "twice the same id");
    }
}

#[tokio::test]
async fn security_headers_are_on_every_answer() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let check = |answer: &Answer| {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap_or_default();
        let unframed = answer.header("x-frame-options").is_some() || policy.contains("frame-ancestors");
        assert!(unframed, "nobody frames this: {:?}", answer.headers);
        assert!(answer.header("referrer-policy").is_some(), "{:?}", answer.headers);
    };
    check(&server.get("/healthz").await);
    check(&server.get("/no/such/path").await);
    check(&server.get("/api/auth/profile/").await);
    check(&server.get("/api/auth/login/").await);
    check(&server.post("/api/auth/login/").raw("{").await);
    check(&server.get("/api/docs").await);
    check(&alice.get("/api/auth/profile/").await);
    check(&alice.post("/api/users/heartbeat/").await);
    check(&alice.get("/api/users/admin/users/").await);
}

#[tokio::test]
async fn what_carries_presence_or_tokens_is_never_stored() {
    let server = TestServer::start_with(|settings| settings.registration = presently_server::Registration::Open).await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let user = format!("/api/users/admin/users/{id}");
    let check = |answer: &Answer| {
        let control = answer.header("cache-control").unwrap_or_default();
        assert!(control.split(',').any(|word| word.trim() == "no-store"), "{} -> {control:?}", answer.text);
    };
    let login = server.try_login("alice", PASSWORD).await;
    check(&login);
    let refresh = json!({"refresh": login.json()["tokens"]["refresh"]});
    check(&server.post("/api/auth/refresh/").json(refresh).await);
    let register = json!({"username": "bob", "password": PASSWORD});
    check(&server.post("/api/users/register/").json(register).await);
    check(&admin.get("/api/auth/profile/").await);
    check(&admin.get("/api/users/heartbeat/").await);
    check(&admin.post("/api/users/heartbeat/").await);
    check(&admin.get("/api/users/all-users/").await);
    check(&admin.get("/api/users/admin/users/").await);
    check(&admin.get("/api/users/admin/users/online/").await);
    check(&admin.get(&format!("{user}/")).await);
    check(&admin.get(&format!("{user}/online-status/")).await);
    check(&admin.get(&format!("{user}/sessions/")).await);
    check(&admin.set(id, json!({"status": "away"})).await);
    check(&admin.patch(&format!("{user}/")).json(json!({"first_name": "A"})).await);
}

#[tokio::test]
async fn json_says_that_it_is_json() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for path in
        ["/api/auth/profile/", "/api/users/heartbeat/", "/api/users/all-users/", "/api/users/admin/users/online/"]
    {
        let answer = alice.get(path).await;
        assert!(answer.header("content-type").unwrap().starts_with("application/json"), "{path}");
    }
}

#[tokio::test]
async fn a_challenge_names_the_scheme() {
    let server = TestServer::start().await;
    server.account("alice").await;
    for answer in [
        server.get("/api/auth/profile/").await,
        server.get("/api/auth/profile/").bearer("garbage").await,
        server.try_login("alice", "wrong").await,
        server.post("/api/auth/refresh/").json(json!({"refresh": "garbage"})).await,
        server.post("/api/auth/verify/").json(json!({"token": "garbage"})).await,
    ] {
        answer.is(401);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
}
