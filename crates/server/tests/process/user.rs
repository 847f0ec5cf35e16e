//! `presently user …` works on the database while a server runs or not, and what it changes holds within a second.

use presently_testkit::process::Place;
use presently_testkit::{PASSWORD, eventually, ms};
use serde_json::{Value, json};

const OTHER: &str = "another long password";

#[tokio::test]
async fn create_and_list_need_no_server_that_runs() {
    let place = Place::new();
    place.user("alice", &["--email", "alice@example.org", "--role", "moderator"]).await;
    place.user("bob", &["--status", "pending"]).await;
    let listed = place.run(&["user", "list"]).await;
    for word in ["alice", "alice@example.org", "moderator", "bob", "pending"] {
        assert!(listed.succeeded().contains(word), "{word} in {}", listed.stdout);
    }
    assert!(!listed.stdout.contains("$argon2"), "no hash is shown");
    let listed = place.run(&["user", "list", "--json"]).await;
    let users: Vec<Value> = listed.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(users.len(), 2);
    let alice = users.iter().find(|user| user["username"] == "alice").unwrap();
    assert_eq!(alice["role"], "moderator");
    assert!(!listed.stdout.contains("$argon2"), "no hash is shown");
    let server = place.serve(&[]).await;
    let (status, told) = server.try_login("alice", PASSWORD).await;
    assert_eq!((status, &told["user"]["role"]), (200, &json!("moderator")));
    let (status, told) = server.try_login("bob", PASSWORD).await;
    assert_eq!((status, &told["code"]), (403, &json!("account_pending")));
}

#[tokio::test]
async fn in_a_folder_without_a_database_it_says_where_it_looked_and_makes_nothing() {
    let place = Place::new();
    for args in [
        &["user", "create", "alice", "--password-stdin"][..],
        // Nobody is asked for a password in vain.
        &["user", "create", "alice"],
        &["user", "set-password", "alice", "--password-stdin"],
        &["user", "list"],
        &["key", "create", "billing"],
        &["key", "list"],
        &["key", "revoke", "billing"],
    ] {
        let ran = place.run_with(args, PASSWORD).await;
        let why = ran.failed();
        let looked_at = place.data().join("presently.db");
        for word in [looked_at.to_str().unwrap(), "start the server", "--database-url"] {
            assert!(why.contains(word), "{args:?}: {why}");
        }
        assert_eq!(ran.stdout, "", "{args:?}");
        assert!(!place.data().exists(), "{args:?}");
    }
}

#[tokio::test]
async fn an_account_made_while_the_server_runs_can_sign_in_within_a_second() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    // Asked for before it is there, so that an answer from memory would be seen.
    assert_eq!(server.try_login("alice", PASSWORD).await.0, 401);
    place.user("alice", &["--role", "admin"]).await;
    eventually(ms(1_000), "alice can sign in", async || server.try_login("alice", PASSWORD).await.0 == 200).await;
    let (_, token) = server.login("alice").await;
    assert_eq!(server.get("/api/users/admin/users/", &token).await.0, 200);
}

#[tokio::test]
async fn every_state_can_be_created_while_the_server_runs() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    for (state, code) in
        [("suspended", "account_suspended"), ("banned", "account_banned"), ("pending", "account_pending")]
    {
        place.user(state, &["--status", state]).await;
        let (status, told) = server.try_login(state, PASSWORD).await;
        assert_eq!((status, told["code"].as_str()), (403, Some(code)));
    }
}

#[tokio::test]
async fn a_password_set_while_the_server_runs_holds_within_a_second_and_ends_the_sessions() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    place.user("alice", &[]).await;
    let server = place.serve(&[]).await;
    let (_, boss) = server.login("boss").await;
    let (id, token) = server.login("alice").await;
    server.beat(&token).await;
    place.run_with(&["user", "set-password", "alice", "--password-stdin"], OTHER).await.succeeded();
    eventually(ms(1_000), "the old token is void", async || {
        server.post("/api/users/heartbeat/", &token, json!({})).await.0 == 401
    })
    .await;
    eventually(ms(1_000), "alice is offline", async || server.shown(&boss, id).await.0 == "offline").await;
    assert_eq!(server.try_login("alice", PASSWORD).await.0, 401);
    assert_eq!(server.try_login("alice", OTHER).await.0, 200);
    assert_eq!(server.shown(&boss, id).await.0, "online");
}

#[tokio::test]
async fn a_password_set_without_a_server_holds_when_it_starts() {
    let place = Place::new();
    place.user("alice", &[]).await;
    place.run_with(&["user", "set-password", "alice", "--password-stdin"], &format!("{OTHER}\n")).await.succeeded();
    let server = place.serve(&[]).await;
    assert_eq!(server.try_login("alice", PASSWORD).await.0, 401);
    assert_eq!(server.try_login("alice", OTHER).await.0, 200, "the line's end is no part of it");
}

#[tokio::test]
async fn what_cannot_be_done_is_one_line() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let create = |name| ["user", "create", name, "--password-stdin"];
    let taken = place.run_with(&create("alice"), PASSWORD).await;
    taken.failed();
    place.run_with(&create("ALICE"), PASSWORD).await.failed();
    place.run_with(&create(""), PASSWORD).await.failed();
    place.run_with(&create("bob"), "").await.failed();
    place.run_with(&create("bob"), "\n").await.failed();
    place.run_with(&create("bob"), "short").await.failed();
    place.run_with(&[&create("bob")[..], &["--email", "no address"]].concat(), PASSWORD).await.failed();
    place.run_with(&["user", "set-password", "nobody", "--password-stdin"], PASSWORD).await.failed();
    place.run_with(&["user", "set-password", "alice", "--password-stdin"], "").await.failed();
    let listed = place.run(&["user", "list"]).await;
    assert!(!listed.succeeded().contains("bob"));
    place.run_with(&[&create("bob")[..], &["--role", "god"]].concat(), PASSWORD).await.misused();
    place.run_with(&[&create("bob")[..], &["--status", "asleep"]].concat(), PASSWORD).await.misused();
}

#[tokio::test]
async fn many_commands_beside_a_busy_server_all_succeed() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let ran = place.run(&["key", "create", "backend"]).await;
    let key = ran.stdout.trim().to_owned();
    let server = place.serve(&[]).await;
    let (id, _) = server.login("alice").await;
    let way = server.way();
    let busy = tokio::spawn(async move {
        for n in 0..2_000 {
            let activity = if n % 2 == 0 { "idle" } else { "active" };
            let body = json!({"users": [{"user_id": id.to_string(), "activity": activity}]});
            let (status, told) = way.send("POST", "/api/presence/touch", &key, Some(body)).await.unwrap();
            assert_eq!(status, 200, "{told}");
        }
    });
    let names: Vec<_> = (0..8).map(|n| format!("user-{n}")).collect();
    for pair in names.chunks(2) {
        tokio::join!(place.user(&pair[0], &[]), place.user(&pair[1], &[]));
    }
    busy.await.unwrap();
    for name in &names {
        server.login(name).await;
    }
}
