//! Who owns which session. **Invariant:** a session of another node is never armed here, and always found by its number.
//!
//! Losing a node renames it to its heir, which costs nothing; the heir then arms what it inherited in small steps, and the
//! others put away the name that is no longer needed.

use alloc::vec::Vec;

use core::hash::BuildHasher;
use core::time::Duration;
use hashbrown::HashTable;

use super::slab::Slot;
use super::{Engine, fits};
use crate::cluster::{Act, HeardSession, Node};
use crate::{Activity, Input, Now, Rejected, SessionNumber, Timestamp};

/// The first number for sessions that a node opens on its own. Places in a log stay below it.
pub(super) const LOCAL: u64 = 1 << 62;

/// Where the numbers begin of the sessions that this node opens on its own.
const fn first_local(node: Node) -> SessionNumber {
    LOCAL | (node.0 & 0x3FFF_FFFF) << 32
}

#[derive(Debug)]
pub(super) struct Nodes {
    /// By index: a node, and how many sessions refer to the index. A name without sessions is replaced by the next one.
    names: Vec<(Node, u32)>,
    by_number: HashTable<Slot>,
    /// Where the walk over inherited sessions goes on; `None` when there is none.
    walk: Option<Slot>,
}

impl Nodes {
    pub(super) const fn new() -> Self {
        Self { names: Vec::new(), by_number: HashTable::new(), walk: None }
    }

    fn index_of(&mut self, node: Node) -> u32 {
        let free = |&(_, sessions): &(Node, u32)| sessions == 0;
        let index = self
            .names
            .iter()
            .position(|&(name, sessions)| name == node && sessions > 0)
            .or_else(|| self.names.iter().position(free))
            .unwrap_or(self.names.len());
        match self.names.get_mut(index) {
            Some(entry) if free(entry) => entry.0 = node,
            Some(_) => {}
            None => self.names.push((node, 0)),
        }
        index as u32
    }
}

impl Engine {
    /// This engine is one of several, and this is its node from now on: its own sessions are that node's.
    ///
    /// Sessions that it opens with [`apply`](Self::apply) from now on (while it is cut off) are numbered from 2^62 on, by node.
    pub fn set_me(&mut self, node: Node) {
        self.me = Some(node);
        // What is left of the old number tells the engines of one node from each other.
        let shard = self.next_number % self.number_step.max(1);
        self.next_number = first_local(node) | shard;
    }

    /// Whether this node opened the session on its own, under its present name.
    pub(super) fn opened_alone(&self, number: SessionNumber) -> bool {
        self.me.is_some_and(|me| number >> 32 == first_local(me) >> 32)
    }

    /// Who this node is; `None` for the only one.
    #[must_use]
    pub const fn me(&self) -> Option<Node> {
        self.me
    }

    /// What is to be put into the log for this input. [`Input::Drop`] and [`Input::Restore`] have no part in it (a dropped
    /// session is this node's own, or nothing happens): they are a mere [`Act::Tick`], and are to be [applied](Self::apply).
    ///
    /// Evidence of a session of this node's own counts from now on: it must not be thrown out while the entry is on its way.
    ///
    /// # Errors
    /// Refuses what this node knows to be in vain; see [`Rejected`]. What it does not know yet, [`follow`](Self::follow) refuses.
    pub fn propose(&mut self, now: Now, input: &Input<'_>) -> Result<Act, Rejected> {
        let act = self.act_of(input)?;
        if let Input::Evidence { user, session, .. } = *input
            && let Some(owner) = self.find(user)
            && let Some(slot) = self.find_session(owner, session)
            && self.sessions[slot].marks.is_renewable()
        {
            self.hear(now, owner, slot);
        }
        Ok(act)
    }

    fn act_of(&self, input: &Input<'_>) -> Result<Act, Rejected> {
        let present = |user: &str| match self.look_up(user)? {
            Some(slot) if self.users[slot].barred() => Err(Rejected::Barred),
            Some(_) => Ok(()),
            None => self.room(),
        };
        let named = |name: &str| if fits(name) { Ok(()) } else { Err(Rejected::BadName) };
        Ok(match *input {
            Input::Evidence { user, session, activity } => {
                named(session)?;
                present(user)?;
                Act::Evidence { user: user.into(), session: session.into(), after: self.followed(), activity }
            }
            Input::EndSession { user, session, reason } => {
                named(user)?;
                named(session)?;
                Act::EndSession { user: user.into(), session: session.into(), reason }
            }
            Input::EndUser { user, reason } => {
                named(user)?;
                Act::EndUser { user: user.into(), reason }
            }
            Input::Set { user, status } => {
                if status == crate::Status::Offline {
                    named(user)?
                } else {
                    present(user)?
                }
                Act::Set { user: user.into(), status }
            }
            Input::Override { user, source, status, ends_after } => {
                present(user)?;
                Act::Override { user: user.into(), source, status, ends_after }
            }
            Input::ClearOverride { user, source } => {
                named(user)?;
                Act::ClearOverride { user: user.into(), source }
            }
            Input::Bar { user } => {
                if self.look_up(user)?.is_none() {
                    self.room()?;
                }
                Act::Bar { user: user.into() }
            }
            Input::Unbar { user } => {
                named(user)?;
                Act::Unbar { user: user.into() }
            }
            Input::Forget { user } => {
                named(user)?;
                Act::Forget { user: user.into() }
            }
            Input::Drop { .. } | Input::Restore(_) => Act::Tick,
        })
    }

    /// Takes in what another node heard of a session of its own. Never changes what is shown; of a session that this node
    /// owns, or that ended, nothing.
    pub fn heard(&mut self, now: Now, number: SessionNumber, at: Timestamp) {
        let hash = self.hasher.hash_one(number);
        let Some(&slot) = self.nodes.by_number.find(hash, |&slot| self.sessions[slot].number == number) else { return };
        let deadline = now.tick + self.policy.inactivity_timeout();
        let session = &mut self.sessions[slot];
        session.last_evidence = session.last_evidence.max(at);
        session.deadline = deadline;
        let user = session.user;
        self.saw(user, at);
    }

    /// Evidence of another node's session that says nothing new and is not urgent, as far as this node knows: the session is live, its
    /// activity stays, nothing waits for evidence, and more than half a timeout is left before it. Then it is counted here and
    /// returns true: an [`Act::Heard`] that follows soon is enough. False, having changed nothing: [`propose`](Self::propose) it.
    ///
    /// A socket that dropped is known to the owner alone: evidence of its session that comes to another node in the last moment of
    /// its grace may come too late this way.
    pub fn renew_elsewhere(&mut self, now: Now, user: &str, session: &str, activity: Option<Activity>) -> bool {
        let Some(owner) = self.find(user) else { return false };
        if self.users[owner].barred() || self.users[owner].held().is_some() {
            return false;
        }
        let Some(slot) = self.find_session(owner, session) else { return false };
        if !self.sessions[slot].marks.is_remote() || Some(self.owner_of(slot)) == self.me {
            return false;
        }
        let timeout = self.policy.inactivity_timeout();
        let session = &mut self.sessions[slot];
        if activity.is_some_and(|activity| activity != session.activity) || session.deadline - now.tick <= timeout / 2 {
            return false;
        }
        session.last_evidence = session.last_evidence.max(now.wall);
        session.deadline = now.tick + timeout;
        self.saw(owner, now.wall);
        true
    }

    /// Does what an [`Act::Heard`] says of one session. `now` has the entry's wall time; `node` proposed it.
    ///
    /// A word that is old already (its node stood still) moves nothing: the owner may have heard more since, and is told when its
    /// session was heard elsewhere.
    pub fn follow_heard(&mut self, now: Now, node: Node, heard: &HeardSession) {
        let HeardSession { user, session, at } = heard;
        let Some(owner) = self.find(user) else { return };
        let Some(slot) = self.find_session(owner, session) else { return };
        let timeout = self.policy.inactivity_timeout();
        if !heard.is_fresh(now.wall) {
            let ago = Duration::from_micros(now.wall.0.abs_diff(at.0));
            let session = &mut self.sessions[slot];
            session.deadline = session.deadline.max(now.tick + timeout.saturating_sub(ago));
        } else if self.me == Some(node) {
            self.own(now, slot);
            self.hear(Now { wall: *at, ..now }, owner, slot);
        } else {
            self.give(now, slot, node);
        }
        let session = &mut self.sessions[slot];
        session.last_evidence = session.last_evidence.max(*at);
        self.saw(owner, *at);
    }

    /// The node is gone, and its sessions are the heir's. When that is this node, [`adopt`](Self::adopt) is due.
    pub fn lose(&mut self, node: Node, heir: Node) {
        self.rename(|name| if name == node { heir } else { name });
    }

    /// Arms what this node inherited, each session with a full timeout, looking at no more than `limit` sessions; true while more
    /// is left. Until then an inherited session is as if another node's: evidence of it goes through the log.
    pub fn adopt(&mut self, now: Now, limit: usize) -> bool {
        let Some(from) = self.nodes.walk else { return false };
        let end = (from as usize).saturating_add(limit.max(1)).min(self.sessions.slots()) as Slot;
        for slot in from..end {
            let Some(index) = self.sessions.get(slot).and_then(super::session::Session::owned_by) else { continue };
            let (node, _) = self.nodes.names[index as usize];
            if Some(node) == self.me {
                self.own(now, slot);
            } else if self.nodes.index_of(node) != index {
                self.give(now, slot, node);
            }
        }
        self.nodes.walk = ((end as usize) < self.sessions.slots()).then_some(end);
        self.nodes.walk.is_some()
    }

    /// The node that owns a session.
    pub(super) fn owner_of(&self, slot: Slot) -> Node {
        match self.sessions[slot].owned_by() {
            Some(index) => self.nodes.names[index as usize].0,
            None => self.me.unwrap_or(Node(0)),
        }
    }

    /// Makes a session this node's own, with a full timeout before it, if it is not. One whose end was proposed, or whose
    /// socket dropped, is as if nothing had happened.
    pub(super) fn own(&mut self, now: Now, slot: Slot) {
        let remote = self.sessions[slot].marks.is_remote();
        if remote {
            self.unlist(slot);
            self.sessions[slot].place = 0;
        }
        let session = &mut self.sessions[slot];
        session.marks.own();
        if remote {
            session.deadline = now.tick + self.policy.inactivity_timeout();
            self.wheel.arm(now.tick, &mut self.sessions, slot);
        }
    }

    /// Gives a session to another node.
    pub(super) fn give(&mut self, now: Now, slot: Slot, node: Node) {
        self.wheel.disarm(&mut self.sessions, slot);
        self.unlist(slot);
        let index = self.nodes.index_of(node);
        self.nodes.names[index as usize].1 += 1;
        let session = &mut self.sessions[slot];
        session.marks.give_away();
        session.place = index;
        // Not armed: what is told to those who ask how much is left, until the owner says more.
        session.deadline = now.tick + self.policy.inactivity_timeout();
        let hash = self.hasher.hash_one(session.number);
        let (sessions, hasher) = (&self.sessions, &self.hasher);
        self.nodes.by_number.insert_unique(hash, slot, |&slot| hasher.hash_one(sessions[slot].number));
    }

    /// Takes a session off the list of other nodes', if it is on it.
    pub(super) fn unlist(&mut self, slot: Slot) {
        let Some(index) = self.sessions[slot].owned_by() else { return };
        self.nodes.names[index as usize].1 -= 1;
        let hash = self.hasher.hash_one(self.sessions[slot].number);
        if let Ok(entry) = self.nodes.by_number.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
    }

    fn rename(&mut self, rename: impl Fn(Node) -> Node) {
        let mut changed = false;
        for (name, sessions) in &mut self.nodes.names {
            let new = rename(*name);
            changed |= new != *name && *sessions > 0;
            *name = new;
        }
        if changed {
            self.nodes.walk = Some(0);
        }
    }
}

#[cfg(test)]
impl Engine {
    /// Panics unless the sessions of other nodes are found by number, counted under their owners, and never armed, and no node has
    /// two indexes but while names that were lost are put away.
    pub(super) fn check_others(&self, others: &[Slot]) {
        let mut counted = alloc::vec![0; self.nodes.names.len()];
        for &slot in others {
            let session = &self.sessions[slot];
            assert_eq!(session.armed, super::wheel::NOWHERE, "the session of another node is armed");
            counted[session.place as usize] += 1;
            let hash = self.hasher.hash_one(session.number);
            assert_eq!(self.nodes.by_number.find(hash, |&other| other == slot), Some(&slot));
            let adopted = self.nodes.names[session.place as usize].0;
            assert!(Some(adopted) != self.me || self.nodes.walk.is_some(), "what is this node's own is never adopted");
        }
        let names = self.nodes.names.iter();
        assert_eq!(names.clone().map(|&(_, sessions)| sessions).collect::<Vec<_>>(), counted);
        let mut live: Vec<Node> = names.filter(|&&(_, sessions)| sessions > 0).map(|&(name, _)| name).collect();
        live.sort_unstable();
        assert!(self.nodes.walk.is_some() || live.is_sorted_by(|a, b| a < b), "a node has two indexes: {live:?}");
        assert_eq!(self.nodes.by_number.len(), others.len());
    }
}
