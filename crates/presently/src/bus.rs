//! The port to the other nodes. **All nodes read one log in one order; whoever cannot go on in it without a gap is told so.**
//!
//! Several nodes are one replicated state machine: each appends what it decided, and all of them, itself included, apply
//! what they read. The bus carries bytes and knows nothing of presence. It keeps
//!
//! - the **log** of an **epoch**. Numbers grow, also from one epoch to the next, and have gaps;
//! - the **leases** of the live nodes, in its own time;
//! - **whispers**, which may be lost;
//! - the chunks of **snapshots** on their way to a node that joins.
//!
//! ```
//! use std::time::Duration;
//!
//! use presently::bus::{Bus, MemoryBus, Node};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), presently::bus::BusError> {
//! let bus = MemoryBus::new();
//! let (one, two) = (Node(1), Node(2));
//! let founded = bus.join(one, 7, b"one joined").await?;
//! assert!(founded.peers.is_empty());
//!
//! // The second node finds the epoch of the first, which reads of it at the number where the second begins to read.
//! let other = bus.handle();
//! let joined = other.join(two, 8, b"two joined").await?;
//! assert_eq!((joined.epoch, &joined.peers[..]), (7, &[one][..]));
//! let told = bus.read(7, founded.seq, 10, Duration::from_secs(1)).await?;
//! assert_eq!((told[0].seq, &told[0].bytes[..]), (joined.seq, &b"two joined"[..]));
//!
//! let appended = other.append(two, 7, &[b"alice is online".to_vec()]).await?;
//! let told = bus.read(7, joined.seq, 10, Duration::from_secs(1)).await?;
//! assert_eq!((told[0].seq, &told[0].bytes[..]), (appended[0], &b"alice is online"[..]));
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod memory;

pub use memory::{MemoryBus, MemoryBusConfig};

/// The largest entry, in bytes. A larger one is refused, and nothing of its batch is appended.
pub const ENTRY_BYTES_MAX: usize = 256 * 1024;
/// Up to so many entries are appended all or none.
pub const BATCH_ENTRIES_MAX: usize = 1024;
/// Up to so many bytes of entries are appended all or none.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest whisper, in bytes. A larger one is refused.
pub const WHISPER_BYTES_MAX: usize = 256 * 1024;
/// So many whispers wait for [`Whispers::next`]; those that come then are dropped and counted.
pub const WHISPERS_WAITING_MAX: usize = 1024;
/// The largest chunk of a snapshot, in bytes. A larger one is refused.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// So many chunks wait for one node.
pub const CHUNKS_WAITING_MAX: usize = 64;
/// Chunks that nobody takes are gone so long after the last one was put.
pub const CHUNKS_KEPT: Duration = Duration::from_secs(60);

/// One life of a node: drawn at random at each join, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u64);

/// What a node that joined begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The epoch of the log, never 0.
    pub epoch: u64,
    /// The number of the node's own entry `joined`: what it reads begins after it.
    pub seq: u64,
    /// The other live nodes, in the order of their numbers. Empty: this node has founded the epoch, and nobody has anything to hand over.
    pub peers: Vec<Node>,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number: grows along the log, with gaps. About the microseconds since 1970 on the bus's clock.
    pub seq: u64,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// A renewed lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The other live nodes, in the order of their numbers.
    pub peers: Vec<Node>,
    /// The nodes whose leases had expired: removed by this call, each with its entry in the log.
    pub reaped: Vec<Node>,
}

/// How long a lease holds, and how often a node shall renew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From a renewal to the moment from which any other node may reap this one.
    pub lease: Duration,
    /// From one renewal to the next. At most a third of `lease`, so that one lost renewal loses nothing.
    pub renew_every: Duration,
}

/// A whisper of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whisper {
    /// The epoch its sender was in. It may be another than the receiver's: then it means nothing.
    pub epoch: u64,
    /// What was whispered.
    pub packed: Vec<u8>,
}

/// What carries several nodes. One value of it serves one node; it may be called from several tasks at once.
///
/// A call may be dropped at any time: whether it was done is then not known, as with [`BusError::Unavailable`].
///
/// One conformance suite (the module `conformance`, behind the feature of that name) holds every implementation to the same promises.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// Registers `node` with a lease, and appends `joined`.
    ///
    /// When no other node is live, or the log is gone, the node founds: the epoch becomes `new_epoch` (random, not 0), what the log held is dropped,
    /// and `joined` is its first entry. Numbers go on above all those given before (where the bus lost its data: as long as its clock did not go back).
    /// Of two that join at once, one founds and the other joins it.
    ///
    /// A node whose lease has expired is not live, but stays until it is reaped: it may still renew, and be live again.
    /// `joined` is held to [`ENTRY_BYTES_MAX`].
    async fn join(&self, node: Node, new_epoch: u64, joined: &[u8]) -> Result<Joined, BusError>;

    /// Appends the entries in order and returns their numbers: all or none, up to [`BATCH_ENTRIES_MAX`] and [`BATCH_BYTES_MAX`].
    ///
    /// What is larger goes in several such parts, in order, with what others append between them; on `Err` the parts before the failure stand.
    /// Fails with [`BusError::Epoch`], and with [`BusError::Lost`] once the node was reaped. After [`BusError::Unavailable`] the entries may have been appended,
    /// so that another try may append them twice. An entry may be lost with the bus's memory after it was appended, and before others read it:
    /// only what was read stands.
    async fn append(&self, node: Node, epoch: u64, entries: &[Vec<u8>]) -> Result<Vec<u64>, BusError>;

    /// The entries after the one with the number `after`, oldest first, at most `limit` (at least 1); waits up to `wait` for the first, then returns none.
    ///
    /// `after` is the number of an entry: that of a join, or the last one read or covered by a snapshot. [`BusError::Trimmed`] when that entry is no longer kept
    /// (it was trimmed, or the bus came back without it), [`BusError::Epoch`] when the epoch is another or the log is gone. Waiting for an entry may take `wait` to notice either.
    /// Readers of one value take turns: a node has one.
    async fn read(&self, epoch: u64, after: u64, limit: usize, wait: Duration) -> Result<Vec<Entry>, BusError>;

    /// Renews the lease of `node`, and reaps the others that have expired: each is removed, and the entry `lost` followed by the
    /// eight bytes of its number (big-endian) is appended, once, in the same step.
    ///
    /// Time in which nobody renewed for longer than a lease, because the bus was away, and steps of its clock count for no lease.
    /// Fails with [`BusError::Epoch`], and with [`BusError::Lost`] once the node was reaped: join again, as a new [`Node`].
    async fn renew(&self, node: Node, epoch: u64, lost: &[u8]) -> Result<Lease, BusError>;

    /// Leaves at once: as if the lease had expired and been reaped, with its `lost` entry. When no other node is live the epoch ends and the log is dropped.
    ///
    /// A node that is not there, or an epoch that is over, is no error: it is gone.
    async fn leave(&self, node: Node, epoch: u64, lost: &[u8]) -> Result<(), BusError>;

    /// How long leases hold.
    fn timing(&self) -> Timing;

    /// Tells all others that listen to [`Bus::whispers`] now: at most once each, in no promised order, with no promise of arrival.
    /// Up to [`WHISPER_BYTES_MAX`]. The values of the bus that belong to other nodes hear it; this one does not.
    async fn whisper(&self, epoch: u64, packed: &[u8]) -> Result<(), BusError>;

    /// Begins to listen to whispers. What is whispered after it returned can be heard.
    async fn whispers(&self) -> Result<Box<dyn Whispers>, BusError>;

    /// Puts a chunk behind those that wait for `to`: `false`, and nothing is done, while [`CHUNKS_WAITING_MAX`] wait there. Up to [`CHUNK_BYTES_MAX`];
    /// all that wait are gone when none is put for [`CHUNKS_KEPT`]. After [`BusError::Unavailable`] it may have been put, so that another try may put it twice.
    async fn put_chunk(&self, to: Node, chunk: &[u8]) -> Result<bool, BusError>;

    /// Takes the first chunk that waits for `me`, in the order of their putting; waits up to `wait` for it.
    /// One whose reply is lost ([`BusError::Unavailable`]) is lost. Takers of one value take turns.
    async fn take_chunk(&self, me: Node, wait: Duration) -> Result<Option<Vec<u8>>, BusError>;

    /// Whether the bus answers and can be written to: `Err` says why not.
    async fn probe(&self) -> Result<(), BusError>;
}

/// What is heard of others, while it is held.
#[async_trait]
pub trait Whispers: Send + fmt::Debug {
    /// The next whisper; `None` when none can come any more. It waits through outages: what is whispered meanwhile is lost.
    /// Dropping the call loses nothing.
    async fn next(&mut self) -> Option<Whisper>;

    /// How many were dropped here since the start, because [`WHISPERS_WAITING_MAX`] waited or they made no sense.
    fn dropped(&self) -> u64;
}

/// Why the bus did not do it, and what is still true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Out of reach, or too slow: worth another try. Whether it was done is not known.
    #[error("the bus is unavailable: {0}")]
    Unavailable(String),
    /// The epoch is another, or the log is gone. Nothing was done; join again.
    #[error("the epoch is over")]
    Epoch,
    /// The node was reaped. Nothing was done; join again, as a new node.
    #[error("the lease of this node is lost")]
    Lost,
    /// Entries that this node has not read may be gone. The node is still a member, and needs a snapshot.
    #[error("the log is no longer kept from there on")]
    Trimmed,
    /// No bus says this; a node says it of itself: what the others decide it cannot read, so it takes no part until it is updated and started again.
    #[error("another node runs a newer program: update this one")]
    Newer,
    /// It will not be done, again and again, until a person acts: no memory, no permission, no fitting version, too large. Nothing was done.
    #[error("the bus refused it: {0}")]
    Refused(String),
}

/// Cuts entries into parts that go all or none: for implementations.
pub fn parts(entries: &[Vec<u8>]) -> impl Iterator<Item = &[Vec<u8>]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH_ENTRIES_MAX).take_while(|entry| {
            bytes += entry.len();
            bytes <= BATCH_BYTES_MAX
        });
        let count = fits.count().max(1).min(rest.len());
        let (part, others) = rest.split_at(count);
        rest = others;
        (!part.is_empty()).then_some(part)
    })
}
