//! Deciding while the bus is out of reach. **Nobody who asks is refused for it, and nobody is ended by silence meanwhile**: who is silent here may
//! be heard elsewhere.
//!
//! What only this node can know of is told to the others when it is back: its live sessions as claims, and from the journal
//! what holds whatever happened since (logouts, overrides, bars, veils). That a user was set offline, or that all of their
//! sessions ended, was said of the sessions of that moment and is not told: those that came elsewhere since would end with it.

use std::collections::VecDeque;

use presently_core::Input;
use presently_core::cluster::Act;

use super::Cluster;
use super::proposals::{Finish, Given, Proposal, Wish};
use crate::config::Error;
use crate::shard::Shard;
use crate::shared::{Outcome, Shared};

/// What was decided alone, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// With the name and count under which the log may have them all the same.
    wishes: VecDeque<(Wish, Option<Given>)>,
}

impl Journal {
    /// What is remembered at most; the oldest go first.
    const MAX: usize = 100_000;

    fn note(&mut self, wish: Wish, given: Option<Given>) {
        let lasting = match &wish {
            Wish::Veil { .. } => true,
            Wish::Act(act) => matches!(
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
            if self.wishes.len() >= Self::MAX {
                self.wishes.pop_front();
            }
            self.wishes.push_back((wish, given));
        }
    }

    pub(super) fn take(&mut self) -> VecDeque<(Wish, Option<Given>)> {
        std::mem::take(&mut self.wishes)
    }
}

impl Shared {
    /// Decides a proposal without asking anybody. The caller holds the user's shard.
    pub(super) fn settle_alone(&self, cluster: &Cluster, shard: &mut Shard, proposal: Proposal) {
        let Proposal { wish, finish, given, .. } = proposal;
        let outcome = match &wish {
            Wish::Act(act) => match input_of(act) {
                Some(input) => self.weigh_alone(shard, input),
                None => return,
            },
            Wish::Veil { shown } => {
                let changes = self.draw(shard, shown);
                Ok(Outcome { changes, ..Outcome::nothing(self.clock.now()) })
            }
        };
        if outcome.is_ok() {
            cluster.alone.lock().note(wish, given);
        }
        if let Some(Finish::Decided(finish)) = finish {
            finish(self, outcome.map(|outcome| (shard, outcome)));
        }
    }

    /// Decides what nobody else will.
    pub(super) fn settle_all_alone(&self, cluster: &Cluster, proposals: Vec<Proposal>) {
        for proposal in proposals {
            if let Wish::Act(Act::Heard { sessions }) = &proposal.wish {
                self.own_alone(sessions);
            }
            let Some(user) = proposal.wish.user().map(str::to_owned) else { continue };
            self.shards.with(&user, |shard| {
                // It was proposed to the log, and what it would undo may have been followed since.
                if is_over(shard, &proposal.wish) {
                    if let Some(Finish::Decided(finish)) = proposal.finish {
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
fn is_over(shard: &Shard, wish: &Wish) -> bool {
    match wish {
        Wish::Act(Act::Evidence { user, session, after, .. }) => shard.engine.ended_after(*after, user, session),
        Wish::Act(_) | Wish::Veil { .. } => false,
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
