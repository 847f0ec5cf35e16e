//! What administrators look at, on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Moment, User};

/// The session that the panel's cookies stand for.
#[derive(Serialize, ToSchema)]
pub(crate) struct PanelSession {
    /// The admin who is signed in; null: nobody, or the access token has expired.
    pub(crate) user: Option<User>,
    /// Seconds until the access token expires; null without one.
    pub(crate) expires_in: Option<u64>,
    /// Whether there is a refresh token, so that the session may be renewed.
    pub(crate) renewable: bool,
}

/// How the server is, at a glance.
#[derive(Serialize, ToSchema)]
#[schema(as = Overview)]
pub(crate) struct OverviewBody {
    #[schema(value_type = String, format = DateTime)]
    pub(crate) as_of: Moment,
    pub(crate) version: &'static str,
    /// Seconds since this process started.
    pub(crate) uptime_seconds: f64,
    pub(crate) online: u64,
    pub(crate) away: u64,
    /// Live sessions.
    pub(crate) sessions: u64,
    /// Open event streams and sockets.
    pub(crate) streams: u64,
    /// Over how many seconds the next two were counted: the last minute, or as much of it as this process has seen.
    pub(crate) observed_seconds: f64,
    /// Changes of status in the last minute; null before a minute was seen.
    pub(crate) transitions_per_minute: Option<f64>,
    /// Evidence of life taken a second: heartbeats, other requests, touches; null before a second was seen.
    pub(crate) heartbeats_per_second: Option<f64>,
    pub(crate) lateness: LatenessBody,
    /// Resident memory; 0 where the system does not tell.
    pub(crate) resident_bytes: u64,
    /// Decisions that the store has not kept yet.
    pub(crate) pending: u64,
    /// Whether the store takes what is decided.
    pub(crate) store_healthy: bool,
    /// Which node this is of several: how many are present, their sessions, and transitions are of all of them, the other figures
    /// are this node's own. Null: there is one server.
    pub(crate) cluster: Option<ClusterBody>,
}

/// One node of several.
#[derive(Serialize, ToSchema)]
#[schema(as = Cluster)]
pub(crate) struct ClusterBody {
    /// What this node is called.
    pub(crate) node: String,
    /// How many nodes take part, this one included; 0 while it is cut off.
    pub(crate) members: u64,
    /// Why it is cut off from the others and decides alone; null while it is not.
    pub(crate) cut_off: Option<String>,
}

/// How late users were announced offline after their deadlines, since the start.
#[derive(Serialize, ToSchema)]
#[schema(as = Lateness)]
pub(crate) struct LatenessBody {
    /// Of how many.
    pub(crate) count: u64,
    /// On the average; null when there was none.
    pub(crate) mean_seconds: Option<f64>,
    /// 99 of 100 were at most this late; null when there was none, or they were later than 30 s.
    pub(crate) p99_seconds: Option<f64>,
    /// How many of them were within the promised second, from 0 to 1.
    pub(crate) within_a_second: Option<f64>,
}

/// How many there were.
#[derive(Serialize, ToSchema)]
#[schema(as = Sample)]
pub(crate) struct SampleBody {
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Moment,
    pub(crate) online: u64,
    pub(crate) away: u64,
}

/// How many there were over time.
#[derive(Serialize, ToSchema)]
#[schema(as = Samples)]
pub(crate) struct SamplesBody {
    /// Oldest first. Before `sampled_since` reckoned back from the history, from then on sampled; nothing is told of the time before the
    /// history begins.
    pub(crate) samples: Vec<SampleBody>,
    /// When this process started to sample.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) sampled_since: Moment,
}

/// An account in the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditAccount)]
pub(crate) struct AuditAccount {
    pub(crate) id: i64,
    /// Null when the account was erased since.
    pub(crate) username: Option<String>,
}

/// A line of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLine)]
pub(crate) struct AuditLine {
    pub(crate) id: i64,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: String,
    /// Who did it; null: the command line.
    pub(crate) actor: Option<AuditAccount>,
    /// What: a stable word.
    #[schema(example = "suspend")]
    pub(crate) action: String,
    /// To whom, where it was to somebody.
    pub(crate) target: Option<AuditAccount>,
    /// More: the reason given, what changed.
    pub(crate) detail: String,
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(crate) struct AuditPage {
    /// Newest first.
    pub(crate) entries: Vec<AuditLine>,
    /// For `before`: the next page; null at the end.
    pub(crate) next_before: Option<i64>,
}
