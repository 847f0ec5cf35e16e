//! `presently verify URL`: the checklist, against servers that pass it and servers that do not.

use std::process::{Command, Stdio};

use presently_testkit::process::{Place, Ran, Server};
use presently_testkit::{PASSWORD, eventually, ms};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

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
        "one login ends alone and at once",
        "the list of many users holds no stale row",
        "server-sent events are not buffered",
        "WebSocket passes",
        "the origin is let in",
        "clocks agree",
    ] {
        assert!(printed.contains(&format!("✔ {check}: ")), "{check}: {printed}");
    }
    assert!(printed.ends_with("12 passed, 0 failed\n"), "{printed}");
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
    assert_eq!((&told["passed"], &told["failed"]), (&11.into(), &1.into()), "{told}");
    let failed = told["checks"].as_array().unwrap().iter().find(|check| check["passed"] == false).unwrap();
    assert_eq!(failed["check"], "the origin is let in");
    assert!(failed["advice"].as_str().unwrap().contains("--cors-origins"), "{failed}");
}

#[tokio::test]
async fn it_says_first_that_it_makes_test_accounts() {
    let place = Place::new();
    let server = server(&place, &[]).await;
    let url = format!("http://{}", server.address());
    let ran = place.run_with(&["verify", &url, "--admin", "root", "--password-stdin"], "not the password").await;
    assert!(ran.failed().contains("cannot sign in as root"), "{ran:?}");
    let first = ran.stdout.lines().next().unwrap();
    for word in ["20 test accounts", "verify-", &url, "removes them"] {
        assert!(first.contains(word), "{word}: {ran:?}");
    }
}

#[tokio::test]
async fn who_stops_it_finds_no_account_left() {
    let place = Place::new();
    let server = server(&place, &[]).await;
    let (_, admin) = server.login("root").await;
    // While they are made, and in the middle of the checks.
    for (signal, is_at) in [("INT", 3), ("TERM", 20), ("HUP", 20)] {
        let running = Running::start(&place, &server);
        eventually(ms(20_000), "test accounts are made", async || made(&server, &admin).await >= is_at).await;
        running.signal(signal);
        let ran = running.ended().await;
        assert!(ran.failed().contains("the test accounts are removed"), "SIG{signal}: {ran:?}");
        assert_eq!(made(&server, &admin).await, 0, "SIG{signal}");
    }
    let (_, sessions) = server.get("/api/users/admin/users/1/sessions/", &admin).await;
    assert_eq!(sessions["count"], 1, "its own login ended too: {sessions}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_a_word_on_what_is_left() {
    let place = Place::new();
    let server = server(&place, &[]).await;
    let (_, admin) = server.login("root").await;
    let running = Running::start(&place, &server);
    eventually(ms(20_000), "test accounts are made", async || made(&server, &admin).await == 20).await;
    // Nothing is removed while the server stands still.
    server.signal("STOP");
    running.signal("INT");
    eventually(ms(5_000), "it says what it does", async || running.printed().contains("once more")).await;
    running.signal("INT");
    let began = tokio::time::Instant::now();
    let ran = running.ended().await;
    server.signal("CONT");
    assert!(began.elapsed() < ms(3_000), "{:?}", began.elapsed());
    let why = ran.failed();
    assert!(why.contains("remove the users named verify-"), "{why}");
}

#[tokio::test]
async fn nobody_is_asked_for_a_password_that_goes_nowhere() {
    let place = Place::new();
    // There is no terminal here, so the question would be exit code 2.
    let ran = place.run(&["verify", "http://127.0.0.1:9"]).await;
    let why = ran.failed();
    assert!(why.contains("http://127.0.0.1:9: no answer: ") && why.contains("refused"), "{why}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    });
    let ran = place.run(&["verify", &other]).await;
    assert!(ran.failed().contains("no Presently"), "{ran:?}");
    serving.await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_none_is_exit_2() {
    let place = Place::new();
    let ran = place.run_with(&["verify", "localhost:8000", "--password-stdin"], PASSWORD).await;
    assert!(ran.misused().contains("http://localhost:8000"), "{ran:?}");
}

/// How many test accounts there are.
async fn made(server: &Server, admin: &str) -> u64 {
    server.get("/api/users/admin/users/?search=verify-", admin).await.1["count"].as_u64().unwrap()
}

/// A checklist under way.
struct Running {
    child: tokio::process::Child,
    out: std::path::PathBuf,
}

impl Running {
    fn start(place: &Place, server: &Server) -> Self {
        let url = format!("http://{}", server.address());
        let out = place.path().join("verify-stdout");
        let mut command = place.command(&["verify", &url, "--admin", "root"]);
        command.env("PRESENTLY_ADMIN_PASSWORD", PASSWORD);
        command.stdout(std::fs::File::create(&out).unwrap()).stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        Self { child: command.kill_on_drop(true).spawn().unwrap(), out }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    async fn ended(self) -> Ran {
        let output = self.child.wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Ran { code: output.status.code(), stdout: std::fs::read_to_string(&self.out).unwrap(), stderr }
    }
}
