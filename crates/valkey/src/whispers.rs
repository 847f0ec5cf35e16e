//! Listening to the others. **The connection never waits for the listener: what finds no room is dropped and counted.**

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use presently::bus::{BusError, WHISPERS_WAITING_MAX, Whisper, Whispers};
use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::failure::{told, too_slow};
use crate::link::Backoff;
use crate::source::{Connection, OnPush, Source};

/// So often the subscription is made again, which changes nothing while the connection lives.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// The sender's tag and epoch, big-endian, then what was packed.
pub(crate) fn pack(tag: u64, epoch: u64, packed: &[u8]) -> Vec<u8> {
    [&tag.to_be_bytes(), &epoch.to_be_bytes(), packed].concat()
}

/// What is heard through a task of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Heard {
    from: mpsc::Receiver<Whisper>,
    dropped: Arc<AtomicU64>,
    task: AbortHandle,
}

struct Ear {
    source: Arc<Source>,
    channel: String,
    tag: u64,
    to: mpsc::Sender<Whisper>,
    dropped: Arc<AtomicU64>,
}

impl Heard {
    /// Returns once the channel is subscribed to, or cannot be.
    pub(crate) async fn start(source: Arc<Source>, channel: String, tag: u64) -> Result<Self, BusError> {
        let (to, from) = mpsc::channel(WHISPERS_WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let (started, outcome) = oneshot::channel();
        let ear = Ear { source, channel, tag, to, dropped: dropped.clone() };
        let task = tokio::spawn(ear.listen(started)).abort_handle();
        let heard = Self { from, dropped, task };
        match outcome.await {
            Ok(Ok(())) => Ok(heard),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(BusError::Unavailable("the listener ended".into())),
        }
    }
}

impl Ear {
    async fn listen(self, started: oneshot::Sender<Result<(), BusError>>) {
        let mut started = Some(started);
        let mut backoff = Backoff::default();
        loop {
            backoff.wait().await;
            let gone = Arc::new(Notify::new());
            let subscribed = self.subscribed(gone.clone()).await;
            if subscribed.is_ok() {
                backoff.succeeded();
            }
            if let Some(started) = started.take() {
                let failed = subscribed.is_err();
                let _ = started.send(subscribed.as_ref().map(|_| ()).map_err(Clone::clone));
                if failed {
                    return;
                }
            }
            let ended = match subscribed {
                Ok(connection) => self.keep(connection, &gone).await,
                Err(failure) => failure,
            };
            tracing::debug!(error = %ended, "whispers are not heard");
            backoff.failed();
        }
    }

    async fn subscribed(&self, gone: Arc<Notify>) -> Result<Connection, BusError> {
        let mut connection = self.source.connect(Duration::ZERO, Some(self.on_push(gone))).await?;
        self.subscribe(&mut connection).await?;
        Ok(connection)
    }

    /// Until the connection is lost: says why.
    async fn keep(&self, mut connection: Connection, gone: &Notify) -> BusError {
        loop {
            tokio::select! {
                () = gone.notified() => return BusError::Unavailable("the connection broke".into()),
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            if let Err(failure) = self.subscribe(&mut connection).await {
                return failure;
            }
        }
    }

    async fn subscribe(&self, connection: &mut Connection) -> Result<(), BusError> {
        let within = self.source.response_timeout;
        let subscribed = match connection {
            Connection::Server(server) => {
                let mut subscribe = Cmd::new();
                subscribe.arg("SSUBSCRIBE").arg(&self.channel);
                timeout(within, subscribe.exec_async(server)).await
            }
            Connection::Cluster(cluster) => timeout(within, cluster.ssubscribe(&self.channel)).await,
        };
        subscribed.map_err(|_| too_slow("an answer", within))?.map_err(|error| told(&error))
    }

    fn on_push(&self, gone: Arc<Notify>) -> OnPush {
        let (to, dropped, tag) = (self.to.clone(), self.dropped.clone(), self.tag);
        let in_cluster = self.source.is_cluster();
        Box::new(move |push: PushInfo| match push.kind {
            PushKind::SMessage => {
                let heard = unpack(push);
                let own = heard.as_ref().is_some_and(|(sender, _)| *sender == tag);
                if !own && heard.and_then(|(_, whisper)| to.try_send(whisper).ok()).is_none() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            // A cluster's connection mends itself, and subscribes again.
            PushKind::Disconnection if !in_cluster => gone.notify_one(),
            _ => {}
        })
    }
}

fn unpack(push: PushInfo) -> Option<(u64, Whisper)> {
    let Some(Value::BulkString(message)) = push.data.into_iter().nth(1) else { return None };
    let (tag, rest) = message.split_first_chunk()?;
    let (epoch, packed) = rest.split_first_chunk()?;
    let whisper = Whisper { epoch: u64::from_be_bytes(*epoch), packed: packed.to_vec() };
    Some((u64::from_be_bytes(*tag), whisper))
}

#[async_trait]
impl Whispers for Heard {
    async fn next(&mut self) -> Option<Whisper> {
        self.from.recv().await
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.task.abort();
    }
}
