//! Watching: a snapshot, and then every transition after it, in order. **What a watcher was told is the announced truth at its
//! position, as its viewer may see it**: no transition is lost, told twice or told late between a snapshot and what follows.
//!
//! - `stream`: the one sequence of what is told, and the last of it for those who come back
//! - `index`: who watches whom
//! - `mailbox`: what a watcher was told and did not read yet
//! - `subscribe`: every transition, for who watches nobody in particular
//! - `watcher`: the handle

use std::fmt;
use std::str::FromStr;

use crate::store::StoreError;
use crate::{Error, Presence};

mod index;
mod mailbox;
mod stream;
mod subscribe;
mod watcher;

pub(crate) use stream::{EpochChange, Stream};
pub use subscribe::{Told, Transitions};
pub use watcher::Watcher;

/// Which life of the process, or of the log of a cluster, a number belongs to: random at each start.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub(crate) u64);

/// A place in the stream of what is told.
///
/// As text it is the epoch, a hyphen and the number: what an `id` of an event stream wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which life of the process or of the log.
    pub epoch: Epoch,
    /// Everything up to this number was told. Numbers grow and are not dense: they say nothing of how much was told to others.
    pub seq: u64,
}

/// How things stand at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where the stream is.
    pub position: Position,
    /// In the order asked. After them whatever this watcher had been told of others it watches and did not read: it is part of this.
    pub presences: Vec<Presence>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// The number of the newest change in it: the reader is there now.
    pub seq: u64,
    /// What the number belongs to. Another one than before comes only with a [renewed](Self::renewed) diff.
    pub epoch: Epoch,
    /// In the order in which they were told. A user is in it twice when they changed twice and the reader was quick enough.
    pub presences: Vec<Presence>,
    /// The reader must begin anew: it was so slow at watching everybody, or numbers mean something else from now on (a node came
    /// to a cluster or was cut off from it). These are all who are watched by name, as in a snapshot; or, of everybody,
    /// all who are online or away, and whoever is not among them is offline.
    pub renewed: bool,
    /// The number of each presence; empty when [`renewed`](Self::renewed).
    seqs: Vec<u64>,
}

/// What a watcher who comes back gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Exactly what was missed, a transition each.
    Diffs(Vec<Diff>),
    /// The position was too old, or of another life.
    Snapshot(Snapshot),
}

/// Why nothing more is watched than before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// More than [`Watcher::WATCHED_MAX`] users.
    #[error("too many users for one watcher; nothing has changed")]
    TooMany,
    /// Only admins may watch everybody.
    #[error("only admins may watch everybody")]
    Forbidden,
    /// Only the store knows, and it does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Shutting down.
    #[error("shutting down")]
    Closed,
}

impl Diff {
    /// Each presence with its own number: a reader who got as far as that one may come back from there and misses nothing.
    pub fn events(&self) -> impl Iterator<Item = (u64, &Presence)> {
        self.presences
            .iter()
            .enumerate()
            .map(|(place, presence)| (*self.seqs.get(place).unwrap_or(&self.seq), presence))
    }
}

impl From<Error> for WatchError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => Self::Store(error),
            _ => Self::Closed,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no [`Epoch`] or [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no position of a stream")]
pub struct NoPosition;

impl FromStr for Epoch {
    type Err = NoPosition;
    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let plain = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(text, 16).ok().filter(|_| plain).map(Self).ok_or(NoPosition)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl FromStr for Position {
    type Err = NoPosition;
    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (epoch, seq) = text.split_once('-').ok_or(NoPosition)?;
        let plain = (1..=20).contains(&seq.len()) && seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq = seq.parse().ok().filter(|_| plain).ok_or(NoPosition)?;
        Ok(Self { epoch: epoch.parse()?, seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_as_text_and_nothing_else_is_one() {
        let position = Position { epoch: Epoch(0x00ab_cdef), seq: u64::MAX };
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in
            ["", "-", "1-2", "0000000000abcdef", "0000000000abcdef-", "0000000000abcdef-+1", "0000000000ABCDEF-1"]
        {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
        assert_eq!("0000000000abcdef-99999999999999999999".parse::<Position>(), Err(NoPosition));
    }
}
