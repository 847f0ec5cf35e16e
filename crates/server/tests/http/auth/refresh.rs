//! `POST /api/auth/refresh/`

use presently_accounts::RefreshRotation;
use presently_testkit::http::{Answer, Shown, TICK, TIMEOUT, TestServer, claims, keys, text};
use presently_testkit::secs;
use serde_json::{Value, json};

#[tokio::test]
async fn a_refresh_token_buys_two_new_tokens() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(1)).await;
    let pair = refresh(&server, &alice.refresh).await.ok();
    assert_eq!(keys(&pair), ["access", "refresh"]);
    assert_ne!(pair["refresh"], json!(alice.refresh), "it rotates");
    assert_ne!(pair["access"], json!(alice.access));
    let access = claims(&text(&pair["access"]));
    assert_eq!(access["sid"], claims(&alice.access)["sid"], "the session stays");
    assert_eq!(access["exp"], server.unix() + 3_600);
    server.get("/api/auth/profile/").bearer(&text(&pair["access"])).await.ok();
    alice.beat().await;
    refresh(&server, &text(&pair["refresh"])).await.ok();
}

#[tokio::test]
async fn it_has_a_twin_under_users() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let pair = server.post("/api/users/refresh/").json(json!({"refresh": alice.refresh})).await.ok();
    refresh(&server, &text(&pair["refresh"])).await.ok();
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_session() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let other = server.login("alice").await;
    let pair = refresh(&server, &alice.refresh).await.ok();
    server.advance(secs(10)).await;
    refresh(&server, &alice.refresh).await.problem(401, "token_not_valid");
    alice.is_shut_out().await;
    server.bearing(alice.id, "alice", text(&pair["access"])).is_shut_out().await;
    refresh(&server, &text(&pair["refresh"])).await.problem(401, "token_not_valid");
    other.beat().await;
    refresh(&server, &other.refresh).await.ok();
}

#[tokio::test]
async fn a_stolen_session_leaves_no_ghost() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    refresh(&server, &alice.refresh).await.ok();
    server.advance(secs(10)).await;
    refresh(&server, &alice.refresh).await.is(401);
    server.advance(TIMEOUT).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
}

#[tokio::test]
async fn tabs_that_refresh_at_once_all_stay_signed_in() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let call = server.post("/api/auth/refresh/").json(json!({"refresh": alice.refresh}));
            tokio::spawn(async move { call.await })
        })
        .collect();
    let mut tabs = Vec::new();
    for attempt in tries {
        tabs.push(attempt.await.unwrap().ok());
    }
    server.advance(secs(10) - TICK).await;
    tabs.push(refresh(&server, &alice.refresh).await.ok());
    // Each wakes up in its own time, and goes on with what it was given.
    for tab in &mut tabs {
        server.advance(secs(11)).await;
        server.bearing(alice.id, "alice", text(&tab["access"])).beat().await;
        *tab = refresh(&server, &text(&tab["refresh"])).await.ok();
    }
    refresh(&server, &alice.refresh).await.problem(401, "token_not_valid");
    for tab in &tabs {
        server.bearing(alice.id, "alice", text(&tab["access"])).is_shut_out().await;
    }
}

#[tokio::test]
async fn a_token_in_its_grace_is_good_to_verify_too() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    refresh(&server, &alice.refresh).await.ok();
    let verify = || server.post("/api/auth/verify/").json(json!({"token": alice.refresh}));
    verify().await.ok();
    server.advance(secs(10)).await;
    verify().await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn without_rotation_the_first_token_stays_good() {
    let server = TestServer::start_with(|settings| settings.refresh_rotation = RefreshRotation::Off).await;
    let alice = server.visitor("alice").await;
    for wait in [0, 11, 86_400] {
        server.advance(secs(wait)).await;
        let pair = refresh(&server, &alice.refresh).await.ok();
        assert_eq!(pair["refresh"], json!(alice.refresh));
        server.bearing(alice.id, "alice", text(&pair["access"])).beat().await;
    }
    let again = server.login("alice").await;
    again.logout().await;
    again.is_shut_out().await;
    server.advance(secs(7 * 86_400)).await;
    refresh(&server, &alice.refresh).await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn without_grace_of_many_who_refresh_at_once_with_one_token_at_most_one_succeeds() {
    let server = TestServer::start_with(|settings| settings.refresh_rotation = RefreshRotation::Strict).await;
    let alice = server.visitor("alice").await;
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let call = server.post("/api/auth/refresh/").json(json!({"refresh": alice.refresh}));
            tokio::spawn(async move { call.await })
        })
        .collect();
    let mut pairs = Vec::new();
    for attempt in tries {
        let answer = attempt.await.unwrap();
        if answer.status == 200 {
            pairs.push(answer.json());
        } else {
            answer.problem(401, "token_not_valid");
        }
    }
    assert!(pairs.len() <= 1, "{} succeeded", pairs.len());
    for pair in pairs {
        refresh(&server, &text(&pair["refresh"])).await.problem(401, "token_not_valid");
    }
    alice.is_shut_out().await;
}

#[tokio::test]
async fn only_a_refresh_token_will_do() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    refresh(&server, &alice.access).await.problem(401, "token_not_valid");
    for garbage in ["garbage", "a.b.c", "...", &alice.refresh[1..], &format!("{} ", alice.refresh)] {
        refresh(&server, garbage).await.problem(401, "token_not_valid");
    }
    alice.beat().await;
    refresh(&server, &alice.refresh).await.ok();
}

#[tokio::test]
async fn a_missing_or_blank_token_is_a_400() {
    let server = TestServer::start().await;
    for body in [json!({}), json!({"refresh": ""}), json!({"token": "x"}), json!({"refresh": null})] {
        server.post("/api/auth/refresh/").json(body).await.is(400);
    }
    server.post("/api/auth/refresh/").await.is(400);
}

#[tokio::test]
async fn an_expired_refresh_token_is_refused() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(7 * 86_400 + 1)).await;
    refresh(&server, &alice.refresh).await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn a_refresh_outlives_the_access_token_and_the_presence() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(6 * 86_400)).await;
    alice.get("/api/auth/profile/").await.problem(401, "token_not_valid");
    let pair = refresh(&server, &alice.refresh).await.ok();
    let back = server.bearing(alice.id, "alice", text(&pair["access"]));
    assert_eq!(back.own().await.status, "offline");
    assert_eq!(back.beat().await["online_status"], "online");
}

#[tokio::test]
async fn a_refresh_is_no_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(60)).await;
    let body = json!({"refresh": alice.refresh});
    server.post("/api/auth/refresh/").bearer(&alice.access).json(body).await.ok();
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(secs(60) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_refresh_does_not_bring_anybody_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(TIMEOUT).await;
    refresh(&server, &alice.refresh).await.ok();
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

#[tokio::test]
async fn a_refresh_token_made_elsewhere_is_refused() {
    let server = TestServer::start().await;
    let id = server.account("alice").await;
    let mut claims = server.foreign_claims(id);
    claims["token_type"] = Value::from("refresh");
    refresh(&server, &presently_testkit::http::signed(&claims)).await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn after_suspension_and_deactivation_nothing_is_refreshed() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for act in ["suspend", "ban", "force-logout"] {
        let user = server.visitor(&format!("user-{act}")).await;
        admin.act(user.id, act).await;
        refresh(&server, &user.refresh).await.problem(401, "token_not_valid");
    }
    let user = server.visitor("inactive").await;
    let path = format!("/api/users/admin/users/{}/", user.id);
    admin.patch(&path).json(json!({"is_active": false})).await.ok();
    refresh(&server, &user.refresh).await.problem(401, "token_not_valid");
}

async fn refresh(server: &TestServer, token: &str) -> Answer {
    server.post("/api/auth/refresh/").json(json!({"refresh": token})).await
}
