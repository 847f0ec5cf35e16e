//! Deciding while the bus is out of reach. **Nobody who asks is refused for it, and nobody is ended by silence meanwhile**: who is silent here may
//! be heard elsewhere.
//!
//! What only this node can know of is told to the others when it is back: its live sessions as claims, and from the journal
//! what holds whatever happened since (logouts, overrides, bars, veils). That a user was set offline, or that all of their
//! sessions ended, was said of the sessions of that moment and is not told: those that came elsewhere since would end with it.

use presently_core::Input;
use presently_core::cluster::Act;
use presently_replication::Command;

use super::Cluster;
use super::proposals::{Finish, Proposal};
use crate::config::Error;
use crate::shard::Shard;
use crate::shared::{Outcome, Shared};

impl Shared {
    /// Decides a proposal without asking anybody. The caller holds the user's shard.
    pub(super) fn settle_alone(&self, cluster: &Cluster, shard: &mut Shard, proposal: Proposal) {
        let Proposal { command, completion, in_flight, .. } = proposal;
        let outcome = match &command {
            Command::Act(act) => match input_of(act) {
                Some(input) => self.weigh_alone(shard, input),
                None => return,
            },
            Command::Veil { shown } => {
                let changes = self.draw(shard, shown);
                Ok(Outcome { changes, ..Outcome::nothing(self.clock.now()) })
            }
        };
        if outcome.is_ok() {
            cluster.alone.lock().note(command, in_flight);
        }
        if let Some(Finish::Decided(finish)) = completion {
            finish(self, outcome.map(|outcome| (shard, outcome)));
        }
    }

    /// Decides what nobody else will.
    pub(super) fn settle_all_alone(&self, cluster: &Cluster, proposals: Vec<Proposal>) {
        for proposal in proposals {
            if let Command::Act(Act::Heard { sessions }) = &proposal.command {
                self.own_alone(sessions);
            }
            let Some(user) = proposal.command.user().map(str::to_owned) else { continue };
            self.shards.with(&user, |shard| {
                // It was proposed to the log, and what it would undo may have been followed since.
                if is_over(shard, &proposal.command) {
                    if let Some(Finish::Decided(finish)) = proposal.completion {
                        finish(self, Err(Error::Ended));
                    }
                } else {
                    self.settle_alone(cluster, shard, proposal);
                }
            });
        }
    }

    fn weigh_alone(&self, shard: &mut Shard, input: Input<'_>) -> Result<Outcome, Error> {
        self.decide_alone(shard, input, |_, _, outcome| outcome)
    }
}

/// Whether it is evidence of a session that ended on somebody's word after it was proposed.
fn is_over(shard: &Shard, command: &Command) -> bool {
    match command {
        Command::Act(Act::Evidence { user, session, after, .. }) => shard.engine.ended_after(*after, user, session),
        Command::Act(_) | Command::Veil { .. } => false,
    }
}

/// What was asked for when this was proposed; `None` for what an owner or a leader noticed.
fn input_of(act: &Act) -> Option<Input<'_>> {
    Some(match act {
        Act::Evidence { user, session, activity, .. } => Input::Evidence { user, session, activity: *activity },
        Act::EndSession { user, session, reason } => Input::EndSession { user, session, reason: *reason },
        Act::EndUser { user, reason } => Input::EndUser { user, reason: *reason },
        Act::Set { user, status } => Input::Set { user, status: *status },
        Act::Override { user, source, status, ends_after } => {
            Input::Override { user, source: *source, status: *status, ends_after: *ends_after }
        }
        Act::ClearOverride { user, source } => Input::ClearOverride { user, source: *source },
        Act::Bar { user } => Input::Bar { user },
        Act::Unbar { user } => Input::Unbar { user },
        Act::Forget { user } => Input::Forget { user },
        _ => return None,
    })
}
