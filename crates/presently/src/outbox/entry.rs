//! What was decided. **One entry for each thing to keep or to tell**, from the lock under which it was decided to the last who is told.

use presently_core::{Effect, Tick, Transition, UserId};

use crate::store::{Audience, VeilRow};
use crate::watch::EpochChange;

/// One thing that was decided, and where it comes from.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) change: Change,
    /// The moment of the decision.
    pub(crate) at: Tick,
    /// Its number in the log of a group.
    pub(crate) log: Option<u64>,
    pub(crate) keep: Keep,
}

/// One thing to keep, or to tell, or both.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Of the engine. An announcement is for everybody.
    Effect(Effect),
    /// An announcement for some.
    Announce(Transition, Audience),
    /// Keep this veil.
    Veil(VeilRow),
    /// Nothing is left to hide.
    Unveil(UserId),
    /// The numbers of what is told mean something else from now on.
    Epoch(EpochChange),
}

/// What of a change is this node's to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    All,
    /// What another node keeps too: rows, which are the same, but no line of history, of which there would be two.
    Rows,
    /// Another node keeps it.
    Nothing,
}

/// What follows from one entry of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged<'a> {
    /// Whom it is about.
    pub(crate) user: &'a str,
    pub(crate) seq: u64,
    /// This node proposed it, and keeps what follows from it.
    pub(crate) own: bool,
}

impl Change {
    /// The transition that it announces, and to whom.
    pub(crate) const fn announced(&self) -> Option<(&Transition, Audience)> {
        match self {
            Self::Effect(Effect::Announce(transition)) => Some((transition, Audience::Everybody)),
            Self::Announce(transition, audience) => Some((transition, *audience)),
            _ => None,
        }
    }

    /// The same, to be completed.
    pub(crate) const fn announced_mut(&mut self) -> Option<(&mut Transition, Audience)> {
        match self {
            Self::Effect(Effect::Announce(transition)) => Some((transition, Audience::Everybody)),
            Self::Announce(transition, audience) => Some((transition, *audience)),
            _ => None,
        }
    }

    /// Whether anybody is told of it.
    pub(crate) const fn is_told(&self) -> bool {
        matches!(self, Self::Effect(Effect::Announce(_) | Effect::Erase(_)) | Self::Announce(..) | Self::Epoch(_))
    }
}
