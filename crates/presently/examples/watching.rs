//! What watching costs: telling, delivering, idling, and taking a snapshot.
//!
//! ```text
//! cargo run --release -p presently --example watching
//! ```
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement prints what it measured, by a stopwatch"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use presently::clock::SystemClock;
use presently::memory::MemoryStore;
use presently::{Config, EndReason, Presently, Resumed, UserId, Viewer, Watcher};

const WATCHERS: usize = 1_000;
const TRANSITIONS: usize = 500;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let presently = Presently::open(Config::default(), Arc::new(MemoryStore::new()), SystemClock::new()).await?;
    telling(&presently).await?;
    delivering(&presently).await?;
    // All of them stay: what is freed would be used again and not be counted.
    let mut idle = Vec::new();
    for (watchers, watched) in [(20_000, 10), (2_000, 1_000)] {
        idle.push(idling(&presently, watchers, watched, 0).await?);
        idle.push(idling(&presently, watchers / 10, watched, watched).await?);
    }
    let (began, count) = (Instant::now(), idle.iter().map(Vec::len).sum::<usize>());
    drop(idle);
    println!("{count} watchers leave in {:.1?}", began.elapsed());
    snapshots(&presently).await?;
    presently.shutdown().await?;
    Ok(())
}

/// Nobody reads: only the telling costs.
async fn telling(presently: &Presently) -> Result<(), Box<dyn std::error::Error>> {
    for count in [0, 1, WATCHERS] {
        let mut watchers = watchers(presently, count, &["alice".into()]).await?;
        let began = Instant::now();
        flip(presently, TRANSITIONS).await?;
        let took = began.elapsed();
        println!("transition to {count} watchers who do not read: {:.1?} each", took / TRANSITIONS as u32);
        watchers.iter_mut().for_each(|watcher| drop(watcher.next_now()));
    }
    Ok(())
}

async fn delivering(presently: &Presently) -> Result<(), Box<dyn std::error::Error>> {
    let mut reading = Vec::new();
    for mut watcher in watchers(presently, WATCHERS, &["alice".into()]).await? {
        reading.push(tokio::spawn(async move {
            let mut read = 0;
            while read < TRANSITIONS {
                read += watcher.next().await.map_or(TRANSITIONS, |diff| diff.presences.len());
            }
        }));
    }
    let (began, cpu) = (Instant::now(), cpu());
    flip(presently, TRANSITIONS).await?;
    for reading in reading {
        reading.await?;
    }
    let (took, cpu) = (began.elapsed(), self::cpu().saturating_sub(cpu));
    let deliveries = (WATCHERS * TRANSITIONS) as f64;
    println!(
        "{WATCHERS} readers of {TRANSITIONS} transitions: {:.0} deliveries a second, {:.0} ns of processor time each",
        deliveries / took.as_secs_f64(),
        cpu.as_nanos() as f64 / deliveries
    );
    let mut watcher = presently.watcher(Viewer::Anybody);
    let _others = watchers(presently, WATCHERS - 1, &["alice".into()]).await?;
    watcher.watch(&["alice".into()]).await?;
    let mut slowest = Duration::ZERO;
    for n in 0..200 {
        let began = Instant::now();
        let acted = async {
            match n % 2 {
                0 => presently.evidence("alice", "phone", None, || true).map(drop),
                _ => presently.end_user("alice", EndReason::Logout).await.map(drop),
            }
        };
        let (acted, _) = tokio::join!(acted, watcher.next());
        acted?;
        slowest = slowest.max(began.elapsed());
    }
    println!("from an act to one of {WATCHERS} watchers, slowest of 200: {slowest:.1?}");
    Ok(())
}

async fn idling(
    presently: &Presently,
    count: usize,
    watched: usize,
    apart: usize,
) -> Result<Vec<Watcher>, Box<dyn std::error::Error>> {
    let before = resident();
    let mut all = Vec::with_capacity(count);
    for n in 0..count {
        let names = (n * apart..n * apart + watched).map(|user| UserId::from(format!("user-{watched}-{user}")));
        let users: Vec<UserId> = names.collect();
        let mut watcher = presently.watcher(Viewer::User(UserId::from(format!("user-{n}"))));
        watcher.watch(&users).await?;
        all.push(watcher);
    }
    let bytes = resident().saturating_sub(before);
    let whom = if apart == 0 { "who all watch the same" } else { "who each watch others" };
    println!(
        "{count} idle watchers {whom} {watched} users: {} bytes each, {:.0} a watched user",
        bytes / count,
        bytes as f64 / (count * watched) as f64
    );
    Ok(all)
}

async fn snapshots(presently: &Presently) -> Result<(), Box<dyn std::error::Error>> {
    let users: Vec<UserId> = (0..10_000).map(|n| UserId::from(format!("user-{n}"))).collect();
    for user in users.iter().step_by(2) {
        presently.evidence(user, "phone", None, || true)?;
    }
    presently.settled().await?;
    let mut watcher = presently.watcher(Viewer::Anybody);
    let began = Instant::now();
    let snapshot = watcher.watch(&users).await?;
    println!("snapshot of {} users, half of them online: {:.1?}", snapshot.presences.len(), began.elapsed());
    for user in users.iter().step_by(100) {
        presently.end_user(user, EndReason::Logout).await?;
    }
    drop(watcher);
    let mut watcher = presently.watcher(Viewer::Anybody);
    let began = Instant::now();
    let resumed = watcher.resume(&users, snapshot.position).await?;
    let Resumed::Diffs(diffs) = resumed else { return Err("it is not old".into()) };
    println!("resuming them, {} transitions missed: {:.1?}", diffs.len(), began.elapsed());
    let mut watcher = presently.watcher(Viewer::Admin);
    let began = Instant::now();
    let all = watcher.watch_everybody().await?.presences.len();
    println!("snapshot of everybody, {all} online: {:.1?}", began.elapsed());
    Ok(())
}

async fn watchers(
    presently: &Presently,
    count: usize,
    users: &[UserId],
) -> Result<Vec<Watcher>, presently::WatchError> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut watcher = presently.watcher(Viewer::Anybody);
        watcher.watch(users).await?;
        all.push(watcher);
    }
    Ok(all)
}

async fn flip(presently: &Presently, transitions: usize) -> Result<(), presently::Error> {
    for n in 0..transitions {
        match n % 2 {
            0 => drop(presently.evidence_kept("alice", "phone", None, || true).await?),
            _ => drop(presently.end_user("alice", EndReason::Logout).await?),
        }
    }
    Ok(())
}

/// What the process holds, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).map_or(0, |kib| kib * 1024)
}

/// The processor time that the process used.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .flat_map(str::parse::<u64>)
        .sum();
    Duration::from_millis(ticks * 10)
}
