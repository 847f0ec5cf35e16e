//! The line before the password hasher. **No more hashes run at once than there are cores, and the line has an end.**

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::PasswordHash;
use crate::password::{self, Stored};

const WAITING_MAX: usize = 64;
const SLOWEST_MAX: Duration = Duration::from_secs(2);

/// The line is full.
#[derive(Debug)]
pub(crate) struct Busy;

/// What a verification came to.
pub(crate) struct Verdict {
    pub(crate) right: bool,
    /// Whether the stored hash should be replaced by one made today.
    pub(crate) outdated: bool,
    took: Duration,
}

pub(crate) struct Hashing {
    /// Those who wait and those who are served.
    line: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    /// The slowest verification of a hash that costs something else than ours do, in microseconds.
    slowest_us: AtomicU64,
    /// How many hashes were computed.
    runs: Arc<AtomicU64>,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            line: Arc::new(Semaphore::new(cores + WAITING_MAX)),
            slots: Arc::new(Semaphore::new(cores)),
            slowest_us: AtomicU64::new(0),
            runs: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Compares `password` with `stored`, or, when there is no hash that can be compared with, with one that never matches.
    pub(crate) async fn verify(&self, password: &str, stored: Option<&PasswordHash>) -> Result<Verdict, Busy> {
        let stored = stored.and_then(|stored| Stored::parse(&stored.0));
        let (is_known, stored) = (stored.is_some(), stored.or_else(Stored::nobody).ok_or(Busy)?);
        let (outdated, costs_other) = (!stored.is_current(), !stored.costs_as_nobody());
        let password = password.to_owned();
        let (matches, took) = self
            .run(move || {
                let start = Instant::now();
                (stored.verify(password.as_bytes()), start.elapsed())
            })
            .await?;
        if costs_other {
            let took_us = took.min(SLOWEST_MAX).as_micros();
            self.slowest_us.fetch_max(u64::try_from(took_us).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        Ok(Verdict { right: matches && is_known, outdated, took })
    }

    pub(crate) async fn hash(&self, password: &str) -> Result<PasswordHash, Busy> {
        let password = password.to_owned();
        self.run(move || password::hash(password.as_bytes())).await?.ok_or(Busy)
    }

    /// Waits until a failed verification has taken as long as the slowest: while there are hashes of another cost than ours, the time
    /// of a refusal would tell whose account exists.
    pub(crate) async fn level(&self, verdict: &Verdict) {
        let slowest = Duration::from_micros(self.slowest_us.load(Ordering::Relaxed));
        let missing = slowest.saturating_sub(verdict.took);
        if !missing.is_zero() {
            tokio::time::sleep(missing).await;
        }
    }

    /// The permits go with the work and not with who waits for it: a caller who leaves does not make room for another hash.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = self.line.clone().try_acquire_owned().map_err(|_| Busy)?;
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| Busy)?;
        let runs = self.runs.clone();
        tokio::task::spawn_blocking(move || {
            let _held = (place, slot);
            runs.fetch_add(1, Ordering::Relaxed);
            work()
        })
        .await
        .map_err(|_| Busy)
    }

    #[cfg(test)]
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_when_the_line_is_full_is_sent_away_and_the_others_are_served() {
        let hashing = Arc::new(Hashing::new());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let places = hashing.line.available_permits();
        let mut waiting = Vec::new();
        for _ in 0..places {
            let (hashing, gate) = (hashing.clone(), gate.clone());
            waiting.push(tokio::spawn(async move {
                hashing.run(move || gate.lock().is_ok_and(|gate| gate.recv().is_ok())).await
            }));
        }
        while hashing.line.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(hashing.run(|| ()).await.is_err());
        for _ in 0..places {
            open.send(()).expect("they wait");
        }
        for task in waiting {
            assert!(task.await.expect("no panic").is_ok());
        }
        assert!(hashing.run(|| ()).await.is_ok(), "there is room again");
    }

    #[tokio::test]
    async fn a_user_without_a_hash_costs_a_hash_too() {
        let hashing = Hashing::new();
        for stored in [None, Some(PasswordHash(String::new())), Some(PasswordHash("!unusable".to_owned()))] {
            let before = hashing.runs();
            assert!(!hashing.verify("password", stored.as_ref()).await.expect("there is room").right);
            assert_eq!(hashing.runs(), before + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_take_as_long_as_the_slowest_foreign_hash() {
        let hashing = Hashing::new();
        let verdict = |took| Verdict { right: false, outdated: false, took };
        let start = Instant::now();
        hashing.level(&verdict(Duration::from_millis(15))).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "nothing to hide");
        hashing.slowest_us.store(300_000, Ordering::Relaxed);
        hashing.level(&verdict(Duration::from_millis(100))).await;
        assert_eq!(start.elapsed(), Duration::from_millis(200));
        hashing.level(&verdict(Duration::from_millis(300))).await;
        assert_eq!(start.elapsed(), Duration::from_millis(200));
    }
}
