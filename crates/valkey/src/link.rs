//! One connection, made anew when it breaks. **An attempt to connect is made by one caller at a time, and never sooner than the back-off allows.**

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use presently::bus::BusError;
use redis::{Cmd, RedisResult, Value};
use tokio::time::{Instant, sleep_until, timeout};

use crate::failure::{is_unknown_script, spoils_connection, told, too_slow};
use crate::scripts::Script;
use crate::source::{Connection, Source};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// A connection for one kind of use.
pub(crate) struct Link {
    source: Arc<Source>,
    /// How long a command on it may wait at the server.
    blocks_for: Duration,
    held: Mutex<Held>,
    attempts: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Held {
    connection: Option<Connection>,
    /// Counts connections, so that a late failure of an old one does not drop the new one.
    generation: u64,
}

#[derive(Default)]
struct Attempts {
    backoff: Backoff,
    last_failure: Option<(Instant, BusError)>,
}

/// When the next attempt may be made: later after each failure, and not at the same time as those of others.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    pub(crate) async fn wait(&self) {
        if let Some(not_before) = self.not_before {
            sleep_until(not_before).await;
        }
    }

    pub(crate) fn failed(&mut self) {
        let longest = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        // Without entropy: no jitter, which is no reason to fail.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let part = 0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX);
        self.not_before = Some(Instant::now() + longest.mul_f64(part));
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

impl Link {
    pub(crate) fn new(source: Arc<Source>, blocks_for: Duration) -> Self {
        Self { source, blocks_for, held: Mutex::default(), attempts: tokio::sync::Mutex::default() }
    }

    /// Runs a script, which the server may not know yet.
    pub(crate) async fn run(&self, script: &Script, keys: &[&str], args: &[&[u8]]) -> Result<Value, BusError> {
        let within = self.source.response_timeout;
        match self.send(&script.by_hash(keys, args), within).await? {
            Err(error) if is_unknown_script(&error) => self.ask(&script.whole(keys, args), within).await,
            Err(error) => Err(told(&error)),
            Ok(value) => Ok(value),
        }
    }

    /// Sends a command at which the server may wait for `wait`. Dropping the call drops the connection, and with it the server's waiting.
    pub(crate) async fn wait(&self, command: &Cmd, wait: Duration) -> Result<Value, BusError> {
        self.ask(command, wait + self.source.response_timeout).await
    }

    /// Sends a command that is answered at once.
    pub(crate) async fn ask_at_once(&self, command: &Cmd) -> Result<Value, BusError> {
        self.ask(command, self.source.response_timeout).await
    }

    async fn ask(&self, command: &Cmd, within: Duration) -> Result<Value, BusError> {
        self.send(command, within).await?.map_err(|error| told(&error))
    }

    async fn send(&self, command: &Cmd, within: Duration) -> Result<RedisResult<Value>, BusError> {
        let (mut connection, generation) = self.connected().await?;
        let mut unanswered = Unanswered { link: self, generation, blocking: !self.blocks_for.is_zero() };
        let answer = timeout(within, connection.ask(command)).await;
        unanswered.blocking = false;
        match answer {
            Ok(answer) => {
                if answer.as_ref().is_err_and(spoils_connection) {
                    self.drop_connection(generation);
                }
                Ok(answer)
            }
            Err(_) => {
                self.drop_connection(generation);
                Err(too_slow("an answer", within))
            }
        }
    }

    async fn connected(&self) -> Result<(Connection, u64), BusError> {
        let since = Instant::now();
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let patience = self.source.connect_timeout;
        let busy = |_| too_slow("waiting for a connection", patience);
        let mut attempts = timeout(patience, self.attempts.lock()).await.map_err(busy)?;
        if let Some(held) = self.held() {
            return Ok(held);
        }
        if let Some((at, failure)) = &attempts.last_failure
            && *at >= since
        {
            return Err(failure.clone());
        }
        attempts.backoff.wait().await;
        match self.source.connect(self.blocks_for, None).await {
            Ok(connection) => {
                attempts.backoff.succeeded();
                attempts.last_failure = None;
                let mut held = self.held.lock();
                held.generation += 1;
                held.connection = Some(connection.clone());
                Ok((connection, held.generation))
            }
            Err(failure) => {
                attempts.backoff.failed();
                attempts.last_failure = Some((Instant::now(), failure.clone()));
                tracing::debug!(error = %failure, "no connection to the bus");
                Err(failure)
            }
        }
    }

    fn held(&self) -> Option<(Connection, u64)> {
        let held = self.held.lock();
        held.connection.clone().map(|connection| (connection, held.generation))
    }

    fn drop_connection(&self, generation: u64) {
        let mut held = self.held.lock();
        if held.generation == generation {
            held.connection = None;
        }
    }
}

/// A command on its way. When its call is dropped while the server waits, what follows on the connection would wait as well,
/// and what the server then gives would be lost.
struct Unanswered<'a> {
    link: &'a Link,
    generation: u64,
    blocking: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.blocking {
            self.link.drop_connection(self.generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_attempt_waits_longer_after_each_failure_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let began = Instant::now();
        backoff.wait().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        for failure in 0..20 {
            backoff.failed();
            let began = Instant::now();
            backoff.wait().await;
            let longest = BACKOFF_MIN.saturating_mul(1 << failure.min(10)).min(BACKOFF_MAX);
            // Tokio's timer has whole milliseconds.
            let waited = began.elapsed();
            assert!(
                longest / 2 <= waited && waited <= longest + Duration::from_millis(1),
                "{waited:?} after {failure}"
            );
        }
        backoff.succeeded();
        let began = Instant::now();
        backoff.wait().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
