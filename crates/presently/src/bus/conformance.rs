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

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    BATCH_ENTRIES_MAX, Bus, BusError, CHUNK_BYTES_MAX, CHUNKS_WAITING_MAX, ENTRY_BYTES_MAX, Entry, Joined, Lease, Node,
    WHISPER_BYTES_MAX, WHISPERS_WAITING_MAX, Whispers,
};

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
    ($($name:ident),* $(,)?) => {
        /// The promises in words, with what checks them.
        pub const PROMISES: &[(&str, Case)] = &[$((stringify!($name), |rig| Box::pin($name(rig)))),*];
    };
}

promises![
    the_first_node_founds,
    the_second_node_joins_the_epoch_of_the_first,
    of_two_that_join_at_once_one_founds,
    of_many_that_join_at_once_one_founds,
    a_founding_drops_the_log_and_numbers_go_on,
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
    a_lease_is_kept_by_renewing_it,
    a_lease_that_expired_is_reaped_once_with_its_entry,
    several_are_reaped_by_one_and_others_see_the_same,
    a_reaped_node_is_lost,
    an_expired_lease_that_nobody_reaped_can_be_renewed,
    a_node_that_finds_only_expired_ones_founds,
    a_silence_of_all_counts_for_no_lease,
    who_never_joined_is_lost,
    leaving_is_told_to_the_others,
    the_last_to_leave_ends_the_epoch,
    leaving_twice_is_no_error,
    a_whisper_is_heard_by_all_others,
    whispers_beyond_the_limit_are_dropped_and_counted,
    whispers_to_nobody_are_no_error,
    chunks_are_taken_in_their_order_once,
    chunks_of_one_node_are_not_those_of_another,
    a_taker_waits_and_is_woken,
    too_many_chunks_wait_for_their_taker,
    a_large_chunk_or_whisper_fits_and_a_larger_one_is_refused,
    a_healthy_bus_passes_the_probe,
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

/// An empty bus has no peers, and the epoch is the one offered.
pub async fn the_first_node_founds(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, peers } = bus.join(ONE, u64::MAX, b"one").await?;
    assert_eq!((epoch, peers), (u64::MAX, vec![]));
    assert!(seq > 0);
    assert_eq!(bus.read(epoch, seq, 10, AT_ONCE).await?, []);
    Ok(())
}

/// The founder reads of the second; the second begins after its own entry.
pub async fn the_second_node_joins_the_epoch_of_the_first(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = (rig.end().await, rig.end().await);
    let founded = first.join(ONE, 7, b"one").await?;
    let joined = second.join(TWO, 8, b"two").await?;
    assert_eq!((joined.epoch, joined.peers), (7, vec![ONE]));
    assert_eq!(first.read(7, founded.seq, 10, LONG).await?, [entry(joined.seq, b"two")]);
    assert_eq!(second.read(7, joined.seq, 10, AT_ONCE).await?, []);
    let third = rig.end().await.join(THREE, 9, b"three").await?;
    assert_eq!((third.epoch, third.peers), (7, vec![ONE, TWO]));
    Ok(())
}

/// Never two epochs, never none.
pub async fn of_two_that_join_at_once_one_founds(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = (rig.end().await, rig.end().await);
    let (one, two) = tokio::join!(first.join(ONE, 7, b"one"), second.join(TWO, 8, b"two"));
    let (one, two) = (one?, two?);
    assert_eq!(one.epoch, two.epoch);
    match (one.peers.is_empty(), two.peers.is_empty()) {
        (true, false) => assert_eq!((one.epoch, two.peers, one.seq < two.seq), (7, vec![ONE], true)),
        (false, true) => assert_eq!((two.epoch, one.peers, two.seq < one.seq), (8, vec![TWO], true)),
        _ => panic!("{one:?} and {two:?}"),
    }
    Ok(())
}

/// Each that joins finds those before it.
pub async fn of_many_that_join_at_once_one_founds(rig: Arc<dyn Rig>) -> Outcome {
    let mut joins = tokio::task::JoinSet::new();
    for number in 1..=8 {
        let bus = rig.end().await;
        joins.spawn(async move { bus.join(Node(number), 100 + number, b"joined").await });
    }
    let mut all = joins.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|joined| joined.seq);
    for (place, joined) in all.iter().enumerate() {
        assert_eq!((joined.peers.len(), joined.epoch), (place, all[0].epoch));
    }
    Ok(())
}

/// After everybody left, and after the bus forgot everything.
pub async fn a_founding_drops_the_log_and_numbers_go_on(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let first = bus.join(ONE, 7, b"one").await?;
    let last = last_of(bus.append(ONE, 7, &numbered(0..500)).await?);
    bus.leave(ONE, 7, LOST).await?;
    let second = bus.join(TWO, 8, b"two").await?;
    assert!(first.seq < last && last < second.seq, "{first:?}, {last}, {second:?}");
    assert_eq!((second.epoch, &second.peers[..]), (8, &[][..]));
    assert_eq!(bus.read(8, last, 10, AT_ONCE).await, Err(BusError::Trimmed));

    rig.lose_everything().await;
    rig.pass(Duration::from_millis(10)).await;
    let third = bus.join(THREE, 9, b"three").await?;
    assert!(second.seq < third.seq, "{second:?}, {third:?}");
    Ok(())
}

/// Strictly, with joins and losses among them.
pub async fn numbers_grow_across_nodes_and_calls(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = (rig.end().await, rig.end().await);
    let mut numbers = vec![first.join(ONE, 7, b"one").await?.seq];
    numbers.extend(first.append(ONE, 7, &numbered(0..3)).await?);
    numbers.push(second.join(TWO, 8, b"two").await?.seq);
    for _ in 0..5 {
        numbers.extend(second.append(TWO, 7, &numbered(0..2)).await?);
        numbers.extend(first.append(ONE, 7, &numbered(0..1)).await?);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(numbers.len(), 20);
    Ok(())
}

/// Any bytes, also none.
pub async fn entries_come_back_in_order_as_they_were(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"").await?;
    let entries =
        [vec![], vec![0], b"a\r\nb\0".to_vec(), (0..=255).collect(), "€ 𝄞".as_bytes().to_vec(), vec![0xff; 9]];
    let numbers = bus.append(ONE, epoch, &entries).await?;
    let expected: Vec<_> = numbers.iter().zip(&entries).map(|(&seq, bytes)| entry(seq, bytes)).collect();
    assert_eq!(bus.read(epoch, seq, 10, LONG).await?, expected);
    assert_eq!(bus.read(epoch, numbers[2], 10, LONG).await?, expected[3..]);
    Ok(())
}

/// Nothing in, nothing out.
pub async fn an_empty_append_changes_nothing(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    assert_eq!(bus.append(ONE, epoch, &[]).await?, []);
    assert_eq!(bus.read(epoch, seq, 10, AT_ONCE).await?, []);
    Ok(())
}

/// It goes in several parts.
pub async fn a_batch_beyond_the_limits_keeps_its_order(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    let large = vec![vec![7; ENTRY_BYTES_MAX]; 20];
    let numbers = bus.append(ONE, epoch, &large).await?;
    assert_eq!(numbers.len(), 20);
    assert_eq!(read_all(&*bus, epoch, seq).await?.len(), 20);
    let many = numbered(0..BATCH_ENTRIES_MAX + 10);
    let numbers = bus.append(ONE, epoch, &many).await?;
    assert_eq!(numbers.len(), many.len());
    assert!(numbers.is_sorted_by(|a, b| a < b));
    let end = many.len() - 500;
    let read: Vec<_> = read_all(&*bus, epoch, numbers[end - 1]).await?.into_iter().map(|entry| entry.bytes).collect();
    assert_eq!(read, many[end..]);
    Ok(())
}

/// Exactly at the limit, and one byte more.
pub async fn a_large_entry_fits_and_a_larger_one_is_refused_with_its_batch(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    let (fits, does_not) = (vec![1; ENTRY_BYTES_MAX], vec![1; ENTRY_BYTES_MAX + 1]);
    let refused = bus.append(ONE, epoch, &[b"small".to_vec(), does_not.clone()]).await;
    assert!(matches!(refused, Err(BusError::Refused(_))), "{refused:?}");
    assert!(matches!(bus.join(TWO, 8, &does_not).await, Err(BusError::Refused(_))));
    let numbers = bus.append(ONE, epoch, std::slice::from_ref(&fits)).await?;
    assert_eq!(bus.read(epoch, seq, 10, LONG).await?, [entry(numbers[0], &fits)]);
    Ok(())
}

/// All read the same, each its own in the order of its appends.
pub async fn appends_of_several_nodes_are_one_order_for_all(rig: Arc<dyn Rig>) -> Outcome {
    let ends = [rig.end().await, rig.end().await, rig.end().await];
    let founded = ends[0].join(Node(0), 7, b"joined").await?;
    for (end, node) in ends.iter().zip(0..).skip(1) {
        end.join(Node(node), 8, b"joined").await?;
    }
    let mut writers = tokio::task::JoinSet::new();
    for (end, node) in ends.iter().cloned().zip(0u8..) {
        writers.spawn(async move {
            for count in (0..100u8).step_by(2) {
                end.append(Node(node.into()), 7, &[vec![node, count], vec![node, count + 1]]).await?;
            }
            Ok::<_, BusError>(())
        });
    }
    writers.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let all = read_all(&*ends[0], 7, founded.seq).await?;
    for end in &ends[1..] {
        assert_eq!(read_all(&**end, 7, founded.seq).await?, all);
    }
    for node in 0..3 {
        let own: Vec<_> = all.iter().filter(|entry| entry.bytes[0] == node && entry.bytes.len() == 2).collect();
        assert!(own.iter().map(|entry| entry.bytes[1]).eq(0..100), "{own:?}");
    }
    Ok(())
}

/// Page by page.
pub async fn a_read_is_limited_and_goes_on_where_it_ended(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    let numbers = bus.append(ONE, epoch, &numbered(0..200)).await?;
    let mut after = seq;
    for page in numbers.chunks(64) {
        let read: Vec<_> = bus.read(epoch, after, 64, LONG).await?.iter().map(|entry| entry.seq).collect();
        assert_eq!(read, page);
        after = last_of(read);
    }
    assert_eq!(bus.read(epoch, seq, 1, LONG).await?, [entry(numbers[0], b"0")]);
    assert_eq!(bus.read(epoch, after, 64, AT_ONCE).await?, []);
    Ok(())
}

/// The wait ends with the entry.
pub async fn a_read_waits_and_is_woken(rig: Arc<dyn Rig>) -> Outcome {
    let (reader, writer) = (rig.end().await, rig.end().await);
    let Joined { epoch, seq, .. } = writer.join(ONE, 7, b"one").await?;
    let read = tokio::spawn(async move { reader.read(epoch, seq, 10, LONG).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!read.is_finished());
    let numbers = writer.append(ONE, epoch, &[b"come".to_vec()]).await?;
    assert_eq!(
        within(LONG / 2, read).await.unwrap_or_else(|_| panic!("the reader ended"))?,
        [entry(numbers[0], b"come")]
    );
    Ok(())
}

/// Nothing is no error.
pub async fn a_read_that_waited_in_vain_finds_nothing(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    for wait in [0, 1, 30] {
        assert_eq!(bus.read(epoch, seq, 10, Duration::from_millis(wait)).await?, []);
    }
    Ok(())
}

/// The next one reads all the same, at once.
pub async fn a_dropped_read_loses_nothing(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    for _ in 0..3 {
        let dropped = tokio::time::timeout(Duration::from_millis(20), bus.read(epoch, seq, 10, LONG)).await;
        assert!(dropped.is_err(), "{dropped:?}");
    }
    let numbers = bus.append(ONE, epoch, &[b"come".to_vec()]).await?;
    assert_eq!(within(LONG / 2, bus.read(epoch, seq, 10, LONG)).await?, [entry(numbers[0], b"come")]);
    Ok(())
}

/// To whoever appends, reads or renews in one that never was.
pub async fn another_epoch_is_told(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let never = bus.append(ONE, 7, &numbered(0..1)).await;
    assert_eq!(never, Err(BusError::Epoch));
    let Joined { seq, .. } = bus.join(ONE, 7, b"one").await?;
    told_of_the_epoch(&*bus, 6, seq).await;
    assert_eq!(bus.read(7, seq, 10, AT_ONCE).await?, [], "a call in another epoch did something");
    Ok(())
}

/// As after a restart without a disk.
pub async fn a_log_that_is_gone_ends_the_epoch(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { seq, .. } = bus.join(ONE, 7, b"one").await?;
    rig.lose_everything().await;
    told_of_the_epoch(&*bus, 7, seq).await;
    Ok(())
}

/// Also while it waits.
pub async fn a_reader_of_an_older_epoch_is_told_when_another_founds(rig: Arc<dyn Rig>) -> Outcome {
    let (reader, other) = (rig.end().await, rig.end().await);
    let Joined { seq, .. } = other.join(ONE, 7, b"one").await?;
    let read = {
        let reader = reader.clone();
        tokio::spawn(async move { reader.read(7, seq, 10, LONG).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    rig.lose_everything().await;
    rig.pass(Duration::from_millis(10)).await;
    other.join(TWO, 8, b"two").await?;
    assert_eq!(within(LONG / 2, read).await.unwrap_or_else(|_| panic!("the reader ended")), Err(BusError::Epoch));
    told_of_the_epoch(&*reader, 7, seq).await;
    Ok(())
}

/// Never a silent gap.
pub async fn a_reader_that_fell_behind_is_told(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    let mut numbers = Vec::new();
    for _ in 0..FAR_MORE / 200 {
        numbers.extend(bus.append(ONE, epoch, &numbered(0..200)).await?);
    }
    for after in [seq, numbers[0], numbers[FAR_MORE / 3]] {
        assert_eq!(bus.read(epoch, after, 10, LONG).await, Err(BusError::Trimmed), "{after}");
    }
    let kept = &numbers[FAR_MORE - LOG_MAX..];
    let read: Vec<_> = read_all(&*bus, epoch, kept[0]).await?.iter().map(|entry| entry.seq).collect();
    assert_eq!(read, kept[1..]);
    Ok(())
}

/// As that of a bus that came back without its newest entries.
pub async fn a_number_that_was_never_given_is_told(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    for after in [0, seq - 1, seq + 1, seq + 1_000_000] {
        assert_eq!(bus.read(epoch, after, 10, AT_ONCE).await, Err(BusError::Trimmed), "{after}");
    }
    Ok(())
}

/// For many times its length.
pub async fn a_lease_is_kept_by_renewing_it(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    for _ in 0..15 {
        rig.pass(first.timing().renew_every).await;
        assert_eq!(first.renew(ONE, 7, LOST).await?, lease(&[TWO], &[]));
        assert_eq!(second.renew(TWO, 7, LOST).await?, lease(&[ONE], &[]));
    }
    Ok(())
}

/// The entry is the prefix and the number, and all read it.
pub async fn a_lease_that_expired_is_reaped_once_with_its_entry(rig: Arc<dyn Rig>) -> Outcome {
    let (first, _) = two(&*rig).await?;
    let before = last_of(first.append(ONE, 7, &numbered(0..1)).await?);
    assert_eq!(outlive(&*rig, &*first, ONE, &[TWO]).await?, [TWO]);
    assert_eq!(first.renew(ONE, 7, LOST).await?, lease(&[], &[]));
    let read = read_all(&*first, 7, before).await?;
    assert_eq!(read.iter().map(|entry| &*entry.bytes).collect::<Vec<_>>(), [lost(TWO)]);
    Ok(())
}

/// Each once, whoever renews first.
pub async fn several_are_reaped_by_one_and_others_see_the_same(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    let third = rig.end().await;
    let Joined { seq, .. } = third.join(THREE, 8, b"three").await?;
    let fourth = rig.end().await;
    fourth.join(Node(4), 8, b"four").await?;
    let mut reaped = Vec::new();
    for _ in 0..5 {
        rig.pass(first.timing().renew_every).await;
        let (one, four) = tokio::join!(first.renew(ONE, 7, LOST), fourth.renew(Node(4), 7, LOST));
        reaped.extend(one?.reaped);
        reaped.extend(four?.reaped);
    }
    reaped.sort_unstable();
    assert_eq!(reaped, [THREE, TWO]);
    let entries = read_all(&*second, 7, seq).await?;
    let mut gone: Vec<_> =
        entries.into_iter().map(|entry| entry.bytes).filter(|bytes| bytes.starts_with(LOST)).collect();
    gone.sort_unstable();
    assert_eq!(gone, [lost(THREE), lost(TWO)]);
    Ok(())
}

/// It can neither append nor renew, and joins as a new one.
pub async fn a_reaped_node_is_lost(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    outlive(&*rig, &*first, ONE, &[TWO]).await?;
    assert_eq!(second.append(TWO, 7, &numbered(0..1)).await, Err(BusError::Lost));
    assert_eq!(second.renew(TWO, 7, LOST).await, Err(BusError::Lost));
    let again = second.join(THREE, 8, b"again").await?;
    assert_eq!((again.epoch, again.peers), (7, vec![ONE]));
    second.append(THREE, 7, &numbered(0..1)).await?;
    Ok(())
}

/// Nobody was told that it was gone.
pub async fn an_expired_lease_that_nobody_reaped_can_be_renewed(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.join(ONE, 7, b"one").await?;
    rig.pass(bus.timing().lease * 2).await;
    bus.append(ONE, 7, &numbered(0..1)).await?;
    assert_eq!(bus.renew(ONE, 7, LOST).await?, lease(&[], &[]));
    Ok(())
}

/// They have nothing to hand over; should one be alive, it is told that the epoch is over.
pub async fn a_node_that_finds_only_expired_ones_founds(rig: Arc<dyn Rig>) -> Outcome {
    let (first, _) = two(&*rig).await?;
    rig.pass(first.timing().lease * 2).await;
    let third = rig.end().await.join(THREE, 9, b"three").await?;
    assert_eq!((third.epoch, third.peers), (9, vec![]));
    assert_eq!(first.renew(ONE, 7, LOST).await, Err(BusError::Epoch));
    assert_eq!(first.append(ONE, 7, &numbered(0..1)).await, Err(BusError::Epoch));
    Ok(())
}

/// Silence counts only while somebody listens: nobody is reaped for an outage of the bus.
pub async fn a_silence_of_all_counts_for_no_lease(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    rig.pass(first.timing().lease * 3).await;
    assert_eq!(first.renew(ONE, 7, LOST).await?, lease(&[TWO], &[]));
    assert_eq!(second.renew(TWO, 7, LOST).await?, lease(&[ONE], &[]));
    assert_eq!(outlive(&*rig, &*first, ONE, &[TWO]).await?, [TWO], "the dead are still reaped");
    Ok(())
}

/// Numbers are not guessed.
pub async fn who_never_joined_is_lost(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.join(ONE, 7, b"one").await?;
    assert_eq!(bus.append(TWO, 7, &numbered(0..1)).await, Err(BusError::Lost));
    assert_eq!(bus.renew(TWO, 7, LOST).await, Err(BusError::Lost));
    bus.leave(TWO, 7, LOST).await?;
    assert_eq!(bus.renew(ONE, 7, LOST).await?, lease(&[], &[]));
    Ok(())
}

/// At once.
pub async fn leaving_is_told_to_the_others(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    let before = last_of(first.append(ONE, 7, &numbered(0..1)).await?);
    second.leave(TWO, 7, LOST).await?;
    let read = first.read(7, before, 10, LONG).await?;
    assert_eq!(read.iter().map(|entry| &*entry.bytes).collect::<Vec<_>>(), [lost(TWO)]);
    assert_eq!(first.renew(ONE, 7, LOST).await?, lease(&[], &[]));
    assert_eq!(second.append(TWO, 7, &numbered(0..1)).await, Err(BusError::Lost));
    Ok(())
}

/// Nothing stays, and whoever comes next founds.
pub async fn the_last_to_leave_ends_the_epoch(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    let Joined { seq, .. } = rig.end().await.join(THREE, 8, b"three").await?;
    second.leave(TWO, 7, LOST).await?;
    second.leave(THREE, 7, LOST).await?;
    first.leave(ONE, 7, LOST).await?;
    told_of_the_epoch(&*first, 7, seq).await;
    let next = first.join(Node(9), 9, b"nine").await?;
    assert_eq!((next.epoch, next.peers), (9, vec![]));
    Ok(())
}

/// Nor is leaving what one never joined.
pub async fn leaving_twice_is_no_error(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    first.leave(ONE, 6, LOST).await?;
    assert_eq!(second.renew(TWO, 7, LOST).await?, lease(&[ONE], &[]));
    first.leave(ONE, 7, LOST).await?;
    first.leave(ONE, 7, LOST).await?;
    second.leave(TWO, 7, LOST).await?;
    second.leave(TWO, 7, LOST).await?;
    Ok(())
}

/// Once each, and not by the end that whispered.
pub async fn a_whisper_is_heard_by_all_others(rig: Arc<dyn Rig>) -> Outcome {
    let ends = [rig.end().await, rig.end().await, rig.end().await];
    let mut heard = [ends[0].whispers().await?, ends[1].whispers().await?, ends[2].whispers().await?];
    ends[0].whisper(7, b"from zero").await?;
    ends[1].whisper(u64::MAX, b"").await?;
    let mut both = [next(&mut heard[2]).await, next(&mut heard[2]).await];
    both.sort_unstable();
    assert_eq!(both, [(7, b"from zero".to_vec()), (u64::MAX, vec![])]);
    assert_eq!(next(&mut heard[1]).await, (7, b"from zero".to_vec()));
    assert_eq!(next(&mut heard[0]).await, (u64::MAX, vec![]));
    let dropped = tokio::time::timeout(Duration::from_millis(20), heard[0].next()).await;
    assert!(dropped.is_err(), "{dropped:?}");
    ends[2].whisper(8, b"once more").await?;
    assert_eq!(next(&mut heard[0]).await, (8, b"once more".to_vec()));
    Ok(())
}

/// The sender never waits for who does not listen.
pub async fn whispers_beyond_the_limit_are_dropped_and_counted(rig: Arc<dyn Rig>) -> Outcome {
    let (deaf, busy) = (rig.end().await, rig.end().await);
    let mut heard = deaf.whispers().await?;
    let many = WHISPERS_WAITING_MAX + 100;
    for number in 0..many {
        busy.whisper(7, number.to_string().as_bytes()).await?;
    }
    let until = tokio::time::Instant::now() + LONG;
    while heard.dropped() < 100 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(heard.dropped(), 100);
    for number in 0..WHISPERS_WAITING_MAX {
        assert_eq!(next(&mut heard).await, (7, number.to_string().into_bytes()));
    }
    busy.whisper(7, b"heard again").await?;
    assert_eq!(next(&mut heard).await, (7, b"heard again".to_vec()));
    Ok(())
}

/// They are lost.
pub async fn whispers_to_nobody_are_no_error(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = (rig.end().await, rig.end().await);
    first.whisper(7, b"nobody there").await?;
    drop(second.whispers().await?);
    first.whisper(7, b"nobody there").await?;
    Ok(())
}

/// First in, first out.
pub async fn chunks_are_taken_in_their_order_once(rig: Arc<dyn Rig>) -> Outcome {
    let (giver, taker) = (rig.end().await, rig.end().await);
    for chunk in [&b"one"[..], b"", b"\0\r\n\xff"] {
        assert!(giver.put_chunk(TWO, chunk).await?);
    }
    assert_eq!(taker.take_chunk(TWO, LONG).await?.as_deref(), Some(&b"one"[..]));
    assert_eq!(taker.take_chunk(TWO, LONG).await?.as_deref(), Some(&b""[..]));
    assert_eq!(taker.take_chunk(TWO, AT_ONCE).await?.as_deref(), Some(&b"\0\r\n\xff"[..]));
    assert_eq!(taker.take_chunk(TWO, AT_ONCE).await?, None);
    assert_eq!(taker.take_chunk(TWO, Duration::from_millis(20)).await?, None);
    Ok(())
}

/// Each has its own.
pub async fn chunks_of_one_node_are_not_those_of_another(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.put_chunk(ONE, b"for one").await?;
    bus.put_chunk(TWO, b"for two").await?;
    assert_eq!(bus.take_chunk(THREE, AT_ONCE).await?, None);
    assert_eq!(bus.take_chunk(TWO, AT_ONCE).await?.as_deref(), Some(&b"for two"[..]));
    assert_eq!(bus.take_chunk(ONE, AT_ONCE).await?.as_deref(), Some(&b"for one"[..]));
    Ok(())
}

/// And one that gave up takes nothing.
pub async fn a_taker_waits_and_is_woken(rig: Arc<dyn Rig>) -> Outcome {
    let (giver, taker) = (rig.end().await, rig.end().await);
    let gave_up = tokio::time::timeout(Duration::from_millis(20), taker.take_chunk(TWO, LONG)).await;
    assert!(gave_up.is_err(), "{gave_up:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    giver.put_chunk(TWO, b"first").await?;
    assert_eq!(within(LONG / 2, taker.take_chunk(TWO, LONG)).await?.as_deref(), Some(&b"first"[..]));
    let take = tokio::spawn(async move { taker.take_chunk(TWO, LONG).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    giver.put_chunk(TWO, b"second").await?;
    let taken = within(LONG / 2, take).await.unwrap_or_else(|_| panic!("the taker ended"))?;
    assert_eq!(taken.as_deref(), Some(&b"second"[..]));
    Ok(())
}

/// The giver is told, and goes on when one was taken.
pub async fn too_many_chunks_wait_for_their_taker(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    for _ in 0..CHUNKS_WAITING_MAX {
        assert!(bus.put_chunk(TWO, b"chunk").await?);
    }
    assert!(!bus.put_chunk(TWO, b"too many").await?);
    assert!(bus.put_chunk(ONE, b"for another").await?);
    assert!(bus.take_chunk(TWO, AT_ONCE).await?.is_some());
    assert!(bus.put_chunk(TWO, b"fits now").await?);
    Ok(())
}

/// Exactly at the limits, and one byte more.
pub async fn a_large_chunk_or_whisper_fits_and_a_larger_one_is_refused(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = (rig.end().await, rig.end().await);
    let chunk = vec![7; CHUNK_BYTES_MAX];
    assert!(first.put_chunk(TWO, &chunk).await?);
    assert_eq!(second.take_chunk(TWO, LONG).await?, Some(chunk));
    assert!(matches!(first.put_chunk(TWO, &vec![7; CHUNK_BYTES_MAX + 1]).await, Err(BusError::Refused(_))));
    let mut heard = second.whispers().await?;
    let whisper = vec![7; WHISPER_BYTES_MAX];
    first.whisper(7, &whisper).await?;
    assert_eq!(next(&mut heard).await, (7, whisper));
    assert!(matches!(first.whisper(7, &vec![7; WHISPER_BYTES_MAX + 1]).await, Err(BusError::Refused(_))));
    Ok(())
}

/// Also before anybody joined.
pub async fn a_healthy_bus_passes_the_probe(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.probe().await?;
    bus.join(ONE, 7, b"one").await?;
    bus.probe().await
}

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
