//! Entries as bytes. **Reading refuses what writing did not make**, on every node alike: what one passes over, all pass over.
//!
//! A frame is a byte that says what it is, and an entry of the core. A veil is in front of an entry that stands for its place
//! among those of its user.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use presently_core::cluster::{Act, DecodeError, Entry, Node};
use presently_core::{Timestamp, UserId};

use crate::{Command, VeilRow};

const ACT: u8 = 0;
const VEIL: u8 = 1;
const VEIL_BYTES: usize = 25;
/// Kinds that this program does not know, and a later one may.
const KINDS_TO_COME: RangeInclusive<u8> = 5..=31;
/// What the bus puts in front of the name of a node that is gone.
pub const LOST: &[u8] = &[2];

/// In front of the name of a node that founded the cluster anew, in a log in which others may have been complete.
const FOUNDED: u8 = 3;
/// In front of how far a node had followed.
const KNOWS: u8 = 4;

/// The word that this node goes on with its own state, because nobody is left who could give it a copy, or none of the others knows
/// more: whoever has another state joins it.
#[must_use]
pub fn founded(node: Node) -> Vec<u8> {
    [&[FOUNDED][..], &node.0.to_be_bytes()].concat()
}

/// Who does.
fn founder(bytes: &[u8]) -> Option<Node> {
    let (&kind, node) = bytes.split_first()?;
    (kind == FOUNDED).then_some(Node(u64::from_be_bytes(node.try_into().ok()?)))
}

/// How far a node had followed a log that is gone: of those who could found the cluster anew, the one who knows most shall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knows {
    /// Who.
    pub node: Node,
    /// Of the log.
    pub epoch: u64,
    /// Its place.
    pub seq: u64,
}

impl Knows {
    /// Writes it down.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let numbers = [self.node.0, self.epoch, self.seq].into_iter().flat_map(u64::to_be_bytes);
        [KNOWS].into_iter().chain(numbers).collect()
    }

    /// `None` when it says something else.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (numbers, []) = rest.as_chunks::<8>() else { return None };
        let &[node, epoch, seq] = numbers else { return None };
        let [node, epoch, seq] = [node, epoch, seq].map(u64::from_be_bytes);
        (kind == KNOWS).then_some(Self { node: Node(node), epoch, seq })
    }
}

/// What stands at a place of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// An entry, to be followed.
    Entry(Frame),
    /// A node goes on with its own state.
    Founded(Node),
    /// How far a node had followed a log that is gone: nothing to be followed.
    Knows(Knows),
    /// It cannot be read.
    Unread(DecodeError),
}

impl Word {
    /// Reads what stands at this place.
    #[must_use]
    pub fn read(seq: u64, bytes: &[u8]) -> Self {
        if let Some(founder) = founder(bytes) {
            return Self::Founded(founder);
        }
        if let Some(knows) = Knows::decode(bytes) {
            return Self::Knows(knows);
        }
        decode(seq, bytes).map_or_else(Self::Unread, Self::Entry)
    }
}

/// What a frame says. The entry of a veil is one that changes nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The entry.
    pub entry: Entry,
    /// What the veil shows from then on.
    pub veil: Option<VeilRow>,
}

pub(crate) fn encode(node: Node, count: u64, wall: Timestamp, command: &Command) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96);
    let act = match command {
        Command::Act(act) => {
            bytes.push(ACT);
            act.clone()
        }
        Command::Veil { shown } => {
            bytes.push(VEIL);
            put_veil(shown, &mut bytes);
            carrier(shown.user.clone())
        }
    };
    Entry { seq: 0, node, count, wall, act }.encode(&mut bytes);
    bytes
}

/// The bytes of an act that is no proposal of a user.
#[must_use]
pub fn word_of(node: Node, count: u64, wall: Timestamp, act: Act) -> Vec<u8> {
    encode(node, count, wall, &Command::Act(act))
}

/// Garbage is passed over by all nodes alike. What is of a newer program must not be passed over.
pub(crate) fn decode(seq: u64, bytes: &[u8]) -> Result<Frame, DecodeError> {
    const GARBAGE: DecodeError = DecodeError::GARBAGE;
    let (&kind, rest) = bytes.split_first().ok_or(GARBAGE)?;
    match kind {
        ACT => Ok(Frame { entry: Entry::decode(seq, rest)?, veil: None }),
        VEIL => {
            let (veil, rest) = rest.split_first_chunk::<VEIL_BYTES>().ok_or(GARBAGE)?;
            let entry = Entry::decode(seq, rest)?;
            let Act::Unbar { user } = &entry.act else { return Err(GARBAGE) };
            let veil = Some(veil_of(user, veil).ok_or(GARBAGE)?);
            Ok(Frame { veil, entry })
        }
        _ if bytes.starts_with(LOST) => {
            let node = Node(u64::from_be_bytes(rest.try_into().map_err(|_| GARBAGE)?));
            // The last word of that node, which leaves nothing to anybody in particular.
            let (count, wall, act) = (u64::MAX, Timestamp::default(), Act::Lost { node, heir: node });
            Ok(Frame { veil: None, entry: Entry { seq, node, count, wall, act } })
        }
        _ if KINDS_TO_COME.contains(&kind) => Err(DecodeError::NEWER),
        _ => Err(GARBAGE),
    }
}

/// Admitted like any act on the user, and never followed.
const fn carrier(user: UserId) -> Act {
    Act::Unbar { user }
}

pub(crate) fn put_veil(veil: &VeilRow, bytes: &mut Vec<u8>) {
    let VeilRow { user: _, invisible, at, last_seen, since, since_holds } = *veil;
    let flags = [invisible, last_seen.is_some(), since.is_some(), since_holds];
    bytes.push(flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u8::from(flag)));
    for moment in [Some(at), last_seen, since] {
        bytes.extend(moment.unwrap_or_default().0.to_le_bytes());
    }
}

pub(crate) fn veil_of(user: &UserId, bytes: &[u8; VEIL_BYTES]) -> Option<VeilRow> {
    let (&flags, rest) = bytes.split_first()?;
    let mut moments =
        rest.chunks_exact(8).map(|chunk| chunk.try_into().map(|bytes| Timestamp(i64::from_le_bytes(bytes))));
    let mut moment = || moments.next()?.ok();
    let (at, last_seen, since) = (moment()?, moment()?, moment()?);
    let flag = |place: u8| flags & 1 << place != 0;
    (flags < 16).then(|| VeilRow {
        user: user.clone(),
        invisible: flag(0),
        at,
        last_seen: flag(1).then_some(last_seen),
        since: flag(2).then_some(since),
        since_holds: flag(3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_veil_is_read_as_it_was_written_and_garbage_is_refused() {
        let shown = VeilRow {
            user: "alice".into(),
            invisible: true,
            at: Timestamp(-5),
            last_seen: None,
            since: Some(Timestamp(7)),
            since_holds: true,
        };
        let bytes = encode(Node(3), 9, Timestamp(11), &Command::Veil { shown: shown.clone() });
        let frame = decode(4, &bytes).unwrap();
        assert_eq!(frame.veil, Some(shown));
        assert_eq!((frame.entry.seq, frame.entry.node, frame.entry.count), (4, Node(3), 9));
        for length in 0..bytes.len() {
            assert_eq!(decode(4, &bytes[..length]), Err(DecodeError::GARBAGE));
        }
        assert_eq!(decode(4, &[200]), Err(DecodeError::GARBAGE));
    }

    #[test]
    fn what_a_newer_program_wrote_is_not_taken_for_garbage() {
        let mut bytes = encode(Node(3), 9, Timestamp(11), &Command::Act(Act::Tick));
        assert_eq!(decode(4, &bytes).map(|frame| frame.entry.act), Ok(Act::Tick));
        bytes[1] += 1;
        assert_eq!(decode(4, &bytes), Err(DecodeError::NEWER));
        assert_eq!(decode(4, &[5]), Err(DecodeError::NEWER));
    }
}
