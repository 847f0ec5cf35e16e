//! What a state knows of the logs that there were. **Whoever takes up another state than it had can tell what that one never heard of.**

use alloc::vec::Vec;

/// How many stretches are remembered; of older ones nobody is left who could ask.
const STRETCHES_MAX: usize = 32;

/// The stretches of logs that were followed to come to a state. A cluster that was founded anew goes on from what its founder had followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestry {
    /// In their order; the last one goes on.
    pub(super) stretches: Vec<Stretch>,
}

/// A part of the log of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) epoch: u64,
    /// The place before the first one.
    pub(super) after: u64,
    /// The last place.
    pub(super) to: u64,
}

impl Ancestry {
    /// Of a state that followed nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { stretches: Vec::new() }
    }

    /// The state was followed up to `to`, and goes on after the place `after` of the log of this epoch.
    pub fn go_on(&mut self, to: u64, epoch: u64, after: u64) {
        if let Some(last) = self.stretches.last_mut() {
            last.to = last.to.min(to);
        }
        if self.stretches.len() >= STRETCHES_MAX {
            self.stretches.remove(0);
        }
        self.stretches.push(Stretch { epoch, after, to: u64::MAX });
    }

    /// Whether the entry at this place was followed, or will be, on the way to the state.
    #[must_use]
    pub fn knows(&self, epoch: u64, seq: u64) -> bool {
        self.stretches.iter().any(|stretch| stretch.epoch == epoch && stretch.after < seq && seq <= stretch.to)
    }

    /// The epoch in which the entry at this place was followed: no place is in two.
    #[must_use]
    pub fn epoch_of(&self, seq: u64) -> Option<u64> {
        let found = self.stretches.iter().rev().find(|stretch| stretch.after < seq && seq <= stretch.to);
        found.map(|stretch| stretch.epoch)
    }
}
