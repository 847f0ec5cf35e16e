//! What goes beside the log: whispers, chunks, the probe.

use std::sync::Arc;
use std::time::Duration;

use super::{AT_ONCE, LONG, ONE, Outcome, Rig, THREE, TWO, next, within};
use crate::bus::{BusError, CHUNK_BYTES_MAX, CHUNKS_WAITING_MAX, WHISPER_BYTES_MAX, WHISPERS_WAITING_MAX};

/// Once each, and not by the end that whispered.
pub(super) async fn a_whisper_is_heard_by_all_others(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn whispers_beyond_the_limit_are_dropped_and_counted(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn whispers_to_nobody_are_no_error(rig: Arc<dyn Rig>) -> Outcome {
    let (first, second) = (rig.end().await, rig.end().await);
    first.whisper(7, b"nobody there").await?;
    drop(second.whispers().await?);
    first.whisper(7, b"nobody there").await?;
    Ok(())
}

/// First in, first out.
pub(super) async fn chunks_are_taken_in_their_order_once(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn chunks_of_one_node_are_not_those_of_another(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.put_chunk(ONE, b"for one").await?;
    bus.put_chunk(TWO, b"for two").await?;
    assert_eq!(bus.take_chunk(THREE, AT_ONCE).await?, None);
    assert_eq!(bus.take_chunk(TWO, AT_ONCE).await?.as_deref(), Some(&b"for two"[..]));
    assert_eq!(bus.take_chunk(ONE, AT_ONCE).await?.as_deref(), Some(&b"for one"[..]));
    Ok(())
}

/// And one that gave up takes nothing.
pub(super) async fn a_taker_waits_and_is_woken(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn too_many_chunks_wait_for_their_taker(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_large_chunk_or_whisper_fits_and_a_larger_one_is_refused(rig: Arc<dyn Rig>) -> Outcome {
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
pub(super) async fn a_healthy_bus_passes_the_probe(rig: Arc<dyn Rig>) -> Outcome {
    let bus = rig.end().await;
    bus.probe().await?;
    bus.join(ONE, 7, b"one").await?;
    bus.probe().await
}
