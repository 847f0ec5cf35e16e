//! What a restart finds, with and without a goodbye.

mod world;

use std::time::Duration;

use presently::store::{Batch, Store, StoreError};
use presently::{Activity, EndReason, PresenceRow, Source, Status, Timestamp};
use world::{World, secs};

#[tokio::test]
async fn a_restart_makes_nobody_offline_and_nobody_online() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.presently.evidence("bob", "tab", Some(Activity::Idle), || true).unwrap();
    world.beat("carol", "tab");
    world.presently.end_user("carol", EndReason::Logout).await.unwrap();
    world.pass(secs(30)).await;
    world.beat("alice", "tab");
    world = world.stop_and_start(secs(3600)).await;
    assert_eq!(world.presence("alice").await.status, Status::Online);
    assert_eq!(world.presence("bob").await.status, Status::Away);
    assert_eq!(world.presence("carol").await.status, Status::Offline);
    world.pass(secs(80)).await;
    world.beat("alice", "tab");
    assert_eq!(world.news(), Vec::<String>::new());
    world.pass(secs(20)).await;
    assert_eq!(world.news(), ["bob away->offline expired"]);
}

#[tokio::test]
async fn who_never_returns_keeps_the_old_last_seen() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(40)).await;
    world.beat("alice", "tab");
    let seen = world.wall();
    world.pass(secs(30)).await;
    world = world.stop_and_start(secs(86_400)).await;
    world.pass(secs(88)).await;
    assert_eq!(world.news(), Vec::<String>::new());
    world.pass(secs(3)).await;
    assert_eq!(world.news(), ["alice online->offline expired"]);
    let gone = world.presence("alice").await.last_seen.unwrap();
    assert!(seen.since(gone) <= Duration::from_millis(1) && gone <= seen, "{gone:?} is not {seen:?}");
}

#[tokio::test]
async fn a_crash_loses_at_most_two_seconds_of_last_seen_and_nobody_flaps() {
    let mut world = World::new().await;
    let users: Vec<String> = (0..500).map(|user| format!("user-{user}")).collect();
    for _ in 0..20 {
        for user in &users {
            world.beat(user, "tab");
        }
        world.pass(Duration::from_millis(5700)).await;
    }
    for user in &users {
        world.beat(user, "tab");
    }
    let seen = world.wall();
    world.pass(Duration::from_millis(1500)).await;
    world = world.crash(secs(7200)).await;
    for user in &users {
        let presence = world.presence(user).await;
        assert_eq!(presence.status, Status::Online);
        assert!(seen.since(presence.last_seen.unwrap()) <= secs(2), "{user} lost more than two seconds");
    }
    world.pass(secs(60)).await;
    for user in &users {
        world.beat(user, "tab");
    }
    world.pass(secs(60)).await;
    assert_eq!(world.news(), Vec::<String>::new());
    assert_eq!(world.presently.counts().online, 500);
}

#[tokio::test]
async fn a_crash_loop_throws_nobody_offline() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(3)).await;
    for _ in 0..5 {
        world = world.crash(secs(600)).await;
        world.pass(secs(3)).await;
    }
    assert_eq!(world.presence("alice").await.status, Status::Online);
    assert_eq!(world.news(), Vec::<String>::new());
    world.pass(secs(125)).await;
    assert_eq!(world.news(), ["alice online->offline expired"]);
}

#[tokio::test]
async fn a_clock_that_stepped_during_the_downtime_changes_nothing() {
    for step in [-86_400_000_000, 86_400_000_000] {
        let mut world = World::new().await;
        world.beat("alice", "tab");
        world.pass(secs(60)).await;
        world.presently.shutdown().await.unwrap();
        world.clock.step_wall(step);
        world = world.stop_and_start(secs(0)).await;
        world.pass(secs(58)).await;
        assert_eq!(world.news(), Vec::<String>::new());
        world.pass(secs(4)).await;
        assert_eq!(world.news(), ["alice online->offline expired"]);
    }
}

#[tokio::test]
async fn a_clock_that_stepped_shortly_before_a_crash_throws_nobody_offline() {
    for step in [-3_600_000_000, 3_600_000_000] {
        let mut world = World::new().await;
        world.beat("alice", "tab");
        world.beat("bob", "tab");
        world.pass(secs(5)).await;
        world.clock.step_wall(step);
        world.pass(secs(2)).await;
        world.beat("bob", "tab");
        world.pass(secs(2)).await;
        world = world.crash(secs(5)).await;
        world.pass(secs(100)).await;
        assert_eq!(world.news(), Vec::<String>::new(), "after a step of {step} µs");
    }
}

#[tokio::test]
async fn who_came_between_a_step_of_the_clock_and_a_crash_is_not_thrown_offline() {
    // Wherever within the second between two blocks it is.
    for (step, after) in
        [20, 3_600].into_iter().flat_map(|step| [0, 300, 600, 900].map(|after| (step * 1_000_000, after)))
    {
        let mut world = World::new().await;
        world.beat("alice", "tab");
        world.pass(secs(20)).await;
        world.clock.step_wall(step);
        world.pass(secs(30) + Duration::from_millis(after)).await;
        world.beat("alice", "tab");
        world.clock.step_wall(-step);
        world.pass(Duration::from_millis(200)).await;
        world.beat("bob", "tab");
        world.pass(Duration::from_millis(200)).await;
        world = world.crash(secs(5)).await;
        world.pass(secs(110)).await;
        assert_eq!(world.news(), Vec::<String>::new(), "after a step of {step} µs and back");
    }
}

#[tokio::test]
async fn overrides_outlive_a_restart_and_end_on_the_wall_clock() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.presently.override_status("alice", Source::User, Status::Away, Some(secs(600))).await.unwrap();
    world.presently.override_status("bob", Source::Admin, Status::Online, None).await.unwrap();
    world.beat("carol", "tab");
    world.presently.override_status("carol", Source::Admin, Status::Offline, Some(secs(5000))).await.unwrap();
    world = world.stop_and_start(secs(590)).await;
    assert_eq!(world.presence("alice").await.status, Status::Away);
    assert_eq!(world.presence("bob").await.status, Status::Online);
    assert_eq!(world.presence("carol").await.status, Status::Offline);
    assert!(world.presence("carol").await.last_seen.is_some());
    world.pass(secs(11)).await;
    assert_eq!(world.news(), ["alice away->online override_ended"]);
    world = world.crash(secs(7200)).await;
    world.pass(secs(1)).await;
    assert_eq!(world.news(), ["carol offline->online override_ended"]);
}

#[tokio::test]
async fn a_held_status_outlives_a_restart_with_the_rest_of_its_time() {
    let mut world = World::new().await;
    world.presently.set_away("alice").await.unwrap();
    world.pass(secs(60)).await;
    world = world.stop_and_start(secs(1000)).await;
    world.pass(secs(55)).await;
    assert_eq!(world.news(), Vec::<String>::new());
    world.pass(secs(10)).await;
    assert_eq!(world.news(), ["alice away->offline expired"]);
}

#[tokio::test]
async fn numbers_of_sessions_are_not_used_twice() {
    let mut world = World::new().await;
    let mut numbers = Vec::new();
    for round in 0..4 {
        for user in 0..100 {
            let user = format!("user-{round}-{user}");
            world.beat(&user, "tab");
            numbers.push(world.presently.explain(&user).unwrap().sessions[0].number);
        }
        world.pass(secs(2)).await;
        world = if round % 2 == 0 { world.crash(secs(1)).await } else { world.stop_and_start(secs(1)).await };
    }
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
}

#[tokio::test]
async fn a_shutdown_writes_the_exact_last_seen_of_everybody() {
    let world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(33)).await;
    world.beat("alice", "tab");
    let seen = world.wall();
    world.presently.shutdown().await.unwrap();
    let row = world.stored("alice").await.unwrap();
    assert_eq!((row.status, row.last_seen), (Status::Online, Some(seen)));
}

#[tokio::test]
async fn what_the_restart_itself_decides_is_told_to_the_first_subscriber() {
    let mut world = World::new().await;
    let ghost = PresenceRow { user: "ghost".into(), status: Status::Online, last_seen: None, since: Timestamp(5) };
    world.store.memory.commit(&Batch { presences: vec![ghost], ..Batch::default() }).await.unwrap();
    world = world.stop_and_start(secs(1)).await;
    world.presently.settled().await.unwrap();
    assert_eq!(world.news(), ["ghost online->offline expired"]);
    assert_eq!(world.stored("ghost").await.unwrap().status, Status::Offline);
    assert_eq!(world.presently.subscribe().next_now(), None);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_opens_nothing() {
    let store = std::sync::Arc::new(presently::memory::MemoryStore::new());
    let damaged = StoreError::Damaged("no such table".into());
    store.fail_with(Some(damaged.clone()));
    let clock = presently::clock::ManualClock::new();
    let opened = presently::Presently::open(presently::Config::default(), store, clock).await;
    assert_eq!(opened.err(), Some(damaged));
}
