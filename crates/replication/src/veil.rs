//! What others see of a user in the place of the truth.

use presently_core::{Timestamp, UserId};

/// What others see of a user who is invisible, or was and may not be betrayed by what happened meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VeilRow {
    /// Whose.
    pub user: UserId,
    /// The user is invisible; otherwise they were, until `at`.
    pub invisible: bool,
    /// When they became invisible, or visible again.
    pub at: Timestamp,
    /// The `last_seen` that others see in the place of an older one, or of any while invisible.
    pub last_seen: Option<Timestamp>,
    /// The `since` that others see while it holds.
    pub since: Option<Timestamp>,
    /// No transition came since `at`.
    pub since_holds: bool,
}
