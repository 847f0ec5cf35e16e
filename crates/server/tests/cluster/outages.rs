//! Without Valkey, without PostgreSQL, and with a network between that is cut.

use std::time::Duration;

use presently_testkit::{PASSWORD, client, eventually, ms};
use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::nodes::{Cluster, LEASE, SOON, TIMEOUT, pass};
use crate::people::{Beating, Person, Route};
use crate::watchers::{Watcher, exactly_once, history, nobody_left, settle, statuses};

/// How long it may take until all agree again: the ten seconds, and what a busy machine adds.
const AGREE_WITHIN: Duration = Duration::from_secs(15);

/// People at each node who beat there all the time, and one in each round who wanders.
async fn crowd(cluster: &Cluster) -> (Vec<Person>, Vec<Beating>) {
    let (mut people, mut beating) = (Vec::new(), Vec::new());
    for (place, name) in ["ann", "ben", "cat", "dan"].into_iter().enumerate() {
        let at = place % cluster.nodes.len();
        let who = cluster.person(at, name).await;
        let route = if place < cluster.nodes.len() { Route::Stays } else { Route::Wanders };
        beating.push(cluster.beating(&who, at, route));
        people.push(who);
    }
    (people, beating)
}

async fn watch_each(cluster: &Cluster) -> Vec<Watcher> {
    let mut watchers = Vec::new();
    for node in 0..cluster.nodes.len() {
        watchers.push(Watcher::of_everybody(cluster, &[node]).await);
    }
    watchers
}

/// Nobody left, every node says so, and every node hears of the next change.
async fn all_agree(cluster: &Cluster, watchers: &[&Watcher], marker: &Person, people: &[&Person]) {
    for who in people {
        cluster.all_show(who, "online", AGREE_WITHIN).await;
    }
    settle(cluster, marker, watchers).await;
    nobody_left(watchers, people);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_valkey_the_nodes_go_on_and_when_it_is_back_empty_all_agree_without_a_false_word() {
    let cluster = Cluster::of(3).await;
    let marker = cluster.person(0, "marker").await;
    let (people, beating) = crowd(&cluster).await;
    let quiet = cluster.person(1, "quiet").await;
    let leaver = cluster.person(2, "leaver").await;
    let watchers = watch_each(&cluster).await;
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    cluster.all_show(&quiet, "online", SOON).await;
    block_in_place(|| cluster.valkey.kill());
    for node in &cluster.nodes {
        let why = node.cut_off(LEASE + SOON).await;
        assert!(why.contains("cut off"), "{why}");
    }
    // Each goes on: logins, heartbeats, reads, acts.
    cluster.office.user("late", &[]).await;
    for node in &cluster.nodes {
        assert_eq!(node.get("/healthz", "").await.0, 200);
        assert_eq!(node.shown(&cluster.boss, people[0].id).await.0, "online");
    }
    let (late_id, late_token) = cluster.nodes[1].login("late").await;
    let late = Person { id: late_id, name: "late".to_owned(), token: late_token };
    assert_eq!(cluster.nodes[1].shown(&cluster.boss, late.id).await.0, "online");
    assert_eq!(cluster.nodes[2].post("/api/auth/logout/", &leaver.token, json!({})).await.0, 200);
    assert_eq!(cluster.nodes[2].shown(&cluster.boss, leaver.id).await.0, "offline");
    // Nobody is ended by a silence that another node may know better.
    sleep(TIMEOUT).await;
    assert_eq!(cluster.nodes[0].shown(&cluster.boss, quiet.id).await.0, "online");
    block_in_place(|| cluster.valkey.restart());
    cluster.all_ready(AGREE_WITHIN).await;
    let mut all: Vec<&Person> = people.iter().collect();
    all.push(&late);
    all_agree(&cluster, &watchers, &marker, &all).await;
    cluster.all_show(&leaver, "offline", AGREE_WITHIN).await;
    for beating in beating {
        beating.end().await;
    }
    // Silence counts again.
    cluster.all_show(&quiet, "offline", TIMEOUT + LEASE + SOON).await;
    settle(&cluster, &marker, &watchers).await;
    assert_eq!(statuses(&history(&cluster, 0, &quiet).await), ["online", "offline"]);
    for who in [&quiet, &leaver] {
        for watcher in &watchers {
            assert_eq!(statuses(&watcher.told().states(who)), ["online", "offline"], "{}", who.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_valkey_goes_on_and_comes_back_without_a_false_word() {
    let cluster = Cluster::of(3).await;
    let marker = cluster.person(1, "marker").await;
    let (people, beating) = crowd(&cluster).await;
    let leaver = cluster.person(0, "leaver").await;
    let watchers = watch_each(&cluster).await;
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let all: Vec<&Person> = people.iter().collect();
    // First nothing comes through, and nobody is told; then connections break.
    for round in 0..2 {
        let network = &cluster.nodes[0].to_valkey;
        if round == 0 {
            network.silence()
        } else {
            network.cut()
        }
        let why = cluster.nodes[0].cut_off(LEASE + SOON).await;
        assert!(why.contains("cut off"), "{why}");
        if round == 0 {
            // What is asked of it is done there, and told to the others when they can be.
            assert_eq!(cluster.nodes[0].post("/api/auth/logout/", &leaver.token, json!({})).await.0, 200);
            assert_eq!(cluster.nodes[0].shown(&cluster.boss, leaver.id).await.0, "offline");
        }
        for node in &cluster.nodes[1..] {
            node.ready(SOON).await;
        }
        pass(1.0).await;
        network.mend();
        cluster.nodes[0].ready(AGREE_WITHIN).await;
        all_agree(&cluster, &watchers, &marker, &all).await;
        cluster.all_show(&leaver, "offline", AGREE_WITHIN).await;
    }
    for beating in beating {
        beating.end().await;
    }
    settle(&cluster, &marker, &watchers).await;
    let happened = exactly_once(&cluster, &watchers[1..], &all).await;
    assert!(happened.iter().all(|happened| happened == &["online"]), "{happened:?}");
    // That the login is over each part found by itself: from the account, and from whoever was asked.
    for watcher in &watchers {
        assert_eq!(statuses(&watcher.told().states(&leaver)), ["online", "offline"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_slow_and_breaks_makes_nothing_wrong() {
    let cluster = Cluster::of(3).await;
    let marker = cluster.person(1, "marker").await;
    let (people, beating) = crowd(&cluster).await;
    let visitor = cluster.person(1, "visitor").await;
    let watchers = watch_each(&cluster).await;
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    for round in 0..12 {
        let node = &cluster.nodes[round % 3];
        node.to_valkey.delay((round as u64 % 4) * 20);
        if round % 2 == 0 {
            node.to_valkey.interrupt();
        } else {
            node.to_postgres.interrupt();
        }
        let activity = if round % 2 == 0 { "idle" } else { "active" };
        let at = &cluster.nodes[(round + 1) % 3];
        eventually(SOON, "the change is taken", async || {
            let beat = at.send("POST", "/api/users/heartbeat/", &visitor.token, Some(json!({"activity": activity})));
            beat.await.is_ok_and(|(status, _)| status == 200)
        })
        .await;
        sleep(ms(300)).await;
    }
    cluster.nodes.iter().for_each(|node| node.to_valkey.mend());
    cluster.all_ready(AGREE_WITHIN).await;
    for beating in beating {
        beating.end().await;
    }
    let all: Vec<&Person> = people.iter().collect();
    settle(&cluster, &marker, &watchers).await;
    nobody_left(&watchers, &all);
    exactly_once(&cluster, &watchers, &all).await;
    let happened = exactly_once(&cluster, &watchers, &[&visitor]).await;
    let expected = ["online", "away"].into_iter().cycle().take(13).collect::<Vec<_>>();
    assert_eq!(happened[0], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_presence_goes_on_logins_say_so_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::of(2).await;
    let marker = cluster.person(0, "marker").await;
    let (people, beating) = crowd(&cluster).await;
    let mover = cluster.person(0, "mover").await;
    cluster.office.user("carol", &[]).await;
    let watchers = watch_each(&cluster).await;
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    // Both nodes know everybody's token, and have heard the news of their accounts, which have them looked up again.
    pass(1.5).await;
    for node in &cluster.nodes {
        for who in people.iter().chain([&mover]) {
            node.beat(&who.token).await;
        }
        node.shown(&cluster.boss, mover.id).await;
    }
    let signed_out = cluster.person(1, "signed-out").await;
    assert_eq!(cluster.nodes[0].post("/api/auth/logout/", &signed_out.token, json!({})).await.0, 200);
    block_in_place(|| cluster.postgres.kill());
    for node in &cluster.nodes {
        node.cut_off(SOON).await;
        let http = client().no_proxy().build().unwrap();
        let login = http.post(format!("http://{}/api/auth/login/", node.address()));
        let answer = login.json(&json!({"username": "carol", "password": PASSWORD})).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
    // What happens at one is seen at the other.
    for (at, activity, status) in [(0, "idle", "away"), (1, "active", "online"), (0, "idle", "away")] {
        let path = "/api/users/heartbeat/";
        let (code, told) = cluster.nodes[at].post(path, &mover.token, json!({"activity": activity})).await;
        assert_eq!((code, &told["online_status"]), (200, &json!(status)), "{told}");
        for watcher in &watchers {
            watcher.shows(&mover, status, SOON).await;
        }
    }
    pass(1.0).await;
    block_in_place(|| cluster.postgres.start_again());
    for node in &cluster.nodes {
        let what = format!("carol can sign in at {}", node.name);
        eventually(SOON, &what, async || node.try_login("carol", PASSWORD).await.0 == 200).await;
        node.ready(SOON).await;
        assert_eq!(node.get("/api/users/heartbeat/", &signed_out.token).await.0, 401);
    }
    let keep = cluster.beating(&mover, 0, Route::Stays);
    for beating in beating.into_iter().chain([keep]) {
        beating.end().await;
    }
    let all: Vec<&Person> = people.iter().collect();
    settle(&cluster, &marker, &watchers).await;
    nobody_left(&watchers, &all);
    let before = exactly_once(&cluster, &watchers, &[&mover]).await;
    assert_eq!(before[0][..4], ["online", "away", "online", "away"]);
    // And it is there when all have gone and come back.
    for node in &mut cluster.nodes {
        node.stop().await;
    }
    cluster.start_all().await;
    assert_eq!(statuses(&history(&cluster, 1, &mover).await)[..before[0].len()], before[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_postgres_says_so_and_the_others_hear_what_it_hears() {
    let cluster = Cluster::of(2).await;
    let marker = cluster.person(1, "marker").await;
    let alice = cluster.person(0, "alice").await;
    cluster.nodes[1].beat(&alice.token).await;
    let watchers = watch_each(&cluster).await;
    let watchers: Vec<&Watcher> = watchers.iter().collect();
    let keep = cluster.beating(&alice, 0, Route::Stays);
    // Until the news of her account, which have her looked up again, have come to every node.
    pass(1.5).await;
    cluster.nodes[0].to_postgres.silence();
    cluster.nodes[0].cut_off(SOON).await;
    cluster.nodes[1].ready(SOON).await;
    let path = "/api/users/heartbeat/";
    let (code, told) = cluster.nodes[0].post(path, &alice.token, json!({"activity": "idle"})).await;
    assert_eq!(code, 200, "{told}");
    watchers[1].shows(&alice, "online", SOON).await;
    cluster.nodes[0].to_postgres.mend();
    cluster.nodes[0].ready(SOON).await;
    keep.end().await;
    settle(&cluster, &marker, &watchers).await;
    nobody_left(&watchers, &[&alice]);
    eventually(SOON, "all of it is kept", async || {
        let told = watchers[1].told().of(&alice).last().map(|step| (step.status.clone(), step.since.clone()));
        history(&cluster, 1, &alice).await.last() == told.as_ref()
    })
    .await;
}
