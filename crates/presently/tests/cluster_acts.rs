//! Several nodes, one truth.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod several;

use presently::{Activity, EndReason, Error, Source, Status, Viewer};
use several::{Cluster, now, secs, seen};

#[tokio::test(start_paused = true)]
async fn who_logs_in_at_one_node_is_online_at_all_and_beats_at_any() {
    let mut cluster = Cluster::of(3).await;
    let mut watcher = cluster.nodes[2].watch(&["alice"]).await;
    cluster.nodes[0].presently.evidence_kept("alice", "phone", None, || true).await.unwrap();
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.presence("alice").await.status, Status::Online);
    for round in 0..20 {
        cluster.pass(secs(30)).await;
        cluster.nodes[round % 2].beat("alice", "phone").await;
    }
    cluster.pass(secs(2)).await;
    assert_eq!(cluster.presence("alice").await.status, Status::Online);
    assert_eq!(cluster.news(), ["alice offline->online evidence"]);
    assert_eq!(seen(&mut watcher), ["alice online"]);
}

#[tokio::test(start_paused = true)]
async fn who_falls_silent_is_offline_at_the_deadline_on_every_node() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(60)).await;
    cluster.nodes[1].beat("alice", "phone").await;
    let last = now(&cluster.clock);
    cluster.pass(secs(119)).await;
    assert_eq!(cluster.status("alice").await, Status::Online);
    cluster.pass(secs(2)).await;
    let gone = cluster.presence("alice").await;
    assert_eq!((gone.status, gone.last_seen), (Status::Offline, Some(last)));
    assert_eq!(cluster.news(), ["alice offline->online evidence", "alice online->offline expired"]);
}

#[tokio::test(start_paused = true)]
async fn renewals_propose_nothing() {
    let cluster = Cluster::of(2).await;
    for user in 0..50 {
        cluster.nodes[user % 2].beat(&format!("user-{user}"), "phone").await;
    }
    cluster.pass(secs(2)).await;
    let before = cluster.nodes[0].presently.position().seq;
    for _ in 0..10 {
        cluster.pass(secs(20)).await;
        for user in 0..50 {
            cluster.nodes[user % 2].beat(&format!("user-{user}"), "phone").await;
        }
    }
    // The leader's ticks are all there is.
    let entries = cluster.entries_after(before).await;
    assert!(entries <= 201, "{entries} entries");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_come_to_any_node_go_into_the_log_packed() {
    let mut cluster = Cluster::of(3).await;
    for user in 0..100 {
        cluster.nodes[user % 3].beat(&format!("user-{user}"), "phone").await;
    }
    cluster.pass(secs(2)).await;
    assert_eq!(cluster.news().len(), 100);
    let before = cluster.nodes[0].presently.position().seq;
    for round in 1..=10 {
        for second in 0..20 {
            cluster.pass(secs(1)).await;
            for user in second * 5..second * 5 + 5 {
                cluster.nodes[(user + round) % 3].beat(&format!("user-{user}"), "phone").await;
            }
        }
    }
    // Each second a tick, and an entry of each node that heard somebody.
    let entries = cluster.entries_after(before).await;
    assert!(entries <= 200 * 4, "{entries} entries for a thousand heartbeats");
    let last = now(&cluster.clock);
    cluster.nodes[2].beat("user-0", "phone").await;
    assert_eq!(cluster.nodes[2].presence("user-0").await.last_seen, Some(last), "at once where it was heard");
    cluster.pass(secs(2)).await;
    assert_eq!(cluster.presence("user-0").await.last_seen, Some(last), "and soon elsewhere");
    assert_eq!(cluster.news(), [""; 0], "nobody was seen to leave");

    cluster.kill(2).await;
    cluster.pass(secs(119)).await;
    assert_eq!(cluster.status("user-0").await, Status::Online, "its last evidence was taken over");
    cluster.pass(secs(15)).await;
    assert_eq!(cluster.status("user-0").await, Status::Offline);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_lives_elsewhere_ends_where_it_is_told_to() {
    let mut cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.nodes[1].beat("alice", "laptop").await;
    let left = cluster.nodes[1].presently.end_session("alice", "phone", EndReason::Logout).await.unwrap();
    assert_eq!(left.status, Status::Online);
    let gone = cluster.nodes[0].presently.end_user("alice", EndReason::Logout).await.unwrap();
    assert_eq!(gone.status, Status::Offline);
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.presence("alice").await.status, Status::Offline);
    assert_eq!(cluster.news(), ["alice offline->online evidence", "alice online->offline logout"]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_overlaps_a_logout_at_another_node_does_not_undo_it() {
    let mut cluster = Cluster::of(3).await;
    let mut watcher = cluster.nodes[2].watch(&["alice"]).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    let logout = cluster.nodes[0].presently.end_session("alice", "phone", EndReason::Logout);
    // The logout comes into the log before this node's evidence, and is followed here after it was heard. (What says nothing new
    // is answered at once and goes packed, which opens nothing.)
    let idle = Some(Activity::Idle);
    let (gone, heard) = tokio::join!(logout, cluster.nodes[1].presently.heard("alice", "phone", idle, || true));
    assert_eq!((gone.unwrap().status, heard), (Status::Offline, Err(Error::Ended)));
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.presence("alice").await.status, Status::Offline);
    assert_eq!(cluster.news(), ["alice offline->online evidence", "alice online->offline logout"]);
    assert_eq!(seen(&mut watcher), ["alice online", "alice offline"]);
    // Whoever may still be present is heard again, now that this node knows.
    cluster.nodes[1].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.presence("alice").await.status, Status::Online);
}

#[tokio::test(start_paused = true)]
async fn who_is_seen_while_their_session_ends_elsewhere_was_seen_in_none() {
    let mut cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    let logout = cluster.nodes[0].presently.end_user("alice", EndReason::Logout);
    let (gone, seen) = tokio::join!(logout, cluster.nodes[1].presently.update_last_seen("alice"));
    assert_eq!((gone.unwrap().status, seen.unwrap().status), (Status::Offline, Status::Offline));
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.news(), ["alice offline->online evidence", "alice online->offline logout"]);
}

#[tokio::test(start_paused = true)]
async fn overrides_bars_and_erasures_hold_on_every_node() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.nodes[1].presently.override_status("alice", Source::Admin, Status::Away, Some(secs(30))).await.unwrap();
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.presence("alice").await.status, Status::Away);
    cluster.pass(secs(30)).await;
    assert_eq!(cluster.status("alice").await, Status::Online);
    cluster.nodes[2].presently.bar("alice").await.unwrap();
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.presence("alice").await.status, Status::Offline);
    for node in &cluster.nodes {
        assert_eq!(node.presently.heard("alice", "phone", None, || true).await, Err(Error::Barred));
    }
    cluster.nodes[0].presently.unbar("alice").await.unwrap();
    cluster.nodes[1].beat("alice", "phone").await;
    cluster.nodes[2].presently.forget("alice").await.unwrap();
    cluster.pass(secs(1)).await;
    let forgotten = cluster.presence("alice").await;
    assert_eq!((forgotten.status, forgotten.last_seen), (Status::Offline, None));
    assert_eq!(
        cluster.news(),
        [
            "alice offline->online evidence",
            "alice online->away override",
            "alice away->online override_ended",
            "alice online->offline barred",
            "alice offline->online evidence",
            "alice online->offline forced_logout",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_invisible_user_is_invisible_at_every_node() {
    let cluster = Cluster::of(2).await;
    let mut watcher = cluster.nodes[1].watch(&["alice"]).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    cluster.nodes[0].presently.set_invisible("alice", true).await.unwrap();
    cluster.pass(secs(1)).await;
    cluster.nodes[1].beat("alice", "laptop").await;
    cluster.pass(secs(1)).await;
    for node in &cluster.nodes {
        assert!(node.presently.is_invisible("alice"));
        let shown = node.presently.presence_seen_by(&Viewer::Anybody, "alice").await.unwrap();
        assert_eq!(shown.status, Status::Offline);
    }
    cluster.nodes[1].presently.set_invisible("alice", false).await.unwrap();
    cluster.pass(secs(1)).await;
    for node in &cluster.nodes {
        let shown = node.presently.presence_seen_by(&Viewer::Anybody, "alice").await.unwrap();
        assert_eq!(shown.status, Status::Online);
    }
    assert_eq!(seen(&mut watcher), ["alice online", "alice offline", "alice online"]);
}

#[tokio::test(start_paused = true)]
async fn every_node_knows_when_anybody_was_last_seen_within_two_seconds() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(50)).await;
    cluster.nodes[0].beat("alice", "phone").await;
    let last = now(&cluster.clock);
    cluster.pass(secs(2)).await;
    assert_eq!(cluster.presence("alice").await.last_seen, Some(last));
}

#[tokio::test(start_paused = true)]
async fn what_one_node_wrote_the_other_reads_before_the_store_has_it() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.store.fail_with(Some(presently::store::StoreError::Unavailable("away".into())));
    let ended = cluster.nodes[0].presently.end_user("alice", EndReason::Logout);
    assert!(ended.await.is_err(), "it is not kept");
    cluster.pass(secs(1)).await;
    let gone = cluster.nodes[1].presence("alice").await;
    assert_eq!((gone.status, gone.last_seen.is_some()), (Status::Offline, true));
}
