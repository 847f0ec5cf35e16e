//! The accept loop: connections within limits, and an end within bounds.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::front::{Front, HEADER_BYTES_MAX};
use crate::plain_errors::PlainErrors;

/// How long a request's head may take to arrive; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long requests under way may take once the server is to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept error (out of file descriptors) the loop waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets requests under way end. Does not shut the [`App`] down.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve(app: App, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(app.settings().connections_max));
    let front = Front::new(app);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(4 * HEADER_BYTES_MAX);
    let open = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        // 1. A place first: beyond the limit connections wait in the kernel's queue.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
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
        // Answers are small and written whole: waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        // 3. Each connection is a task; its place is free when it ends.
        let front = front.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let front = front.clone();
            async move { front.answer(peer, request.map(Body::new)).await }
        });
        let connection = open.watch(http.serve_connection(TokioIo::new(PlainErrors::new(stream)), service));
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, open.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}
