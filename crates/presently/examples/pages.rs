//! What a page of who is online costs with a million users, whoever looks and whatever they ask for.
//!
//! ```text
//! cargo run --release -p presently --example pages
//! ```
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement prints what it measured")]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use presently::clock::SystemClock;
use presently::memory::MemoryStore;
use presently::{Config, Error, Presently, Status, Timestamp, UserId, Viewer};

const USERS: usize = 1_000_000;
/// Every so many users one is invisible.
const INVISIBLE: usize = 1_000;
/// Of as many attempts the cheapest counts: another process is no cost of this one.
const TRIES: usize = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let presently = Presently::open(Config::default(), Arc::new(MemoryStore::new()), SystemClock::new()).await?;
    for n in 0..USERS {
        while presently.evidence(&n.to_string(), "phone", None, || true) == Err(Error::Full) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    presently.settled().await?;
    let middle = presently.presence("500000").await?;
    let middle = middle.last_seen.map(|at| (at, middle.user));
    report(&presently, "nobody invisible", middle.clone()).await;
    for n in (0..USERS).step_by(INVISIBLE) {
        presently.set_invisible(&n.to_string(), true).await?;
    }
    report(&presently, "one in a thousand invisible", middle.clone()).await;
    for n in (0..USERS).step_by(INVISIBLE) {
        presently.set_invisible(&n.to_string(), false).await?;
    }
    report(&presently, "and visible again", middle).await;
    Ok(())
}

async fn report(presently: &Presently, case: &str, middle: Option<(Timestamp, UserId)>) {
    for (who, viewer) in
        [("admin", Viewer::Admin), ("user", Viewer::User("77".into())), ("application", Viewer::Anybody)]
    {
        for (what, after, limit, some) in [
            ("newest one", None, 2, true),
            ("newest 1,000", None, 1_001, true),
            ("1,000 after half of them", middle.clone(), 1_001, true),
            ("nobody wanted", None, 1_001, false),
        ] {
            let mut fastest = Duration::MAX;
            let mut found = 0;
            for _ in 0..TRIES {
                let began = processor_time();
                let wanted = |user: &str, status| status == Status::Online && (some || user.is_empty());
                found = presently.newest_online_seen_by(&viewer, after.clone(), limit, wanted).await.len();
                fastest = fastest.min(processor_time().saturating_sub(began));
            }
            println!("{case}: {who}, {what}: {found} in {:.1} ms", fastest.as_secs_f64() * 1e3);
        }
    }
    for (who, viewer) in [("admin", Viewer::Admin), ("user", Viewer::User("77".into()))] {
        let began = processor_time();
        let counts = presently.counts_seen_by(&viewer).await;
        println!(
            "{case}: {who}, counts: {} in {:.1} ms",
            counts.online,
            processor_time().saturating_sub(began).as_secs_f64() * 1e3
        );
    }
}

/// What this thread has cost so far, where the system tells (Linux); else the time that passed.
fn processor_time() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}
