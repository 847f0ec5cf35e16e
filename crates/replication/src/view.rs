//! Who takes part, and who has the state of all. **Of those who caught up, the one with most seniority leads, and is the donor of
//! snapshots**: one who has joined says with a tick that it caught up.

use alloc::vec::Vec;

use presently_core::cluster::{Act, DecodeError, Entry, Members, Node, Verdict};

/// The members at one place in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    members: Members,
    /// The members in the order in which they joined.
    by_seniority: Vec<Node>,
    /// Those of them who have the state.
    caught_up: Vec<Node>,
}

impl View {
    /// From here on these are the members, and this one alone has caught up. How far those came who were there before is remembered.
    pub fn found(&mut self, founder: Node, others: impl IntoIterator<Item = Node>) {
        self.by_seniority = [founder].into_iter().chain(others.into_iter().filter(|&other| other != founder)).collect();
        self.members.found(self.by_seniority.iter().copied());
        self.caught_up = [founder].into();
    }

    /// Whether what was given to the log under this name and count was followed.
    #[must_use]
    pub fn has_followed(&self, (node, count): (Node, u64)) -> bool {
        self.members.count_of(node).is_some_and(|last| last >= count)
    }

    /// Takes note of the next entry and says what it asks for.
    pub fn admit<'a>(&mut self, entry: &'a Entry) -> Verdict<'a> {
        let verdict = self.members.admit(entry);
        match verdict {
            Verdict::Joined(node) => self.by_seniority.push(node),
            Verdict::Lost { node, .. } => {
                self.by_seniority.retain(|&other| other != node);
                self.caught_up.retain(|&other| other != node);
            }
            Verdict::Nothing if matches!(entry.act, Act::Tick) => {
                if self.is_live(entry.node) && !self.caught_up.contains(&entry.node) {
                    self.caught_up.push(entry.node);
                }
            }
            Verdict::User(_) | Verdict::Heard(_) | Verdict::Nothing => {}
        }
        verdict
    }

    /// Whether the node is a member.
    #[must_use]
    pub fn is_live(&self, node: Node) -> bool {
        self.members.is_live(node)
    }

    /// Who does what only one is to do.
    #[must_use]
    pub fn leader(&self) -> Option<Node> {
        self.donor(Node(0))
    }

    /// Whether the state of all goes on from that of this node.
    #[must_use]
    pub fn is_of(&self, founder: Node) -> bool {
        self.by_seniority.first() == Some(&founder)
    }

    /// Who gives a snapshot to this node, which joins.
    #[must_use]
    pub fn donor(&self, to: Node) -> Option<Node> {
        self.by_seniority.iter().copied().find(|&node| node != to && self.caught_up.contains(&node))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_seniority.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_seniority.is_empty()
    }

    /// Writes it down.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        for nodes in [&self.by_seniority, &self.caught_up] {
            bytes.extend((nodes.len() as u32).to_le_bytes());
            bytes.extend(nodes.iter().flat_map(|node| node.0.to_le_bytes()));
        }
        self.members.encode(bytes);
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        let mut listed = || nodes(&mut rest).ok_or(DecodeError::GARBAGE);
        let (by_seniority, caught_up) = (listed()?, listed()?);
        Ok(Self { members: Members::decode(rest)?, by_seniority, caught_up })
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
