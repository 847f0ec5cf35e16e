//! `POST /api/auth/login/`

use presently_accounts::{AccountStatus, Changes, Draft};
use presently_testkit::http::{Shown, TestServer, assert_time, claims, draft, keys, text};
use presently_testkit::{PASSWORD, secs};
use serde_json::json;

#[tokio::test]
async fn a_login_answers_the_user_and_two_tokens() {
    let server = TestServer::start().await;
    let id = server.account("alice").await;
    for path in ["/api/auth/login/", "/api/users/login/"] {
        let body = json!({"username": "alice", "password": PASSWORD});
        let answer = server.post(path).json(body).await.ok();
        assert_eq!(keys(&answer), ["tokens", "user"]);
        assert_eq!(keys(&answer["tokens"]), ["access", "refresh"]);
        assert_eq!(answer["user"]["id"], id);
        assert_eq!(answer["user"]["username"], "alice");
    }
}

#[tokio::test]
async fn the_user_is_online_now_and_the_answer_already_says_so() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("alice").await;
    server.advance(secs(7)).await;
    let alice = server.login("alice").await;
    let now = Shown::at("online", &server.now());
    assert_eq!(Shown::of(&alice.user), now);
    assert_eq!(alice.user["is_online"], true);
    assert_eq!(server.shown(&admin, alice.id).await, now);
}

#[tokio::test]
async fn user_has_every_field_of_the_contract() {
    let server = TestServer::start().await;
    server.account_with(Draft { first_name: "Ada".into(), last_name: "Byron".into(), ..draft("alice") }).await;
    let user = server.login("alice").await.user;
    let expected = [
        "avatar",
        "bio",
        "created_at",
        "display_status",
        "email",
        "email_verified",
        "first_name",
        "full_name",
        "id",
        "is_active",
        "is_approved",
        "is_online",
        "is_staff",
        "join_date",
        "last_name",
        "last_seen",
        "message_count",
        "online_status",
        "report_count",
        "role",
        "status",
        "updated_at",
        "username",
    ];
    assert_eq!(keys(&user), expected);
    assert_eq!(user["email"], "alice@example.org");
    assert_eq!(user["full_name"], "Ada Byron");
    assert_eq!(user["avatar"], json!(null));
    assert_eq!(user["bio"], "");
    assert_eq!(user["role"], "user");
    assert_eq!(user["status"], "active");
    assert_eq!(user["display_status"], "active");
    assert_eq!(user["is_active"], true);
    assert_eq!(user["is_staff"], false);
    assert_eq!(user["message_count"], 0);
    assert_eq!(user["report_count"], 0);
    assert!(user["email_verified"].is_boolean());
    assert!(user["is_approved"].is_boolean());
    for time in ["last_seen", "join_date", "created_at", "updated_at"] {
        assert_time(&user[time]);
    }
}

#[tokio::test]
async fn the_tokens_say_what_the_contract_says() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let access = claims(&alice.access);
    let refresh = claims(&alice.refresh);
    assert_eq!(access["token_type"], "access");
    assert_eq!(refresh["token_type"], "refresh");
    for token in [&access, &refresh] {
        assert_eq!(token["iat"], server.unix());
        assert!(token["jti"].as_str().is_some_and(|jti| !jti.is_empty()));
        assert!(token["sid"].as_str().is_some_and(|sid| !sid.is_empty()));
        let user_id = &token["user_id"];
        assert!(*user_id == json!(alice.id) || *user_id == json!(alice.id.to_string()), "{user_id}");
    }
    assert_eq!(access["exp"], server.unix() + 3_600);
    assert_eq!(refresh["exp"], server.unix() + 7 * 86_400);
    assert_eq!(access["sid"], refresh["sid"]);
    assert_ne!(access["jti"], refresh["jti"]);
    let again = server.login("alice").await;
    assert_ne!(claims(&again.access)["sid"], access["sid"], "each login is a session of its own");
}

#[tokio::test]
async fn the_lifetimes_are_settings() {
    let server = TestServer::start_with(|settings| {
        settings.access_token_lifetime = secs(90);
        settings.refresh_token_lifetime = secs(900);
    })
    .await;
    let alice = server.visitor("alice").await;
    assert_eq!(claims(&alice.access)["exp"], server.unix() + 90);
    assert_eq!(claims(&alice.refresh)["exp"], server.unix() + 900);
}

#[tokio::test]
async fn a_missing_or_blank_field_is_a_400_with_the_known_sentence() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let bodies = [
        json!({}),
        json!({"username": "alice"}),
        json!({"password": PASSWORD}),
        json!({"username": "", "password": PASSWORD}),
        json!({"username": "alice", "password": ""}),
        json!({"username": "   ", "password": PASSWORD}),
        json!({"username": "\t\n", "password": PASSWORD}),
        json!({"username": "", "password": ""}),
    ];
    for body in bodies {
        let told = server.post("/api/auth/login/").json(body).await.is(400);
        assert_eq!(told["error"], "Username and password are required");
        assert_eq!(told["detail"], "Username and password are required");
    }
    let told = server.post("/api/auth/login/").await.is(400);
    assert_eq!(told["error"], "Username and password are required", "no body is no field");
}

#[tokio::test]
async fn unknown_user_wrong_password_and_deactivated_account_are_not_told_apart() {
    let server = TestServer::start().await;
    server.account("alice").await;
    deactivated(&server, "gone").await;
    let unknown = server.try_login("nobody", PASSWORD).await;
    let wrong = server.try_login("alice", "wrong password").await;
    let inactive = server.try_login("gone", PASSWORD).await;
    let inactive_wrong = server.try_login("gone", "wrong password").await;
    let expected = wrong.problem(401, "invalid_credentials");
    for answer in [unknown, inactive, inactive_wrong] {
        assert_eq!(answer.problem(401, "invalid_credentials"), expected);
        assert_eq!(answer.headers.len(), wrong.headers.len());
    }
}

#[tokio::test]
async fn unknown_user_wrong_password_and_deactivated_account_take_the_same_time() {
    let server = TestServer::start().await;
    server.account("alice").await;
    deactivated(&server, "gone").await;
    // The fastest of each: what else the machine does only ever adds.
    let mut fastest = [secs(60); 3];
    for round in 0..40 {
        let unknown = format!("nobody-{round}");
        let tries = [("alice", "wrong password"), (unknown.as_str(), PASSWORD), ("gone", PASSWORD)];
        for (at, (username, password)) in tries.into_iter().enumerate() {
            let began = tokio::time::Instant::now();
            server.try_login(username, password).await.is(401);
            fastest[at] = fastest[at].min(began.elapsed());
        }
        let [wrong, unknown, inactive] = fastest;
        if round >= 4 && [unknown, inactive].iter().all(|other| *other * 2 > wrong && wrong * 2 > *other) {
            return;
        }
        // Not so many in a minute that they would be throttled.
        server.advance(secs(61)).await;
    }
    panic!("wrong password, unknown user, deactivated account: {fastest:?}");
}

#[tokio::test]
async fn the_state_of_an_account_is_told_only_after_the_right_password() {
    let server = TestServer::start().await;
    let states = [
        ("suspended", AccountStatus::Suspended, "account_suspended"),
        ("banned", AccountStatus::Banned, "account_banned"),
        ("pending", AccountStatus::Pending, "account_pending"),
    ];
    for (name, status, code) in states {
        server.account_in(name, status).await;
        server.try_login(name, "wrong password").await.problem(401, "invalid_credentials");
        server.try_login(name, PASSWORD).await.problem(403, code);
    }
}

#[tokio::test]
async fn a_refused_login_makes_nobody_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.account("alice").await;
    let bob = server.account_in("bob", AccountStatus::Suspended).await;
    server.try_login("alice", "wrong password").await.is(401);
    server.try_login("bob", PASSWORD).await.is(403);
    assert_eq!(server.shown(&admin, alice).await, Shown::never("offline"));
    assert_eq!(server.shown(&admin, bob).await, Shown::never("offline"));
}

#[tokio::test]
async fn a_stale_authorization_header_does_no_harm() {
    let server = TestServer::start().await;
    let old = server.visitor("alice").await;
    old.logout().await;
    let body = json!({"username": "alice", "password": PASSWORD});
    let long = "x".repeat(3_000);
    for stale in [&*old.access, "garbage", "", &*long, &*server.foreign_token(99_999)] {
        server.post("/api/auth/login/").bearer(stale).json(body.clone()).await.ok();
    }
    server.post("/api/auth/login/").header("authorization", "Basic eA==").json(body).await.ok();
}

#[tokio::test]
async fn each_login_is_a_session_of_its_own() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let phone = server.visitor("alice").await;
    let laptop = server.login("alice").await;
    phone.logout().await;
    phone.is_shut_out().await;
    assert_eq!(server.shown(&admin, laptop.id).await.status, "online");
    laptop.beat().await;
}

#[tokio::test]
async fn a_login_of_somebody_who_is_away_makes_them_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let tab = server.visitor("alice").await;
    tab.beat_with(json!({"activity": "idle"})).await;
    assert_eq!(server.shown(&admin, tab.id).await.status, "away");
    let fresh = server.login("alice").await;
    assert_eq!(text(&fresh.user["online_status"]), "online");
    assert_eq!(server.shown(&admin, tab.id).await.status, "online");
}

#[tokio::test]
async fn passwords_are_taken_as_they_are() {
    let server = TestServer::start().await;
    for (name, password) in [("spaces", "  correct horse battery  "), ("letters", "пароль-длинный-\u{1F600}")]
    {
        server.account_with(Draft { password: password.to_owned(), ..draft(name) }).await;
        server.try_login(name, password).await.ok();
        server.try_login(name, password.trim_end_matches([' ', '\u{1F600}'])).await.problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_very_long_password_is_refused_quickly() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let answer = server.try_login("alice", &"p".repeat(200_000)).await;
    assert!(matches!(answer.status, 400 | 401 | 413), "{}", answer.text);
}

async fn deactivated(server: &TestServer, username: &str) {
    let id = server.account(username).await;
    let app = server.app();
    let now = jiff::Timestamp::from_microsecond(server.wall().0).unwrap();
    let changes = Changes { is_active: Some(false), end_sessions: true, ..Changes::default() };
    let account = presently_accounts::AccountId(id);
    server.on_server(async move { app.accounts().update(account, changes, now, None).await }).await.unwrap();
}
