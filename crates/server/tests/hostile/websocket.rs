//! Sockets as bytes.

use std::net::IpAddr;
use std::time::Duration;

use crate::raw::Raw;

/// A socket that has said nothing yet.
pub(crate) struct Socket {
    pub(crate) raw: Raw,
}

impl Socket {
    /// Opens one without credentials.
    pub(crate) async fn open(from: IpAddr, to: &str) -> Self {
        let mut raw = Raw::connect(from, to).await;
        let answer = raw
            .ask(
                "GET /api/presence/ws HTTP/1.1\r\nHost: presently.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .await
            .expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
        Self { raw }
    }

    /// Begins a message of `length` bytes, and sends as many as there are in `part`.
    pub(crate) async fn begin(&mut self, length: u32, part: &str) {
        let mut bytes = vec![0x81, 0x80 | 127];
        bytes.extend(u64::from(length).to_be_bytes());
        // A mask of zeros masks nothing.
        bytes.extend([0; 4]);
        bytes.extend(part.as_bytes());
        self.raw.send(bytes).await;
    }

    /// Sends a text.
    pub(crate) async fn say(&mut self, text: &str) {
        self.begin(text.len().try_into().expect("a short text"), text).await;
    }

    /// The next text, or the end.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        match self.frame().await? {
            (1, text) => Some(String::from_utf8(text).expect("text")),
            _ => None,
        }
    }

    /// The code with which it is closed.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            if let (8, payload) = self.frame().await? {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    }

    /// Whether it is not closed within a moment.
    pub(crate) async fn is_open(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(20), self.frame()).await.is_err()
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.raw.take(2).await?;
        let length = match head[1] {
            126 => self.raw.take(2).await?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            short => usize::from(short),
        };
        Some((head[0] & 0xf, self.raw.take(length).await?))
    }
}
