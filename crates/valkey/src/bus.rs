//! The port, call by call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use presently::bus::{
    Bus, BusError, CHUNK_BYTES_MAX, CHUNKS_KEPT, CHUNKS_WAITING_MAX, ENTRY_BYTES_MAX, Entry, Joined, Lease, Node,
    Timing, WHISPER_BYTES_MAX, Whispers,
};
use redis::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::senseless;
use crate::link::Link;
use crate::scripts::{self, Reply, Script};
use crate::settings::{Settings, SettingsError};
use crate::source::Source;
use crate::whispers::{self, Heard};

/// So long at most the server waits for one command. Longer waits are several: whoever waits finds a log that is gone that soon.
const BLOCKS_FOR_MAX: Duration = Duration::from_secs(1);
/// A read stops after the entry with which it has so many bytes.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A read has at most so many entries, whatever limit is asked.
const READ_ENTRIES_MAX: usize = 10_000;

/// One node's connections to a server or a cluster.
pub struct ValkeyBus {
    source: Arc<Source>,
    keys: Keys,
    timing: Timing,
    log_max: u64,
    /// Tells this value's whispers from those of others.
    tag: u64,
    calls: Link,
    reads: Mutex<Reading>,
    takes: Mutex<Link>,
}

/// The connection that reads wait on.
struct Reading {
    link: Link,
    /// The epoch and the entry after which there was nothing when it was read last: whoever goes on there need only wait.
    end: Option<(u64, u64)>,
}

struct Keys {
    epoch: String,
    log: String,
    nodes: String,
    probe: String,
    whispers: String,
    snapshots: String,
}

impl ValkeyBus {
    /// Looks at the settings, and reads the files they name. No connection is made before the first call.
    pub fn open(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let source = Arc::new(Source::new(&settings)?);
        let key = |of: &str| format!("{{presently:{}}}:{of}", settings.name);
        let keys = Keys {
            epoch: key("epoch"),
            log: key("log"),
            nodes: key("nodes"),
            probe: key("probe"),
            whispers: key("whispers"),
            snapshots: key("snapshot:"),
        };
        let tag = getrandom::u64().map_err(|error| SettingsError::Tls(format!("no entropy: {error}")))?;
        Ok(Self {
            keys,
            timing: settings.timing,
            log_max: settings.log_max,
            tag,
            calls: Link::new(source.clone(), Duration::ZERO),
            reads: Mutex::new(Reading { link: Link::new(source.clone(), BLOCKS_FOR_MAX), end: None }),
            takes: Mutex::new(Link::new(source.clone(), BLOCKS_FOR_MAX)),
            source,
        })
    }

    /// A script that takes the three keys of the log first.
    async fn script(&self, script: &Script, more_keys: &[&str], args: &[&[u8]]) -> Result<Reply, BusError> {
        let keys = [&[&*self.keys.epoch, &self.keys.log, &self.keys.nodes], more_keys].concat();
        Reply::parse(self.calls.run(script, &keys, args).await?)
    }

    fn snapshot_key(&self, node: Node) -> String {
        format!("{}{:016x}", self.keys.snapshots, node.0)
    }

    fn lease(&self) -> String {
        self.timing.lease.as_micros().to_string()
    }
}

#[async_trait]
impl Bus for ValkeyBus {
    async fn join(&self, node: Node, new_epoch: u64, joined: &[u8]) -> Result<Joined, BusError> {
        fits("an entry", joined, ENTRY_BYTES_MAX)?;
        let (epoch, lease, log_max) = (new_epoch.to_string(), self.lease(), self.log_max.to_string());
        let args = [&node.0.to_be_bytes(), epoch.as_bytes(), lease.as_bytes(), log_max.as_bytes(), joined];
        let mut reply = self.script(&scripts::JOIN, &[], &args).await?;
        Ok(Joined { epoch: reply.number()?, seq: reply.number()?, peers: nodes(reply.values()?)? })
    }

    async fn append(&self, node: Node, epoch: u64, entries: &[Vec<u8>]) -> Result<Vec<u64>, BusError> {
        entries.iter().try_for_each(|entry| fits("an entry", entry, ENTRY_BYTES_MAX))?;
        let (node, epoch, log_max) = (node.0.to_be_bytes(), epoch.to_string(), self.log_max.to_string());
        let mut numbers = Vec::with_capacity(entries.len());
        for part in presently::bus::parts(entries) {
            let mut args: Vec<&[u8]> = vec![&node, epoch.as_bytes(), log_max.as_bytes()];
            args.extend(part.iter().map(Vec::as_slice));
            let mut reply = self.script(&scripts::APPEND, &[], &args).await?;
            let given = reply.values()?;
            if given.len() != part.len() {
                return Err(senseless());
            }
            for number in given {
                numbers.push(scripts::number(number)?);
            }
        }
        Ok(numbers)
    }

    async fn read(&self, epoch: u64, after: u64, limit: usize, wait: Duration) -> Result<Vec<Entry>, BusError> {
        let mut reading = self.reads.lock().await;
        let Reading { link, end } = &mut *reading;
        let until = Instant::now() + wait;
        // Taken: a call that is given up leaves it unknown.
        let mut at_end = end.take() == Some((epoch, after));
        let from = (epoch, after);
        let (epoch, after) = (epoch.to_string(), after.to_string());
        let limit = limit.clamp(1, READ_ENTRIES_MAX);
        let (count, bytes_max) = (limit.to_string(), READ_BYTES_MAX.to_string());
        let args = [epoch.as_bytes(), after.as_bytes(), count.as_bytes(), bytes_max.as_bytes()];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if !at_end || left.as_millis() == 0 {
                let reply = link.run(&scripts::READ, &[&self.keys.epoch, &self.keys.log], &args).await?;
                let found = entries(Reply::parse(reply)?.values()?)?;
                let bytes: usize = found.iter().map(|entry| entry.bytes.len()).sum();
                if !found.is_empty() || left.as_millis() == 0 {
                    let whole = found.len() < limit && bytes < READ_BYTES_MAX;
                    *end = whole.then(|| (from.0, found.last().map_or(from.1, |last| last.seq)));
                    return Ok(found);
                }
            }
            at_end = false;
            // It only wakes: the script then looks at entry and epoch in the same step as it reads.
            let slice = left.min(BLOCKS_FOR_MAX);
            let mut wake = redis::cmd("XREAD");
            let millis = u64::try_from(slice.as_millis()).unwrap_or(1);
            wake.arg("COUNT").arg(1).arg("BLOCK").arg(millis).arg("STREAMS").arg(&self.keys.log);
            link.wait(wake.arg(format!("{after}-0")), slice).await?;
        }
    }

    async fn renew(&self, node: Node, epoch: u64, lost: &[u8]) -> Result<Lease, BusError> {
        fits("an entry", lost, ENTRY_BYTES_MAX - size_of::<u64>())?;
        let (epoch, lease, log_max) = (epoch.to_string(), self.lease(), self.log_max.to_string());
        let args = [&node.0.to_be_bytes(), epoch.as_bytes(), lease.as_bytes(), log_max.as_bytes(), lost];
        let mut reply = self.script(&scripts::RENEW, &[], &args).await?;
        Ok(Lease { peers: nodes(reply.values()?)?, reaped: nodes(reply.values()?)? })
    }

    async fn leave(&self, node: Node, epoch: u64, lost: &[u8]) -> Result<(), BusError> {
        fits("an entry", lost, ENTRY_BYTES_MAX - size_of::<u64>())?;
        let (epoch, log_max, chunks) = (epoch.to_string(), self.log_max.to_string(), self.snapshot_key(node));
        let args = [&node.0.to_be_bytes(), epoch.as_bytes(), log_max.as_bytes(), lost];
        self.script(&scripts::LEAVE, &[&chunks], &args).await?;
        Ok(())
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    async fn whisper(&self, epoch: u64, packed: &[u8]) -> Result<(), BusError> {
        fits("a whisper", packed, WHISPER_BYTES_MAX)?;
        let mut publish = redis::cmd("SPUBLISH");
        publish.arg(&self.keys.whispers).arg(whispers::pack(self.tag, epoch, packed));
        self.calls.ask_at_once(&publish).await.map(|_| ())
    }

    async fn whispers(&self) -> Result<Box<dyn Whispers>, BusError> {
        Ok(Box::new(Heard::start(self.source.clone(), self.keys.whispers.clone(), self.tag).await?))
    }

    async fn put_chunk(&self, to: Node, chunk: &[u8]) -> Result<bool, BusError> {
        fits("a chunk", chunk, CHUNK_BYTES_MAX)?;
        let (key, max, kept) =
            (self.snapshot_key(to), CHUNKS_WAITING_MAX.to_string(), CHUNKS_KEPT.as_millis().to_string());
        let reply = self.calls.run(&scripts::PUT, &[&key], &[chunk, max.as_bytes(), kept.as_bytes()]).await?;
        match &*scripts::bytes(scripts::values(reply)?.swap_remove(0))? {
            b"full" => Ok(false),
            _ => Ok(true),
        }
    }

    async fn take_chunk(&self, me: Node, wait: Duration) -> Result<Option<Vec<u8>>, BusError> {
        let link = self.takes.lock().await;
        let until = Instant::now() + wait;
        let key = self.snapshot_key(me);
        let mut taken = link.ask_at_once(redis::cmd("LPOP").arg(&key)).await?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match taken {
                Value::BulkString(chunk) => return Ok(Some(chunk)),
                // A waiting pop tells the key as well.
                Value::Array(mut pair) if pair.len() == 2 => return scripts::bytes(pair.swap_remove(1)).map(Some),
                Value::Nil if left.as_millis() == 0 => return Ok(None),
                Value::Nil => {}
                _ => return Err(senseless()),
            }
            let slice = left.min(BLOCKS_FOR_MAX);
            taken = link.wait(redis::cmd("BLPOP").arg(&key).arg(slice.as_secs_f64()), slice).await?;
        }
    }

    async fn probe(&self) -> Result<(), BusError> {
        let reply = self.calls.run(&scripts::PROBE, &[&self.keys.probe], &[]).await?;
        Reply::parse(reply).map(|_| ())
    }
}

impl fmt::Debug for ValkeyBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValkeyBus").field("log", &self.keys.log).field("timing", &self.timing).finish_non_exhaustive()
    }
}

fn fits(what: &str, bytes: &[u8], max: usize) -> Result<(), BusError> {
    if bytes.len() <= max {
        return Ok(());
    }
    Err(BusError::Refused(format!("{what} of {} bytes, at most {max} fit", bytes.len())))
}

fn nodes(values: Vec<Value>) -> Result<Vec<Node>, BusError> {
    let node = |value| {
        let bytes: [u8; 8] = scripts::bytes(value)?.try_into().map_err(|_| senseless())?;
        Ok(Node(u64::from_be_bytes(bytes)))
    };
    let mut nodes = values.into_iter().map(node).collect::<Result<Vec<_>, _>>()?;
    nodes.sort_unstable();
    Ok(nodes)
}

/// From number, bytes, number, bytes, …
fn entries(values: Vec<Value>) -> Result<Vec<Entry>, BusError> {
    let mut entries = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(seq), Some(bytes)) = (values.next(), values.next()) {
        entries.push(Entry { seq: scripts::number(seq)?, bytes: scripts::bytes(bytes)? });
    }
    Ok(entries)
}
