//! What an entry asks for. **At one place of the log it is the same for every member.**

use presently_core::cluster::{Act, DecodeError, Entry, Node, Verdict};

use crate::View;

/// How far the log was followed, and who takes part there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The last place.
    pub seq: u64,
    /// The members there.
    pub view: View,
}

/// What is to be done about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The engine of its user follows it, or a veil is drawn.
    User,
    /// The engines of its sessions' users follow it.
    Heard,
    /// Every engine loses this node to its heir.
    Lose {
        /// Who is gone.
        node: Node,
        /// Whose its sessions are.
        heir: Node,
    },
    /// Another node is a member from now on, or asks once more for a snapshot.
    Asks(Node),
    /// Its proposer has caught up; who waited for this place is told.
    Tick,
    /// Nothing.
    Nothing,
}

/// Why a membership is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The lease is gone, or the log is another one: join again.
    Lost,
    /// The same, because the log does not go on from where it was read: what was read last may be in it no more.
    Trimmed,
    /// Others decide what this node cannot read: take part no more.
    Newer,
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        if error.is_newer() { Self::Newer } else { Self::Lost }
    }
}

impl Followed {
    /// Takes note of the next entry.
    ///
    /// # Errors
    /// It is the loss of this node itself: all stays as it is.
    pub fn admit(&mut self, me: Node, entry: &Entry) -> Result<Step, End> {
        Ok(match self.view.admit(entry) {
            Verdict::User(_) => Step::User,
            Verdict::Heard(_) => Step::Heard,
            Verdict::Lost { node, .. } if node == me => return Err(End::Lost),
            Verdict::Lost { node, heir } => Step::Lose { node, heir: heir.unwrap_or(me) },
            Verdict::Joined(node) if node != me => Step::Asks(node),
            Verdict::Nothing if matches!(entry.act, Act::Joined) && entry.node != me => Step::Asks(entry.node),
            Verdict::Nothing if matches!(entry.act, Act::Tick) => Step::Tick,
            Verdict::Joined(_) | Verdict::Nothing => Step::Nothing,
        })
    }

    /// Somebody goes on with their own state, and says so.
    ///
    /// # Errors
    /// It is another state than this one: join it.
    pub fn founded_by(&self, founder: Node) -> Result<(), End> {
        if self.view.is_of(founder) { Ok(()) } else { Err(End::Lost) }
    }
}
