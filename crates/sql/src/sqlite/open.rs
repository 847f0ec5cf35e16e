//! Opening: the folder, the file, its settings and its schema.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use presently_accounts::username_look;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};
use tokio::time::Instant;

use super::place::Place;
use crate::failure::{code, primary_code, sentence};

/// Each brings a database to the version of its number. **What was released never changes: a new step is a new file.**
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/sqlite/0001_first.sql")),
    (2, include_str!("../../migrations/sqlite/0002_veils.sql")),
    (3, include_str!("../../migrations/sqlite/0003_api_keys.sql")),
    (4, include_str!("../../migrations/sqlite/0004_accounts.sql")),
    (5, include_str!("../../migrations/sqlite/0005_looks.sql")),
];
/// The migration that the looks of usernames come with, and how many are read at once.
const LOOKS_VERSION: i64 = 5;
const LOOKS_AT_ONCE: i64 = 10_000;
/// `PRAGMA application_id` of a Presently database: "PRSN".
pub(crate) const APPLICATION_ID: i64 = 0x5052_534e;
/// How often a lock is tried that SQLite does not wait for.
const LOCK_RETRY_EVERY: Duration = Duration::from_millis(20);
/// The log is cut back to this after a checkpoint.
const LOG_BYTES_KEPT: &str = "33554432";

/// What may be chosen about a database.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// How long a lock of another process is waited for. Default 5 s.
    pub busy_timeout: Duration,
    /// Memory for pages of the one connection that writes, in KiB. Default 32 MiB.
    pub writer_cache_kib: u32,
    /// Memory for pages of each connection that reads, in KiB. Default 8 MiB.
    pub reader_cache_kib: u32,
    /// How many connections read. Default 4.
    pub readers: u32,
    /// A file of this many pages (of 4 KiB) is full: for tests of full disks.
    #[doc(hidden)]
    pub pages_max: Option<u32>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            writer_cache_kib: 32 * 1_024,
            reader_cache_kib: 8 * 1_024,
            readers: 4,
            pages_max: None,
        }
    }
}

/// Why a database was not opened. Each is one sentence for a person; nothing in the file has changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No SQLite database, a damaged one, or one of another program.
    #[error("{} is no usable Presently database: {why}", path.display())]
    NotADatabase {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file or its folder cannot be written.
    #[error("{} cannot be written: check the permissions of the file and of its folder ({why})", path.display())]
    ReadOnly {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Another process kept it locked.
    #[error("{} is locked by another process; try again when that is done", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// A newer Presently wrote it.
    #[error(
        "{} has schema version {found}, and this program knows versions up to {known}: use a newer Presently, or a backup from before its first start",
        path.display()
    )]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The system refused something else.
    #[error("{} cannot be opened: {why}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// An open database, before anybody uses it.
pub(crate) struct Opened {
    pub(crate) writer: SqliteConnection,
    pub(crate) writer_options: SqliteConnectOptions,
    pub(crate) readers: SqlitePool,
    pub(crate) place: Arc<Place>,
}

pub(crate) async fn open(path: &Path, options: &OpenOptions) -> Result<Opened, OpenError> {
    // An absolute path is never taken for a URI.
    let path = std::path::absolute(path).map_err(|error| system(path, &error))?;
    create(&path)?;
    let writer_options = writer_options(&path, options);
    let give_up_at = Instant::now() + options.busy_timeout;
    let writer = loop {
        match prepare(&path, &writer_options).await {
            // SQLite waits for most locks by itself, but not for those of a switch to the write-ahead log.
            Err(OpenError::Locked { .. }) if Instant::now() < give_up_at => tokio::time::sleep(LOCK_RETRY_EVERY).await,
            Err(error) => return Err(error),
            Ok(writer) => break writer,
        }
    };
    let place = Arc::new(Place::of(&path));
    let still = Arc::clone(&place);
    let readers = SqlitePoolOptions::new()
        .max_connections(options.readers.max(1))
        .acquire_timeout(Duration::from_secs(5))
        // A connection to a file does not go stale, and asking it costs as much as the query.
        .test_before_acquire(false)
        // A connection that is made later must not find another file.
        .after_connect(move |_, _| {
            let checked = still.check().map_err(|failure| sqlx::Error::Protocol(failure.sentence()));
            Box::pin(async move { checked })
        })
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(reader_options(&path, options));
    Ok(Opened { writer, writer_options, readers, place })
}

fn base_options(path: &Path, options: &OpenOptions, cache_kib: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(options.busy_timeout)
        .foreign_keys(true)
        .pragma("cache_size", format!("-{cache_kib}"))
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(256)
        .row_buffer_size(1_024)
        .thread_name(|id| format!("sqlite-{id}"))
        .disable_statement_logging()
}

fn writer_options(path: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    let chosen = base_options(path, options, options.writer_cache_kib)
        // What is acknowledged survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "1000")
        .pragma("journal_size_limit", LOG_BYTES_KEPT);
    match options.pages_max {
        Some(pages) => chosen.pragma("max_page_count", pages.to_string()),
        None => chosen,
    }
}

fn reader_options(path: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    base_options(path, options, options.reader_cache_kib).pragma("query_only", "ON")
}

/// Makes what is missing, for this user alone. **An existing file is not opened here:** closing it would drop SQLite's locks on it.
fn create(path: &Path) -> Result<(), OpenError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|error| system(path, &error))?;
    }
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // On a disk that is read-only this comes before "exists".
        Err(_) if path.is_file() => Ok(()),
        Err(error) => Err(system(path, &error)),
    }
}

async fn prepare(path: &Path, options: &SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    let mut connection = options.connect().await.map_err(|error| database(path, &error))?;
    match prepare_connection(path, &mut connection).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            let _ = connection.close().await;
            Err(error)
        }
    }
}

async fn prepare_connection(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let failed = |error| database(path, &error);
    if is_cut_off(path, connection).await? {
        let why = "less than a page is left of it".to_owned();
        return Err(OpenError::NotADatabase { path: path.to_owned(), why });
    }
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await.map_err(failed)?;
    if mode != "wal" {
        let why = format!("its file system has no write-ahead log for SQLite (journal mode is {mode})");
        return Err(OpenError::Io { path: path.to_owned(), why });
    }
    // The lock that writers take: of two processes that start at once one migrates and the other finds it done.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    migrate(path, &mut transaction).await?;
    // On a file that cannot be written SQLite begins all the same, and refuses the first statement that could change a row.
    sqlx::query("UPDATE probe SET written = written WHERE id = 0").execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Whether a file was cut off within its first page. SQLite takes such a file for an empty one, and would begin anew over it.
async fn is_cut_off(path: &Path, connection: &mut SqliteConnection) -> Result<bool, OpenError> {
    let bytes = || std::fs::metadata(path).map(|file| file.len()).map_err(|error| system(path, &error));
    // Before the question: another process may fill a new file at any time. And after it: the question rolls back
    // what a crash left half made, down to nothing.
    let before = bytes()?;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| database(path, &error))?;
    Ok(before > 0 && pages == 0 && bytes()? > 0)
}

/// The newest schema that this program knows.
pub(crate) fn version() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let failed = |error| database(path, &error);
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    let owner: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(failed)?;
    let is_new = version == 0 && owner == 0 && tables == 0;
    if !is_new && owner != APPLICATION_ID {
        let why = "it holds the tables of another program".to_owned();
        return Err(OpenError::NotADatabase { path: path.to_owned(), why });
    }
    let known = self::version();
    if version > known {
        return Err(OpenError::TooNew { path: path.to_owned(), found: version, known });
    }
    for (version, migration) in MIGRATIONS.iter().copied().filter(|(number, _)| *number > version) {
        sqlx::raw_sql(migration).execute(&mut *connection).await.map_err(failed)?;
        if version == LOOKS_VERSION {
            fill_looks(&mut *connection).await.map_err(failed)?;
        }
        // Pragmas take no parameters; these are numbers of ours.
        let stamp = format!("PRAGMA user_version = {version}; PRAGMA application_id = {APPLICATION_ID}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(stamp)).execute(&mut *connection).await.map_err(failed)?;
        tracing::info!(version, "database migrated");
    }
    Ok(())
}

/// Notes what the usernames that are there look like. Of those that look alike the oldest has it.
async fn fill_looks(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const READ: &str = "SELECT id, username FROM users WHERE id > ? ORDER BY id LIMIT ?";
    const WRITE: &str = "UPDATE OR IGNORE users SET username_look = ? WHERE id = ?";
    let mut last = i64::MIN;
    loop {
        let read = sqlx::query_as(READ).bind(last).bind(LOOKS_AT_ONCE);
        let names: Vec<(i64, String)> = read.fetch_all(&mut *connection).await?;
        let Some((id, _)) = names.last() else { return Ok(()) };
        last = *id;
        for (id, name) in names {
            sqlx::query(WRITE).bind(username_look(&name)).bind(id).execute(&mut *connection).await?;
        }
    }
}

fn system(path: &Path, error: &io::Error) -> OpenError {
    let (path, why) = (path.to_owned(), error.to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { path, why },
        _ => OpenError::Io { path, why },
    }
}

fn database(path: &Path, error: &sqlx::Error) -> OpenError {
    let (path, why) = (path.to_owned(), sentence(error));
    match primary_code(error) {
        Some(code::NOTADB | code::CORRUPT) => OpenError::NotADatabase { path, why },
        Some(code::READONLY | code::PERM) => OpenError::ReadOnly { path, why },
        Some(code::BUSY | code::LOCKED) => OpenError::Locked { path },
        _ => OpenError::Io { path, why },
    }
}
