//! Everything at once, for a while: nodes are killed, stopped and restarted, and cut off, while people come, go and stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use presently_testkit::process::Way;
use presently_testkit::{PASSWORD, ms};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::nodes::{Cluster, LEASE, SOON, TIMEOUT, pass};
use crate::people::{Beating, Person, Route};
use crate::watchers::{Watcher, alike, in_order, settle, statuses};

/// Somebody who changes all the time, at whatever node answers.
fn restless(who: &Person, ways: Vec<Way>, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (who, stop) = (who.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut place = 0;
        for round in 0_usize.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let body = json!({"activity": if round.is_multiple_of(2) { "idle" } else { "active" }});
            let way = &ways[place % ways.len()];
            let send = way.send("POST", "/api/users/heartbeat/", &who.token, Some(body));
            match tokio::time::timeout(ms(1_500), send).await {
                Ok(Ok((200, _))) => place += 1,
                Ok(Ok((503, _)) | Err(_)) | Err(_) => place += 1,
                Ok(Ok((status, told))) => panic!("{}: {status}: {told}", who.name),
            }
            sleep(ms(170)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_kills_stops_cuts_and_restarts_every_watcher_is_told_each_transition_once() {
    let mut cluster = Cluster::of(3).await;
    let marker = cluster.person(0, "marker").await;
    let (mut stayers, mut beating) = (Vec::new(), Vec::<Beating>::new());
    for place in 0..6 {
        let who = cluster.person(place % 3, &format!("stayer-{place}")).await;
        let route = if place < 3 { Route::Stays } else { Route::Wanders };
        beating.push(cluster.beating(&who, place % 3, route));
        stayers.push(who);
    }
    let mut changing = Vec::new();
    for place in 0..3 {
        changing.push(cluster.person(place, &format!("restless-{place}")).await);
    }
    let everybody: Vec<&Person> = stayers.iter().chain(&changing).chain([&marker]).collect();
    // Each goes on at another node when its own is gone. The last two are at the node that will lose its membership.
    let watchers = [
        Watcher::of_everybody(&cluster, &[0, 2, 1]).await,
        Watcher::of_everybody(&cluster, &[2, 0, 1]).await,
        Watcher::of_some(&cluster, &[0, 2, 1], &everybody).await,
        Watcher::of_some(&cluster, &[2, 0, 1], &everybody).await,
        Watcher::of_everybody(&cluster, &[1, 2, 0]).await,
        Watcher::of_some(&cluster, &[1, 0, 2], &everybody).await,
    ];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let (through, behind) = watchers.split_at(4);
    let stop = Arc::new(AtomicBool::new(false));
    let restless: Vec<_> =
        changing.iter().enumerate().map(|(place, who)| restless(who, cluster.ways(place), &stop)).collect();
    pass(1.0).await;

    // The eldest, who leads, is killed; another takes over.
    cluster.nodes[0].kill().await;
    pass(LEASE.as_secs_f64() + 1.0).await;
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready(SOON).await;
    // The next one is stopped for a moment that costs no lease, and then for one that does.
    for length in [0.8, LEASE.as_secs_f64() + 2.0] {
        cluster.nodes[1].freeze();
        pass(length).await;
        cluster.nodes[1].thaw();
        cluster.nodes[1].ready(SOON).await;
    }
    // The third is cut off for a moment.
    cluster.nodes[2].to_valkey.cut();
    pass(1.0).await;
    cluster.nodes[2].to_valkey.mend();
    cluster.nodes[2].ready(SOON).await;
    // And all are replaced, one after the other.
    for place in 0..3 {
        cluster.nodes[place].stop().await;
        cluster.nodes[place].start().await;
        cluster.nodes[place].ready(SOON).await;
    }
    // People signed in throughout, and do now.
    let (status, told) = cluster.nodes[1].try_login("stayer-0", PASSWORD).await;
    assert_eq!(status, 200, "{told}");

    stop.store(true, Ordering::Relaxed);
    for task in restless {
        task.await.unwrap();
    }
    for beating in beating {
        let beaten = beating.end().await;
        assert!(beaten.gap < TIMEOUT, "they were in time: {beaten:?}");
    }
    settle(&cluster, &marker, &watchers).await;
    for who in stayers.iter().chain(&changing) {
        // The first node died with what it was about to keep.
        let happened = alike(&cluster, through, who, 1).await;
        behind.iter().for_each(|watcher| in_order(watcher, who, &happened));
        if who.name.starts_with("stayer") {
            assert_eq!(statuses(&happened), ["online"], "{}", who.name);
        } else {
            assert!(happened.len() > 15, "{}: {happened:?}", who.name);
            assert!(happened.iter().all(|(status, _)| status != "offline"), "{}: {happened:?}", who.name);
        }
    }
}
