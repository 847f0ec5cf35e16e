//! `POST /api/presence/touch`: evidence that an application reports.

use presently_accounts::AccountStatus;
use presently_testkit::http::{Shown, TICK, TIMEOUT, TestServer};
use presently_testkit::secs;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::helpers::{Application, KEYS, database, heard, presence, sessions, status};

#[tokio::test]
async fn it_brings_users_online_for_the_timeout_and_not_a_moment_longer() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let alice = server.account("alice").await;
    assert_eq!(server.shown(&admin, alice).await, Shown::never("offline"));
    application.touch(&server, vec![heard(alice)]).await;
    let touched = server.now();
    assert_eq!(server.shown(&admin, alice).await, Shown::at("online", &touched));
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.shown(&admin, alice).await, Shown::at("online", &touched));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice).await, Shown::at("offline", &touched));
    assert_eq!(server.history(alice).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn it_renews_who_is_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let alice = server.account("alice").await;
    for _ in 0..5 {
        application.touch(&server, vec![heard(alice)]).await;
        assert_eq!(server.shown(&admin, alice).await, Shown::at("online", &server.now()));
        server.advance(secs(119)).await;
    }
    assert_eq!(server.history(alice).await, ["offline->online"]);
}

#[tokio::test]
async fn ids_without_an_account_are_welcome() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let names = ["shop:anna", "4711", "0", "-1", "05", "é/ü %2F 🦀", &"x".repeat(128)];
    application.touch(&server, names.iter().map(heard).collect()).await;
    for name in names {
        let presence = presence(&server, name).await;
        assert_eq!((presence.status.as_str(), presence.last_seen), ("online", Some(server.wall())), "{name}");
    }
    assert_eq!(status(&server, "5").await, "offline", "05 is somebody else");
    server.advance(TIMEOUT).await;
    for name in names {
        assert_eq!(status(&server, name).await, "offline", "{name}");
    }
}

#[tokio::test]
async fn who_has_no_account_stands_on_no_list_of_accounts() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    application.touch(&server, ["shop:anna", "4711", "0", "-1"].iter().map(heard).collect()).await;
    let online = admin.get("/api/users/admin/users/online/").await.ok();
    assert_eq!(online["count"], 1, "the admin alone: {online}");
    let page = admin.get("/api/users/admin/users/?online_status=online&ordering=-last_seen").await.ok();
    assert_eq!(page["count"], 1, "{page}");
    admin.get("/api/users/admin/users/4711/online-status/").await.problem(404, "user_not_found");
}

#[tokio::test]
async fn it_merges_with_what_else_is_heard_of_the_user() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let alice = server.visitor("alice").await;
    alice.beat_with(json!({"activity": "idle"})).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "away");
    application.touch(&server, vec![heard(alice.id)]).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online", "any active session is enough");
    let idle = json!({"user_id": alice.id.to_string(), "activity": "idle"});
    application.touch(&server, vec![idle]).await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "away", "both are idle");
    server.advance(secs(60)).await;
    application.touch(&server, vec![heard(alice.id)]).await;
    let touched = server.now();
    alice.logout().await;
    assert_eq!(server.shown(&admin, alice.id).await.status, "online", "a logout ends the login's sessions only");
    server.advance(TIMEOUT).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &touched));
}

#[tokio::test]
async fn sessions_of_one_user_live_and_end_by_themselves() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let tab = |name: &str, activity: &str| json!({"user_id": "anna", "session": name, "activity": activity});
    application.touch(&server, vec![tab("a", "active"), tab("b", "idle"), heard("anna")]).await;
    let own = format!("app-{}", application.id);
    assert_eq!(sessions(&server, "anna"), [format!("{own}/a"), format!("{own}/b"), own.clone()]);
    server.advance(secs(60)).await;
    application.touch(&server, vec![tab("b", "idle")]).await;
    assert_eq!(status(&server, "anna").await, "online");
    server.advance(secs(60)).await;
    assert_eq!(status(&server, "anna").await, "away", "the idle one is left");
    assert_eq!(sessions(&server, "anna"), [format!("{own}/b")]);
    server.advance(secs(60)).await;
    assert_eq!(status(&server, "anna").await, "offline");
}

#[tokio::test]
async fn two_applications_do_not_share_a_session() {
    let server = TestServer::start().await;
    let (shop, chat) = (Application::of(&server, "shop").await, Application::of(&server, "chat").await);
    let idle = json!({"user_id": "anna", "session": "1", "activity": "idle"});
    let active = json!({"user_id": "anna", "session": "1"});
    shop.touch(&server, vec![idle.clone()]).await;
    chat.touch(&server, vec![active]).await;
    shop.touch(&server, vec![idle]).await;
    assert_eq!(status(&server, "anna").await, "online");
    assert_eq!(sessions(&server, "anna").len(), 2);
}

#[tokio::test]
async fn idle_is_away_and_a_touch_without_activity_is_an_active_one() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    for (activity, expected) in
        [(json!("idle"), "away"), (Value::Null, "online"), (json!("idle"), "away"), (json!("active"), "online")]
    {
        application.touch(&server, vec![json!({"user_id": "anna", "activity": activity})]).await;
        assert_eq!(status(&server, "anna").await, expected, "{activity}");
    }
    application.touch(&server, vec![json!({"user_id": "bob", "activity": "idle"})]).await;
    server.advance(TIMEOUT).await;
    assert_eq!(status(&server, "bob").await, "offline", "away expires like the others");
}

#[tokio::test]
async fn one_user_may_stand_in_a_call_more_than_once_and_the_last_word_holds() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    application.touch(&server, vec![heard("anna"), json!({"user_id": "anna", "activity": "idle"})]).await;
    assert_eq!(status(&server, "anna").await, "away");
}

#[tokio::test]
async fn who_may_not_be_present_is_not_taken_and_named() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let alice = server.account("alice").await;
    let mut barred = vec![
        server.account_in("sue", AccountStatus::Suspended).await,
        server.account_in("ben", AccountStatus::Banned).await,
        server.account_in("pat", AccountStatus::Pending).await,
    ];
    let dea = server.account("dea").await;
    admin.patch(&format!("/api/users/admin/users/{dea}/")).json(json!({"is_active": false})).await.ok();
    // Accounts that were made beside the server's API are barred when it hears of them.
    server.app().follow_changes().await.unwrap();
    barred.push(dea);
    let users: Vec<_> = [alice].iter().chain(&barred).map(heard).collect();
    let answer = application.try_touch(&server, users).await.ok();
    let rejected: Vec<_> =
        barred.iter().map(|id| json!({"user_id": id.to_string(), "code": "account_not_active"})).collect();
    assert_eq!(answer, json!({"accepted": 1, "rejected": rejected}));
    assert_eq!(server.shown(&admin, alice).await.status, "online");
    for id in barred {
        assert_eq!(server.shown(&admin, id).await, Shown::never("offline"));
    }
}

#[tokio::test]
async fn a_suspension_ends_what_was_touched_and_an_activation_allows_it_again() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let alice = server.account("alice").await;
    application.touch(&server, vec![heard(alice)]).await;
    let touched = server.now();
    server.advance(secs(10)).await;
    admin.act(alice, "suspend").await;
    assert_eq!(server.shown(&admin, alice).await, Shown::at("offline", &touched));
    assert_eq!(application.try_touch(&server, vec![heard(alice)]).await.ok()["accepted"], 0);
    assert_eq!(server.shown(&admin, alice).await, Shown::at("offline", &touched));
    admin.act(alice, "activate").await;
    application.touch(&server, vec![heard(alice)]).await;
    assert_eq!(server.shown(&admin, alice).await, Shown::at("online", &server.now()));
}

#[tokio::test]
async fn ten_thousand_users_fit_into_a_call() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let users: Vec<_> = (0..10_000).map(|n| json!({"user_id": format!("u{n}"), "session": "s"})).collect();
    application.touch(&server, users.clone()).await;
    assert_eq!(server.app().presently().counts().online, 10_000);
    server.advance(TIMEOUT - TICK).await;
    application.touch(&server, users).await;
    server.advance(TIMEOUT - TICK).await;
    assert_eq!(server.app().presently().counts().online, 10_000);
    server.advance(TICK).await;
    assert_eq!(server.app().presently().counts().online, 0);
}

#[tokio::test]
async fn the_steady_state_writes_no_row_of_a_user() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let users: Vec<_> = (0..500).map(|n| heard(format!("u{n}"))).collect();
    application.touch(&server, users.clone()).await;
    let before = rows(&server).await;
    assert!(before.contains("u499"), "the first touch is kept: {}", &before[..200]);
    for _ in 0..5 {
        server.advance(secs(8)).await;
        application.touch(&server, users.clone()).await;
    }
    assert_eq!(rows(&server).await, before);
    assert_eq!(presence(&server, "u7").await.last_seen, Some(server.wall()));
}

/// All that is kept of users and keys, as text.
async fn rows(server: &TestServer) -> String {
    let app = server.app();
    server.on_server(async move { app.presently().settled().await }).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database(server)).read_only(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let mut text = String::new();
    for sql in [
        "SELECT group_concat(concat_ws(' ', user_id, online_status, last_seen, since), '\n') FROM presence",
        "SELECT group_concat(concat_ws(' ', number, user_id, session, activity, last_evidence), '\n') FROM sessions",
        "SELECT group_concat(concat_ws(' ', id, user_id, to_status, at, last_seen), '\n') FROM transitions",
        "SELECT group_concat(concat_ws(' ', seq, user_id), '\n') FROM account_changes",
        "SELECT group_concat(concat_ws(' ', id, action), '\n') FROM audit_log",
    ] {
        let rows: Option<String> = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        text.push_str(&rows.unwrap_or_default());
        text.push('\n');
    }
    text
}

#[tokio::test]
async fn a_restart_makes_nobody_offline_who_is_touched_in_time() {
    let mut server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    application.touch(&server, vec![heard("anna"), heard("bob")]).await;
    server.restart_after(secs(3_600)).await;
    assert_eq!(status(&server, "anna").await, "online");
    server.advance(secs(60)).await;
    application.touch(&server, vec![heard("anna")]).await;
    server.advance(secs(60)).await;
    assert_eq!((status(&server, "anna").await, status(&server, "bob").await), ("online", "offline"));
}

#[tokio::test]
async fn it_ends_a_status_that_an_admin_set_until_the_next_evidence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let alice = server.account("alice").await;
    application.touch(&server, vec![heard(alice)]).await;
    admin.set(alice, json!({"status": "offline"})).await.ok();
    assert_eq!(server.shown(&admin, alice).await.status, "offline");
    application.touch(&server, vec![heard(alice)]).await;
    assert_eq!(server.shown(&admin, alice).await.status, "online");
    admin.set(alice, json!({"status": "away", "expires_in": 600})).await.ok();
    application.touch(&server, vec![heard(alice)]).await;
    assert_eq!(server.shown(&admin, alice).await.status, "away", "an override stands on top");
}

/// Calls of 10,000 users and a revocation at once: what is heard after the revocation was answered is not taken.
#[tokio::test]
async fn nothing_is_taken_after_the_end_of_the_key() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let users: Vec<_> = (0..10_000).map(|n| heard(format!("u{n}"))).collect();
    let path = format!("{KEYS}{}/", application.id);
    let touching = application.try_touch(&server, users.clone());
    let (touched, revoked) = tokio::join!(touching, async { admin.delete(&path).await });
    revoked.is(204);
    assert!(matches!(touched.status, 200 | 401), "{touched:?}");
    server.advance(secs(1)).await;
    let ended = server.wall();
    application.try_touch(&server, users).await.problem(401, "token_not_valid");
    for user in ["u0", "u5000", "u9999"] {
        assert!(presence(&server, user).await.last_seen.is_none_or(|seen| seen < ended), "{user}");
    }
}
