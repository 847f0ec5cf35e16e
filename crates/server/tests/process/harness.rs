//! A real `presently` in a temporary folder, and a client for it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "correct horse battery";
/// How long a program may take to do what it was asked.
const PATIENCE: Duration = Duration::from_secs(20);

/// The moment on the test's own clock.
#[expect(clippy::disallowed_methods, reason = "the program runs in real time")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Asks `done` until it says yes.
pub(crate) async fn eventually<T>(what: &str, within: Duration, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let until = instant() + within;
    loop {
        if let Some(found) = done().await {
            return found;
        }
        assert!(instant() < until, "{what} within {within:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A data folder, and the program that serves it (or does not).
pub(crate) struct Program {
    data: TempDir,
    port: u16,
    flags: Vec<String>,
    child: Option<Child>,
    /// What it printed since its last start.
    printed: String,
    pub(crate) admin_password: String,
    pub(crate) http: reqwest::Client,
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presently"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn one_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.trim_end().lines().count(), 1, "exactly one line on stderr: {text:?}");
    text
}

impl Program {
    /// Started for the first time, with a timeout of 3 s.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--inactivity-timeout", "3s", "--heartbeat-interval", "1s"]).await
    }

    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port").local_addr().expect("it").port();
        let mut program = Self {
            data: tempfile::tempdir().expect("a folder"),
            port,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            child: None,
            printed: String::new(),
            admin_password: String::new(),
            http: reqwest::Client::new(),
        };
        program.run().await;
        let shown = program.printed.split("password  ").nth(1).expect("the first start prints a password");
        program.admin_password = shown.lines().next().expect("it ends").to_owned();
        program
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data.path().join("data/presently.db")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn printed(&self) -> &str {
        &self.printed
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The same program again, for a command or a second server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command.current_dir(self.data.path()).args(arguments);
        command
    }

    /// Starts it and waits until it can serve.
    pub(crate) async fn run(&mut self) {
        let mut command = self.command(&["--listen", &format!("127.0.0.1:{}", self.port)]);
        let mut child =
            command.args(&self.flags).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it starts");
        let output = child.stdout.take().expect("its output");
        let (lines, printed) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        self.child = Some(child);
        self.printed.clear();
        let until = instant() + PATIENCE;
        while !self.printed.contains("Stop with Ctrl-C") {
            match printed.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => self.printed.push_str(&format!("{line}\n")),
                Err(_) => assert!(instant() < until, "it starts: {}", self.printed),
            }
        }
        eventually("ready", PATIENCE, async || {
            self.get("", "/readyz").await.is_ok_and(|(status, _)| status == 200).then_some(())
        })
        .await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is killed");
        child.wait().expect("it ended");
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().expect("kill runs");
        assert!(done.success());
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        let mut child = self.child.take().expect("it runs");
        eventually("the end", PATIENCE, async || child.try_wait().expect("its state")).await
    }

    // ---- HTTP ---------------------------------------------------------------------------------------------------

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn send(&self, request: reqwest::RequestBuilder, token: &str) -> reqwest::Result<(u16, Value)> {
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let response = request.timeout(PATIENCE).send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> reqwest::Result<(u16, Value)> {
        self.send(self.http.get(self.url(path)), token).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> reqwest::Result<(u16, Value)> {
        self.send(self.http.post(self.url(path)).json(&body), token).await
    }

    /// A login; the account's number and its access token.
    pub(crate) async fn login(&self, username: &str, password: &str) -> Option<(i64, String)> {
        let body = json!({"username": username, "password": password});
        let (status, answer) = self.post("", "/api/auth/login/", body).await.ok()?;
        let token = answer["tokens"]["access"].as_str()?.to_owned();
        (status == 200).then_some((answer["user"]["id"].as_i64()?, token))
    }

    pub(crate) async fn admin(&self) -> String {
        self.login("admin", &self.admin_password).await.expect("the admin signs in").1
    }

    /// Makes an account; its number.
    pub(crate) async fn account(&self, admin: &str, username: &str) -> i64 {
        let body = json!({"username": username, "password": PASSWORD});
        let (status, user) = self.post(admin, "/api/users/admin/users/", body).await.expect("an answer");
        assert_eq!(status, 201, "{user}");
        user["id"].as_i64().expect("a number")
    }

    /// The status of somebody, as the admin sees it.
    pub(crate) async fn status(&self, admin: &str, id: i64) -> (String, String) {
        let path = format!("/api/users/admin/users/{id}/online-status/");
        let (status, answer) = self.get(admin, &path).await.expect("an answer");
        assert_eq!(status, 200, "{answer}");
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        (text("online_status"), text("last_seen"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs to its end; fails the test when that takes too long.
pub(crate) async fn output(mut command: Command, input: &str) -> Output {
    use std::io::Write as _;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    let status = {
        let until = instant() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("its state") {
                break status;
            }
            if instant() > until {
                let _ = child.kill();
                panic!("{command:?} does not end");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().expect("its output").read_to_end(&mut stdout).expect("read");
    child.stderr.take().expect("its errors").read_to_end(&mut stderr).expect("read");
    Output { status, stdout, stderr }
}
