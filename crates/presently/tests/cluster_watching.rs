//! Watching over several nodes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod several;

use presently::{EndReason, Resumed, Status, UserId, Viewer};
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
