//! Open files: each connection is one. **The server never starts with fewer than its settings need**: it would find out in the
//! middle of a busy day.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::settings::{BadSettings, Settings};

/// What is kept for everything else: the database, the other nodes, the listeners, those who are being refused, files.
const KEPT: u64 = 160;
/// With fewer seats than these a server is none.
const SEATS_MIN: usize = 16;

/// Raises the limit of open files as far as it goes, and fits the connections under it.
pub(crate) fn make_room(settings: &mut Settings) -> Result<(), BadSettings> {
    let limit = raised();
    let given = settings.connections_max;
    settings.connections_max = fitted(given, limit)?;
    if let (None, Some(connections_max), Some(open_files_max)) = (given, settings.connections_max, limit) {
        tracing::info!(
            connections_max,
            open_files_max,
            "connections_max was lowered to what the limit of open files leaves room for"
        );
    }
    Ok(())
}

/// The limit of open files; `None` is none.
fn raised() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        // Some systems say "unlimited" and refuse it.
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current = before;
        }
    }
    limit.current
}

/// How many connections there may be under a limit.
fn fitted(given: Option<usize>, limit: Option<u64>) -> Result<Option<usize>, BadSettings> {
    let Some(limit) = limit else { return Ok(given) };
    let room = usize::try_from(limit.saturating_sub(KEPT)).unwrap_or(usize::MAX);
    let what = "raise it (ulimit -n, or LimitNOFILE= of systemd)";
    match given {
        Some(given) if given > room => Err(BadSettings(format!(
            "connections_max is {given}, but the limit of open files is {limit}, of which {KEPT} are kept for other things: {what}, \
             or give --connections-max {room} or less"
        ))),
        None if room < SEATS_MIN => Err(BadSettings(format!(
            "the limit of open files is {limit}, of which {KEPT} are kept, which leaves no room for connections: {what}"
        ))),
        None if room < Settings::CONNECTIONS_MAX => Ok(Some(room)),
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_fits_or_is_refused_by_both_names() {
        assert_eq!(fitted(Some(100), Some(100 + KEPT)).unwrap(), Some(100));
        let refusal = fitted(Some(101), Some(100 + KEPT)).unwrap_err().0;
        assert!(refusal.contains("connections_max is 101") && refusal.contains("260"), "{refusal}");
        assert_eq!(fitted(Some(1_000_000), None).unwrap(), Some(1_000_000));
    }

    #[test]
    fn what_was_not_given_is_lowered_to_what_fits() {
        assert_eq!(fitted(None, Some(1_024)).unwrap(), Some(864));
        assert_eq!(fitted(None, Some(1_000_000)).unwrap(), None);
        assert_eq!(fitted(None, None).unwrap(), None);
        assert!(fitted(None, Some(170)).is_err());
    }
}
