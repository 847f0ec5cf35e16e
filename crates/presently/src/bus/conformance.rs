//! What every [`Bus`] promises, one case a promise: an implementation that passes [`run`] can carry several nodes.
//!
//! ```ignore
//! #[tokio::test]
//! async fn the_bus_keeps_its_promises() {
//!     presently::bus::conformance::run(async || Arc::new(MyRig::empty().await) as Arc<dyn Rig>).await;
//! }
//! ```
//!
//! Each case gets an empty bus of its own, whose log keeps at most [`LOG_MAX`] entries and a few hundred.

mod beside;
mod joining;
mod leases;
mod log;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Bus, BusError, Entry, Lease, Node, Whispers};

/// So many entries the log of a [`Rig`] keeps.
pub const LOG_MAX: usize = 1000;
/// More than any log of a rig keeps.
const FAR_MORE: usize = 2 * LOG_MAX;

/// An empty bus, and what a case needs to try it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// Another node's end of the one bus. Its leases are short enough to wait for.
    async fn end(&self) -> Arc<dyn Bus>;
    /// Lets time pass on the bus's clock.
    async fn pass(&self, length: Duration);
    /// The bus forgets everything.
    async fn lose_everything(&self);
}

/// How a case ends: `Err` is a bus that failed; a broken promise panics.
pub type Outcome = Result<(), BusError>;
type Case = fn(Arc<dyn Rig>) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

macro_rules! promises {
    ($($group:ident: [$($name:ident),* $(,)?],)*) => {
        /// The promises in words, with what checks them.
        pub const PROMISES: &[(&str, Case)] = &[$($((stringify!($name), |rig| Box::pin($group::$name(rig)))),*),*];
    };
}

promises![
    joining: [
        the_first_node_founds,
        the_second_node_joins_the_epoch_of_the_first,
        of_two_that_join_at_once_one_founds,
        of_many_that_join_at_once_one_founds,
        a_founding_drops_the_log_and_numbers_go_on,
        a_node_that_finds_only_expired_ones_founds,
        leaving_is_told_to_the_others,
        the_last_to_leave_ends_the_epoch,
        leaving_twice_is_no_error,
    ],
    log: [
        numbers_grow_across_nodes_and_calls,
        entries_come_back_in_order_as_they_were,
        an_empty_append_changes_nothing,
        a_batch_beyond_the_limits_keeps_its_order,
        a_large_entry_fits_and_a_larger_one_is_refused_with_its_batch,
        appends_of_several_nodes_are_one_order_for_all,
        a_read_is_limited_and_goes_on_where_it_ended,
        a_read_waits_and_is_woken,
        a_read_that_waited_in_vain_finds_nothing,
        a_dropped_read_loses_nothing,
        another_epoch_is_told,
        a_log_that_is_gone_ends_the_epoch,
        a_reader_of_an_older_epoch_is_told_when_another_founds,
        a_reader_that_fell_behind_is_told,
        a_number_that_was_never_given_is_told,
    ],
    leases: [
        a_lease_is_kept_by_renewing_it,
        a_lease_that_expired_is_reaped_once_with_its_entry,
        several_are_reaped_by_one_and_others_see_the_same,
        a_reaped_node_is_lost,
        an_expired_lease_that_nobody_reaped_can_be_renewed,
        a_silence_of_all_counts_for_no_lease,
        who_never_joined_is_lost,
    ],
    beside: [
        a_whisper_is_heard_by_all_others,
        whispers_beyond_the_limit_are_dropped_and_counted,
        whispers_to_nobody_are_no_error,
        chunks_are_taken_in_their_order_once,
        chunks_of_one_node_are_not_those_of_another,
        a_taker_waits_and_is_woken,
        too_many_chunks_wait_for_their_taker,
        a_large_chunk_or_whisper_fits_and_a_larger_one_is_refused,
        a_healthy_bus_passes_the_probe,
    ],
];

/// Runs every case, each on a rig made by `make`, and panics with the names of the promises that were broken.
///
/// # Panics
/// When a promise is broken: that is what it is for.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Rig>) {
    let mut broken = Vec::new();
    for (name, case) in PROMISES {
        let rig = make().await;
        match tokio::spawn(case(rig)).await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => broken.push(format!("{name}: {failed}")),
            Err(panicked) => broken.push(format!("{name}: {panicked}")),
        }
    }
    assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
}

const ONE: Node = Node(1);
const TWO: Node = Node(u64::MAX);
const THREE: Node = Node(0x0a00_0000_0000_0d0a);
const LOST: &[u8] = b"lost\r\n\0";
/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(20);
const AT_ONCE: Duration = Duration::ZERO;

/// Two ends, of `ONE` who founded epoch 7 and of `TWO`.
async fn two(rig: &dyn Rig) -> Result<(Arc<dyn Bus>, Arc<dyn Bus>), BusError> {
    let (first, second) = (rig.end().await, rig.end().await);
    first.join(ONE, 7, b"one").await?;
    second.join(TWO, 8, b"two").await?;
    Ok((first, second))
}

/// `node` renews until all of `others` are reaped, or should have been.
async fn outlive(rig: &dyn Rig, bus: &dyn Bus, node: Node, others: &[Node]) -> Result<Vec<Node>, BusError> {
    let mut reaped = Vec::new();
    for _ in 0..8 {
        if reaped.len() >= others.len() {
            break;
        }
        rig.pass(bus.timing().renew_every).await;
        reaped.extend(bus.renew(node, 7, LOST).await?.reaped);
    }
    Ok(reaped)
}

async fn told_of_the_epoch(bus: &dyn Bus, epoch: u64, after: u64) {
    assert_eq!(bus.append(ONE, epoch, &numbered(0..1)).await, Err(BusError::Epoch));
    assert_eq!(bus.read(epoch, after, 10, AT_ONCE).await, Err(BusError::Epoch));
    assert_eq!(bus.renew(ONE, epoch, LOST).await, Err(BusError::Epoch));
    assert_eq!(bus.leave(ONE, epoch, LOST).await, Ok(()));
}

async fn read_all(bus: &dyn Bus, epoch: u64, mut after: u64) -> Result<Vec<Entry>, BusError> {
    let mut all = Vec::new();
    loop {
        let read = bus.read(epoch, after, 1000, AT_ONCE).await?;
        let Some(last) = read.last() else { return Ok(all) };
        after = last.seq;
        all.extend(read);
    }
}

async fn next(heard: &mut Box<dyn Whispers>) -> (u64, Vec<u8>) {
    let whisper = within(LONG, heard.next()).await.unwrap_or_else(|| panic!("no whisper can come any more"));
    (whisper.epoch, whisper.packed)
}

async fn within<T>(length: Duration, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(length, what).await.unwrap_or_else(|_| panic!("it took longer than {length:?}"))
}

fn entry(seq: u64, bytes: &[u8]) -> Entry {
    Entry { seq, bytes: bytes.to_vec() }
}

fn lease(peers: &[Node], reaped: &[Node]) -> Lease {
    Lease { peers: peers.to_vec(), reaped: reaped.to_vec() }
}

fn lost(node: Node) -> Vec<u8> {
    [LOST, &node.0.to_be_bytes()].concat()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range.map(|number| number.to_string().into_bytes()).collect()
}

fn last_of(numbers: Vec<u64>) -> u64 {
    numbers.last().copied().unwrap_or_else(|| panic!("no number was given"))
}
