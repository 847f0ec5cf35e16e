//! The one writer. **Everything that waits is one transaction, and nobody is answered before it is on the disk.**
//!
//! An operation that fails by itself undoes its own statements and hurts nobody else; when the transaction as a whole fails,
//! every operation in it gets the error, and the connection is opened anew for the next ones: a disk that was full heals
//! without a restart.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::place::Place;
use crate::failure::Failure;

/// How many operations wait at most, and how many are one transaction at most.
const WAITING_MAX: usize = 1_024;
/// How long a caller waits for a place among those that wait.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to the writer.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    messages: mpsc::Sender<Message>,
}

enum Message {
    Work(Box<dyn Work>),
    Close,
}

impl Writer {
    /// Starts the writer on `connection`; it opens further ones with `options`. It ends when every `Writer` is dropped or one was closed.
    pub(crate) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        place: Arc<Place>,
    ) -> (Self, JoinHandle<()>) {
        let (messages, inbox) = mpsc::channel(WAITING_MAX);
        let task = Task { inbox, connection: Some(connection), options, place };
        (Self { messages }, tokio::spawn(task.run()))
    }

    /// Runs `operation` in the next transaction; answers when that is on the disk. Once it waits it is done, also when the caller goes away.
    pub(crate) async fn run<T, F>(&self, operation: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(Operation { operation: Some(operation), outcome: None, answer });
        match self.messages.send_timeout(Message::Work(work), PLACE_TIMEOUT).await {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(closed())),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(Failure::Unavailable(format!("{WAITING_MAX} writes wait already")))
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(closed()),
        }
    }

    /// Lets what waits be written, and refuses what comes later.
    pub(crate) async fn close(&self) {
        let _ = self.messages.send(Message::Close).await;
    }
}

fn closed() -> Failure {
    Failure::Unavailable("the database is closed".to_owned())
}

/// One operation among others in a transaction.
trait Work: Send {
    /// Executes its statements; the outcome is kept until [`Work::answer`].
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), Failure>>;
    /// Tells the caller: what came of it, if the transaction was committed, else why that was not.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
}

struct Operation<T, F> {
    operation: Option<F>,
    outcome: Option<Result<T, Failure>>,
    answer: oneshot::Sender<Result<T, Failure>>,
}

impl<T, F> Work for Operation<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
{
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let Some(operation) = self.operation.take() else { return Ok(()) };
            let outcome = operation(connection).await;
            let told = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
            self.outcome = Some(outcome);
            told
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        let outcome = match (self.outcome, committed) {
            // It failed by itself, whatever became of the others.
            (Some(Err(own)), _) if own.is_own() => Err(own),
            (_, Err(failure)) => Err(failure),
            (Some(outcome), Ok(())) => outcome,
            (None, Ok(())) => Err(closed()),
        };
        // Nobody waits any more: the caller went away.
        let _ = self.answer.send(outcome);
    }
}

struct Task {
    inbox: mpsc::Receiver<Message>,
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    place: Arc<Place>,
}

impl Task {
    async fn run(mut self) {
        let mut messages = Vec::new();
        // 1. Wait for an operation and take all that wait: while one transaction is written the next one gathers.
        while self.inbox.recv_many(&mut messages, WAITING_MAX).await > 0 {
            let mut group: Vec<Box<dyn Work>> = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Work(work) => group.push(work),
                    // 2. Refuse newcomers; what waits in the inbox still comes out of it.
                    Message::Close => self.inbox.close(),
                }
            }
            // 3. Write, then answer.
            let committed = if group.is_empty() { Ok(()) } else { self.commit(&mut group).await };
            if let Err(failure) = &committed {
                tracing::warn!(operations = group.len(), error = ?failure, "transaction failed");
            }
            for work in group {
                work.answer(committed.clone());
            }
        }
        if let Some(connection) = self.connection.take() {
            // The last one to leave has SQLite fold the log into the file.
            let _ = connection.close().await;
        }
    }

    async fn commit(&mut self, group: &mut [Box<dyn Work>]) -> Result<(), Failure> {
        self.place.check()?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        match transaction(&mut connection, group).await {
            Ok(()) => {
                self.connection = Some(connection);
                // Into the file that the next start finds?
                self.place.check()
            }
            Err(failure) => {
                // Whether this works does not matter: the end of the connection undoes what is open.
                let _ = execute(&mut connection, "ROLLBACK").await;
                let _ = connection.close().await;
                self.place.forget_log();
                Err(failure)
            }
        }
    }
}

async fn transaction(connection: &mut SqliteConnection, group: &mut [Box<dyn Work>]) -> Result<(), Failure> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    if let [work] = group {
        return match work.run(connection).await {
            Ok(()) => execute(connection, "COMMIT").await,
            Err(own) if own.is_own() => execute(connection, "ROLLBACK").await,
            Err(failure) => Err(failure),
        };
    }
    for work in group {
        execute(connection, "SAVEPOINT operation").await?;
        match work.run(connection).await {
            Ok(()) => {}
            Err(own) if own.is_own() => execute(connection, "ROLLBACK TO operation").await?,
            Err(failure) => return Err(failure),
        }
        execute(connection, "RELEASE operation").await?;
    }
    execute(connection, "COMMIT").await
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Failure> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}
