//! Which database, and what comes with it: the data folder of a file, or the secret that servers on one PostgreSQL share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use presently::store::{Store, StoreError};
use presently_accounts::store::AccountStore;
use presently_sql::{PostgresStores, SqliteStores, postgres};

use crate::folder::{Folder, keep_private, random_text};
use crate::settings::{BadSettings, sqlite_path};

/// The name of the secret that signs tokens, among the secrets in a database.
pub(crate) const SECRET_KEY: &str = "secret-key";

/// What `database_url` says.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseUrl {
    /// The path of a file.
    Sqlite(PathBuf),
    /// The address of a PostgreSQL database, and how it is called: without the password.
    Postgres { url: String, name: String },
}

impl DatabaseUrl {
    /// Reads it.
    pub(crate) fn parse(url: &str) -> Result<Self, BadSettings> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let name = postgres::name_of(url).map_err(|error| BadSettings(error.to_string()))?;
            return Ok(Self::Postgres { url: url.to_owned(), name });
        }
        sqlite_path(url).map(Self::Sqlite)
    }

    /// For people: **the password is not in it.**
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres { name, .. } => format!("PostgreSQL {name}"),
        }
    }

    /// What a server holds while it runs: the data folder of a file. Servers on PostgreSQL need none.
    pub(crate) fn lock(&self) -> Result<Option<Folder>, String> {
        match self {
            Self::Sqlite(path) => Folder::lock(path.parent().unwrap_or(Path::new("."))).map(Some),
            Self::Postgres { .. } => Ok(None),
        }
    }

    /// Opens it, and makes it where it is not there yet.
    pub(crate) async fn open(&self) -> Result<Database, String> {
        self.open_as(postgres::Node::default()).await
    }

    /// Opens it for a command beside the server. **A file that is not there is not made**: a command in the wrong folder would
    /// work on an empty database that no server reads. A PostgreSQL database was named on purpose; whoever comes first makes its tables.
    pub(crate) async fn open_beside_server(&self) -> Result<Database, String> {
        if let Self::Sqlite(path) = self {
            let place = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let place = place.display();
            if !path.try_exists().map_err(|error| format!("cannot look for a database at {place}: {error}"))? {
                return Err(format!(
                    "there is no database at {place}: start the server there once, or say with --database-url where its database is"
                ));
            }
        }
        self.open().await
    }

    /// Opens it for the node of this name.
    pub(crate) async fn open_as(&self, node: postgres::Node) -> Result<Database, String> {
        match self {
            Self::Sqlite(path) => {
                keep_private(path)?;
                SqliteStores::open(path, presently_sql::OpenOptions::default())
                    .await
                    .map(Database::Sqlite)
                    .map_err(|error| error.to_string())
            }
            Self::Postgres { url, .. } => {
                PostgresStores::open(url, postgres::OpenOptions { node, ..Default::default() })
                    .await
                    .map(Database::Postgres)
                    .map_err(|error| error.to_string())
            }
        }
    }
}

/// An open database. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite(SqliteStores),
    Postgres(PostgresStores),
}

impl Database {
    /// Sees to it that no other server keeps its presence here: with a file the lock of its folder does.
    pub(crate) async fn hold(&self) -> Result<(), String> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(stores) => stores.hold_node().await.map_err(|error| error.to_string()),
        }
    }

    pub(crate) fn presence(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(stores) => Arc::new(stores.clone()),
            Self::Postgres(stores) => Arc::new(stores.clone()),
        }
    }

    pub(crate) fn accounts(&self) -> Arc<dyn AccountStore> {
        match self {
            Self::Sqlite(stores) => Arc::new(stores.clone()),
            Self::Postgres(stores) => Arc::new(stores.clone()),
        }
    }

    /// The secret that signs tokens, made by whoever comes first: in the data folder, or where all servers find it.
    pub(crate) async fn secret_key(&self, folder: Option<&Folder>) -> Result<String, String> {
        match (self, folder) {
            (Self::Postgres(stores), _) => {
                let fresh = random_text::<32>().map_err(|error| format!("cannot make a secret: {error}"))?;
                stores.secret(SECRET_KEY, &fresh).await.map_err(|error| format!("cannot read the secret: {error}"))
            }
            (Self::Sqlite(_), Some(folder)) => folder.secret_key(),
            (Self::Sqlite(_), None) => Err("there is no data folder for the secret".to_owned()),
        }
    }

    /// Whether it answers and can be written to.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(stores) => stores.probe().await,
            Self::Postgres(stores) => stores.probe().await,
        }
    }

    /// Writes what waits, and closes it.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(stores) => stores.close().await,
            Self::Postgres(stores) => stores.close().await,
        }
    }
}
