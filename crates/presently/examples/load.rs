//! What evidence costs with a million users, and how long a restart with a million sessions takes.
//!
//! ```text
//! cargo run --release -p presently --example load
//! ```
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement prints what it measured, by a stopwatch"
)]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use presently::clock::SystemClock;
use presently::memory::MemoryStore;
use presently::{Config, Error, Presently};

const USERS: usize = 1_000_000;
const SESSION: &str = "9f86d081884c7d65";
const BEATS: usize = 4_000_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(MemoryStore::new());
    let presently = Presently::open(Config::default(), store.clone(), SystemClock::new()).await?;
    let began = Instant::now();
    let mut name = String::new();
    for n in 0..USERS {
        called(&mut name, n);
        while presently.evidence(&name, SESSION, None, || true) == Err(Error::Full) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    presently.settled().await?;
    report("users brought online and kept", USERS, began.elapsed());

    let (one_thread, _) = beat(&presently, 0, BEATS)?;
    report("evidence, one thread", BEATS, one_thread);

    let began = Instant::now();
    std::thread::scope(|scope| {
        for from in [0, USERS / 2] {
            let presently = &presently;
            scope.spawn(move || beat(presently, from, BEATS));
        }
    });
    report("evidence, two threads", 2 * BEATS, began.elapsed());

    let (_, slowest) = beat(&presently, 0, USERS)?;
    println!("slowest of {USERS}: {slowest:?}");

    let began = Instant::now();
    let page = presently.newest_online(None, 100).await;
    println!("newest {} of {USERS}: {:?}", page.len(), began.elapsed());
    let began = Instant::now();
    let differences = presently.compare().await?;
    println!("comparison with the store: {differences} differences, {:?}", began.elapsed());

    let began = Instant::now();
    presently.shutdown().await?;
    println!("shutdown: {:?}", began.elapsed());
    drop(presently);
    let began = Instant::now();
    let presently = Presently::open(Config::default(), store, SystemClock::new()).await?;
    println!("restart with {} sessions: {:?}", presently.counts().sessions, began.elapsed());
    Ok(())
}

/// Beats in an order that no cache foresees; returns the time it took and the longest single call.
fn beat(presently: &Presently, from: usize, beats: usize) -> Result<(Duration, Duration), Error> {
    let (mut name, mut slowest) = (String::new(), Duration::ZERO);
    let began = Instant::now();
    for n in from..from + beats {
        called(&mut name, spread(n) % USERS);
        let before = (beats == USERS).then(Instant::now);
        presently.evidence(&name, SESSION, None, || true)?;
        slowest = before.map_or(slowest, |before| slowest.max(before.elapsed()));
    }
    Ok((began.elapsed(), slowest))
}

/// Names are made and not looked up: fetching them from memory would cost as much as what is measured.
fn called(name: &mut String, n: usize) {
    name.clear();
    // A string takes whatever is written to it.
    let _ = write!(name, "{n}");
}

fn spread(n: usize) -> usize {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8
}

fn report(what: &str, count: usize, took: Duration) {
    println!("{what}: {count} in {took:.2?}, {:.0} ns each", took.as_secs_f64() * 1e9 / count as f64);
}
