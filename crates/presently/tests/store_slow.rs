//! What holds while a store is slow, and while it is given what gathered in its absence: a slice at a time.

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use presently::store::{Saved, Store as _, StoreError};
use presently::{Activity, Status};
use world::{Try, World, secs, yields};

const SLICE_MAX: usize = 20_000;
const USERS: usize = 30_000;
/// Each has a session, a presence and a line.
const ROWS: usize = 3 * USERS;

fn away() -> StoreError {
    StoreError::Unavailable("away".into())
}

fn micros(length: u64) -> Duration {
    Duration::from_micros(length)
}

/// The store was away while so many came.
async fn after_an_outage(users: usize) -> World {
    let mut world = World::new().await;
    world.store.memory.fail_with(Some(away()));
    for user in 0..users {
        world.beat(&format!("user-{user}"), "tab");
    }
    world.pass(secs(1)).await;
    assert_eq!(world.news().len(), users);
    assert_eq!(world.presently.stats().pending, 3 * users as u64);
    world.store.tries();
    world
}

/// The rows of each user in the store: sessions, presences, lines.
async fn kept(world: &World) -> BTreeMap<String, [usize; 3]> {
    let mut kept: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut note = |saved| match saved {
        Saved::Session(row) => kept.entry(row.user.to_string()).or_default()[0] += 1,
        Saved::Presence(row) => kept.entry(row.user.to_string()).or_default()[1] += 1,
        _ => {}
    };
    world.store.memory.load(&mut note).await.expect("answers");
    for user in 0..USERS {
        let name = format!("user-{user}");
        let lines = world.history(&name).await.len();
        if lines > 0 {
            kept.entry(name).or_default()[2] = lines;
        }
    }
    kept
}

#[tokio::test]
async fn a_long_backlog_is_kept_in_slices_and_nothing_is_written_twice() {
    let world = after_an_outage(USERS).await;
    // All at once would take nine seconds.
    world.store.slow_down(&world.clock, micros(100), secs(5));
    world.store.memory.fail_with(None);
    let mut left = vec![ROWS as u64];
    for _ in 0..30 {
        world.pass(secs(1)).await;
        left.push(world.presently.stats().pending);
    }
    assert_eq!(left.last(), Some(&0), "{left:?}");
    assert!(left.is_sorted_by(|a, b| a >= b), "progress shows: {left:?}");
    assert!(left.iter().filter(|&&left| left > 0 && left < ROWS as u64).count() >= 4, "progress shows: {left:?}");
    let tries = world.store.tries();
    assert!(tries.iter().all(|one| one.rows <= SLICE_MAX), "{tries:?}");
    assert_eq!(tries.iter().filter(|one| one.is_kept).map(|one| one.rows).sum::<usize>(), ROWS);
    let kept = kept(&world).await;
    assert_eq!(kept.len(), USERS);
    assert!(kept.values().all(|rows| *rows == [1, 1, 1]));
    assert_eq!(world.presently.health(), Ok(()));
}

#[tokio::test]
async fn a_slice_that_is_too_much_for_the_store_is_followed_by_smaller_ones() {
    let world = after_an_outage(7_000).await;
    // A slice of the usual size would take 20 seconds.
    world.store.slow_down(&world.clock, Duration::from_millis(1), secs(5));
    world.store.memory.fail_with(None);
    // Before the first round of maintenance, which writes rows of its own.
    for _ in 0..50 {
        if world.presently.stats().pending > 0 {
            world.pass(secs(1)).await;
        }
    }
    assert_eq!(world.presently.stats().pending, 0);
    let tries = world.store.tries();
    assert!(tries.contains(&Try { rows: 19_998, is_kept: false }), "{tries:?}");
    assert_eq!(tries.iter().filter(|one| one.is_kept).map(|one| one.rows).sum::<usize>(), 21_000);
    assert_eq!(world.history("user-7").await.len(), 1);
}

#[tokio::test]
async fn a_crash_between_two_slices_leaves_of_each_user_everything_or_nothing() {
    let mut world = after_an_outage(USERS).await;
    world.store.slow_down(&world.clock, micros(100), secs(5));
    world.store.memory.fail_with(None);
    while world.store.tries().iter().filter(|one| one.is_kept).count() == 0 {
        world.pass(secs(1)).await;
    }
    let before = kept(&world).await;
    assert!(before.len() > 1_000 && before.len() < USERS, "{} users", before.len());
    assert!(before.values().all(|rows| *rows == [1, 1, 1]));
    world = world.crash(secs(60)).await;
    world.store.slow_down(&world.clock, micros(1), secs(5));
    assert_eq!(world.presently.counts().online, before.len() as u64);
    assert_eq!(world.news(), Vec::<String>::new());
    let (there, gone) = (before.keys().next().unwrap().clone(), "user-29999");
    assert_eq!(world.presence(&there).await.status, Status::Online);
    assert_eq!(world.presence(gone).await.status, Status::Offline);
    // Who is not known any more comes back with the next evidence.
    world.beat(gone, "tab");
    world.pass(secs(1)).await;
    assert_eq!(world.history(gone).await.len(), 1);
}

#[tokio::test]
async fn a_transition_is_told_within_a_second_and_a_login_is_kept_soon_while_a_backlog_is_written() {
    let mut world = after_an_outage(USERS).await;
    world.store.slow_down(&world.clock, micros(100), secs(5));
    world.store.memory.fail_with(None);
    world.pass(secs(3)).await;
    assert!(world.presently.stats().pending > SLICE_MAX as u64);
    for round in 0..5 {
        let (user, presently) = (format!("late-{round}"), world.presently.clone());
        let name = user.clone();
        let login = tokio::spawn(async move { presently.evidence_kept(&name, "tab", None, || true).await });
        world.pass(Duration::from_millis(800)).await;
        assert_eq!(world.news(), [format!("{user} offline->online evidence")]);
        world.pass(secs(3)).await;
        assert_eq!(login.await.unwrap().unwrap().status, Status::Online);
        assert_eq!(world.stored(&user).await.unwrap().status, Status::Online);
    }
}

#[tokio::test]
async fn of_sessions_that_came_and_went_while_the_store_was_away_nothing_waits() {
    let world = World::new().await;
    world.beat("regular", "tab");
    world.presently.settled().await.unwrap();
    world.store.memory.fail_with(Some(away()));
    // From now on the store is only asked whether it is back.
    world.beat("first", "tab");
    world.pass(secs(1)).await;
    for _ in 0..50 {
        for tab in 0..10 {
            world.beat("alice", &format!("tab-{tab}"));
        }
        world.pass(secs(121)).await;
    }
    // A presence and a hundred lines of hers. Of the others: an end, a presence and their lines.
    assert_eq!(world.presently.stats().pending, 101 + 3 + 4);
    world.store.memory.fail_with(None);
    world.pass(secs(6)).await;
    assert_eq!(world.presently.stats().pending, 0);
    assert_eq!(world.history("alice").await.len(), 100);
    assert_eq!(world.history("regular").await.len(), 2);
    let mut sessions = 0;
    world.store.memory.load(&mut |saved| sessions += usize::from(matches!(saved, Saved::Session(_)))).await.unwrap();
    assert_eq!(sessions, 0);
}

#[tokio::test]
async fn who_changes_often_takes_no_room_from_newcomers() {
    let world = World::new().await;
    world.store.close();
    for round in 0..40 {
        let activity = if round % 2 == 0 { Activity::Active } else { Activity::Idle };
        for user in 0..5_000 {
            world.presently.evidence(&format!("user-{user}"), "tab", Some(activity), || true).unwrap();
        }
        world.clock.advance(Duration::from_millis(100));
        yields().await;
    }
    // Of 400,000 effects there are two rows of each user and at most 100,000 lines, and a slice is on its way.
    let pending = world.presently.stats().pending;
    assert!((110_000..=130_000).contains(&pending), "{pending}");
    world.beat("newcomer", "tab");
    world.store.open();
    world.presently.settled().await.unwrap();
    assert_eq!(world.stored("newcomer").await.unwrap().status, Status::Online);
}

#[tokio::test]
async fn a_slow_store_holds_up_no_announcement_for_a_second() {
    let mut world = World::new().await;
    world.store.slow_down(&world.clock, secs(2), secs(5));
    for user in ["alice", "bob", "carol"] {
        world.beat(user, "tab");
        world.pass(Duration::from_millis(700)).await;
        assert_eq!(world.news(), [format!("{user} offline->online evidence")]);
    }
}
