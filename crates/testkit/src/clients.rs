//! Clients of what is pushed: an event stream and a socket. They know nothing of how the server they talk to was started.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::client;
use crate::http::Visitor;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long silence is listened to.
pub const SILENCE: Duration = Duration::from_millis(300);

// ---- Server-Sent Events -------------------------------------------------------------------------------------------------

/// One event, or a comment.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Empty for a comment.
    pub event: String,
    /// The position to come back with.
    pub id: String,
    /// What it says.
    pub data: Value,
}

impl Event {
    /// Whether it is more than a comment.
    fn is_one(&self) -> bool {
        let is_one = !self.event.is_empty();
        assert!(!is_one || !self.id.is_empty(), "every event has an id: {self:?}");
        is_one
    }
}

/// A client of an event stream.
pub struct Stream {
    response: reqwest::Response,
    buffer: String,
}

impl Stream {
    /// Opens a stream of theirs.
    pub async fn open(address: SocketAddr, who: &Visitor, query: &str) -> Self {
        Self::open_after(address, who, query, None).await
    }

    /// Opens it again after an event.
    pub async fn open_after(address: SocketAddr, who: &Visitor, query: &str, last: Option<&str>) -> Self {
        let mut request = client()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("http://{address}/api/presence/events{query}"))
            .bearer_auth(&who.access);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Self::of(request).await.unwrap()
    }

    /// What this request opens.
    pub async fn of(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        if response.status() != 200 {
            let status = response.status();
            panic!("{status}: {}", response.text().await.unwrap_or_default());
        }
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
        Ok(Self { response, buffer: String::new() })
    }

    /// What this request opens, unless nobody answers or the answer is no stream.
    pub async fn try_of(request: reqwest::RequestBuilder) -> Option<Self> {
        let response = request.send().await.ok()?;
        (response.status() == 200).then(|| Self { response, buffer: String::new() })
    }

    /// The next event or comment; `None` at the end.
    pub async fn next_line(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.line_whenever()).await.expect("something comes")
    }

    async fn line_whenever(&mut self) -> Option<Event> {
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
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.next_line().await?;
            if event.is_one() {
                return Some(event);
            }
        }
    }

    /// The next event, however long nothing comes.
    pub async fn next_whenever(&mut self) -> Option<Event> {
        loop {
            let event = self.line_whenever().await?;
            if event.is_one() {
                return Some(event);
            }
        }
    }

    /// The snapshot that a stream begins with.
    pub async fn snapshot(&mut self) -> Vec<Value> {
        let event = self.next().await.expect("a snapshot");
        assert_eq!(event.event, "snapshot");
        event.data["presences"].as_array().unwrap().clone()
    }

    /// The next transition.
    pub async fn presence(&mut self) -> Value {
        let event = self.next().await.expect("a transition");
        assert_eq!(event.event, "presence");
        event.data
    }

    /// Asserts that nothing comes for a while.
    pub async fn is_silent(&mut self) {
        let heard = tokio::time::timeout(SILENCE, self.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Asserts that it ends.
    pub async fn ends(mut self) {
        while self.next().await.is_some() {}
    }
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
pub struct Socket {
    wishes: mpsc::UnboundedSender<Wish>,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: tokio::task::JoinHandle<()>,
    /// What `ready` said.
    pub ready: Value,
}

impl Socket {
    /// Opens a socket that says who it is in the header.
    pub async fn open(address: SocketAddr, who: &Visitor) -> Self {
        let authorization = format!("Bearer {}", who.access);
        let mut socket = Self::connect(address, "", Some(&authorization)).await.unwrap();
        socket.ready = socket.frame().await;
        assert_eq!(socket.ready["type"], "ready");
        socket
    }

    /// Opens a socket that says nothing yet.
    pub async fn bare(address: SocketAddr) -> Self {
        Self::connect(address, "", None).await.unwrap()
    }

    /// Opens a socket; the status of the answer when there is none.
    pub async fn connect(address: SocketAddr, query: &str, authorization: Option<&str>) -> Result<Self, u16> {
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
    pub fn say(&self, frame: Value) {
        self.say_text(&frame.to_string());
    }

    /// Says something that may be no JSON.
    pub fn say_text(&self, text: &str) {
        let _ = self.wishes.send(Wish::Say(Message::text(text)));
    }

    /// Says something that is no text.
    pub fn say_bytes(&self, bytes: &'static [u8]) {
        let _ = self.wishes.send(Wish::Say(Message::binary(bytes)));
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Value {
        match self.see().await {
            Seen::Frame(frame) => frame,
            other => panic!("a frame, not {other:?}"),
        }
    }

    /// The next frame, unless the connection is gone.
    pub async fn frame_if_any(&mut self) -> Option<Value> {
        match self.see().await {
            Seen::Frame(frame) => Some(frame),
            _ => None,
        }
    }

    /// The next frame, however long nothing comes, unless the connection is gone.
    pub async fn frame_whenever(&mut self) -> Option<Value> {
        match self.seen.recv().await {
            Some(Seen::Frame(frame)) => Some(frame),
            _ => None,
        }
    }

    async fn see(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.seen.recv()).await.expect("something comes").unwrap_or(Seen::Dropped)
    }

    /// Watches these, and returns the snapshot.
    pub async fn watch(&mut self, users: &[i64]) -> Value {
        let users: Vec<_> = users.iter().map(ToString::to_string).collect();
        self.say(json!({"type": "watch", "users": users}));
        let snapshot = self.frame().await;
        assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
        snapshot
    }

    /// The next frame, which is an error.
    pub async fn error(&mut self, code: &str) {
        let frame = self.frame().await;
        assert_eq!((&frame["type"], &frame["code"]), (&json!("error"), &json!(code)), "{frame}");
        assert!(!frame["detail"].as_str().unwrap().is_empty());
    }

    /// The next diff's presences.
    pub async fn diff(&mut self) -> Vec<Value> {
        let frame = self.frame().await;
        assert_eq!(frame["type"], "diff", "{frame}");
        frame["presences"].as_array().unwrap().clone()
    }

    /// Asserts that the server closes it, with this code.
    pub async fn is_closed(&mut self, code: u16) {
        loop {
            match self.see().await {
                Seen::Frame(_) => {}
                Seen::Closed(with) => return assert_eq!(with, code),
                Seen::Dropped => panic!("dropped, not closed with {code}"),
            }
        }
    }

    /// Asserts that nothing comes for a while.
    pub async fn is_silent(&mut self) {
        let heard = tokio::time::timeout(SILENCE, self.seen.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Says goodbye, and waits for the answer.
    pub async fn close(self) {
        self.close_with(None).await;
    }

    /// Closes with a code of its own, and waits until it is closed.
    pub async fn close_with(mut self, code: Option<u16>) {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: "".into() });
        let _ = self.wishes.send(Wish::Say(Message::Close(frame)));
        while !matches!(self.see().await, Seen::Dropped) {}
    }

    /// Goes without a word.
    pub async fn vanish(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Reads nothing more.
    pub fn stall(&self) {
        let _ = self.wishes.send(Wish::Stall);
    }
}
