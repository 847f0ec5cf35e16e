//! The log that all nodes share, its leases, and what it takes to lose it. Everything here happens at once: the way there is the world's.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec::Vec;

use crate::Timestamp;
use crate::cluster::{Act, Entry, Node};

/// What stands in the log.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// An entry, as bytes.
    Entry(Rc<[u8]>),
    /// A node found nobody left who could give it a copy, and goes on with what it has.
    Founded(Node),
}

#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) seq: u64,
    /// When it was appended.
    pub(super) at: u64,
    pub(super) frame: Frame,
}

/// Why the log did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Epoch,
    Lost,
    Trimmed,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) epoch: u64,
    pub(super) entries: Vec<Logged>,
    last: u64,
    leases: BTreeMap<Node, u64>,
}

impl Log {
    pub(super) const LEASE: u64 = 8_000_000;

    /// The epoch, the place of the first entry, and the others.
    pub(super) fn join(&mut self, time: u64, node: Node, new_epoch: u64, joined: Rc<[u8]>) -> (u64, u64, Vec<Node>) {
        let peers: Vec<Node> = self.leases.keys().copied().collect();
        if self.epoch == 0 || !self.leases.values().any(|&end| end > time) {
            self.epoch = new_epoch;
            self.entries.clear();
            self.leases.clear();
        }
        let peers = if self.leases.is_empty() { Vec::new() } else { peers };
        self.leases.insert(node, time + Self::LEASE);
        let seq = self.put(time, Frame::Entry(joined));
        (self.epoch, seq, peers)
    }

    pub(super) fn append(&mut self, time: u64, node: Node, epoch: u64, frames: &[Frame]) -> Result<(), Refused> {
        self.member(node, epoch)?;
        for frame in frames {
            self.put(time, frame.clone());
        }
        Ok(())
    }

    pub(super) fn renew(&mut self, time: u64, node: Node, epoch: u64) -> Result<(), Refused> {
        self.member(node, epoch)?;
        self.leases.insert(node, time + Self::LEASE);
        let gone: Vec<Node> = self.leases.iter().filter(|&(_, &end)| end <= time).map(|(&node, _)| node).collect();
        gone.into_iter().for_each(|node| self.remove(time, node));
        Ok(())
    }

    pub(super) fn leave(&mut self, time: u64, node: Node, epoch: u64) {
        if self.member(node, epoch).is_ok() {
            self.remove(time, node);
        }
    }

    /// What was appended after this place, up to this moment.
    pub(super) fn read(&self, epoch: u64, after: u64, until: u64) -> Result<Vec<Logged>, Refused> {
        if epoch != self.epoch {
            return Err(Refused::Epoch);
        }
        let from = self.entries.partition_point(|entry| entry.seq <= after);
        if from == 0 || self.entries[from - 1].seq != after {
            return Err(Refused::Trimmed);
        }
        Ok(self.entries[from..].iter().take_while(|entry| entry.at <= until).cloned().collect())
    }

    /// A member as the log has it: its word counts.
    pub(super) fn is_live(&self, node: Node, epoch: u64) -> bool {
        self.member(node, epoch).is_ok()
    }

    /// Everything is gone.
    pub(super) fn lose(&mut self) {
        self.epoch = 0;
        self.entries.clear();
        self.leases.clear();
    }

    /// The newest entries are gone, and what was written with them: the leases are as they were before.
    pub(super) fn lose_tail(&mut self, time: u64, entries: usize) {
        let left = self.entries.len().saturating_sub(entries).max(1).min(self.entries.len());
        for logged in self.entries.drain(left..).rev() {
            let Frame::Entry(bytes) = &logged.frame else { continue };
            let entry = Entry::decode(logged.seq, bytes).expect("an entry");
            match entry.act {
                Act::Lost { node, .. } if node == entry.node => drop(self.leases.insert(node, time)),
                Act::Joined if entry.count == 1 => drop(self.leases.remove(&entry.node)),
                _ => {}
            }
        }
    }

    fn member(&self, node: Node, epoch: u64) -> Result<(), Refused> {
        if epoch != self.epoch {
            return Err(Refused::Epoch);
        }
        if self.leases.contains_key(&node) { Ok(()) } else { Err(Refused::Lost) }
    }

    fn remove(&mut self, time: u64, node: Node) {
        self.leases.remove(&node);
        let mut bytes = Vec::new();
        // As the driver reads it: the last word of that node, which leaves nothing to anybody in particular.
        let act = Act::Lost { node, heir: node };
        Entry { seq: 0, node, count: u64::MAX, wall: Timestamp::default(), act }.encode(&mut bytes);
        self.put(time, Frame::Entry(bytes.into()));
    }

    fn put(&mut self, time: u64, frame: Frame) -> u64 {
        self.last = (self.last + 1).max(time);
        self.entries.push(Logged { seq: self.last, at: time, frame });
        self.last
    }
}
