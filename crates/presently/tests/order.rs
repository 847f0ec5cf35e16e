//! One truth, told once and in order, whoever hammers and whoever races.

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use presently::store::Store;
use presently::{Activity, EndReason, Error, Status, Timestamp, Told};
use world::{World, secs, until};

#[tokio::test]
async fn two_sweepers_announce_once() {
    let mut world = World::new().await;
    for user in 0..1000 {
        world.beat(&format!("user-{user}"), "tab");
    }
    world.presently.settled().await.unwrap();
    world.news();
    world.clock.advance(secs(121));
    let (one, two) = tokio::join!(world.presently.sweep(), world.presently.sweep());
    one.unwrap();
    two.unwrap();
    let mut news = world.news();
    assert_eq!(news.len(), 1000);
    news.sort();
    news.dedup();
    assert_eq!(news.len(), 1000);
}

#[tokio::test]
async fn evidence_whose_condition_no_longer_holds_is_refused() {
    let mut world = World::new().await;
    assert_eq!(world.presently.evidence("alice", "tab", None, || false), Err(Error::Stale));
    assert_eq!(world.presently.evidence_kept("alice", "tab", None, || false).await, Err(Error::Stale));
    assert_eq!(world.news(), Vec::<String>::new());
    assert_eq!(world.presently.stats().evidence, 0);
}

/// The token is revoked first, then the session is ended: whatever evidence comes between, nobody is left online.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_races_with_requests_leaves_no_ghost() {
    let world = World::new().await;
    for round in 0..200 {
        let (user, valid) = (format!("user-{round}"), Arc::new(AtomicBool::new(true)));
        world.beat(&user, "tab");
        let requests: Vec<_> = (0..2)
            .map(|_| {
                let (presently, user, valid) = (world.presently.clone(), user.clone(), Arc::clone(&valid));
                std::thread::spawn(move || {
                    let still = || valid.load(Ordering::SeqCst);
                    while presently.evidence(&user, "tab", None, still) != Err(Error::Stale) {}
                })
            })
            .collect();
        valid.store(false, Ordering::SeqCst);
        world.presently.end_session(&user, "tab", EndReason::Logout).await.unwrap();
        requests.into_iter().for_each(|request| request.join().unwrap());
        assert_eq!(world.presence(&user).await.status, Status::Offline);
    }
    assert_eq!(world.presently.counts().users, 0);
}

/// Threads bring the same few users online and offline; what is told of each is one unbroken chain that ends in the truth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hammered_users_are_told_in_the_order_of_decisions() {
    let mut world = World::new().await;
    let users = ["alice", "bob", "carol"];
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let presently = world.presently.clone();
            let runtime = tokio::runtime::Handle::current();
            std::thread::spawn(move || {
                for round in 0..1500 {
                    let user = users[(round + thread) % 3];
                    match round % 4 {
                        3 => drop(runtime.block_on(presently.end_user(user, EndReason::Logout))),
                        2 => drop(presently.evidence(user, "tab", Some(Activity::Idle), || true)),
                        _ => drop(presently.evidence(user, "tab", Some(Activity::Active), || true)),
                    }
                }
            })
        })
        .collect();
    until(|| threads.iter().all(std::thread::JoinHandle::is_finished)).await;
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    world.presently.settled().await.unwrap();

    let mut shown = std::collections::HashMap::new();
    let mut told = 0;
    while let Some(Told::Transition(t)) = world.told.next_now() {
        let before = shown.insert(t.user.clone(), t.to).unwrap_or(Status::Offline);
        assert_eq!(t.from, before, "{} was told out of order", t.user);
        told += 1;
    }
    assert!(told > 100, "only {told} transitions: nothing was hammered");
    for user in users {
        let presence = world.presence(user).await;
        assert_eq!(shown.get(user).copied().unwrap_or_default(), presence.status);
        let stored = world.stored(user).await.unwrap();
        assert_eq!((stored.status, Some(stored.since)), (presence.status, presence.since));
    }
    let lines: usize = {
        let mut lines = 0;
        for user in users {
            let all = (Timestamp(i64::MIN), Timestamp(i64::MAX));
            lines += world
                .store
                .memory
                .transitions(&user.into(), presently::store::Sight::Insider, all.0, all.1, u32::MAX)
                .await
                .unwrap()
                .len();
        }
        lines
    };
    assert_eq!(lines, told);
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_much_it_missed() {
    let mut world = World::new().await;
    for user in 0..70_000 {
        world.beat(&format!("user-{user}"), "tab");
    }
    world.presently.settled().await.unwrap();
    let Some(Told::Missed(missed)) = world.told.next().await else { panic!("nothing was missed") };
    assert_eq!(missed, 70_000 - 65_536);
    assert!(matches!(world.told.next().await, Some(Told::Transition(_))));
}

#[tokio::test]
async fn after_shutdown_everything_is_closed_and_subscribers_reach_the_end() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    let (one, two) = tokio::join!(world.presently.shutdown(), world.presently.shutdown());
    one.unwrap();
    two.unwrap();
    assert_eq!(world.presently.evidence("alice", "tab", None, || true), Err(Error::Closed));
    assert_eq!(world.presently.set_offline("alice").await, Err(Error::Closed));
    assert_eq!(world.presently.presence("alice").await, Err(Error::Closed));
    assert_eq!(world.presently.settled().await, Err(Error::Closed));
    assert!(matches!(world.told.next().await, Some(Told::Transition(_))));
    assert_eq!(world.told.next().await, None);
    assert_eq!(world.presently.subscribe().next().await, None);
}
