//! The clients of these tests, and a line between them and the server that can be cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::harness::{TestServer, Visitor, secs};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = secs(10);
/// How long silence is listened to.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// Waits until `holds`.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

// ---- Server-Sent Events -------------------------------------------------------------------------------------------------

/// One event, or a comment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Empty for a comment.
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// A client of an event stream.
pub(crate) struct Stream {
    response: reqwest::Response,
    buffer: String,
}

impl Stream {
    /// Opens a stream of theirs.
    pub(crate) async fn open(address: SocketAddr, who: &Visitor, query: &str) -> Self {
        Self::open_after(address, who, query, None).await
    }

    /// Opens it again after an event.
    pub(crate) async fn open_after(address: SocketAddr, who: &Visitor, query: &str, last: Option<&str>) -> Self {
        let mut request = client().get(format!("http://{address}/api/presence/events{query}")).bearer_auth(&who.access);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Self::of(request).await.unwrap()
    }

    /// What this request opens.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
        Ok(Self { response, buffer: String::new() })
    }

    /// The next event or comment; `None` at the end.
    pub(crate) async fn next_line(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                        .unwrap_or_default()
                        .to_owned()
                };
                let is_hint = block.starts_with("retry: ");
                let data = field("data");
                let event = Event {
                    event: field("event"),
                    id: field("id"),
                    data: if data.is_empty() { Value::Null } else { serde_json::from_str(&data).unwrap() },
                };
                self.buffer = rest.to_owned();
                if is_hint {
                    continue;
                }
                return Some(event);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something comes");
            match chunk {
                Ok(Some(chunk)) => self.buffer.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.next_line().await?;
            if !event.event.is_empty() {
                assert!(!event.id.is_empty(), "every event has an id: {event:?}");
                return Some(event);
            }
        }
    }

    /// The snapshot that a stream begins with.
    pub(crate) async fn snapshot(&mut self) -> Vec<Value> {
        let event = self.next().await.expect("a snapshot");
        assert_eq!(event.event, "snapshot");
        event.data["presences"].as_array().unwrap().clone()
    }

    /// The next transition.
    pub(crate) async fn presence(&mut self) -> Value {
        let event = self.next().await.expect("a transition");
        assert_eq!(event.event, "presence");
        event.data
    }

    /// Asserts that nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) {
        let heard = tokio::time::timeout(SILENCE, self.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Asserts that it ends.
    pub(crate) async fn ends(mut self) {
        while self.next().await.is_some() {}
    }
}

/// A client without surprises.
pub(crate) fn client() -> reqwest::Client {
    crate::harness::wire::client().no_proxy().build().unwrap()
}

// ---- WebSockets ---------------------------------------------------------------------------------------------------------

/// What a socket's client sees.
#[derive(Debug)]
enum Seen {
    Frame(Value),
    Closed(u16),
    Dropped,
}

enum Wish {
    Say(Message),
    Stall,
}

/// A client of a socket, which answers pings by itself.
pub(crate) struct Socket {
    wishes: mpsc::UnboundedSender<Wish>,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: tokio::task::JoinHandle<()>,
    /// What `ready` said.
    pub(crate) ready: Value,
}

impl Socket {
    /// Opens a socket that says who it is in the header.
    pub(crate) async fn open(address: SocketAddr, who: &Visitor) -> Self {
        let authorization = format!("Bearer {}", who.access);
        let mut socket = Self::connect(address, "", Some(&authorization)).await.unwrap();
        socket.ready = socket.frame().await;
        assert_eq!(socket.ready["type"], "ready");
        socket
    }

    /// Opens a socket that says nothing yet.
    pub(crate) async fn bare(address: SocketAddr) -> Self {
        Self::connect(address, "", None).await.unwrap()
    }

    /// Opens a socket; the status of the answer when there is none.
    pub(crate) async fn connect(address: SocketAddr, query: &str, authorization: Option<&str>) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/api/presence/ws{query}").into_client_request().unwrap();
        if let Some(text) = authorization {
            request.headers_mut().insert("authorization", text.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.map_err(|_| 0_u16)?;
        let socket = match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => socket,
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => return Err(answer.status().as_u16()),
            Err(_) => return Err(0),
        };
        let (wishes, mut wished) = mpsc::unbounded_channel();
        let (tell, seen) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut socket = socket;
            loop {
                let seen = tokio::select! {
                    wish = wished.recv() => match wish {
                        Some(Wish::Say(message)) => {
                            let _ = socket.send(message).await;
                            continue;
                        }
                        Some(Wish::Stall) => std::future::pending().await,
                        None => return,
                    },
                    message = socket.next() => match message {
                        Some(Ok(Message::Text(text))) => Seen::Frame(serde_json::from_str(&text).unwrap()),
                        Some(Ok(Message::Close(frame))) => Seen::Closed(frame.map_or(1005, |frame| frame.code.into())),
                        Some(Ok(_)) => continue,
                        Some(Err(_)) | None => {
                            let _ = tell.send(Seen::Dropped);
                            return;
                        }
                    },
                };
                let _ = tell.send(seen);
            }
        });
        Ok(Self { wishes, seen, task, ready: Value::Null })
    }

    /// Says something.
    pub(crate) fn say(&self, frame: Value) {
        self.say_text(&frame.to_string());
    }

    /// Says something that may be no JSON.
    pub(crate) fn say_text(&self, text: &str) {
        let _ = self.wishes.send(Wish::Say(Message::text(text)));
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Value {
        match self.see().await {
            Seen::Frame(frame) => frame,
            other => panic!("a frame, not {other:?}"),
        }
    }

    /// The next frame, unless the connection is gone.
    pub(crate) async fn frame_if_any(&mut self) -> Option<Value> {
        match self.see().await {
            Seen::Frame(frame) => Some(frame),
            _ => None,
        }
    }

    async fn see(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.seen.recv()).await.expect("something comes").unwrap_or(Seen::Dropped)
    }

    /// Watches these, and returns the snapshot.
    pub(crate) async fn watch(&mut self, users: &[i64]) -> Value {
        let users: Vec<_> = users.iter().map(ToString::to_string).collect();
        self.say(json!({"type": "watch", "users": users}));
        let snapshot = self.frame().await;
        assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
        snapshot
    }

    /// The next frame, which is an error.
    pub(crate) async fn error(&mut self, code: &str) {
        let frame = self.frame().await;
        assert_eq!((&frame["type"], &frame["code"]), (&json!("error"), &json!(code)), "{frame}");
        assert!(!frame["detail"].as_str().unwrap().is_empty());
    }

    /// The next diff's presences.
    pub(crate) async fn diff(&mut self) -> Vec<Value> {
        let frame = self.frame().await;
        assert_eq!(frame["type"], "diff", "{frame}");
        frame["presences"].as_array().unwrap().clone()
    }

    /// Asserts that the server closes it, with this code.
    pub(crate) async fn is_closed(&mut self, code: u16) {
        loop {
            match self.see().await {
                Seen::Frame(_) => {}
                Seen::Closed(with) => return assert_eq!(with, code),
                Seen::Dropped => panic!("dropped, not closed with {code}"),
            }
        }
    }

    /// Asserts that nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) {
        let heard = tokio::time::timeout(SILENCE, self.seen.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Says goodbye, and waits for the answer.
    pub(crate) async fn close(self) {
        self.close_with(None).await;
    }

    /// Closes with a code of its own, and waits until it is closed.
    pub(crate) async fn close_with(mut self, code: Option<u16>) {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: "".into() });
        let _ = self.wishes.send(Wish::Say(Message::Close(frame)));
        while !matches!(self.see().await, Seen::Dropped) {}
    }

    /// Goes without a word.
    pub(crate) async fn vanish(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Reads nothing more.
    pub(crate) fn stall(&self) {
        let _ = self.wishes.send(Wish::Stall);
    }
}

/// Moves the clock, in steps that no write can seem slow in: the store works in real time, whatever the clock says.
pub(crate) async fn pass(server: &TestServer, length: Duration) {
    let mut left = length;
    while !left.is_zero() {
        let app = server.app();
        server.on_server(async move { app.presently().settled().await }).await.expect("everything is kept");
        let step = left.min(secs(1));
        server.advance(step).await;
        left -= step;
    }
}

/// Moves the clock by `steps` of 30 s, and after each step waits until everybody with a socket was heard.
pub(crate) async fn live_through(server: &TestServer, steps: usize, with_sockets: &[i64]) {
    for _ in 0..steps {
        pass(server, secs(30)).await;
        for id in with_sockets {
            let (app, now) = (server.app(), server.wall());
            until("every socket was heard", async || {
                let why = app.presently().explain(&id.to_string());
                let sockets =
                    why.iter().flat_map(|why| &why.sessions).filter(|session| session.session.contains("/ws-"));
                let mut heard = sockets.map(|session| session.last_evidence == now).peekable();
                heard.peek().is_some() && heard.all(|heard| heard)
            })
            .await;
        }
    }
}

// ---- the line -----------------------------------------------------------------------------------------------------------

/// A TCP proxy that can be cut and slowed, and that can double what passes.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
    cuts: watch::Sender<u64>,
    delay_ms: Arc<AtomicU64>,
    doubles: Arc<AtomicBool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Line {
    pub(crate) async fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Arc::new(Mutex::new(upstream));
        let cuts = watch::Sender::new(0);
        let delay_ms = Arc::new(AtomicU64::new(0));
        let doubles = Arc::new(AtomicBool::new(false));
        let accepting = tokio::spawn({
            let (upstream, cuts, delay_ms) = (Arc::clone(&upstream), cuts.clone(), Arc::clone(&delay_ms));
            let doubles = Arc::clone(&doubles);
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    let to = *upstream.lock().unwrap();
                    let mut cut = cuts.subscribe();
                    let delay_ms = Arc::clone(&delay_ms);
                    let doubled = doubles.load(Ordering::Relaxed);
                    tokio::spawn(async move {
                        let Ok(far) = TcpStream::connect(to).await else { return };
                        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                        let mut to_all = vec![to_far];
                        let mut unheard = None;
                        if doubled {
                            let Ok(twin) = TcpStream::connect(to).await else { return };
                            let (from_twin, to_twin) = twin.into_split();
                            to_all.push(to_twin);
                            unheard = Some(from_twin);
                        }
                        tokio::select! {
                            () = carry(from_near, to_all, &delay_ms) => {}
                            () = carry(from_far, vec![to_near], &delay_ms) => {}
                            // What the twin is answered goes nowhere; the twin lives as long as the connection.
                            () = swallow(unheard) => {}
                            _ = cut.changed() => {}
                        }
                    });
                }
            }
        });
        Self { address, upstream, cuts, delay_ms, doubles, accepting }
    }

    /// Every connection breaks off now.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Everything takes this much longer from now on.
    pub(crate) fn delay(&self, milliseconds: u64) {
        self.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// New connections are made twice from now on: the server hears everything twice, the client hears one of the two.
    pub(crate) fn double(&self) {
        self.doubles.store(true, Ordering::Relaxed);
    }

    /// New connections lead elsewhere.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap() = upstream;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: Vec<tokio::net::tcp::OwnedWriteHalf>,
    delay_ms: &AtomicU64,
) {
    let mut buffer = [0; 512];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed))).await;
        for to in &mut to {
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}

async fn swallow(from: Option<tokio::net::tcp::OwnedReadHalf>) {
    let Some(mut from) = from else { return std::future::pending().await };
    let mut buffer = [0; 4096];
    while let Ok(1..) = from.read(&mut buffer).await {}
    std::future::pending().await
}
