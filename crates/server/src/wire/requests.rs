//! What callers send. Unknown fields are ignored; wrong types are refused by name.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::words;

/// A login.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    #[schema(required, value_type = String)]
    pub(crate) username: Option<String>,
    #[schema(required, value_type = String)]
    pub(crate) password: Option<String>,
}

/// A new account.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Register {
    #[schema(required, value_type = String)]
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    #[schema(required, value_type = String)]
    pub(crate) password: Option<String>,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Refresh {
    #[schema(required, value_type = String)]
    pub(crate) refresh: Option<String>,
}

/// A token to look at.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Verify {
    #[schema(required, value_type = String)]
    pub(crate) token: Option<String>,
}

/// The end of a session.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Logout {
    /// The session of this token ends too.
    pub(crate) refresh_token: Option<String>,
}

/// A heartbeat.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Heartbeat {
    /// What the client saw of its person: `active` (also when absent) or `idle`.
    #[schema(value_type = Option<words::Seen>)]
    pub(crate) activity: Option<String>,
    /// The tab or device, within this login: 1 to 64 printable characters without `/`.
    #[schema(example = "tab-7")]
    pub(crate) session: Option<String>,
}

/// A status for somebody.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SetOnlineStatus {
    /// `online`, `away`, `offline`, or null to clear an override.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<words::Shown>)]
    pub(crate) status: Option<Option<String>>,
    /// Seconds that an override stands; without it the status holds until the user's next evidence.
    pub(crate) expires_in: Option<f64>,
}

/// Why an admin does something; kept in the audit log.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Why {
    pub(crate) reason: Option<String>,
}

/// An account that an admin makes.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CreateUser {
    #[schema(required, value_type = String)]
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    #[schema(required, value_type = String)]
    pub(crate) password: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    /// `admin`, `moderator` or `user` (default).
    #[schema(value_type = Option<words::Rank>)]
    pub(crate) role: Option<String>,
    /// `active` (default), `pending`, `suspended` or `banned`.
    #[schema(value_type = Option<words::State>)]
    pub(crate) status: Option<String>,
    pub(crate) is_staff: Option<bool>,
}

/// What somebody changes of their own account; what is absent stays.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChangeProfile {
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) email: Option<String>,
    /// At most 1,000 characters.
    pub(crate) bio: Option<String>,
    /// URL of a picture (http or https, at most 500 characters), or null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "https://example.org/ada.png")]
    pub(crate) avatar: Option<Option<String>>,
}

/// A new password, chosen by its owner.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChangePassword {
    #[schema(required)]
    pub(crate) old_password: Option<String>,
    #[schema(required)]
    pub(crate) new_password: Option<String>,
}

/// What an admin changes of an account; what is absent stays.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PatchUser {
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) bio: Option<String>,
    /// `admin`, `moderator` or `user`.
    #[schema(value_type = Option<words::Rank>)]
    pub(crate) role: Option<String>,
    pub(crate) is_staff: Option<bool>,
    /// False deactivates the account at once; `activate/` reverses it.
    pub(crate) is_active: Option<bool>,
    /// A new password. Every session of the user ends; of one's own account, every other one.
    pub(crate) password: Option<String>,
}

/// Users to ask about.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Query {
    /// Up to 10,000, each 1 to 128 bytes.
    #[schema(required, value_type = Vec<String>)]
    pub(crate) users: Option<Vec<String>>,
}

/// Whether the caller wants to be seen.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SetInvisible {
    /// True: offline to everybody else but admins.
    #[schema(required)]
    pub(crate) invisible: Option<bool>,
}

/// Tells a null from an absent field.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}
