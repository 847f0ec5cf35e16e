//! Nodes that run different programs.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod several;

use presently::Status;
use presently::bus::{Bus, BusError, Node};
use several::{Cluster, secs};

/// The first entry of a node whose program is this version.
fn joined(version: u8) -> Vec<u8> {
    vec![0, version, 1, 2, 3]
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_read_what_others_decide_takes_no_part_and_says_so() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    let newer = cluster.bus.handle();
    newer.join(Node(77), 1, &joined(2)).await.unwrap();
    cluster.pass(secs(2)).await;
    for node in &cluster.nodes {
        assert_eq!(node.presently.cluster_health(), Some(Err(BusError::Newer)));
        // It goes on with whoever comes to it.
        node.beat("bob", "phone").await;
        assert_eq!(node.presence("bob").await.status, Status::Online);
        node.presently.settled().await.unwrap();
    }
    cluster.pass(secs(60)).await;
    for node in &cluster.nodes {
        assert_eq!(node.presently.cluster_health(), Some(Err(BusError::Newer)));
        assert_eq!(node.presence("alice").await.status, Status::Online);
        node.presently.shutdown().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_is_passed_over_by_all_alike() {
    let mut cluster = Cluster::of(2).await;
    let stranger = cluster.bus.handle();
    let epoch = stranger.join(Node(77), 1, &joined(0)).await.unwrap().epoch;
    stranger.append(Node(77), epoch, &[vec![200], vec![], vec![0, 1]]).await.unwrap();
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(2)).await;
    for node in &cluster.nodes {
        assert_eq!(node.presently.cluster_health(), Some(Ok(())));
    }
    assert_eq!(cluster.status("alice").await, Status::Online);
    assert_eq!(cluster.news(), ["alice offline->online evidence"]);
}
