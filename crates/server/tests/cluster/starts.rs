//! Nodes that begin.

use presently_testkit::process::Place;
use serde_json::json;

use crate::nodes::{Cluster, SOON};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_started_at_once_on_an_empty_database_agree_on_its_schema_the_secret_and_the_first_admin() {
    let mut cluster = Cluster::prepared(3, &[]).await;
    cluster.start_all().await;
    let users = cluster.office.run(&["user", "list"]).await;
    assert_eq!(users.succeeded().lines().filter(|line| line.contains("admin")).count(), 1, "{users:?}");
    // Whoever made the admin says so, and nobody else does.
    let logs = cluster.nodes.iter_mut().map(|node| node.server().stdout());
    assert_eq!(logs.filter(|log| log.contains("The first admin was made")).count(), 1);
    let alice = cluster.person(0, "alice").await;
    for node in &cluster.nodes {
        assert_eq!(node.get("/api/users/heartbeat/", &alice.token).await.0, 200, "one secret: {}", node.name);
    }
    cluster.office.user("boss", &["--role", "admin"]).await;
    cluster.boss = cluster.nodes[2].login("boss").await.1;
    cluster.all_show(&alice, "online", SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_would_take_another_for_itself_does_not_start() {
    let mut cluster = Cluster::of(1).await;
    let url = cluster.url.clone();
    let valkey = cluster.valkey.url();
    let args = ["serve", "--listen", "127.0.0.1:0", "--valkey-url", &valkey, "--node-name", "node-0"];
    let (same, alone) = (Place::on(url.clone()), Place::on(url));
    let (same, alone) = tokio::join!(same.run(&args), alone.run(&["serve", "--listen", "127.0.0.1:0"]));
    assert!(same.failed().contains("node-0"), "{same:?}");
    assert!(alone.failed().contains("--valkey-url"), "{alone:?}");
    let refused = Place::new().run(&["serve", "--listen", "127.0.0.1:0", "--valkey-url", &valkey]).await;
    assert!(refused.misused().contains("PostgreSQL"), "{refused:?}");
    // The one that was there is none the worse.
    cluster.nodes[0].ready(SOON).await;
    let answer = cluster.nodes[0].post("/api/presence/query", &cluster.boss, json!({"users": ["1"]})).await;
    assert_eq!(answer.0, 200);
    cluster.nodes[0].stop().await;
}
