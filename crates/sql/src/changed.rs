//! What an account is when it is made, and after a change.

use jiff::Timestamp;
use presently_accounts::{Account, AccountId, Changes, NewAccount};

/// What a new account is under its number.
pub(crate) fn made(id: AccountId, new: NewAccount, now: Timestamp) -> Account {
    Account {
        id,
        username: new.username,
        email: new.email,
        password: new.password,
        first_name: new.first_name,
        last_name: new.last_name,
        avatar: None,
        bio: String::new(),
        role: new.role,
        status: new.status,
        is_active: true,
        is_staff: new.is_staff,
        email_verified: new.email_verified,
        is_approved: new.is_approved,
        message_count: 0,
        report_count: 0,
        created_at: now,
        updated_at: now,
        tokens_valid_after: None,
    }
}

/// What an account is after a change.
pub(crate) fn changed(old: Account, changes: Changes, now: Timestamp) -> Account {
    Account {
        email: changes.email.unwrap_or(old.email),
        password: changes.password.unwrap_or(old.password),
        first_name: changes.first_name.unwrap_or(old.first_name),
        last_name: changes.last_name.unwrap_or(old.last_name),
        avatar: changes.avatar.unwrap_or(old.avatar),
        bio: changes.bio.unwrap_or(old.bio),
        role: changes.role.unwrap_or(old.role),
        status: changes.status.unwrap_or(old.status),
        is_active: changes.is_active.unwrap_or(old.is_active),
        is_staff: changes.is_staff.unwrap_or(old.is_staff),
        email_verified: changes.email_verified.unwrap_or(old.email_verified),
        is_approved: changes.is_approved.unwrap_or(old.is_approved),
        updated_at: now,
        tokens_valid_after: if changes.end_sessions { Some(now) } else { old.tokens_valid_after },
        ..old
    }
}
