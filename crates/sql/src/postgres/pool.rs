//! The connections: few, kept open, opened anew when they break. **A connection of which it is not known what it is doing is closed.**

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Postgres};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::OpenOptions;
use crate::failure::Failure;

/// A connection that lay idle this long is asked whether it still works.
const ASKED_AFTER: Duration = Duration::from_secs(1);
/// How long it may think about it.
const ASKED_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer to a COMMIT may take, however much of a call's time is over: to give it up leaves unknown what became of it.
const COMMIT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a server that could not be reached is left alone: doubled with every failure, up to the second figure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The connections of one process.
#[derive(Debug)]
pub(crate) struct Pool {
    connections: PgPool,
    gate: Mutex<Gate>,
    acquire_timeout: Duration,
    /// For a call in which somebody waits, from its beginning to its answer.
    call_timeout: Duration,
    /// For each answer of a long one. Longer than the server gives a statement: reached when the server is not heard at all.
    answer_timeout: Duration,
}

/// Whether it is worth trying to connect.
#[derive(Debug, Default)]
struct Gate {
    failures: u32,
    shut: Option<(Instant, String)>,
}

impl Pool {
    pub(crate) fn new(to: PgConnectOptions, options: &OpenOptions) -> Self {
        let connections = PgPoolOptions::new()
            .max_connections(options.connections_max.max(2))
            .acquire_timeout(options.connect_timeout)
            .idle_timeout(Duration::from_mins(5))
            .max_lifetime(Duration::from_mins(30))
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for < ASKED_AFTER {
                        return Ok(true);
                    }
                    Ok(matches!(timeout(ASKED_TIMEOUT, connection.ping()).await, Ok(Ok(()))))
                })
            })
            .connect_lazy_with(to);
        Self {
            connections,
            gate: Mutex::default(),
            acquire_timeout: options.connect_timeout,
            call_timeout: options.call_timeout,
            answer_timeout: options.statement_timeout + Duration::from_secs(5),
        }
    }

    /// A connection. While the server is out of reach most callers are told so at once, and one at a time tries.
    pub(crate) async fn acquire(&self) -> Result<Held, Failure> {
        let tries = {
            let mut gate = self.gate.lock().await;
            match &gate.shut {
                Some((until, why)) if Instant::now() < *until => return Err(Failure::Unavailable(why.clone())),
                Some((_, why)) => {
                    let why = why.clone();
                    gate.shut = Some((Instant::now() + self.acquire_timeout, why));
                    true
                }
                None => false,
            }
        };
        match self.connections.acquire().await {
            Ok(connection) => {
                if tries {
                    *self.gate.lock().await = Gate::default();
                    tracing::info!("the database is within reach again");
                }
                Ok(Held { connection: Some(connection), answer_timeout: self.answer_timeout, until: None })
            }
            Err(sqlx::Error::PoolTimedOut) if !tries && self.connections.size() >= self.busy_at() => {
                Err(Failure::Unavailable("every connection is busy".to_owned()))
            }
            Err(error) => {
                let failure = match error {
                    sqlx::Error::PoolTimedOut => Failure::Unavailable("the database cannot be reached".to_owned()),
                    error => Failure::from(error),
                };
                let mut gate = self.gate.lock().await;
                let pause = BACK_OFF.0.saturating_mul(1 << gate.failures.min(10)).min(BACK_OFF.1);
                gate.failures += 1;
                let why = failure.sentence();
                gate.shut = Some((Instant::now() + pause, why.clone()));
                Err(Failure::Unavailable(why))
            }
        }
    }

    /// A connection for a call that has `call_timeout` in all.
    async fn acquire_for_call(&self) -> Result<Held, Failure> {
        let until = Instant::now() + self.call_timeout;
        let mut held = timeout(self.call_timeout, self.acquire()).await.unwrap_or_else(|_| Err(silent()))?;
        held.until = Some(until);
        Ok(held)
    }

    /// The decoded rows of a query.
    pub(crate) async fn rows<T>(
        &self,
        query: sqlx::query::Query<'_, Postgres, sqlx::postgres::PgArguments>,
        decode: impl Fn(&sqlx::postgres::PgRow) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut held = self.acquire_for_call().await?;
        let (connection, limit) = held.parts()?;
        let rows = in_time(limit, async { Ok(query.fetch_all(connection).await?) }).await;
        held.settle(rows)?.iter().map(decode).collect()
    }

    /// How many rows a statement changed that is a transaction of its own.
    pub(crate) async fn execute(
        &self,
        query: sqlx::query::Query<'_, Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<u64, Failure> {
        let mut held = self.acquire_for_call().await?;
        let (connection, limit) = held.parts()?;
        let done = in_time(limit, async { Ok(query.execute(connection).await?.rows_affected()) }).await;
        held.settle(done)
    }

    /// Runs `operation` in a transaction.
    pub(crate) async fn transact<T, F>(&self, operation: F) -> Result<T, Failure>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Failure>> + Send,
    {
        let mut held = self.begin_call("BEGIN").await?;
        let (connection, limit) = held.parts()?;
        let outcome = in_time(limit, operation(connection)).await;
        held.end(outcome).await
    }

    /// A connection in a transaction that `begin` begins, for a call in which somebody waits.
    pub(crate) async fn begin_call(&self, begin: &'static str) -> Result<Held, Failure> {
        self.acquire_for_call().await?.begin(begin).await
    }

    /// The same for what may take long.
    pub(crate) async fn begin(&self, begin: &'static str) -> Result<Held, Failure> {
        self.acquire().await?.begin(begin).await
    }

    pub(crate) async fn close(&self) {
        // What still holds a connection may have lost its server: it is not waited for endlessly.
        let _ = timeout(Duration::from_secs(10), self.connections.close()).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.connections.is_closed()
    }

    fn busy_at(&self) -> u32 {
        self.connections.options().get_max_connections()
    }
}

/// A connection that is closed when it is dropped without having been settled.
pub(crate) struct Held {
    connection: Option<PoolConnection<Postgres>>,
    answer_timeout: Duration,
    /// When the call must be over in which it is used.
    until: Option<Instant>,
}

impl Held {
    /// The connection, and how long an answer may take: for [`in_time`].
    pub(crate) fn parts(&mut self) -> Result<(&mut PgConnection, Duration), Failure> {
        let limit = self.limit();
        let connection = self.connection.as_mut().ok_or_else(lost)?;
        Ok((connection, limit))
    }

    fn limit(&self) -> Duration {
        self.until.map_or(self.answer_timeout, |until| until.saturating_duration_since(Instant::now()))
    }

    async fn begin(mut self, begin: &'static str) -> Result<Self, Failure> {
        match self.run(begin).await {
            Ok(()) => Ok(self),
            Err(failure) => self.settle(Err(failure)),
        }
    }

    /// Executes statements without parameters.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), Failure> {
        let (connection, limit) = self.parts()?;
        in_time(limit, async {
            connection.execute(sql).await?;
            Ok(())
        })
        .await
    }

    /// Gives the connection back, unless it broke.
    pub(crate) fn settle<T>(mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if !matches!(outcome, Err(Failure::Lost(_))) {
            drop(self.connection.take());
        }
        outcome
    }

    /// Ends a transaction: commits when all went well.
    pub(crate) async fn end<T>(mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match outcome {
            Ok(value) => {
                self.until = self.until.map(|until| until.max(Instant::now() + COMMIT_TIMEOUT));
                let committed = self.run("COMMIT").await;
                self.settle(committed).map(|()| value)
            }
            Err(Failure::Lost(why)) => Err(Failure::Lost(why)),
            Err(failure) => {
                let undone = self.run("ROLLBACK").await;
                let _ = self.settle(undone);
                Err(failure)
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}

/// What `work` comes to, unless the server is not heard for too long.
pub(crate) async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(lost()))
}

fn silent() -> Failure {
    Failure::Unavailable("the database does not answer".to_owned())
}

fn lost() -> Failure {
    Failure::Lost("the database does not answer".to_owned())
}
