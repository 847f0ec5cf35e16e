//! Questions of applications.

use presently_testkit::http::{TestServer, assert_time, keys};
use presently_testkit::secs;
use serde_json::{Value, json};

use crate::line::pass;

#[tokio::test]
async fn one_user() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let me = alice.get(&format!("/api/presence/{}", alice.id)).await.ok();
    assert_eq!(keys(&me), ["as_of", "last_seen", "since", "status", "user_id"]);
    assert_eq!(me["user_id"], alice.id.to_string());
    assert_eq!(me["status"], "online");
    ["as_of", "last_seen", "since"].iter().for_each(|key| assert_time(&me[key]));
    let nobody = alice.get("/api/presence/no%2Fbody%20%C3%BC").await.ok();
    assert_eq!(nobody["user_id"], "no/body ü");
    assert_eq!((&nobody["status"], &nobody["last_seen"]), (&json!("offline"), &Value::Null));
    alice.get(&format!("/api/presence/{}", "x".repeat(128))).await.ok();
    alice.get(&format!("/api/presence/{}", "x".repeat(129))).await.names_field("user_id");
    alice.get("/api/presence/%ff").await.problem(400, "invalid_field");
    server.get("/api/presence/1").await.problem(401, "not_authenticated");
}

#[tokio::test]
async fn many_users_in_the_order_asked() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let query = |users: Value| alice.post("/api/presence/query").json(json!({"users": users}));
    let found = query(json!(["nobody", alice.id.to_string(), "nobody"])).await.ok();
    let statuses: Vec<_> = found["presences"].as_array().unwrap().iter().map(|found| found["status"].clone()).collect();
    assert_eq!(statuses, ["offline", "online", "offline"]);
    let many: Vec<_> = (0..10_001).map(|n| n.to_string()).collect();
    assert_eq!(query(json!(many[1..])).await.ok()["presences"].as_array().unwrap().len(), 10_000);
    query(json!(many)).await.problem(400, "too_many_users");
    query(json!([5])).await.is(400);
    query(json!([""])).await.names_field("users");
    alice.post("/api/presence/query").await.names_field("users");
}

#[tokio::test]
async fn who_is_online_a_page_at_a_time() {
    let server = TestServer::start().await;
    let mut everybody = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        pass(&server, secs(1)).await;
        everybody.push(server.visitor(name).await);
    }
    everybody[2].beat_with(json!({"activity": "idle"})).await;
    let reader = &everybody[4];
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = reader.get(&format!("/api/presence/online?limit=2{cursor}")).await.ok();
        seen.extend(page["presences"].as_array().unwrap().iter().map(|user| user["user_id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = [4, 3, 1, 0].iter().map(|&place| json!(everybody[place].id.to_string())).collect();
    assert_eq!(seen, expected);
    reader.get("/api/presence/online?limit=0").await.names_field("limit");
    reader.get("/api/presence/online?cursor=x").await.problem(400, "invalid_cursor");
    let count = reader.get("/api/presence/count").await.ok();
    assert_eq!(count, json!({"online": 4, "away": 1, "sessions": 5}));
}

#[tokio::test]
async fn the_history_and_the_time_online() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let reader = server.visitor("reader").await;
    pass(&server, secs(60)).await;
    alice.beat_with(json!({"activity": "idle"})).await;
    pass(&server, secs(30)).await;
    alice.beat().await;
    pass(&server, secs(40)).await;
    let path = format!("/api/presence/{}/history", alice.id);
    let history = reader.get(&path).await.ok();
    let steps: Vec<_> = history["transitions"].as_array().unwrap().iter().map(|row| row["to"].clone()).collect();
    assert_eq!(steps, ["online", "away", "online"]);
    assert_eq!(keys(&history["transitions"][0]), ["at", "from", "last_seen", "reason", "to"]);
    assert_eq!(history["online_seconds"], 100.0);
    // A window that begins in the middle of a status, and one that ends there.
    let second = &history["transitions"][1]["at"].as_str().unwrap();
    let window = reader.get(&format!("{path}?from={second}")).await.ok();
    assert_eq!((window["transitions"].as_array().unwrap().len(), &window["online_seconds"]), (2, &json!(40.0)));
    let window = reader.get(&format!("{path}?to={second}")).await.ok();
    assert_eq!((window["transitions"].as_array().unwrap().len(), &window["online_seconds"]), (1, &json!(60.0)));
    let last = &history["transitions"][2]["at"].as_str().unwrap().replace(".000000Z", ".000001Z");
    let window = reader.get(&format!("{path}?from={last}")).await.ok();
    assert_eq!(window["transitions"], json!([]));
    assert!((window["online_seconds"].as_f64().unwrap() - 40.0).abs() < 0.001);
    reader.get(&format!("{path}?from=yesterday")).await.names_field("from");
    reader.get(&format!("{path}?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z")).await.names_field("from");
    let nobody = reader.get("/api/presence/nobody/history").await.ok();
    assert_eq!(nobody, json!({"transitions": [], "online_seconds": 0.0}));
}

#[tokio::test]
async fn why_a_user_has_their_status() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let path = format!("/api/presence/{}/explain", alice.id);
    alice.get(&path).await.problem(403, "permission_denied");
    let why = admin.get(&path).await.ok();
    assert_eq!(why["presence"]["status"], "online");
    assert_eq!(why["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(why["account"]["status"], "active");
    assert_eq!(why["because"], "One live session says online.");
    admin.set(alice.id, json!({"status": "away", "expires_in": 60})).await.ok();
    let why = admin.get(&path).await.ok();
    assert_eq!((&why["presence"]["status"], &why["merged"]), (&json!("away"), &json!("online")));
    assert_eq!(why["overrides"][0]["source"], "admin");
    admin.act(alice.id, "suspend").await;
    let why = admin.get(&path).await.ok();
    assert_eq!((&why["barred"], &why["account"]["may_be_present"]), (&json!(true), &json!(false)));
    assert_eq!(why["because"], "Offline: the account is suspended and may not be present.");
    admin.act(alice.id, "activate").await;
    admin.patch(&format!("/api/users/admin/users/{}/", alice.id)).json(json!({"is_active": false})).await.ok();
    let why = admin.get(&path).await.ok();
    assert_eq!(why["because"], "Offline: the account is deactivated and may not be present.");
    let nobody = admin.get("/api/presence/nobody/explain").await.ok();
    assert_eq!((&nobody["account"], &nobody["sessions"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn questions_are_evidence_of_who_asks() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for path in ["/api/presence/1", "/api/presence/count", "/api/presence/online", "/api/presence/me"] {
        pass(&server, secs(100)).await;
        alice.get(path).await.ok();
        assert_eq!(server.shown(&admin, alice.id).await.status, "online", "{path}");
    }
    pass(&server, secs(1)).await;
    server.shown(&admin, alice.id).await;
}
