//! Opening: the address, the first connection and the schema.

use std::str::FromStr as _;
use std::time::Duration;

use presently_accounts::username_look;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::time::{Instant, timeout};

use super::Node;
use crate::failure::Failure;

/// Each brings a database to the version of its number. **What was released never changes: a new step is a new file.**
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/postgres/0001_first.sql")),
    (2, include_str!("../../migrations/postgres/0002_tickets.sql")),
    (3, include_str!("../../migrations/postgres/0003_sessions_of_all.sql")),
    (4, include_str!("../../migrations/postgres/0004_accounts.sql")),
    (5, include_str!("../../migrations/postgres/0005_looks.sql")),
    (7, include_str!("../../migrations/postgres/0007_tickets_of_users.sql")),
];
/// The migration that the looks of usernames come with, and how many are written at once.
const LOOKS_VERSION: i64 = 5;
const LOOKS_AT_ONCE: i64 = 10_000;
/// The key of the advisory lock under which a schema is made or changed: "PRSN", then 1.
const MIGRATION_LOCK: i64 = 0x5052_534e_0000_0001;
/// What may stand behind the `?` of an address.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
/// How often a server that does not answer yet is tried at the start.
const CONNECT_RETRY_EVERY: Duration = Duration::from_millis(200);

/// What may be chosen about a database.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Connections at once. Default 10.
    pub connections_max: u32,
    /// How long a connection may take to come, or to become free. Default 3 s.
    pub connect_timeout: Duration,
    /// How long a server that is not there yet is waited for at the start. Default 10 s.
    pub start_timeout: Duration,
    /// How long a call may take in which somebody waits, the wait for a connection included. Default 3 s.
    pub call_timeout: Duration,
    /// How long a statement of a large batch may take, and a little longer its answer. Default 30 s.
    pub statement_timeout: Duration,
    /// How long a lock of somebody else is waited for. Default 5 s.
    pub lock_timeout: Duration,
    /// Which of several servers on this database this one is. Default: the only one.
    pub node: Node,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            connections_max: 10,
            connect_timeout: Duration::from_secs(3),
            start_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            node: Node::default(),
        }
    }
}

/// Why a database was not opened. Each is one sentence for a person; nothing in the database has changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No address of a PostgreSQL database.
    #[error("database_url: write postgres://USER:PASSWORD@HOST:PORT/DATABASE ({why})")]
    BadUrl {
        /// What is wrong with it.
        why: String,
    },
    /// Nothing answers there, or it does not let us in.
    #[error("the database {name} cannot be opened: {why}")]
    OutOfReach {
        /// Which database, without the password.
        name: String,
        /// What the system or the server said.
        why: String,
    },
    /// It holds tables of another program.
    #[error("the database {name} is no usable Presently database: {why}")]
    NotADatabase {
        /// Which database.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another server uses it under the same name, or one of the two means to be the only one.
    #[error("another presently serves from the database {name}{}", node_words(node))]
    Taken {
        /// Which database.
        name: String,
        /// The name of both.
        node: Node,
    },
    /// A newer Presently wrote it.
    #[error(
        "the database {name} has schema version {found}, and this program knows versions up to {known}: use a newer Presently, or a backup from before its first start"
    )]
    TooNew {
        /// Which database.
        name: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
}

fn node_words(node: &Node) -> String {
    if node.as_str().is_empty() {
        "; stop it, or let both be nodes of one cluster with --valkey-url".to_owned()
    } else {
        format!(
            " under the name {}, or alone, without --valkey-url; stop it, or choose another --node-name",
            node.as_str()
        )
    }
}

/// Reaches the database and brings its schema up to date. Returns its address, and its name without the password.
pub(crate) async fn open(url: &str, options: &OpenOptions) -> Result<(PgConnectOptions, String), OpenError> {
    let to = address(url, options)?;
    let name = name(&to);
    let give_up_at = Instant::now() + options.start_timeout;
    let mut connection = loop {
        let (passes, refused) = match timeout(options.connect_timeout, to.connect()).await {
            Ok(Ok(connection)) => break connection,
            Ok(Err(error)) => (may_pass(&error), Failure::from(error)),
            Err(_) => (true, Failure::Lost("it does not answer".to_owned())),
        };
        if !passes || Instant::now() >= give_up_at {
            return Err(OpenError::OutOfReach { name, why: refused.sentence() });
        }
        tokio::time::sleep(CONNECT_RETRY_EVERY).await;
    };
    let prepared = prepare(&name, &mut connection).await;
    let _ = connection.close().await;
    prepared?;
    if matches!(to.get_ssl_mode(), PgSslMode::Disable) && to.get_socket().is_none() && !is_loopback(to.get_host()) {
        tracing::warn!("the way to the database is not encrypted (sslmode=disable)");
    }
    Ok((to, name))
}

/// Whether waiting may help: it does not make a password right, nor a certificate.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        // The server starts, stops, or is full.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.as_ref() == "53300")
        }
        sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

/// How the database at an address is called: its host, port and name. **The password is not in it.**
///
/// # Errors
/// When it is no address of a PostgreSQL database.
pub fn name_of(url: &str) -> Result<String, OpenError> {
    address(url, &OpenOptions::default()).map(|to| name(&to))
}

fn name(to: &PgConnectOptions) -> String {
    let host = to.get_socket().map_or_else(|| to.get_host().to_owned(), |path| path.display().to_string());
    format!("{host}:{}/{}", to.get_port(), to.get_database().unwrap_or_else(|| to.get_username()))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address with what every connection is told first. What the URL says in `options` is said before, and loses.
pub(crate) fn address(url: &str, options: &OpenOptions) -> Result<PgConnectOptions, OpenError> {
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(OpenError::BadUrl { why: "it begins otherwise".to_owned() });
    }
    // The driver would log what it does not know, and it may be a password with a slip in its name.
    let query = url.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or(""));
    for key in query.split('&').filter_map(|pair| pair.split('=').next()).filter(|key| !key.is_empty()) {
        if !PARAMETERS.contains(&key) && !key.starts_with("options[") {
            return Err(OpenError::BadUrl { why: format!("there is no parameter {key:?}") });
        }
    }
    let to = PgConnectOptions::from_str(url).map_err(|error| OpenError::BadUrl { why: error.to_string() })?;
    let to = if to.get_application_name().is_none() { to.application_name("presently") } else { to };
    let milliseconds = |time: Duration| time.as_millis().to_string();
    Ok(to
        .options([
            ("statement_timeout", milliseconds(options.statement_timeout)),
            ("lock_timeout", milliseconds(options.lock_timeout)),
            ("idle_in_transaction_session_timeout", "60s".to_owned()),
            ("default_transaction_isolation", "read committed".to_owned()),
            // Estimates of large batches look as if compiling paid; it costs more than the statement.
            ("jit", "off".to_owned()),
        ])
        .statement_cache_capacity(256)
        .disable_statement_logging())
}

async fn prepare(name: &str, connection: &mut PgConnection) -> Result<(), OpenError> {
    let failed = |error: sqlx::Error| OpenError::OutOfReach {
        name: name.to_owned(),
        why: match Failure::from(error) {
            Failure::Unwritable(why) => format!("{why}; its user must be allowed to create tables and to write"),
            failure => failure.sentence(),
        },
    };
    // Several nodes may start at once: one migrates, the others wait and find it done.
    connection
        .execute("BEGIN; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0")
        .await
        .map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let is_ours: bool = sqlx::query_scalar("SELECT to_regclass('presently_schema') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let version: i64 = if is_ours {
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM presently_schema")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?
    } else {
        let taken: Option<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY($1) \
             ORDER BY relname LIMIT 1",
        )
        .bind(["users", "presence", "sessions", "credential_sessions", "api_keys", "transitions"].as_slice())
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
        if let Some(table) = taken {
            let why =
                format!("its table {table} is another program's; give Presently a database or a schema of its own");
            return Err(OpenError::NotADatabase { name: name.to_owned(), why });
        }
        connection
            .execute(
                "CREATE TABLE presently_schema (version BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now())",
            )
            .await
            .map_err(failed)?;
        0
    };
    let known = MIGRATIONS.last().map_or(0, |(version, _)| *version);
    if version > known {
        return Err(OpenError::TooNew { name: name.to_owned(), found: version, known });
    }
    for (version, migration) in MIGRATIONS.iter().copied().filter(|(number, _)| *number > version) {
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&mut *connection).await.map_err(failed)?;
        if version == LOOKS_VERSION {
            fill_looks(&mut *connection).await.map_err(failed)?;
        }
        sqlx::query("INSERT INTO presently_schema (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        tracing::info!(version, "database migrated");
    }
    // A standby and a database whose disk is full are told at the start.
    connection
        .execute(
            "UPDATE probe SET written = written + 1; DELETE FROM writers WHERE at < now() - interval '7 days'; COMMIT",
        )
        .await
        .map_err(failed)?;
    Ok(())
}

/// Notes what the usernames that are there look like. Of those that look alike the oldest has it.
async fn fill_looks(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    const READ: &str = "SELECT id, username FROM users WHERE id > $1 ORDER BY id LIMIT $2";
    const WRITE: &str = "UPDATE users SET username_look = new.look FROM ( \
             SELECT DISTINCT ON (look) id, look FROM unnest($1::bigint[], $2::text[]) AS named (id, look) ORDER BY look, id \
         ) AS new \
         WHERE users.id = new.id AND NOT EXISTS (SELECT FROM users AS older WHERE older.username_look = new.look)";
    let mut last = i64::MIN;
    loop {
        let read = sqlx::query_as(READ).bind(last).bind(LOOKS_AT_ONCE);
        let names: Vec<(i64, String)> = read.fetch_all(&mut *connection).await?;
        let Some((id, _)) = names.last() else { return Ok(()) };
        last = *id;
        let (ids, looks): (Vec<i64>, Vec<String>) =
            names.into_iter().map(|(id, name)| (id, username_look(&name))).unzip();
        sqlx::query(WRITE).bind(ids).bind(looks).execute(&mut *connection).await?;
    }
}
