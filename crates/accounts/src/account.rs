//! An account: who somebody is, and what they may.

use std::fmt;

use jiff::Timestamp;

/// The number of an account. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub i64);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `text` without the difference between cases, in any script: what usernames are unique by and searches compare.
///
/// Letter by letter through the capital, so that `ß` is `ss` and both small sigmas are one.
#[must_use]
pub fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// What applications make of it; to Presently the same as a user.
    Moderator,
    /// Their own things.
    #[default]
    User,
}

impl Role {
    /// The word used on the wire and on the disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Moderator => "moderator",
            Self::User => "user",
        }
    }
    /// The role named by `word`, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Admin, Self::Moderator, Self::User].into_iter().find(|role| role.as_str() == word)
    }
}

/// Whether an account may sign in and be present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountStatus {
    /// It may.
    #[default]
    Active,
    /// Not yet approved.
    Pending,
    /// Not for now.
    Suspended,
    /// Not any more.
    Banned,
}

impl AccountStatus {
    /// The word used on the wire and on the disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Banned => "banned",
        }
    }
    /// The state named by `word`, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Pending, Self::Suspended, Self::Banned].into_iter().find(|s| s.as_str() == word)
    }
}

/// An encoded password hash (PHC string or one of Django's formats). Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl PasswordHash {
    /// What the hashes that are made today begin with.
    pub const TODAY: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// One account. Presence is no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// The name to sign in with: unique in any case of letters.
    pub username: String,
    /// The e-mail address, or empty.
    pub email: String,
    /// The password's hash.
    pub password: PasswordHash,
    /// Given name, or empty.
    pub first_name: String,
    /// Family name, or empty.
    pub last_name: String,
    /// URL of a picture.
    pub avatar: Option<String>,
    /// A few words, or empty.
    pub bio: String,
    /// The role.
    pub role: Role,
    /// The state.
    pub status: AccountStatus,
    /// False when deactivated.
    pub is_active: bool,
    /// Whether they are staff: an admin, whatever the role.
    pub is_staff: bool,
    /// Whether the e-mail address was confirmed.
    pub email_verified: bool,
    /// Whether an admin approved the account.
    pub is_approved: bool,
    /// Kept for front ends that show it.
    pub message_count: i64,
    /// Kept for front ends that show it.
    pub report_count: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Tokens issued at or before this moment are void (whole seconds count as before).
    pub tokens_valid_after: Option<Timestamp>,
}

impl Account {
    /// Whether they may administer: staff, or role admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.is_staff || self.role == Role::Admin
    }
    /// Whether they administer now: somebody of these there must always be.
    #[must_use]
    pub fn is_active_admin(&self) -> bool {
        self.is_admin() && self.may_be_present()
    }
    /// Whether they may be present.
    #[must_use]
    pub fn may_be_present(&self) -> bool {
        self.is_active && self.status == AccountStatus::Active
    }
}

/// What a new account is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in Account")]
pub struct NewAccount {
    pub username: String,
    pub email: String,
    pub password: PasswordHash,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
    pub status: AccountStatus,
    pub is_staff: bool,
    pub email_verified: bool,
    pub is_approved: bool,
}

impl NewAccount {
    /// The account that it is under its number.
    #[must_use]
    pub fn made(self, id: AccountId, now: Timestamp) -> Account {
        Account {
            id,
            username: self.username,
            email: self.email,
            password: self.password,
            first_name: self.first_name,
            last_name: self.last_name,
            avatar: None,
            bio: String::new(),
            role: self.role,
            status: self.status,
            is_active: true,
            is_staff: self.is_staff,
            email_verified: self.email_verified,
            is_approved: self.is_approved,
            message_count: 0,
            report_count: 0,
            created_at: now,
            updated_at: now,
            tokens_valid_after: None,
        }
    }
}
