//! What nodes, the log and each other tell.

use std::rc::Rc;
use std::vec::Vec;

use super::super::log::{Frame, Refused};
use crate::cluster::{Act, Ancestry, Entry, Members, Node, Past, Verdict};

/// From a node to the log, or to another node.
#[derive(Clone, Debug)]
pub(in crate::tests::several) enum Message {
    Join { node: Node, new_epoch: u64, joined: Rc<[u8]> },
    Append { node: Node, epoch: u64, ask: u64, frames: Rc<[Frame]> },
    Renew { node: Node, epoch: u64, asked: u64 },
    Leave { node: Node, epoch: u64 },
    Copy { to: Node, copy: Rc<Copied> },
}

/// What comes back.
#[derive(Clone, Debug)]
pub(in crate::tests::several) enum Reply {
    Joined { node: Node, epoch: u64, seq: u64, peers: Vec<Node> },
    Appended { ask: u64, done: Result<(), Refused> },
    Renewed { node: Node, asked: u64, done: Result<(), Refused> },
    Copy(Rc<Copied>),
}

/// A copy of everything, as of one place in the log.
#[derive(Debug)]
pub(in crate::tests::several) struct Copied {
    pub(super) to: Node,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) lineage: usize,
    pub(super) roll: Roll,
    pub(super) ancestry: Ancestry,
    pub(super) past: Past,
    pub(super) states: Vec<Vec<u8>>,
}

/// Who takes part, and who of them has the state of all.
#[derive(Clone, Debug, Default)]
pub(in crate::tests::several) struct Roll {
    pub(super) members: Members,
    pub(super) elders: Vec<Node>,
    pub(super) complete: Vec<Node>,
}

impl Roll {
    pub(super) fn admit<'a>(&mut self, entry: &'a Entry) -> Verdict<'a> {
        let verdict = self.members.admit(entry);
        match verdict {
            Verdict::Joined(node) => self.elders.push(node),
            Verdict::Lost { node, .. } => {
                self.elders.retain(|&elder| elder != node);
                self.complete.retain(|&elder| elder != node);
            }
            Verdict::Nothing if matches!(entry.act, Act::Tick) => {
                if self.members.is_live(entry.node) && !self.complete.contains(&entry.node) {
                    self.complete.push(entry.node);
                }
            }
            Verdict::User(_) | Verdict::Heard(_) | Verdict::Nothing => {}
        }
        verdict
    }

    pub(super) fn eldest(&self, but: Node) -> Option<Node> {
        self.elders.iter().copied().find(|&elder| elder != but && self.complete.contains(&elder))
    }
}
