//! `GET /api/users/admin/users/{id}/sessions/`

use serde_json::{Value, json};

use crate::harness::{TestServer, Visitor, rfc3339, secs};

#[tokio::test]
async fn each_live_session_is_there_with_its_device_and_its_times() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("alice").await;
    let login = json!({"username": "alice", "password": crate::harness::PASSWORD});
    let began = server.now();
    let answer = server.post("/api/auth/login/").header("user-agent", "Phone/2.0").json(login).await.ok();
    let alice = server.bearing(
        answer["user"]["id"].as_i64().unwrap(),
        "alice",
        answer["tokens"]["access"].as_str().unwrap().to_owned(),
    );
    server.advance(secs(30)).await;
    alice.beat_with(json!({"activity": "idle"})).await;
    let sessions = sessions(&admin, alice.id).await;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let shown = sessions[0].to_string();
    let deadline = rfc3339(server.wall() + secs(120));
    for part in ["Phone/2.0", "127.0.0.1", &began, &server.now(), &deadline, "idle"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    for secret in [&alice.access, "refresh_jti", "jti"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn two_logins_are_two_and_a_logout_leaves_one() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    assert_eq!(sessions(&admin, phone.id).await.len(), 2);
    phone.logout().await;
    assert_eq!(sessions(&admin, phone.id).await.len(), 1);
    laptop.logout().await;
    assert_eq!(sessions(&admin, phone.id).await.len(), 0);
}

#[tokio::test]
async fn nobody_has_sessions_after_a_suspension() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    admin.act(alice.id, "suspend").await;
    assert_eq!(sessions(&admin, alice.id).await.len(), 0);
}

#[tokio::test]
async fn the_address_is_what_a_trusted_proxy_says() {
    let server = TestServer::start_with(|settings| {
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a net")];
    })
    .await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let login = json!({"username": "alice", "password": crate::harness::PASSWORD});
    server.post("/api/auth/login/").header("x-forwarded-for", "198.51.100.7").json(login).await.ok();
    let sessions = sessions(&admin, id).await;
    assert!(sessions[0].to_string().contains("198.51.100.7"), "{sessions:?}");
}

#[tokio::test]
async fn a_strange_user_agent_is_no_trouble() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let login = json!({"username": "alice", "password": crate::harness::PASSWORD});
    let long = "A".repeat(5_000);
    for agent in ["", "<script>alert(1)</script>", &long] {
        server.post("/api/auth/login/").header("user-agent", agent).json(login.clone()).await.ok();
    }
    let call = server.post("/api/auth/login/").header_bytes("user-agent", b"\xff\xfe\xe4");
    call.json(login).await.ok();
    assert_eq!(sessions(&admin, id).await.len(), 4);
}

async fn sessions(admin: &Visitor, id: i64) -> Vec<Value> {
    let told = admin.get(&format!("/api/users/admin/users/{id}/sessions/")).await.ok();
    told["sessions"].as_array().unwrap_or_else(|| panic!("{told} has sessions")).clone()
}
