//! `presently migrate-from sqlite:PATH --to postgres://…`: from one server on a file to PostgreSQL, tokens and all.

use std::path::Path;

use clap::Args;
use presently_sql::postgres::{CopyError, Progress};

use super::Failure;
use super::user::say;
use crate::database::{Database, DatabaseUrl, SECRET_KEY};
use crate::folder::Folder;

/// Rows of a table after which it is said how far it is.
const TOLD_EVERY: u64 = 100_000;

#[derive(Args, Debug)]
pub(crate) struct MigrateFrom {
    /// The database to copy, sqlite:PATH; it is only read
    source: String,
    /// The empty database to copy it into, postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "PRESENTLY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    to: String,
}

impl MigrateFrom {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        runtime.block_on(self.copy())
    }

    async fn copy(self) -> Result<(), Failure> {
        let DatabaseUrl::Sqlite(path) = DatabaseUrl::parse(&self.source)? else {
            return Err(Failure::Usage("the source must be sqlite:PATH".to_owned()));
        };
        let to = DatabaseUrl::parse(&self.to)?;
        if !matches!(to, DatabaseUrl::Postgres { .. }) {
            return Err(Failure::Usage("--to must be postgres://USER:PASSWORD@HOST:PORT/NAME".to_owned()));
        }
        if !path.is_file() {
            return Err(Failure::Failed(format!("there is no file {}", path.display())));
        }
        // A server would go on writing into the source, and what it wrote would be lost.
        let folder = Folder::lock(path.parent().unwrap_or(Path::new("."))).map_err(Failure::Failed)?;
        let secret = folder.kept_secret_key().map_err(Failure::Failed)?;
        let secrets: Vec<_> = secret.map(|secret| (SECRET_KEY.to_owned(), secret)).into_iter().collect();
        let Database::Postgres(stores) = to.open().await.map_err(Failure::Failed)? else {
            return Err(Failure::Failed("the target is no PostgreSQL database".to_owned()));
        };
        say(&format!("copying {} into {}\n", path.display(), to.name()))?;
        let copied = stores.copy_from(&path, &secrets, &mut tell).await;
        stores.close().await;
        let copied = copied.map_err(|error: CopyError| Failure::Failed(format!("{error}; nothing was written")))?;
        for table in &copied {
            say(&format!("  {:<20} {:>10} rows\n", table.table, table.copied))?;
        }
        let rows: u64 = copied.iter().map(|table| table.copied).sum();
        let about = if secrets.is_empty() {
            "there was no secret in the data folder: give the servers the same --secret-key"
        } else {
            "the secret went with them: tokens stay valid"
        };
        say(&format!("copied {rows} rows of {} tables, counts agree; {about}\n", copied.len()))
    }
}

/// Says how far a large table is.
fn tell(progress: Progress) {
    let (copied, total) = (progress.copied, progress.total);
    if copied / TOLD_EVERY > copied.saturating_sub(1) / TOLD_EVERY || (copied == total && total > TOLD_EVERY) {
        // Whether anybody reads it does not matter.
        let _ = say(&format!("  {:<20} {copied:>10} of {total}\n", progress.table));
    }
}
