//! The stores on PostgreSQL: a few connections, a transaction a call.
//!
//! The write-behind comes in large batches already (one at a time, from one task), and PostgreSQL itself writes the commits of many
//! connections with one sync: a writer task of our own, as on SQLite, would only make a login wait behind a batch.

mod accounts;
mod batch;
mod copy;
mod dialect;
mod failure;
mod hold;
mod keys;
mod load;
mod node;
mod open;
mod page;
mod pool;
mod presence;
mod text;
mod tickets;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use futures_util::future::BoxFuture;
use presently::store::StoreError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, Row as _};

use crate::failure::Failure;
use crate::probe::Probe;
pub use copy::{CopyError, Progress};
pub(crate) use failure::failure_of;
pub use node::Node;
pub use open::{OpenError, OpenOptions, name_of};
use pool::Pool;
pub use tickets::NewTicket;

/// A database of accounts and presence on a PostgreSQL server, of version 14 or newer. Clones are the same connections.
///
/// Several processes may have it open at once: servers, and commands beside them.
#[derive(Clone, Debug)]
pub struct PostgresStores {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    address: PgConnectOptions,
    name: String,
    node: Node,
    /// This process among those that write batches, and the number of its newest batch.
    writer: String,
    batch: AtomicI64,
    probe: Probe,
}

impl PostgresStores {
    /// Opens the database at `url` (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `sslmode` and the like behind a `?`), making
    /// the schema as needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str, options: OpenOptions) -> Result<Self, OpenError> {
        let (address, name) = open::open(url, &options).await?;
        let shared = Shared {
            pool: Pool::new(address.clone(), &options),
            address,
            name,
            node: options.node,
            writer: writer_name(),
            batch: AtomicI64::new(0),
            probe: Probe::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where it is, without the password: for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What all who share this database know by this name, and nobody else: `fresh` when nobody kept it before.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        const KEEP: &str = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        const READ: &str = "SELECT value FROM secrets WHERE name = $1";
        self.shared.pool.execute(sqlx::query(KEEP).bind(name).bind(fresh)).await?;
        let found = self.shared.pool.rows(sqlx::query(READ).bind(name), |row| Ok(row.try_get(0)?)).await?.pop();
        found.ok_or_else(|| StoreError::Damaged("a secret vanished".to_owned()))
    }

    /// What they know by this name from now on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_secret(&self, name: &str, value: &str) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.shared.pool.execute(sqlx::query(SQL).bind(name).bind(value)).await?;
        Ok(())
    }

    /// Closes the connections. Every later call is refused as unavailable.
    pub async fn close(&self) {
        self.shared.pool.close().await;
    }

    /// Runs `operation` in a transaction. It is done, also when the caller goes away.
    async fn write<T, E, F>(&self, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure>,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let done = tokio::spawn(async move { shared.pool.transact(operation).await });
        Ok(done.await.unwrap_or_else(|_| Err(Failure::Unavailable("the database is closed".to_owned())))?)
    }

    /// Executes one statement, a transaction of its own. It is done, also when the caller goes away.
    async fn execute(
        &self,
        query: sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<u64, Failure> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::spawn(async move { shared.pool.execute(query).await });
        done.await.unwrap_or_else(|_| Err(Failure::Unavailable("the database is closed".to_owned())))
    }
}

/// A name that no other process has.
fn writer_name() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    // Each of these is keyed by the system's random numbers.
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}
