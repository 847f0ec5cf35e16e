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
        let name = path.join("presently.lock");
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
        let name = self.path.join("secret-key");
        match std::fs::read_to_string(&name) {
            Ok(secret) => Ok(Some(secret.trim_end().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", name.display())),
        }
    }

    /// The secret kept here, made at the first start.
    pub(crate) fn secret_key(&self) -> Result<String, String> {
        let name = self.path.join("secret-key");
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
}
