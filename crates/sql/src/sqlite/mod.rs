//! The stores on SQLite: write-ahead log, one connection that writes, a few that read.

mod accounts;
mod dialect;
mod keys;
mod ladder;
mod load;
mod open;
mod page;
mod place;
mod presence;
mod writer;

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::probe::Probe;
pub(crate) use open::{APPLICATION_ID, version};
pub use open::{OpenError, OpenOptions};
use writer::Writer;

/// A database of accounts and presence in one SQLite file. Clones are the same database.
///
/// Several processes may have it open at once: a server, and commands beside it.
#[derive(Clone, Debug)]
pub struct SqliteStores {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Writer,
    writing: Mutex<Option<JoinHandle<()>>>,
    readers: SqlitePool,
    probe: Probe,
}

impl SqliteStores {
    /// Opens the database at `path`, making the folder (mode 0700), the file (mode 0600) and the schema as needed.
    ///
    /// # Errors
    /// See [`OpenError`]. A lock of another process is waited for, as long as [`OpenOptions::busy_timeout`] says.
    pub async fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, OpenError> {
        let opened = open::open(path.as_ref(), &options).await?;
        let (writer, writing) = Writer::start(opened.writer, opened.writer_options, opened.place);
        let shared =
            Shared { writer, writing: Mutex::new(Some(writing)), readers: opened.readers, probe: Probe::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Writes what waits, then closes the file. Every later call is refused as unavailable.
    pub async fn close(&self) {
        // One after the other: of two connections that close at once each sees the other's lock, and neither puts the
        // log back into the file.
        self.shared.readers.close().await;
        self.shared.writer.close().await;
        if let Some(writing) = self.shared.writing.lock().await.take() {
            let _ = writing.await;
        }
    }

    /// Runs `operation` in the writer's next transaction.
    async fn write<T, E, F>(&self, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure>,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    {
        Ok(self.shared.writer.run(operation).await?)
    }

    /// Executes one statement in the writer's next transaction.
    async fn execute(&self, query: sqlx::query::Query<'static, sqlx::Sqlite, SqliteArguments>) -> Result<u64, Failure> {
        self.write(move |connection| async move { Ok(query.execute(connection).await?.rows_affected()) }.boxed()).await
    }

    /// The decoded rows of one query.
    async fn rows<T>(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments>,
        decode: impl Fn(&SqliteRow) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let rows = query.fetch_all(&self.shared.readers).await?;
        rows.iter().map(decode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let stores = SqliteStores::open(folder.path().join("a.db"), OpenOptions::default()).await.expect("opens");
        let refused = sqlx::query("DELETE FROM presence").execute(&stores.shared.readers).await.expect_err("refused");
        let failure = Failure::from(refused);
        assert!(matches!(&failure, Failure::Unwritable(why) if why.contains("readonly")), "{failure:?}");
    }

    #[tokio::test]
    async fn what_the_schema_forbids_is_refused_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let stores = SqliteStores::open(folder.path().join("a.db"), OpenOptions::default()).await.expect("opens");
        let refused: Result<(), Failure> = stores
            .write(|connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE probe SET written = 7").execute(&mut *connection).await?;
                    sqlx::query("INSERT INTO held VALUES ('alice', 'busy', 1)").execute(connection).await?;
                    Ok(())
                })
            })
            .await;
        assert!(matches!(&refused, Err(failure @ Failure::Refused(_)) if failure.is_own()), "{refused:?}");
        let written: i64 =
            sqlx::query_scalar("SELECT written FROM probe").fetch_one(&stores.shared.readers).await.expect("one row");
        assert_eq!(written, 0);
    }
}
