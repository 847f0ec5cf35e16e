//! From the types of the core and of the accounts to the wire.

use jiff::Timestamp;
use presently::store::TransitionRow;
use presently::{Presence, Status};
use presently_accounts::{Account, ApiKey, TokenPair};

use super::{KeyBody, ListedUser, Moment, OnlineStatusBody, OnlineUser, PresenceBody, Tokens, TransitionBody, User};

/// RFC 3339 in UTC with `Z` and microseconds.
pub(crate) fn time(moment: presently::Timestamp) -> String {
    jiff_time(Timestamp::from_microsecond(moment.0).unwrap_or_default())
}

/// RFC 3339 in UTC with `Z` and microseconds.
pub(crate) fn jiff_time(moment: Timestamp) -> String {
    format!("{moment:.6}")
}

/// PRESENCE, true at `as_of`.
pub(crate) fn presence(presence: Presence, as_of: presently::Timestamp) -> PresenceBody {
    PresenceBody {
        user_id: presence.user,
        status: presence.status.as_str(),
        last_seen: presence.last_seen.map(Moment),
        since: presence.since.map(Moment),
        as_of: Moment(as_of),
    }
}

/// A line of the history.
pub(crate) fn transition(row: &TransitionRow) -> TransitionBody {
    TransitionBody {
        from: row.from.as_str(),
        to: row.to.as_str(),
        at: Moment(row.at),
        last_seen: row.last_seen.map(Moment),
        reason: row.reason.as_str(),
    }
}

/// USER: the account, with the live presence.
pub(crate) fn user(account: Account, presence: &Presence) -> User {
    let full_name = match (account.first_name.is_empty(), account.last_name.is_empty()) {
        (false, false) => format!("{} {}", account.first_name, account.last_name),
        _ => format!("{}{}", account.first_name, account.last_name),
    };
    let created_at = jiff_time(account.created_at);
    User {
        id: account.id.0,
        full_name,
        display_status: if account.is_active { account.status.as_str() } else { "inactive" },
        status: account.status.as_str(),
        role: account.role.as_str(),
        online_status: presence.status.as_str(),
        is_online: presence.status == Status::Online,
        last_seen: presence.last_seen.map(time),
        join_date: created_at.clone(),
        created_at,
        updated_at: jiff_time(account.updated_at),
        username: account.username,
        email: account.email,
        first_name: account.first_name,
        last_name: account.last_name,
        avatar: account.avatar,
        bio: account.bio,
        is_active: account.is_active,
        is_staff: account.is_staff,
        message_count: account.message_count,
        report_count: account.report_count,
        email_verified: account.email_verified,
        is_approved: account.is_approved,
    }
}

/// A line of the list of everybody; the address only for admins.
pub(crate) fn listed(account: Account, presence: &Presence, for_admin: bool) -> ListedUser {
    ListedUser {
        id: account.id.0,
        username: account.username,
        email: if for_admin { account.email } else { String::new() },
        first_name: account.first_name,
        last_name: account.last_name,
        online_status: presence.status.as_str(),
        last_seen: presence.last_seen.map(time),
        role: account.role.as_str(),
        status: account.status.as_str(),
        is_active: account.is_active,
        created_at: jiff_time(account.created_at),
    }
}

/// A line of the list of who is online; the address only for admins.
pub(crate) fn online(account: &Account, presence: &Presence, for_admin: bool) -> OnlineUser {
    OnlineUser {
        id: account.id.0,
        username: account.username.clone(),
        email: if for_admin { account.email.clone() } else { String::new() },
        online_status: presence.status.as_str(),
        last_seen: presence.last_seen.map(time),
        role: account.role.as_str(),
        status: account.status.as_str(),
    }
}

/// The answer about one user.
pub(crate) fn online_status(account: Account, presence: &Presence) -> OnlineStatusBody {
    OnlineStatusBody {
        user_id: account.id.0,
        username: account.username,
        online_status: presence.status.as_str(),
        last_seen: presence.last_seen.map(time),
        is_online: presence.status == Status::Online,
    }
}

/// A key, as far as it can be shown.
pub(crate) fn key(key: ApiKey) -> KeyBody {
    KeyBody {
        id: key.id.0,
        name: key.name,
        prefix: key.prefix,
        created_at: jiff_time(key.created_at),
        last_used_at: key.last_used_at.map(jiff_time),
        revoked_at: key.revoked_at.map(jiff_time),
    }
}

impl From<TokenPair> for Tokens {
    fn from(pair: TokenPair) -> Self {
        Self { access: pair.access, refresh: pair.refresh }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_microseconds_and_a_z() {
        assert_eq!(time(presently::Timestamp(1_764_000_000_000_000)), "2025-11-24T16:00:00.000000Z");
        assert_eq!(time(presently::Timestamp(1_764_000_000_813_742)), "2025-11-24T16:00:00.813742Z");
    }
}
