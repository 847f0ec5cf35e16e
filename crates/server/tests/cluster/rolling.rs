//! One node after the other is replaced.

use presently_testkit::clients::Socket;
use serde_json::json;

use crate::nodes::{Cluster, SOON, TIMEOUT, pass};
use crate::people::{Beating, Person, Route};
use crate::watchers::{Watcher, exactly_once, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_rolling_restart_nobody_is_seen_to_leave_and_watchers_miss_nothing() {
    let mut cluster = Cluster::of(3).await;
    let marker = cluster.person(0, "marker").await;
    let (mut people, mut beating) = (Vec::new(), Vec::<Beating>::new());
    for (place, name) in ["ann", "ben", "cat", "dan", "eve", "fay"].into_iter().enumerate() {
        let who = cluster.person(place % 3, name).await;
        let route = if place < 3 { Route::Stays } else { Route::Wanders };
        beating.push(cluster.beating(&who, place % 3, route));
        people.push(who);
    }
    let still = cluster.person(0, "still").await;
    let everybody: Vec<&Person> = people.iter().chain([&marker]).collect();
    let watchers = [
        Watcher::of_everybody(&cluster, &[0, 1, 2]).await,
        Watcher::of_everybody(&cluster, &[1, 2, 0]).await,
        Watcher::of_some(&cluster, &[2, 0, 1], &everybody).await,
    ];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    for place in 0..cluster.nodes.len() {
        // Who sends nothing for a while is not lost with the node that heard them last.
        cluster.nodes[place].beat(&still.token).await;
        let log = cluster.nodes[place].stop().await;
        assert!(!log.contains("ERROR"), "{log}");
        pass(0.5).await;
        cluster.nodes[place].start().await;
        cluster.nodes[place].ready(SOON).await;
    }
    for beating in beating {
        let beaten = beating.end().await;
        assert!(beaten.gap < TIMEOUT, "they were in time: {beaten:?}");
    }
    settle(&cluster, &marker, &watchers).await;
    let happened = exactly_once(&cluster, &watchers, &everybody[..everybody.len() - 1]).await;
    assert!(happened.iter().all(|happened| happened == &["online"]), "{happened:?}");
    // If they left, then after a whole timeout: the history is looked at.
    exactly_once(&cluster, &watchers[..2], &[&still]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_a_node_that_stops_are_told_to_come_back_and_their_users_stay() {
    let mut cluster = Cluster::of(2).await;
    let marker = cluster.person(1, "marker").await;
    let alice = cluster.person(0, "alice").await;
    let watcher = Watcher::of_everybody(&cluster, &[1]).await;
    let authorization = format!("Bearer {}", alice.token);
    let addresses = [0, 1].map(|node| cluster.nodes[node].address().parse().unwrap());
    let mut socket = Socket::connect(addresses[0], "", Some(&authorization)).await.ok().unwrap();
    assert_eq!(socket.frame().await["type"], "ready");
    assert_eq!(cluster.nodes[0].post("/api/presence/leave", &alice.token, json!({})).await.0, 204);
    drop(socket);
    watcher.shows(&alice, "offline", SOON).await;
    let mut socket = Socket::connect(addresses[0], "", Some(&authorization)).await.ok().unwrap();
    assert_eq!(socket.frame().await["type"], "ready");
    watcher.shows(&alice, "online", SOON).await;
    cluster.nodes[0].stop().await;
    socket.is_closed(1001).await;
    let mut socket = Socket::connect(addresses[1], "", Some(&authorization)).await.ok().unwrap();
    assert_eq!(socket.frame().await["type"], "ready");
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready(SOON).await;
    pass(TIMEOUT.as_secs_f64() + 1.0).await;
    settle(&cluster, &marker, &[&watcher]).await;
    let happened = exactly_once(&cluster, &[&watcher], &[&alice]).await;
    assert_eq!(happened[0], ["online", "offline", "online"]);
    drop(socket);
}
