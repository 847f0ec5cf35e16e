//! Connections as bytes, from any address of this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use presently_testkit::process::Server;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long anything may take that is not about time.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this machine: 127.0.0.`last`.
pub(crate) const fn from(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Asserts that it says no in the one shape.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("application/problem+json"), "{self:?}");
        let told: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!((&told["code"], &told["error"]), (&Value::from(code), &told["detail"]), "{self:?}");
        if matches!(status, 429 | 503) {
            assert!(self.header("retry-after").is_some(), "{self:?}");
        }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    /// Connects from an address of this machine.
    pub(crate) async fn connect(from: IpAddr, to: &str) -> Self {
        let to: SocketAddr = to.parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let stream = timeout(PATIENCE, socket.connect(to)).await.expect("a connection in time").unwrap();
        Self { stream, read: Vec::new() }
    }

    /// A connection that was made in another way.
    pub(crate) const fn over(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Sends bytes; whether they went is seen by what is answered.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Asks, and returns the answer; `None` when the connection ends before it is whole.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Option<Answer> {
        self.send(request).await;
        self.answer().await
    }

    /// The next answer; `None` when the connection ends before it is whole.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        timeout(PATIENCE, self.answer_whenever()).await.expect("an answer, or the end")
    }

    async fn answer_whenever(&mut self) -> Option<Answer> {
        let head_ends = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..head_ends]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while self.read.len() < head_ends + length {
            self.more().await?;
        }
        let body = String::from_utf8_lossy(&self.read[head_ends..head_ends + length]).into_owned();
        self.read.drain(..head_ends + length);
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head, body })
    }

    /// The next so many bytes; `None` when the connection ends before.
    pub(crate) async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let reading = async {
            while self.read.len() < count {
                self.more().await?;
            }
            Some(self.read.drain(..count).collect())
        };
        timeout(PATIENCE, reading).await.expect("bytes, or the end")
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.read).await.unwrap_or(0);
        (read > 0).then_some(())
    }

    /// Whether the server has closed it by now.
    pub(crate) fn is_closed(&self) -> bool {
        let mut byte = [0];
        match self.stream.try_read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Waits until the server closes it, at most `within`; what comes before that is passed over.
    pub(crate) async fn closes(&mut self, within: Duration) -> bool {
        let closing = async { while self.more().await.is_some() {} };
        timeout(within, closing).await.is_ok()
    }
}

/// A POST of JSON that is announced with this length, as far as its head.
pub(crate) fn post_head(path: &str, token: &str, length: usize) -> String {
    let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!("POST {path} HTTP/1.1\r\nHost: presently.test\r\n{token}Content-Length: {length}\r\n\r\n")
}

/// A POST of JSON.
pub(crate) fn post(path: &str, token: &str, body: &str) -> String {
    post_head(path, token, body.len()) + body
}

/// The value of a counter or gauge in the figures at this address.
pub(crate) async fn figure(address: &str, name: &str) -> f64 {
    let answer = Raw::connect(from(1), address).await.ask(get("/metrics")).await.unwrap();
    let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    line.parse().unwrap()
}

/// How much memory the server holds.
pub(crate) fn resident_bytes(server: &Server) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("a process");
    let pages: u64 = statm.split(' ').nth(1).expect("pages").parse().expect("a number");
    pages * 4096
}

/// A GET, as a program sends it.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: presently.test\r\n\r\n")
}
