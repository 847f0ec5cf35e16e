//! A node's state as bytes, for one that joins. **A snapshot is of one place in the log.**
//!
//! A chunk is a byte that says whether it is the last one, its number in four bytes, and records: a byte that says what it is, its length in
//! four bytes, and that many bytes.

use alloc::vec::Vec;

use presently_core::UserId;
use presently_core::cluster::{Ancestry, DecodeError, Past, UserState};

use crate::frame::{put_veil, veil_of};
use crate::{VeilRow, View};

/// Bytes of a chunk, about.
const CHUNK: usize = 512 * 1024;
/// The last byte and the number.
const HEAD: usize = 5;

const PLACE: u8 = 0;
const VIEW: u8 = 1;
const USER: u8 = 2;
const VEIL: u8 = 3;
const PAST: u8 = 4;
const ANCESTRY: u8 = 5;

const GARBAGE: DecodeError = DecodeError::GARBAGE;

/// What a record says.
#[derive(Debug)]
pub enum Record {
    /// The place in the log.
    Place(u64),
    /// The members there.
    View(View),
    /// A user, with the shard they are in.
    User(usize, UserState),
    /// What others see of a user, with the user's shard.
    Veil(usize, VeilRow),
    /// The tombstones of a shard.
    Past(usize, Past),
    /// How the state came to be.
    Ancestry(Ancestry),
}

/// Writes a snapshot.
#[derive(Debug, Default)]
pub struct Writer {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Writer {
    /// Writes a record. Shards are below 256.
    pub fn put(&mut self, record: &Record) {
        match record {
            Record::Place(seq) => self.write(PLACE, |bytes| bytes.extend(seq.to_le_bytes())),
            Record::View(view) => self.write(VIEW, |bytes| view.encode(bytes)),
            Record::Ancestry(ancestry) => self.write(ANCESTRY, |bytes| ancestry.encode(bytes)),
            Record::User(shard, state) => self.write(USER, |bytes| {
                bytes.push(*shard as u8);
                state.encode(bytes);
            }),
            Record::Past(shard, past) => self.write(PAST, |bytes| {
                bytes.push(*shard as u8);
                past.encode(bytes);
            }),
            Record::Veil(shard, veil) => self.write(VEIL, |bytes| {
                bytes.push(*shard as u8);
                put_veil(veil, bytes);
                bytes.extend(veil.user.as_bytes());
            }),
        }
    }

    fn write(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
        if self.open.len() >= CHUNK {
            self.done.push(core::mem::take(&mut self.open));
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

    /// The chunks.
    #[must_use]
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if let Some(last) = self.open.first_mut() {
            *last = 1;
        }
        self.done.push(self.open);
        self.done
    }
}

/// The number of a chunk. `None` is garbage.
#[must_use]
pub fn number(chunk: &[u8]) -> Option<u32> {
    chunk.get(1..HEAD)?.try_into().ok().map(u32::from_le_bytes)
}

/// Reads a chunk of a node with so many shards; true when it is the last one.
///
/// # Errors
/// It is none.
pub fn read(chunk: &[u8], shards: usize, mut take: impl FnMut(Record)) -> Result<bool, DecodeError> {
    let (head, mut rest) = chunk.split_first_chunk::<HEAD>().ok_or(GARBAGE)?;
    let last = head[0];
    while let Some((&kind, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<4>().ok_or(GARBAGE)?;
        let (record, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(GARBAGE)?;
        rest = after;
        take(read_record(kind, record, shards)?);
    }
    Ok(last == 1)
}

fn read_record(kind: u8, record: &[u8], shards: usize) -> Result<Record, DecodeError> {
    let in_shard = || {
        let (&shard, rest) = record.split_first().ok_or(GARBAGE)?;
        if usize::from(shard) < shards { Ok((usize::from(shard), rest)) } else { Err(GARBAGE) }
    };
    Ok(match kind {
        PLACE => Record::Place(u64::from_le_bytes(record.try_into().map_err(|_| GARBAGE)?)),
        VIEW => Record::View(View::decode(record)?),
        ANCESTRY => Record::Ancestry(Ancestry::decode(record)?),
        USER => {
            let (shard, state) = in_shard()?;
            Record::User(shard, UserState::decode(state)?)
        }
        PAST => {
            let (shard, past) = in_shard()?;
            Record::Past(shard, Past::decode(past)?)
        }
        VEIL => {
            let (shard, veil) = in_shard()?;
            let (veil, user) = veil.split_first_chunk().ok_or(GARBAGE)?;
            let user = UserId::from_utf8(user).map_err(|_| GARBAGE)?;
            Record::Veil(shard, veil_of(&user, veil).ok_or(GARBAGE)?)
        }
        // A snapshot is made by a program, not by chance.
        _ => return Err(DecodeError::NEWER),
    })
}
