//! The log: appended in one order, read without a gap.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AT_ONCE, FAR_MORE, LOG_MAX, LONG, ONE, Outcome, Rig, TWO, entry, last_of, numbered, read_all, told_of_the_epoch,
    within,
};
use crate::bus::{BATCH_ENTRIES_MAX, BusError, ENTRY_BYTES_MAX, Joined, Node};

/// Strictly, with joins and losses among them.
pub(super) async fn numbers_grow_across_nodes_and_calls(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn entries_come_back_in_order_as_they_were(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn an_empty_append_changes_nothing(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    assert_eq!(bus.append(ONE, epoch, &[]).await?, []);
    assert_eq!(bus.read(epoch, seq, 10, AT_ONCE).await?, []);
    Ok(())
}

/// It goes in several parts.
pub(super) async fn a_batch_beyond_the_limits_keeps_its_order(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_large_entry_fits_and_a_larger_one_is_refused_with_its_batch(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn appends_of_several_nodes_are_one_order_for_all(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_read_is_limited_and_goes_on_where_it_ended(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_read_waits_and_is_woken(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_read_that_waited_in_vain_finds_nothing(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    for wait in [0, 1, 30] {
        assert_eq!(bus.read(epoch, seq, 10, Duration::from_millis(wait)).await?, []);
    }
    Ok(())
}

/// The next one reads all the same, at once.
pub(super) async fn a_dropped_read_loses_nothing(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn another_epoch_is_told(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let never = bus.append(ONE, 7, &numbered(0..1)).await;
    assert_eq!(never, Err(BusError::Epoch));
    let Joined { seq, .. } = bus.join(ONE, 7, b"one").await?;
    told_of_the_epoch(&*bus, 6, seq).await;
    assert_eq!(bus.read(7, seq, 10, AT_ONCE).await?, [], "a call in another epoch did something");
    Ok(())
}

/// As after a restart without a disk.
pub(super) async fn a_log_that_is_gone_ends_the_epoch(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { seq, .. } = bus.join(ONE, 7, b"one").await?;
    rig.lose_everything().await;
    told_of_the_epoch(&*bus, 7, seq).await;
    Ok(())
}

/// Also while it waits.
pub(super) async fn a_reader_of_an_older_epoch_is_told_when_another_founds(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_reader_that_fell_behind_is_told(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_number_that_was_never_given_is_told(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, .. } = bus.join(ONE, 7, b"one").await?;
    for after in [0, seq - 1, seq + 1, seq + 1_000_000] {
        assert_eq!(bus.read(epoch, after, 10, AT_ONCE).await, Err(BusError::Trimmed), "{after}");
    }
    Ok(())
}
