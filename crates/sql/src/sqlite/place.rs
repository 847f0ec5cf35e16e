//! Whether the file is still where it was opened. **What went into a file that nobody will find again is not acknowledged.**
//!
//! SQLite writes on into a file that was deleted, moved or replaced, and a restart finds another one. So the file and its log are compared
//! with what was opened, before and after each transaction.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;

/// Where a database was opened.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    log_path: PathBuf,
    file: Option<Identity>,
    seen: Mutex<Seen>,
    is_told: AtomicBool,
}

/// A file on a disk, whatever its name: device and inode.
type Identity = (u64, u64);

#[derive(Debug, Default)]
struct Seen {
    /// The log in use; `None` until the writer's new connection has made a transaction.
    log: Option<Identity>,
    /// The length of the file, which never shrinks: no page is given back.
    bytes: u64,
}

impl Place {
    /// Of a database that was opened just now.
    pub(crate) fn of(path: &Path) -> Self {
        // SQLite puts the log beside the file itself, also when the path is a link to it.
        let mut log_path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
        log_path.push("-wal");
        let log_path = PathBuf::from(log_path);
        let found = std::fs::metadata(path).ok();
        let log = std::fs::metadata(&log_path).ok().as_ref().and_then(identity);
        let seen = Seen { log, bytes: found.as_ref().map_or(0, Metadata::len) };
        Self {
            path: path.to_owned(),
            log_path,
            file: found.as_ref().and_then(identity),
            seen: Mutex::new(seen),
            is_told: AtomicBool::new(false),
        }
    }

    /// Before and after a transaction: an error when what was written, or would be, is lost.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Err(what) = self.compare() else {
            if self.is_told.swap(false, Ordering::Relaxed) {
                tracing::info!(path = %self.path.display(), "the database is back in its place");
            }
            return Ok(());
        };
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::error!(
                path = %self.path.display(),
                "{what} under the running server; nothing is kept from now on. Put back what was there and restart"
            );
        }
        Err(Failure::Unwritable(format!("{what} under the running server: put back what was there and restart")))
    }

    /// The writer closed its connection itself: another log may be made for the next one.
    pub(crate) fn forget_log(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).log = None;
    }

    fn compare(&self) -> Result<(), &'static str> {
        let Some(opened) = self.file else { return Ok(()) };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = std::fs::metadata(&self.path).map_err(|_| "the database file was deleted or moved")?;
        if identity(&found) != Some(opened) {
            return Err("the database file was replaced");
        }
        if found.len() < seen.bytes {
            return Err("the database file was overwritten");
        }
        seen.bytes = found.len();
        let log = std::fs::metadata(&self.log_path).ok().as_ref().and_then(identity);
        match (seen.log, log) {
            (Some(_), None) => Err("the log of the database was deleted or moved"),
            (Some(before), Some(log)) if log != before => Err("the log of the database was replaced"),
            _ => {
                seen.log = log;
                Ok(())
            }
        }
    }
}

#[cfg(unix)]
fn identity(file: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    Some((file.dev(), file.ino()))
}

/// Elsewhere an open file can be neither deleted nor moved.
#[cfg(not(unix))]
fn identity(_file: &Metadata) -> Option<Identity> {
    None
}
