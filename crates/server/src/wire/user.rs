//! Accounts on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::words;

/// An account with its live presence.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = User)]
pub(crate) struct User {
    #[schema(example = 5)]
    pub(crate) id: i64,
    pub(crate) username: String,
    /// Empty when none was given.
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) full_name: String,
    /// URL of a picture.
    pub(crate) avatar: Option<String>,
    pub(crate) bio: String,
    #[schema(value_type = words::Rank)]
    pub(crate) role: &'static str,
    #[schema(value_type = words::State)]
    pub(crate) status: &'static str,
    /// `inactive` when `is_active` is false, else `status`.
    #[schema(value_type = words::ShownState)]
    pub(crate) display_status: &'static str,
    pub(crate) is_active: bool,
    pub(crate) is_staff: bool,
    /// The live one.
    #[schema(value_type = words::Shown)]
    pub(crate) online_status: &'static str,
    pub(crate) is_online: bool,
    /// The last evidence of life; null when there never was any.
    #[schema(format = DateTime)]
    pub(crate) last_seen: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) join_date: String,
    pub(crate) message_count: i64,
    pub(crate) report_count: i64,
    pub(crate) email_verified: bool,
    pub(crate) is_approved: bool,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
}

/// Two tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// For `Authorization: Bearer`.
    pub(crate) access: String,
    /// For a refresh.
    pub(crate) refresh: String,
}

/// A login that succeeded.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedInBody {
    pub(crate) user: User,
    pub(crate) tokens: Tokens,
}

/// A login of the caller's.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnSession {
    /// For `DELETE /api/auth/sessions/{id}/`.
    pub(crate) id: String,
    /// Whether this request came with its token.
    pub(crate) current: bool,
    /// The user agent at the login.
    pub(crate) device: String,
    /// The address that the login came from.
    pub(crate) address: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// The last evidence of life while it is present; else when it was last refreshed, or opened.
    #[schema(format = DateTime)]
    pub(crate) last_seen: String,
    /// When it ends unless it is refreshed.
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
}

/// The caller's logins, oldest first; at most 1,000.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnSessions {
    pub(crate) sessions: Vec<OwnSession>,
}

/// A sentence.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    pub(crate) message: String,
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsersPage {
    /// How many there are in all.
    pub(crate) count: u64,
    /// Where the next page is.
    pub(crate) next: Option<String>,
    /// Where the previous page is.
    pub(crate) previous: Option<String>,
    pub(crate) results: Vec<User>,
}

/// One of everybody.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListedUser {
    pub(crate) id: i64,
    pub(crate) username: String,
    /// Empty unless the caller is an admin.
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    #[schema(value_type = words::Shown)]
    pub(crate) online_status: &'static str,
    #[schema(format = DateTime)]
    pub(crate) last_seen: Option<String>,
    #[schema(value_type = words::Rank)]
    pub(crate) role: &'static str,
    #[schema(value_type = words::State)]
    pub(crate) status: &'static str,
    pub(crate) is_active: bool,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
}

/// Everybody, newest account first; at most 50,000 of them.
#[derive(Serialize, ToSchema)]
pub(crate) struct AllUsers {
    pub(crate) users: Vec<ListedUser>,
    /// How many there are in all.
    pub(crate) count: u64,
}
