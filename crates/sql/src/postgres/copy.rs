//! Copying a SQLite database into an empty PostgreSQL database. **All of it is there, counted, or nothing is; the source is only read.**

use std::path::Path;

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection};

use super::PostgresStores;
use super::text::kept;
use crate::failure::Failure;

/// Rows, and bytes of text and blobs, that are written with one statement.
const ROWS_MAX: usize = 2_000;
const BYTES_MAX: usize = 4 << 20;

/// How much of a table is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which table.
    pub table: &'static str,
    /// How many rows are.
    pub copied: u64,
    /// How many there are.
    pub total: u64,
}

/// Why a database was not copied. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be read, or is no database of this version.
    #[error("the source cannot be copied: {0}")]
    Source(String),
    /// The target holds something already.
    #[error("the target is not empty: its table {0} has rows; give it a new database")]
    NotEmpty(String),
    /// The target does not have what the source has.
    #[error("the counts of {table} differ: {source_rows} rows in the source, {target_rows} in the target")]
    Counts {
        /// Which table.
        table: &'static str,
        /// So many rows are there.
        source_rows: u64,
        /// So many arrived.
        target_rows: u64,
    },
    /// The target did not do it.
    #[error("the target does not do it: {0}")]
    Target(String),
}

impl From<Failure> for CopyError {
    fn from(failure: Failure) -> Self {
        Self::Target(failure.sentence())
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Integer,
    Boolean,
    Text,
    Blob,
}

use Kind::{Blob, Boolean, Integer, Text};

struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// Numbers of it are never used twice.
    numbered: bool,
}

/// In this order: a session names its account.
const TABLES: &[Table] = &[
    Table {
        name: "users",
        columns: &[
            ("id", Integer),
            ("username", Text),
            ("username_key", Text),
            ("email", Text),
            ("password_hash", Text),
            ("first_name", Text),
            ("last_name", Text),
            ("avatar", Text),
            ("bio", Text),
            ("role", Text),
            ("status", Text),
            ("is_active", Boolean),
            ("is_staff", Boolean),
            ("email_verified", Boolean),
            ("is_approved", Boolean),
            ("message_count", Integer),
            ("report_count", Integer),
            ("created_at", Integer),
            ("updated_at", Integer),
            ("tokens_valid_after", Integer),
            ("search_key", Text),
            ("username_look", Text),
            ("email_key", Text),
        ],
        numbered: true,
    },
    Table {
        name: "credential_sessions",
        columns: &[
            ("id", Text),
            ("user_id", Integer),
            ("refresh_jti", Text),
            ("address", Text),
            ("device", Text),
            ("created_at", Integer),
            ("expires_at", Integer),
            ("ended_at", Integer),
            ("refresh_others", Text),
            ("refreshed_at", Integer),
            ("ended_by_admin", Boolean),
        ],
        numbered: false,
    },
    Table {
        name: "api_keys",
        columns: &[
            ("id", Integer),
            ("name", Text),
            ("prefix", Text),
            ("key_hash", Blob),
            ("created_at", Integer),
            ("last_used_at", Integer),
            ("revoked_at", Integer),
        ],
        numbered: true,
    },
    Table {
        name: "audit_log",
        columns: &[
            ("id", Integer),
            ("actor", Integer),
            ("action", Text),
            ("target", Integer),
            ("detail", Text),
            ("at", Integer),
        ],
        numbered: true,
    },
    Table {
        name: "presence",
        columns: &[("user_id", Text), ("online_status", Text), ("last_seen", Integer), ("since", Integer)],
        numbered: false,
    },
    Table {
        name: "sessions",
        columns: &[
            ("number", Integer),
            ("user_id", Text),
            ("session", Text),
            ("activity", Text),
            ("opened_at", Integer),
            ("last_evidence", Integer),
        ],
        numbered: false,
    },
    Table {
        name: "overrides",
        columns: &[("user_id", Text), ("source", Text), ("status", Text), ("set_at", Integer), ("ends_at", Integer)],
        numbered: false,
    },
    Table { name: "held", columns: &[("user_id", Text), ("status", Text), ("set_at", Integer)], numbered: false },
    Table {
        name: "veils",
        columns: &[
            ("user_id", Text),
            ("invisible", Boolean),
            ("at", Integer),
            ("last_seen", Integer),
            ("since", Integer),
            ("since_holds", Boolean),
        ],
        numbered: false,
    },
    Table {
        name: "transitions",
        columns: &[
            ("id", Integer),
            ("user_id", Text),
            ("from_status", Text),
            ("to_status", Text),
            ("at", Integer),
            ("last_seen", Integer),
            ("reason", Text),
            ("audience", Text),
        ],
        numbered: true,
    },
    Table { name: "evidence", columns: &[("id", Integer), ("at", Integer), ("packed", Blob)], numbered: true },
];

impl PostgresStores {
    /// Copies everything from the SQLite database at `path`, which no server may be using, and the `secrets` (name and value) with
    /// it. Returns the rows of each table.
    ///
    /// # Errors
    /// See [`CopyError`]; nothing was written then.
    pub async fn copy_from(
        &self,
        path: &Path,
        secrets: &[(String, String)],
        told: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Vec<Progress>, CopyError> {
        let mut source = open_source(path).await?;
        // It may take its time, and nobody else may write meanwhile.
        let mut held = self.shared.pool.begin("BEGIN; SET LOCAL statement_timeout = 0").await?;
        let (target, _) = held.parts()?;
        let copied = copy(&mut source, target, secrets, told).await;
        let _ = source.close().await;
        match copied {
            Ok(copied) => Ok(held.end(Ok(copied)).await?),
            Err(error) => {
                let undone: Result<(), Failure> = held.end(Err(Failure::Refused(String::new()))).await;
                drop(undone);
                Err(error)
            }
        }
    }
}

async fn open_source(path: &Path) -> Result<SqliteConnection, CopyError> {
    let path = std::path::absolute(path).map_err(|error| CopyError::Source(error.to_string()))?;
    if !path.is_file() {
        return Err(CopyError::Source(format!("there is no file {}", path.display())));
    }
    let options = SqliteConnectOptions::new().filename(&path).pragma("query_only", "ON").disable_statement_logging();
    let mut source = options.connect().await.map_err(unread)?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut source).await.map_err(unread)?;
    let owner: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut source).await.map_err(unread)?;
    if owner != crate::sqlite::APPLICATION_ID {
        return Err(CopyError::Source(format!("{} is no Presently database", path.display())));
    }
    let known = crate::sqlite::version();
    if version != known {
        let why = format!("its schema has version {version}, not {known}: start this program on it once, then stop it");
        return Err(CopyError::Source(why));
    }
    Ok(source)
}

async fn copy(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    secrets: &[(String, String)],
    told: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<Progress>, CopyError> {
    // One snapshot: what is counted is what is copied.
    let mut source = source.begin().await.map_err(unread)?;
    refuse_rows(target).await?;
    let mut all = Vec::new();
    for table in TABLES {
        let count = format!("SELECT count(*) FROM {}", table.name);
        let total: i64 =
            sqlx::query_scalar(AssertSqlSafe(count.as_str())).fetch_one(&mut *source).await.map_err(unread)?;
        let total = total.unsigned_abs();
        copy_table(&mut source, target, table, total, told).await?;
        let arrived: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *target).await.map_err(unwritten)?;
        let arrived = arrived.unsigned_abs();
        if arrived != total {
            return Err(CopyError::Counts { table: table.name, source_rows: total, target_rows: arrived });
        }
        if table.numbered {
            go_on_numbering(&mut source, target, table.name).await?;
        }
        all.push(Progress { table: table.name, copied: total, total });
    }
    for (name, value) in secrets {
        sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2)")
            .bind(name)
            .bind(value)
            .execute(&mut *target)
            .await
            .map_err(unwritten)?;
    }
    source.rollback().await.map_err(unread)?;
    Ok(all)
}

/// Keeps everybody else from writing, and refuses a target that holds anything.
async fn refuse_rows(target: &mut PgConnection) -> Result<(), CopyError> {
    for table in TABLES.iter().map(|table| table.name).chain(["secrets"]) {
        let lock = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *target).await.map_err(unwritten)?;
        let any = format!("SELECT EXISTS (SELECT FROM {table})");
        if sqlx::query_scalar(AssertSqlSafe(any)).fetch_one(&mut *target).await.map_err(unwritten)? {
            return Err(CopyError::NotEmpty(table.to_owned()));
        }
    }
    Ok(())
}

async fn copy_table(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    table: &Table,
    total: u64,
    told: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), CopyError> {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let arrays: Vec<String> =
        table.columns.iter().zip(1..).map(|((_, kind), number)| format!("${number}::{}[]", kind.word())).collect();
    let insert = format!("INSERT INTO {} ({names}) SELECT * FROM unnest({})", table.name, arrays.join(", "));
    let mut rows = sqlx::query(AssertSqlSafe(format!("SELECT {names} FROM {}", table.name))).fetch(source);
    let (mut copied, mut gathered) = (0, Gathered::new(table));
    loop {
        let row = rows.try_next().await.map_err(unread)?;
        let is_last = row.is_none();
        if let Some(row) = row {
            gathered.take(&row).map_err(unread)?;
        }
        if gathered.rows > 0 && (is_last || gathered.rows >= ROWS_MAX || gathered.bytes >= BYTES_MAX) {
            copied += gathered.rows as u64;
            let full = std::mem::replace(&mut gathered, Gathered::new(table));
            full.write(&insert, target).await?;
            told(Progress { table: table.name, copied, total });
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Lets new rows have numbers beyond all that were ever given, those of erased rows included.
async fn go_on_numbering(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    table: &'static str,
) -> Result<(), CopyError> {
    let given: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = ?")
        .bind(table)
        .fetch_optional(source)
        .await
        .map_err(unread)?;
    let go_on = format!(
        "SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest($1, (SELECT max(id) FROM {table}), 0) + 1, false)"
    );
    sqlx::query(AssertSqlSafe(go_on)).bind(given).execute(target).await.map_err(unwritten)?;
    Ok(())
}

/// Rows, as a list a column.
struct Gathered {
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

enum Column {
    Integers(Vec<Option<i64>>),
    Booleans(Vec<Option<bool>>),
    Texts(Vec<Option<String>>),
    Blobs(Vec<Option<Vec<u8>>>),
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Integer => "bigint",
            Boolean => "boolean",
            Text => "text",
            Blob => "bytea",
        }
    }

    const fn column(self) -> Column {
        match self {
            Integer => Column::Integers(Vec::new()),
            Boolean => Column::Booleans(Vec::new()),
            Text => Column::Texts(Vec::new()),
            Blob => Column::Blobs(Vec::new()),
        }
    }
}

impl Gathered {
    fn new(table: &Table) -> Self {
        let columns = table.columns.iter().map(|(_, kind)| kind.column()).collect();
        Self { columns, rows: 0, bytes: 0 }
    }

    fn take(&mut self, row: &SqliteRow) -> Result<(), sqlx::Error> {
        for (place, column) in self.columns.iter_mut().enumerate() {
            match column {
                Column::Integers(values) => values.push(row.try_get(place)?),
                Column::Booleans(values) => values.push(row.try_get(place)?),
                Column::Texts(values) => {
                    let text: Option<&str> = row.try_get(place)?;
                    self.bytes += text.map_or(0, str::len);
                    values.push(text.map(|text| kept(text).into_owned()));
                }
                Column::Blobs(values) => {
                    let blob: Option<Vec<u8>> = row.try_get(place)?;
                    self.bytes += blob.as_ref().map_or(0, Vec::len);
                    values.push(blob);
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    async fn write(self, insert: &str, target: &mut PgConnection) -> Result<(), CopyError> {
        let mut query = sqlx::query::<sqlx::Postgres>(AssertSqlSafe(insert));
        for column in self.columns {
            query = bind(query, column);
        }
        query.execute(target).await.map_err(unwritten)?;
        Ok(())
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, PgArguments>;

fn bind(query: Query<'_>, column: Column) -> Query<'_> {
    match column {
        Column::Integers(values) => query.bind(values),
        Column::Booleans(values) => query.bind(values),
        Column::Texts(values) => query.bind(values),
        Column::Blobs(values) => query.bind(values),
    }
}

fn unread(error: sqlx::Error) -> CopyError {
    CopyError::Source(Failure::from(error).sentence())
}

fn unwritten(error: sqlx::Error) -> CopyError {
    CopyError::Target(Failure::from(error).sentence())
}
