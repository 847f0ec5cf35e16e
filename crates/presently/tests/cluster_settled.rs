//! Waiting until nodes know what others decided.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod several;

use std::sync::Arc;
use std::time::Duration;

use presently::bus::Bus;
use presently::store::Store;
use presently::{Config, EndReason, Error, Presently, Status};
use several::{Cluster, secs, yields};

#[tokio::test(start_paused = true)]
async fn a_settled_node_knows_what_the_others_were_asked_before() {
    let mut cluster = Cluster::of(3).await;
    for round in 0..20 {
        let user = format!("user-{round}");
        let (at, reader) = (&cluster.nodes[round % 3], &cluster.nodes[(round + 1) % 3]);
        at.presently.evidence(&user, "phone", None, || true).unwrap();
        at.presently.settled().await.unwrap();
        reader.presently.settled().await.unwrap();
        assert_eq!(reader.presently.live(&user).map(|presence| presence.status), Some(Status::Online), "{user}");
        assert!(reader.presently.position().seq >= at.presently.position().seq, "what was given is reached");
    }
    for _ in 0..2 {
        for node in &cluster.nodes {
            node.presently.settled().await.unwrap();
        }
    }
    assert_eq!(cluster.news().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_returns_when_what_it_ended_is_followed_and_kept() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[1].beat("alice", "phone").await;
    // The background has not looked yet.
    cluster.clock.advance(secs(121));
    assert_eq!(cluster.nodes[1].presently.live("alice").unwrap().status, Status::Online);
    cluster.nodes[1].presently.sweep().await.unwrap();
    assert_eq!(cluster.nodes[1].presently.live("alice"), None);
    let rows = cluster.store.presences(&["alice".into()]).await.unwrap();
    assert_eq!(rows[0].as_ref().unwrap().status, Status::Offline);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_node_that_is_cut_off_meanwhile_goes_on() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[0].link.set_down(true);
    let presently = cluster.nodes[0].presently.clone();
    let settled = tokio::spawn(async move { presently.settled().await });
    cluster.pass(secs(1)).await;
    assert!(!settled.is_finished(), "it may be back in a moment");
    cluster.pass(secs(14)).await;
    assert_eq!(settled.await.unwrap(), Ok(()));
    cluster.nodes[0].presently.settled().await.unwrap();
    cluster.nodes[0].link.set_down(false);
    cluster.pass(secs(5)).await;
    cluster.nodes[1].beat("bob", "phone").await;
    cluster.nodes[0].presently.settled().await.unwrap();
    assert_eq!(cluster.status("bob").await, Status::Online);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_of_a_node_that_ends_is_answered() {
    let cluster = Cluster::of(1).await;
    let link = Arc::new(cluster.bus.handle());
    let (store, clock, bus) = (cluster.store.clone(), cluster.clock.clone(), link.clone() as Arc<dyn Bus>);
    let opening = tokio::spawn(async move { Presently::open_in(Config::default(), store, clock, bus).await });
    while !opening.is_finished() {
        cluster.pass(Duration::from_millis(10)).await;
    }
    let presently = opening.await.unwrap().unwrap();
    link.set_down(true);
    let asked = [
        tokio::spawn({
            let presently = presently.clone();
            async move { presently.end_user("alice", EndReason::ForcedLogout).await.map(drop) }
        }),
        tokio::spawn({
            let presently = presently.clone();
            async move { presently.settled().await }
        }),
    ];
    yields().await;
    let ending = tokio::spawn(async move { presently.shutdown().await });
    cluster.pass(secs(20)).await;
    assert!(ending.is_finished());
    for asked in asked {
        assert!(asked.is_finished());
        assert_eq!(asked.await.unwrap(), Err(Error::Closed));
    }
}
