//! What holds while the store is slow, full, gone, or broken, and while callers give up.

mod world;

use std::time::Duration;

use presently::store::StoreError;
use presently::{EndReason, Error, Status};
use world::{World, secs, until, yields};

fn full() -> StoreError {
    StoreError::Unwritable("no room".into())
}

#[tokio::test]
async fn nobody_is_told_before_the_store_kept_it() {
    let mut world = World::new().await;
    world.store.close();
    let presently = world.presently.clone();
    let login = tokio::spawn(async move { presently.evidence_kept("alice", "tab", None, || true).await });
    world.pass(Duration::from_millis(400)).await;
    assert!(!login.is_finished());
    assert_eq!(world.news(), Vec::<String>::new());
    assert_eq!(world.presence("alice").await.status, Status::Online);
    world.store.open();
    assert_eq!(login.await.unwrap().unwrap().status, Status::Online);
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Online);
}

#[tokio::test]
async fn what_gathers_during_one_commit_is_one_commit() {
    let world = World::new().await;
    world.store.close();
    world.beat("first", "tab");
    yields().await;
    let logins: Vec<_> = (0..100)
        .map(|user| {
            let presently = world.presently.clone();
            tokio::spawn(async move { presently.evidence_kept(&format!("u{user}"), "tab", None, || true).await })
        })
        .collect();
    yields().await;
    world.store.open();
    for login in logins {
        login.await.unwrap().unwrap();
    }
    assert_eq!(world.store.memory.commits(), 2);
}

#[tokio::test]
async fn presence_goes_on_while_the_store_is_away_and_all_is_kept_when_it_is_back() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.presently.settled().await.unwrap();
    world.news();
    world.store.memory.fail_with(Some(full()));
    let refused = world.presently.end_user("alice", EndReason::ForcedLogout).await;
    assert_eq!(refused, Err(Error::Store(full())));
    assert_eq!(world.presently.health(), Err(full()));
    assert_eq!(world.news(), ["alice online->offline forced_logout"]);
    world.beat("bob", "tab");
    world.pass(secs(121)).await;
    assert_eq!(world.news(), ["bob offline->online evidence", "bob online->offline expired"]);
    assert!(world.presently.stats().pending > 0);
    // Nobody needs the store to know what was decided a moment ago.
    assert_eq!(world.presence("bob").await.status, Status::Offline);

    world.store.memory.fail_with(None);
    world.pass(secs(6)).await;
    assert_eq!(world.presently.health(), Ok(()));
    assert_eq!(world.presently.stats().pending, 0);
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Offline);
    assert_eq!(world.history("alice").await.len(), 2);
    assert_eq!(world.history("bob").await.len(), 2);
    assert_eq!(world.presently.stats().history_dropped, 0);
    assert_eq!(world.news(), Vec::<String>::new());
}

#[tokio::test]
async fn a_caller_who_waits_is_a_reason_to_try_again() {
    let world = World::new().await;
    world.store.memory.fail_with(Some(full()));
    world.beat("alice", "tab");
    // By now the pauses have grown to seconds.
    world.pass(secs(10)).await;
    world.store.memory.fail_with(None);
    let presently = world.presently.clone();
    let login = tokio::spawn(async move { presently.evidence_kept("bob", "tab", None, || true).await });
    world.pass(Duration::from_millis(200)).await;
    assert_eq!(login.await.unwrap().unwrap().status, Status::Online);
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Online);
}

#[tokio::test]
async fn no_caller_waits_for_ever_and_a_slow_store_holds_up_no_announcement() {
    let mut world = World::new().await;
    world.store.close();
    let presently = world.presently.clone();
    let login = tokio::spawn(async move { presently.evidence_kept("alice", "tab", None, || true).await });
    world.pass(secs(6)).await;
    assert!(matches!(login.await.unwrap(), Err(Error::Store(StoreError::Unavailable(_)))));
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    assert!(world.presently.health().is_err());
    world.beat("bob", "tab");
    world.pass(secs(1)).await;
    assert_eq!(world.news(), ["bob offline->online evidence"]);
    world.store.open();
    world.pass(secs(1)).await;
    assert_eq!(world.presently.health(), Ok(()));
    assert_eq!(world.history("alice").await.len(), 1);
    assert_eq!(world.history("bob").await.len(), 1);
}

#[tokio::test]
async fn a_caller_who_gives_up_loses_nothing() {
    let mut world = World::new().await;
    world.store.close();
    {
        let login = world.presently.evidence_kept("alice", "tab", None, || true);
        tokio::pin!(login);
        tokio::select! {
            biased;
            _ = &mut login => panic!("the store is closed"),
            () = yields() => {}
        }
    }
    world.store.open();
    world.presently.settled().await.unwrap();
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Online);
}

#[tokio::test]
async fn a_store_that_panics_has_failed_and_takes_nothing_with_it() {
    let mut world = World::new().await;
    world.store.panic_once();
    let refused = world.presently.evidence_kept("alice", "tab", None, || true).await;
    assert!(matches!(refused, Err(Error::Store(StoreError::Damaged(_)))));
    world.pass(secs(1)).await;
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Online);
    assert_eq!(world.history("alice").await.len(), 1);
    assert_eq!(world.presently.health(), Ok(()));
}

#[tokio::test]
async fn beyond_the_limit_inputs_are_refused_and_renewals_go_on() {
    let world = World::new().await;
    world.beat("regular", "tab");
    world.presently.settled().await.unwrap();
    world.store.close();
    world.beat("first", "tab");
    yields().await;
    let mut taken = 0;
    let refused = loop {
        match world.presently.evidence(&format!("user-{taken}"), "tab", None, || true) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::Full);
    assert_eq!(taken, 100_001, "two effects each, up to 200,000 and the one that crossed the line");
    world.beat("regular", "tab");
    assert_eq!(world.presently.set_offline("regular").await, Err(Error::Full));
    world.store.open();
    let presently = world.presently.clone();
    until(|| presently.stats().pending == 0).await;
    world.beat("late", "tab");
    world.presently.settled().await.unwrap();
    assert_eq!(world.presently.counts().online, 100_004);
}

#[tokio::test]
async fn the_history_of_a_store_that_stays_away_is_bounded() {
    let world = World::new().await;
    world.store.memory.fail_with(Some(full()));
    for round in 0..11 {
        for user in 0..10_000 {
            let activity = if round % 2 == 0 { presently::Activity::Active } else { presently::Activity::Idle };
            world.presently.evidence(&format!("user-{user}"), "tab", Some(activity), || true).unwrap();
        }
        yields().await;
        world.clock.advance(Duration::from_millis(10));
    }
    world.pass(secs(1)).await;
    assert_eq!(world.presently.stats().history_dropped, 10_000);
    world.store.memory.fail_with(None);
    world.pass(secs(6)).await;
    assert_eq!(world.presently.health(), Ok(()));
    assert_eq!(world.history("user-7").await.len(), 10);
    assert_eq!(world.stored("user-7").await.unwrap().status, Status::Online);
}

#[tokio::test]
async fn a_shutdown_with_a_store_that_is_away_says_so() {
    let world = World::new().await;
    world.beat("alice", "tab");
    world.store.memory.fail_with(Some(full()));
    assert_eq!(world.presently.shutdown().await, Err(full()));
    assert_eq!(world.presently.evidence("alice", "tab", None, || true), Err(Error::Closed));
}

#[tokio::test]
async fn evidence_that_could_not_be_appended_is_appended_later() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(2)).await;
    world.store.memory.fail_with(Some(full()));
    world.pass(secs(50)).await;
    world.beat("alice", "tab");
    let seen = world.wall();
    world.pass(secs(20)).await;
    assert_eq!(world.presently.health(), Err(full()));
    world.store.memory.fail_with(None);
    // The minute's round may have had a row to keep as well, which is tried again after five seconds at most.
    world.pass(secs(6)).await;
    assert_eq!(world.presently.health(), Ok(()));
    world = world.crash(secs(60)).await;
    assert!(seen.since(world.presence("alice").await.last_seen.unwrap()) <= Duration::from_millis(1));
}

#[tokio::test]
async fn evidence_that_changes_something_is_answered_when_it_is_kept_and_a_renewal_waits_for_nothing() {
    let world = World::new().await;
    world.store.close();
    let presently = world.presently.clone();
    let first = tokio::spawn(async move { presently.heard("alice", "tab", None, || true).await });
    world.pass(Duration::from_millis(500)).await;
    assert!(!first.is_finished());
    world.store.open();
    assert_eq!(first.await.unwrap().unwrap().status, Status::Online);
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Online);
    world.store.close();
    assert_eq!(world.presently.heard("alice", "tab", None, || true).await.unwrap().status, Status::Online);

    // A store that does not answer is waited for a second, and one that is away not at all.
    let presently = world.presently.clone();
    let first = tokio::spawn(async move { presently.heard("bob", "tab", None, || true).await });
    world.pass(Duration::from_millis(1_100)).await;
    assert_eq!(first.await.unwrap().unwrap().status, Status::Online);
    world.pass(secs(4)).await;
    assert!(world.presently.health().is_err());
    assert_eq!(world.presently.heard("carol", "tab", None, || true).await.unwrap().status, Status::Online);
}
