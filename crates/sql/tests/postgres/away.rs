//! A database server that goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use presently::store::{Batch, Sight, Store as _, StoreError};
use presently::{Status, Timestamp};
use presently_accounts::StoreError as AccountStoreError;
use presently_accounts::store::AccountStore as _;
use presently_sql::PostgresStores;
use presently_sql::postgres::OpenOptions;
use presently_testkit::{Postgres, eventually};
use sqlx::Executor as _;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::{account, keep, kept, now, open, other_program, presence, transition};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_stopped_is_unavailable_at_once_and_found_again_when_it_is_back() {
    let server = Postgres::start(&[]);
    let stores = open(&server.database()).await;
    keep(&stores, presence("alice", Status::Online, Some(1), 1)).await;
    server.stop();
    let began = Instant::now();
    for _ in 0..200 {
        let refused = stores.account_named("alice").await.expect_err("nobody is there");
        assert!(matches!(refused, AccountStoreError::Unavailable(_)), "{refused:?}");
        let refused = stores.commit(&online("bob")).await.expect_err("nobody is there");
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "400 refusals took {:?}", began.elapsed());
    assert!(stores.probe().await.is_err());
    server.start_again();
    eventually(PATIENCE, "it is found again", async || stores.probe().await.is_ok()).await;
    assert!(kept(&stores, "alice").await.is_some());
    keep(&stores, presence("bob", Status::Online, Some(1), 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_written_twice_when_the_server_is_killed() {
    let server = Arc::new(Postgres::start(&[]));
    let url = server.database();
    let stopped = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    // Histories come from one writer a process, as the server has it; accounts from anybody.
    for writer in 0..3 {
        let (stores, stopped) = (open(&url).await, Arc::clone(&stopped));
        writers.spawn(async move {
            let user = format!("user-{writer}");
            let (mut acknowledged, mut refused, mut at) = (Vec::new(), 0, 0);
            while !stopped.load(Ordering::Relaxed) {
                at += 1;
                let batch = Batch { transitions: vec![transition(&user, at)], ..Batch::default() };
                // As the driver does: what was refused is tried again.
                while stores.commit(&batch).await.is_err() {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let name = format!("{user}-{at}");
                if stores.insert(&account(&name), now(), None).await.is_ok() {
                    acknowledged.push(name);
                }
            }
            (user, at, acknowledged, refused)
        });
    }
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let server = Arc::clone(&server);
        spawn_blocking(move || {
            server.kill();
            server.start_again();
        })
        .await
        .expect("it comes back");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stopped.store(true, Ordering::Relaxed);
    let written = timeout(PATIENCE, writers.join_all()).await.expect("all come to an end");
    let stores = open(&url).await;
    let mut refusals = 0;
    for (user, last, acknowledged, refused) in written {
        refusals += refused;
        let name = user.as_str().into();
        let all = stores.transitions(&name, Sight::Insider, Timestamp(0), Timestamp(i64::MAX), 100_000);
        let times: Vec<i64> = all.await.expect("answers").iter().map(|row| row.at.0).collect();
        assert!(times == (1..=last).collect::<Vec<_>>(), "{user}: {} lines of {last}", times.len());
        for name in acknowledged {
            assert!(stores.account_named(&name).await.expect("answers").is_some(), "{name} was acknowledged");
        }
    }
    assert!(refusals > 0, "nobody noticed that the server was killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_another_program_is_waited_for_as_long_as_chosen() {
    let url = Postgres::shared().database();
    let options = OpenOptions { lock_timeout: Duration::from_millis(200), ..OpenOptions::default() };
    let stores = PostgresStores::open(&url, options).await.expect("opens");
    let mut other = other_program(&url).await;
    other.execute("BEGIN; LOCK TABLE users, presence").await.expect("locks");
    let began = Instant::now();
    let refused = stores.insert(&account("ada"), now(), None).await.expect_err("locked");
    assert!(matches!(refused, AccountStoreError::Unavailable(_)), "{refused:?}");
    let refused = stores.commit(&online("ada")).await.expect_err("locked");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(3));
    other.execute("COMMIT").await.expect("unlocks");
    stores.insert(&account("ada"), now(), None).await.expect("the connections are good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_all_busy_are_waited_for_and_then_refused() {
    let url = Postgres::shared().database();
    let options = OpenOptions {
        connections_max: 2,
        connect_timeout: Duration::from_millis(300),
        lock_timeout: Duration::from_secs(20),
        ..OpenOptions::default()
    };
    let stores = PostgresStores::open(&url, options).await.expect("opens");
    let mut other = other_program(&url).await;
    other.execute("BEGIN; LOCK TABLE users").await.expect("locks");
    let mut waiting = JoinSet::new();
    for n in 0..2 {
        let stores = stores.clone();
        waiting.spawn(async move { stores.insert(&account(&format!("ada-{n}")), now(), None).await });
    }
    eventually(PATIENCE, "both are busy", async || stores.probe().await.is_err()).await;
    let refused = stores.account_named("ada").await.expect_err("every connection is busy");
    assert_eq!(refused, AccountStoreError::Unavailable("every connection is busy".to_owned()));
    other.execute("COMMIT").await.expect("unlocks");
    assert!(waiting.join_all().await.iter().all(Result::is_ok), "who had a connection was served");
    assert!(stores.account_named("ada-1").await.expect("answers").is_some());
}

fn online(user: &str) -> Batch {
    Batch { presences: vec![presence(user, Status::Online, Some(1), 1)], ..Batch::default() }
}
