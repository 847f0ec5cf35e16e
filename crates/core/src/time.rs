//! Two clocks: deadlines live on [`Tick`], which never goes back; what is told and stored is a [`Timestamp`].

use core::ops::{Add, Sub};
use core::time::Duration;

/// Microseconds of a clock that never goes back and has no meaning outside the process. Deadlines are ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// Wall time: microseconds since 1970-01-01T00:00:00Z. It may step in either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// The moment at which something happens, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub tick: Tick,
    /// For people and for the disk.
    pub wall: Timestamp,
}

impl Add<Duration> for Tick {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(length.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Tick {
    type Output = Duration;
    /// The time from `earlier` to `self`; zero when `earlier` is the later one.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Timestamp {
    /// The time from `earlier` to `self`; zero when the clock stepped back in between.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(if micros > 0 { micros.unsigned_abs() } else { 0 })
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(length.as_micros()).unwrap_or(i64::MAX)))
    }
}
