//! What is revoked at one node is refused at every other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use presently_testkit::clients::{Socket, Stream};
use presently_testkit::process::{Way, micros};
use presently_testkit::{PASSWORD, client, eventually, ms};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::nodes::{Cluster, SOON};
use crate::watchers::{Watcher, settle, statuses};

/// The promise, and what a machine that has much else to do may take.
const PROMISED: Duration = Duration::from_secs(1);
const AT_MOST: Duration = Duration::from_secs(3);

/// How long it takes until every node refuses this, each of which took it before.
async fn refused_everywhere(cluster: &Cluster, what: &str, taken: impl AsyncFn(&Way) -> bool) -> Duration {
    let began = Instant::now();
    for node in &cluster.nodes {
        eventually(AT_MOST, &format!("{what} is refused by {}", node.name), async || !taken(node).await).await;
    }
    let elapsed = began.elapsed();
    // And nobody takes it again.
    for node in &cluster.nodes {
        assert!(!taken(node).await, "{what} by {}", node.name);
    }
    elapsed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_login_at_one_node_holds_at_every_other_within_a_second() {
    let cluster = Cluster::of(3).await;
    let taken = async |way: &Way, token: &str| {
        let (status, told) = way.get("/api/users/heartbeat/", token).await;
        assert!(matches!(status, 200 | 401 | 403), "{status}: {told}");
        status == 200
    };
    let mut took = Vec::new();
    let acts: [(&str, &str); 7] = [
        ("logout", "/api/auth/logout/"),
        ("logout-all", "/api/auth/logout-all/"),
        ("force-logout", "force-logout/"),
        ("suspend", "suspend/"),
        ("ban", "ban/"),
        ("deactivate", ""),
        ("erase", ""),
    ];
    for (place, (name, path)) in acts.into_iter().enumerate() {
        let who = cluster.person(place % 3, name).await;
        for node in &cluster.nodes {
            assert!(taken(node, &who.token).await, "{} knows {name}", node.name);
        }
        let at = &cluster.nodes[(place + 1) % 3];
        let about = format!("/api/users/admin/users/{}/", who.id);
        let (method, path, token, body) = match name {
            "logout" | "logout-all" => ("POST", path.to_owned(), &who.token, json!({})),
            "deactivate" => ("PATCH", about, &cluster.boss, json!({"is_active": false})),
            "erase" => ("DELETE", about, &cluster.boss, Value::Null),
            _ => ("POST", format!("{about}{path}"), &cluster.boss, json!({})),
        };
        let (status, told) = at.send(method, &path, token, Some(body)).await.unwrap();
        assert!(matches!(status, 200 | 204), "{name}: {status}: {told}");
        took.push(refused_everywhere(&cluster, name, async |way| taken(way, &who.token).await).await);
        if name != "erase" {
            for node in &cluster.nodes {
                let what = format!("{} shows {name} offline", node.name);
                eventually(AT_MOST, &what, async || node.shown(&cluster.boss, who.id).await.0 == "offline").await;
            }
        }
        // Nor does anybody bring them back by beating at the one that may not know yet.
        for node in &cluster.nodes {
            let (status, _) = node.post("/api/users/heartbeat/", &who.token, json!({})).await;
            assert!(matches!(status, 401 | 403), "{name}: {status}");
        }
    }
    let key = cluster.office.run(&["key", "create", "billing"]).await;
    let key = key.stdout.trim().to_owned();
    let touch = async |way: &Way| {
        let (status, told) = way.post("/api/presence/touch", &key, json!({"users": [{"user_id": "x"}]})).await;
        assert!(matches!(status, 200 | 401), "{status}: {told}");
        status == 200
    };
    for node in &cluster.nodes {
        assert!(touch(node).await, "{} knows the key", node.name);
    }
    assert_eq!(cluster.office.run(&["key", "revoke", "billing"]).await.code, Some(0));
    took.push(refused_everywhere(&cluster, "the key", touch).await);
    took.sort();
    assert!(took[took.len() / 2] <= PROMISED, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_that_races_a_logout_at_another_node_brings_nobody_back_for_long() {
    let cluster = Cluster::of(3).await;
    let marker = cluster.person(0, "marker").await;
    let watchers = [Watcher::of_everybody(&cluster, &[0]).await, Watcher::of_everybody(&cluster, &[2]).await];
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let mut gone = Vec::new();
    for (place, act) in ["logout", "suspend", "force-logout", "suspend"].into_iter().enumerate() {
        let who = cluster.person(place % 3, &format!("{act}-{place}")).await;
        let stop = Arc::new(AtomicBool::new(false));
        let hammer = |way: Way| {
            let (token, stop) = (who.token.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut taken = 0;
                while !stop.load(Ordering::Relaxed) {
                    let (status, told) = way.post("/api/users/heartbeat/", &token, json!({})).await;
                    assert!(matches!(status, 200 | 401 | 403), "{status}: {told}");
                    taken += u32::from(status == 200);
                }
                taken
            })
        };
        let hammers: Vec<_> = cluster.ways(0).into_iter().map(hammer).collect();
        tokio::time::sleep(ms(300)).await;
        let (path, token) = match act {
            "logout" => ("/api/auth/logout/".to_owned(), &who.token),
            _ => (format!("/api/users/admin/users/{}/{act}/", who.id), &cluster.boss),
        };
        let (status, told) = cluster.nodes[(place + 1) % 3].post(&path, token, json!({})).await;
        assert_eq!(status, 200, "{told}");
        tokio::time::sleep(PROMISED).await;
        stop.store(true, Ordering::Relaxed);
        for hammer in hammers {
            assert!(hammer.await.unwrap() > 0, "every node took some of them");
        }
        gone.push(who);
    }
    settle(&cluster, &marker, &watchers).await;
    let mut took = Vec::new();
    for who in &gone {
        let states = watchers[0].told().states(who);
        assert_eq!(states, watchers[1].told().states(who), "the same at every node");
        assert!(states.len() >= 2 && states.last().unwrap().0 == "offline", "{}: {states:?}", who.name);
        if who.name.starts_with("suspend") {
            assert_eq!(
                statuses(&states),
                ["online", "offline"],
                "who may not be present is not, anywhere: {}",
                who.name
            );
        }
        // One that was on its way at another node may come after the logout; what it opened ends as soon as that node knows.
        let moments: Vec<i64> =
            states.iter().filter(|(status, _)| status == "offline").map(|(_, at)| micros(at)).collect();
        took.push(Duration::from_micros(moments.last().unwrap().abs_diff(moments[0])));
    }
    took.sort();
    assert!(took[took.len() / 2] <= PROMISED && took[took.len() - 1] <= AT_MOST, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_sockets_at_other_nodes_end_with_what_opened_them() {
    let cluster = Cluster::of(3).await;
    let http = client().no_proxy().build().unwrap();
    for (name, act, code) in
        [("signs-out", "logout", 4101), ("is-sent-away", "force-logout", 4102), ("is-suspended", "suspend", 4103)]
    {
        let who = cluster.person(0, name).await;
        let authorization = format!("Bearer {}", who.token);
        let address = cluster.nodes[1].address().parse().unwrap();
        let mut socket = Socket::connect(address, "", Some(&authorization)).await.ok().unwrap();
        assert_eq!(socket.frame().await["type"], "ready");
        let url = format!("http://{}/api/presence/events?users={}", cluster.nodes[2].address(), who.id);
        let mut stream = Stream::of(http.get(url).bearer_auth(&who.token)).await.unwrap();
        stream.snapshot().await;
        let (path, token) = match act {
            "logout" => ("/api/auth/logout/".to_owned(), &who.token),
            _ => (format!("/api/users/admin/users/{}/{act}/", who.id), &cluster.boss),
        };
        assert_eq!(cluster.nodes[0].post(&path, token, json!({})).await.0, 200);
        socket.is_closed(code).await;
        stream.ends().await;
        cluster.all_show(&who, "offline", SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_made_at_one_node_is_good_once_at_another() {
    let cluster = Cluster::of(3).await;
    let who = cluster.person(0, "alice").await;
    let http = client().no_proxy().build().unwrap();
    for at in 0..3 {
        let (status, told) = cluster.nodes[0].post("/api/presence/tickets", &who.token, json!({})).await;
        assert_eq!(status, 200, "{told}");
        let ticket = told["ticket"].as_str().unwrap();
        let url = |node: usize| {
            format!("http://{}/api/presence/events?users=1&ticket={ticket}", cluster.nodes[node].address())
        };
        let mut stream = Stream::of(http.get(url(at))).await.unwrap();
        stream.snapshot().await;
        for node in 0..3 {
            assert_eq!(http.get(url(node)).send().await.unwrap().status(), 401, "used at {at}, tried at {node}");
        }
    }
    // At once by all: one of them gets in.
    let (_, told) = cluster.nodes[0].post("/api/presence/tickets", &who.token, json!({})).await;
    let query = format!("?ticket={}", told["ticket"].as_str().unwrap());
    let attempts = cluster.nodes.iter().cycle().take(9).map(|node| {
        let (address, query) = (node.address().parse().unwrap(), query.clone());
        async move { Socket::connect(address, &query, None).await.is_ok() }
    });
    let got_in = futures_util::future::join_all(attempts).await;
    assert_eq!(got_in.iter().filter(|&&got_in| got_in).count(), 1, "{got_in:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_used_twice_at_two_nodes_ends_its_login() {
    let cluster = Cluster::with(2, &["--refresh-rotation", "strict"]).await;
    cluster.office.user("alice", &[]).await;
    let (_, told) = cluster.nodes[0].try_login("alice", PASSWORD).await;
    let refresh = json!({"refresh": told["tokens"]["refresh"]});
    let (status, fresh) = cluster.nodes[1].post("/api/auth/refresh/", "", refresh.clone()).await;
    assert_eq!(status, 200, "{fresh}");
    tokio::time::sleep(ms(10)).await;
    let (status, told) = cluster.nodes[0].post("/api/auth/refresh/", "", refresh).await;
    assert_eq!(status, 401, "{told}");
    let access = fresh["access"].as_str().unwrap();
    let used = async |way: &Way| way.get("/api/users/heartbeat/", access).await.0 == 200;
    refused_everywhere(&cluster, "the login", used).await;
}
