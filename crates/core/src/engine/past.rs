//! Who is gone, for a while. **It is the same on every node that followed the same entries**: what is decided of who comes back depends on it.

use alloc::collections::VecDeque;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;

use super::Engine;
use super::slab::Slot;
use crate::cluster::{Ended, Left, Past};
use crate::{Effects, Timestamp, UserId};

/// How many ended sessions are remembered: a node that was cut off for longer may bring one back, for as long as a session may be silent.
const ENDED_MAX: usize = 4096;
/// How many users who left are remembered: long enough for the clocks of all nodes to have passed the moment.
const LEFT_MAX: usize = 1024;
/// In the place of a place, while this node decides alone.
const ALONE: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct Gone {
    /// The latest at the end.
    ended: VecDeque<Ended>,
    left: VecDeque<Left>,
    /// The place of the entry that is followed.
    place: Option<u64>,
    /// The last place that was followed.
    followed: u64,
}

impl Engine {
    /// What is remembered of those who are gone, for a copy.
    #[must_use]
    pub fn past(&self) -> Past {
        Past { ended: self.gone.ended.iter().copied().collect(), left: self.gone.left.iter().copied().collect() }
    }

    /// Takes up the [past](Self::past) of a copy, as of the place `founded`, or of this node itself when it founds a cluster there: what
    /// was decided alone counts as decided there, and the log is followed up to it.
    pub fn load_past(&mut self, past: Past, founded: u64) {
        self.gone.followed = self.gone.followed.max(founded);
        for Ended { seq, session } in past.ended {
            self.push_ended(Ended { seq: if seq == ALONE { founded } else { seq }, session });
        }
        past.left.into_iter().for_each(|left| self.push_left(left));
    }

    /// Where what is decided from now on stands in the log.
    pub(super) fn stand_at(&mut self, place: Option<u64>) {
        self.gone.place = place;
        self.gone.followed = place.unwrap_or(self.gone.followed);
    }

    /// The last place that was followed.
    pub(super) const fn followed(&self) -> u64 {
        self.gone.followed
    }

    /// The session ended on somebody's word.
    pub(super) fn remember_ended(&mut self, user: Slot, session: &str) {
        let (seq, session) = (self.gone.place.unwrap_or(ALONE), name_of(&self.users[user].name, session));
        self.push_ended(Ended { seq, session });
    }

    /// [`close`](Self::close) of a session that was silent for too long: nobody said that it is over.
    pub(super) fn close_silent(&mut self, slot: Slot, out: &mut Effects) -> bool {
        let keep = self.close(slot, out);
        self.gone.ended.pop_back();
        keep
    }

    /// Whether a session of this name ended on somebody's word after this place, as far as that is remembered: what was proposed
    /// there opens none.
    #[must_use]
    pub fn ended_after(&self, place: u64, user: &str, session: &str) -> bool {
        let session = name_of(user, session);
        self.gone.ended.iter().rev().take_while(|ended| ended.seq > place).any(|ended| ended.session == session)
    }

    /// The user is about to leave memory.
    pub(super) fn remember_left(&mut self, user: Slot) {
        let user = &self.users[user];
        self.push_left(Left { user: name_of(&user.name, ""), at: user.since });
    }

    /// When the status began with which the user left memory, if that is remembered.
    pub(super) fn left_at(&self, user: &UserId) -> Option<Timestamp> {
        let user = name_of(user, "");
        self.gone.left.iter().rev().find(|left| left.user == user).map(|left| left.at)
    }

    fn push_ended(&mut self, ended: Ended) {
        if self.gone.ended.len() >= ENDED_MAX {
            self.gone.ended.pop_front();
        }
        self.gone.ended.push_back(ended);
    }

    fn push_left(&mut self, left: Left) {
        if self.gone.left.len() >= LEFT_MAX {
            self.gone.left.pop_front();
        }
        self.gone.left.push_back(left);
    }
}

/// A name in few bytes, the same on every node. Two that look the same cost one of them a claim, or a moment.
pub(crate) fn name_of(user: &str, session: &str) -> u64 {
    FixedState::with_seed(0).hash_one((user, session))
}
