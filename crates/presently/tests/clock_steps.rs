//! What a wall clock that steps does to what has an end.

mod world;

use std::time::Duration;

use presently::{Source, Status};
use world::{World, secs};

const HOUR: i64 = 3_600_000_000;

async fn overridden() -> World {
    let world = World::new().await;
    let ends_after = Some(Duration::from_secs(3_600));
    world.presently.override_status("alice", Source::Admin, Status::Away, ends_after).await.expect("kept");
    world
}

#[tokio::test]
async fn an_override_ends_at_the_time_that_it_shows_when_the_clock_steps_forward_or_the_machine_slept() {
    let mut world = overridden().await;
    world.pass(secs(10)).await;
    world.news();
    world.clock.step_wall(HOUR);
    world.pass(secs(1)).await;
    assert_eq!(world.news(), ["alice away->offline override_ended"]);
}

#[tokio::test]
async fn an_override_ends_at_the_time_that_it_shows_when_the_clock_steps_back() {
    let mut world = overridden().await;
    world.pass(secs(1)).await;
    world.news();
    world.clock.step_wall(-60_000_000);
    world.pass(secs(3_600 + 50)).await;
    assert_eq!(world.news(), Vec::<String>::new(), "a minute is left");
    world.pass(secs(11)).await;
    assert_eq!(world.news(), ["alice away->offline override_ended"]);
}

#[tokio::test]
async fn who_is_heard_is_neither_thrown_out_nor_kept_by_a_step() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(60)).await;
    world.news();
    world.clock.step_wall(24 * HOUR);
    world.pass(secs(30)).await;
    assert_eq!(world.news(), Vec::<String>::new());
    world.clock.step_wall(-48 * HOUR);
    world.pass(secs(31)).await;
    assert_eq!(world.news(), ["alice online->offline expired"]);
}

/// The wall clock was set by so many seconds while somebody beat, and this long after it two more came.
async fn stepped(seconds: i64, beats: usize, offset: u64) -> World {
    let world = World::new().await;
    for _ in 0..beats {
        world.beat("zoe", "tab");
        world.pass(secs(10)).await;
    }
    world.clock.step_wall(seconds * 1_000_000);
    world.pass(Duration::from_millis(offset)).await;
    world.beat("alice", "tab");
    world.presently.set("bob", Status::Away).await.expect("kept");
    world.pass(secs(10)).await;
    world
}

/// After a crash the two are there for so many seconds, and not for ten more.
async fn have_left(world: World, seconds: u64, case: &str) {
    let world = world.crash(secs(5)).await;
    for (length, expected) in [(seconds, (Status::Online, Status::Away)), (10, (Status::Offline, Status::Offline))] {
        world.pass(secs(length)).await;
        let seen = (world.presence("alice").await.status, world.presence("bob").await.status);
        assert_eq!(seen, expected, "{case}");
    }
}

/// Between a step and the look that finds it no block says when somebody was heard, and the time was there before.
#[tokio::test]
async fn who_came_just_after_a_step_back_is_live_after_a_crash() {
    for offset in [0, 50, 150] {
        have_left(stepped(-200, 23, offset).await, 105, &format!("{offset} ms after the step")).await;
    }
}

#[tokio::test]
async fn who_came_while_the_clock_was_ahead_has_no_more_than_the_rest_after_a_crash() {
    for offset in [0, 50, 150] {
        let world = stepped(200, 3, offset).await;
        world.clock.step_wall(-200_000_000);
        world.pass(secs(30)).await;
        have_left(world, 75, &format!("{offset} ms after the step")).await;
    }
}
