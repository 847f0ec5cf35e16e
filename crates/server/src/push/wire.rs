//! One WebSocket as messages. **Small buffers**: what an idle socket costs is its task. A write never waits for ever, nor longer
//! than its reader's rights last.

use std::io::ErrorKind;
use std::iter;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Signal;
use super::bounded::Bounded;
use super::close::Why;
use super::pass::{Ended, Pass};
use crate::app::App;

/// The largest message a client may send: 10,000 names of users fit.
pub(crate) const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// The same before it has said who it is: a token of another issuer fits.
const FIRST_MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Larger messages go out as fragments of this size, so that no buffer keeps the size of the largest one.
const FRAGMENT_BYTES: usize = 4 * 1024;
/// The head of a client's ping (RFC 6455, section 5.2).
const CONTROL_HEAD_BYTES: usize = 6;
/// How long a client may leave what was sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the other side may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// What came in.
pub(crate) enum Heard {
    Text(Bytes),
    /// A sign of life.
    Control,
    /// The client says goodbye.
    Close,
    /// The connection dropped.
    Gone,
    /// What came cannot be gone on with.
    Broken(Why),
    /// Nothing of the client: rights changed somewhere, or the server stops.
    Woken,
}

/// Why something was not sent.
pub(crate) enum Unsent {
    Gone,
    Because(Why),
}

type Socket = WebSocketStream<Bounded<TokioIo<Upgraded>>>;

/// The socket.
pub(crate) struct Wire {
    socket: Socket,
    /// It said who it is.
    is_known: bool,
    signal: watch::Receiver<Signal>,
}

impl Wire {
    pub(crate) async fn new(app: &App, upgraded: Upgraded) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let stream = Bounded::new(TokioIo::new(upgraded), FIRST_MESSAGE_BYTES_MAX, app.bodies());
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { socket, is_known: false, signal: app.push().signal() }
    }

    /// It is known from now on who it is.
    pub(crate) fn is_known(&mut self) {
        self.is_known = true;
        self.socket.get_mut().takes(MESSAGE_BYTES_MAX);
    }

    /// Whether the server stops.
    pub(crate) fn is_closing(&self) -> bool {
        self.signal.borrow().closing
    }

    /// The next message, or a wake. Giving up on it loses nothing.
    pub(crate) async fn hear(&mut self) -> Heard {
        let heard = tokio::select! {
            heard = self.socket.next() => heard,
            _ = self.signal.changed() => return Heard::Woken,
        };
        let came = self.socket.get_mut();
        match &heard {
            Some(Ok(Message::Text(_) | Message::Binary(_))) => came.is_whole(),
            // These may come in the midst of another.
            Some(Ok(Message::Ping(bytes) | Message::Pong(bytes))) => came.had_beside(CONTROL_HEAD_BYTES + bytes.len()),
            _ => {}
        }
        match heard {
            Some(Ok(Message::Text(text))) if !self.is_known && text.len() > FIRST_MESSAGE_BYTES_MAX => {
                Heard::Broken(Why::FirstTooBig)
            }
            Some(Ok(Message::Text(text))) => Heard::Text(text.into()),
            Some(Ok(Message::Binary(_))) => Heard::Broken(Why::Binary),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::Control,
            // A browser cannot drop a socket without a close frame. These codes are a page's own, and say that it comes
            // back; 1001 is the browser's word for a page that crashed, or made way for one that may be the same.
            Some(Ok(Message::Close(Some(frame)))) if matches!(u16::from(frame.code), 1001 | 3000..=3999) => Heard::Gone,
            Some(Ok(Message::Close(_))) => Heard::Close,
            Some(Err(Error::Capacity(_))) => Heard::Broken(self.too_big()),
            Some(Err(Error::Io(error))) if error.kind() == ErrorKind::FileTooLarge => Heard::Broken(self.too_big()),
            Some(Err(Error::Io(error))) if error.kind() == ErrorKind::QuotaExceeded => Heard::Broken(Why::TooMuch),
            Some(Err(Error::Utf8(_))) => Heard::Broken(Why::NotText),
            Some(Err(Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            ))) => Heard::Gone,
            Some(Err(Error::Protocol(_))) => Heard::Broken(Why::Protocol),
            Some(Err(_)) | None => Heard::Gone,
        }
    }

    fn too_big(&self) -> Why {
        if self.is_known { Why::TooBig } else { Why::FirstTooBig }
    }

    /// Sends texts, and then makes sure once that they are on their way.
    pub(crate) async fn send(
        &mut self,
        app: &App,
        pass: Option<&mut Pass>,
        texts: impl IntoIterator<Item = String>,
    ) -> Result<(), Unsent> {
        let Self { socket, signal, .. } = self;
        let sending = async {
            for text in texts {
                feed(socket, iter::once(text)).await?;
            }
            socket.flush().await
        };
        while_good(app, pass, signal, sending).await
    }

    /// Sends one message that is made while it is sent; none of its parts is empty.
    pub(crate) async fn send_in_parts(
        &mut self,
        app: &App,
        pass: &mut Pass,
        parts: impl Iterator<Item = String>,
    ) -> Result<(), Unsent> {
        let Self { socket, signal, .. } = self;
        let sending = async {
            feed(socket, parts).await?;
            socket.flush().await
        };
        while_good(app, Some(pass), signal, sending).await
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self, app: &App, pass: &mut Pass) -> Result<(), Unsent> {
        let Self { socket, signal, .. } = self;
        while_good(app, Some(pass), signal, socket.send(Message::Ping(Bytes::new()))).await
    }

    /// Says goodbye, and waits a little for the other side to hear it.
    pub(crate) async fn close(mut self, why: Why) {
        let (code, reason) = why.frame();
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let goodbye = async {
            let _ = self.socket.send(Message::Close(Some(frame))).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    }

    /// Answers a goodbye.
    pub(crate) async fn answer_close(mut self) {
        let goodbye = async {
            let _ = self.socket.flush().await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    }
}

/// Writes one message, whose parts come one after the other: others have their turn in between.
async fn feed(socket: &mut Socket, parts: impl Iterator<Item = String>) -> Result<(), Error> {
    let (mut parts, mut kind) = (parts.peekable(), Data::Text);
    while let Some(text) = parts.next() {
        let mut rest = Bytes::from(text);
        while !rest.is_empty() {
            let fragment = rest.split_to(rest.len().min(FRAGMENT_BYTES));
            let is_last = rest.is_empty() && parts.peek().is_none();
            socket.feed(Message::Frame(Frame::message(fragment, OpCode::Data(kind), is_last))).await?;
            kind = Data::Continue;
        }
        if parts.peek().is_some() {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Sends, unless it takes too long or the rights of the reader go meanwhile.
async fn while_good(
    app: &App,
    mut pass: Option<&mut Pass>,
    signal: &mut watch::Receiver<Signal>,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), Unsent> {
    let guarded = async {
        let mut sending = std::pin::pin!(sending);
        loop {
            tokio::select! {
                biased;
                sent = sending.as_mut() => return sent.map_err(|_| Unsent::Gone),
                changed = signal.changed() => {
                    if changed.is_err() || signal.borrow().closing {
                        return Err(Unsent::Because(Why::Pass(Ended::Stopping)));
                    }
                    if let Some(pass) = pass.as_deref_mut() {
                        pass.check(app).await.map_err(|ended| Unsent::Because(Why::Pass(ended)))?;
                    }
                }
            }
        }
    };
    tokio::time::timeout(WRITE_TIMEOUT, guarded).await.unwrap_or(Err(Unsent::Because(Why::Slow)))
}
