//! What becomes of an account. **It is decided on the account as the store holds it, while nobody else can change it.**

use jiff::Timestamp;

use crate::{Account, AccountStatus, PasswordHash, Role, StoreError, fold_case};

/// What is to change; `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in Account")]
pub struct Changes {
    pub username: Option<String>,
    pub email: Option<String>,
    pub password: Option<PasswordHash>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub avatar: Option<Option<String>>,
    pub bio: Option<String>,
    pub role: Option<Role>,
    pub status: Option<AccountStatus>,
    pub is_active: Option<bool>,
    pub is_staff: Option<bool>,
    pub email_verified: Option<bool>,
    pub is_approved: Option<bool>,
    /// Only while the password is still this one; else [`StoreError::PasswordChanged`].
    pub password_was: Option<PasswordHash>,
    /// A pending account becomes active, an active one stays so; any other is [`StoreError::NotPending`].
    pub approve: bool,
    /// Sessions end and tokens issued until now are void.
    pub end_sessions: bool,
    /// The session of this id does not end with the others.
    pub spare: Option<String>,
}

impl Changes {
    /// Whether an admin may be none afterwards: such changes are decided one after the other.
    #[must_use]
    pub fn may_take_an_admin(&self) -> bool {
        self.role.is_some() || self.is_staff.is_some() || self.status.is_some() || self.is_active.is_some()
    }
}

impl Account {
    /// The account after `changes`.
    ///
    /// # Errors
    /// When it is not one that may be changed so. Whether it was the last admin is for the store to find out.
    pub fn changed(self, changes: Changes, now: Timestamp) -> Result<Self, StoreError> {
        if changes.password_was.is_some_and(|was| was != self.password) {
            return Err(StoreError::PasswordChanged);
        }
        let status = match self.status {
            AccountStatus::Active | AccountStatus::Pending if changes.approve => AccountStatus::Active,
            other if changes.approve => return Err(StoreError::NotPending(other)),
            old => changes.status.unwrap_or(old),
        };
        let has_new_email = changes.email.as_ref().is_some_and(|email| fold_case(email) != fold_case(&self.email));
        let email_verified = self.email_verified && !has_new_email;
        Ok(Self {
            username: changes.username.unwrap_or(self.username),
            email: changes.email.unwrap_or(self.email),
            password: changes.password.unwrap_or(self.password),
            first_name: changes.first_name.unwrap_or(self.first_name),
            last_name: changes.last_name.unwrap_or(self.last_name),
            avatar: changes.avatar.unwrap_or(self.avatar),
            bio: changes.bio.unwrap_or(self.bio),
            role: changes.role.unwrap_or(self.role),
            status,
            is_active: changes.is_active.unwrap_or(self.is_active),
            is_staff: changes.is_staff.unwrap_or(self.is_staff),
            email_verified: changes.email_verified.unwrap_or(email_verified),
            is_approved: changes.is_approved.unwrap_or(self.is_approved || changes.approve),
            updated_at: now,
            tokens_valid_after: if changes.end_sessions { Some(now) } else { self.tokens_valid_after },
            ..self
        })
    }
}
