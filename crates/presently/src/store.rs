//! The port to what lasts. **A batch is kept whole or not at all.**

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use presently_core::{
    HeldRow, OverrideRow, PresenceRow, Reason, SessionNumber, SessionRow, Source, Status, Timestamp, UserId,
};

/// What the driver asks a store to keep. No driver types, no rows: the words of presence.
///
/// One conformance suite (the module `conformance`, behind the feature of that name) holds every implementation to the same promises.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Hands everything a restart needs to `saved`, in this order: presences that are not offline, sessions (by number),
    /// overrides, held statuses, veils, evidence blocks (oldest first). Called once, before anything else.
    async fn load(&self, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), StoreError>;

    /// Keeps a batch in one transaction, durably, before it returns. Applied in the order of [`Batch`]'s fields.
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Appends one packed block of evidence, and drops blocks older than `keep_from`.
    async fn append_evidence(&self, block: &EvidenceBlock, keep_from: Timestamp) -> Result<(), StoreError>;

    /// The kept presences of these users, in the order asked; `None` for those never kept. Up to 10,000 users a call.
    async fn presences(&self, users: &[UserId]) -> Result<Vec<Option<PresenceRow>>, StoreError>;

    /// Presences kept as online or away, ordered by user (by its bytes), after `after`, at most `limit`.
    async fn present_after(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<PresenceRow>, StoreError>;

    /// Kept transitions of a user for this sight with `from <= at < to`, oldest first, at most `limit` (the newest ones when there are more).
    async fn transitions(
        &self,
        user: &UserId,
        sight: Sight,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<TransitionRow>, StoreError>;

    /// The newest kept transition of a user before `before` for this sight: the status that held then.
    async fn transition_before(
        &self,
        user: &UserId,
        sight: Sight,
        before: Timestamp,
    ) -> Result<Option<TransitionRow>, StoreError>;

    /// How the numbers of those online and away changed in the kept transitions for [`Sight::Insider`] with `from <= at < to`, by
    /// slices of `every` from `from` on. In order; slices in which neither changed may be left out.
    async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, StoreError>;

    /// When the oldest kept transition for [`Sight::Insider`] was decided; `None` when none is kept.
    async fn history_begins(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Drops transitions older than `before`, at most `limit`; returns how many went.
    async fn prune_transitions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Whether the store answers and can be written to: `Err` says why not.
    async fn probe(&self) -> Result<(), StoreError>;
}

/// Why a store did not do it. Nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Out of reach, locked or overloaded: worth another try.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// No room on the disk, or it cannot be written: a person must act, then another try succeeds.
    #[error("the store cannot be written: {0}")]
    Unwritable(String),
    /// What the store holds makes no sense: a person must act.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// What is kept together. Each field holds at most one entry a key: the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// First: users of whom nothing may remain (presence, sessions, overrides, held, veils, transitions).
    pub erased: Vec<UserId>,
    /// Presences to insert or replace. `last_seen: None` keeps the `last_seen` that is there.
    pub presences: Vec<PresenceRow>,
    /// Sessions to insert or replace, by number.
    pub sessions: Vec<SessionRow>,
    /// Sessions that ended. A number may be unknown to the store.
    pub ended_sessions: Vec<SessionNumber>,
    /// Overrides to insert or replace, by user and source.
    pub overrides: Vec<OverrideRow>,
    /// Overrides that ended.
    pub ended_overrides: Vec<(UserId, Source)>,
    /// Held statuses to insert or replace, by user.
    pub held: Vec<HeldRow>,
    /// Held statuses that ended.
    pub ended_held: Vec<UserId>,
    /// Veils to insert or replace, by user.
    pub veils: Vec<VeilRow>,
    /// Veils of which nothing is left.
    pub ended_veils: Vec<UserId>,
    /// Transitions to append to the history, in order.
    pub transitions: Vec<TransitionRow>,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    /// Whose.
    pub user: UserId,
    /// What was shown.
    pub from: Status,
    /// What is shown since.
    pub to: Status,
    /// When it was decided.
    pub at: Timestamp,
    /// The last evidence.
    pub last_seen: Option<Timestamp>,
    /// Why.
    pub reason: Reason,
    /// Whose history it belongs to.
    pub audience: Audience,
}

/// How many more there are at the end of a slice of time than at its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetChange {
    /// Which slice: the first is 0.
    pub slice: u64,
    /// More online.
    pub online: i64,
    /// More away.
    pub away: i64,
}

/// Which of two histories: that of who may know everything of the user, or that of all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Admins and the user.
    Insider,
    /// Everybody else.
    Other,
}

/// For whom a transition is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Audience {
    /// For everybody.
    #[default]
    Everybody,
    /// The truth that others do not see.
    Insiders,
    /// What others see in its place.
    Others,
}

pub use presently_replication::VeilRow;

/// The evidence of about one second, packed: opaque to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceBlock {
    /// When it was packed. A store whose newest block is of this time was being written to until then.
    pub at: Timestamp,
    /// The packed evidence.
    pub packed: Vec<u8>,
}

/// One thing [`Store::load`] hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// A presence that is not offline.
    Presence(PresenceRow),
    /// A live session.
    Session(SessionRow),
    /// An override.
    Override(OverrideRow),
    /// A status held until the next evidence.
    Held(HeldRow),
    /// What others see of a user in the place of the truth.
    Veil(VeilRow),
    /// A block of evidence.
    Evidence(EvidenceBlock),
}

impl NetChange {
    /// Adds one transition.
    pub fn add(&mut self, from: Status, to: Status) {
        let more = |status: Status| i64::from(to == status) - i64::from(from == status);
        self.online += more(Status::Online);
        self.away += more(Status::Away);
    }
}

impl Audience {
    /// Whether a transition for this audience belongs to that sight.
    #[must_use]
    pub const fn includes(self, sight: Sight) -> bool {
        matches!((self, sight), (Self::Everybody, _) | (Self::Insiders, Sight::Insider) | (Self::Others, Sight::Other))
    }

    /// The word used on the disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everybody => "everybody",
            Self::Insiders => "insiders",
            Self::Others => "others",
        }
    }

    /// The audience named by `word`, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Everybody, Self::Insiders, Self::Others].into_iter().find(|audience| audience.as_str() == word)
    }
}

impl Batch {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for TransitionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}->{} ({})", self.user, self.from.as_str(), self.to.as_str(), self.reason.as_str())
    }
}
