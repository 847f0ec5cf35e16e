//! The slow work: the safety net, the refreshed rows, the pruned history.

mod world;

use presently::store::{Audience, Batch, Sight, Store, TransitionRow};
use presently::{Config, PresenceRow, Reason, Status, Timestamp};
use world::{World, secs, until};

#[tokio::test]
async fn a_ghost_in_the_store_is_found_and_mended() {
    let world = World::new().await;
    let row = |user: &str, status| PresenceRow {
        user: user.into(),
        status,
        last_seen: Some(Timestamp(5)),
        since: Timestamp(5),
    };
    world.beat("alice", "tab");
    world.beat("bob", "tab");
    world.presently.settled().await.unwrap();
    assert_eq!(world.presently.compare().await, Ok(0));
    let wrong = vec![row("ghost", Status::Online), row("alice", Status::Offline), row("bob", Status::Away)];
    world.store.memory.commit(&Batch { presences: wrong, ..Batch::default() }).await.unwrap();
    assert_eq!(world.presence("ghost").await.status, Status::Offline);
    assert_eq!(world.presently.compare().await, Ok(3));
    let ghost = world.stored("ghost").await.unwrap();
    assert_eq!((ghost.status, ghost.last_seen), (Status::Offline, Some(Timestamp(5))));
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Online);
    assert_eq!(world.stored("alice").await.unwrap().last_seen, Some(world.wall()));
    assert_eq!(world.stored("bob").await.unwrap().status, Status::Online);
    assert_eq!(world.presently.compare().await, Ok(0));
    assert_eq!(world.presently.stats().mended, 3);
}

#[tokio::test]
async fn a_comparison_walks_every_page() {
    let world = World::new().await;
    for user in 0..2500 {
        world.beat(&format!("user-{user:04}"), "tab");
    }
    world.presently.settled().await.unwrap();
    assert_eq!(world.presently.compare().await, Ok(0));
    let gone = ["user-0000", "user-0999", "user-1000", "user-2499"].map(|user| PresenceRow {
        user: user.into(),
        status: Status::Offline,
        last_seen: None,
        since: Timestamp(5),
    });
    world.store.memory.commit(&Batch { presences: gone.to_vec(), ..Batch::default() }).await.unwrap();
    assert_eq!(world.presently.compare().await, Ok(4));
}

#[tokio::test]
async fn rows_of_the_living_are_refreshed_within_the_hour_and_heartbeats_write_none() {
    let world = World::new().await;
    world.beat("alice", "tab");
    world.presently.settled().await.unwrap();
    let commits = world.store.memory.commits();
    for _ in 0..59 {
        world.pass(secs(1)).await;
        world.beat("alice", "tab");
    }
    assert_eq!(world.store.memory.commits(), commits);
    let before = world.stored("alice").await.unwrap();
    // Sorting the names needs a thread of its own, which the hand-moved clock does not know.
    world.pass(secs(2)).await;
    let memory = &world.store.memory;
    until(|| memory.commits() > commits).await;
    let after = world.stored("alice").await.unwrap();
    assert!(after.last_seen > before.last_seen);
    assert_eq!((after.status, after.since), (before.status, before.since));
}

#[tokio::test]
async fn the_history_is_pruned_after_its_retention() {
    let config = Config { history_retention: secs(300), ..Config::default() };
    let world = World::with(config).await;
    world.beat("alice", "tab");
    world.pass(secs(130)).await;
    assert_eq!(
        world.history("alice").await,
        [(Status::Offline, Status::Online, Reason::Evidence), (Status::Online, Status::Offline, Reason::Expired)]
    );
    // Nobody knows when the thread that sorts the names is done, but it is done some time.
    let mut rounds = 0;
    while !world.history("alice").await.is_empty() {
        world.pass(secs(1)).await;
        rounds += 1;
        assert!(rounds < 10_000, "the history stayed");
    }
    assert!(rounds >= 170, "the history went too early");
}

#[tokio::test]
async fn pruning_keeps_up_with_whatever_was_written() {
    const LINES: usize = 50_000;
    let config = Config { history_retention: secs(300), ..Config::default() };
    let world = World::with(config).await;
    let line = |n: usize| TransitionRow {
        user: "alice".into(),
        from: Status::Away,
        to: Status::Online,
        at: Timestamp(n as i64),
        last_seen: None,
        reason: Reason::Activity,
        audience: Audience::Everybody,
    };
    let written = Batch { transitions: (0..LINES).map(line).collect(), ..Batch::default() };
    world.store.memory.commit(&written).await.unwrap();
    let left = async || {
        let (from, to) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        world.store.memory.transitions(&"alice".into(), Sight::Insider, from, to, u32::MAX).await.unwrap().len()
    };
    let mut rounds = 0;
    while left().await == LINES {
        world.pass(secs(1)).await;
        rounds += 1;
        assert!(rounds < 10_000, "nothing is pruned");
    }
    world.pass(secs(1)).await;
    assert_eq!(left().await, 0, "one round is enough");
}
