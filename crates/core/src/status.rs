//! The words of presence. Their declaration order is their merge order.

use crate::{Timestamp, UserId};

/// What others may know of a user, in merge order: the greatest status of a user's sessions is the user's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing was heard for the inactivity timeout, or every session ended.
    #[default]
    Offline,
    /// There are sessions, and all of them are idle.
    Away,
    /// At least one session is active.
    Online,
}

impl Status {
    /// The word used on the wire and on the disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Away => "away",
            Self::Online => "online",
        }
    }

    /// The status named by `word`, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "offline" => Some(Self::Offline),
            "away" => Some(Self::Away),
            "online" => Some(Self::Online),
            _ => None,
        }
    }
}

/// What a session's client saw of its person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// Nobody touched it for a while: the session is away.
    Idle,
    /// Somebody is there.
    #[default]
    Active,
}

impl Activity {
    /// The status of a user whose only session has this activity.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Idle => Status::Away,
            Self::Active => Status::Online,
        }
    }

    /// The word used on the wire and on the disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
        }
    }

    /// The activity named by `word`, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "idle" => Some(Self::Idle),
            "active" => Some(Self::Active),
            _ => None,
        }
    }
}

/// Who set an override, weakest first: the strongest one that stands is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The application's back end.
    Application,
    /// The user.
    User,
    /// An administrator.
    Admin,
}

impl Source {
    /// Every source, weakest first.
    pub const ALL: [Self; 3] = [Self::Application, Self::User, Self::Admin];

    /// The word used on the wire and on the disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// The source named by `word`, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }
}

/// Why a status changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Evidence opened a session, or ended a status that held until it.
    Evidence,
    /// A session became idle, or active again.
    Activity,
    /// The user logged out.
    Logout,
    /// A socket closed and nobody came back within the grace, or a tab said that it goes.
    Disconnected,
    /// The deadline of the last session (of this rank) passed.
    Expired,
    /// A status was set that holds until the next evidence.
    Set,
    /// An override began.
    Override,
    /// An override ended or was cleared.
    OverrideEnded,
    /// An administrator ended the sessions.
    ForcedLogout,
    /// The account may not be present (suspended, banned, deactivated), or may be again.
    Barred,
    /// The safety net found the store and the engine to differ.
    Mended,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Evidence,
        Self::Activity,
        Self::Logout,
        Self::Disconnected,
        Self::Expired,
        Self::Set,
        Self::Override,
        Self::OverrideEnded,
        Self::ForcedLogout,
        Self::Barred,
        Self::Mended,
    ];

    /// The word used on the wire and on the disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Activity => "activity",
            Self::Logout => "logout",
            Self::Disconnected => "disconnected",
            Self::Expired => "expired",
            Self::Set => "set",
            Self::Override => "override",
            Self::OverrideEnded => "override_ended",
            Self::ForcedLogout => "forced_logout",
            Self::Barred => "barred",
            Self::Mended => "mended",
        }
    }

    /// The reason named by `word`, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What may be known of one user at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whose presence this is.
    pub user: UserId,
    /// The merged status, with overrides on top.
    pub status: Status,
    /// The last evidence; `None` for a user who was never heard, or of whom the engine was not told what the store knows.
    pub last_seen: Option<Timestamp>,
    /// When this status began; `None` likewise.
    pub since: Option<Timestamp>,
}
