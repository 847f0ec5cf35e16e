//! `kill -9` under load, and a process that is stopped for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use presently::Timestamp;
use serde_json::json;

use crate::harness::{PASSWORD, Program, eventually};

fn micros(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{time}: {error}")).as_microsecond()
}

/// Everybody beats twice a second, from tasks of their own, whatever happens to the server.
fn beat_on(
    program: &Program,
    url: &str,
    tokens: &[String],
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<i64>> {
    tokens
        .iter()
        .map(|token| {
            let (http, url, token, stop) = (program.http.clone(), url.to_owned(), token.clone(), Arc::clone(stop));
            tokio::spawn(async move {
                let mut newest = 0;
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(answer) = http.post(&url).bearer_auth(&token).timeout(Duration::from_secs(1)).send().await
                        && let Ok(beat) = answer.json::<serde_json::Value>().await
                        && let Some(time) = beat["last_seen"].as_str()
                    {
                        newest = micros(time);
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                newest
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_everything_acknowledged_is_there_and_nobody_who_beat_was_seen_to_leave() {
    let mut program = Program::start_with(&["--inactivity-timeout", "5s", "--heartbeat-interval", "1s"]).await;
    let admin = program.admin().await;
    let mut beating = Vec::new();
    for name in ["b0", "b1", "b2", "b3"] {
        let id = program.account(&admin, name).await;
        beating.push((id, program.login(name, PASSWORD).await.unwrap().1));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let tokens: Vec<_> = beating.iter().map(|(_, token)| token.clone()).collect();
    let url = format!("http://{}/api/users/heartbeat/", program.address());
    let beats = beat_on(&program, &url, &tokens, &stop);

    for round in 0..3 {
        let name = |what: &str| format!("{what}{round}");
        let suspended = program.account(&admin, &name("suspended")).await;
        let out = program.account(&admin, &name("out")).await;
        let stays = program.account(&admin, &name("stays")).await;
        let (_, suspended_token) = program.login(&name("suspended"), PASSWORD).await.unwrap();
        let (_, out_token) = program.login(&name("out"), PASSWORD).await.unwrap();
        let (_, out_again) = program.login(&name("out"), PASSWORD).await.unwrap();
        program.login(&name("stays"), PASSWORD).await.unwrap();
        let act = format!("/api/users/admin/users/{suspended}/suspend/");
        assert_eq!(program.post(&admin, &act, json!({})).await.unwrap().0, 200);
        for token in [&out_token, &out_again] {
            assert_eq!(program.post(token, "/api/auth/logout/", json!({})).await.unwrap().0, 200);
        }
        program.kill();
        program.run().await;

        let (status, answer) = program.get(&suspended_token, "/api/auth/profile/").await.unwrap();
        assert_eq!((status, answer["code"].as_str()), (401, Some("token_not_valid")));
        assert_eq!(program.status(&admin, suspended).await.0, "offline");
        assert_eq!(program.get(&out_token, "/api/auth/profile/").await.unwrap().0, 401, "a logout stays a logout");
        assert_eq!(program.status(&admin, out).await.0, "offline");
        assert_eq!(program.status(&admin, stays).await.0, "online", "a login stays a login");
        for (id, _) in &beating {
            assert_eq!(program.status(&admin, *id).await.0, "online", "who beats never left");
        }
    }

    stop.store(true, Ordering::Relaxed);
    let mut newest = Vec::new();
    for beat in beats {
        newest.push(beat.await.unwrap());
    }
    program.kill();
    program.run().await;
    for ((id, _), newest) in beating.iter().zip(newest) {
        let (_, last_seen) = program.status(&admin, *id).await;
        let age = Timestamp(newest).since(Timestamp(micros(&last_seen)));
        assert!(age <= Duration::from_secs(2), "{last_seen} is {age:?} too old");
    }
    assert!(program.stop().await.success());
    let history = sqlite(
        &program,
        "SELECT count(*) FROM transitions WHERE user_id IN (SELECT id FROM users WHERE username LIKE 'b_') AND to_status = 'offline'",
    );
    assert_eq!(history.trim(), "0", "no history says that they left");
}

fn sqlite(program: &Program, query: &str) -> String {
    let done = std::process::Command::new("sqlite3").arg(program.database()).arg(query).output().expect("sqlite3 runs");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).expect("text")
}

#[tokio::test]
async fn silence_shows_as_offline_after_the_timeout_and_not_before() {
    let program = Program::start().await;
    let admin = program.admin().await;
    let id = program.account(&admin, "alice").await;
    let (_, alice) = program.login("alice", PASSWORD).await.unwrap();
    let (_, beat) = program.post(&alice, "/api/users/heartbeat/", json!({})).await.unwrap();
    let since = eventually("alice is offline", Duration::from_secs(6), async || {
        let (status, last_seen) = program.status(&admin, id).await;
        (status == "offline").then_some(last_seen)
    })
    .await;
    assert_eq!(since, beat["last_seen"].as_str().unwrap(), "last_seen stays the last evidence");
    let query = format!("SELECT at FROM transitions WHERE user_id = {id} AND to_status = 'offline'");
    let at: i64 =
        eventually("it is kept", Duration::from_secs(1), async || sqlite(&program, &query).trim().parse().ok()).await;
    let silence = Timestamp(at).since(Timestamp(micros(&since)));
    assert!(silence >= Duration::from_secs(3) && silence <= Duration::from_secs(4), "{silence:?}");
}

#[tokio::test]
async fn a_process_that_was_stopped_for_longer_than_the_timeout_throws_nobody_out() {
    let program = Program::start().await;
    let admin = program.admin().await;
    let id = program.account(&admin, "alice").await;
    program.login("alice", PASSWORD).await.unwrap();
    program.signal("STOP");
    tokio::time::sleep(Duration::from_secs(5)).await;
    program.signal("CONT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(program.status(&admin, id).await.0, "online", "silence counts only while somebody listens");
}
