//! `/api/users/admin/users/{id}/sessions/` and `…/sessions/{session}/`

use presently_testkit::http::{Shown, TestServer, Visitor, claims, rfc3339, text};
use presently_testkit::secs;
use serde_json::{Value, json};

#[tokio::test]
async fn each_live_session_is_there_with_its_device_and_its_times() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("alice").await;
    let login = json!({"username": "alice", "password": presently_testkit::PASSWORD});
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
    let login = json!({"username": "alice", "password": presently_testkit::PASSWORD});
    server.post("/api/auth/login/").header("x-forwarded-for", "198.51.100.7").json(login).await.ok();
    let sessions = sessions(&admin, id).await;
    assert!(sessions[0].to_string().contains("198.51.100.7"), "{sessions:?}");
}

#[tokio::test]
async fn a_strange_user_agent_is_no_trouble() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let login = json!({"username": "alice", "password": presently_testkit::PASSWORD});
    let long = "A".repeat(5_000);
    for agent in ["", "<script>alert(1)</script>", &long] {
        server.post("/api/auth/login/").header("user-agent", agent).json(login.clone()).await.ok();
    }
    let call = server.post("/api/auth/login/").header_bytes("user-agent", b"\xff\xfe\xe4");
    call.json(login).await.ok();
    assert_eq!(sessions(&admin, id).await.len(), 4);
}

#[tokio::test]
async fn one_that_is_ended_goes_with_its_tokens_and_the_others_stay() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    laptop.beat_with(json!({"activity": "idle"})).await;
    let login = server.now();
    server.advance(secs(5)).await;
    for session in sessions(&admin, phone.id).await {
        let id = text(&session["id"]);
        if json!(id) == claims(&phone.access)["sid"] {
            let answer = admin.delete(&path(phone.id, &id)).await;
            assert_eq!((answer.status, answer.text.as_str()), (204, ""));
            admin.delete(&path(phone.id, &id)).await.problem(404, "session_not_found");
        }
    }
    phone.is_shut_out().await;
    laptop.is_not_shut_out().await;
    assert_eq!(server.shown(&admin, phone.id).await, Shown::at("away", &login), "last_seen stays");
    assert_eq!(sessions(&admin, phone.id).await.len(), 1);
    let audit = admin.get("/api/users/admin/audit/").await.ok();
    assert_eq!(audit["entries"][0]["action"], "end_session");
    assert_eq!(audit["entries"][0]["target"]["id"], phone.id);
}

#[tokio::test]
async fn a_tabs_session_ends_with_its_whole_login() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for (turn, encoded) in [false, true].into_iter().enumerate() {
        let alice = if turn == 0 { alice.clone() } else { server.login("alice").await };
        alice.beat_with(json!({"session": "tab one"})).await;
        let ids: Vec<_> = sessions(&admin, alice.id).await.iter().map(|session| text(&session["id"])).collect();
        let tab = ids.iter().find(|id| id.ends_with("/tab one")).unwrap_or_else(|| panic!("{ids:?}"));
        let tab = tab.replace(' ', "%20");
        let tab = if encoded { tab.replace('/', "%2F") } else { tab };
        admin.delete(&path(alice.id, &tab)).await.is(204);
        alice.is_shut_out().await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    }
}

#[tokio::test]
async fn a_token_made_elsewhere_ends_for_good() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(alice.id, "alice");
    foreign.beat().await;
    let jti = text(&claims(&foreign.access)["jti"]);
    admin.delete(&path(alice.id, &jti)).await.is(204);
    foreign.is_shut_out().await;
    alice.is_not_shut_out().await;
    server.restart().await;
    foreign.is_shut_out().await;
}

#[tokio::test]
async fn nothing_of_others_ends() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    let of_bob = text(&claims(&bob.access)["sid"]);
    for session in [of_bob.as_str(), "none", "%00", "a/b/c", &"x".repeat(300)] {
        admin.delete(&path(alice.id, session)).await.problem(404, "session_not_found");
    }
    admin.delete(&path(999_999, &of_bob)).await.problem(404, "user_not_found");
    bob.is_not_shut_out().await;
}

fn path(id: i64, session: &str) -> String {
    format!("/api/users/admin/users/{id}/sessions/{session}/")
}

async fn sessions(admin: &Visitor, id: i64) -> Vec<Value> {
    let told = admin.get(&format!("/api/users/admin/users/{id}/sessions/")).await.ok();
    told["sessions"].as_array().unwrap_or_else(|| panic!("{told} has sessions")).clone()
}
