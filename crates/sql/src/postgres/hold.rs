//! One server a name. **Two servers of one name would take each other's sessions for their own**: the second is refused.
//!
//! What holds the name is a lock of a connection's own, so that it goes with the process, however that ends.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{Node, OpenError, PostgresStores, Shared};

/// How long a start waits for the name: a server that was just killed may still be known.
const WAIT: Duration = Duration::from_secs(3);
const TRY_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked whether the connection still stands, and how long it may take to answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl PostgresStores {
    /// Holds the name of this node against other servers, until these stores are dropped or closed. Commands need not.
    ///
    /// # Errors
    /// [`OpenError::Taken`] when another server has it, [`OpenError::OutOfReach`].
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
                    let why = crate::failure::Failure::from(error).sentence();
                    return Err(OpenError::OutOfReach { name: shared.name.clone(), why });
                }
            }
        };
        tokio::spawn(keep(Arc::downgrade(shared), connection));
        Ok(())
    }
}

/// A connection that holds the name; `None` when another one does.
async fn take(address: &PgConnectOptions, node: &Node) -> Result<Option<PgConnection>, sqlx::Error> {
    const SQL: &str = "SELECT pg_try_advisory_lock(hashtextextended('presently node ' || $1, 0))";
    // A machine that went away is noticed within half a minute.
    let address = address.clone().options([
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]);
    let attempt = async {
        let mut connection = address.connect().await?;
        let taken: bool = sqlx::query_scalar(SQL).bind(node.as_str()).fetch_one(&mut connection).await?;
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
