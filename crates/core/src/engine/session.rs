//! A live session, as the engine holds it.

use super::slab::Slot;
use crate::{Activity, SessionId, SessionNumber, Tick, Timestamp};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: SessionId,
    pub(super) number: SessionNumber,
    pub(super) deadline: Tick,
    pub(super) opened_at: Timestamp,
    pub(super) last_evidence: Timestamp,
    pub(super) user: Slot,
    /// The user's next younger session, or `NIL`.
    pub(super) next: Slot,
    /// Where in the wheel it is armed; the wheel alone reads and writes these two while the session is this node's own.
    pub(super) armed: u16,
    /// Of a session that another node owns, which is never armed here: the index of that node. It costs no byte that way.
    pub(super) place: u32,
    pub(super) activity: Activity,
    pub(super) marks: Marks,
}

impl Session {
    /// The index of the node that owns it; `None` when that is this node.
    pub(super) fn owned_by(&self) -> Option<u32> {
        self.marks.is_remote().then_some(self.place)
    }
}

/// Four facts in the last spare byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks(u8);

impl Marks {
    const HEARD: u8 = 1;
    const DROPPED: u8 = 2;
    const REMOTE: u8 = 4;
    const ENDING: u8 = 8;

    /// Whether the session is on the list of those heard since the last drain.
    pub(super) const fn is_heard(self) -> bool {
        self.0 & Self::HEARD != 0
    }

    /// Evidence came: it is on the list, and whatever dropped is back. False when it was on the list already.
    pub(super) fn hear(&mut self) -> bool {
        !core::mem::replace(self, Self(Self::HEARD)).is_heard()
    }

    /// It is no longer on the list; true when it was.
    pub(super) fn take_heard(&mut self) -> bool {
        let was = self.is_heard();
        self.0 &= !Self::HEARD;
        was
    }

    /// It is on the list again, and nothing else has changed.
    pub(super) fn put_heard(&mut self) {
        self.0 |= Self::HEARD;
    }

    /// Its deadline is the end of a grace.
    pub(super) fn drop_connection(&mut self) {
        self.0 |= Self::DROPPED;
    }

    /// Whether evidence here is all that it takes to keep it: this node owns it, and has not proposed its end.
    pub(super) const fn is_renewable(self) -> bool {
        self.0 & (Self::REMOTE | Self::ENDING) == 0
    }

    /// Whether another node owns it.
    pub(super) const fn is_remote(self) -> bool {
        self.0 & Self::REMOTE != 0
    }

    /// Another node owns it: how it would have ended here is forgotten.
    pub(super) fn give_away(&mut self) {
        self.0 = self.0 & Self::HEARD | Self::REMOTE;
    }

    /// This node owns it, and nothing speaks against it.
    pub(super) fn own(&mut self) {
        self.0 &= Self::HEARD;
    }

    /// Its end is proposed.
    pub(super) fn end(&mut self) {
        self.0 |= Self::ENDING;
    }

    /// Whether its deadline is the end of a grace.
    pub(super) const fn is_dropped(self) -> bool {
        self.0 & Self::DROPPED != 0
    }
}

/// Whether `name` is `login` or a part of it: ending "9f" ends "9f/tab-7", and leaves "9f0" alone.
pub(super) fn is_part_of(name: &str, login: &str) -> bool {
    name.strip_prefix(login).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
