//! The data folder: locked by one server at a time, with the secret inside. **Files in it are readable by their owner alone.**

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// A locked data folder; the lock goes with the process.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, String> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        make(path).map_err(|error| format!("cannot make the data folder {}: {error}", path.display()))?;
        let name = path.join(LOCK_FILE);
        let lock = private(OpenOptions::new().create(true).truncate(false).write(true))
            .open(&name)
            .map_err(|error| format!("cannot open {}: {error}", name.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another presently serves from {}; stop it, or give this one another --database-url",
                path.display()
            )),
            Err(TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", name.display())),
        }
    }

    /// The secret kept here, if one was made.
    pub(crate) fn kept_secret_key(&self) -> Result<Option<String>, String> {
        let name = self.path.join(SECRET_FILE);
        match std::fs::read_to_string(&name) {
            Ok(secret) => Ok(Some(secret.trim_end().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", name.display())),
        }
    }

    /// The secret kept here, made at the first start.
    pub(crate) fn secret_key(&self) -> Result<String, String> {
        let name = self.path.join(SECRET_FILE);
        let explain = |error: std::io::Error| format!("cannot read or make {}: {error}", name.display());
        match private(OpenOptions::new().create_new(true).write(true)).open(&name) {
            Ok(mut file) => {
                let secret = random_text::<32>().map_err(explain)?;
                file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()).map_err(explain)?;
                Ok(secret)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut secret = String::new();
                File::open(&name).and_then(|mut file| file.read_to_string(&mut secret)).map_err(explain)?;
                Ok(secret.trim_end().to_owned())
            }
            Err(error) => Err(explain(error)),
        }
    }
}

/// What the secret is called in the data folder, and what is locked there.
const SECRET_FILE: &str = "secret-key";
const LOCK_FILE: &str = "presently.lock";

/// Takes away what others may do with a database that is there already, its log, the secret beside it and their folder.
///
/// # Errors
/// A sentence, where that cannot be done: then everybody on the machine may read the secret or put in another.
#[cfg(unix)]
pub(crate) fn keep_private(database: &Path) -> Result<(), String> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let log = |end: &str| database.with_file_name(format!("{}{end}", file_name(database)));
    let files = [database.to_owned(), log("-wal"), log("-shm"), folder.join(SECRET_FILE), folder.join(LOCK_FILE)];
    for file in &files {
        close(file, 0o600).map_err(|(mode, error)| {
            let file = file.display();
            format!(
                "{file} is open to others (mode {mode:o}), which cannot be changed ({error}): chmod 600 it as its owner"
            )
        })?;
    }
    if !folder.exists() {
        return Ok(());
    }
    if is_ours(folder, database) {
        return match close(folder, 0o700) {
            Err((mode, error)) if mode & 0o002 != 0 => Err(format!(
                "everybody may write into the data folder {} (mode {mode:o}), which cannot be changed ({error}): \
                 chmod 700 it as its owner",
                folder.display()
            )),
            // Of a volume that belongs to somebody else: the files are closed.
            Err((mode, error)) => {
                tracing::warn!(folder = %folder.display(), mode = %format!("{mode:o}"), %error, "data folder left open");
                Ok(())
            }
            Ok(()) => Ok(()),
        };
    }
    // With the sticky bit, as of a folder for temporary files, nobody can replace what belongs to others.
    match mode(folder) {
        Some(mode) if mode & 0o002 != 0 && mode & 0o1000 == 0 => Err(format!(
            "everybody may write into the folder {} (mode {mode:o}), and there is more in it than Presently's: \
             chmod o-w it, or give the database a folder of its own",
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// Files have no such modes here.
#[cfg(not(unix))]
pub(crate) fn keep_private(_database: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(unix)]
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether nothing but a data folder's is in it. A folder that holds other things as well is not ours to close.
#[cfg(unix)]
fn is_ours(folder: &Path, database: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let database = file_name(database);
    entries.flatten().all(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(&database) || name == SECRET_FILE || name == LOCK_FILE
    })
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o7777)
}

/// Leaves the owner what `most` has, and others nothing; what is not there is passed over. An error comes with the mode that stays.
#[cfg(unix)]
fn close(path: &Path, most: u32) -> Result<(), (u32, std::io::Error)> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(mode) = mode(path).filter(|mode| mode & 0o077 != 0) else { return Ok(()) };
    let closed = std::fs::Permissions::from_mode(most);
    std::fs::set_permissions(path, closed).map_err(|error| (mode, error))?;
    tracing::warn!(path = %path.display(), mode = %format!("{mode:o}"), "was open to others, and is not any more");
    Ok(())
}

fn make(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// `N` random bytes in hexadecimal.
pub(crate) fn random_text<const N: usize>() -> std::io::Result<String> {
    use std::fmt::Write as _;
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().fold(String::with_capacity(2 * N), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_the_secret_stays() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("deep/data");
        let first = Folder::lock(&path).unwrap();
        assert!(Folder::lock(&path).unwrap_err().contains("another presently"));
        let secret = first.secret_key().unwrap();
        assert_eq!(secret.len(), 64);
        assert_eq!(first.secret_key().unwrap(), secret);
        drop(first);
        assert_eq!(Folder::lock(&path).unwrap().secret_key().unwrap(), secret);
    }

    #[cfg(unix)]
    #[test]
    fn what_was_open_to_others_is_closed_and_a_folder_of_other_things_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().unwrap();
        let open = |name: &str, mode| {
            let path = data.path().join(name);
            std::fs::write(&path, "x").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let files = ["presently.db", "presently.db-wal", "secret-key"].map(|name| open(name, 0o664));
        let set = |mode| std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o755);
        keep_private(&files[0]).unwrap();
        assert!(files.iter().all(|file| mode(file) == Some(0o600)));
        assert_eq!(mode(data.path()), Some(0o700));

        let other = open("letter.txt", 0o644);
        set(0o755);
        open("secret-key", 0o604);
        keep_private(&files[0]).unwrap();
        assert_eq!((mode(data.path()), mode(&files[2]), mode(&other)), (Some(0o755), Some(0o600), Some(0o644)));
        set(0o1777);
        keep_private(&files[0]).unwrap();
        set(0o777);
        assert!(keep_private(&files[0]).unwrap_err().contains("everybody may write"));
    }
}
