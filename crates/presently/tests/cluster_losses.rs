//! Nodes that go, and a bus that goes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod several;

use std::sync::Arc;
use std::time::Duration;

use presently::{EndReason, Source, Status};
use several::{Cluster, secs};

#[tokio::test(start_paused = true)]
async fn who_turns_up_elsewhere_after_their_node_died_was_never_seen_to_leave() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(10)).await;
    cluster.news();
    cluster.kill(0).await;
    for _ in 0..10 {
        cluster.pass(secs(30)).await;
        cluster.nodes[0].beat("alice", "phone").await;
    }
    assert_eq!(cluster.status("alice").await, Status::Online);
    assert_eq!(cluster.news(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn ghosts_of_a_dead_node_are_offline_within_its_lease_and_one_deadline() {
    let mut cluster = Cluster::of(3).await;
    for user in 0..20 {
        cluster.nodes[0].beat(&format!("user-{user}"), "phone").await;
    }
    cluster.nodes[1].beat("bob", "phone").await;
    cluster.pass(secs(1)).await;
    cluster.news();
    cluster.kill(0).await;
    for _ in 0..5 {
        cluster.pass(secs(30)).await;
        cluster.nodes[0].beat("bob", "phone").await;
    }
    assert_eq!(cluster.status("bob").await, Status::Online);
    for user in 0..20 {
        assert_eq!(cluster.status(&format!("user-{user}")).await, Status::Offline);
    }
    let mut news = cluster.news();
    news.sort();
    assert_eq!(news.len(), 20, "each once: {news:?}");
    assert!(news.iter().all(|line| line.ends_with("online->offline expired")));
}

#[tokio::test(start_paused = true)]
async fn the_eldest_may_die_too() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[2].beat("alice", "phone").await;
    cluster.nodes[2].presently.override_status("alice", Source::User, Status::Away, Some(secs(60))).await.unwrap();
    cluster.kill(0).await;
    cluster.pass(secs(20)).await;
    cluster.start().await;
    assert_eq!(cluster.status("alice").await, Status::Away);
    cluster.nodes[1].beat("alice", "phone").await;
    cluster.pass(secs(45)).await;
    assert_eq!(cluster.status("alice").await, Status::Online, "the override ended");
}

#[tokio::test(start_paused = true)]
async fn without_the_bus_everything_goes_on_and_nobody_is_ended_by_silence() {
    let mut cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.nodes[1].beat("bob", "phone").await;
    cluster.pass(secs(1)).await;
    cluster.news();
    cluster.bus.set_all_down(true);
    cluster.pass(secs(15)).await;
    for node in &cluster.nodes {
        assert!(node.presently.cluster_health().unwrap().is_err());
    }
    // Each goes on with whoever comes to it.
    cluster.nodes[0].beat("carol", "phone").await;
    assert_eq!(cluster.nodes[0].presence("carol").await.status, Status::Online);
    cluster.nodes[0].presently.end_user("carol", EndReason::Logout).await.unwrap();
    cluster.nodes[1].beat("dave", "phone").await;
    cluster.pass(secs(300)).await;
    for (node, user) in [(0, "alice"), (0, "bob"), (1, "alice"), (1, "bob"), (1, "dave")] {
        assert_eq!(cluster.nodes[node].presence(user).await.status, Status::Online);
    }
    for node in &mut cluster.nodes {
        node.news();
    }
    cluster.bus.set_all_down(false);
    cluster.pass(secs(15)).await;
    for node in &cluster.nodes {
        assert_eq!(node.presently.cluster_health(), Some(Ok(())));
    }
    for user in ["alice", "bob", "dave"] {
        assert_eq!(cluster.status(user).await, Status::Online, "{user}");
    }
    assert_eq!(cluster.status("carol").await, Status::Offline);
    let told: Vec<Vec<String>> = cluster.nodes.iter_mut().map(several::Node::news).collect();
    assert!(told[0].len() == 1 && told[0][0].starts_with("dave offline->online"), "{told:?}");
    assert_eq!(told[1], [""; 0]);
    // And now silence counts again.
    cluster.pass(secs(125)).await;
    assert_eq!(cluster.status("alice").await, Status::Offline);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_comes_back_empty_finds_everybody_again() {
    let mut cluster = Cluster::of(3).await;
    for user in 0..30 {
        cluster.nodes[user % 3].beat(&format!("user-{user}"), "phone").await;
    }
    cluster.nodes[0].presently.bar("mallory").await.unwrap();
    cluster.pass(secs(1)).await;
    cluster.news();
    cluster.bus.lose_everything();
    cluster.pass(secs(20)).await;
    for user in 0..30 {
        assert_eq!(cluster.status(&format!("user-{user}")).await, Status::Online);
    }
    assert_eq!(cluster.news(), [""; 0], "nobody was seen to leave or to come");
    for node in &cluster.nodes {
        assert!(node.presently.heard("mallory", "phone", None, || true).await.is_err());
    }
    // They are all one again.
    cluster.nodes[2].beat("zoe", "phone").await;
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.status("zoe").await, Status::Online);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_for_long_comes_back_without_a_false_word() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.nodes[1].beat("bob", "phone").await;
    cluster.nodes[2].beat("carol", "phone").await;
    cluster.pass(secs(1)).await;
    cluster.news();
    cluster.nodes[0].link.set_down(true);
    for _ in 0..3 {
        cluster.pass(secs(20)).await;
        cluster.nodes[0].beat("alice", "phone").await;
        cluster.nodes[1].beat("bob", "phone").await;
        cluster.nodes[2].beat("carol", "phone").await;
    }
    cluster.nodes[0].presently.end_session("alice", "phone", EndReason::Logout).await.unwrap();
    cluster.nodes[0].beat("dave", "phone").await;
    cluster.nodes[0].link.set_down(false);
    cluster.pass(secs(15)).await;
    assert_eq!(cluster.status("alice").await, Status::Offline, "a logout lasts");
    for user in ["bob", "carol", "dave"] {
        assert_eq!(cluster.status(user).await, Status::Online, "{user}");
    }
    for node in &mut cluster.nodes {
        let news = node.news();
        let about = |user: &str| news.iter().filter(|line| line.starts_with(user)).count();
        assert_eq!((about("bob"), about("carol"), about("dave")), (0, 0, 1), "{news:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_is_waited_out() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.bus.set_all_down(true);
    let presently = cluster.nodes[1].presently.clone();
    let beat = tokio::spawn(async move { presently.heard("bob", "phone", None, || true).await });
    cluster.pass(Duration::from_millis(1500)).await;
    assert!(!beat.is_finished());
    cluster.bus.set_all_down(false);
    cluster.pass(secs(1)).await;
    assert_eq!(beat.await.unwrap().unwrap().status, Status::Online);
    assert_eq!(cluster.status("bob").await, Status::Online);
    assert_eq!(cluster.nodes[1].presently.cluster_health(), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn replies_that_were_lost_change_nothing() {
    let mut cluster = Cluster::of(2).await;
    for user in 0..10 {
        let presently = cluster.nodes[0].presently.clone();
        cluster.nodes[0].link.lose_replies(2);
        let beat = tokio::spawn(async move { presently.heard(&format!("user-{user}"), "phone", None, || true).await });
        cluster.pass(secs(1)).await;
        beat.await.unwrap().unwrap();
    }
    let news = cluster.news();
    assert_eq!(news.len(), 10, "{news:?}");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_replaced_one_after_the_other_lose_nobody() {
    let mut cluster = Cluster::of(3).await;
    for user in 0..30 {
        cluster.nodes[user % 3].beat(&format!("user-{user}"), "phone").await;
    }
    cluster.pass(secs(1)).await;
    cluster.news();
    for _ in 0..3 {
        let old = cluster.nodes.remove(0);
        let leaving = tokio::spawn(async move { old.presently.shutdown().await });
        while !leaving.is_finished() {
            cluster.pass(Duration::from_millis(100)).await;
        }
        leaving.await.unwrap().unwrap();
        cluster.start().await;
        cluster.pass(secs(20)).await;
        for user in 0..30 {
            cluster.nodes[user % 3].beat(&format!("user-{user}"), "phone").await;
        }
    }
    for user in 0..30 {
        assert_eq!(cluster.status(&format!("user-{user}")).await, Status::Online);
    }
    assert_eq!(cluster.news(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn all_nodes_may_stop_and_the_first_to_come_finds_everybody_in_the_store() {
    let mut cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.nodes[1].beat("bob", "phone").await;
    cluster.pass(secs(3)).await;
    cluster.kill(0).await;
    cluster.kill(0).await;
    cluster.pass(secs(60)).await;
    cluster.start().await;
    cluster.start().await;
    for user in ["alice", "bob"] {
        assert_eq!(cluster.status(user).await, Status::Online, "{user}");
    }
    cluster.nodes[1].beat("alice", "phone").await;
    cluster.pass(secs(121)).await;
    assert_eq!(cluster.status("bob").await, Status::Offline);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_time_stood_still_comes_back_without_a_false_word() {
    let mut cluster = Cluster::of(2).await;
    let clock = presently::clock::ManualClock::new();
    clock.advance(secs(500));
    let link = Arc::new(cluster.bus.handle());
    cluster.start_on(link, clock.clone()).await;
    cluster.nodes[2].beat("alice", "phone").await;
    cluster.nodes[0].beat("bob", "phone").await;
    cluster.pass(secs(1)).await;
    for node in &mut cluster.nodes {
        node.news();
    }
    // Its machine was suspended: the others have its lease end, and alice turns up there.
    cluster.pass(secs(60)).await;
    cluster.nodes[1].beat("alice", "phone").await;
    cluster.nodes[0].beat("bob", "phone").await;
    for _ in 0..100 {
        clock.advance(Duration::from_millis(100));
        cluster.pass(Duration::from_millis(100)).await;
    }
    for user in ["alice", "bob"] {
        assert_eq!(cluster.status(user).await, Status::Online, "{user}");
    }
    assert_eq!(cluster.news(), [""; 0]);
    // It is one of them again.
    cluster.nodes[2].beat("carol", "phone").await;
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.status("carol").await, Status::Online);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_while_a_node_fails_to_join_again_is_answered() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    for round in 0..12 {
        cluster.nodes[0].link.set_down(round % 3 != 2);
        let presently = cluster.nodes[0].presently.clone();
        let beat = tokio::spawn(async move { presently.heard("bob", &format!("tab-{round}"), None, || true).await });
        cluster.pass(secs(5)).await;
        assert!(beat.is_finished(), "round {round}");
        assert_eq!(beat.await.unwrap().unwrap().status, Status::Online);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_others_followed_already_is_not_decided_again_by_who_comes_back() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    cluster.news();
    // It comes into the log, nobody tells the node so, and then it is cut off.
    cluster.nodes[0].link.lose_replies(100);
    let presently = cluster.nodes[0].presently.clone();
    let away = tokio::spawn(async move {
        presently.override_status("alice", Source::Admin, Status::Away, None).await.unwrap();
    });
    several::yields().await;
    cluster.nodes[0].link.set_down(true);
    cluster.pass(secs(1)).await;
    assert_eq!(cluster.nodes[1].presence("alice").await.status, Status::Away);
    cluster.nodes[1].presently.clear_override("alice", Source::Admin).await.unwrap();
    cluster.pass(secs(14)).await;
    assert!(away.is_finished(), "it is decided here too");
    cluster.nodes[0].link.lose_replies(0);
    cluster.nodes[0].link.set_down(false);
    cluster.pass(secs(15)).await;
    assert_eq!(cluster.status("alice").await, Status::Online);
    assert_eq!(cluster.nodes[0].presently.cluster_health(), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn who_logged_out_elsewhere_is_not_brought_back_by_a_node_that_was_cut_off() {
    let mut cluster = Cluster::of(3).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(1)).await;
    cluster.nodes[0].link.set_down(true);
    cluster.pass(secs(15)).await;
    cluster.nodes[0].beat("alice", "phone").await;
    cluster.pass(secs(5)).await;
    cluster.nodes[1].presently.end_session("alice", "phone", EndReason::Logout).await.unwrap();
    cluster.news_of(1);
    cluster.nodes[0].link.set_down(false);
    cluster.pass(secs(10)).await;
    assert_eq!(cluster.status("alice").await, Status::Offline);
    assert_eq!(cluster.news_of(1), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_again_and_again_keeps_no_ghost_alive() {
    let cluster = Cluster::of(2).await;
    cluster.nodes[0].beat("alice", "phone").await;
    for _ in 0..6 {
        cluster.pass(secs(20)).await;
        cluster.nodes[0].link.set_down(true);
        cluster.pass(secs(12)).await;
        cluster.nodes[0].link.set_down(false);
        cluster.pass(secs(8)).await;
    }
    // Twelve seconds of each forty were no silence to the node itself; the others heard nothing for four minutes.
    assert_eq!(cluster.status("alice").await, Status::Offline);
}
