//! kill -9 under load: what was acknowledged is there after the restart, and who kept beating was never seen to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use presently_testkit::process::{Place, Way, history, micros};
use presently_testkit::{PASSWORD, ms};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

const BEATERS: usize = 4;
const VISITORS: usize = 6;
const SUBJECTS: usize = 4;

#[tokio::test]
async fn what_was_acknowledged_survives_and_nobody_who_kept_beating_was_seen_to_leave() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let mut server = place.serve(&[]).await;
    let (_, boss) = server.login("boss").await;
    let mut beaters = Vec::new();
    for n in 0..BEATERS {
        make(&server.way(), &boss, &format!("beater-{n}")).await.unwrap();
        beaters.push(server.login(&format!("beater-{n}")).await);
    }
    for n in 0..VISITORS {
        make(&server.way(), &boss, &format!("visitor-{n}")).await.unwrap();
    }
    let mut subjects = Vec::new();
    for n in 0..SUBJECTS {
        subjects.push(make(&server.way(), &boss, &format!("subject-{n}")).await.unwrap());
    }

    let mut certain = 0;
    for round in 0..3 {
        let dying = Arc::new(AtomicBool::new(false));
        let load = Load { way: server.way(), boss: boss.clone(), dying: Arc::clone(&dying) };
        let beats: Vec<_> = beaters.iter().map(|(_, token)| load.beat(token)).collect();
        let visits: Vec<_> =
            (0..VISITORS).map(|n| load.visit(format!("visitor-{n}"), ms(20 + 17 * n as u64))).collect();
        let acts: Vec<_> = subjects.iter().enumerate().map(|(n, id)| load.act(*id, ms(15 + 11 * n as u64))).collect();
        let made = load.make(format!("made-{round}"));
        sleep(ms(2_500 + 237 * round)).await;
        dying.store(true, Ordering::Relaxed);
        server.end_by("KILL").await;
        server = place.serve(&[]).await;

        for (beat, (id, token)) in beats.into_iter().zip(&beaters) {
            let last = beat.await.unwrap();
            let (status, last_seen) = server.shown(&boss, *id).await;
            assert_eq!(status, "online", "who kept beating is online");
            let age = micros(&last) - micros(&last_seen.unwrap());
            assert!(age <= 2_000_000, "last_seen is {age} µs old");
            server.beat(token).await;
        }
        for visit in visits {
            let visit = visit.await.unwrap();
            for token in &visit.over {
                assert_eq!(server.get("/api/users/heartbeat/", token).await.0, 401, "{} logged out", visit.name);
            }
            let Some(id) = visit.id else { continue };
            let shown = server.shown(&boss, id).await.0;
            match (&visit.current, visit.ambiguous) {
                (Some(token), false) => {
                    certain += 1;
                    assert_eq!(shown, "online", "{} logged in", visit.name);
                    assert_eq!(server.get("/api/users/heartbeat/", token).await.0, 200, "{}", visit.name);
                }
                (None, false) => {
                    certain += 1;
                    assert_eq!(shown, "offline", "{} logged out", visit.name);
                }
                // A logout that was on its way may have ended the tokens alone: then the presence ends at its deadline.
                (Some(token), true) => {
                    let good = server.get("/api/users/heartbeat/", token).await.0 == 200;
                    assert!(shown == "online" || !good, "{}: who is signed in and never left is online", visit.name);
                }
                (None, true) => {}
            }
            // Whoever is left signs out, so that the next round begins anew.
            if let Some(token) = &visit.current {
                server.post("/api/auth/logout-all/", token, json!({})).await;
            }
            let (_, token) = server.login(&visit.name).await;
            assert_eq!(server.post("/api/auth/logout-all/", &token, json!({})).await.0, 200);
        }
        for act in acts {
            let act = act.await.unwrap();
            let (_, user) = server.get(&format!("/api/users/admin/users/{}/", act.id), &boss).await;
            if act.ambiguous {
                continue;
            }
            certain += 1;
            assert_eq!(user["status"], act.status, "{user}");
            assert_eq!(user["first_name"], act.first_name, "{user}");
            assert_eq!(user["online_status"], act.shown, "{user}");
        }
        let names = made.await.unwrap();
        assert!(!names.is_empty());
        let (_, all) = server.get("/api/users/all-users/", &boss).await;
        for name in &names {
            let there = all["users"].as_array().unwrap().iter().any(|user| user["username"] == name.as_str());
            assert!(there, "{name} was made");
        }
        server.login(names.last().unwrap()).await;
    }
    assert!(certain > 0, "something was certain");
    server.stop().await;
    for (id, _) in beaters {
        assert_eq!(history(&place, id).await, ["offline->online"]);
    }
}

struct Load {
    way: Way,
    boss: String,
    dying: Arc<AtomicBool>,
}

/// What a visitor knows of their logins.
struct Visit {
    name: String,
    id: Option<i64>,
    /// The token that was given and not given back.
    current: Option<String>,
    /// The tokens that were given back.
    over: Vec<String>,
    /// The last request was on its way when the server died.
    ambiguous: bool,
}

/// What an admin knows of a user.
struct Acted {
    id: i64,
    status: &'static str,
    first_name: String,
    shown: &'static str,
    ambiguous: bool,
}

impl Load {
    /// Beats until the server is gone; returns the last `last_seen` that was acknowledged.
    fn beat(&self, token: &str) -> JoinHandle<String> {
        let (way, token, dying) = (self.way.clone(), token.to_owned(), Arc::clone(&self.dying));
        tokio::spawn(async move {
            let mut last = String::new();
            loop {
                match way.send("POST", "/api/users/heartbeat/", &token, Some(json!({}))).await {
                    Ok((200, told)) => last = told["last_seen"].as_str().unwrap().to_owned(),
                    Ok((status, told)) => panic!("{status}: {told}"),
                    Err(error) => {
                        assert!(dying.load(Ordering::Relaxed), "{error}");
                        return last;
                    }
                }
                sleep(ms(25)).await;
            }
        })
    }

    /// Signs in and out until the server is gone.
    fn visit(&self, name: String, pause: std::time::Duration) -> JoinHandle<Visit> {
        let way = self.way.clone();
        tokio::spawn(async move {
            let mut visit = Visit { name, id: None, current: None, over: Vec::new(), ambiguous: false };
            let body = json!({"username": visit.name, "password": PASSWORD});
            loop {
                match way.send("POST", "/api/auth/login/", "", Some(body.clone())).await {
                    Ok((200, told)) => {
                        visit.id = told["user"]["id"].as_i64();
                        visit.current = Some(told["tokens"]["access"].as_str().unwrap().to_owned());
                    }
                    Ok((503, _)) => {
                        sleep(ms(100)).await;
                        continue;
                    }
                    Ok((status, told)) => panic!("{status}: {told}"),
                    Err(error) => {
                        visit.ambiguous = !error.is_connect();
                        return visit;
                    }
                }
                sleep(pause).await;
                let token = visit.current.clone().unwrap();
                match way.send("POST", "/api/auth/logout/", &token, Some(json!({}))).await {
                    Ok((200, _)) => {
                        visit.over.push(token);
                        visit.current = None;
                    }
                    Ok((status, told)) => panic!("{status}: {told}"),
                    Err(error) => {
                        visit.ambiguous = !error.is_connect();
                        return visit;
                    }
                }
                sleep(pause).await;
            }
        })
    }

    /// Changes a user in turn until the server is gone.
    fn act(&self, id: i64, pause: std::time::Duration) -> JoinHandle<Acted> {
        let (way, boss) = (self.way.clone(), self.boss.clone());
        tokio::spawn(async move {
            let about = format!("/api/users/admin/users/{id}/");
            let (_, user) = way.send("GET", &about, &boss, None).await.unwrap();
            let mut acted = Acted {
                id,
                status: if user["status"] == "suspended" { "suspended" } else { "active" },
                first_name: user["first_name"].as_str().unwrap().to_owned(),
                shown: if user["online_status"] == "away" { "away" } else { "offline" },
                ambiguous: false,
            };
            for n in 0.. {
                let name = format!("Name {n}");
                let (method, path, body) = match n % 5 {
                    0 => ("POST", "activate/", json!({})),
                    1 => ("PATCH", "", json!({"first_name": name})),
                    2 => ("POST", "set-online-status/", json!({"status": "away", "expires_in": 10_000})),
                    3 => ("POST", "set-online-status/", json!({"status": null})),
                    _ => ("POST", "suspend/", json!({"reason": "load"})),
                };
                match way.send(method, &format!("{about}{path}"), &boss, Some(body)).await {
                    Ok((200, _)) => match n % 5 {
                        0 => acted.status = "active",
                        1 => acted.first_name = name,
                        2 => acted.shown = "away",
                        3 => acted.shown = "offline",
                        _ => acted.status = "suspended",
                    },
                    Ok((status, told)) => panic!("{method} {path} -> {status}: {told}"),
                    Err(error) => {
                        acted.ambiguous = !error.is_connect();
                        break;
                    }
                }
                sleep(pause).await;
            }
            acted
        })
    }

    /// Makes accounts until the server is gone; returns the names that were acknowledged.
    fn make(&self, prefix: String) -> JoinHandle<Vec<String>> {
        let (way, boss) = (self.way.clone(), self.boss.clone());
        tokio::spawn(async move {
            let mut names = Vec::new();
            for n in 0.. {
                let name = format!("{prefix}-{n}");
                match make(&way, &boss, &name).await {
                    Ok(_) => names.push(name),
                    Err(_) => break,
                }
                sleep(ms(150)).await;
            }
            names
        })
    }
}

/// Makes an account; an error is one of the connection.
async fn make(way: &Way, boss: &str, username: &str) -> Result<i64, reqwest::Error> {
    loop {
        let body = json!({"username": username, "password": PASSWORD});
        let (status, told): (u16, Value) = way.send("POST", "/api/users/admin/users/", boss, Some(body)).await?;
        match status {
            201 => return Ok(told["id"].as_i64().unwrap()),
            503 => sleep(ms(100)).await,
            _ => panic!("{status}: {told}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_answered_their_first_evidence_is_there_after_a_crash_at_once() {
    const USERS: usize = 300;
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let key = place.run(&["key", "create", "app"]).await.stdout.trim().to_owned();
    let mut server = place.serve(&[]).await;
    let (_, boss) = server.login("boss").await;
    for round in 0..3 {
        let names: Vec<String> = (0..USERS).map(|n| format!("user-{round}-{n}")).collect();
        let touches = names.iter().map(|name| {
            let body = json!({"users": [{"user_id": name}]});
            server.post("/api/presence/touch", &key, body)
        });
        let answers = futures_util::future::join_all(touches).await;
        server.end_by("KILL").await;
        assert!(answers.iter().all(|(status, told)| *status == 200 && told["accepted"] == 1), "{:?}", answers[0]);
        server = place.serve(&[]).await;
        let (status, told) = server.post("/api/presence/query", &boss, json!({"users": names})).await;
        assert_eq!(status, 200, "{told}");
        let there = told["presences"].as_array().unwrap().iter().filter(|user| user["status"] == "online").count();
        assert_eq!(there, USERS, "of those who were answered in round {round}");
    }
}
