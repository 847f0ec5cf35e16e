//! The real binary in a folder of its own.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{PASSWORD, client, free_port, ms};

/// How long anything may take that is not about time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A working directory; the data is in `data` within, as by default.
pub struct Place {
    folder: TempDir,
    database_url: Option<String>,
    starts: AtomicU32,
}

impl Place {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "a folder on the disk is no default")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), database_url: None, starts: AtomicU32::new(0) }
    }

    /// One whose programs keep what they know in another database.
    pub fn on(database_url: String) -> Self {
        Self { database_url: Some(database_url), ..Self::new() }
    }

    /// The working directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The program, to be run here, with nothing of our own environment that it would read.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PRESENTLY_")) {
            command.env_remove(name);
        }
        if let Some(url) = &self.database_url {
            command.env("PRESENTLY_DATABASE_URL", url);
        }
        command
    }

    /// Runs the program to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), "").await
    }

    /// Runs the program to its end with something on its standard input.
    pub async fn run_with(&self, args: &[&str], stdin: &str) -> Ran {
        finish(self.command(args), stdin).await
    }

    /// Makes the database, as the first start of a server does, but without an admin. In PostgreSQL the first command makes it.
    pub async fn database(&self) {
        if self.database_url.is_none() && !self.data().exists() {
            let path = self.data().join("presently.db");
            let stores = presently_sql::SqliteStores::open(&path, presently_sql::OpenOptions::default()).await;
            stores.expect("the database is made").close().await;
        }
    }

    /// Makes an account with everybody's password, also before a server was ever started.
    pub async fn user(&self, name: &str, more: &[&str]) {
        self.database().await;
        let args = [&["user", "create", name, "--password-stdin"], more].concat();
        self.run_with(&args, PASSWORD).await.succeeded();
    }

    /// Starts a server and waits until it answers.
    pub async fn serve(&self, args: &[&str]) -> Server {
        self.serve_as(|_| {}, args).await
    }

    /// Starts a server with a variable in its environment.
    pub async fn serve_in(&self, variable: (&str, &str), args: &[&str]) -> Server {
        let change = |command: &mut Command| {
            command.env(variable.0, variable.1);
        };
        self.serve_as(change, args).await
    }

    /// Starts a server whose command was changed.
    pub async fn serve_as(&self, change: impl FnOnce(&mut Command), args: &[&str]) -> Server {
        self.start("serve", free_port(), change, args).await
    }

    /// Where a demo makes its folder.
    pub fn temporary(&self) -> PathBuf {
        self.path().join("temporary")
    }

    /// What is in the place for temporary folders.
    pub fn temporaries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary()).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The program, to be run here as a demo, with temporary folders here too.
    pub fn demo_command(&self, args: &[&str]) -> Command {
        let _ = fs::create_dir(self.temporary());
        let mut command = self.command(&[&["demo"], args].concat());
        command.env("TMPDIR", self.temporary());
        command
    }

    /// Starts a demo and waits until it answers.
    pub async fn demo(&self, args: &[&str]) -> Server {
        let _ = fs::create_dir(self.temporary());
        let temporary = self.temporary();
        let change = |command: &mut Command| {
            command.env("TMPDIR", temporary);
        };
        self.start("demo", free_port(), change, args).await
    }

    /// Starts what is to serve on this port, and waits until it answers.
    pub async fn start(&self, what: &str, port: u16, change: impl FnOnce(&mut Command), args: &[&str]) -> Server {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let listen = format!("127.0.0.1:{port}");
        let mut command = self.command(&[&[what, "--listen", &listen], args].concat());
        let out = self.path().join(format!("stdout-{number}"));
        let err = self.path().join(format!("stderr-{number}"));
        change(&mut command);
        command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
        let child = command.spawn().expect("the program starts");
        let http = client().no_proxy().timeout(PATIENCE).build().expect("an HTTP client");
        let mut server = Server { child, way: Way::to(listen, http), out, err };
        let began = Instant::now();
        while server.send("GET", "/readyz", "", None).await.is_err() {
            if let Some(status) = server.child.try_wait().expect("a child") {
                panic!("the server ended with {status}: {}{}", server.stdout(), server.stderr());
            }
            assert!(began.elapsed() < PATIENCE, "the server does not answer: {}", server.stdout());
            sleep(ms(20)).await;
        }
        server
    }
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: Option<i32>,
    /// What was printed.
    pub stdout: String,
    /// What was complained of.
    pub stderr: String,
}

impl Ran {
    /// Asserts exit code 0, and returns what was printed.
    #[track_caller]
    pub fn succeeded(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stderr, "", "{self:?}");
        &self.stdout
    }

    /// Asserts exit code 1 with exactly one line on stderr, and returns it.
    #[track_caller]
    pub fn failed(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "one line says why: {self:?}");
        assert!(self.stderr.ends_with('\n'), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self.stderr.trim_end()
    }

    /// Asserts exit code 2 with a word on stderr, and returns it.
    #[track_caller]
    pub fn misused(&self) -> &str {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(!self.stderr.trim().is_empty(), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        &self.stderr
    }
}

/// Runs a command to its end.
pub async fn finish(mut command: Command, stdin: &str) -> Ran {
    use tokio::io::AsyncWriteExt as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    // A program that does not end is no reason for the test not to.
    command.kill_on_drop(true);
    let running = async {
        let mut child = command.spawn().expect("the program starts");
        // Who refuses its arguments does not read.
        let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes()).await;
        child.wait_with_output().await.expect("the program ends")
    };
    let output = tokio::time::timeout(PATIENCE, running).await.expect("the program ends in time");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A running server.
pub struct Server {
    child: Child,
    way: Way,
    out: PathBuf,
    err: PathBuf,
}

impl Deref for Server {
    type Target = Way;

    fn deref(&self) -> &Way {
        &self.way
    }
}

impl Server {
    /// What it printed so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.out).expect("output is text")
    }

    /// What it complained of so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.err).expect("output is text")
    }

    /// A way to the server that can be given away.
    pub fn way(&self) -> Way {
        self.way.clone()
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success(), "{kill}");
    }

    /// Sends a signal and waits for the end.
    pub async fn end_by(&mut self, name: &str) -> ExitStatus {
        self.signal(name);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end at SIG{name}");
            sleep(ms(10)).await;
        }
    }

    /// Stops it as an operator does.
    pub async fn stop(&mut self) {
        let status = self.end_by("TERM").await;
        assert_eq!(status.code(), Some(0), "{}{}", self.stdout(), self.stderr());
        assert_eq!(self.stderr(), "", "logs go to stdout");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to a server.
#[derive(Clone)]
pub struct Way {
    address: String,
    http: reqwest::Client,
}

impl Way {
    /// The way to a server at this address.
    pub const fn to(address: String, http: reqwest::Client) -> Self {
        Self { address, http }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request; an error is one of the connection.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let mut request =
            self.http.request(method.parse().expect("a method"), format!("http://{}{path}", self.address));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// A GET that is answered.
    pub async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.send("GET", path, token, None).await.expect("an answer")
    }

    /// A POST that is answered.
    pub async fn post(&self, path: &str, token: &str, body: Value) -> (u16, Value) {
        self.send("POST", path, token, Some(body)).await.expect("an answer")
    }

    /// A heartbeat that is accepted.
    pub async fn beat(&self, token: &str) -> Value {
        let (status, told) = self.post("/api/users/heartbeat/", token, json!({})).await;
        assert_eq!(status, 200, "{told}");
        told
    }

    /// Asks for a login.
    pub async fn try_login(&self, username: &str, password: &str) -> (u16, Value) {
        self.post("/api/auth/login/", "", json!({"username": username, "password": password})).await
    }

    /// Somebody's id and access token.
    pub async fn login(&self, username: &str) -> (i64, String) {
        let (status, told) = self.try_login(username, PASSWORD).await;
        assert_eq!(status, 200, "{told}");
        (told["user"]["id"].as_i64().expect("an id"), told["tokens"]["access"].as_str().expect("a token").to_owned())
    }

    /// What is shown of a user: the status and the last seen.
    pub async fn shown(&self, watcher: &str, id: i64) -> (String, Option<String>) {
        let (status, told) = self.get(&format!("/api/users/admin/users/{id}/online-status/"), watcher).await;
        assert_eq!(status, 200, "{told}");
        let status = told["online_status"].as_str().expect("a status").to_owned();
        (status, told["last_seen"].as_str().map(ToOwned::to_owned))
    }
}

/// The changes of a user's status, as `from->to`, read from the database of a server that was stopped.
pub async fn history(place: &Place, id: i64) -> Vec<String> {
    use presently::Timestamp;
    use presently::store::Store;
    let path = place.data().join("presently.db");
    let stores = presently_sql::SqliteStores::open(&path, presently_sql::OpenOptions::default());
    let stores = stores.await.expect("the database opens");
    let user = id.to_string().as_str().into();
    let rows = Store::transitions(
        &stores,
        &user,
        presently::store::Sight::Insider,
        Timestamp(0),
        Timestamp(i64::MAX),
        100_000,
    )
    .await;
    let rows = rows.expect("the history can be read");
    stores.close().await;
    rows.iter().map(|row| format!("{}->{}", row.from.as_str(), row.to.as_str())).collect()
}

/// Microseconds since 1970 of a time on the wire.
pub fn micros(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().expect("a time").as_microsecond()
}

/// Where the program is: cargo says it to the tests of its package, and has put it beside them.
pub fn program() -> PathBuf {
    let beside = || std::env::current_exe().ok()?.parent()?.parent().map(|folder| folder.join("presently"));
    std::env::var_os("CARGO_BIN_EXE_presently").map(PathBuf::from).or_else(beside).expect("a path to the program")
}
