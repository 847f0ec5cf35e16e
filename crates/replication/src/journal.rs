//! What was decided partitioned and is to be told to the others. **What holds whatever happened since is kept**: logouts, overrides, bars,
//! veils. That a user was set offline, or that all of their sessions ended, was said of the sessions of that moment: those that
//! came elsewhere since would end with it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use presently_core::cluster::Act;

use crate::{Command, InFlight, View};

/// The offline log, oldest first.
#[derive(Debug, Default)]
pub struct Journal {
    /// With the name and count under which the log may have them all the same.
    commands: VecDeque<(Command, Option<InFlight>)>,
}

impl Journal {
    /// What is remembered at most; the oldest go first.
    pub const MAX: usize = 100_000;

    /// Remembers what was decided, if it lasts.
    pub fn note(&mut self, command: Command, in_flight: Option<InFlight>) {
        let lasting = match &command {
            Command::Veil { .. } => true,
            Command::Act(act) => matches!(
                act,
                Act::EndSession { .. }
                    | Act::Override { ends_after: None, .. }
                    | Act::ClearOverride { .. }
                    | Act::Bar { .. }
                    | Act::Unbar { .. }
                    | Act::Forget { .. }
            ),
        };
        if lasting {
            if self.commands.len() >= Self::MAX {
                self.commands.pop_front();
            }
            self.commands.push_back((command, in_flight));
        }
    }

    /// Hands over what the members did not follow all the same.
    pub fn take(&mut self, view: &View) -> Vec<Command> {
        let commands = core::mem::take(&mut self.commands);
        commands
            .into_iter()
            .filter(|(_, in_flight)| !in_flight.is_some_and(|given| view.has_followed(given)))
            .map(|(command, _)| command)
            .collect()
    }

    /// Nobody else needs to be told.
    pub fn clear(&mut self) {
        self.commands.clear();
    }
}
