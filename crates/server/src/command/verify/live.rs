//! What is pushed: server-sent events and WebSocket, each timed from the act to its arrival.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::checks::now;
use super::client::{Client, Person};

/// How long a change may be on its way before it counts as held up.
const ARRIVAL_MAX: Duration = Duration::from_secs(2);

/// Sets somebody's status, which everybody who watches hears of.
async fn set(client: &Client, admin: &Person, watched: &Person, status: &str) -> Result<(), String> {
    let path = format!("/api/users/admin/users/{}/set-online-status/", watched.id);
    client.post(&path, admin, json!({"status": status})).await.map(|_| ())
}

/// The status that a PRESENCE of `watched` in `presences` shows.
fn status_in<'a>(presences: &'a Value, watched: &Person) -> Option<&'a str> {
    let id = watched.id.to_string();
    let of = |presence: &'a Value| (presence["user_id"] == id).then(|| presence["status"].as_str()).flatten();
    match presences {
        Value::Array(presences) => presences.iter().rev().find_map(of),
        presence => of(presence),
    }
}

pub(super) async fn events(client: &Client, admin: &Person, watched: &Person) -> Result<String, String> {
    set(client, admin, watched, "offline").await?;
    let path = format!("/api/presence/events?users={}", watched.id);
    let request = client.request(Method::GET, &path, &admin.token);
    let opened = tokio::time::timeout(ARRIVAL_MAX, request.send()).await;
    let response = opened.map_err(|_| "no head within two seconds")?.map_err(|error| format!("no answer: {error}"))?;
    if !response.status().is_success() {
        return Err(format!("GET {path} answered {}", response.status()));
    }
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    let mut until = async |found: &dyn Fn(&str) -> bool| {
        let read = async {
            while !found(&text) {
                let bytes = stream.next().await.ok_or("the stream ended")?.map_err(|error| error.to_string())?;
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            Ok::<(), String>(())
        };
        tokio::time::timeout(ARRIVAL_MAX, read).await.unwrap_or_else(|_| Err("nothing within two seconds".to_owned()))
    };
    until(&|text| text.contains("event: snapshot")).await.map_err(|why| format!("no snapshot: {why}"))?;
    let began = now();
    set(client, admin, watched, "online").await?;
    let shows = |text: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .any(|data| status_in(&data, watched) == Some("online"))
    };
    until(&shows).await.map_err(|why| format!("no event: {why}"))?;
    Ok(format!("a change arrived in {} ms", now().duration_since(began).as_millis()))
}

pub(super) async fn socket(client: &Client, admin: &Person, watched: &Person) -> Result<String, String> {
    set(client, admin, watched, "offline").await?;
    let request = client.socket_url("/api/presence/ws").into_client_request().map_err(|error| error.to_string())?;
    let connecting = tokio::time::timeout(ARRIVAL_MAX, tokio_tungstenite::connect_async(request));
    let (mut socket, _) = connecting
        .await
        .map_err(|_| "no upgrade within two seconds")?
        .map_err(|error| format!("no upgrade: {error}"))?;
    for frame in
        [json!({"type": "auth", "token": admin.token}), json!({"type": "watch", "users": [watched.id.to_string()]})]
    {
        socket.send(Message::text(frame.to_string())).await.map_err(|error| error.to_string())?;
    }
    let mut until = async |kind: &str, status: Option<&str>| {
        let read = async {
            loop {
                let message = socket.next().await.ok_or("the socket ended")?.map_err(|error| error.to_string())?;
                let Message::Text(text) = message else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                if frame["type"] == "error" {
                    return Err(format!("an error: {}", frame["detail"]));
                }
                if frame["type"] == kind
                    && status.is_none_or(|status| status_in(&frame["presences"], watched) == Some(status))
                {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(ARRIVAL_MAX, read).await.unwrap_or_else(|_| Err("nothing within two seconds".to_owned()))
    };
    until("ready", None).await.map_err(|why| format!("not ready: {why}"))?;
    until("snapshot", None).await.map_err(|why| format!("no snapshot: {why}"))?;
    let began = now();
    set(client, admin, watched, "online").await?;
    until("diff", Some("online")).await.map_err(|why| format!("no diff: {why}"))?;
    let took = now().duration_since(began).as_millis();
    // Whatever the other side says to a goodbye, the check is done.
    let _ = socket.close(None).await;
    Ok(format!("a change arrived in {took} ms"))
}
