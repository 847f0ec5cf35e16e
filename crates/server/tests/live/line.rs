//! The clients of these tests as somebody, and a line between them and the server that can be cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use presently_testkit::clients::{PATIENCE, SILENCE, Socket, Stream};
use presently_testkit::http::TestServer;
use presently_testkit::{eventually, secs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Waits until `holds`.
pub(crate) async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually(PATIENCE, what, holds).await;
}

/// A client without surprises.
pub(crate) fn client() -> reqwest::Client {
    presently_testkit::client().no_proxy().build().unwrap()
}

/// Moves the clock, in steps that no write can seem slow in: the store works in real time, whatever the clock says.
pub(crate) async fn pass(server: &TestServer, length: Duration) {
    let mut left = length;
    while !left.is_zero() {
        server.settled().await;
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
            let now = server.wall();
            until("every socket was heard", async || {
                let why = server.app().presently().explain(&id.to_string());
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
