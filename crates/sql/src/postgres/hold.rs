//! One server a name. **Two servers of one name would drop each other's evidence**: the second is refused. And one
//! who thinks to be alone would decide what the others decide as well: the only one and one of several refuse each other.
//!
//! What holds the name is a lock of a connection's own, so that it goes with the process, however that ends. The only one, whose
//! name is empty, holds that name for itself; each of several holds its own name for itself, and the empty one together with the others.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{Node, OpenError, PostgresStores, Shared};
use crate::failure::Failure;

/// How long a start waits for the name: a server that was just killed may still be known.
const WAIT: Duration = Duration::from_secs(3);
const TRY_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked whether the connection still stands, and how long it may take to answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What was heard under a name that nobody holds, so long before what others heard, nobody needs: a day.
const ABANDONED_AFTER_MICROS: i64 = 86_400 * 1_000_000;

impl PostgresStores {
    /// Holds the name of this node against other servers, until these stores are dropped or closed. Commands need not.
    ///
    /// # Errors
    /// [`OpenError::Taken`] when another server has it, or one that runs alone and one of several would meet; [`OpenError::OutOfReach`].
    pub async fn hold_node(&self) -> Result<(), OpenError> {
        let shared = &self.shared;
        let give_up_at = Instant::now() + WAIT;
        let connection = loop {
            match take(&shared.address, &shared.node).await {
                Ok(Some(connection)) => break connection,
                Ok(None) if Instant::now() < give_up_at => sleep(TRY_EVERY).await,
                Ok(None) => {
                    return Err(OpenError::Taken { name: shared.name.clone(), node: shared.node.clone() });
                }
                Err(error) => {
                    let why = Failure::from(error).sentence();
                    return Err(OpenError::OutOfReach { name: shared.name.clone(), why });
                }
            }
        };
        tidy(shared)
            .await
            .map_err(|failure| OpenError::OutOfReach { name: shared.name.clone(), why: failure.sentence() })?;
        tokio::spawn(keep(Arc::downgrade(shared), connection));
        Ok(())
    }
}

/// Drops the evidence of names that nobody holds and that heard nobody while others did: each node drops its own, and these come back no
/// more. Where nobody heard anybody, because all were stopped, nothing is dropped.
async fn tidy(shared: &Shared) -> Result<(), Failure> {
    // Whoever holds a name lives, however long nobody came there; the empty one nobody holds while there are several.
    const SQL: &str = "DELETE FROM evidence WHERE node = ANY(ARRAY(SELECT names.node \
         FROM (SELECT node, max(at) AS newest FROM evidence GROUP BY node) AS names \
         WHERE names.node <> $1 AND names.newest < (SELECT max(at) FROM evidence) - $2 \
         AND (names.node = '' OR pg_try_advisory_xact_lock(hashtextextended('presently node ' || names.node, 0)))))";
    if shared.node.as_str().is_empty() {
        return Ok(());
    }
    let node = shared.node.as_str().to_owned();
    shared
        .pool
        .transact(move |connection| {
            async move {
                sqlx::query(SQL).bind(&node).bind(ABANDONED_AFTER_MICROS).execute(&mut *connection).await?;
                Ok(())
            }
            .boxed()
        })
        .await
}

/// A connection that holds the name; `None` when another one does.
async fn take(address: &PgConnectOptions, node: &Node) -> Result<Option<PgConnection>, sqlx::Error> {
    const ALONE: &str = "SELECT pg_try_advisory_lock(hashtextextended('presently node ', 0)) AND $1 = ''";
    // The second is tried only with the first in hand.
    const ONE_OF_SEVERAL: &str = "SELECT CASE WHEN pg_try_advisory_lock_shared(hashtextextended('presently node ', 0)) \
         THEN pg_try_advisory_lock(hashtextextended('presently node ' || $1, 0)) ELSE FALSE END";
    // A machine that went away is noticed within half a minute.
    let address = address.clone().options([
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]);
    let attempt = async {
        let mut connection = address.connect().await?;
        let sql = if node.as_str().is_empty() { ALONE } else { ONE_OF_SEVERAL };
        let taken: bool = sqlx::query_scalar(sql).bind(node.as_str()).fetch_one(&mut connection).await?;
        if taken {
            return Ok(Some(connection));
        }
        let _ = connection.close().await;
        Ok(None)
    };
    timeout(ANSWER_TIMEOUT, attempt).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Takes the name again when the connection broke: the database server was started anew.
async fn keep(shared: Weak<Shared>, connection: PgConnection) {
    let mut held = Some(connection);
    let mut told = false;
    loop {
        sleep(LOOK_EVERY).await;
        let Some(shared) = shared.upgrade().filter(|shared| !shared.pool.is_closed()) else { break };
        if let Some(connection) = &mut held {
            if matches!(timeout(ANSWER_TIMEOUT, connection.ping()).await, Ok(Ok(()))) {
                continue;
            }
            held = None;
        }
        match take(&shared.address, &shared.node).await {
            Ok(Some(connection)) => (held, told) = (Some(connection), false),
            Ok(None) if !told => {
                told = true;
                tracing::error!(node = shared.node.as_str(), "another server has taken the name of this node");
            }
            // It is tried again.
            Ok(None) | Err(_) => {}
        }
    }
    if let Some(connection) = held {
        let _ = connection.close().await;
    }
}
