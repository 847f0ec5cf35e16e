//! The accept loop: connections within limits, and an end within bounds.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http::header::UPGRADE;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::front::{Front, HEADER_BYTES_MAX};
use crate::identify;
use crate::plain_errors::PlainErrors;
use crate::push::handoff::{self, Handoff};

/// How long a request's head may take to arrive; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long requests, streams and sockets may take to end once the server is to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept error (out of file descriptors) the loop waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long what was sent may stay unread or unacknowledged: then the reader is given up.
#[cfg(target_os = "linux")]
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest head of a request that is read at all: the longest address, and more headers than are taken.
const HEAD_BYTES_MAX: usize = 6 * HEADER_BYTES_MAX;

/// A connection's place among those that the server takes; free when the last clone is dropped. A socket holds it on after HTTP.
#[derive(Clone)]
pub(crate) struct Seat {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Connections to the listener of those who run the server: a few that scrape and check, and a person or two.
const OPERATIONS_CONNECTIONS_MAX: usize = 32;

/// Serves until `stop`, then lets requests under way end, and ends streams and sockets. Does not shut the [`App`] down.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve(app: App, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let seats_max = app.settings().connections_max.min(Semaphore::MAX_PERMITS);
    let seats = accept(&app, &Front::new(app.clone()), listener, seats_max, stop).await?;
    app.push().close();
    drain(&seats, seats_max).await;
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
    accept(&app, &Front::for_operations(app.clone()), listener, OPERATIONS_CONNECTIONS_MAX, stop).await.map(|_| ())
}

/// Takes connections until `stop`. Returns their seats, which are all free when the last connection has ended.
async fn accept(
    app: &App,
    front: &Front,
    listener: TcpListener,
    seats_max: usize,
    stop: impl Future<Output = ()>,
) -> io::Result<Arc<Semaphore>> {
    let seats = Arc::new(Semaphore::new(seats_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let mut stop = pin!(stop);
    loop {
        // 1. A seat first: beyond the limit connections wait in the kernel's queue.
        let seat = tokio::select! {
            seat = Arc::clone(&seats).acquire_owned() => Seat { _permit: Arc::new(seat.map_err(io::Error::other)?) },
            () = &mut stop => break,
        };
        // 2. Then a connection.
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        prepare(&stream);
        // 3. Each connection is a task; its seat is free when it ends, or when the socket or stream that it became ends.
        let front = front.clone();
        let held = seat.clone();
        let handoff = Handoff::default();
        let leave = handoff.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let front = front.clone();
            if request.headers().contains_key(UPGRADE) {
                request.extensions_mut().insert(held.clone());
            }
            if request.uri().path().starts_with(identify::EVENTS) && Handoff::serves(&request) {
                request.extensions_mut().insert(leave.clone());
            }
            // In a box of its own: it is much larger than an idle connection, which would keep its place.
            Box::pin(async move { front.answer(peer, request.map(Body::new)).await })
        });
        let connection = http.serve_connection(TokioIo::new(PlainErrors::new(stream, app.is_demo())), service);
        let connection = Box::pin(connection.with_upgrades());
        let stopping = app.push().stopping();
        tokio::spawn(async move {
            let _seat = seat;
            carry(connection, handoff, stopping).await;
        });
    }
    Ok(seats)
}

/// Waits until every connection has ended, within bounds.
async fn drain(seats: &Semaphore, seats_max: usize) {
    let all = u32::try_from(seats_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(DRAIN_TIMEOUT, seats.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

type Connection<S> = http1::UpgradeableConnection<TokioIo<PlainErrors<TcpStream>>, S>;

/// Carries a connection to its end: as HTTP, or as the event stream that it becomes.
async fn carry<S, B>(mut connection: Pin<Box<Connection<S>>>, handoff: Handoff, stopping: impl Future<Output = ()>)
where
    S: HttpService<Incoming, ResBody = B> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B::Data: Send,
    S::Future: Unpin,
{
    let mut stopping = Some(Box::pin(stopping));
    let ended = poll_fn(|context| {
        if let Some(stop) = &mut stopping
            && stop.as_mut().poll(context).is_ready()
        {
            stopping = None;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(Err(ended));
        }
        // A stream is left while its answer is made, so by now the head is written, as far as the socket takes it.
        handoff.take().map_or(Poll::Pending, |events| Poll::Ready(Ok(events)))
    })
    .await;
    match ended {
        Ok(events) => {
            drop(stopping);
            let parts = Pin::into_inner(connection).into_parts();
            // One who does not even take the head comes back some other time.
            if let Some(stream) = parts.and_then(|parts| parts.io.into_inner().into_stream()) {
                handoff::run(events, stream).await;
            }
        }
        Err(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
        Err(Ok(())) => {}
    }
}

/// Answers are small and written whole: waiting for more to send would only delay them. A reader who takes nothing, or went
/// without a word, holds nothing for long.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_TIMEOUT));
}
