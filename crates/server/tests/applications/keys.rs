//! The life of a key.

use presently_accounts::WhichKey;
use presently_testkit::http::{TestServer, assert_time, keys, text};
use presently_testkit::secs;
use reqwest::Method;
use serde_json::{Value, json};

use crate::helpers::{Application, KEYS, TOUCH, another_process, is_refused_within_a_second};

#[tokio::test]
async fn a_key_is_shown_once_when_it_is_made() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let made = admin.post(KEYS).json(json!({"name": "billing"})).await.is(201);
    assert_eq!(keys(&made), ["created_at", "id", "key", "last_used_at", "name", "prefix", "revoked_at"]);
    let key = text(&made["key"]);
    assert!(key.starts_with("presently_") && key.len() == 59, "{key}");
    assert!(key.starts_with(made["prefix"].as_str().unwrap()));
    assert_eq!(made["created_at"], server.now());
    assert_time(&made["created_at"]);
    let listed = admin.get(KEYS).await;
    assert!(!listed.text.contains(&key[16..]), "{}", listed.text);
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("key");
    assert_eq!(listed.ok(), json!({"api_keys": [expected], "count": 1}));
}

#[tokio::test]
async fn both_headers_and_any_case_of_bearer_take_it() {
    let server = TestServer::start().await;
    let application = Application::of(&server, "billing").await;
    let call = || server.post(TOUCH).json(json!({"users": []}));
    for value in ["Bearer ", "bearer ", "BEARER  "] {
        call().header("authorization", &format!("{value}{}", application.key)).await.ok();
    }
    call().header("x-api-key", &application.key).await.ok();
    call().header("X-API-KEY", &application.key).header("authorization", "Basic YTpi").await.ok();
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    let other = Application::made_by(&admin, "shop").await;
    application.touch(&server, vec![]).await;
    let path = format!("{KEYS}{}/", application.id);
    assert_eq!(admin.delete(&path).await.is(204), Value::Null);
    let call = || server.post(TOUCH).json(json!({"users": []}));
    call().bearer(&application.key).await.problem(401, "token_not_valid");
    call().header("x-api-key", &application.key).await.problem(401, "token_not_valid");
    other.touch(&server, vec![]).await;
    let listed = admin.get(KEYS).await.ok();
    let seen: Vec<_> = listed["api_keys"].as_array().unwrap().iter().map(|k| (&k["name"], &k["revoked_at"])).collect();
    assert_eq!(seen, [(&json!("shop"), &Value::Null), (&json!("billing"), &json!(server.now()))]);
    admin.delete(&path).await.problem(404, "api_key_not_found");
}

#[tokio::test]
async fn a_key_that_another_process_makes_is_good_at_once_and_revokes_is_refused_within_a_second() {
    let server = TestServer::start().await;
    let (stores, accounts) = another_process(&server).await;
    let now = jiff::Timestamp::from_microsecond(server.wall().0).unwrap();
    let made = accounts.make_key("billing", now, None).await.unwrap();
    let application = Application { id: made.key.id.0, key: made.text };
    application.touch(&server, vec![]).await;
    accounts.revoke_key(&WhichKey::Name("billing".to_owned()), now, None).await.unwrap().unwrap();
    is_refused_within_a_second(&server, &application).await;
    stores.close().await;
}

#[tokio::test]
async fn a_revocation_leaves_accounts_and_users_alone() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    application.touch(&server, vec![json!({"user_id": "0"}), json!({"user_id": "x"})]).await;
    admin.delete(&format!("{KEYS}{}", application.id)).await.is(204);
    let app = server.app();
    // What another process does is followed by now.
    app.follow_changes().await.unwrap();
    for user in ["0", "x"] {
        assert!(app.presently().live(user).is_some(), "{user} stays until their deadline");
    }
    assert_eq!(admin.own().await.status, "online");
}

#[tokio::test]
async fn a_name_is_unique_among_the_keys_that_live() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let make = async || admin.post(KEYS).json(json!({"name": "billing"})).await;
    let first = make().await.is(201);
    make().await.names_field("name");
    admin.delete(&format!("{KEYS}{}/", first["id"])).await.is(204);
    let second = make().await.is(201);
    assert_ne!(first["id"], second["id"]);
}

#[tokio::test]
async fn names_are_checked() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let longest = "é".repeat(100);
    admin.post(KEYS).json(json!({"name": longest})).await.is(201);
    for name in [json!(""), json!(" "), json!("a\nb"), json!("é".repeat(101)), json!(5), json!([]), json!(null)] {
        admin.post(KEYS).json(json!({"name": name})).await.names_field("name");
    }
    admin.post(KEYS).await.names_field("name");
    admin.post(KEYS).raw("[]").await.problem(400, "invalid_json");
    assert_eq!(admin.get(KEYS).await.ok()["count"], 1);
}

#[tokio::test]
async fn only_admins_make_list_and_revoke_keys() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let application = Application::made_by(&admin, "billing").await;
    let one = format!("{KEYS}{}/", application.id);
    for (method, path) in [(Method::GET, KEYS), (Method::POST, KEYS), (Method::DELETE, &one)] {
        server.call(method.clone(), path).await.problem(401, "not_authenticated");
        alice.call(method.clone(), path).await.problem(403, "permission_denied");
        application.call(&server, method.clone(), path).await.problem(403, "permission_denied");
        let bare = path.trim_end_matches('/');
        alice.call(method, bare).await.problem(403, "permission_denied");
    }
    assert_eq!(admin.get(KEYS).await.ok()["count"], 1);
}

#[tokio::test]
async fn a_number_that_no_key_has_is_not_found() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for id in ["4711", "x", "-1", "99999999999999999999", "%00"] {
        admin.delete(&format!("{KEYS}{id}/")).await.problem(404, "api_key_not_found");
    }
    let put = admin.call(Method::PUT, KEYS).await;
    put.problem(405, "method_not_allowed");
    assert_eq!(put.header("allow").unwrap().split(',').count(), 3, "GET, HEAD, POST");
}

#[tokio::test]
async fn what_admins_do_with_keys_is_audited() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    admin.delete(&format!("{KEYS}{}/", application.id)).await.is(204);
    admin.delete(&format!("{KEYS}{}/", application.id)).await.is(404);
    let app = server.app();
    let log = server.on_server(async move { app.accounts().store().audit_page(None, 2).await }).await.unwrap();
    let found: Vec<_> = log.iter().map(|(_, line)| (line.actor.unwrap().0, &*line.action, &*line.detail)).collect();
    let detail = format!("billing (key {})", application.id);
    assert_eq!(found, [(admin.id, "revoke_api_key", &*detail), (admin.id, "create_api_key", &*detail)]);
}

#[tokio::test]
async fn its_use_is_noted() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let application = Application::made_by(&admin, "billing").await;
    application.touch(&server, vec![]).await;
    let (app, now) = (server.app(), jiff::Timestamp::from_microsecond(server.wall().0).unwrap());
    server.on_server(async move { app.accounts().tidy(now).await }).await.unwrap();
    assert_eq!(admin.get(KEYS).await.ok()["api_keys"][0]["last_used_at"], server.now());
    server.advance(secs(30)).await;
    assert_ne!(admin.get(KEYS).await.ok()["api_keys"][0]["last_used_at"], server.now());
}

#[tokio::test]
async fn a_key_is_good_after_a_restart_and_a_revoked_one_is_not() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let (good, bad) = (Application::made_by(&admin, "good").await, Application::made_by(&admin, "bad").await);
    admin.delete(&format!("{KEYS}{}/", bad.id)).await.is(204);
    server.restart().await;
    good.touch(&server, vec![]).await;
    bad.try_touch(&server, json!([])).await.problem(401, "token_not_valid");
}
