//! `/api/users/admin/users/{id}/`

use presently_accounts::{Draft, Role};
use presently_testkit::http::{Shown, TICK, TestServer, draft, find};
use presently_testkit::{PASSWORD, secs};
use serde_json::json;

#[tokio::test]
async fn get_is_user() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    assert_eq!(admin.get(&path(alice.id)).await.ok(), alice.user);
}

#[tokio::test]
async fn patch_changes_what_it_takes_and_answers_user() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(5)).await;
    let patch = json!({"first_name": "Alice", "last_name": "Liddell", "email": "al@example.org", "role": "moderator"});
    let user = admin.patch(&path(alice.id)).json(patch).await.ok();
    assert_eq!(user["first_name"], "Alice");
    assert_eq!(user["full_name"], "Alice Liddell");
    assert_eq!(user["email"], "al@example.org");
    assert_eq!(user["role"], "moderator");
    assert_eq!(user["updated_at"], server.now());
    assert_eq!(user["created_at"], alice.user["created_at"]);
    assert_eq!(user["online_status"], "online");
    assert_eq!(admin.get(&path(alice.id)).await.ok(), user);
    alice.beat().await;
    let same = admin.patch(&path(alice.id)).json(json!({})).await.ok();
    assert_eq!(same["first_name"], "Alice", "an empty one changes nothing");
}

#[tokio::test]
async fn patch_changes_no_presence_and_no_state() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let patch = json!({
        "online_status": "offline", "last_seen": "2020-01-01T00:00:00Z", "is_online": false,
        "created_at": "2020-01-01T00:00:00Z", "status": "banned",
    });
    admin.patch(&path(alice.id)).json(patch).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &server.now()));
    let user = admin.get(&path(alice.id)).await.ok();
    assert_eq!(user["created_at"], alice.user["created_at"]);
    server.login("alice").await;
}

#[tokio::test]
async fn a_username_and_a_password_are_changed_together() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(2)).await;
    let new = "an entirely different horse";
    let user = admin.put(&path(alice.id)).json(json!({"username": "Alicia", "password": new})).await.ok();
    assert_eq!(user["username"], "Alicia");
    assert_eq!(user["first_name"], alice.user["first_name"], "what is absent stays");
    assert_eq!(user["online_status"], "offline", "the sessions of the old password have ended");
    alice.is_shut_out().await;
    server.try_login("alice", PASSWORD).await.problem(401, "invalid_credentials");
    server.try_login("alicia", PASSWORD).await.problem(401, "invalid_credentials");
    server.try_login("alicia", new).await.ok();
    let audit = admin.get("/api/users/admin/audit/").await.ok();
    assert_eq!(audit["entries"][0]["detail"], "username=Alicia, password");
    assert!(!audit.to_string().contains(new));
}

#[tokio::test]
async fn a_username_that_is_taken_or_not_allowed_is_named_and_nothing_changes() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.account("bob").await;
    for username in ["bob", "BOB", "", "a b", "<b>", &"x".repeat(151)] {
        for call in [admin.patch(&path(alice.id)), admin.put(&path(alice.id))] {
            call.json(json!({"username": username, "first_name": "X"})).await.names_field("username");
        }
    }
    for (patch, field) in [
        (json!({"username": "carol", "password": "short"}), "password"),
        (json!({"password": "carol1234", "username": "carol1234"}), "password"),
        (json!({"username": 5}), "username"),
        (json!({"password": ["x"]}), "password"),
        (json!({"email": "BOB@example.org", "first_name": "X"}), "email"),
    ] {
        admin.patch(&path(alice.id)).json(patch).await.names_field(field);
    }
    let both = admin.patch(&path(alice.id)).json(json!({"username": "a b", "password": "short"})).await;
    both.names_field("username");
    both.names_field("password");
    let user = admin.get(&path(alice.id)).await.ok();
    assert_eq!((&user["username"], &user["first_name"]), (&json!("alice"), &alice.user["first_name"]));
    let same = json!({"username": "alice", "email": "ALICE@example.org"});
    admin.patch(&path(alice.id)).json(same).await.ok();
    alice.is_not_shut_out().await;
    server.login("alice").await;
}

#[tokio::test]
async fn an_admin_with_a_new_password_stays_signed_in() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let other = server.login("boss").await;
    admin.patch(&path(admin.id)).json(json!({"password": "an entirely different horse"})).await.ok();
    other.is_shut_out().await;
    admin.is_not_shut_out().await;
}

#[tokio::test]
async fn there_is_no_trash() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for query in ["permanent=false", "permanent=False", "permanent=0"] {
        admin.delete(&format!("{}?{query}", path(alice.id))).await.problem(400, "no_trash");
    }
    admin.delete(&format!("{}?permanent=maybe", path(alice.id))).await.names_field("permanent");
    alice.is_not_shut_out().await;
    admin.delete(&format!("{}?permanent=true", path(alice.id))).await.is(204);
}

#[tokio::test]
async fn a_bad_patch_changes_nothing_at_all() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let before = admin.get(&path(alice.id)).await.ok();
    let patch = json!({"first_name": "Alice", "role": "god"});
    admin.patch(&path(alice.id)).json(patch).await.names_field("role");
    let patch = json!({"first_name": "Alice", "email": "no address"});
    admin.patch(&path(alice.id)).json(patch).await.names_field("email");
    admin.patch(&path(alice.id)).raw("{").await.is(400);
    assert_eq!(admin.get(&path(alice.id)).await.ok(), before);
}

#[tokio::test]
async fn deactivation_holds_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(5)).await;
    let user = admin.patch(&path(alice.id)).json(json!({"is_active": false})).await.ok();
    assert_eq!(user["is_active"], false);
    assert_eq!(user["status"], "active");
    assert_eq!(user["display_status"], "inactive");
    assert_eq!(user["online_status"], "offline");
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
    alice.is_shut_out().await;
    server.try_login("alice", PASSWORD).await.problem(401, "invalid_credentials");
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

#[tokio::test]
async fn a_deactivated_account_is_reactivated_with_its_presence_starting_offline() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for how in ["activate", "patch"] {
        let alice = server.visitor(how).await;
        admin.patch(&path(alice.id)).json(json!({"is_active": false})).await.ok();
        if how == "patch" {
            admin.patch(&path(alice.id)).json(json!({"is_active": true})).await.ok();
        } else {
            admin.act(alice.id, "activate").await;
        }
        let user = admin.get(&path(alice.id)).await.ok();
        assert_eq!(user["is_active"], true, "{how}");
        assert_eq!(user["display_status"], "active", "{how}");
        assert_eq!(server.shown(&admin, alice.id).await.status, "offline", "{how}");
        alice.is_shut_out().await;
        server.login(how).await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "online", "{how}");
    }
}

#[tokio::test]
async fn power_is_given_and_taken_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(alice.id, "alice");
    foreign.get("/api/users/admin/users/").await.problem(403, "permission_denied");
    for (give, take) in
        [(json!({"role": "admin"}), json!({"role": "user"})), (json!({"is_staff": true}), json!({"is_staff": false}))]
    {
        admin.patch(&path(alice.id)).json(give).await.ok();
        alice.get("/api/users/admin/users/").await.ok();
        foreign.get("/api/users/admin/users/").await.ok();
        admin.patch(&path(alice.id)).json(take).await.ok();
        alice.get("/api/users/admin/users/").await.problem(403, "permission_denied");
        foreign.get("/api/users/admin/users/").await.problem(403, "permission_denied");
    }
}

#[tokio::test]
async fn delete_erases_the_account_with_its_presence() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let answer = admin.delete(&path(alice.id)).await;
    answer.is(204);
    assert_eq!(answer.text, "");
    admin.get(&path(alice.id)).await.problem(404, "user_not_found");
    admin.get(&format!("{}online-status/", path(alice.id))).await.problem(404, "user_not_found");
    admin.delete(&path(alice.id)).await.problem(404, "user_not_found");
    let online = admin.get("/api/users/admin/users/online/").await.ok();
    assert!(find(&online["online_users"], alice.id).is_none());
    let all = admin.get("/api/users/all-users/").await.ok();
    assert!(find(&all["users"], alice.id).is_none());
    let page = admin.get("/api/users/admin/users/").await.ok();
    assert!(find(&page["results"], alice.id).is_none());
    assert_eq!(page["count"], 1);
    for call in [alice.get("/api/auth/profile/"), alice.post("/api/users/heartbeat/")] {
        call.await.is(401);
    }
    server.try_login("alice", PASSWORD).await.problem(401, "invalid_credentials");
    assert_eq!(server.history(alice.id).await, Vec::<String>::new());
}

#[tokio::test]
async fn who_gets_the_name_of_a_deleted_account_is_somebody_else() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let old = server.visitor("alice").await;
    admin.delete(&path(old.id)).await.is(204);
    server.restart().await;
    let new = server.account("alice").await;
    assert_ne!(new, old.id, "a number is never used twice");
    assert_eq!(server.shown(&admin, new).await, Shown::never("offline"));
    old.get("/api/auth/profile/").await.is(401);
}

#[tokio::test]
async fn nobody_deletes_themselves() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account_with(Draft { role: Role::Admin, ..draft("second") }).await;
    admin.delete(&path(admin.id)).await.problem(409, "not_yourself");
    admin.patch(&path(admin.id)).json(json!({"is_active": false})).await.problem(409, "not_yourself");
    admin.get("/api/auth/profile/").await.ok();
}

#[tokio::test]
async fn the_last_active_admin_stays_one() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let idle = server.account_with(Draft { role: Role::Admin, ..draft("idle") }).await;
    admin.act(idle, "suspend").await;
    let before = admin.get(&path(admin.id)).await.ok();
    for patch in [json!({"role": "user", "first_name": "X"}), json!({"role": "moderator"}), json!({"is_active": false})]
    {
        admin.patch(&path(admin.id)).json(patch).await.problem(409, "last_admin");
    }
    admin.delete(&path(admin.id)).await.problem(409, "last_admin");
    for act in ["suspend", "ban"] {
        admin.post(&format!("{}{act}/", path(admin.id))).await.problem(409, "last_admin");
    }
    assert_eq!(admin.get(&path(admin.id)).await.ok()["role"], before["role"]);
    assert_eq!(admin.get(&path(admin.id)).await.ok()["updated_at"], before["updated_at"]);

    admin.patch(&path(admin.id)).json(json!({"role": "user", "is_staff": true})).await.ok();
    admin.act(idle, "activate").await;
    admin.patch(&path(admin.id)).json(json!({"is_staff": false})).await.ok();
    admin.get("/api/users/admin/users/").await.problem(403, "permission_denied");
}

#[tokio::test]
async fn admins_are_not_hit_by_what_they_do_to_others() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let login = server.now();
    server.advance(secs(60)).await;
    admin.get(&path(alice.id)).await.ok();
    admin.patch(&path(alice.id)).json(json!({"bio": "x", "first_name": "B"})).await.ok();
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login), "it is no evidence of hers");
    assert_eq!(server.shown(&admin, admin.id).await, Shown::at("online", &server.now()), "it is evidence of theirs");
    server.advance(secs(60) - TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("online", &login));
    server.advance(TICK).await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &login));
}

fn path(id: i64) -> String {
    format!("/api/users/admin/users/{id}/")
}
