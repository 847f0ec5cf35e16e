//! A bus within one process. **Its time passes only when it is told so.**

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::{
    Bus, BusError, CHUNK_BYTES_MAX, CHUNKS_KEPT, CHUNKS_WAITING_MAX, ENTRY_BYTES_MAX, Entry, Joined, Lease, Node,
    Timing, WHISPER_BYTES_MAX, WHISPERS_WAITING_MAX, Whisper, Whispers,
};

/// How a [`MemoryBus`] is set.
#[derive(Clone, Debug)]
pub struct MemoryBusConfig {
    /// How long leases hold.
    pub timing: Timing,
    /// So many entries are kept.
    pub log_max: usize,
    /// What its clock shows at first, in microseconds.
    pub starts_at: u64,
}

impl Default for MemoryBusConfig {
    fn default() -> Self {
        let timing = Timing { lease: Duration::from_secs(9), renew_every: Duration::from_secs(3) };
        Self { timing, log_max: 1_000_000, starts_at: 1_000_000 }
    }
}

/// One node's end of a bus that all ends made by [`MemoryBus::handle`] share: for tests, and for several nodes in one process.
///
/// It keeps every promise of [`Bus`], except that leases expire and chunks go only as [`MemoryBus::advance`] says;
/// what waits (`read`, `take_chunk`) waits in tokio's time.
#[derive(Debug)]
pub struct MemoryBus {
    shared: Arc<Shared>,
    end: usize,
    timing: Timing,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    /// An entry or a chunk came, or an end went down.
    changed: Notify,
}

#[derive(Debug)]
struct Kept {
    config: MemoryBusConfig,
    now: u64,
    last: u64,
    log: Option<Log>,
    /// When the lease ends, by node.
    leases: BTreeMap<Node, u64>,
    /// When somebody renewed last.
    renewed: u64,
    chunks: BTreeMap<Node, Chunks>,
    ends: Vec<End>,
    refuses: Option<String>,
}

#[derive(Debug)]
struct Log {
    epoch: u64,
    entries: VecDeque<Entry>,
}

#[derive(Debug, Default)]
struct Chunks {
    waiting: VecDeque<Vec<u8>>,
    gone_at: u64,
}

/// What one node's end can do, and who listens there.
#[derive(Debug, Default)]
struct End {
    down: bool,
    replies_lost: u32,
    listeners: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    to: mpsc::Sender<Whisper>,
    dropped: Arc<Mutex<u64>>,
}

impl MemoryBus {
    /// An empty bus, and its first end.
    #[must_use]
    pub fn new() -> Self {
        Self::with(MemoryBusConfig::default())
    }

    /// An empty bus, set so, and its first end.
    #[must_use]
    pub fn with(config: MemoryBusConfig) -> Self {
        let timing = config.timing;
        let kept = Kept {
            now: config.starts_at,
            last: 0,
            log: None,
            leases: BTreeMap::new(),
            renewed: config.starts_at,
            chunks: BTreeMap::new(),
            ends: vec![End::default()],
            refuses: None,
            config,
        };
        Self { shared: Arc::new(Shared { kept: Mutex::new(kept), changed: Notify::new() }), end: 0, timing }
    }

    /// Another node's end of the same bus.
    #[must_use]
    pub fn handle(&self) -> Self {
        let mut kept = self.shared.kept.lock();
        kept.ends.push(End::default());
        Self { shared: self.shared.clone(), end: kept.ends.len() - 1, timing: self.timing }
    }

    /// Cuts this end off (every call is `Unavailable`, whispers do not arrive), or mends it. The others go on.
    pub fn set_down(&self, down: bool) {
        self.shared.kept.lock().ends[self.end].down = down;
        self.shared.changed.notify_waiters();
    }

    /// Cuts every end off, or mends them all.
    pub fn set_all_down(&self, down: bool) {
        self.shared.kept.lock().ends.iter_mut().for_each(|end| end.down = down);
        self.shared.changed.notify_waiters();
    }

    /// The next `calls` of this end are done, and answer `Unavailable`.
    pub fn lose_replies(&self, calls: u32) {
        self.shared.kept.lock().ends[self.end].replies_lost = calls;
    }

    /// Refuses what needs memory (joins, appends, chunks), until it is called with `None`: as a bus whose memory is full.
    pub fn refuse_with(&self, why: Option<String>) {
        self.shared.kept.lock().refuses = why;
    }

    /// Forgets everything but the time: as a server that was killed, and started empty.
    pub fn lose_everything(&self) {
        let mut kept = self.shared.kept.lock();
        kept.log = None;
        kept.last = 0;
        kept.leases.clear();
        kept.chunks.clear();
        drop(kept);
        self.shared.changed.notify_waiters();
    }

    /// Forgets the newest `entries` entries, and that they were: as a replica that took over and had not got them.
    pub fn lose_newest(&self, entries: usize) {
        let mut kept = self.shared.kept.lock();
        if let Some(log) = &mut kept.log {
            log.entries.truncate(log.entries.len().saturating_sub(entries));
        }
    }

    /// Moves the bus's own clock.
    pub fn advance(&self, length: Duration) {
        let mut kept = self.shared.kept.lock();
        kept.now = kept.now.saturating_add(micros(length));
        let now = kept.now;
        kept.chunks.retain(|_, chunks| chunks.gone_at > now);
    }

    /// One call of this end.
    fn with_kept<T>(&self, act: impl FnOnce(&mut Kept) -> Result<T, BusError>) -> Result<T, BusError> {
        let mut kept = self.shared.kept.lock();
        if kept.ends[self.end].down {
            return Err(BusError::Unavailable("down".into()));
        }
        let done = act(&mut kept);
        let lost = &mut kept.ends[self.end].replies_lost;
        if *lost > 0 {
            *lost -= 1;
            return Err(BusError::Unavailable("the reply was lost".into()));
        }
        done
    }

    /// Tries `look` whenever something has changed, until it finds something or `wait` is over.
    async fn wait_for<T>(
        &self,
        wait: Duration,
        look: impl Fn(&mut Kept) -> Result<Option<T>, BusError> + Send + Sync,
    ) -> Result<Option<T>, BusError> {
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = self.with_kept(&look)? {
                return Ok(Some(found));
            }
            tokio::select! {
                () = changed => {}
                () = &mut over => return self.with_kept(&look),
            }
        }
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Kept {
    fn log_of(&mut self, epoch: u64) -> Result<&mut Log, BusError> {
        self.log.as_mut().filter(|log| log.epoch == epoch).ok_or(BusError::Epoch)
    }

    /// The log exists: every caller has looked.
    fn append(&mut self, bytes: Vec<u8>) -> u64 {
        self.last = self.now.max(self.last + 1);
        if let Some(log) = &mut self.log {
            log.entries.push_back(Entry { seq: self.last, bytes });
            if log.entries.len() > self.config.log_max.max(1) {
                log.entries.pop_front();
            }
        }
        self.last
    }

    fn live_but(&self, me: Node) -> Vec<Node> {
        self.leases
            .iter()
            .filter(|&(&node, &ends_at)| node != me && ends_at > self.now)
            .map(|(&node, _)| node)
            .collect()
    }

    fn admits(&self) -> Result<(), BusError> {
        self.refuses.clone().map_or(Ok(()), |why| Err(BusError::Refused(why)))
    }

    fn is_member(&self, node: Node) -> Result<(), BusError> {
        if self.leases.contains_key(&node) { Ok(()) } else { Err(BusError::Lost) }
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn join(&self, node: Node, new_epoch: u64, joined: &[u8]) -> Result<Joined, BusError> {
        fits("an entry", joined.len(), ENTRY_BYTES_MAX)?;
        let joined = self.with_kept(|kept| {
            kept.admits()?;
            let mut peers = kept.live_but(node);
            if peers.is_empty() || kept.log.is_none() {
                peers.clear();
                kept.leases.clear();
                kept.renewed = kept.now;
                kept.log = Some(Log { epoch: new_epoch, entries: VecDeque::new() });
            }
            let ends_at = kept.now + micros(kept.config.timing.lease);
            kept.leases.insert(node, ends_at);
            let seq = kept.append(joined.to_vec());
            Ok(Joined { epoch: kept.log.as_ref().map_or(new_epoch, |log| log.epoch), seq, peers })
        });
        self.shared.changed.notify_waiters();
        joined
    }

    async fn append(&self, node: Node, epoch: u64, entries: &[Vec<u8>]) -> Result<Vec<u64>, BusError> {
        entries.iter().try_for_each(|entry| fits("an entry", entry.len(), ENTRY_BYTES_MAX))?;
        let mut numbers = Vec::with_capacity(entries.len());
        for part in super::parts(entries) {
            let done = self.with_kept(|kept| {
                kept.log_of(epoch)?;
                kept.is_member(node)?;
                kept.admits()?;
                Ok(part.iter().map(|entry| kept.append(entry.clone())).collect::<Vec<_>>())
            });
            self.shared.changed.notify_waiters();
            numbers.extend(done?);
        }
        Ok(numbers)
    }

    async fn read(&self, epoch: u64, after: u64, limit: usize, wait: Duration) -> Result<Vec<Entry>, BusError> {
        let read = self.wait_for(wait, |kept| {
            let log = kept.log_of(epoch)?;
            let place = log.entries.binary_search_by_key(&after, |entry| entry.seq).map_err(|_| BusError::Trimmed)?;
            let entries: Vec<_> = log.entries.range(place + 1..).take(limit.max(1)).cloned().collect();
            Ok((!entries.is_empty()).then_some(entries))
        });
        Ok(read.await?.unwrap_or_default())
    }

    async fn renew(&self, node: Node, epoch: u64, lost: &[u8]) -> Result<Lease, BusError> {
        let renewed = self.with_kept(|kept| {
            kept.log_of(epoch)?;
            kept.is_member(node)?;
            let lease = micros(kept.config.timing.lease);
            let silent = kept.now - kept.renewed;
            if silent > lease {
                kept.leases.values_mut().for_each(|ends_at| *ends_at += silent);
            }
            kept.renewed = kept.now;
            let ends_at = kept.now + lease;
            kept.leases.insert(node, ends_at);
            let now = kept.now;
            let reaped: Vec<_> =
                kept.leases.extract_if(.., |_, ends_at| *ends_at <= now).map(|(node, _)| node).collect();
            for gone in &reaped {
                kept.append(lost_entry(lost, *gone));
            }
            Ok(Lease { peers: kept.live_but(node), reaped })
        });
        self.shared.changed.notify_waiters();
        renewed
    }

    async fn leave(&self, node: Node, epoch: u64, lost: &[u8]) -> Result<(), BusError> {
        let left = self.with_kept(|kept| {
            if kept.log_of(epoch).is_err() || kept.leases.remove(&node).is_none() {
                return Ok(());
            }
            kept.chunks.remove(&node);
            if kept.live_but(node).is_empty() {
                kept.log = None;
                kept.leases.clear();
            } else {
                kept.append(lost_entry(lost, node));
            }
            Ok(())
        });
        self.shared.changed.notify_waiters();
        left
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    async fn whisper(&self, epoch: u64, packed: &[u8]) -> Result<(), BusError> {
        fits("a whisper", packed.len(), WHISPER_BYTES_MAX)?;
        self.with_kept(|kept| {
            for (end, other) in kept.ends.iter_mut().enumerate() {
                if end == self.end || other.down {
                    continue;
                }
                other.listeners.retain(|listener| !listener.to.is_closed());
                for listener in &other.listeners {
                    if listener.to.try_send(Whisper { epoch, packed: packed.to_vec() }).is_err() {
                        *listener.dropped.lock() += 1;
                    }
                }
            }
            Ok(())
        })
    }

    async fn whispers(&self) -> Result<Box<dyn Whispers>, BusError> {
        let (to, from) = mpsc::channel(WHISPERS_WAITING_MAX);
        let dropped = Arc::new(Mutex::new(0));
        self.with_kept(|kept| {
            kept.ends[self.end].listeners.push(Listener { to, dropped: dropped.clone() });
            Ok(())
        })?;
        Ok(Box::new(MemoryWhispers { from, dropped }))
    }

    async fn put_chunk(&self, to: Node, chunk: &[u8]) -> Result<bool, BusError> {
        fits("a chunk", chunk.len(), CHUNK_BYTES_MAX)?;
        let put = self.with_kept(|kept| {
            kept.admits()?;
            let now = kept.now;
            let chunks = kept.chunks.entry(to).or_default();
            if chunks.waiting.len() >= CHUNKS_WAITING_MAX {
                return Ok(false);
            }
            chunks.waiting.push_back(chunk.to_vec());
            chunks.gone_at = now + micros(CHUNKS_KEPT);
            Ok(true)
        });
        self.shared.changed.notify_waiters();
        put
    }

    async fn take_chunk(&self, me: Node, wait: Duration) -> Result<Option<Vec<u8>>, BusError> {
        self.wait_for(wait, |kept| Ok(kept.chunks.get_mut(&me).and_then(|chunks| chunks.waiting.pop_front()))).await
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.with_kept(|kept| kept.admits())
    }
}

/// What was whispered to one end.
#[derive(Debug)]
struct MemoryWhispers {
    from: mpsc::Receiver<Whisper>,
    dropped: Arc<Mutex<u64>>,
}

#[async_trait]
impl Whispers for MemoryWhispers {
    async fn next(&mut self) -> Option<Whisper> {
        self.from.recv().await
    }

    fn dropped(&self) -> u64 {
        *self.dropped.lock()
    }
}

fn lost_entry(lost: &[u8], node: Node) -> Vec<u8> {
    [lost, &node.0.to_be_bytes()].concat()
}

fn fits(what: &str, bytes: usize, max: usize) -> Result<(), BusError> {
    if bytes <= max { Ok(()) } else { Err(BusError::Refused(format!("{what} of {bytes} bytes, at most {max} fit"))) }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
