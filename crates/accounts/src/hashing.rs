//! The password hasher. **One core is left to everything else, and addresses take turns** ([`Line`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::PasswordHash;
use crate::line::Line;
use crate::network::Network;
use crate::password::{self, Stored};

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
    line: Line,
    /// The slowest verification of a hash that costs something else than ours do, in microseconds.
    slowest_us: AtomicU64,
    /// Whether the slowest is known, as far as it can be before anybody came.
    is_warm: watch::Sender<bool>,
    /// How many hashes were computed.
    runs: Arc<AtomicU64>,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            line: Line::new(cores.saturating_sub(1).max(1)),
            slowest_us: AtomicU64::new(0),
            is_warm: watch::Sender::new(true),
            runs: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Compares `password` with `stored`, or, when there is no hash that can be compared with, with one that never matches.
    pub(crate) async fn verify(
        &self,
        network: Network,
        password: &str,
        stored: Option<&PasswordHash>,
    ) -> Result<Verdict, Busy> {
        let stored = stored.and_then(|stored| Stored::parse(&stored.0));
        let (is_known, stored) = (stored.is_some(), stored.or_else(Stored::nobody).ok_or(Busy)?);
        let (outdated, costs_other) = (!stored.is_current(), !stored.costs_as_nobody());
        let password = password.to_owned();
        let (matches, took) = self
            .run(network, move || {
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

    pub(crate) async fn hash(&self, network: Network, password: &str) -> Result<PasswordHash, Busy> {
        let password = password.to_owned();
        self.run(network, move || password::hash(password.as_bytes())).await?.ok_or(Busy)
    }

    /// Waits until a failed verification has taken as long as the slowest: while there are hashes of another cost than ours, the time
    /// of a refusal would tell whose account exists.
    pub(crate) async fn level(&self, verdict: &Verdict) {
        // The sender is ours: it cannot be gone.
        let _ = self.is_warm.subscribe().wait_for(|is_warm| *is_warm).await;
        let slowest = Duration::from_micros(self.slowest_us.load(Ordering::Relaxed));
        let missing = slowest.saturating_sub(verdict.took);
        if !missing.is_zero() {
            tokio::time::sleep(missing).await;
        }
    }

    /// Whether refusals need not wait for the slowest to be known.
    pub(crate) fn set_warm(&self, is_warm: bool) {
        self.is_warm.send_replace(is_warm);
    }

    /// The place goes with the work and not with who waits for it: a caller who leaves does not make room for another hash.
    async fn run<T: Send + 'static>(
        &self,
        network: Network,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = self.line.place(network).await?;
        let runs = self.runs.clone();
        tokio::task::spawn_blocking(move || {
            let _held = place;
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
    use crate::polled::poll_once;

    #[tokio::test]
    async fn a_core_is_left_and_the_place_goes_with_the_work() {
        let hashing = Arc::new(Hashing::new());
        let cores = std::thread::available_parallelism().expect("cores").get();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let places = cores.saturating_sub(1).max(1);
        for _ in 0..places {
            let gate = gate.clone();
            let mut work =
                Box::pin(hashing.run(Network::NONE, move || gate.lock().is_ok_and(|gate| gate.recv().is_ok())));
            assert!(poll_once(work.as_mut()).await.is_none(), "it works");
            // Whoever asked leaves.
            drop(work);
        }
        let mut next = Box::pin(hashing.run(Network::NONE, || ()));
        assert!(poll_once(next.as_mut()).await.is_none(), "all places are taken");
        open.send(()).expect("it waits");
        assert!(next.await.is_ok(), "there is room again");
        for _ in 1..places {
            open.send(()).expect("it waits");
        }
    }

    #[tokio::test]
    async fn a_user_without_a_hash_costs_a_hash_too() {
        let hashing = Hashing::new();
        for stored in [None, Some(PasswordHash(String::new())), Some(PasswordHash("!unusable".to_owned()))] {
            let before = hashing.runs();
            assert!(!hashing.verify(Network::NONE, "password", stored.as_ref()).await.expect("there is room").right);
            assert_eq!(hashing.runs(), before + 1);
        }
    }

    #[tokio::test]
    async fn only_hashes_that_cost_something_else_than_ours_make_refusals_slower() {
        let hashing = Hashing::new();
        let slowest = || hashing.slowest_us.load(Ordering::Relaxed);
        let ours = hashing.hash(Network::NONE, "correct horse").await.expect("there is room");
        for stored in [None, Some(&ours)] {
            let verdict = hashing.verify(Network::NONE, "correct horse", stored).await.expect("there is room");
            assert_eq!((verdict.right, verdict.outdated), (stored.is_some(), false));
            assert_eq!(slowest(), 0);
        }
        // `correct horse`, as Django keeps it, with as many iterations as take a moment.
        let django = "pbkdf2_sha256$1$seasalt2$GjMazcomIJmFhSFeCz09TZumH490n3gBSdXGIsLYpa0=";
        let django = PasswordHash(django.to_owned());
        for (password, right) in [("correct horse", true), ("wrong horse", false)] {
            let verdict = hashing.verify(Network::NONE, password, Some(&django)).await.expect("there is room");
            assert_eq!((verdict.right, verdict.outdated), (right, true));
        }
        assert!(slowest() > 0);
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
