//! What the engine can be told: facts and requests.

use core::fmt;
use core::time::Duration;

use crate::{Activity, SessionId, SessionNumber, Source, Status, Timestamp, UserId};

/// Why a session is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The user said goodbye with this request: `last_seen` becomes now if it leaves them offline.
    Logout,
    /// The tab or socket closed cleanly; `last_seen` becomes now.
    Disconnected,
    /// An administrator ended it; `last_seen` stays.
    ForcedLogout,
}

/// A fact or a request. Names longer than [`Limits::ID_BYTES_MAX`](crate::Limits::ID_BYTES_MAX), or empty, are rejected.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// Something was heard from `session` of `user`: it is opened (active unless said otherwise) or renewed.
    /// `activity: None` keeps the activity of a live session. Ends a status that was [set](Input::Set) until the next evidence.
    Evidence {
        /// Whose evidence.
        user: &'a str,
        /// Which session was heard.
        session: &'a str,
        /// What its client saw, when it said so.
        activity: Option<Activity>,
    },
    /// `session` and every session below it (`session` + `"/…"`) end. Ending what is not there is no error; it has no effects
    /// for a user who is not in memory (a logout of one who is offline already: the caller moves the store's `last_seen`).
    /// A status [set](Input::Set) until the next evidence ends when a logout leaves no session.
    EndSession {
        /// Whose session.
        user: &'a str,
        /// The login, or one part of it.
        session: &'a str,
        /// Why.
        reason: EndReason,
    },
    /// Every session of the user ends, and a status set until the next evidence with them. Overrides stay.
    EndUser {
        /// Whose sessions.
        user: &'a str,
        /// Why.
        reason: EndReason,
    },
    /// The socket under `session` dropped without a goodbye: its deadline becomes now + `reconnect_grace`, if that is earlier.
    /// Evidence before it is as if nothing had happened; otherwise the reason is [`Reason::Disconnected`](crate::Reason::Disconnected).
    Drop {
        /// Whose session.
        user: &'a str,
        /// Which one.
        session: &'a str,
    },
    /// The status holds until the user's next evidence. `Offline` ends every session; `Online` and `Away` stand on top
    /// of the sessions and expire after the inactivity timeout. `Online` and `Offline` set `last_seen` to now, `Away` leaves it.
    /// Rejected as [`Rejected::Barred`] for a barred user unless the status is `Offline`. `Offline` has no effects for a user who is
    /// not in memory: their `since` must stay, and only the store knows it, so moving their `last_seen` is the caller's part.
    Set {
        /// Whose status.
        user: &'a str,
        /// The status to show.
        status: Status,
    },
    /// `status` stands on top of what the sessions say, until it ends or is cleared. One override per source; a new one replaces it.
    /// `last_seen` stays. Rejected as [`Rejected::Barred`] for a barred user.
    Override {
        /// Whose status.
        user: &'a str,
        /// On whose word.
        source: Source,
        /// The status to show.
        status: Status,
        /// How long it stands; `None` is until it is cleared.
        ends_after: Option<Duration>,
    },
    /// The override of this source ends now; what lies beneath shows again.
    ClearOverride {
        /// Whose override.
        user: &'a str,
        /// On whose word it was set.
        source: Source,
    },
    /// The user may not be present: offline from now on, sessions and overrides end, and evidence is [`Rejected::Barred`] until [`Input::Unbar`].
    Bar {
        /// Whom.
        user: &'a str,
    },
    /// The user may be present again, starting offline.
    Unbar {
        /// Whom.
        user: &'a str,
    },
    /// The user is erased: nothing of them remains, and nobody is told why. Watchers of a user who is not shown offline
    /// are told that they went ([`Reason::ForcedLogout`](crate::Reason::ForcedLogout)), before the erasure.
    Forget {
        /// Whom.
        user: &'a str,
    },
    /// What was known before a restart; apply it before anything else of this user. Announces nothing, unless what the store
    /// showed is not what its parts add up to. One who was offline and has no parts is ignored; a user in memory is left alone.
    /// One who was [barred](Input::Bar) while nobody listened loses the parts that the store still had.
    Restore(RestoredUser),
}

/// One user as the store knew them before a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredUser {
    /// Who.
    pub user: UserId,
    /// The status that was shown.
    pub status: Status,
    /// The last evidence.
    pub last_seen: Option<Timestamp>,
    /// When the status began.
    pub since: Timestamp,
    /// The live sessions.
    pub sessions: alloc::vec::Vec<RestoredSession>,
    /// The overrides that stand; those that ended while nobody looked are left out by the caller or given `ends_after` zero.
    pub overrides: alloc::vec::Vec<RestoredOverride>,
    /// A status that holds until the next evidence, and how much silence it has left.
    pub held: Option<(Status, Duration)>,
}

/// One live session before a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredSession {
    /// Its number.
    pub number: SessionNumber,
    /// Its name.
    pub session: SessionId,
    /// Its activity.
    pub activity: Activity,
    /// When it began.
    pub opened_at: Timestamp,
    /// Its last evidence.
    pub last_evidence: Timestamp,
    /// How much more silence it may keep. Silence counts only while somebody listens: the time the server was down is not part of it.
    pub remaining: Duration,
}

/// One override before a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredOverride {
    /// On whose word.
    pub source: Source,
    /// The status to show.
    pub status: Status,
    /// When it was set.
    pub set_at: Timestamp,
    /// When it ends, as stored; kept for those who ask.
    pub ends_at: Option<Timestamp>,
    /// How long it still stands; `None` is until it is cleared.
    pub ends_after: Option<Duration>,
}

/// Why an input was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The user is barred until [`Input::Unbar`].
    Barred,
    /// A name is empty or longer than [`Limits::ID_BYTES_MAX`](crate::Limits::ID_BYTES_MAX).
    BadName,
    /// The engine holds [`Limits::users_max`](crate::Limits::users_max) users.
    TooManyUsers,
    /// The session ended on somebody's word, which whoever heard it did not know yet. Only [`Engine::follow`](crate::Engine::follow) says so.
    Ended,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Barred => "the user may not be present; nothing has changed",
            Self::BadName => "a name is empty or too long; nothing has changed",
            Self::TooManyUsers => "the engine is full; nothing has changed",
            Self::Ended => "the session ended before this was heard of; nothing has changed",
        })
    }
}

impl core::error::Error for Rejected {}
