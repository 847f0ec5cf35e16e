//! Watching: a snapshot, and then everything after it, in order.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use presently::clock::ManualClock;
use presently::{
    Config, Diff, EndReason, Position, Presence, Resumed, Snapshot, Source, Status, UserId, Viewer, Visibility,
    WatchError, Watcher,
};
use world::{World, secs, yields};

#[tokio::test]
async fn a_watcher_gets_a_snapshot_in_the_order_asked_and_then_each_transition() {
    let world = World::new().await;
    world.beat("alice", "phone");
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    let snapshot = watcher.watch(&ids(&["bob", "alice", "bob"])).await.unwrap();
    assert_eq!(brief(&snapshot.presences), ["bob offline", "alice online", "bob offline"]);
    assert_eq!(watcher.watched(), 2);

    world.beat("bob", "phone");
    world.beat("carol", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    let diff = watcher.next().await.unwrap();
    assert_eq!(brief(&diff.presences), ["bob online", "alice offline"]);
    assert_eq!(diff.presences[1], world.presence("alice").await);
    assert!(diff.seq > snapshot.position.seq);
    let seqs: Vec<u64> = diff.events().map(|(seq, _)| seq).collect();
    assert!(seqs.is_sorted() && seqs[0] < seqs[1] && seqs[1] == diff.seq, "{seqs:?}");
    assert_eq!(watcher.next_now(), None);
}

#[tokio::test]
async fn who_is_unwatched_is_heard_of_no_more() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&ids(&["alice", "bob"])).await.unwrap();
    world.beat("alice", "phone");
    world.presently.settled().await.unwrap();
    watcher.unwatch(&ids(&["alice", "nobody"]));
    assert_eq!(watcher.next_now(), None, "what was told and not read is gone too");
    world.beat("bob", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    assert_eq!(brief(&watcher.next().await.unwrap().presences), ["bob online"]);
    assert_eq!(watcher.watched(), 1);
}

#[tokio::test]
async fn ten_thousand_users_are_watched_and_one_more_changes_nothing() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    let all: Vec<UserId> = (0..10_001).map(|n| UserId::from(format!("user-{n}"))).collect();
    assert_eq!(watcher.watch(&all).await, Err(WatchError::TooMany));
    assert_eq!((watcher.watched(), world.presently.watching()), (0, (1, 0)));
    let (first, last) = all.split_at(10_000);
    assert_eq!(watcher.watch(first).await.unwrap().presences.len(), 10_000);
    assert_eq!(watcher.watch(last).await, Err(WatchError::TooMany));
    let here = world.presently.position();
    assert_eq!(watcher.resume(last, here).await, Err(WatchError::TooMany));
    assert_eq!(watcher.watch(first).await.unwrap().presences.len(), 10_000, "they are watched already");
    assert_eq!((watcher.watched(), world.presently.watching()), (10_000, (1, 10_000)));
    world.beat("user-10000", "phone");
    world.beat("user-9999", "phone");
    assert_eq!(brief(&watcher.next().await.unwrap().presences), ["user-9999 online"]);
    watcher.unwatch(&first[..1]);
    watcher.watch(last).await.unwrap();
}

#[tokio::test]
async fn a_dropped_watcher_leaves_nothing_behind() {
    let world = World::new().await;
    let mut watchers = Vec::new();
    for _ in 0..100 {
        let mut watcher = world.presently.watcher(Viewer::Anybody);
        watcher.watch(&ids(&["alice", "bob"])).await.unwrap();
        watchers.push(watcher);
    }
    let mut everybody = world.presently.watcher(Viewer::Admin);
    everybody.watch_everybody().await.unwrap();
    assert_eq!(world.presently.watching(), (101, 2));
    watchers.truncate(3);
    world.beat("alice", "phone");
    for watcher in &mut watchers {
        assert_eq!(brief(&watcher.next().await.unwrap().presences), ["alice online"]);
    }
    drop((watchers, everybody));
    assert_eq!(world.presently.watching(), (0, 0));
}

#[tokio::test]
async fn nothing_is_lost_between_a_decision_and_its_announcement() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    // The engine is ahead of what was told: the store takes its time.
    world.store.close();
    world.beat("alice", "phone");
    yields().await;
    world.presently.drop_session("alice", "phone");
    let users = ids(&["alice"]);
    let (snapshot, ()) = tokio::join!(watcher.watch(&users), async {
        yields().await;
        world.store.open();
    });
    let snapshot = snapshot.unwrap();
    assert_eq!(brief(&snapshot.presences), ["alice online"]);
    assert_eq!(watcher.next_now(), None, "what the snapshot shows is not told again");
    let mut late = world.presently.watcher(Viewer::Anybody);
    assert_eq!(late.resume(&users, snapshot.position).await.unwrap(), Resumed::Diffs(Vec::new()));
}

#[tokio::test]
async fn giving_up_on_a_snapshot_changes_nothing() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Admin);
    watcher.watch(&ids(&["bob"])).await.unwrap();
    world.store.close();
    world.beat("alice", "phone");
    yields().await;
    let users = ids(&["alice", "bob"]);
    for _ in 0..2 {
        tokio::select! {
            biased;
            _ = watcher.watch(&users) => panic!("it cannot be told yet"),
            () = yields() => {}
        }
        tokio::select! {
            biased;
            _ = watcher.watch_everybody() => panic!("it cannot be told yet"),
            () = async { for _ in 0..20 { yields().await } } => {}
        }
    }
    assert_eq!((watcher.watched(), world.presently.watching()), (1, (1, 1)));
    world.beat("bob", "phone");
    world.store.open();
    assert_eq!(brief(&watcher.next().await.unwrap().presences), ["bob online"]);
}

#[tokio::test]
async fn a_snapshot_takes_up_what_was_not_read() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&ids(&["alice", "bob"])).await.unwrap();
    world.beat("alice", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    world.beat("bob", "phone");
    let snapshot = watcher.watch(&ids(&["carol"])).await.unwrap();
    assert_eq!(brief(&snapshot.presences), ["carol offline", "alice offline", "bob online"]);
    assert_eq!(watcher.next_now(), None);
}

#[tokio::test]
async fn a_slow_reader_gets_each_transition_while_they_are_few_and_then_the_newest_of_each_user() {
    let world = World::new().await;
    let mut slow = world.presently.watcher(Viewer::Anybody);
    let mut quick = world.presently.watcher(Viewer::Anybody);
    let users = ids(&["alice", "bob"]);
    slow.watch(&users).await.unwrap();
    quick.watch(&users).await.unwrap();
    let mut heard = 0;
    world.beat("bob", "phone");
    for n in 0..511 {
        world.beat("alice", "phone");
        world.presently.end_user("alice", EndReason::Logout).await.unwrap();
        if n == 255 {
            let diff = slow.next().await.unwrap();
            assert_eq!(diff.presences.len(), 513, "each in order");
        }
        heard += drained(&mut quick).iter().map(|diff| diff.presences.len()).sum::<usize>();
    }
    assert_eq!(heard, 1023, "a stalled reader changes nothing for others");
    for _ in 0..1_000 {
        world.beat("alice", "phone");
        world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    }
    world.beat("alice", "phone");
    world.presently.settled().await.unwrap();
    let diffs = drained(&mut slow);
    assert_eq!(diffs.len(), 1);
    assert_eq!(diffs[0].presences, [world.presence("alice").await]);
    world.presently.end_user("bob", EndReason::Logout).await.unwrap();
    assert_eq!(brief(&slow.next().await.unwrap().presences), ["bob offline"], "and in order again");
}

#[tokio::test]
async fn who_comes_back_gets_exactly_what_was_missed() {
    let world = World::new().await;
    let users = ids(&["alice", "bob", "carol"]);
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    let snapshot = watcher.watch(&users).await.unwrap();
    world.beat("alice", "phone");
    let read = watcher.next().await.unwrap();
    drop(watcher);
    world.beat("dave", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    world.beat("bob", "phone");
    world.beat("alice", "phone");
    world.presently.settled().await.unwrap();

    let mut back = world.presently.watcher(Viewer::Anybody);
    let from = Position { seq: read.seq, ..snapshot.position };
    let Resumed::Diffs(diffs) = back.resume(&users, from).await.unwrap() else { panic!("it is not old") };
    let missed: Vec<String> = diffs.iter().flat_map(|diff| brief(&diff.presences)).collect();
    assert_eq!(missed, ["alice offline", "bob online", "alice online"]);
    assert!(diffs.is_sorted_by(|a, b| a.seq < b.seq) && diffs[0].seq > read.seq);
    assert_eq!(back.next_now(), None);
    world.beat("carol", "phone");
    assert_eq!(brief(&back.next().await.unwrap().presences), ["carol online"]);

    // Any presence of a diff is a place to come back to.
    let from = Position { seq: diffs[1].seq, ..from };
    let mut again = world.presently.watcher(Viewer::Anybody);
    let Resumed::Diffs(diffs) = again.resume(&users, from).await.unwrap() else { panic!("it is not old") };
    assert_eq!(
        diffs.iter().flat_map(|diff| brief(&diff.presences)).collect::<Vec<_>>(),
        ["alice online", "carol online"]
    );
}

#[tokio::test]
async fn a_position_of_another_life_gives_a_snapshot() {
    let world = World::new().await;
    world.beat("alice", "phone");
    let before = world.presently.position();
    let world = world.stop_and_start(secs(1)).await;
    assert_ne!(world.presently.position().epoch, before.epoch);
    let mut watcher = world.presently.watcher(Viewer::Admin);
    for resumed in
        [watcher.resume(&ids(&["alice"]), before).await.unwrap(), watcher.resume_everybody(before).await.unwrap()]
    {
        let Resumed::Snapshot(snapshot) = resumed else { panic!("another life") };
        assert_eq!(brief(&snapshot.presences), ["alice online"]);
    }
}

#[tokio::test]
async fn a_quiet_reader_is_never_too_old() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    let snapshot = watcher.watch(&ids(&["alice"])).await.unwrap();
    world.pass(secs(5)).await;
    let later = watcher.position();
    assert!(later.seq > snapshot.position.seq);
    world.beat("alice", "phone");
    world.presently.settled().await.unwrap();
    let mut back = world.presently.watcher(Viewer::Anybody);
    let not_read = watcher.position();
    let diff = watcher.next().await.unwrap();
    assert!(later.seq <= not_read.seq && not_read.seq < diff.seq, "what was not read is missed by who comes back");
    assert_eq!(back.resume(&ids(&["alice"]), not_read).await.unwrap(), Resumed::Diffs(vec![diff]));
}

#[tokio::test]
async fn only_admins_watch_everybody() {
    let world = World::new().await;
    for viewer in [Viewer::Anybody, Viewer::User("alice".into())] {
        let mut watcher = world.presently.watcher(viewer);
        assert_eq!(watcher.watch_everybody().await, Err(WatchError::Forbidden));
        assert_eq!(watcher.resume_everybody(world.presently.position()).await, Err(WatchError::Forbidden));
    }
}

#[tokio::test]
async fn who_watches_everybody_hears_of_all_and_of_each_once() {
    let world = World::new().await;
    world.beat("alice", "phone");
    let mut watcher = world.presently.watcher(Viewer::Admin);
    watcher.watch(&ids(&["alice", "bob"])).await.unwrap();
    let snapshot = watcher.watch_everybody().await.unwrap();
    assert_eq!(brief(&snapshot.presences), ["alice online"]);
    assert_eq!((watcher.watched(), world.presently.watching()), (0, (1, 0)));
    assert_eq!(brief(&watcher.watch(&ids(&["bob"])).await.unwrap().presences), ["bob offline"]);
    world.beat("bob", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    assert_eq!(brief(&watcher.next().await.unwrap().presences), ["bob online", "alice offline"]);
    watcher.unwatch(&ids(&["bob"]));
    let mut back = world.presently.watcher(Viewer::Admin);
    let Resumed::Diffs(diffs) = back.resume_everybody(snapshot.position).await.unwrap() else { panic!("not old") };
    assert_eq!(diffs.len(), 2);
    world.beat("carol", "phone");
    for watcher in [&mut watcher, &mut back] {
        assert_eq!(brief(&watcher.next().await.unwrap().presences), ["carol online"]);
    }
}

#[tokio::test]
async fn who_watches_everybody_and_stalls_for_too_long_begins_anew() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Admin);
    world.beat("before", "phone");
    let snapshot = watcher.watch_everybody().await.unwrap();
    world.presently.end_user("before", EndReason::Logout).await.unwrap();
    for n in 0..66_000 {
        world.beat(&format!("user-{n}"), "phone");
        if n % 1_000 == 0 {
            world.presently.settled().await.unwrap();
        }
    }
    world.presently.settled().await.unwrap();
    assert_eq!(watcher.next_now(), None);
    let diff = watcher.next().await.unwrap();
    assert!(diff.renewed && diff.seq > snapshot.position.seq);
    assert_eq!(diff.presences.len(), 66_000, "whoever is not named is offline");
    let mut back = world.presently.watcher(Viewer::Admin);
    let resumed = back.resume_everybody(snapshot.position).await.unwrap();
    assert!(matches!(resumed, Resumed::Snapshot(Snapshot { presences, .. }) if presences.len() == 66_000));
    world.beat("after", "phone");
    assert_eq!(brief(&watcher.next().await.unwrap().presences), ["after online"]);
}

#[tokio::test]
async fn a_reader_is_woken_once_for_a_batch() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&ids(&["alice", "bob", "carol"])).await.unwrap();
    world.store.close();
    for user in ["alice", "bob", "carol"] {
        world.beat(user, "phone");
    }
    let reading = tokio::spawn(async move { watcher.next().await.unwrap() });
    yields().await;
    assert!(!reading.is_finished());
    world.store.open();
    assert_eq!(reading.await.unwrap().presences.len(), 3);
}

#[tokio::test]
async fn watchers_read_what_was_told_and_then_the_end() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    let idle = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&ids(&["alice"])).await.unwrap();
    let waiting = tokio::spawn(async move {
        let mut idle = idle;
        idle.next().await
    });
    yields().await;
    world.beat("alice", "phone");
    world.presently.shutdown().await.unwrap();
    assert_eq!(brief(&watcher.next().await.unwrap().presences), ["alice online"]);
    assert_eq!((watcher.next().await, waiting.await.unwrap()), (None, None));
    assert_eq!(watcher.watch(&ids(&["bob"])).await, Err(WatchError::Closed));
    assert_eq!(world.presently.watcher(Viewer::Anybody).next().await, None);
}

#[tokio::test]
async fn a_watcher_of_a_dropped_server_ends() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&ids(&["alice"])).await.unwrap();
    let World { presently, told, .. } = world;
    drop((presently, told));
    assert_eq!(watcher.next().await, None);
}

#[tokio::test]
async fn names_that_nobody_can_have_are_offline_for_ever() {
    let world = World::new().await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    let snapshot = watcher.watch(&[UserId::default(), "x".repeat(129).into()]).await.unwrap();
    assert!(snapshot.presences.iter().all(|presence| presence.status == Status::Offline));
    assert_eq!(watcher.watched(), 0);
}

#[tokio::test]
async fn a_diff_has_the_last_seen_that_only_the_store_knows() {
    let world = World::new().await;
    world.beat("alice", "phone");
    world.pass(secs(3)).await;
    let left = world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    world.pass(secs(3)).await;
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&ids(&["alice"])).await.unwrap();
    world.presently.override_status("alice", Source::Admin, Status::Away, None).await.unwrap();
    let diff = watcher.next().await.unwrap();
    assert_eq!(diff.presences, [world.presence("alice").await]);
    assert_eq!(diff.presences[0].last_seen, left.last_seen);
}

#[tokio::test]
async fn an_erased_user_is_told_as_one_who_never_was() {
    let world = World::new().await;
    world.beat("alice", "phone");
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&ids(&["alice"])).await.unwrap();
    world.presently.forget("alice").await.unwrap();
    let diff = watcher.next().await.unwrap();
    assert_eq!(brief(&diff.presences), ["alice offline", "alice offline"]);
    assert_eq!(diff.presences[1], world.presence("alice").await);
    assert_eq!(diff.presences[1].last_seen, None);
}

#[tokio::test]
async fn where_only_admins_see_others_nobody_else_hears_of_them() {
    let config = Config { visibility: Visibility::Admins, ..Config::default() };
    let world = World::open(config, ManualClock::new(), std::sync::Arc::default()).await;
    let users = ids(&["alice", "bob"]);
    let mut anybody = world.presently.watcher(Viewer::Anybody);
    let mut alice = world.presently.watcher(Viewer::User("alice".into()));
    let mut admin = world.presently.watcher(Viewer::Admin);
    for watcher in [&mut anybody, &mut alice, &mut admin] {
        watcher.watch(&users).await.unwrap();
    }
    world.beat("alice", "phone");
    world.beat("bob", "phone");
    world.presently.settled().await.unwrap();
    assert_eq!(anybody.next_now(), None);
    assert_eq!(brief(&alice.next_now().unwrap().presences), ["alice online"]);
    assert_eq!(brief(&admin.next_now().unwrap().presences), ["alice online", "bob online"]);
    let snapshot = alice.watch(&users).await.unwrap();
    assert_eq!(brief(&snapshot.presences), ["alice online", "bob offline"]);
    assert_eq!(snapshot.presences[1].last_seen, None);
}

fn ids(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|&name| name.into()).collect()
}

fn brief(presences: &[Presence]) -> Vec<String> {
    presences.iter().map(|presence| format!("{} {}", presence.user, presence.status.as_str())).collect()
}

fn drained(watcher: &mut Watcher) -> Vec<Diff> {
    std::iter::from_fn(|| watcher.next_now()).collect()
}
