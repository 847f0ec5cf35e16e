//! The accept loop: connections within limits, and an end within bounds. **A connection takes no scarce seat before anything is
//! known of it**, and none waits unheard in the kernel's queue: it has a seat at once, or is told that there is none.
//!
//! - `seats`: who holds the connections
//! - `pace`: readers who are too slow
//! - `refuse`: saying no without an HTTP layer

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::pace::Paced;
use self::refuse::Refusals;
pub(crate) use self::seats::Seat;
use self::seats::{Full, Seats};
use crate::app::App;
use crate::front::{Front, HEADER_BYTES_MAX};
use crate::metrics::{Refused, refused};
use crate::plain_errors::PlainErrors;
use crate::problem::Problem;
use crate::push::handoff::{self, Handoff};
use crate::{address, identify};

mod pace;
mod refuse;
mod seats;

/// How long the first request's head may take, from when the connection is taken.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a later one may take; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long requests, streams and sockets may take to end once the server is to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept error (out of file descriptors) the loop waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long what was sent may stay unacknowledged: then the reader went without a word.
#[cfg(target_os = "linux")]
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what is not sent yet the kernel keeps for a connection: enough for a fast reader, and little for one who does not read.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;
/// The longest head of a request that is read at all: the longest address, and more headers than are taken.
const HEAD_BYTES_MAX: usize = 6 * HEADER_BYTES_MAX;
/// Connections to the listener of those who run the server: a few that scrape and check, and a person or two.
const OPERATIONS_CONNECTIONS_MAX: usize = 32;

/// Serves until `stop`, then lets requests under way end, and ends streams and sockets. Does not shut the [`App`] down.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve(app: App, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let seats = Seats::new(app.settings().seats(), app.settings().streams_per_user_max);
    accept(&app, &Front::new(app.clone()), listener, &seats, stop).await;
    app.push().close();
    if tokio::time::timeout(DRAIN_TIMEOUT, seats.emptied()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// Serves `/metrics`, `/healthz` and `/readyz` alone until `stop`. **Its connections are its own**: it answers when the public
/// listener is full.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve_operations(
    app: App,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let seats = Seats::new(OPERATIONS_CONNECTIONS_MAX, 0);
    accept(&app, &Front::for_operations(app.clone()), listener, &seats, stop).await;
    Ok(())
}

/// Takes connections until `stop`.
async fn accept(app: &App, front: &Front, listener: TcpListener, seats: &Arc<Seats>, stop: impl Future<Output = ()>) {
    let refusals = Refusals::new(app.is_demo());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let mut stop = pin!(stop);
    loop {
        // 1. A connection: each is taken from the kernel's queue, where nobody could say anything to it.
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => return,
        };
        prepare(&stream);
        // 2. A seat, or a word that there is none.
        let is_proxy = address::is_trusted(peer.ip(), &app.settings().trusted_proxies);
        let seat = match seats.take((!is_proxy).then(|| address::counted(peer.ip()))) {
            Ok(seat) => seat,
            Err(full) => {
                refused(if full == Full::All { Refused::Full } else { Refused::Address });
                refusals.no_seat(full, stream);
                continue;
            }
        };
        // 3. A task, which ends when the connection, or the stream that it became, does; or when it has to make room.
        let handoff = Handoff::default();
        let service = service(front.clone(), peer, seat.clone(), handoff.clone());
        let stream = PlainErrors::new(Paced::new(stream), app.is_demo());
        let connection = Box::pin(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let carried = carry(connection, handoff, seat.clone(), app.push().stopping(), app.is_demo());
        seat.ends_with(tokio::spawn(carried).abort_handle());
    }
}

/// What answers the requests of one connection.
fn service(
    front: Front,
    peer: SocketAddr,
    seat: Seat,
    handoff: Handoff,
) -> impl HttpService<Incoming, ResBody = Body, Error = io::Error, Future: Unpin + Send> + Unpin + Send {
    service_fn(move |mut request: Request<Incoming>| {
        let (front, seat, is_seated) = (front.clone(), seat.clone(), seat.is_asked());
        if request.uri().path().starts_with(identify::EVENTS) && Handoff::serves(&request) {
            request.extensions_mut().insert(handoff.clone());
        }
        // In a box of its own: it is much larger than an idle connection, which would keep its place.
        Box::pin(async move {
            if !is_seated {
                return Err(io::Error::other("the connection made room for another"));
            }
            let response: Response = front.answer(peer, &seat, request.map(Body::new)).await;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                seat.is_answered();
            }
            Ok(response)
        })
    })
}

type Connection<S> = http1::UpgradeableConnection<TokioIo<PlainErrors<Paced<TcpStream>>>, S>;

/// How a connection ends as HTTP.
enum End {
    Over,
    Broken(hyper::Error),
    /// It goes on as an event stream.
    Leaves(Box<crate::push::stream::Events>),
    /// The first head did not come in time.
    SlowHead,
}

/// Carries a connection to its end: as HTTP, or as the event stream that it becomes.
async fn carry<S, B>(
    mut connection: Pin<Box<Connection<S>>>,
    handoff: Handoff,
    seat: Seat,
    stopping: impl Future<Output = ()>,
    is_demo: bool,
) where
    S: HttpService<Incoming, ResBody = B> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B::Data: Send,
    S::Future: Unpin,
{
    let mut stopping = Some(Box::pin(stopping));
    let mut patience = Some(Box::pin(tokio::time::sleep(FIRST_HEAD_TIMEOUT)));
    let end = poll_fn(|context| {
        if let Some(stop) = &mut stopping
            && stop.as_mut().poll(context).is_ready()
        {
            stopping = None;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(ended.map_or_else(End::Broken, |()| End::Over));
        }
        if seat.was_asked() {
            patience = None;
        }
        if patience.as_mut().is_some_and(|patience| patience.as_mut().poll(context).is_ready()) {
            return Poll::Ready(End::SlowHead);
        }
        // A stream is left while its answer is made, so by now the head is written, as far as the socket takes it.
        handoff.take().map_or(Poll::Pending, |events| Poll::Ready(End::Leaves(events)))
    })
    .await;
    drop((stopping, patience));
    match end {
        End::Over => {}
        End::Broken(error) => tracing::debug!(%error, "a connection ended badly"),
        End::Leaves(events) => {
            let parts = Pin::into_inner(connection).into_parts();
            // One who does not even take the head comes back some other time.
            if let Some(stream) = parts.and_then(|parts| parts.io.into_inner().into_stream()) {
                handoff::run(events, stream).await;
            }
        }
        End::SlowHead => {
            refused(Refused::SlowHead);
            let parts = Pin::into_inner(connection).into_parts();
            // To one who said nothing nothing is said.
            if let Some(parts) = parts.filter(|parts| !parts.read_buf.is_empty())
                && let Some(stream) = parts.io.into_inner().into_stream()
            {
                refuse::say(&Problem::of_status(StatusCode::REQUEST_TIMEOUT), stream, is_demo).await;
            }
        }
    }
}

/// Answers are small and written whole: waiting for more to send would only delay them. A reader who went without a word holds
/// nothing for long.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(stream);
        let _ = socket.set_tcp_user_timeout(Some(UNREAD_TIMEOUT));
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    }
}
