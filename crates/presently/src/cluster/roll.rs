//! Who takes part, and for how long already. **The eldest is the one who does what only one is to do, and gives copies**: it has the state of all,
//! which one who has just joined has not.

use presently_core::cluster::{Entry, Members, Node, Verdict};

/// The members at one place in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roll {
    members: Members,
    /// The members in the order in which they joined.
    elders: Vec<Node>,
}

impl Roll {
    /// Nobody knows who was there before: these are, and this one is the eldest.
    pub(super) fn founded(eldest: Node, others: impl IntoIterator<Item = Node>) -> Self {
        let elders: Vec<Node> =
            [eldest].into_iter().chain(others.into_iter().filter(|&other| other != eldest)).collect();
        Self { members: elders.iter().copied().collect(), elders }
    }

    /// Takes note of the next entry and says what it asks for.
    pub(super) fn admit<'a>(&mut self, entry: &'a Entry) -> Verdict<'a> {
        let verdict = self.members.admit(entry);
        match verdict {
            Verdict::Joined(node) => self.elders.push(node),
            Verdict::Lost { node, .. } => self.elders.retain(|&elder| elder != node),
            Verdict::User(_) | Verdict::Nothing => {}
        }
        verdict
    }

    pub(super) fn is_live(&self, node: Node) -> bool {
        self.members.is_live(node)
    }

    pub(super) fn eldest(&self) -> Option<Node> {
        self.elders.first().copied()
    }

    /// Who gives a copy to one who joins.
    pub(super) fn giver(&self, to: Node) -> Option<Node> {
        self.elders.iter().copied().find(|&elder| elder != to)
    }

    pub(super) fn len(&self) -> usize {
        self.elders.len()
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.elders.len() as u32).to_le_bytes());
        bytes.extend(self.elders.iter().flat_map(|elder| elder.0.to_le_bytes()));
        self.members.encode(bytes);
    }

    /// `None` is garbage.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, mut rest) = bytes.split_first_chunk::<4>()?;
        let mut elders = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            let (elder, after) = rest.split_first_chunk::<8>()?;
            elders.push(Node(u64::from_le_bytes(*elder)));
            rest = after;
        }
        Some(Self { members: Members::decode(rest).ok()?, elders })
    }
}
