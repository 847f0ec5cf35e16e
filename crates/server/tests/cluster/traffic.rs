//! What the nodes tell each other, and what that costs: transitions and wandering users, never heartbeats.

use std::time::Duration;

use presently_testkit::ms;
use presently_testkit::process::micros;
use tokio::time::{Instant, sleep};

use crate::nodes::{Cluster, SOON, pass};
use crate::people::{Beating, Person, Route};

/// How long traffic is counted.
const COUNTED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_seen_is_at_most_two_seconds_old_at_a_node_that_did_not_hear_it() {
    let cluster = Cluster::of(3).await;
    let alice = cluster.person(0, "alice").await;
    let (mut samples, began) = (Vec::new(), Instant::now());
    while began.elapsed() < Duration::from_secs(4) {
        let heard = cluster.nodes[0].beat(&alice.token).await["last_seen"].as_str().map(micros).unwrap();
        sleep(ms(100)).await;
        for node in &cluster.nodes[1..] {
            let shown = node.shown(&cluster.boss, alice.id).await.1.unwrap();
            samples.push(Duration::from_micros(u64::try_from((heard - micros(&shown)).max(0)).unwrap()));
        }
    }
    samples.sort();
    assert!(samples.len() > 20, "{samples:?}");
    assert!(samples[samples.len() * 9 / 10] <= Duration::from_secs(2), "{samples:?}");
    assert!(samples[samples.len() - 1] <= Duration::from_secs(4), "even where much else is to do: {samples:?}");
}

/// What nodes send. A script is one command, whatever it does.
const SENT: [&str; 7] = ["evalsha", "eval", "xread", "lpop", "blpop", "spublish", "ssubscribe"];

/// Commands that came from nodes so far.
fn commands(cluster: &Cluster) -> u64 {
    let stats = cluster.valkey.info("commandstats");
    let calls = stats.lines().filter_map(|line| {
        let (name, calls) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = calls.split_once(',')?.0.parse::<u64>().ok();
        calls.filter(|_| SENT.contains(&name))
    });
    calls.sum()
}

/// Commands a second while nobody does anything.
async fn at_rest(cluster: &Cluster) -> f64 {
    let (before, began) = (commands(cluster), Instant::now());
    sleep(COUNTED).await;
    (commands(cluster) - before) as f64 / began.elapsed().as_secs_f64()
}

/// Commands a heartbeat, besides those at rest.
async fn per_heartbeat(cluster: &Cluster, people: &[Person], route: Route, pause: Duration, rest: f64) -> f64 {
    let begin = |(place, who)| Beating::begin(who, cluster.ways(place), route, pause);
    let beating: Vec<Beating> = people.iter().enumerate().map(begin).collect();
    // Whoever was at another node has come to this one.
    pass(1.0).await;
    let (before, began) = (commands(cluster), Instant::now());
    sleep(COUNTED).await;
    let (done, elapsed) = (commands(cluster) - before, began.elapsed());
    let mut beats = 0;
    for beating in beating {
        let beaten = beating.end().await;
        beats += beaten.count;
    }
    // Those of the first second and of the end are among the beats.
    let beats = beats as f64 * elapsed.as_secs_f64() / (elapsed + Duration::from_secs(1)).as_secs_f64();
    (done as f64 - rest * elapsed.as_secs_f64()).max(0.0) / beats
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_is_told_of_changes_and_of_nothing_else() {
    let cluster = Cluster::of(3).await;
    pass(1.0).await;
    let (rest, keys) = (at_rest(&cluster).await, cluster.valkey.command(&["DBSIZE"]));
    let mut people = Vec::new();
    for number in 0..36 {
        people.push(cluster.person(number % 3, &format!("user-{number}")).await);
    }
    cluster.all_show(&people[0], "online", SOON).await;
    let sticky = per_heartbeat(&cluster, &people, Route::Stays, ms(20), rest).await;
    assert!(sticky < 0.05, "{sticky} commands a heartbeat that stays at its node");
    // What moves goes into the log packed, however many they are.
    let wandering = per_heartbeat(&cluster, &people, Route::Wanders, ms(20), rest).await;
    assert!(wandering < 1.0, "{wandering} commands a heartbeat that goes to another node each time");
    // Nothing of a user is kept, and nothing done, while they are there.
    assert_eq!(cluster.valkey.command(&["DBSIZE"]), keys);
    // The last heartbeats are told within a second.
    pass(1.0).await;
    let with_users = at_rest(&cluster).await;
    assert!(with_users < rest * 1.5, "{with_users} commands a second with users at rest, {rest} without");
}
