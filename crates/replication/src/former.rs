//! What a node knows of its last membership. **What only it can know it reasserts, and nothing that the others know better.**

use presently_core::cluster::{Act, Ancestry, Node};
use presently_core::{Engine, Tick};

use crate::Followed;

/// The last membership, or the present one.
#[derive(Debug, Default)]
pub struct Former {
    /// The node's name in it.
    pub node: Option<Node>,
    /// How far the log was followed.
    pub followed: Followed,
    /// How the state came to be.
    pub ancestry: Ancestry,
    /// When it was surely a member for the last time; before the first time, when it began.
    pub since: Tick,
    /// What was followed last may not be in the log any more.
    pub trimmed: bool,
}

impl Former {
    /// Of a node that begins.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// The membership is over.
    pub fn ended(&mut self, node: Node, followed: Followed, since: Tick, trimmed: bool) {
        (self.node, self.followed, self.since, self.trimmed) = (Some(node), followed, since, trimmed);
    }

    /// This node goes on with its own state after the place `seq` of the log of this epoch; returns the members from then on.
    pub fn found(&mut self, me: Node, others: impl IntoIterator<Item = Node>, epoch: u64, seq: u64) -> Followed {
        let mut view = core::mem::take(&mut self.followed.view);
        self.ancestry.go_on(self.followed.seq, epoch, seq);
        view.found(me, others);
        Followed { seq, view }
    }

    /// How far this node had followed the log of another epoch than this one.
    #[must_use]
    pub fn other_log(&self, epoch: u64) -> Option<(u64, u64)> {
        self.node?;
        Some((self.ancestry.epoch().filter(|&other| other != epoch)?, self.followed.seq))
    }

    /// What `engine`, which was right until then, has to reassert in the `copy` that is to take its place, whose state came to be as
    /// `theirs` says.
    pub fn reassert(&self, engine: &Engine, copy: &Engine, theirs: &Ancestry, reassert: &mut dyn FnMut(Act)) {
        let know = |number| {
            let epoch = self.ancestry.epoch_of(number).filter(|_| !self.trimmed);
            epoch.is_some_and(|epoch| theirs.knows(epoch, number))
        };
        engine.claims(self.since, self.followed.seq, copy, &know, reassert);
    }
}
