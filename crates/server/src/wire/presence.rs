//! Presence on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::words;

/// The answer to a heartbeat.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeartbeatBody {
    #[schema(example = "Heartbeat recorded")]
    pub(crate) message: &'static str,
    #[schema(value_type = words::Shown)]
    pub(crate) online_status: &'static str,
    #[schema(format = DateTime)]
    pub(crate) last_seen: String,
}

/// The caller's own presence.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnStatus {
    #[schema(value_type = words::Shown)]
    pub(crate) online_status: &'static str,
    #[schema(format = DateTime)]
    pub(crate) last_seen: Option<String>,
}

/// The presence of one user.
#[derive(Serialize, ToSchema)]
pub(crate) struct OnlineStatusBody {
    pub(crate) user_id: i64,
    pub(crate) username: String,
    #[schema(value_type = words::Shown)]
    pub(crate) online_status: &'static str,
    #[schema(format = DateTime)]
    pub(crate) last_seen: Option<String>,
    pub(crate) is_online: bool,
}

/// Somebody who is online.
#[derive(Serialize, ToSchema)]
pub(crate) struct OnlineUser {
    pub(crate) id: i64,
    pub(crate) username: String,
    /// Empty unless the caller is an admin.
    pub(crate) email: String,
    #[schema(value_type = words::Shown)]
    pub(crate) online_status: &'static str,
    #[schema(format = DateTime)]
    pub(crate) last_seen: Option<String>,
    #[schema(value_type = words::Rank)]
    pub(crate) role: &'static str,
    #[schema(value_type = words::State)]
    pub(crate) status: &'static str,
}

/// Who is online, newest `last_seen` first.
#[derive(Serialize, ToSchema)]
pub(crate) struct OnlineUsers {
    pub(crate) online_users: Vec<OnlineUser>,
    /// How many are in this answer.
    pub(crate) count: usize,
    /// For `cursor`, or null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// A status that an admin set.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusSet {
    pub(crate) message: String,
    pub(crate) user_id: i64,
    /// What is shown now.
    #[schema(value_type = words::Shown)]
    pub(crate) online_status: &'static str,
    #[schema(format = DateTime)]
    pub(crate) last_seen: Option<String>,
}

/// A live session of presence.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionBody {
    /// The login, or a part of it (`login/tab`): for `DELETE …/sessions/{session}/`.
    pub(crate) id: String,
    /// The same as `id`.
    pub(crate) session: String,
    /// The user agent of the login, when it is known.
    pub(crate) device: Option<String>,
    /// The address that the login came from, when it is known.
    pub(crate) address: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) since: String,
    #[schema(format = DateTime)]
    pub(crate) last_evidence: String,
    /// When it ends unless something is heard.
    #[schema(format = DateTime)]
    pub(crate) deadline: String,
    #[schema(value_type = words::Seen)]
    pub(crate) activity: &'static str,
}

/// The live sessions of a user, oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    pub(crate) sessions: Vec<SessionBody>,
    pub(crate) count: usize,
}
