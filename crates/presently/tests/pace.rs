//! How fast one user may change what is kept of them: what is refused has changed nothing.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use presently::{Activity, Error, Status};
use world::{World, secs};

const WAIT: Error = Error::TooManyChanges { retry_after: std::time::Duration::from_millis(100) };

async fn say(world: &World, session: &str, activity: Option<Activity>) -> Result<Status, Error> {
    let beat = world.presently.paced("alice", session, activity, || true)?.decided().await?;
    Ok(beat.status)
}

#[tokio::test]
async fn a_hundred_changes_at_once_are_taken_and_the_next_changes_nothing() {
    let mut world = World::new().await;
    let turns = [Activity::Active, Activity::Idle];
    for turn in 0..100 {
        say(&world, "phone", Some(turns[turn % 2])).await.unwrap();
    }
    world.news();
    let before = world.presently.explain("alice").unwrap();
    assert_eq!(say(&world, "phone", Some(Activity::Active)).await, Err(WAIT));
    assert_eq!(say(&world, "laptop", None).await, Err(WAIT), "a session that opens is a change");
    assert_eq!(world.presently.set_invisible("alice", true).await, Err(WAIT));
    assert_eq!(world.presently.explain("alice").unwrap(), before);
    assert!(!world.presently.is_invisible("alice"));
    assert_eq!(world.news(), [""; 0]);
    for _ in 0..1_000 {
        assert_eq!(say(&world, "phone", None).await, Ok(Status::Away), "a heartbeat that changes nothing");
        assert_eq!(say(&world, "phone", Some(Activity::Idle)).await, Ok(Status::Away));
    }
    assert_eq!(
        world.presently.paced("bob", "phone", None, || true).unwrap().decided().await.unwrap().status,
        Status::Online
    );
    world.pass(secs(1)).await;
    let taken = async |turn: usize| say(&world, "phone", Some(turns[turn % 2])).await.is_ok();
    let mut changed = 0;
    for turn in 0..20 {
        changed += usize::from(taken(turn).await && turn < 10);
    }
    assert_eq!(changed, 10, "ten a second");
}

#[tokio::test]
async fn applications_and_logins_are_not_held_to_it_and_logins_count() {
    let world = World::new().await;
    for turn in 0..300 {
        let activity = if turn % 2 == 0 { Activity::Active } else { Activity::Idle };
        world.presently.hear("alice", "app-1", Some(activity), || true).unwrap().decided().await.unwrap();
    }
    say(&world, "phone", None).await.unwrap();
    for login in 0..100 {
        world.presently.evidence_kept("alice", &format!("login-{login}"), None, || true).await.unwrap();
    }
    assert_eq!(say(&world, "laptop", None).await, Err(WAIT));
    world.presently.evidence_kept("alice", "the one after", None, || true).await.unwrap();
}

#[tokio::test]
async fn who_may_not_be_present_hears_that() {
    let world = World::new().await;
    world.presently.bar("alice").await.unwrap();
    for _ in 0..200 {
        assert_eq!(say(&world, "phone", None).await, Err(Error::Barred));
    }
}
