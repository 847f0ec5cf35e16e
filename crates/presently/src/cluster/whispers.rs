//! What a node hears of its own sessions, for the others. **A whisper may be lost, and nothing but a `last_seen` is older for it**: deadlines are
//! the owner's, and an owner who ends a session says when it was heard last.
//!
//! A whisper is its sender's wall time, and for each shard its place, a length, and a block as the store keeps them. Users are
//! in the same shards on every node.

use presently_core::{SessionNumber, Timestamp};

use super::Cluster;
use super::term::{End, Term};
use crate::bus::WHISPER_BYTES_MAX;
use crate::evidence::{Stamp, pack, unpack};
use crate::shard::SHARDS;
use crate::shared::Shared;

/// Entries of one block.
const BLOCK_MAX: usize = 4096;
/// Bytes after which a whisper is sent; with one more block it stays below what the bus takes.
const WHISPER_BYTES: usize = WHISPER_BYTES_MAX / 2;

/// What was heard since the last time, by shard.
pub(crate) type Heard = Vec<(usize, Vec<(SessionNumber, Timestamp)>)>;

/// Tells the others.
pub(crate) async fn whisper(shared: &Shared, stamp: Stamp, heard: Heard) {
    let Some(cluster) = shared.cluster.as_ref().filter(|cluster| cluster.is_member()) else { return };
    let wall = shared.clock.now().wall;
    let mut bytes = wall.0.to_le_bytes().to_vec();
    for (place, mut heard) in heard {
        heard.sort_unstable_by_key(|&(number, _)| number);
        heard.dedup_by_key(|&mut (number, _)| number);
        for part in heard.chunks(BLOCK_MAX) {
            let block = pack(stamp, wall, part);
            bytes.push(place as u8);
            bytes.extend((block.len() as u32).to_le_bytes());
            bytes.extend(block);
            if bytes.len() >= WHISPER_BYTES {
                send(shared, cluster, &bytes).await;
                bytes.truncate(size_of::<i64>());
            }
        }
    }
    if bytes.len() > size_of::<i64>() {
        send(shared, cluster, &bytes).await;
    }
}

async fn send(shared: &Shared, cluster: &Cluster, bytes: &[u8]) {
    shared.metrics.whispered(bytes.len());
    if let Err(error) = cluster.bus.whisper(cluster.epoch(), bytes).await {
        tracing::debug!(%error, "a whisper was lost");
    }
}

/// Takes in what the others heard.
pub(super) async fn hear(term: &Term<'_>) -> End {
    let mut entries = Vec::new();
    loop {
        if let Ok(mut whispers) = term.cluster.bus.whispers().await {
            while let Some(whisper) = whispers.next().await {
                if whisper.epoch == term.epoch {
                    // Garbage is passed over: it is worth no more than what is lost.
                    let _ = take_in(term, &whisper.packed, &mut entries);
                    tokio::task::yield_now().await;
                }
            }
        }
        term.shared.clock.sleep(super::keeper::EVERY).await;
    }
}

fn take_in(term: &Term<'_>, bytes: &[u8], entries: &mut Vec<(SessionNumber, i64)>) -> Option<()> {
    let (wall, mut rest) = bytes.split_first_chunk::<8>()?;
    let wall = i64::from_le_bytes(*wall);
    while let Some((&place, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<4>()?;
        let (block, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        unpack(block, entries)?;
        if usize::from(place) >= SHARDS {
            return None;
        }
        term.shared.shards.at(usize::from(place), |shard| {
            let now = term.shared.clock.now();
            for &(number, millis) in &*entries {
                let at = Timestamp(wall.saturating_sub(millis.saturating_mul(1000)));
                shard.engine.heard(now, number, at);
            }
        });
        rest = after;
    }
    Some(())
}
