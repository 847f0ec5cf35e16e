//! Leases: kept by renewing, ended once, in the bus's own time.

use std::sync::Arc;

use super::{LOST, ONE, Outcome, Rig, THREE, TWO, last_of, lease, lost, numbered, outlive, read_all, two};
use crate::bus::{BusError, Joined, Node};

/// For many times its length.
pub(super) async fn a_lease_is_kept_by_renewing_it(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    for _ in 0..10 {
        rig.pass(first.timing().renew_every).await;
        assert_eq!(first.renew(ONE, 7, LOST).await?, lease(&[TWO], &[]));
        assert_eq!(second.renew(TWO, 7, LOST).await?, lease(&[ONE], &[]));
    }
    Ok(())
}

/// The entry is the prefix and the number, and all read it.
pub(super) async fn a_lease_that_expired_is_reaped_once_with_its_entry(rig: Arc<dyn Rig>) -> Outcome {
    let (first, _) = two(&*rig).await?;
    let before = last_of(first.append(ONE, 7, &numbered(0..1)).await?);
    assert_eq!(outlive(&*rig, &*first, ONE, &[TWO]).await?, [TWO]);
    assert_eq!(first.renew(ONE, 7, LOST).await?, lease(&[], &[]));
    let read = read_all(&*first, 7, before).await?;
    assert_eq!(read.iter().map(|entry| &*entry.bytes).collect::<Vec<_>>(), [lost(TWO)]);
    Ok(())
}

/// Each once, whoever renews first.
pub(super) async fn several_are_reaped_by_one_and_others_see_the_same(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_reaped_node_is_lost(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn an_expired_lease_that_nobody_reaped_can_be_renewed(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.join(ONE, 7, b"one").await?;
    rig.pass(bus.timing().lease * 2).await;
    bus.append(ONE, 7, &numbered(0..1)).await?;
    assert_eq!(bus.renew(ONE, 7, LOST).await?, lease(&[], &[]));
    Ok(())
}

/// Silence counts only while somebody listens: nobody is reaped for an outage of the bus.
pub(super) async fn a_silence_of_all_counts_for_no_lease(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = two(&*rig).await?;
    rig.pass(first.timing().lease * 3).await;
    assert_eq!(first.renew(ONE, 7, LOST).await?, lease(&[TWO], &[]));
    assert_eq!(second.renew(TWO, 7, LOST).await?, lease(&[ONE], &[]));
    assert_eq!(outlive(&*rig, &*first, ONE, &[TWO]).await?, [TWO], "the dead are still reaped");
    Ok(())
}

/// Numbers are not guessed.
pub(super) async fn who_never_joined_is_lost(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.join(ONE, 7, b"one").await?;
    assert_eq!(bus.append(TWO, 7, &numbered(0..1)).await, Err(BusError::Lost));
    assert_eq!(bus.renew(TWO, 7, LOST).await, Err(BusError::Lost));
    bus.leave(TWO, 7, LOST).await?;
    assert_eq!(bus.renew(ONE, 7, LOST).await?, lease(&[], &[]));
    Ok(())
}
