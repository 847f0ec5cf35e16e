//! An invisible user is an offline user, byte for byte, on every surface.

use presently::Visibility;
use presently_testkit::http::{TestServer, Visitor};
use presently_testkit::secs;
use serde_json::{Value, json};

use crate::line::{Socket, Stream, pass};

/// Everything that `watcher` can learn of `id`, with the name and the number of the one it is about taken out.
async fn all_surfaces(server: &TestServer, watcher: &Visitor, id: i64, name: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for path in [
        format!("/api/presence/{id}"),
        format!("/api/presence/{id}/history"),
        format!("/api/presence/{id}/explain"),
        format!("/api/users/admin/users/{id}/online-status/"),
        format!("/api/users/admin/users/{id}/"),
        format!("/api/users/admin/users/{id}/sessions/"),
    ] {
        let answer = watcher.get(&path).await;
        seen.push(format!("{path} {} {}", answer.status, answer.text));
    }
    let mut lists = Vec::new();
    for path in ["/api/users/all-users/", "/api/users/admin/users/online/", "/api/presence/online"] {
        let answer = watcher.get(path).await.ok();
        let list = answer.as_object().unwrap().values().find_map(Value::as_array).unwrap().clone();
        let number = json!(id.to_string());
        let about = list.iter().find(|user| user["id"] == id || user["user_id"] == number);
        lists.push(format!("{path} {about:?}"));
    }
    seen.extend(lists);
    let query = watcher.post("/api/presence/query").json(json!({"users": [id.to_string()]})).await;
    seen.push(query.text);
    let mut stream = Stream::open(server.address(), watcher, &format!("?users={id}")).await;
    seen.push(format!("{:?}", stream.snapshot().await));
    let mut socket = Socket::open(server.address(), watcher).await;
    seen.push(socket.watch(&[id]).await["presences"].to_string());
    let forms = [format!("\"{id}\""), format!("/{id}"), format!("_id\":{id}"), format!("Number({id})")];
    let without = |text: String| forms.iter().fold(text.replace(name, "NAME"), |text, form| text.replace(form, "ID"));
    seen.into_iter().map(without).collect()
}

#[tokio::test]
async fn an_invisible_user_is_an_offline_user_on_every_surface() {
    let server = TestServer::start().await;
    let watcher = server.visitor("watcher").await;
    // Both are heard at the same moments; then one goes and one hides.
    let (gone, hidden) = (server.visitor("xgonex").await, server.visitor("xhidex").await);
    pass(&server, secs(10)).await;
    gone.logout().await;
    hidden.call(reqwest::Method::PUT, "/api/presence/me").json(json!({"invisible": true})).await.ok();
    pass(&server, secs(20)).await;
    hidden.beat().await;
    let socket = Socket::open(server.address(), &hidden).await;
    pass(&server, secs(1)).await;
    let of_gone = all_surfaces(&server, &watcher, gone.id, "xgonex").await;
    let of_hidden = all_surfaces(&server, &watcher, hidden.id, "xhidex").await;
    let strip = |texts: &[String]| -> Vec<String> {
        // Accounts were not made at the same moment, which is no matter of presence.
        texts.iter().map(|text| without(text, "created_at")).collect()
    };
    // The reason of a departure is `logout` for both.
    assert_eq!(strip(&of_hidden), strip(&of_gone));
    let count = watcher.get("/api/presence/count").await.ok();
    assert_eq!((&count["online"], &count["away"]), (&json!(1), &json!(0)));
    socket.close().await;
}

#[tokio::test]
async fn watchers_see_them_leave_and_come_and_nothing_between() {
    let server = TestServer::start().await;
    let watcher = server.visitor("watcher").await;
    let hidden = server.visitor("hidden").await;
    let mut stream = Stream::open(server.address(), &watcher, &format!("?users={}", hidden.id)).await;
    stream.snapshot().await;
    let mut socket = Socket::open(server.address(), &watcher).await;
    socket.watch(&[hidden.id]).await;
    pass(&server, secs(1)).await;
    let me = hidden.call(reqwest::Method::PUT, "/api/presence/me").json(json!({"invisible": true})).await.ok();
    assert_eq!((&me["status"], &me["invisible"]), (&json!("online"), &json!(true)));
    assert_eq!(stream.presence().await["status"], "offline");
    assert_eq!(socket.diff().await[0]["status"], "offline");
    hidden.beat_with(json!({"activity": "idle"})).await;
    hidden.logout().await;
    let hidden = server.login("hidden").await;
    assert_eq!(hidden.get("/api/presence/me").await.ok()["status"], "online");
    stream.is_silent().await;
    socket.is_silent().await;
    hidden.call(reqwest::Method::PUT, "/api/presence/me").json(json!({"invisible": false})).await.ok();
    assert_eq!(stream.presence().await["status"], "online");
    assert_eq!(socket.diff().await[0]["status"], "online");
}

#[tokio::test]
async fn admins_and_the_user_see_the_truth() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let hidden = server.visitor("hidden").await;
    hidden.call(reqwest::Method::PUT, "/api/presence/me").json(json!({"invisible": true})).await.ok();
    let path = format!("/api/presence/{}", hidden.id);
    assert_eq!(admin.get(&path).await.ok()["status"], "online");
    assert_eq!(hidden.get(&path).await.ok()["status"], "online");
    assert_eq!(hidden.own().await.status, "online");
    let why = admin.get(&format!("{path}/explain")).await.ok();
    assert_eq!((&why["invisible"], &why["presence"]["status"]), (&json!(true), &json!("online")));
    hidden.call(reqwest::Method::PUT, "/api/presence/me").json(json!({})).await.names_field("invisible");
}

#[tokio::test]
async fn with_visibility_for_admins_others_see_themselves_alone() {
    let server = TestServer::start_with(|settings| settings.visibility = Visibility::Admins).await;
    let admin = server.admin().await;
    let (alice, bob) = (server.visitor("alice").await, server.visitor("bob").await);
    let of = |id: i64| format!("/api/presence/{id}");
    assert_eq!(alice.get(&of(bob.id)).await.ok()["status"], "offline");
    assert_eq!(alice.get(&of(bob.id)).await.ok()["last_seen"], Value::Null);
    assert_eq!(alice.get(&of(alice.id)).await.ok()["status"], "online");
    assert_eq!(admin.get(&of(bob.id)).await.ok()["status"], "online");
    assert_eq!(alice.get("/api/presence/count").await.ok()["online"], 1);
    assert_eq!(alice.get("/api/presence/online").await.ok()["presences"].as_array().unwrap().len(), 1);
    let online = alice.get("/api/users/admin/users/online/").await.ok();
    assert_eq!(online["count"], 1);
    let history = alice.get(&format!("{}/history", of(bob.id))).await.ok();
    assert_eq!(history, json!({"transitions": [], "online_seconds": 0.0}));
    let mut stream = Stream::open(server.address(), &alice, &format!("?users={}", bob.id)).await;
    assert_eq!(stream.snapshot().await[0]["status"], "offline");
    bob.logout().await;
    stream.is_silent().await;
}

/// The text without the value of this key.
fn without(text: &str, key: &str) -> String {
    match text.split_once(&format!("\"{key}\": String(")) {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => text.to_owned(),
    }
}
