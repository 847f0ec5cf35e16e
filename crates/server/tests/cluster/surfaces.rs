//! Any node may receive any request.

use presently_testkit::{PASSWORD, eventually};
use serde_json::json;

use crate::nodes::{Cluster, SOON};
use crate::watchers::{Watcher, exactly_once, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_its_heartbeats_and_the_acts_of_admins_may_each_be_at_another_node() {
    let cluster = Cluster::of(3).await;
    let marker = cluster.person(0, "marker").await;
    let mut bob = cluster.person(2, "bob").await;
    let streams = [
        Watcher::of_everybody(&cluster, &[0]).await,
        Watcher::of_everybody(&cluster, &[1]).await,
        Watcher::of_everybody(&cluster, &[2]).await,
        Watcher::of_some(&cluster, &[1], &[&bob, &marker]).await,
    ];
    let watchers: Vec<&Watcher> = streams.iter().collect();
    let told = async |status: &str| {
        for watcher in &watchers {
            watcher.shows(&bob, status, SOON).await;
        }
        cluster.all_show(&bob, status, SOON).await;
    };
    let [one, two, three] = &cluster.nodes[..] else { unreachable!("three") };
    let set = async |way: &presently_testkit::process::Way, body| {
        let path = format!("/api/users/admin/users/{}/set-online-status/", bob.id);
        let (status, told) = way.post(&path, &cluster.boss, body).await;
        assert_eq!(status, 200, "{told}");
    };

    assert_eq!(two.post("/api/auth/logout-all/", &bob.token, json!({})).await.0, 200);
    told("offline").await;
    // Signs in at the first, beats at the second.
    let (status, answer) = one.try_login("bob", PASSWORD).await;
    assert_eq!((status, &answer["user"]["online_status"]), (200, &json!("online")), "{answer}");
    let token = answer["tokens"]["access"].as_str().unwrap().to_owned();
    told("online").await;
    let (status, answer) = two.post("/api/users/heartbeat/", &token, json!({"activity": "idle"})).await;
    assert_eq!((status, &answer["online_status"]), (200, &json!("away")), "{answer}");
    told("away").await;
    // An act at the third holds until the next evidence at the second.
    set(three, json!({"status": "offline"})).await;
    told("offline").await;
    assert_eq!(two.beat(&token).await["online_status"], "online");
    told("online").await;
    // An override at the first covers what is heard at the second, until it is cleared at the third.
    set(one, json!({"status": "away", "expires_in": 600})).await;
    told("away").await;
    for _ in 0..3 {
        two.beat(&token).await;
        assert_eq!(one.shown(&cluster.boss, bob.id).await.0, "away");
    }
    set(three, json!({"status": null})).await;
    told("online").await;
    // Signs out at the third.
    let seen = two.beat(&token).await["last_seen"].as_str().unwrap().to_owned();
    assert_eq!(three.post("/api/auth/logout/", &token, json!({})).await.0, 200);
    told("offline").await;
    bob.token = token;
    for node in &cluster.nodes {
        let last_seen = node.shown(&cluster.boss, bob.id).await.1.unwrap();
        assert!(last_seen >= seen, "{last_seen} at {}, {seen} when they left", node.name);
        let gone = async || node.get("/api/users/heartbeat/", &bob.token).await.0 == 401;
        eventually(SOON, "the token is refused", gone).await;
    }
    settle(&cluster, &marker, &watchers).await;
    let happened = exactly_once(&cluster, &watchers, &[&bob]).await;
    assert_eq!(happened[0], ["online", "offline", "online", "away", "offline", "online", "away", "online", "offline"]);
    // Nobody saw the session at the first node and the one at the second as two.
    for node in &cluster.nodes {
        let path = format!("/api/users/admin/users/{}/sessions/", bob.id);
        assert_eq!(node.get(&path, &cluster.boss).await.1["sessions"], json!([]), "{}", node.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invisible_user_leaks_through_no_node() {
    let cluster = Cluster::of(3).await;
    let alice = cluster.person(0, "alice").await;
    let viewer = cluster.person(1, "viewer").await;
    let keep = [cluster.beating(&alice, 0, crate::people::Route::Wanders)];
    let watcher = Watcher::of_everybody(&cluster, &[2]).await;
    let [one, two, three] = &cluster.nodes[..] else { unreachable!("three") };
    let hide = async |way: &presently_testkit::process::Way, invisible: bool| {
        let answer = way.send("PUT", "/api/presence/me", &alice.token, Some(json!({"invisible": invisible}))).await;
        let (status, told) = answer.unwrap();
        assert_eq!((status, &told["invisible"]), (200, &json!(invisible)), "{told}");
    };
    hide(two, true).await;
    let id = alice.id.to_string();
    let mut frozen = None;
    for round in 0..3 {
        for node in &cluster.nodes {
            let what = format!("{} hides alice", node.name);
            let presence = format!("/api/presence/{id}");
            eventually(SOON, &what, async || node.get(&presence, &viewer.token).await.1["status"] == "offline").await;
            let (_, mut told) = node.get(&presence, &viewer.token).await;
            told["as_of"] = json!(null);
            // The same last seen and since, whichever node is asked, whatever is heard of them meanwhile.
            assert_eq!(&told, frozen.get_or_insert_with(|| told.clone()), "{} in round {round}", node.name);
            assert_eq!(node.shown(&viewer.token, alice.id).await.0, "offline");
            assert_eq!(node.shown(&cluster.boss, alice.id).await.0, "online", "admins see them");
            let (_, told) = node.post("/api/presence/query", &viewer.token, json!({"users": [id]})).await;
            assert_eq!(told["presences"][0]["status"], "offline", "{told}");
            for list in ["/api/presence/online", "/api/users/admin/users/online/"] {
                let (status, told) = node.get(list, &viewer.token).await;
                assert_eq!(status, 200);
                assert!(!told.to_string().contains("alice"), "{list}: {told}");
            }
            let (_, told) = node.get(&format!("{presence}/history"), &viewer.token).await;
            let last = told["transitions"].as_array().unwrap().last().cloned();
            assert_ne!(last.unwrap()["to"], "online", "{told}");
        }
        crate::nodes::pass(0.5).await;
    }
    hide(three, false).await;
    for node in &cluster.nodes {
        let what = format!("{} shows alice again", node.name);
        eventually(SOON, &what, async || node.shown(&viewer.token, alice.id).await.0 == "online").await;
    }
    let _ = one;
    for beating in keep {
        beating.end().await;
    }
    crate::watchers::nobody_left(&[&watcher], &[&alice]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_of_logins_stays_a_limit() {
    let cluster = Cluster::of(3).await;
    cluster.office.user("carol", &[]).await;
    let mut refused = vec![0; cluster.nodes.len()];
    let mut wrong = 0;
    for attempt in 0..60 {
        let at = attempt % cluster.nodes.len();
        match cluster.nodes[at].try_login("carol", "no password of hers").await {
            (401, _) => wrong += 1,
            (429, _) => refused[at] += 1,
            (status, told) => panic!("{status}: {told}"),
        }
    }
    assert!(wrong >= 10, "not before the tenth: {wrong}");
    assert!(wrong <= 10 * cluster.nodes.len(), "each node lets through no more than one alone: {wrong}");
    assert!(refused.iter().all(|&refused| refused > 0), "{refused:?}");
}
