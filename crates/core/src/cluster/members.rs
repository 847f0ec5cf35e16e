//! Who takes part. **Invariant:** the members are the same for everybody at the same position of the log, because nothing but entries changes them.

use alloc::vec::Vec;

use super::{Act, Entry, HeardSession, Node};

/// How many lost nodes are remembered: a late repetition of a node's first entry must not bring it back.
const LOST_MAX: usize = 256;

/// The live nodes of a cluster, as of an entry of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Ascending, each with the count of its last entry.
    pub(super) live: Vec<(Node, u64)>,
    /// Those lost last, the latest at the end, each with the count of its last entry.
    pub(super) lost: Vec<(Node, u64)>,
}

/// What an entry asks of who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The engine that holds this user is to [follow](crate::Engine::follow) it.
    User(&'a str),
    /// The engines that hold their users are to [follow](crate::Engine::follow_heard) each of these.
    Heard(&'a [HeardSession]),
    /// This node is a member from now on.
    Joined(Node),
    /// Every engine is to [lose](crate::Engine::lose) this node. If it is this node itself: leave all as it is, and join again.
    Lost {
        /// Who is gone.
        node: Node,
        /// Who owns its sessions now: the one whom the entry names, or the next one when that one is lost as well. `None` when
        /// nobody is left, and the next to come founds the cluster anew.
        heir: Option<Node>,
    },
    /// Nothing: a repetition, the word of a node that is no member, or a mere tick.
    Nothing,
}

impl Members {
    /// Nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { live: Vec::new(), lost: Vec::new() }
    }

    /// Takes note of the next entry and says what it asks for.
    pub fn admit<'a>(&mut self, entry: &'a Entry) -> Verdict<'a> {
        let found = self.find(entry.node);
        if matches!(entry.act, Act::Joined) {
            let Err(place) = found else { return self.count(entry) };
            if self.lost.iter().any(|&(lost, _)| lost == entry.node) {
                return Verdict::Nothing;
            }
            self.live.insert(place, (entry.node, entry.count));
            return Verdict::Joined(entry.node);
        }
        // One who is no member owns nothing: following its word would give sessions to nobody, and nobody would end them.
        let Ok(place) = found else { return Verdict::Nothing };
        if entry.count <= self.live[place].1 {
            return Verdict::Nothing;
        }
        match &entry.act {
            // Its last word says nothing of how far its others came: it is the log's.
            &Act::Lost { node, heir } if node == entry.node => return self.lose(node, heir),
            _ => self.live[place].1 = entry.count,
        }
        match &entry.act {
            &Act::Lost { node, heir } => self.lose(node, heir),
            Act::Heard { sessions } => Verdict::Heard(sessions),
            act => act.user().map_or(Verdict::Nothing, Verdict::User),
        }
    }

    /// Whether the node is a member.
    #[must_use]
    pub fn is_live(&self, node: Node) -> bool {
        self.find(node).is_ok()
    }

    /// The members, ascending.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.live.iter().map(|&(node, _)| node)
    }

    /// Who should inherit from this node: the next live one in the round, so that the losses of several nodes fall on several.
    #[must_use]
    pub fn heir_of(&self, node: Node) -> Option<Node> {
        let others = || self.nodes().filter(|&other| other != node);
        others().find(|&other| other > node).or_else(|| others().next())
    }

    /// The count of the node's last entry, also of one that was lost, as long as that is remembered: whatever it gave to the log with a
    /// higher count was not followed, and once it is lost never will be.
    #[must_use]
    pub fn count_of(&self, node: Node) -> Option<u64> {
        let lost = || self.lost.iter().find(|&&(lost, _)| lost == node).map(|&(_, count)| count);
        self.find(node).ok().map(|place| self.live[place].1).or_else(lost)
    }

    /// These are the members from now on, because the others are gone or the log is another one. Of all others it is remembered how far
    /// they came.
    pub fn found(&mut self, nodes: impl IntoIterator<Item = Node>) {
        let before = core::mem::take(self);
        *self = nodes.into_iter().collect();
        for (node, count) in before.lost.into_iter().chain(before.live) {
            match self.find(node) {
                Ok(place) => self.live[place].1 = count,
                Err(_) => self.remember(node, count),
            }
        }
    }

    fn remember(&mut self, node: Node, count: u64) {
        if self.lost.len() >= LOST_MAX {
            self.lost.remove(0);
        }
        self.lost.push((node, count));
    }

    fn lose<'a>(&mut self, node: Node, heir: Node) -> Verdict<'a> {
        let Ok(place) = self.find(node) else { return Verdict::Nothing };
        let (_, count) = self.live.remove(place);
        self.remember(node, count);
        let heir = if self.is_live(heir) { Some(heir) } else { self.heir_of(node) };
        Verdict::Lost { node, heir }
    }

    /// A member's repeated first entry is nothing new.
    fn count<'a>(&mut self, entry: &Entry) -> Verdict<'a> {
        if let Ok(place) = self.find(entry.node) {
            self.live[place].1 = self.live[place].1.max(entry.count);
        }
        Verdict::Nothing
    }

    fn find(&self, node: Node) -> Result<usize, usize> {
        self.live.binary_search_by_key(&node, |&(node, _)| node)
    }
}

impl FromIterator<Node> for Members {
    /// Members of whom no entry was seen yet.
    fn from_iter<T: IntoIterator<Item = Node>>(nodes: T) -> Self {
        let mut live: Vec<(Node, u64)> = nodes.into_iter().map(|node| (node, 0)).collect();
        live.sort_unstable();
        live.dedup();
        Self { live, lost: Vec::new() }
    }
}
