//! `/api/users/heartbeat/`

use presently_accounts::AccountStatus;
use presently_server::CorsOrigins;
use presently_testkit::http::{Shown, TICK, TIMEOUT, TestServer, assert_time, keys};
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn it_is_recorded() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(30)).await;
    let told = alice.beat().await;
    assert_eq!(told, json!({"message": "Heartbeat recorded", "online_status": "online", "last_seen": server.now()}));
    assert_time(&told["last_seen"]);
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn it_renews_the_deadline() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(100)).await;
    alice.beat().await;
    let beat = server.now();
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &beat));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &beat));
}

#[tokio::test]
async fn it_brings_back_who_was_offline() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(500)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    assert_eq!(alice.beat().await["online_status"], "online");
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn an_idle_one_makes_its_session_away_and_an_active_one_brings_it_back() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    assert_eq!(alice.beat_with(json!({"activity": "idle"})).await["online_status"], "away");
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &server.now()));
    assert_eq!(alice.beat_with(json!({"activity": "active"})).await["online_status"], "online");
    assert_eq!(alice.beat_with(json!({"activity": "idle"})).await["online_status"], "away");
    assert_eq!(alice.beat().await["online_status"], "online", "a heartbeat without activity is an active one");
    assert_eq!(alice.beat_with(json!({"activity": "idle"})).await["online_status"], "away");
    assert_eq!(alice.beat_with(json!({})).await["online_status"], "online");
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
}

#[tokio::test]
async fn an_idle_one_is_evidence_all_the_same() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for _ in 0..4 {
        server.advance(secs(100)).await;
        let told = alice.beat_with(json!({"activity": "idle"})).await;
        assert_eq!(told["last_seen"], server.now());
    }
    let last = server.now();
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &last));
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &last));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &last), "away expires like the others");
}

#[tokio::test]
async fn one_that_names_a_session_renews_that_one_only() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(100)).await;
    let told = alice.beat_with(json!({"session": "tab", "activity": "idle"})).await;
    assert_eq!(told["online_status"], "online", "the login's own session is still active");
    server.advance(secs(20)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "away", "and ends at its own deadline");
    server.advance(secs(100)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->away", "away->offline"]);
}

#[tokio::test]
async fn one_that_names_no_session_renews_the_logins_own() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"activity": "idle"})).await;
    alice.beat_with(json!({"session": "tab"})).await;
    server.advance(secs(60)).await;
    alice.beat_with(json!({"activity": "idle"})).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online", "by the tab");
    server.advance(secs(60)).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "away", "the tab is silent, the login is not");
}

#[tokio::test]
async fn the_most_present_session_counts() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"activity": "idle"})).await;
    alice.beat_with(json!({"session": "one", "activity": "idle"})).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "away");
    alice.beat_with(json!({"session": "two", "activity": "active"})).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    alice.beat_with(json!({"session": "one", "activity": "idle"})).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    let told = alice.beat_with(json!({"session": "two", "activity": "idle"})).await;
    assert_eq!(told["online_status"], "away");
    assert_eq!(server.shown(&admin, alice.id).await.status, "away");
}

#[tokio::test]
async fn a_plain_request_keeps_who_is_away_away() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"activity": "idle"})).await;
    for _ in 0..5 {
        server.advance(secs(50)).await;
        alice.get("/api/users/all-users/").await.ok();
        assert_eq!(server.shown(&admin, alice.id).await, Shown::at("away", &server.now()));
    }
    server.advance(TIMEOUT).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    alice.get("/api/users/all-users/").await.ok();
    assert_eq!(server.shown(&admin, alice.id).await.status, "online", "a new session begins active");
}

#[tokio::test]
async fn session_names_are_any_text() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for name in ["1", "tab-id", "..", "ünï", "\u{1F600}", "with space", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"] {
        alice.beat_with(json!({"session": name})).await;
    }
}

#[tokio::test]
async fn a_session_name_that_is_too_long_is_a_400() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"session": "s".repeat(36)})).await;
    for length in [129, 1_000, 100_000] {
        let body = json!({"session": "s".repeat(length)});
        alice.post("/api/users/heartbeat/").json(body).await.names_field("session");
    }
}

#[tokio::test]
async fn endless_tabs_push_out_the_oldest_and_the_user_stays_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for tab in 0..300 {
        if tab % 90 == 89 {
            // A user opens no more than ten sessions a second in the long run.
            server.advance(secs(9)).await;
        }
        alice.beat_with(json!({"session": format!("tab-{tab}")})).await;
    }
    let sessions = server.app().presently().counts().sessions;
    assert!((50..=150).contains(&sessions), "nothing grows without a limit: {sessions}");
    assert_eq!(server.shown(&admin, alice.id).await.status, "online");
    alice.logout().await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_bad_activity_is_a_400_that_names_the_field() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for activity in [json!("asleep"), json!(""), json!("ACTIVE"), json!(5), json!(true), json!([]), json!({})] {
        let body = json!({"activity": activity});
        alice.post("/api/users/heartbeat/").json(body).await.names_field("activity");
    }
    assert_eq!(alice.own().await.status, "online");
}

#[tokio::test]
async fn get_tells_the_callers_own() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    let told = alice.get("/api/users/heartbeat/").await.ok();
    assert!(keys(&told).contains(&"online_status") && keys(&told).contains(&"last_seen"), "{told}");
    assert_eq!(Shown::of(&told), Shown::at("online", &login));
    alice.beat_with(json!({"activity": "idle"})).await;
    assert_eq!(alice.own().await, Shown::at("away", &login));
    server.advance(TIMEOUT).await;
    assert_eq!(alice.own().await, Shown::at("offline", &login));
    assert_eq!(server.foreign(server.account("bob").await, "bob").own().await, Shown::never("offline"));
}

#[tokio::test]
async fn get_is_no_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    for _ in 0..12 {
        server.advance(secs(10)).await;
        alice.get("/api/users/heartbeat/").await.ok();
        alice.get("/api/users/heartbeat").await.ok();
    }
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    alice.own().await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_refused_one_is_still_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(60)).await;
    alice.post("/api/users/heartbeat/").json(json!({"activity": "asleep"})).await.is(400);
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
    server.advance(secs(60)).await;
    alice.post("/api/users/heartbeat/").raw("{").await.is(400);
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn many_of_them_change_nothing_but_last_seen() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for _ in 0..200 {
        server.advance(secs(15)).await;
        alice.beat().await;
    }
    assert_eq!(server.history(alice.id).await, ["offline->online"]);
    server.login("boss").await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn a_page_of_another_origin_gets_the_same_answers() {
    let server = TestServer::start_with(|settings| settings.cors_origins = CorsOrigins::Any).await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let suspended = server.visitor("suspended").await;
    admin.act(suspended.id, "suspend").await;
    server.advance(secs(2)).await;
    let late = server.foreign_token(suspended.id);
    let pending = server.account_in("pending", AccountStatus::Pending).await;
    let long = format!(r#"{{"session":"{}"}}"#, "s".repeat(500));
    let bodies = [
        "",
        "{}",
        " ",
        "{",
        "[]",
        "null",
        "5",
        r#"{"activity":"idle"}"#,
        r#"{"activity":"active"}"#,
        r#"{"activity":"x"}"#,
        r#"{"activity":5}"#,
        r#"{"activity":null}"#,
        r#"{"session":"tab"}"#,
        r#"{"session":""}"#,
        r#"{"session":null}"#,
        r#"{"session":"tab","activity":"idle"}"#,
        r#"{"session":"\ud800"}"#,
        r#"{"other":[1,2,{}]}"#,
        &long,
    ];
    let tokens = [
        alice.access.clone(),
        alice.refresh.clone(),
        suspended.access.clone(),
        late,
        server.foreign_token(alice.id),
        server.foreign_token(pending),
        server.foreign_token(99_999),
        "garbage".to_owned(),
        String::new(),
    ];
    for path in ["/api/users/heartbeat/", "/api/users/heartbeat", "/api/users/heartbeat/?a=b"] {
        for token in &tokens {
            for body in bodies {
                server.advance(TICK).await;
                let call = || match token.as_str() {
                    "" => server.post(path).raw(body),
                    token => server.post(path).bearer(token).raw(body),
                };
                let plain = call().await;
                let from_page = call().header("origin", "http://localhost:5173").await;
                assert_eq!(plain.status, from_page.status, "{path} with {body}");
                assert_eq!(plain.json(), from_page.json(), "{path} with {body}");
                for name in ["content-type", "cache-control", "www-authenticate", "x-content-type-options"] {
                    assert_eq!(plain.header(name), from_page.header(name), "{name} of {path} with {body}");
                }
            }
        }
    }
}
