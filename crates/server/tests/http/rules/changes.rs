//! How fast one user may change what is kept of them.

use presently_testkit::http::TestServer;
use presently_testkit::secs;
use serde_json::json;

#[tokio::test]
async fn who_changes_their_activity_too_often_is_told_to_wait() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut refused = None;
    // The login was one change, and what another node hears on its way may not have arrived here yet.
    for turn in 0..110 {
        let activity = if turn % 2 == 0 { "idle" } else { "active" };
        let answer = alice.post("/api/users/heartbeat/").json(json!({"activity": activity})).await;
        if answer.status != 200 {
            answer.problem(429, "too_many_changes");
            assert_eq!(answer.header("retry-after"), Some("1"));
            refused = Some((turn, activity));
            break;
        }
    }
    let (turn, activity) = refused.expect("a change is refused");
    assert_eq!(turn, 99);
    let before = if activity == "idle" { "online" } else { "away" };
    assert_eq!(alice.own().await.status, before, "nothing has changed");
    alice.get("/api/auth/profile/").await.ok();
    assert_eq!(alice.own().await.status, before, "what changes nothing is never refused");
    alice.post("/api/users/heartbeat/").json(json!({"session": "tab-2"})).await.problem(429, "too_many_changes");
    let me = alice.call("PUT".parse().unwrap(), "/api/presence/me").json(json!({"invisible": true})).await;
    me.problem(429, "too_many_changes");
    assert_eq!(alice.get("/api/presence/me").await.ok()["invisible"], false);
    // Another user, and an administrator's act on this one, are not held to it.
    let admin = server.admin().await;
    admin.set(alice.id, json!({"status": "offline"})).await.ok();
    alice.get("/api/auth/profile/").await.problem(429, "too_many_changes");
    server.login("alice").await;
    server.advance(secs(1)).await;
    alice.get("/api/auth/profile/").await.ok();
    alice.post("/api/users/heartbeat/").json(json!({"session": "tab-2"})).await.ok();
}
