//! Times on the disk: whole microseconds since 1970.

use jiff::Timestamp;

/// What the disk keeps of `moment`.
pub(crate) fn micros(moment: Timestamp) -> i64 {
    moment.as_microsecond()
}

/// The moment that the disk kept; `None` when no calendar has it.
pub(crate) fn moment(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

/// `moment` as it will come back from the disk.
pub(crate) fn kept(moment: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(moment.as_microsecond()).unwrap_or(moment)
}
