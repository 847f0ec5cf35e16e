//! The engine. **Invariant:** what is shown of a user is always the merge of what the engine holds of them, and each change of it is announced once.
//!
//! - `slab`, `session`, `user`: what is held, and the merge
//! - `wheel`: when sessions end
//! - `change`: the small steps from which everything else is made
//! - `evidence`, `act`, `restore`: the inputs
//! - `nodes`, `follow`, `due`, `state`, `past`: what several nodes need (see [`cluster`](crate::cluster))
//! - `sweep`: time passing
//! - `look`: questions that change nothing

mod act;
mod change;
mod due;
mod evidence;
mod follow;
#[cfg(test)]
mod invariants;
mod look;
mod nodes;
mod past;
mod restore;
mod session;
mod slab;
mod state;
mod sweep;
mod user;
mod wheel;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

pub use look::{Counts, Explanation, OverrideView, SessionView};
use nodes::Nodes;
use past::Gone;
#[cfg(test)]
pub(crate) use past::name_of;
use session::Session;
use slab::{Slab, Slot};
use user::User;
use wheel::Wheel;

use crate::cluster::Node;
use crate::{Effects, Input, Limits, Now, Policy, Rejected, SessionNumber, Source, Tick};

/// The presence of many users. Methods are of three kinds: [`apply`](Self::apply), [`renew`](Self::renew) and
/// [`sweep`](Self::sweep) change; [`drain_evidence`](Self::drain_evidence) hands over what was heard; the rest look.
///
/// In memory are the users who are shown online or away, and those with an override or barred. The others are as the store knows them.
pub struct Engine {
    policy: Policy,
    limits: Limits,
    users: Slab<User>,
    sessions: Slab<Session>,
    users_by_name: HashTable<Slot>,
    hasher: FixedState,
    wheel: Wheel,
    /// The ends of overrides and held statuses: rare, so an ordered set serves. An end that cannot come any more is taken out at once.
    timers: BTreeSet<(Tick, Slot, Ending)>,
    /// Sessions heard since the last drain. A session that ended stays listed; its slot's flag says so.
    heard: Vec<Slot>,
    /// Who this node is; `None` while it is the only one.
    me: Option<Node>,
    /// What other nodes own.
    nodes: Nodes,
    /// Who is gone, while this is one of several nodes.
    gone: Gone,
    next_number: SessionNumber,
    number_step: SessionNumber,
    online: u64,
    away: u64,
}

/// What ends when a user's timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Override(Source),
    Held,
}

impl Engine {
    /// An empty engine. `seed` keys the hash of user names (against flooding). Sessions are numbered `first_number`, `+ step`, `+ 2 step`, …
    #[must_use]
    pub fn new(policy: Policy, limits: Limits, seed: u64, first_number: SessionNumber, step: SessionNumber) -> Self {
        Self {
            policy,
            limits,
            users: Slab::new(),
            sessions: Slab::new(),
            users_by_name: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            wheel: Wheel::new(),
            timers: BTreeSet::new(),
            heard: Vec::new(),
            me: None,
            nodes: Nodes::new(),
            gone: Gone::default(),
            next_number: first_number,
            number_step: step,
            online: 0,
            away: 0,
        }
    }

    /// Decides.
    ///
    /// # Errors
    /// On `Err` nothing has changed; see [`Rejected`].
    pub fn apply(&mut self, now: Now, input: Input<'_>) -> Result<Effects, Rejected> {
        let mut effects = Effects::new();
        let out = &mut effects;
        match input {
            Input::Evidence { user, session, activity } => self.evidence(now, user, session, activity, out)?,
            Input::EndSession { user, session, reason } => self.end_session(now, user, session, reason, out)?,
            Input::EndUser { user, reason } => self.end_user(now, user, reason, out)?,
            Input::Drop { user, session } => self.drop_session(now, user, session)?,
            Input::Set { user, status } => self.set(now, user, status, out)?,
            Input::Override { user, source, status, ends_after } => {
                self.set_override(now, user, source, status, ends_after, out)?;
            }
            Input::ClearOverride { user, source } => self.clear_override(now, user, source, out)?,
            Input::Bar { user } => self.bar(now, user, out)?,
            Input::Unbar { user } => self.unbar(user)?,
            Input::Forget { user } => self.forget(now, user, out)?,
            Input::Restore(user) => self.restore(now, user, out)?,
        }
        Ok(effects)
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    fn find(&self, name: &str) -> Option<Slot> {
        self.users_by_name.find(self.hash(name), |&slot| self.users[slot].name == name).copied()
    }

    /// [`find`](Self::find), for a name from outside.
    fn look_up(&self, name: &str) -> Result<Option<Slot>, Rejected> {
        if fits(name) { Ok(self.find(name)) } else { Err(Rejected::BadName) }
    }

    fn find_session(&self, user: Slot, name: &str) -> Option<Slot> {
        self.session_slots(user).find(|&slot| self.sessions[slot].name == name)
    }

    /// The user's sessions, oldest first.
    fn session_slots(&self, user: Slot) -> impl Iterator<Item = Slot> {
        let first = self.users[user].first;
        core::iter::successors((first != slab::NIL).then_some(first), |&slot| {
            let next = self.sessions[slot].next;
            (next != slab::NIL).then_some(next)
        })
    }
}

/// Whether a name may be held.
const fn fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= Limits::ID_BYTES_MAX
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A million users would be no help to whoever prints this.
        f.debug_struct("Engine").field("policy", &self.policy).field("counts", &self.counts()).finish_non_exhaustive()
    }
}
