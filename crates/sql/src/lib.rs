//! What Presently remembers: the stores on SQL. **What a call answered is on the disk, and a failed call left nothing behind.**
//!
//! [`SqliteStores`] is both the presence [`Store`](presently::store::Store) and the
//! [`AccountStore`](presently_accounts::store::AccountStore): one file, one writer, one schema. [`PostgresStores`] is the same on a
//! PostgreSQL server, for one server or several.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use presently::store::Store;
//! use presently_sql::{OpenOptions, SqliteStores};
//!
//! let stores = SqliteStores::open("data/presently.db", OpenOptions::default()).await?;
//! stores.probe().await?;
//! stores.close().await;
//! # Ok(())
//! # }
//! ```
mod failure;
mod link;
mod moment;
mod page;
pub mod postgres;
mod probe;
mod rows;
mod search;
pub mod sqlite;
mod writes;

pub use postgres::PostgresStores;
pub use sqlite::{OpenError, OpenOptions, SqliteStores};
