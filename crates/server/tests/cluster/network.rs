//! The network between a node and a server it needs: a TCP proxy that can be cut, silenced and slowed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is carried at once.
const CARRIED_MAX: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Connections stay, and nothing comes through: as when packets are lost. What was sent arrives when it is open again.
    Silent,
    /// Connections break, and new ones break at once.
    Cut,
}

pub(crate) struct Network {
    address: SocketAddr,
    state: watch::Sender<State>,
    breaks: watch::Sender<()>,
    delay_ms: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Network {
    /// A way to this port of the machine.
    pub(crate) async fn to(port: u16) -> Self {
        let upstream = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its number");
        let state = watch::Sender::new(State::Open);
        let delay_ms = Arc::new(AtomicU64::new(0));
        let breaks = watch::Sender::new(());
        let accepting = tokio::spawn({
            let (state, breaks, delay_ms) = (state.clone(), breaks.clone(), Arc::clone(&delay_ms));
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    let (state, mut breaks) = (state.subscribe(), breaks.subscribe());
                    let carried = connection(near, upstream, state, Arc::clone(&delay_ms));
                    tokio::spawn(async move {
                        tokio::select! {
                            _ = breaks.changed() => {}
                            () = carried => {}
                        }
                    });
                }
            }
        });
        Self { address, state, breaks, delay_ms, accepting }
    }

    /// The port at this end of the way.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything breaks, until it is mended.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Nothing comes through, until it is mended, and nobody is told.
    pub(crate) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Connections break, and new ones are made.
    pub(crate) fn interrupt(&self) {
        self.breaks.send_replace(());
    }

    /// It is as new.
    pub(crate) fn mend(&self) {
        self.delay(0);
        self.state.send_replace(State::Open);
    }

    /// Everything takes this much longer each way.
    pub(crate) fn delay(&self, milliseconds: u64) {
        self.delay_ms.store(milliseconds, Ordering::Relaxed);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(
    near: TcpStream,
    upstream: SocketAddr,
    mut state: watch::Receiver<State>,
    delay_ms: Arc<AtomicU64>,
) {
    let (one_way, other_way) = (state.clone(), state.clone());
    let carried = async {
        open(&mut one_way.clone()).await;
        let Ok(far) = TcpStream::connect(upstream).await else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        tokio::select! {
            () = carry(from_near, to_far, one_way, &delay_ms) => {}
            () = carry(from_far, to_near, other_way, &delay_ms) => {}
        }
    };
    tokio::select! {
        biased;
        _ = state.wait_for(|state| *state == State::Cut) => {}
        () = carried => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    delay_ms: &AtomicU64,
) {
    let mut buffer = vec![0; CARRIED_MAX];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        match delay_ms.load(Ordering::Relaxed) {
            0 => {}
            longer => tokio::time::sleep(Duration::from_millis(longer)).await,
        }
        open(&mut state).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The end of a connection is said like everything else.
    open(&mut state).await;
}

async fn open(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|state| *state == State::Open).await;
}
