//! A PostgreSQL that accepts connections and never answers.

use std::time::Duration;

use presently_testkit::Postgres;
use presently_testkit::process::{Place, Server};
use presently_testkit::{PASSWORD, client, eventually, ms};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// Three seconds, and what a loaded machine takes besides.
const BOUND: Duration = Duration::from_millis(3_800);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_never_answers_costs_three_seconds_and_presence_goes_on() {
    let postgres = Postgres::start(&[]);
    let wire = Wire::to(postgres.port()).await;
    let place = Place::on(postgres.database().replace(&format!(":{}", postgres.port()), &format!(":{}", wire.port)));
    for name in ["alice", "bob", "carol"] {
        place.user(name, if name == "alice" { &["--role", "admin"] } else { &[] }).await;
    }
    let server = place.serve(&[]).await;
    let (_, alice) = server.login("alice").await;
    let (bob_id, bob) = server.login("bob").await;
    let (_, found) = server.get("/api/users/admin/users/?search=carol", &alice).await;
    let carol_id = found["results"][0]["id"].as_i64().unwrap();

    wire.silent.send_replace(true);
    eventually(ms(5_000), "it is noticed", async || server.get("/readyz", "").await.0 == 503).await;
    let (carol, history) = (format!("/api/presence/{carol_id}"), format!("/api/presence/{bob_id}/history"));
    for round in 0..3 {
        let calls = [
            ("login", asked(&server, "/api/auth/login/", "", Some(json!({"username": "carol", "password": PASSWORD})))),
            ("readyz", asked(&server, "/readyz", "", None)),
            ("a read", asked(&server, &carol, &alice, None)),
            ("a page", asked(&server, "/api/users/admin/users/?search=carol", &alice, None)),
            ("history", asked(&server, &history, &alice, None)),
        ];
        let (names, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let began = Instant::now();
        let answers = futures_util::future::join_all(calls);
        let (answers, beat) = tokio::join!(answers, async {
            let told = server.beat(&bob).await;
            (told["online_status"].clone(), began.elapsed())
        });
        for (name, (status, took)) in names.iter().zip(answers) {
            assert_eq!(status, 503, "{name} in round {round}");
            assert!(took < BOUND, "{name} took {took:?} in round {round}");
        }
        assert!(beat.0 == "online" && beat.1 < Duration::from_secs(1), "{beat:?}");
        assert_eq!(server.get(&format!("/api/presence/{bob_id}"), &alice).await.1["status"], "online");
    }

    wire.silent.send_replace(false);
    eventually(ms(15_000), "carol can sign in", async || server.try_login("carol", PASSWORD).await.0 == 200).await;
    eventually(ms(15_000), "it is ready", async || server.get("/readyz", "").await.0 == 200).await;
}

async fn asked(server: &Server, path: &str, token: &str, body: Option<serde_json::Value>) -> (u16, Duration) {
    let (http, url) = (client().no_proxy().build().unwrap(), format!("http://{}{path}", server.address()));
    let mut request = if body.is_some() { http.post(&url) } else { http.get(&url) };
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let began = Instant::now();
    let answer = request.send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"), "{path}: {}", answer.status());
    (answer.status().as_u16(), began.elapsed())
}

/// A way to a server that can fall silent: connections are taken, and nothing comes through.
struct Wire {
    port: u16,
    silent: watch::Sender<bool>,
}

impl Wire {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = watch::Sender::new(false);
        let watching = silent.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let watching = watching.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                    tokio::spawn(carry(from_near, to_far, watching.clone()));
                    carry(from_far, to_near, watching).await;
                });
            }
        });
        Self { port, silent }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if silent.wait_for(|&silent| !silent).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
