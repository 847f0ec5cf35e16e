//! What one request may cost, and what may be learnt from it.

use std::time::Duration;

use presently_testkit::process::{Place, Server};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::raw::{Raw, from};

/// A request that looks at everybody for each one it finds takes far longer, one that looks once a small part of this.
const PAGE_WITHIN: Duration = Duration::from_secs(5);

/// The memory of the server, in KiB.
async fn resident_kib(server: &Server) -> u64 {
    let (_, text) = server.get("/metrics", "").await;
    let line = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix("presently_resident_bytes "));
    line.unwrap().parse::<u64>().unwrap() / 1024
}

async fn key(place: &Place) -> String {
    let ran = place.run(&["key", "create", "backend"]).await;
    // What is said about it is on stderr.
    ran.stdout.trim().to_owned()
}

#[tokio::test]
async fn a_page_of_who_is_online_costs_one_pass_whoever_else_is_there() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    place.user("alice", &[]).await;
    let key = key(&place).await;
    let server = place.serve(&[]).await;
    // None of them stands on any page: without an account, and away.
    for (from, activity) in [(100_000, "idle"), (110_000, "active")] {
        let users: Vec<_> =
            (from..from + 10_000).map(|n| json!({"user_id": n.to_string(), "activity": activity})).collect();
        let (status, told) = server.post("/api/presence/touch", &key, json!({"users": users})).await;
        assert_eq!((status, &told["accepted"]), (200, &json!(10_000)), "{told}");
    }
    let (_, alice) = server.login("alice").await;
    let (_, boss) = server.login("boss").await;
    for (who, token) in [("alice", &alice), ("boss", &boss)] {
        for path in ["/api/users/admin/users/online/?limit=1", "/api/presence/online?limit=1"] {
            let (page, health) = tokio::join!(
                timeout(PAGE_WITHIN, server.get(path, token)),
                timeout(PAGE_WITHIN, server.get("/healthz", ""))
            );
            let (status, told) = page.unwrap_or_else(|_| panic!("{path} takes too long for {who}"));
            assert_eq!(status, 200, "{told}");
            assert_eq!(health.expect("the server is alive meanwhile").0, 200);
        }
    }
    let (_, told) = server.get("/api/users/admin/users/online/", &alice).await;
    let names: Vec<_> = told["online_users"].as_array().unwrap().iter().map(|user| &user["username"]).collect();
    assert_eq!(names, ["alice", "boss"], "{told}");
    assert_eq!((&told["count"], &told["next_cursor"]), (&json!(2), &Value::Null));
}

#[tokio::test]
async fn everybody_is_listed_in_memory_that_does_not_grow_with_their_number() {
    const ACCOUNTS: i64 = 30_000;
    // Alice, and the admin whom the first start makes.
    const IN_ALL: i64 = ACCOUNTS + 2;
    const READERS: u8 = 10;
    let place = Place::new();
    place.user("alice", &[]).await;
    {
        let url = format!("sqlite:{}", place.data().join("presently.db").display());
        let database = sqlx::SqlitePool::connect(&url).await.unwrap();
        let columns = "email, password_hash, first_name, last_name, bio, role, status, is_active, is_staff, \
                       email_verified, is_approved, created_at, updated_at, search_key";
        let sql = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS}) \
             INSERT INTO users (username, username_key, {columns}) \
             SELECT 'crowd-' || i, 'crowd-' || i, {columns} FROM users, n WHERE username = 'alice'"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&database).await.unwrap();
        database.close().await;
    }
    let server = place.serve(&[]).await;
    let (_, token) = server.login("alice").await;
    let before = resident_kib(&server).await;
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let mut raw = Raw::connect(from(reader + 1), server.address()).await;
        let head = format!("GET /api/users/all-users/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        raw.send(head).await;
        readers.push(raw);
    }
    // They read nothing; what the server holds for them comes to rest.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let grown = resident_kib(&server).await.saturating_sub(before);
    assert!(grown < 60 * 1024, "{READERS} readers who do not read hold {grown} KiB");
    drop(readers);
    let (status, told) = server.get("/api/users/all-users/", &token).await;
    assert_eq!((status, &told["count"]), (200, &json!(IN_ALL)));
    let users = told["users"].as_array().unwrap();
    assert_eq!(users.len() as i64, IN_ALL);
    let ids: std::collections::HashSet<_> = users.iter().map(|user| user["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), users.len(), "each once");
}

/// The figures of users, sessions, evidence, transitions and streams.
async fn figures(address: &str) -> Vec<String> {
    let text = Raw::connect(from(9), address).await.ask(crate::raw::get("/metrics")).await.unwrap().body;
    let named = ["users", "sessions", "evidence", "transitions", "offline_lateness", "streams"];
    let is_named = |line: &&str| {
        named.iter().any(|name| line.strip_prefix("presently_").is_some_and(|rest| rest.starts_with(name)))
    };
    let mut figures: Vec<_> = text.lines().filter(is_named).map(str::to_owned).collect();
    figures.sort();
    figures
}

#[tokio::test]
async fn no_figure_moves_because_of_what_an_invisible_user_does() {
    for operations in [None, Some(format!("127.0.0.1:{}", presently_testkit::free_port()))] {
        let place = Place::new();
        place.user("alice", &[]).await;
        let args = operations.as_ref().map(|address| ["--operations-listen", address]);
        let server = place.serve(args.as_ref().map_or(&[][..], |args| &args[..])).await;
        let address = operations.clone().unwrap_or_else(|| server.address().to_owned());
        let (_, token) = server.login("alice").await;
        let (status, told) =
            server.send("PUT", "/api/presence/me", &token, Some(json!({"invisible": true}))).await.unwrap();
        assert_eq!((status, &told["invisible"]), (200, &json!(true)));
        // The word of it is told once it is kept.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = figures(&address).await;
        assert!(before.iter().any(|line| line.starts_with("presently_evidence_total")), "{before:?}");
        for turn in 0..10 {
            let activity = if turn % 2 == 0 { "idle" } else { "active" };
            let sent = json!({"activity": activity, "session": format!("tab-{}", turn / 4)});
            assert_eq!(server.post("/api/users/heartbeat/", &token, sent).await.0, 200);
        }
        let head =
            format!("GET /api/presence/events?users=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        let mut stream = Raw::connect(from(2), server.address()).await;
        stream.send(head).await;
        assert_eq!(server.post("/api/presence/leave", &token, json!({})).await.0, 204);
        server.beat(&token).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = figures(&address).await;
        if operations.is_none() {
            assert_eq!(after, before);
        } else {
            assert_ne!(after, before, "with an address of their own they are true");
        }
    }
}
