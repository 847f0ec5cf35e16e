//! Giving one's state to a node that joins. **A copy is of one place in the log**: it is made while nothing is followed.
//!
//! A chunk is a byte that says whether it is the last one, its number in four bytes, and records: a byte that says what it is, its length in four bytes, and
//! that many bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use presently_core::cluster::{Ancestry, DecodeError, Node, Past, UserState};
use tokio::sync::Notify;

use super::frame::{put_veil, veil_of};
use super::roll::Roll;
use super::term::{End, Term};
use crate::UserId;
use crate::bus::{self, BusError};
use crate::shard::{SHARDS, VISIT_STEP};
use crate::store::VeilRow;

/// Bytes of a chunk, about.
const CHUNK: usize = 512 * 1024;

/// Nodes that wait for a copy; those beyond ask again.
const ASKED_MAX: usize = 256;
/// The last byte and the number.
const HEAD: usize = 5;
/// How long a full queue of chunks is waited for, and how often.
const PUT_AGAIN: Duration = Duration::from_millis(50);
const PUT_TRIES_MAX: usize = 200;

const PLACE: u8 = 0;
const ROLL: u8 = 1;
const USER: u8 = 2;
const VEIL: u8 = 3;
const PAST: u8 = 4;
const ANCESTRY: u8 = 5;

/// What a record says.
pub(super) enum Record {
    /// The place in the log.
    Place(u64),
    Roll(Roll),
    /// With the shard they are in.
    User(usize, UserState),
    Veil(usize, VeilRow),
    Past(usize, Past),
    Ancestry(Ancestry),
}

/// For whom a copy is, and its chunks.
type Copy = (Node, Arc<[Vec<u8>]>);

/// Who asked for a copy, and the one that is being handed over.
#[derive(Default)]
pub(super) struct Copies {
    asked: Mutex<VecDeque<Node>>,
    next: Mutex<Option<Copy>>,
    ready: Notify,
}

impl Copies {
    /// A node asks for a copy, maybe again.
    pub(super) fn ask(&self, node: Node) {
        let mut asked = self.asked.lock();
        let given = self.next.lock().as_ref().is_some_and(|&(to, _)| to == node);
        if !given && !asked.contains(&node) && asked.len() < ASKED_MAX {
            asked.push_back(node);
        }
    }
}

/// Makes the next copy, of the place up to which the log was followed, if one is asked for and none is on its way.
pub(super) async fn prepare(term: &Term<'_>) {
    if term.copies.next.lock().is_some() {
        return;
    }
    let Some(to) = term.copies.asked.lock().pop_front() else { return };
    let seq = {
        let followed = term.followed.lock();
        if !followed.roll.is_live(to) || followed.roll.giver(to) != Some(term.node) {
            return;
        }
        followed.seq
    };
    let began = term.shared.clock.now().tick;
    let mut chunks = Chunks::default();
    chunks.put(PLACE, |bytes| bytes.extend(seq.to_le_bytes()));
    chunks.put(ROLL, |bytes| term.followed.lock().roll.encode(bytes));
    chunks.put(ANCESTRY, |bytes| term.cluster.before.lock().ancestry.encode(bytes));
    for place in 0..SHARDS {
        let past = term.shared.shards.at(place, |shard| shard.engine.past());
        chunks.put(PAST, |bytes| {
            bytes.push(place as u8);
            past.encode(bytes);
        });
        let mut from = Some(0);
        while let Some(start) = from {
            from = term.shared.shards.at(place, |shard| {
                let now = term.shared.clock.now();
                shard.engine.visit_states(now, start, VISIT_STEP, &mut |state| {
                    chunks.put(USER, |bytes| {
                        bytes.push(place as u8);
                        state.encode(bytes);
                    });
                })
            });
            tokio::task::yield_now().await;
        }
        term.shared.shards.at(place, |shard| {
            for (user, veil) in &shard.veils {
                chunks.put(VEIL, |bytes| {
                    bytes.push(place as u8);
                    put_veil(&veil.row(user), bytes);
                    bytes.extend(user.as_bytes());
                });
            }
        });
    }
    let chunks = chunks.finish();
    let size: usize = chunks.iter().map(Vec::len).sum();
    term.shared.metrics.copied(size);
    let took_ms = (term.shared.clock.now().tick - began).as_millis() as u64;
    tracing::info!(node = to.0, bytes = size, took_ms, "a copy is made for a node that joins");
    *term.copies.next.lock() = Some((to, chunks.into()));
    term.copies.ready.notify_one();
}

/// Hands copies over.
pub(super) async fn hand_over(term: &Term<'_>) -> End {
    loop {
        let next = term.copies.next.lock().as_ref().map(|(to, chunks)| (*to, Arc::clone(chunks)));
        let Some((to, chunks)) = next else {
            term.copies.ready.notified().await;
            continue;
        };
        for chunk in &*chunks {
            if let Err(error) = put(term, to, chunk).await {
                // Who waits for it asks again.
                tracing::warn!(node = to.0, %error, "a copy could not be handed over");
                break;
            }
        }
        *term.copies.next.lock() = None;
    }
}

/// Waits while too many chunks wait: whoever joins takes them, or is gone.
async fn put(term: &Term<'_>, to: Node, chunk: &[u8]) -> Result<(), BusError> {
    for _ in 0..PUT_TRIES_MAX {
        if term.cluster.bus.put_chunk(bus::Node(to.0), chunk).await? {
            return Ok(());
        }
        term.shared.clock.sleep(PUT_AGAIN).await;
    }
    Err(BusError::Unavailable("nobody takes the chunks".into()))
}

/// The number of a chunk. `None` is garbage.
pub(super) fn number(chunk: &[u8]) -> Option<u32> {
    chunk.get(1..HEAD)?.try_into().ok().map(u32::from_le_bytes)
}

/// Reads a chunk; true when it is the last one.
pub(super) fn read(chunk: &[u8], mut take: impl FnMut(Record)) -> Result<bool, DecodeError> {
    let (head, mut rest) = chunk.split_first_chunk::<HEAD>().ok_or(DecodeError::GARBAGE)?;
    let last = head[0];
    while let Some((&kind, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<4>().ok_or(DecodeError::GARBAGE)?;
        let (record, after) =
            after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(DecodeError::GARBAGE)?;
        rest = after;
        take(read_record(kind, record)?);
    }
    Ok(last == 1)
}

fn read_record(kind: u8, record: &[u8]) -> Result<Record, DecodeError> {
    const GARBAGE: DecodeError = DecodeError::GARBAGE;
    Ok(match kind {
        PLACE => Record::Place(u64::from_le_bytes(record.try_into().map_err(|_| GARBAGE)?)),
        ROLL => Record::Roll(Roll::decode(record)?),
        USER => {
            let (place, state) = in_shard(record).ok_or(GARBAGE)?;
            Record::User(place, UserState::decode(state)?)
        }
        PAST => {
            let (place, past) = in_shard(record).ok_or(GARBAGE)?;
            Record::Past(place, Past::decode(past)?)
        }
        ANCESTRY => Record::Ancestry(Ancestry::decode(record)?),
        VEIL => {
            let (place, veil) = in_shard(record).ok_or(GARBAGE)?;
            let (veil, user) = veil.split_first_chunk().ok_or(GARBAGE)?;
            let user = UserId::from_utf8(user).map_err(|_| GARBAGE)?;
            Record::Veil(place, veil_of(&user, veil).ok_or(GARBAGE)?)
        }
        // A copy is made by a program, not by chance.
        _ => return Err(DecodeError::NEWER),
    })
}

fn in_shard(record: &[u8]) -> Option<(usize, &[u8])> {
    let (&place, rest) = record.split_first()?;
    (usize::from(place) < SHARDS).then_some((usize::from(place), rest))
}

#[derive(Default)]
struct Chunks {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Chunks {
    fn put(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
        if self.open.len() >= CHUNK {
            self.done.push(std::mem::take(&mut self.open));
        }
        if self.open.is_empty() {
            self.open.push(0);
            self.open.extend((self.done.len() as u32).to_le_bytes());
        }
        self.open.push(kind);
        let length = self.open.len();
        self.open.extend([0; 4]);
        write(&mut self.open);
        let written = (self.open.len() - length - 4) as u32;
        self.open[length..length + 4].copy_from_slice(&written.to_le_bytes());
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        if let Some(last) = self.open.first_mut() {
            *last = 1;
        }
        self.done.push(self.open);
        self.done
    }
}
