//! Nodes that die, and nodes that were thought dead.

use std::time::Duration;

use presently_testkit::clients::Socket;
use presently_testkit::process::micros;

use crate::nodes::{Cluster, LEASE, SOON, TIMEOUT, pass};
use crate::people::{Beating, Person, Route};
use crate::watchers::{Watcher, exactly_once, exactly_once_at, history, in_order, nobody_left, settle, statuses};

/// What a machine that has much else to do may add to a deadline.
const SLACK: Duration = Duration::from_secs(5);

async fn people<const N: usize>(cluster: &Cluster, at: usize, names: [&str; N]) -> Vec<Person> {
    let mut people = Vec::new();
    for name in names {
        people.push(cluster.person(at, name).await);
    }
    people
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reaches_another_node_in_time_was_never_seen_to_leave_and_ghosts_go_at_their_deadline() {
    let mut cluster = Cluster::of(3).await;
    let marker = cluster.person(1, "marker").await;
    let movers = people(&cluster, 0, ["ann", "ben", "cat"]).await;
    let wanderers = people(&cluster, 1, ["dan", "eve"]).await;
    let ghosts = people(&cluster, 0, ["fay", "gus", "hal"]).await;
    let everybody: Vec<&Person> = movers.iter().chain(&wanderers).chain(&ghosts).chain([&marker]).collect();
    let watchers = [
        Watcher::of_everybody(&cluster, &[1]).await,
        Watcher::of_everybody(&cluster, &[2]).await,
        // At the node that dies; it goes on at another, and comes back.
        Watcher::of_everybody(&cluster, &[0, 1]).await,
        Watcher::of_some(&cluster, &[0, 2], &everybody).await,
    ];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let mut beating: Vec<Beating> = movers.iter().map(|who| cluster.beating(who, 0, Route::Stays)).collect();
    beating.extend(wanderers.iter().map(|who| cluster.beating(who, 1, Route::Wanders)));
    pass(1.0).await;
    let mut last = Vec::new();
    for ghost in &ghosts {
        last.push(cluster.nodes[0].beat(&ghost.token).await["last_seen"].as_str().unwrap().to_owned());
    }
    // Who hears of it in time knows when they were heard.
    pass(2.0).await;
    cluster.nodes[0].kill().await;
    for ghost in &ghosts {
        for watcher in &watchers {
            watcher.shows(ghost, "offline", LEASE + TIMEOUT + SLACK).await;
        }
    }
    for (ghost, last) in ghosts.iter().zip(&last) {
        let shown = cluster.nodes[2].shown(&cluster.boss, ghost.id).await.1.unwrap();
        let older = micros(last) - micros(&shown);
        assert!((0..=2_000_000).contains(&older), "{} was heard at {last}, not at {shown}", ghost.name);
    }
    // It comes back, knows what happened, and serves.
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready(SOON).await;
    for ghost in &ghosts {
        assert_eq!(cluster.nodes[0].shown(&cluster.boss, ghost.id).await.0, "offline");
    }
    for mover in &movers {
        assert_eq!(cluster.nodes[0].shown(&cluster.boss, mover.id).await.0, "online");
    }
    cluster.nodes[0].login(&ghosts[0].name).await;
    pass(2.0).await;
    for beating in beating {
        let beaten = beating.end().await;
        assert!(beaten.gap < TIMEOUT, "they were in time: {beaten:?}");
    }
    settle(&cluster, &marker, &watchers).await;
    let happened = exactly_once(&cluster, &watchers, &everybody[..everybody.len() - 1]).await;
    let stayed = movers.len() + wanderers.len();
    assert!(happened[..stayed].iter().all(|happened| happened == &["online"]), "{happened:?}");
    assert_eq!(happened[stayed], ["online", "offline", "online"]);
    assert!(happened[stayed + 1..].iter().all(|happened| happened == &["online", "offline"]), "{happened:?}");
    for watcher in &watchers {
        assert_eq!(watcher.counts().0, 1, "who comes back gets what they missed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_a_killed_node_come_back_at_another_and_their_users_were_never_seen_to_leave() {
    let mut cluster = Cluster::of(3).await;
    let marker = cluster.person(1, "marker").await;
    let alice = cluster.person(0, "alice").await;
    let watchers = [Watcher::of_everybody(&cluster, &[1]).await, Watcher::of_everybody(&cluster, &[2]).await];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let authorization = format!("Bearer {}", alice.token);
    let addresses = [0, 1].map(|node: usize| cluster.nodes[node].address().parse().unwrap());
    let connect = async |node: usize| {
        let mut socket = Socket::connect(addresses[node], "", Some(&authorization)).await.ok().unwrap();
        assert_eq!(socket.frame().await["type"], "ready");
        socket
    };
    // She is there by her socket alone.
    assert_eq!(cluster.nodes[0].post("/api/presence/leave", &alice.token, serde_json::json!({})).await.0, 204);
    watchers[1].shows(&alice, "offline", SOON).await;
    let lost = connect(0).await;
    watchers[1].shows(&alice, "online", SOON).await;
    cluster.nodes[0].kill().await;
    drop(lost);
    pass(0.5).await;
    let socket = connect(1).await;
    // What the dead node left ends, and the socket that is there stays.
    pass((LEASE + TIMEOUT).as_secs_f64() + 2.0).await;
    settle(&cluster, &marker, &watchers).await;
    assert_eq!(exactly_once_at(&cluster, 1, &watchers, &[&alice]).await, [["online", "offline", "online"]]);
    socket.close().await;
    for watcher in &watchers {
        watcher.shows(&alice, "offline", SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_for_longer_than_its_lease_joins_again_without_a_false_word() {
    let mut cluster = Cluster::of(3).await;
    let marker = cluster.person(1, "marker").await;
    let movers = people(&cluster, 0, ["ann", "ben"]).await;
    let others = people(&cluster, 1, ["cat", "dan"]).await;
    // Beats at the node that is stopped, and comes back to it when it goes on.
    let patient = cluster.person(0, "pat").await;
    let watchers = [
        Watcher::of_everybody(&cluster, &[0]).await,
        Watcher::of_everybody(&cluster, &[1]).await,
        Watcher::of_everybody(&cluster, &[2]).await,
    ];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let mut beating: Vec<Beating> = movers.iter().map(|who| cluster.beating(who, 0, Route::Stays)).collect();
    beating.extend(others.iter().map(|who| cluster.beating(who, 1, Route::Wanders)));
    pass(1.0).await;
    cluster.nodes[0].beat(&patient.token).await;
    cluster.nodes[0].freeze();
    // Longer than the lease, with the time that the others take to notice.
    tokio::time::sleep(LEASE + Duration::from_secs(3)).await;
    // Somebody goes and comes meanwhile, and the stopped node must not say otherwise.
    let leaver = cluster.person(1, "leaver").await;
    assert_eq!(cluster.nodes[2].post("/api/auth/logout/", &leaver.token, serde_json::json!({})).await.0, 200);
    cluster.nodes[0].thaw();
    cluster.nodes[0].beat(&patient.token).await;
    cluster.nodes[0].ready(SOON).await;
    assert_eq!(cluster.nodes[0].shown(&cluster.boss, leaver.id).await.0, "offline");
    cluster.all_show(&patient, "online", SOON).await;
    let keep = cluster.beating(&patient, 0, Route::Stays);
    pass(2.0).await;
    for beating in beating.into_iter().chain([keep]) {
        beating.end().await;
    }
    let everybody: Vec<&Person> = movers.iter().chain(&others).chain([&patient]).collect();
    settle(&cluster, &marker, &watchers).await;
    let happened = exactly_once(&cluster, &watchers[1..], &everybody).await;
    assert!(happened.iter().all(|happened| happened == &["online"]), "{happened:?}");
    nobody_left(&watchers, &everybody);
    for who in &everybody {
        in_order(watchers[0], who, &history(&cluster, 1, who).await);
    }
    assert_eq!(exactly_once(&cluster, &watchers[1..], &[&leaver]).await, [["online", "offline"]]);
    // Silence counts again, and once.
    for watcher in &watchers {
        watcher.shows(&patient, "offline", TIMEOUT + LEASE + SLACK).await;
    }
    settle(&cluster, &marker, &watchers).await;
    assert_eq!(exactly_once(&cluster, &watchers[1..], &[&patient]).await, [["online", "offline"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_nodes_die_at_once_the_next_ones_know_who_was_there() {
    let mut cluster = Cluster::of(2).await;
    let staying = people(&cluster, 0, ["ann", "ben"]).await;
    let ghost = cluster.person(1, "gus").await;
    let seen = cluster.nodes[1].beat(&ghost.token).await["last_seen"].as_str().unwrap().to_owned();
    pass(2.0).await;
    for node in &mut cluster.nodes {
        node.kill().await;
    }
    cluster.start_all().await;
    for who in staying.iter().chain([&ghost]) {
        cluster.all_show(who, "online", SOON).await;
    }
    let beating: Vec<Beating> = staying.iter().map(|who| cluster.beating(who, 1, Route::Wanders)).collect();
    cluster.all_show(&ghost, "offline", TIMEOUT + SLACK).await;
    for beating in beating {
        beating.end().await;
    }
    let lived = async |who: &Person| statuses(&history(&cluster, 0, who).await);
    for who in &staying {
        assert_eq!(lived(who).await, ["online"], "{}", who.name);
    }
    assert_eq!(lived(&ghost).await, ["online", "offline"]);
    let shown = cluster.nodes[0].shown(&cluster.boss, ghost.id).await.1.unwrap();
    assert!((micros(&seen) - micros(&shown)).abs() <= 2_000_000, "{seen} {shown}");
}
