//! What the caller owes after an input: to be carried out in order.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{Activity, Reason, SessionId, SessionNumber, Source, Status, Timestamp, UserId};

/// What the engine wants done. An empty list does not allocate.
pub type Effects = Vec<Effect>;

/// One duty of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep this presence, then tell everybody who watches. Follows the `Save…`/`Forget…` effects that caused it.
    Announce(Transition),
    /// Keep this presence; nobody needs to be told: the status is what it was, and `last_seen` moved by an act that must last, or
    /// the session that ended was the only place where the store had it.
    SavePresence(PresenceRow),
    /// Keep this session, which was opened just now: no store has heard of it. Its last evidence is the user's `last_seen`.
    OpenSession(SessionRow),
    /// Keep this session: its activity changed. Its last evidence is the user's `last_seen`.
    SaveSession(SessionRow),
    /// This session of this user ended.
    ForgetSession(UserId, SessionNumber),
    /// Keep this override.
    SaveOverride(OverrideRow),
    /// The override of this source ended.
    ForgetOverride(UserId, Source),
    /// Keep this status, which holds until the next evidence.
    SaveHeld(HeldRow),
    /// The status that was held until the next evidence ended.
    ForgetHeld(UserId),
    /// Erase everything of this user.
    Erase(UserId),
}

/// A change of the merged status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whose status.
    pub user: UserId,
    /// What was shown.
    pub from: Status,
    /// What is shown now.
    pub to: Status,
    /// When this was decided, which is the new `since`.
    pub at: Timestamp,
    /// The last evidence. `None`: never heard, or not known to this engine; a store keeps what it has.
    pub last_seen: Option<Timestamp>,
    /// Why.
    pub reason: Reason,
    /// How long after its deadline this was decided; `None` when no deadline caused it.
    pub lateness: Option<Duration>,
}

/// What the store keeps of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRow {
    /// Who.
    pub user: UserId,
    /// The status shown.
    pub status: Status,
    /// The last evidence. `None`: never heard, or not known to this engine; a store keeps what it has.
    pub last_seen: Option<Timestamp>,
    /// When the status began, as far as this engine knows: a store that has the same status already keeps its own `since`.
    pub since: Timestamp,
}

/// What the store keeps of a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its number, which evidence blocks refer to.
    pub number: SessionNumber,
    /// Whose.
    pub user: UserId,
    /// Its name.
    pub session: SessionId,
    /// Its activity.
    pub activity: Activity,
    /// When it began.
    pub opened_at: Timestamp,
    /// Its last evidence when the row was made.
    pub last_evidence: Timestamp,
}

/// What the store keeps of an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideRow {
    /// Whose.
    pub user: UserId,
    /// On whose word.
    pub source: Source,
    /// The status shown.
    pub status: Status,
    /// When it was set.
    pub set_at: Timestamp,
    /// When it ends, in wall time; `None` is until it is cleared.
    pub ends_at: Option<Timestamp>,
}

/// What the store keeps of a status that holds until the next evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Whose.
    pub user: UserId,
    /// The status shown.
    pub status: Status,
    /// When it was set.
    pub set_at: Timestamp,
}
