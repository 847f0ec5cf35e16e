//! How a [`Presently`](crate::Presently) is set up, what it refuses, and the figures it gives. **An error says what is still true.**

use std::time::Duration;

use crate::privacy::Visibility;
use crate::store::StoreError;
use crate::{Counts, Limits, Policy, Rejected};

/// How a [`Presently`](crate::Presently) is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The timings.
    pub policy: Policy,
    /// What is held at most, all shards together.
    pub limits: Limits,
    /// How long transitions stay in the history.
    pub history_retention: Duration,
    /// Whom others may see at all.
    pub visibility: Visibility,
    /// Whether the figures of transitions that go to the `metrics` facade are of the truth; else they are of what others than admins
    /// are told, so that whoever reads them learns nothing of an invisible user. [`Presently::stats`](crate::Presently::stats) is the
    /// truth, [`Presently::stats_of_visible`](crate::Presently::stats_of_visible) what others may know.
    pub figures_of_invisible: bool,
}

impl Default for Config {
    /// The default policy and limits, and a history of 90 days.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            limits: Limits::default(),
            history_retention: Duration::from_secs(90 * 24 * 3600),
            visibility: Visibility::default(),
            figures_of_invisible: true,
        }
    }
}

/// Why something was not done. Nothing has changed unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The user may not be present.
    #[error("the user may not be present")]
    Barred,
    /// A name is empty or too long.
    #[error("a name is empty or too long")]
    BadName,
    /// The caller's condition no longer held at the moment of decision.
    #[error("the condition of the caller no longer held")]
    Stale,
    /// The session ended on somebody's word at another node, which this one did not know yet when it was heard. Whoever still may
    /// send it can do so again.
    #[error("the session ended before this was decided")]
    Ended,
    /// A limit is reached: try again later.
    #[error("a limit is reached; try again later")]
    Full,
    /// The store did not keep it. What was decided holds in memory and is kept as soon as the store is back.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user changed something too often; nothing has changed now. See [`Presently::paced`](crate::Presently::paced).
    #[error("the user changes something too often; try again in {retry_after:?}")]
    TooManyChanges {
        /// When the next change will be taken.
        retry_after: Duration,
    },
    /// Shutting down.
    #[error("shutting down")]
    Closed,
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Barred => Self::Barred,
            Rejected::BadName => Self::BadName,
            Rejected::Ended => Self::Ended,
            _ => Self::Full,
        }
    }
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many there are.
    pub counts: Counts,
    /// Effects decided and not yet kept: a few while the store works, all of the backlog while it is away.
    pub pending: u64,
    /// Evidence taken since the start.
    pub evidence: u64,
    /// History lines dropped because the store was away for too long.
    pub history_dropped: u64,
    /// Differences found by the comparison since the start.
    pub mended: u64,
}
