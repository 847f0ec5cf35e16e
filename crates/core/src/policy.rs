//! The rules in numbers. A contradictory [`Policy`] cannot be built.

use core::fmt;
use core::time::Duration;

/// The timings of presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    inactivity_timeout: Duration,
    heartbeat_interval: Duration,
    reconnect_grace: Duration,
}

/// Why a [`Policy`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// A client that misses one beat would be thrown offline.
    TimeoutTooShort {
        /// The inactivity timeout asked for.
        inactivity_timeout: Duration,
        /// The heartbeat interval asked for.
        heartbeat_interval: Duration,
    },
    /// A heartbeat interval of nothing would be a busy loop in every client.
    IntervalTooShort,
    /// A dropped socket would be kept longer than a silent session.
    GraceTooLong,
    /// The inactivity timeout exceeds [`Policy::TIMEOUT_MAX`].
    TimeoutTooLong,
}

impl Policy {
    /// The longest inactivity timeout: one day.
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
    /// The shortest heartbeat interval: 100 ms.
    pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

    /// A policy, refused when its parts contradict each other: nothing has been built then.
    ///
    /// # Errors
    /// `inactivity_timeout` must be at least twice `heartbeat_interval`, `reconnect_grace` at most `inactivity_timeout`.
    pub fn new(
        inactivity_timeout: Duration,
        heartbeat_interval: Duration,
        reconnect_grace: Duration,
    ) -> Result<Self, PolicyError> {
        if heartbeat_interval < Self::INTERVAL_MIN {
            return Err(PolicyError::IntervalTooShort);
        }
        if inactivity_timeout > Self::TIMEOUT_MAX {
            return Err(PolicyError::TimeoutTooLong);
        }
        if inactivity_timeout < heartbeat_interval.saturating_mul(2) {
            return Err(PolicyError::TimeoutTooShort { inactivity_timeout, heartbeat_interval });
        }
        if reconnect_grace > inactivity_timeout {
            return Err(PolicyError::GraceTooLong);
        }
        Ok(Self { inactivity_timeout, heartbeat_interval, reconnect_grace })
    }

    /// How long a session lives without evidence. Default 120 s.
    #[must_use]
    pub const fn inactivity_timeout(&self) -> Duration {
        self.inactivity_timeout
    }

    /// How often clients are asked to beat. Default 30 s.
    #[must_use]
    pub const fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval
    }

    /// How long a dropped socket may take to come back unseen. Default 10 s.
    #[must_use]
    pub const fn reconnect_grace(&self) -> Duration {
        self.reconnect_grace
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            inactivity_timeout: Duration::from_secs(120),
            heartbeat_interval: Duration::from_secs(30),
            reconnect_grace: Duration::from_secs(10),
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeoutTooShort { inactivity_timeout, heartbeat_interval } => write!(
                f,
                "inactivity_timeout ({inactivity_timeout:?}) must be at least twice heartbeat_interval \
                 ({heartbeat_interval:?}), or one lost heartbeat makes a user offline"
            ),
            Self::IntervalTooShort => {
                write!(f, "heartbeat_interval must be at least {:?}", Policy::INTERVAL_MIN)
            }
            Self::GraceTooLong => f.write_str("reconnect_grace must not exceed inactivity_timeout"),
            Self::TimeoutTooLong => write!(f, "inactivity_timeout must be at most {:?}", Policy::TIMEOUT_MAX),
        }
    }
}

impl core::error::Error for PolicyError {}

/// What one engine holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Users in memory: online, away, overridden or barred. An input that would add one more is
    /// [rejected](crate::Rejected::TooManyUsers), and nothing changes.
    pub users_max: u32,
    /// Live sessions of one user, at least one. To open one more, the one that was silent longest is ended: nobody is ever
    /// refused for it, and who opens too many ends only their own.
    pub sessions_per_user_max: u16,
}

impl Limits {
    /// The longest name of a user or of a session, in bytes.
    pub const ID_BYTES_MAX: usize = 128;
}

impl Default for Limits {
    fn default() -> Self {
        Self { users_max: 16_000_000, sessions_per_user_max: 100 }
    }
}
