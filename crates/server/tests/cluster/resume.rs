//! Coming back at another node than the one that was left.

use presently_testkit::clients::{Socket, Stream};
use presently_testkit::{client, eventually, ms};
use serde_json::{Value, json};

use crate::nodes::{Cluster, GRACE, Node, SOON, pass};
use crate::people::Person;
use crate::watchers::{Watcher, exactly_once, settle};

fn to_of(presence: &Value) -> (String, String) {
    let text = |key: &str| presence[key].as_str().unwrap().to_owned();
    (text("user_id"), text("status"))
}

async fn idle(node: &Node, who: &Person) {
    let (status, told) = node.post("/api/users/heartbeat/", &who.token, json!({"activity": "idle"})).await;
    assert_eq!((status, &told["online_status"]), (200, &json!("away")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_at_another_node_with_exactly_what_was_missed() {
    let cluster = Cluster::of(3).await;
    let alice = cluster.person(0, "alice").await;
    let bob = cluster.person(1, "bob").await;
    let watch = async |node: usize, last: Option<&str>| {
        let url = format!("http://{}/api/presence/events", cluster.nodes[node].address());
        let mut request = client().no_proxy().build().unwrap().get(url).bearer_auth(&cluster.boss);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Stream::of(request).await.unwrap()
    };
    let authorization = format!("Bearer {}", cluster.boss);
    let connect = async |node: usize| {
        let address = cluster.nodes[node].address().parse().unwrap();
        let mut socket = Socket::connect(address, "", Some(&authorization)).await.ok().unwrap();
        assert_eq!(socket.frame().await["type"], "ready");
        socket
    };

    let mut stream = watch(0, None).await;
    let last = stream.next().await.unwrap();
    assert_eq!(last.event, "snapshot");
    let mut socket = connect(0).await;
    let snapshot = socket.watch(&[alice.id, bob.id]).await;
    drop(stream);
    socket.vanish().await;
    idle(&cluster.nodes[1], &alice).await;
    idle(&cluster.nodes[0], &bob).await;
    cluster.nodes[2].beat(&alice.token).await;
    let missed = [(&alice, "away"), (&bob, "away"), (&alice, "online")];
    let missed: Vec<_> = missed.map(|(who, status)| (who.id.to_string(), status.to_owned())).into();

    for node in [1, 2, 0] {
        let mut stream = watch(node, Some(&last.id)).await;
        let mut told = Vec::new();
        while told.len() < missed.len() {
            let event = stream.next().await.unwrap();
            assert_eq!(event.event, "presence", "no snapshot at {node}: {event:?}");
            // Of the administrator, whose requests come to every node, nothing is expected and something may come.
            told.extend(
                [to_of(&event.data)]
                    .into_iter()
                    .filter(|told| [alice.id, bob.id].map(|id| id.to_string()).contains(&told.0)),
            );
        }
        assert_eq!(told, missed, "at {node}");

        let mut socket = connect(node).await;
        let users = [alice.id.to_string(), bob.id.to_string()];
        socket.say(json!({"type": "watch", "users": users, "epoch": snapshot["epoch"], "seq": snapshot["seq"]}));
        let mut told = Vec::new();
        while told.len() < missed.len() {
            told.extend(socket.diff().await.iter().map(to_of));
        }
        assert_eq!(told, missed, "at {node}");
        socket.is_silent().await;
        socket.vanish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_who_go_round_the_nodes_miss_nothing_and_hear_nothing_twice() {
    let cluster = Cluster::of(3).await;
    let marker = cluster.person(0, "marker").await;
    let mut people = Vec::new();
    for (place, name) in ["ann", "ben", "cat"].into_iter().enumerate() {
        people.push(cluster.person(place, name).await);
    }
    let all: Vec<&Person> = people.iter().chain([&marker]).collect();
    // Between a watcher and the nodes is a network that breaks.
    let mut ways = Vec::new();
    for node in &cluster.nodes {
        let port = node.address().rsplit_once(':').unwrap().1.parse().unwrap();
        ways.push(crate::network::Network::to(port).await);
    }
    let addresses: Vec<_> = ways.iter().map(|way| ([127, 0, 0, 1], way.port()).into()).collect();
    let watchers = [
        Watcher::of_everybody_at(addresses.clone(), &cluster.boss).await,
        Watcher::of_some_at(addresses, &cluster.boss, &all).await,
    ];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    for round in 0..24 {
        for (place, who) in people.iter().enumerate() {
            let node = &cluster.nodes[(round + place) % 3];
            if (round + place) % 2 == 0 {
                idle(node, who).await;
            } else {
                node.beat(&who.token).await;
            }
        }
        if round % 3 == 2 {
            ways.iter().for_each(crate::network::Network::interrupt);
        }
        tokio::time::sleep(ms(40)).await;
    }
    settle(&cluster, &marker, &watchers).await;
    for watcher in &watchers {
        let (snapshots, opened) = watcher.counts();
        assert_eq!(snapshots, 1, "whoever comes back gets what they missed");
        assert!(opened >= 4, "they came back: {opened}");
    }
    let people: Vec<&Person> = people.iter().collect();
    let happened = exactly_once(&cluster, &watchers, &people).await;
    assert!(happened.iter().all(|happened| happened.len() >= 20), "{happened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_comes_back_at_another_node_within_the_grace_was_never_seen_to_leave() {
    let cluster = Cluster::of(3).await;
    let marker = cluster.person(0, "marker").await;
    let alice = cluster.person(0, "alice").await;
    let watchers = [Watcher::of_everybody(&cluster, &[0]).await, Watcher::of_everybody(&cluster, &[2]).await];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let authorization = format!("Bearer {}", alice.token);
    let connect = async |node: usize| {
        let address = cluster.nodes[node].address().parse().unwrap();
        let mut socket = Socket::connect(address, "", Some(&authorization)).await.ok().unwrap();
        assert_eq!(socket.frame().await["type"], "ready");
        socket
    };
    let mut socket = connect(0).await;
    // The login's own session ends; the socket alone keeps her online.
    assert_eq!(cluster.nodes[0].post("/api/presence/leave", &alice.token, json!({})).await.0, 204);
    socket.vanish().await;
    for watcher in &watchers {
        watcher.shows(&alice, "offline", SOON).await;
    }
    let before = crate::watchers::history(&cluster, 0, &alice).await.len();

    socket = connect(0).await;
    for watcher in &watchers {
        watcher.shows(&alice, "online", SOON).await;
    }
    for node in [1, 2, 0, 1] {
        socket.vanish().await;
        pass(0.3).await;
        socket = connect(node).await;
    }
    // All graces have passed since, and sockets that are gone left nothing behind.
    pass(GRACE.as_secs_f64() + 2.0).await;
    settle(&cluster, &marker, &watchers).await;
    let happened = exactly_once(&cluster, &watchers, &[&alice]).await;
    assert_eq!(happened[0][before..], ["online"]);
    socket.vanish().await;
    for watcher in &watchers {
        watcher.shows(&alice, "offline", GRACE + SOON).await;
    }
    eventually(SOON, "the history has it", async || {
        crate::watchers::history(&cluster, 0, &alice).await.len() == before + 2
    })
    .await;
}
