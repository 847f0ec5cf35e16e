//! The program on PostgreSQL: the same commands, a database that goes away, and the way there from a file.

use std::collections::BTreeMap;

use presently_testkit::Postgres;
use presently_testkit::process::{Place, Server};
use presently_testkit::{PASSWORD, client, eventually, ms};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use tokio::time::sleep;

#[tokio::test]
async fn servers_and_commands_on_one_database_share_the_secret_and_need_no_folder() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let place = Place::on(url.clone());
    place.user("alice", &["--role", "admin"]).await;
    let mut server = place.serve(&[]).await;
    let (id, token) = server.login("alice").await;
    server.beat(&token).await;
    let key = place.run(&["key", "create", "billing"]).await;
    assert_eq!(key.code, Some(0), "{key:?}");
    let (status, told) =
        server.post("/api/presence/touch", key.stdout.trim(), json!({"users": [{"user_id": "x"}]})).await;
    assert_eq!((status, &told["accepted"]), (200, &json!(1)), "{told}");
    assert!(place.run(&["user", "list"]).await.succeeded().contains("alice"));
    assert!(!place.data().exists(), "no folder is made");
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!((second.code, second.stderr.contains("another presently")), (Some(1), true), "{second:?}");
    assert!(server.end_by("TERM").await.success());
    let printed = server.stdout() + &server.stderr();
    assert!(printed.contains(&format!("127.0.0.1:{}", postgres.port())), "{printed}");
    assert!(!printed.contains(postgres.password()), "{printed}");

    let elsewhere = Place::on(url);
    let server = elsewhere.serve(&[]).await;
    assert_eq!(server.shown(&token, id).await.0, "online", "a token made by another server is good, and nobody left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_down_logins_say_so_presence_goes_on_and_nothing_acknowledged_is_lost() {
    let postgres = Postgres::start(&[]);
    let place = Place::on(postgres.database());
    place.user("alice", &["--role", "admin"]).await;
    place.user("bob", &[]).await;
    place.user("carol", &[]).await;
    let mut server = place.serve(&["--inactivity-timeout", "20s", "--heartbeat-interval", "1s"]).await;
    let (_, alice) = server.login("alice").await;
    let (bob_id, bob) = server.login("bob").await;
    server.beat(&bob).await;

    block_in_place(|| postgres.stop());
    for _ in 0..20 {
        let told = server.beat(&bob).await;
        assert_eq!(told["online_status"], "online");
        let (status, told) = server.get(&format!("/api/presence/{bob_id}"), &alice).await;
        assert_eq!((status, &told["status"]), (200, &json!("online")), "{told}");
        sleep(ms(50)).await;
    }
    let http = client().no_proxy().build().unwrap();
    for path in ["/api/auth/login/", "/readyz"] {
        let login = json!({"username": "carol", "password": PASSWORD});
        let url = format!("http://{}{path}", server.address());
        let request = if path == "/readyz" { http.get(&url) } else { http.post(&url).json(&login) };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
    }
    assert_eq!(server.get("/healthz", "").await.0, 200);

    block_in_place(|| postgres.start_again());
    eventually(ms(15_000), "carol can sign in", async || server.try_login("carol", PASSWORD).await.0 == 200).await;
    eventually(ms(15_000), "it is ready", async || server.get("/readyz", "").await.0 == 200).await;
    let seen = server.beat(&bob).await["last_seen"].clone();
    assert!(server.end_by("TERM").await.success());
    let printed = server.stdout() + &server.stderr();
    assert!(!printed.contains(postgres.password()), "{printed}");

    let server = place.serve(&["--inactivity-timeout", "20s", "--heartbeat-interval", "1s"]).await;
    let (status, last_seen) = server.shown(&alice, bob_id).await;
    assert_eq!((status.as_str(), last_seen.map(Value::from)), ("online", Some(seen)), "as it was acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_moves_to_postgres_with_everything_in_it() {
    let postgres = Postgres::shared();
    let file = Place::new();
    file.user("alice", &["--role", "admin"]).await;
    file.user("bob", &["--email", "bob@example.org"]).await;
    file.user("gone", &[]).await;
    let mut server = file.serve(&[]).await;
    let (alice_id, alice) = server.login("alice").await;
    let (bob_id, bob) = server.login("bob").await;
    let (gone_id, _) = server.login("gone").await;
    assert_eq!(
        server.send("DELETE", &format!("/api/users/admin/users/{gone_id}/"), &alice, None).await.unwrap().0,
        204
    );
    server.beat(&bob).await;
    assert_eq!(server.send("PUT", "/api/presence/me", &bob, Some(json!({"invisible": true}))).await.unwrap().0, 200);
    let set = format!("/api/users/admin/users/{alice_id}/set-online-status/");
    assert_eq!(server.post(&set, &alice, json!({"status": "away", "expires_in": 3600})).await.0, 200);
    let key = file.run(&["key", "create", "billing"]).await.stdout.trim().to_owned();

    let url = postgres.database();
    let source = format!("sqlite:{}", file.data().join("presently.db").display());
    let args = ["migrate-from", &source, "--to", &url];
    assert!(file.run(&args).await.failed().contains("another presently"), "a running server would go on writing");
    assert!(server.end_by("TERM").await.success());
    let before = picture(&file.serve(&[]).await, &alice, bob_id).await;
    eventually(ms(5_000), "the server is gone", async || file.run(&["user", "list"]).await.code == Some(0)).await;

    let ran = file.run(&args).await;
    let told = ran.succeeded();
    assert!(told.contains("counts agree") && told.contains("tokens stay valid"), "{told}");
    assert!(!told.contains(postgres.password()), "{told}");
    let counts: BTreeMap<&str, u64> = told
        .lines()
        .filter_map(|line| line.strip_suffix(" rows")?.trim().split_once(' '))
        .map(|(table, rows)| (table, rows.trim().parse().unwrap()))
        .collect();
    assert_eq!((counts["users"], counts["api_keys"], counts["overrides"], counts["veils"]), (2, 1, 1, 1), "{told}");
    assert!(counts["transitions"] >= 2 && counts["presence"] >= 2 && counts["sessions"] >= 2, "{told}");
    assert!(file.run(&args).await.failed().contains("not empty"), "once");

    let there = Place::on(url);
    let server = there.serve(&[]).await;
    assert_eq!(picture(&server, &alice, bob_id).await, before);
    let (status, _) = server.post("/api/presence/touch", &key, json!({"users": [{"user_id": "x"}]})).await;
    assert_eq!(status, 200, "the key is good");
    let made = json!({"username": "new", "password": PASSWORD, "email": "new@example.org"});
    let (status, new) = server.post("/api/users/admin/users/", &alice, made).await;
    assert_eq!(status, 201, "{new}");
    assert!(new["id"].as_i64().unwrap() > gone_id, "the number of somebody erased is not used again: {new}");
    assert_eq!(server.try_login("bob", PASSWORD).await.0, 200);
}

#[tokio::test]
async fn migrate_from_refuses_what_it_cannot_copy() {
    let postgres = Postgres::shared();
    let place = Place::new();
    let url = postgres.database();
    place.run(&["migrate-from", &url, "--to", &url]).await.misused();
    place.run(&["migrate-from", "sqlite:a.db", "--to", "sqlite:b.db"]).await.misused();
    place.run(&["migrate-from", "sqlite:a.db"]).await.misused();
    assert!(place.run(&["migrate-from", "sqlite:a.db", "--to", &url]).await.failed().contains("no file"));
    std::fs::write(place.path().join("a.db"), "no database").unwrap();
    place.run(&["migrate-from", "sqlite:a.db", "--to", &url]).await.failed();
}

#[tokio::test]
async fn an_address_that_does_not_do_is_a_bad_setting() {
    let url = "postgres://x:y@localhost/z?sslmode=sideways";
    Place::new().run(&["serve", "--database-url", url]).await.misused();
}

/// What an admin sees, but for what moves by looking.
async fn picture(server: &Server, admin: &str, bob: i64) -> Value {
    let (status, mut users) = server.get("/api/users/admin/users/?ordering=username", admin).await;
    assert_eq!(status, 200, "{users}");
    for user in users["results"].as_array_mut().unwrap() {
        if user["id"] != bob {
            user["last_seen"] = Value::Null;
        }
    }
    let history = server.get(&format!("/api/presence/{bob}/history"), admin).await.1;
    let explained = server.get(&format!("/api/presence/{bob}/explain"), admin).await.1;
    let sessions: Vec<Value> =
        explained["sessions"].as_array().unwrap().iter().map(|session| session["session"].clone()).collect();
    json!({
        "users": users,
        "transitions": history["transitions"],
        "sessions": sessions,
        "override": explained["status"],
        "me": server.get("/api/presence/me", admin).await.1["status"],
    })
}
