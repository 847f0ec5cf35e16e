//! PRESENCE, and the answers that carry it.

use jiff::Timestamp;
use presently::UserId;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{SessionBody, words};

/// A time: RFC 3339 in UTC with `Z` and microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) presently::Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:.6}", Timestamp::from_microsecond(self.0.0).unwrap_or_default()))
    }
}

fn as_text<S: Serializer>(user: &UserId, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(user)
}

/// What may be known of one user.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = Presence)]
pub(crate) struct PresenceBody {
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, example = "5")]
    pub(crate) user_id: UserId,
    #[schema(value_type = words::Shown)]
    pub(crate) status: &'static str,
    /// The last evidence of life; null when there never was any.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_seen: Option<Moment>,
    /// When this status began; null for a user nobody ever heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Moment>,
    /// When this was true.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) as_of: Moment,
}

/// Presences in the order asked.
#[derive(Serialize, ToSchema)]
pub(crate) struct Presences {
    pub(crate) presences: Vec<PresenceBody>,
}

/// A page of who is online, newest `last_seen` first.
#[derive(Serialize, ToSchema)]
pub(crate) struct OnlinePage {
    pub(crate) presences: Vec<PresenceBody>,
    /// For `cursor`, or null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// How many there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountsBody {
    pub(crate) online: u64,
    pub(crate) away: u64,
    /// Live sessions.
    pub(crate) sessions: u64,
}

/// The caller's own presence, the true one.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnPresence {
    #[serde(flatten)]
    pub(crate) presence: PresenceBody,
    /// Whether everybody else but admins is shown an offline user.
    pub(crate) invisible: bool,
}

/// A change of status.
#[derive(Serialize, ToSchema)]
#[schema(as = Transition)]
pub(crate) struct TransitionBody {
    #[schema(value_type = words::Shown)]
    pub(crate) from: &'static str,
    #[schema(value_type = words::Shown)]
    pub(crate) to: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_seen: Option<Moment>,
    /// Why.
    #[schema(value_type = words::Why)]
    pub(crate) reason: &'static str,
}

/// A part of a user's history.
#[derive(Serialize, ToSchema)]
pub(crate) struct History {
    /// Oldest first; the newest 10,000 of the window.
    pub(crate) transitions: Vec<TransitionBody>,
    /// Seconds within the window (and up to now) in which the user was online; away is not online.
    pub(crate) online_seconds: f64,
}

/// A status that stands on top of what the sessions say.
#[derive(Serialize, ToSchema)]
pub(crate) struct OverrideBody {
    /// On whose word: `admin`, `user` or `application`.
    #[schema(value_type = words::Word)]
    pub(crate) source: &'static str,
    #[schema(value_type = words::Shown)]
    pub(crate) status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) set_at: Moment,
    /// Null: until it is cleared.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ends_at: Option<Moment>,
}

/// The account behind a user.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountState {
    pub(crate) id: i64,
    pub(crate) username: String,
    #[schema(value_type = words::State)]
    pub(crate) status: &'static str,
    pub(crate) is_active: bool,
    /// Whether an account in this state may be present at all.
    pub(crate) may_be_present: bool,
}

/// Why a user has the status they have.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExplanationBody {
    /// The truth, which is also what admins are shown.
    pub(crate) presence: PresenceBody,
    /// The answer in one sentence.
    pub(crate) because: String,
    /// What the sessions alone would show.
    #[schema(value_type = words::Shown)]
    pub(crate) merged: &'static str,
    /// The live sessions, oldest first.
    pub(crate) sessions: Vec<SessionBody>,
    /// The overrides that stand, strongest first: the first one is shown.
    pub(crate) overrides: Vec<OverrideBody>,
    /// A status that was set until the user's next evidence.
    #[schema(value_type = Option<words::Shown>)]
    pub(crate) held: Option<&'static str>,
    pub(crate) invisible: bool,
    /// Whether the user may not be present.
    pub(crate) barred: bool,
    /// Null when no account has this name.
    pub(crate) account: Option<AccountState>,
}

/// A ticket, good once.
#[derive(Serialize, ToSchema)]
#[schema(as = Ticket)]
pub(crate) struct TicketBody {
    /// For `?ticket=`.
    pub(crate) ticket: String,
    /// Seconds.
    #[schema(example = 30)]
    pub(crate) expires_in: u64,
}
