//! `presently verify URL`: the checklist, against servers that pass it and servers that do not.

use serde_json::Value;

use crate::harness::{PASSWORD, Place, Ran, Server};

const TIMEOUTS: [&str; 4] = ["--inactivity-timeout", "3s", "--heartbeat-interval", "1s"];

async fn server(place: &Place, more: &[&str]) -> Server {
    place.user("root", &["--role", "admin"]).await;
    place.serve(&[&TIMEOUTS, more].concat()).await
}

async fn verify(place: &Place, server: &Server, more: &[&str]) -> Ran {
    let url = format!("http://{}", server.address());
    place.run_with(&[&["verify", &url, "--admin", "root", "--password-stdin"], more].concat(), PASSWORD).await
}

#[tokio::test]
async fn a_good_server_passes_every_check_and_nobody_is_left_behind() {
    let place = Place::new();
    let server = server(&place, &["--cors-origins", "http://localhost:5173"]).await;
    let ran = verify(&place, &server, &["--origin", "http://localhost:5173"]).await;
    let printed = ran.succeeded();
    for check in [
        "login shows online",
        "a plain request moves last_seen",
        "heartbeats keep an idle user online",
        "silence shows offline at the deadline",
        "logout shows offline",
        "the list of many users holds no stale row",
        "server-sent events are not buffered",
        "WebSocket passes",
        "the origin is let in",
        "clocks agree",
    ] {
        assert!(printed.contains(&format!("✔ {check}: ")), "{check}: {printed}");
    }
    assert!(printed.ends_with("11 passed, 0 failed\n"), "{printed}");
    let users = place.run(&["user", "list", "--json"]).await;
    assert_eq!(users.succeeded().lines().count(), 1, "only the admin is left: {users:?}");
}

#[tokio::test]
async fn what_fails_is_named_with_what_to_do_and_exit_1() {
    let place = Place::new();
    let server = server(&place, &[]).await;
    let ran = verify(&place, &server, &["--json", "--origin", "http://localhost:5173"]).await;
    assert_eq!(ran.failed(), "presently: 1 of the checks failed");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&told["passed"], &told["failed"]), (&10.into(), &1.into()), "{told}");
    let failed = told["checks"].as_array().unwrap().iter().find(|check| check["passed"] == false).unwrap();
    assert_eq!(failed["check"], "the origin is let in");
    assert!(failed["advice"].as_str().unwrap().contains("--cors-origins"), "{failed}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_one_line_and_an_address_that_is_none_exit_2() {
    let place = Place::new();
    let ran = place.run_with(&["verify", "http://127.0.0.1:9", "--password-stdin"], PASSWORD).await;
    assert!(ran.failed().contains("cannot sign in as admin"), "{ran:?}");
    let ran = place.run_with(&["verify", "localhost:8000", "--password-stdin"], PASSWORD).await;
    assert!(ran.misused().contains("http://localhost:8000"), "{ran:?}");
}
