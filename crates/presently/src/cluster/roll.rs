//! Who takes part, and who has the state of all. **The eldest of the complete is the one who does what only one is to do, and gives
//! copies**: one who has joined is complete when it says so, with a tick.

use presently_core::cluster::{Act, DecodeError, Entry, Members, Node, Verdict};

/// The members at one place in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roll {
    members: Members,
    /// The members in the order in which they joined.
    elders: Vec<Node>,
    /// Those of them who have the state.
    complete: Vec<Node>,
}

impl Roll {
    /// From here on these are the members, and this one alone is complete. How far those came who were there before is remembered.
    pub(super) fn found(&mut self, eldest: Node, others: impl IntoIterator<Item = Node>) {
        self.elders = [eldest].into_iter().chain(others.into_iter().filter(|&other| other != eldest)).collect();
        self.members.found(self.elders.iter().copied());
        self.complete = vec![eldest];
    }

    /// Whether what was given to the log under this name and count was followed.
    pub(super) fn has_followed(&self, (node, count): (Node, u64)) -> bool {
        self.members.count_of(node).is_some_and(|last| last >= count)
    }

    /// Takes note of the next entry and says what it asks for.
    pub(super) fn admit<'a>(&mut self, entry: &'a Entry) -> Verdict<'a> {
        let verdict = self.members.admit(entry);
        match verdict {
            Verdict::Joined(node) => self.elders.push(node),
            Verdict::Lost { node, .. } => {
                self.elders.retain(|&elder| elder != node);
                self.complete.retain(|&elder| elder != node);
            }
            Verdict::Nothing if matches!(entry.act, Act::Tick) => {
                if self.is_live(entry.node) && !self.complete.contains(&entry.node) {
                    self.complete.push(entry.node);
                }
            }
            Verdict::User(_) | Verdict::Heard(_) | Verdict::Nothing => {}
        }
        verdict
    }

    pub(super) fn is_live(&self, node: Node) -> bool {
        self.members.is_live(node)
    }

    pub(super) fn eldest(&self) -> Option<Node> {
        self.giver(Node(0))
    }

    /// Whether the state of all goes on from that of this node.
    pub(super) fn is_of(&self, founder: Node) -> bool {
        self.elders.first() == Some(&founder)
    }

    /// Who gives a copy to one who joins.
    pub(super) fn giver(&self, to: Node) -> Option<Node> {
        self.elders.iter().copied().find(|&elder| elder != to && self.complete.contains(&elder))
    }

    pub(super) fn len(&self) -> usize {
        self.elders.len()
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        for nodes in [&self.elders, &self.complete] {
            bytes.extend((nodes.len() as u32).to_le_bytes());
            bytes.extend(nodes.iter().flat_map(|node| node.0.to_le_bytes()));
        }
        self.members.encode(bytes);
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        let mut listed = || nodes(&mut rest).ok_or(DecodeError::GARBAGE);
        let (elders, complete) = (listed()?, listed()?);
        Ok(Self { members: Members::decode(rest)?, elders, complete })
    }
}

fn nodes(rest: &mut &[u8]) -> Option<Vec<Node>> {
    let (count, mut after) = rest.split_first_chunk::<4>()?;
    let mut nodes = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (node, further) = after.split_first_chunk::<8>()?;
        nodes.push(Node(u64::from_le_bytes(*node)));
        after = further;
    }
    *rest = after;
    Some(nodes)
}
