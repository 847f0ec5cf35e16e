//! Several nodes. **Invariant:** every node applies the same entries in the same order, so all decide the same, and each decision is one.
//!
//! The nodes share one totally ordered log. Whatever may change what is shown of a user is an [`Entry`] of it; each node holds
//! everybody's state and [follows](crate::Engine::follow) the entries one after the other. The log only orders: merging is here.
//!
//! - **A session is owned by the node that heard it last.** Its renewals touch that node's memory and nothing else; only there
//!   it has a deadline, and when that passes the owner [proposes](crate::Engine::due) its end. Evidence at another node is an
//!   entry that moves the session to that node.
//! - **A proposal may be in the log twice** (a reply was lost, and it was appended again) and may come from a node that is no
//!   longer a member: [`Members`] lets pass what is to be followed.
//! - **A node that is lost leaves an heir**, who owns its sessions from then on, each with a full timeout before it.
//! - **Who joins begins with a copy**: an empty engine is [loaded](crate::Engine::load) with another node's
//!   [states](crate::Engine::visit_states) as of one position of the log and follows from there. What the node knew before
//!   (it was cut off and went on alone) stays on show until the copy has taken in its [claims](crate::Engine::claims), which are made of what
//!   it heard since, of what the others' [ancestry](Ancestry) does not know, and of nothing that ended on somebody's word; then the copy
//!   [succeeds](crate::Engine::succeed) it, and only what differs is announced.
//!
//! ```
//! use presently_core::cluster::{Entry, Members, Node, Act, Verdict};
//! use presently_core::{Engine, Input, Limits, Now, Policy};
//!
//! let (a, b) = (Node(1), Node(2));
//! let now = Now::default();
//! let mut engines = [a, b].map(|node| {
//!     let mut engine = Engine::new(Policy::default(), Limits::default(), 7, 0, 1);
//!     engine.set_me(node);
//!     engine
//! });
//!
//! // What was decided where: alice is heard by `a`.
//! let act = engines[0].propose(now, &Input::Evidence { user: "alice", session: "phone", activity: None })?;
//! // The log puts it in order, as bytes; every node follows.
//! let mut members = [a, b].into_iter().collect::<Members>();
//! let mut bytes = Vec::new();
//! Entry { seq: 0, node: a, count: 1, wall: now.wall, act }.encode(&mut bytes);
//! let entry = Entry::decode(41, &bytes)?;
//! assert_eq!(members.admit(&entry), Verdict::User("alice"));
//! for engine in &mut engines {
//!     assert_eq!(engine.follow(now, &entry)?.len(), 2, "keep the session, tell who watches");
//! }
//!
//! // It is a's: only there a heartbeat is enough, and only there it has a deadline.
//! assert!(engines[0].renew(now, "alice", "phone", None) && !engines[1].renew(now, "alice", "phone", None));
//! assert!(engines[0].next_due(false).is_some() && engines[1].next_due(false).is_none());
//! // The same entry once more changes nothing.
//! assert_eq!(members.admit(&entry), Verdict::Nothing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ancestry;
mod members;
mod wire;

use alloc::vec::Vec;
use core::time::Duration;

pub use ancestry::Ancestry;
pub use members::{Members, Verdict};
pub use wire::DecodeError;

use crate::{Activity, EndReason, SessionId, SessionNumber, Source, Status, Timestamp, UserId};

/// One life of a server process in a cluster: a random number, new at each join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u64);

/// One entry of the log: what a node decided, and where in the order it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order; given by the log, and never given twice. Must be below 2^62.
    pub seq: u64,
    /// Who proposed it.
    pub node: Node,
    /// The proposer's running number of its proposals: an entry whose count is not above the last one of that node is a repetition.
    pub count: u64,
    /// The proposer's wall clock when it decided.
    pub wall: Timestamp,
    /// What was decided.
    pub act: Act,
}

/// What an entry says. Acts on users are the inputs of the same names ([`Input`](crate::Input)) unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// The proposer heard the user, and owns the session from now on. One that it opens gets the entry's place as its number.
    /// Opens no session that ended on somebody's word meanwhile, which the proposer did not know.
    Evidence {
        /// Whose evidence.
        user: UserId,
        /// Which session was heard.
        session: SessionId,
        /// The last place that the proposer had followed when it was heard.
        after: u64,
        /// What its client saw, when it said so.
        activity: Option<Activity>,
    },
    /// The proposer was cut off and heard this session meanwhile, which nobody else could know: it owns it from now on.
    /// Nothing of a barred user, nor of a session that ended on somebody's word meanwhile. A status held until the next evidence
    /// stays.
    Claim {
        /// Whose session.
        user: UserId,
        /// Which one.
        session: SessionId,
        /// The last place that the proposer had followed when it was cut off.
        after: u64,
        /// Its activity.
        activity: Activity,
        /// Its last evidence.
        last_evidence: Timestamp,
        /// How much more silence it may keep.
        remaining: Duration,
    },
    /// A session and its parts end.
    EndSession {
        /// Whose session.
        user: UserId,
        /// The login, or one part of it.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// Every session of the user ends.
    EndUser {
        /// Whose sessions.
        user: UserId,
        /// Why.
        reason: EndReason,
    },
    /// The status holds until the user's next evidence.
    Set {
        /// Whose status.
        user: UserId,
        /// The status to show.
        status: Status,
    },
    /// A status stands on top of what the sessions say.
    Override {
        /// Whose status.
        user: UserId,
        /// On whose word.
        source: Source,
        /// The status to show.
        status: Status,
        /// How long it stands; `None` is until it is cleared.
        ends_after: Option<Duration>,
    },
    /// The override of this source ends now.
    ClearOverride {
        /// Whose override.
        user: UserId,
        /// On whose word it was set.
        source: Source,
    },
    /// The user may not be present.
    Bar {
        /// Whom.
        user: UserId,
    },
    /// The user may be present again.
    Unbar {
        /// Whom.
        user: UserId,
    },
    /// The user is erased.
    Forget {
        /// Whom.
        user: UserId,
    },
    /// The session's deadline passed at its owner. Holds while the proposer still owns it: who moved in time is not thrown out.
    Expire {
        /// Whose session.
        user: UserId,
        /// Which one.
        number: SessionNumber,
        /// Whether its socket had dropped.
        dropped: bool,
        /// Its last evidence, which only the owner knows exactly.
        last_evidence: Timestamp,
        /// How long after the deadline the owner noticed.
        lateness: Duration,
    },
    /// An override, or a status held until the next evidence, reached its end. Holds while that very one still stands.
    EndTimer {
        /// Whose.
        user: UserId,
        /// Of which source; `None` for a held status.
        source: Option<Source>,
        /// When it was set: another one set since then is not meant.
        set_at: Timestamp,
        /// How long after the end the leader noticed.
        lateness: Duration,
    },
    /// The proposer is a member from now on.
    Joined,
    /// The node is no member any more: its lease is gone, or it left. All of its sessions are the heir's.
    Lost {
        /// Who is gone.
        node: Node,
        /// Who owns its sessions.
        heir: Node,
    },
    /// The proposer heard these sessions of other nodes, which says nothing new of anybody: those that it heard just now are its own from now on. One that
    /// ended meanwhile stays ended.
    Heard {
        /// Which ones.
        sessions: Vec<HeardSession>,
    },
    /// Nothing: who follows has come this far.
    Tick,
}

/// A session that was heard by another node than its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardSession {
    /// Whose session.
    pub user: UserId,
    /// Which one.
    pub session: SessionId,
    /// When, by the clock of the node that heard it.
    pub at: Timestamp,
}

impl HeardSession {
    /// An entry that is proposed this long after a session was heard moves it no more.
    const FRESH_FOR: Duration = Duration::from_secs(2);

    /// Whether it was heard just before this moment, that of its entry.
    #[must_use]
    pub fn is_fresh(&self, wall: Timestamp) -> bool {
        wall <= self.at + Self::FRESH_FOR
    }
}

impl Act {
    /// The user it is about; `None` when it is about nodes, or about many users.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Evidence { user, .. }
            | Self::Claim { user, .. }
            | Self::EndSession { user, .. }
            | Self::EndUser { user, .. }
            | Self::Set { user, .. }
            | Self::Override { user, .. }
            | Self::ClearOverride { user, .. }
            | Self::Bar { user }
            | Self::Unbar { user }
            | Self::Forget { user }
            | Self::Expire { user, .. }
            | Self::EndTimer { user, .. } => Some(user),
            Self::Joined | Self::Lost { .. } | Self::Heard { .. } | Self::Tick => None,
        }
    }

    /// Whether it is still true when its proposer has been a member under another name since: what a person or a program asked
    /// for is, what an owner or a leader noticed is not.
    #[must_use]
    pub const fn outlives_its_node(&self) -> bool {
        !matches!(
            self,
            Self::Claim { .. }
                | Self::Expire { .. }
                | Self::EndTimer { .. }
                | Self::Joined
                | Self::Lost { .. }
                | Self::Tick
        )
    }
}

/// One user as the cluster has them at one position of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    /// Who.
    pub user: UserId,
    /// The last evidence, as far as the node that was asked has heard.
    pub last_seen: Option<Timestamp>,
    /// When the status shown began, or, while that is not known, when the user came into memory.
    pub since: Timestamp,
    /// Whether `since` is known.
    pub since_known: bool,
    /// Whether the user may not be present.
    pub barred: bool,
    /// The live sessions, in the order in which they were opened.
    pub sessions: Vec<SessionState>,
    /// The overrides that stand.
    pub overrides: Vec<OverrideState>,
    /// The status that holds until the next evidence.
    pub held: Option<HeldState>,
}

/// One live session as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Its number.
    pub number: SessionNumber,
    /// Its name.
    pub session: SessionId,
    /// Its activity.
    pub activity: Activity,
    /// When it began.
    pub opened_at: Timestamp,
    /// Its last evidence, as far as the node that was asked has heard.
    pub last_evidence: Timestamp,
    /// The node that heard it last.
    pub owner: Node,
}

/// What is remembered of those who are gone. It is part of a copy: only so all nodes decide the same of who comes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The sessions that ended last on somebody's word, the latest at the end.
    pub ended: Vec<Ended>,
    /// The users who left memory last, the latest at the end.
    pub left: Vec<Left>,
}

/// A session that ended on somebody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The place of the entry that said so.
    pub seq: u64,
    /// Whose and which, in few bytes.
    pub session: u64,
}

/// A user who left memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Who, in few bytes.
    pub user: u64,
    /// When the status began that they left with.
    pub at: Timestamp,
}

/// One override as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideState {
    /// On whose word.
    pub source: Source,
    /// The status shown.
    pub status: Status,
    /// When it was set.
    pub set_at: Timestamp,
    /// When it ends, in wall time.
    pub ends_at: Option<Timestamp>,
    /// How long it still stands; `None` is until it is cleared.
    pub remaining: Option<Duration>,
}

/// A status that holds until the next evidence, as the cluster has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldState {
    /// The status shown.
    pub status: Status,
    /// When it was set.
    pub set_at: Timestamp,
    /// How long it still holds.
    pub remaining: Duration,
}
