//! Watching over several nodes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod several;

use std::sync::Arc;
use std::time::Duration;

use presently::clock::ManualClock;
use presently::{EndReason, Position, Resumed, Status, UserId, Viewer};
use several::{Cluster, secs, seen};

#[tokio::test(start_paused = true)]
async fn who_comes_back_at_another_node_gets_exactly_what_they_missed() {
    let cluster = Cluster::of(3).await;
    let users: Vec<UserId> = ["alice", "bob"].map(UserId::from).to_vec();
    let mut watcher = cluster.nodes[0].watch(&["alice", "bob"]).await;
    cluster.nodes[1].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    assert_eq!(seen(&mut watcher), ["alice online"]);
    let position = watcher.position();
    drop(watcher);
    cluster.nodes[2].beat("bob", "phone").await;
    cluster.nodes[2].presently.end_user("alice", EndReason::Logout).await.unwrap();
    cluster.pass(secs(1)).await;
    for node in &cluster.nodes {
        let mut back = node.presently.watcher(Viewer::Anybody);
        let Resumed::Diffs(diffs) = back.resume(&users, position).await.unwrap() else { panic!("a snapshot") };
        let told: Vec<_> =
            diffs.iter().flat_map(|diff| &diff.presences).map(|told| (told.user.as_str(), told.status)).collect();
        assert_eq!(told, [("bob", Status::Online), ("alice", Status::Offline)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_moves_on_while_nothing_happens() {
    let cluster = Cluster::of(2).await;
    let before = cluster.nodes[1].presently.position();
    cluster.pass(secs(5)).await;
    let after = cluster.nodes[1].presently.position();
    assert_eq!(before.epoch, after.epoch);
    assert!(after.seq > before.seq);
    assert_eq!(cluster.nodes[0].presently.position(), after);
}

#[tokio::test(start_paused = true)]
async fn watchers_of_every_node_see_each_transition_once() {
    let cluster = Cluster::of(3).await;
    let mut watchers = Vec::new();
    for node in &cluster.nodes {
        watchers.push(node.watch(&["alice"]).await);
    }
    for round in 0..5 {
        cluster.nodes[round % 3].beat("alice", "phone").await;
        cluster.nodes[(round + 1) % 3].beat("alice", "phone").await;
        cluster.pass(secs(1)).await;
        cluster.nodes[(round + 2) % 3].presently.end_user("alice", EndReason::Logout).await.unwrap();
        cluster.pass(secs(1)).await;
    }
    for watcher in &mut watchers {
        assert_eq!(seen(watcher), ["alice online", "alice offline"].repeat(5));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_begins_anew_when_their_node_is_cut_off_and_when_it_is_back() {
    let cluster = Cluster::of(2).await;
    let mut watcher = cluster.nodes[0].watch(&["alice"]).await;
    let epoch = watcher.position().epoch;
    cluster.nodes[0].link.set_down(true);
    cluster.pass(secs(15)).await;
    let alone = watcher.next().await.unwrap();
    assert!(alone.renewed && alone.epoch != epoch);
    cluster.nodes[1].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    assert_eq!(seen(&mut watcher), [""; 0]);
    cluster.nodes[0].link.set_down(false);
    cluster.pass(secs(5)).await;
    let back = watcher.next().await.unwrap();
    assert!(back.renewed && back.epoch == epoch);
    assert_eq!(back.presences[0].status, Status::Online);
    cluster.nodes[1].presently.end_user("alice", EndReason::Logout).await.unwrap();
    cluster.pass(secs(1)).await;
    assert_eq!(seen(&mut watcher), ["alice offline"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_shows_what_the_others_show() {
    let mut cluster = Cluster::of(1).await;
    for user in 0..2000 {
        cluster.nodes[0].presently.evidence(&format!("user-{user}"), "phone", None, || true).unwrap();
    }
    cluster.pass(secs(1)).await;
    cluster.nodes[0].presently.set_invisible("user-7", true).await.unwrap();
    cluster.nodes[0].presently.bar("user-8").await.unwrap();
    cluster.start().await;
    let (one, two) = (&cluster.nodes[0].presently, &cluster.nodes[1].presently);
    assert_eq!(one.counts(), two.counts());
    assert!(two.is_invisible("user-7"));
    for user in ["user-1", "user-8", "user-1999"] {
        assert_eq!(one.presence(user).await.unwrap(), two.presence(user).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_begins_anew_when_their_node_was_lost_and_joins_again() {
    let mut cluster = Cluster::of(2).await;
    let (clock, link) = (ManualClock::new(), Arc::new(cluster.bus.handle()));
    clock.advance(secs(500));
    cluster.start_on(link.clone(), clock.clone()).await;
    let users: Vec<UserId> = ["alice", "bob", "carol"].map(UserId::from).to_vec();
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.nodes[0].beat("bob", "phone").await;
    cluster.pass(secs(1)).await;
    let mut named = cluster.nodes[2].watch(&["alice", "bob", "carol"]).await;
    let mut of_all = cluster.nodes[2].presently.watcher(Viewer::Admin);
    of_all.watch_everybody().await.unwrap();
    // Its machine stands still: it hears nothing, and does not know that it hears nothing.
    let mut places = vec![cluster.nodes[2].presently.position()];
    link.set_down(true);
    cluster.pass(secs(60)).await;
    for user in ["alice", "bob"] {
        cluster.nodes[0].presently.end_user(user, EndReason::Logout).await.unwrap();
        cluster.pass(secs(1)).await;
        places.push(cluster.nodes[0].presently.position());
    }
    cluster.nodes[0].beat("alice", "tablet").await;
    cluster.nodes[1].beat("carol", "phone").await;
    cluster.pass(secs(1)).await;
    let changed = cluster.nodes[0].presently.position();
    link.set_down(false);
    for _ in 0..50 {
        clock.advance(Duration::from_millis(100));
        cluster.pass(Duration::from_millis(100)).await;
        // What was between is not known here, so that nothing of it can be told.
        assert_eq!(named.next_now(), None);
        assert_eq!(of_all.next_now(), None);
    }
    let statuses = |presences: &[presently::Presence]| {
        let mut statuses: Vec<_> = presences.iter().map(|told| (told.user.to_string(), told.status)).collect();
        statuses.sort();
        statuses
    };
    let online = |user: &str| (user.to_owned(), Status::Online);
    let anew = named.next().await.unwrap();
    assert!(anew.renewed && anew.epoch == changed.epoch && anew.seq >= changed.seq, "{anew:?}");
    assert_eq!(statuses(&anew.presences), [online("alice"), ("bob".to_owned(), Status::Offline), online("carol")]);
    let anew = of_all.next().await.unwrap();
    assert!(anew.renewed && anew.epoch == changed.epoch && anew.seq >= changed.seq, "{anew:?}");
    assert_eq!(statuses(&anew.presences), [online("alice"), online("carol")]);
    places.push(Position { seq: changed.seq - 1, ..changed });
    for from in places {
        let mut back = cluster.nodes[2].presently.watcher(Viewer::Anybody);
        let Resumed::Snapshot(snapshot) = back.resume(&users, from).await.unwrap() else { panic!("diffs from {from}") };
        assert_eq!(snapshot.presences.len(), 3);
        let mut back = cluster.nodes[2].presently.watcher(Viewer::Admin);
        assert!(matches!(back.resume_everybody(from).await.unwrap(), Resumed::Snapshot(_)), "diffs from {from}");
    }
    // And from here on everything is told.
    cluster.nodes[1].presently.end_user("carol", EndReason::Logout).await.unwrap();
    cluster.pass(secs(1)).await;
    assert_eq!(seen(&mut named), ["carol offline"]);
    assert_eq!(seen(&mut of_all), ["carol offline"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_one_after_the_other_has_places_one_after_the_other() {
    let cluster = Cluster::of(2).await;
    let users: Vec<UserId> = ["alice", "bob"].map(UserId::from).to_vec();
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    let mut watcher = cluster.nodes[1].presently.watcher(Viewer::Admin);
    let snapshot = watcher.watch(&users).await.unwrap();
    assert_eq!(snapshot.presences[0].status, Status::Online);
    // Two entries of the log, one directly after the other.
    let node = &cluster.nodes[0];
    let (_, erased) = tokio::join!(node.beat("bob", "phone"), node.presently.forget("alice"));
    erased.unwrap();
    cluster.pass(secs(1)).await;
    let mut told = Vec::new();
    while let Some(diff) = watcher.next_now() {
        told.extend(diff.events().map(|(seq, presence)| (seq, presence.clone())));
    }
    let mut before = snapshot.position;
    for (place, (seq, _)) in told.iter().enumerate() {
        assert!(*seq > before.seq, "{told:?} after {}", snapshot.position);
        for node in &cluster.nodes {
            let mut back = node.presently.watcher(Viewer::Admin);
            let Resumed::Diffs(diffs) = back.resume(&users, before).await.unwrap() else { panic!("a snapshot") };
            let missed: Vec<_> = diffs.iter().flat_map(|diff| diff.presences.clone()).collect();
            let rest: Vec<_> = told[place..].iter().map(|(_, presence)| presence.clone()).collect();
            assert_eq!(missed, rest);
        }
        before.seq = *seq;
    }
    let (_, last) = told.last().unwrap();
    assert_eq!((last.status, last.last_seen, last.since), (Status::Offline, None, None));
}
