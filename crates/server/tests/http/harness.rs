//! A whole server in a test: real TCP, real SQLite, real hashing, and a clock that stands until it is moved.
//!
//! **Every answer that passes through here is held to the conventions**: one error shape, no 5xx, no redirect, the headers
//! that each answer owes. A test that sends anything therefore tests those too.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use presently::Timestamp;
use presently::clock::{Clock, ManualClock};
use presently_accounts::{AccountStatus, Draft, Role};
use presently_server::{App, Settings};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// What tokens are signed with.
pub(crate) const SECRET: &str = "not much of a secret, but long enough for HS256 to like it";
/// The inactivity timeout that servers have unless a test says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
/// The smallest step of the clock.
pub(crate) const TICK: Duration = Duration::from_micros(1);

/// `n` seconds.
pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A running server with its folder and its clock.
pub(crate) struct TestServer {
    running: Option<Running>,
    clock: Arc<ManualClock>,
    folder: TempDir,
    prepare: Box<dyn Fn(&mut Settings) + Send + Sync>,
    wire: Arc<Wire>,
}

/// One life of the server, on a runtime of its own: ending the runtime is how it crashes.
struct Running {
    app: App,
    runtime: tokio::runtime::Runtime,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    /// A server with the default settings.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server with settings of its own.
    pub(crate) async fn start_with(prepare: impl Fn(&mut Settings) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = ManualClock::new();
        let prepare: Box<dyn Fn(&mut Settings) + Send + Sync> = Box::new(prepare);
        let (running, address) = run(folder.path(), &*prepare, clock.clone()).await;
        let http = client()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(secs(60))
            .user_agent("presently-tests/1.0")
            .no_proxy()
            .build()
            .expect("an HTTP client");
        let wire = Arc::new(Wire { address: Mutex::new(address), http });
        Self { running: Some(running), clock, folder, prepare, wire }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    /// The server's own handles.
    pub(crate) fn app(&self) -> App {
        self.running().app.clone()
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.wire.address()
    }

    /// Runs `work` where the server runs.
    pub(crate) async fn on_server<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.running().runtime.spawn(work).await.expect("the work ended")
    }

    // ---- time ---------------------------------------------------------------------------------------------------

    /// Moves the clock, and returns when everything due was done.
    pub(crate) async fn advance(&self, length: Duration) {
        let mut left = length;
        loop {
            self.settled().await;
            // In steps that no write can seem slow in: the store works in real time, whatever the clock says. Where nobody
            // is present nothing is written.
            let step = if self.app().presently().counts().users == 0 { left } else { secs(1) };
            self.clock.advance(left.min(step));
            left = left.saturating_sub(step);
            let app = self.app();
            let work = async move {
                app.presently().keep_evidence().await?;
                app.presently().sweep().await
            };
            self.on_server(work).await.expect("the sweep was kept");
            if left.is_zero() {
                return;
            }
        }
    }

    /// Returns when everything decided so far was kept: what is being written while the clock jumps would seem slow.
    async fn settled(&self) {
        let app = self.app();
        self.on_server(async move { app.presently().settled().await }).await.expect("everything was kept");
    }

    /// Steps the wall clock alone.
    pub(crate) async fn step_wall(&self, seconds: i64) {
        self.clock.step_wall(seconds * 1_000_000);
        self.advance(Duration::ZERO).await;
    }

    /// The wall clock.
    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// The wall clock, as it looks on the wire.
    pub(crate) fn now(&self) -> String {
        rfc3339(self.wall())
    }

    /// The wall clock in whole seconds, as tokens have it.
    pub(crate) fn unix(&self) -> i64 {
        self.wall().0.div_euclid(1_000_000)
    }

    // ---- life ---------------------------------------------------------------------------------------------------

    /// Stops the server as SIGTERM does, and starts it in the same folder `down` later.
    pub(crate) async fn restart_after(&mut self, down: Duration) {
        let Running { app, runtime, stop, serving } = self.running.take().expect("the server runs");
        let _ = stop.send(());
        serving.await.expect("the server did not panic").expect("the server stopped cleanly");
        runtime.spawn(async move { app.shutdown().await }).await.expect("shutdown did not panic");
        end(runtime);
        self.begin(down).await;
    }

    /// Stops the server and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(Duration::ZERO).await;
    }

    /// Ends the server without a goodbye, and starts it in the same folder `down` later.
    pub(crate) async fn crash_for(&mut self, down: Duration) {
        let Running { app, runtime, .. } = self.running.take().expect("the server runs");
        end(runtime);
        drop(app);
        self.begin(down).await;
    }

    async fn begin(&mut self, down: Duration) {
        let clock = ManualClock::new();
        let offset = self.wall().0 - clock.now().wall.0;
        clock.step_wall(offset + i64::try_from(down.as_micros()).expect("a sane downtime"));
        self.clock = clock.clone();
        let (running, address) = run(self.folder.path(), &*self.prepare, clock).await;
        self.running = Some(running);
        *self.wire.address.lock().expect("unpoisoned") = address;
    }

    // ---- people -------------------------------------------------------------------------------------------------

    /// Makes an account, and returns its number.
    pub(crate) async fn account_with(&self, draft: Draft) -> i64 {
        let app = self.app();
        let now = jiff::Timestamp::from_microsecond(self.wall().0).expect("a sane time");
        let made = self.on_server(async move { app.accounts().create(draft, now, None).await }).await;
        made.expect("the account was made").id.0
    }

    /// Makes an ordinary account.
    pub(crate) async fn account(&self, username: &str) -> i64 {
        self.account_with(draft(username)).await
    }

    /// Makes an account in some state.
    pub(crate) async fn account_in(&self, username: &str, status: AccountStatus) -> i64 {
        self.account_with(Draft { status, ..draft(username) }).await
    }

    /// An admin, signed in.
    pub(crate) async fn admin(&self) -> Visitor {
        self.account_with(Draft { role: Role::Admin, ..draft("boss") }).await;
        self.login("boss").await
    }

    /// An ordinary user, signed in.
    pub(crate) async fn visitor(&self, username: &str) -> Visitor {
        self.account(username).await;
        self.login(username).await
    }

    /// Signs in somebody who has an account.
    pub(crate) async fn login(&self, username: &str) -> Visitor {
        let answer = self.try_login(username, PASSWORD).await.ok();
        Visitor::of(&self.wire, username, &answer)
    }

    /// Asks for a login.
    pub(crate) async fn try_login(&self, username: &str, password: &str) -> Answer {
        self.post("/api/auth/login/").json(json!({"username": username, "password": password})).await
    }

    // ---- tokens made elsewhere ----------------------------------------------------------------------------------

    /// The claims of an access token as djangorestframework-simplejwt makes them.
    pub(crate) fn foreign_claims(&self, user_id: impl Into<Value>) -> Value {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let jti = format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed));
        json!({
            "token_type": "access", "exp": self.unix() + 3_600, "iat": self.unix(), "jti": jti, "user_id": user_id.into(),
        })
    }

    /// An access token as djangorestframework-simplejwt makes it.
    pub(crate) fn foreign_token(&self, user_id: impl Into<Value>) -> String {
        signed(&self.foreign_claims(user_id))
    }

    /// Somebody who holds such a token.
    pub(crate) fn foreign(&self, id: i64, username: &str) -> Visitor {
        self.bearing(id, username, self.foreign_token(id))
    }

    /// Somebody who holds this token.
    pub(crate) fn bearing(&self, id: i64, username: &str, access: String) -> Visitor {
        let wire = Arc::clone(&self.wire);
        Visitor { wire, id, username: username.to_owned(), access, refresh: String::new(), user: Value::Null }
    }

    // ---- requests -----------------------------------------------------------------------------------------------

    /// A request without credentials.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        self.wire.call(method, path)
    }

    /// A GET without credentials.
    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST without credentials and without a body.
    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Sends bytes as they are, and returns what came back until the server closed or fell silent.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> RawAnswer {
        let mut stream = TcpStream::connect(self.address()).await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        RawAnswer::read(&mut stream).await
    }

    // ---- the truth ----------------------------------------------------------------------------------------------

    /// What every surface says of a user, which must be one and the same.
    pub(crate) async fn shown(&self, watcher: &Visitor, id: i64) -> Shown {
        let one = watcher.get(&format!("/api/users/admin/users/{id}/online-status/")).await.ok();
        let truth =
            Shown { status: text(&one["online_status"]), last_seen: one["last_seen"].as_str().map(ToOwned::to_owned) };
        assert_eq!(one["user_id"], id, "online-status names the user");

        let online = watcher.get("/api/users/admin/users/online/").await.ok();
        let listed = find(&online["online_users"], id).map(|user| Shown::of(&user));
        let expected = (truth.status == "online").then(|| truth.clone());
        assert_eq!(listed, expected, "the online list and online-status agree about user {id}");

        let all = watcher.get("/api/users/all-users/").await.ok();
        let user = find(&all["users"], id).expect("all-users has everybody");
        assert_eq!(Shown::of(&user), truth, "all-users and online-status agree about user {id}");

        let detail = watcher.get(&format!("/api/users/admin/users/{id}/")).await;
        if detail.status == 200 {
            let detail = detail.json();
            assert_eq!(Shown::of(&detail), truth, "the account and online-status agree about user {id}");
            let page = watcher.get("/api/users/admin/users/?per_page=1000").await.ok();
            let user = find(&page["results"], id).expect("the list has everybody");
            assert_eq!(Shown::of(&user), truth, "the list and online-status agree about user {id}");
            for status in ["online", "away", "offline"] {
                let path = format!("/api/users/admin/users/?per_page=1000&online_status={status}");
                let filtered = watcher.get(&path).await.ok();
                let there = find(&filtered["results"], id).is_some();
                assert_eq!(there, status == truth.status, "the list of those {status} is right about user {id}");
            }
        }
        truth
    }

    /// The changes of a user's status so far, as `from->to`.
    pub(crate) async fn history(&self, id: i64) -> Vec<String> {
        let app = self.app();
        let rows = self.on_server(async move {
            let presently = app.presently();
            presently.settled().await?;
            presently.transitions(&id.to_string(), Timestamp(0), Timestamp(i64::MAX), 10_000).await
        });
        let rows = rows.await.expect("the history can be read");
        rows.iter().map(|row| format!("{}->{}", row.from.as_str(), row.to.as_str())).collect()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

/// What is shown of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) status: String,
    pub(crate) last_seen: Option<String>,
}

impl Shown {
    /// What an answer shows of a user.
    pub(crate) fn of(value: &Value) -> Self {
        Self { status: text(&value["online_status"]), last_seen: value["last_seen"].as_str().map(ToOwned::to_owned) }
    }

    /// With a `last_seen`.
    pub(crate) fn at(status: &str, last_seen: &str) -> Self {
        Self { status: status.to_owned(), last_seen: Some(last_seen.to_owned()) }
    }

    /// Never heard of.
    pub(crate) fn never(status: &str) -> Self {
        Self { status: status.to_owned(), last_seen: None }
    }
}

/// Somebody who is signed in.
#[derive(Clone)]
pub(crate) struct Visitor {
    wire: Arc<Wire>,
    pub(crate) id: i64,
    pub(crate) username: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// USER, as the login told it.
    pub(crate) user: Value,
}

impl Visitor {
    fn of(wire: &Arc<Wire>, username: &str, answer: &Value) -> Self {
        Self {
            wire: Arc::clone(wire),
            id: answer["user"]["id"].as_i64().expect("the id is an integer"),
            username: username.to_owned(),
            access: text(&answer["tokens"]["access"]),
            refresh: text(&answer["tokens"]["refresh"]),
            user: answer["user"].clone(),
        }
    }

    /// A request of theirs.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        self.wire.call(method, path).bearer(&self.access)
    }

    /// A GET of theirs.
    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST of theirs, without a body.
    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// A PATCH of theirs.
    pub(crate) fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    /// A DELETE of theirs.
    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// A plain heartbeat that is accepted.
    pub(crate) async fn beat(&self) -> Value {
        self.post("/api/users/heartbeat/").await.ok()
    }

    /// A heartbeat with a body that is accepted.
    pub(crate) async fn beat_with(&self, body: Value) -> Value {
        self.post("/api/users/heartbeat/").json(body).await.ok()
    }

    /// Goodbye.
    pub(crate) async fn logout(&self) -> Value {
        self.post("/api/auth/logout/").await.ok()
    }

    /// What they are told of themselves, without being evidence.
    pub(crate) async fn own(&self) -> Shown {
        Shown::of(&self.get("/api/users/heartbeat/").await.ok())
    }

    /// As an admin: does something to a user.
    pub(crate) async fn act(&self, id: i64, act: &str) -> Value {
        self.post(&format!("/api/users/admin/users/{id}/{act}/")).await.ok()
    }

    /// As an admin: sets the status of a user.
    pub(crate) fn set(&self, id: i64, body: Value) -> Call {
        self.post(&format!("/api/users/admin/users/{id}/set-online-status/")).json(body)
    }

    /// Asserts that their token is good, without being evidence.
    pub(crate) async fn is_not_shut_out(&self) {
        self.get("/api/users/heartbeat/").await.ok();
    }

    /// Asserts that neither of their tokens opens anything.
    pub(crate) async fn is_shut_out(&self) {
        self.post("/api/users/heartbeat/").await.problem(401, "token_not_valid");
        self.get("/api/auth/profile/").await.problem(401, "token_not_valid");
        if !self.refresh.is_empty() {
            let refresh = self.wire.call(Method::POST, "/api/auth/refresh/").json(json!({"refresh": self.refresh}));
            refresh.await.problem(401, "token_not_valid");
        }
    }
}

/// The way to the server.
struct Wire {
    address: Mutex<SocketAddr>,
    http: reqwest::Client,
}

impl Wire {
    fn address(&self) -> SocketAddr {
        *self.address.lock().expect("unpoisoned")
    }

    fn call(&self, method: Method, path: &str) -> Call {
        let what = format!("{method} {path}");
        Call { request: self.http.request(method, format!("http://{}{path}", self.address())), what }
    }
}

/// A request that is sent when it is awaited.
pub(crate) struct Call {
    request: reqwest::RequestBuilder,
    what: String,
}

impl Call {
    /// With a token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a header that is not text.
    pub(crate) fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a JSON body, and saying so.
    pub(crate) fn json(self, body: impl Into<Value>) -> Self {
        self.json_text(&body.into().to_string())
    }

    /// With a JSON body that may be none.
    pub(crate) fn json_text(self, body: &str) -> Self {
        self.header("content-type", "application/json").raw(body)
    }

    /// With a body of these bytes, without a word on what they are.
    pub(crate) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body: Vec<u8> = body.into();
        self.request = self.request.body(body);
        self
    }

    /// The answer, without any expectation but that it is one.
    async fn send(self) -> Answer {
        let Self { request, what } = self;
        let response = request.send().await.unwrap_or_else(|error| panic!("{what} got no answer: {error}"));
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap_or_else(|error| panic!("{what} broke off: {error}"));
        let answer = Answer { what, status, headers, text };
        answer.keeps_the_conventions();
        answer
    }

    /// The status alone, without waiting for a body that may never end.
    pub(crate) async fn status(self) -> u16 {
        let Self { request, what } = self;
        request.send().await.unwrap_or_else(|error| panic!("{what} got no answer: {error}")).status().as_u16()
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// An answer that keeps the conventions.
#[derive(Debug)]
pub(crate) struct Answer {
    what: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// A header, when it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{} is no JSON ({error})", self.show()))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.show());
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The body of a 200.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        self.is(200)
    }

    /// The body of an error with this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.is(status);
        assert_eq!(body["code"], code, "{}", self.show());
        body
    }

    /// The body of a 400 that names this field.
    #[track_caller]
    pub(crate) fn names_field(&self, field: &str) -> Value {
        let body = self.is(400);
        let sentences = body["errors"][field].as_array();
        let sentences = sentences.unwrap_or_else(|| panic!("{} does not name {field}", self.show()));
        assert!(!sentences.is_empty(), "{}", self.show());
        assert!(sentences.iter().all(|s| s.as_str().is_some_and(|s| !s.is_empty())), "{}", self.show());
        body
    }

    fn show(&self) -> String {
        let mut text = self.text.clone();
        text.truncate(text.char_indices().nth(600).map_or(text.len(), |(at, _)| at));
        format!("{} -> {} {text}", self.what, self.status)
    }

    #[track_caller]
    fn keeps_the_conventions(&self) {
        let show = self.show();
        assert!(self.status < 500 || self.status == 503, "no 5xx: {show}");
        assert!(!(300..400).contains(&self.status), "no redirect: {show}");
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "X-Request-Id: {show}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "nosniff: {show}");
        if self.status < 400 {
            if let Ok(body) = serde_json::from_str(&self.text) {
                check_times(&body, &show);
            }
            return;
        }
        let head = self.what.starts_with("HEAD ");
        if !head {
            check_problem(self.header("content-type").unwrap_or_default(), self.status, &self.text, &show);
        }
        match self.status {
            401 => {
                let challenge = self.header("www-authenticate").unwrap_or_default();
                assert!(challenge.starts_with("Bearer"), "WWW-Authenticate: {show}");
            }
            405 => assert!(self.header("allow").is_some_and(|allow| !allow.is_empty()), "Allow: {show}"),
            429 | 503 => {
                let wait = self.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                assert!(wait.is_some_and(|seconds| seconds >= 1), "Retry-After: {show}");
            }
            _ => {}
        }
    }
}

/// What came back over a bare connection.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    /// Zero when nothing came back.
    pub(crate) status: u16,
    /// The head in small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl RawAnswer {
    /// Reads until the server closes or falls silent.
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16_384];
        while let Ok(Ok(read)) = tokio::time::timeout(secs(2), stream.read(&mut buffer)).await {
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..read]);
            if Self::parse(&bytes).is_complete() {
                break;
            }
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn is_complete(&self) -> bool {
        let length = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        length.is_some_and(|length| self.body.len() >= length)
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Asserts that this is an error in the one shape.
    #[track_caller]
    pub(crate) fn is_a_problem(&self, what: &str) {
        let show = format!("{what:?} -> {self:?}");
        assert!((400..500).contains(&self.status), "a 4xx: {show}");
        check_problem(self.header("content-type").unwrap_or_default(), self.status, &self.body, &show);
    }
}

#[track_caller]
fn check_problem(content_type: &str, status: u16, body: &str, show: &str) {
    assert!(content_type.starts_with("application/problem+json"), "problem+json, not {content_type:?}: {show}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("a JSON problem ({error}): {show}"));
    assert_eq!(body["status"], status, "status: {show}");
    for key in ["type", "title", "detail", "error", "code"] {
        assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {show}");
    }
    assert_eq!(body["detail"], body["error"], "error is detail: {show}");
    let code = body["code"].as_str().unwrap_or_default();
    let snake = code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    assert!(snake, "code is snake_case: {show}");
    if let Some(errors) = body.get("errors") {
        let fields = errors.as_object().unwrap_or_else(|| panic!("errors is an object: {show}"));
        let lists = fields.values().all(|list| list.as_array().is_some_and(|list| list.iter().all(Value::is_string)));
        assert!(lists, "errors are lists of sentences: {show}");
    }
}

/// Every time in an answer looks as times look on the wire.
#[track_caller]
fn check_times(body: &Value, show: &str) {
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_time = name.ends_with("_at") || matches!(name.as_str(), "last_seen" | "join_date" | "since");
                match value {
                    Value::String(text) if is_time => assert!(is_wire_time(text), "{name} is a time: {show}"),
                    _ => check_times(value, show),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| check_times(value, show)),
        _ => {}
    }
}

fn is_wire_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok_and(|at| rfc3339(Timestamp(at.as_microsecond())) == text)
}

/// A draft of an ordinary account.
pub(crate) fn draft(username: &str) -> Draft {
    Draft {
        username: username.to_owned(),
        email: format!("{username}@example.org"),
        password: PASSWORD.to_owned(),
        first_name: "Ada".to_owned(),
        last_name: "Byron".to_owned(),
        ..Draft::default()
    }
}

/// A token of these claims, with the server's signature.
pub(crate) fn signed(claims: &Value) -> String {
    signed_by(SECRET, claims)
}

/// A token of these claims, with somebody's signature.
pub(crate) fn signed_by(secret: &str, claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).expect("a token")
}

/// The claims of a token, unchecked.
pub(crate) fn claims(token: &str) -> Value {
    let middle = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&unbase64url(middle)).expect("claims are JSON")
}

/// A time as it looks on the wire.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).expect("a sane time");
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Asserts that this is a time as times are on the wire.
#[track_caller]
pub(crate) fn assert_time(value: &Value) {
    assert!(value.as_str().is_some_and(is_wire_time), "RFC 3339 in UTC with Z and microseconds: {value}");
}

/// The text of a JSON string.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_owned()
}

/// The keys of an object, sorted.
#[track_caller]
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The element of a list that has this `id`.
#[track_caller]
pub(crate) fn find(list: &Value, id: i64) -> Option<Value> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} is a list"));
    let found: Vec<_> = list.iter().filter(|user| user["id"] == id).collect();
    assert!(found.len() <= 1, "user {id} is listed once");
    found.first().map(|user| (*user).clone())
}

/// The usernames of a list, in its order.
#[track_caller]
pub(crate) fn usernames(list: &Value) -> Vec<String> {
    list.as_array().unwrap_or_else(|| panic!("{list} is a list")).iter().map(|user| text(&user["username"])).collect()
}

async fn run(
    folder: &Path,
    prepare: &(dyn Fn(&mut Settings) + Send + Sync),
    clock: Arc<ManualClock>,
) -> (Running, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut settings = Settings::in_folder(folder);
    settings.secret_key = Some(SECRET.to_owned());
    prepare(&mut settings);
    let opening = runtime.spawn(async move {
        let app = App::open(settings, clock).await.map_err(|error| error.to_string())?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        Ok::<_, String>((app, listener))
    });
    let (app, listener) = opening.await.expect("opening did not panic").expect("the server opens");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let serving = runtime.spawn(presently_server::serve(app.clone(), listener, async move {
        let _ = stopped.await;
    }));
    (Running { app, runtime, stop, serving }, address)
}

/// Ends a runtime with everything on it, and returns when nothing of it is left.
fn end(runtime: tokio::runtime::Runtime) {
    std::thread::spawn(move || runtime.shutdown_timeout(secs(10))).join().expect("the runtime ended");
}

fn unbase64url(text: &str) -> Vec<u8> {
    let sextet = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for c in text.bytes() {
        bits = (bits << 6) | u32::from(sextet(c));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).expect("eight bits"));
        }
    }
    bytes
}

/// A client; the TLS library wants to be told once which cryptography it has, though nothing here is encrypted.
pub(crate) fn client() -> reqwest::ClientBuilder {
    // Another test of this process may have told it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
