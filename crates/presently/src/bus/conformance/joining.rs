//! Joining, founding and leaving.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AT_ONCE, LONG, LOST, ONE, Outcome, Rig, THREE, TWO, entry, last_of, lease, lost, numbered, told_of_the_epoch, two,
};
use crate::bus::{BusError, Joined, Node};

/// An empty bus has no peers, and the epoch is the one offered.
pub(super) async fn the_first_node_founds(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    let Joined { epoch, seq, peers } = bus.join(ONE, u64::MAX, b"one").await?;
    assert_eq!((epoch, peers), (u64::MAX, vec![]));
    assert!(seq > 0);
    assert_eq!(bus.read(epoch, seq, 10, AT_ONCE).await?, []);
    Ok(())
}

/// The founder reads of the second; the second begins after its own entry.
pub(super) async fn the_second_node_joins_the_epoch_of_the_first(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn of_two_that_join_at_once_one_founds(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn of_many_that_join_at_once_one_founds(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_founding_drops_the_log_and_numbers_go_on(rig: Arc<dyn Rig>) -> Outcome {
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

/// They have nothing to hand over; should one be alive, it is told that the epoch is over.
pub(super) async fn a_node_that_finds_only_expired_ones_founds(rig: Arc<dyn Rig>) -> Outcome {
    let (first, _) = two(&*rig).await?;
    rig.pass(first.timing().lease * 2).await;
    let third = rig.end().await.join(THREE, 9, b"three").await?;
    assert_eq!((third.epoch, third.peers), (9, vec![]));
    assert_eq!(first.renew(ONE, 7, LOST).await, Err(BusError::Epoch));
    assert_eq!(first.append(ONE, 7, &numbered(0..1)).await, Err(BusError::Epoch));
    Ok(())
}

/// At once.
pub(super) async fn leaving_is_told_to_the_others(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn the_last_to_leave_ends_the_epoch(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn leaving_twice_is_no_error(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    first.leave(ONE, 6, LOST).await?;
    assert_eq!(second.renew(TWO, 7, LOST).await?, lease(&[ONE], &[]));
    first.leave(ONE, 7, LOST).await?;
    first.leave(ONE, 7, LOST).await?;
    second.leave(TWO, 7, LOST).await?;
    second.leave(TWO, 7, LOST).await?;
    Ok(())
}
