//! Anything may happen to several nodes, in any order: in the end they agree, and what they told adds up.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod several;

use std::collections::BTreeMap;
use std::time::Duration;

use presently::{Activity, EndReason, Source, Status};
use several::{Cluster, secs};

/// A small generator, so that a seed is all it takes to see a failure again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Statuses follow one another without a gap for each user, at each node.
#[derive(Default)]
struct Ledger {
    shown: BTreeMap<String, String>,
}

impl Ledger {
    fn take(&mut self, news: &[String], seed: u64) {
        for line in news {
            let mut words = line.split(' ');
            let (user, change) = (words.next().unwrap(), words.next().unwrap());
            let (from, to) = change.split_once("->").unwrap();
            let before = self.shown.insert(user.to_owned(), to.to_owned()).unwrap_or_else(|| "offline".to_owned());
            assert_eq!(before, from, "seed {seed}: {line} was told twice, or one before it was not");
        }
    }
}

/// `PRESENTLY_SEEDS=200` tries so many.
#[tokio::test(start_paused = true)]
async fn whatever_happens_the_nodes_agree_in_the_end() {
    let seeds = std::env::var("PRESENTLY_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 1..=seeds.unwrap_or(8) {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut cluster = Cluster::of(3).await;
    let mut ledgers: Vec<Ledger> = (0..3).map(|_| Ledger::default()).collect();
    for _ in 0..150 {
        let node = dice.below(cluster.nodes.len() as u64) as usize;
        let user = format!("user-{}", dice.below(8));
        let session = format!("tab-{}", dice.below(3));
        let presently = cluster.nodes[node].presently.clone();
        match dice.below(24) {
            0 => cluster.nodes[node].link.set_down(true),
            1 => cluster.nodes[node].link.set_down(false),
            2 => cluster.nodes[node].link.lose_replies(dice.below(3) as u32),
            3 if dice.below(5) == 0 => cluster.bus.lose_everything(),
            4 if cluster.nodes.len() > 2 && dice.below(3) == 0 => {
                cluster.kill(node).await;
                ledgers.remove(node);
                cluster.start().await;
                // What was there when it came was told to others.
                let mut ledger = Ledger::default();
                for user in cluster.nodes.last().unwrap().presently.online_users().await {
                    ledger.shown.insert(user.user.to_string(), user.status.as_str().to_owned());
                }
                cluster.nodes.last_mut().unwrap().news();
                ledgers.push(ledger);
            }
            5..=6 => drop(tokio::spawn(async move { presently.end_session(&user, &session, EndReason::Logout).await })),
            7 => drop(tokio::spawn(async move { presently.end_user(&user, EndReason::ForcedLogout).await })),
            8 => drop(tokio::spawn(async move {
                presently.override_status(&user, Source::Admin, Status::Away, Some(secs(20))).await
            })),
            9 => drop(tokio::spawn(async move { presently.clear_override(&user, Source::Admin).await })),
            10 => drop(tokio::spawn(async move { presently.set_away(&user).await })),
            11 => drop(tokio::spawn(async move { presently.set_offline(&user).await })),
            12..=13 => cluster.pass(secs(dice.below(40))).await,
            _ => {
                let activity = [None, Some(Activity::Active), Some(Activity::Idle)][dice.below(3) as usize];
                drop(presently.evidence(&user, &session, activity, || true));
            }
        }
        cluster.pass(Duration::from_millis(dice.below(2000))).await;
        for (node, ledger) in cluster.nodes.iter_mut().zip(&mut ledgers) {
            ledger.take(&node.news(), seed);
        }
    }
    cluster.bus.set_all_down(false);
    cluster.pass(secs(30)).await;
    for (node, ledger) in cluster.nodes.iter_mut().zip(&mut ledgers) {
        assert_eq!(node.presently.cluster_health(), Some(Ok(())), "seed {seed}");
        ledger.take(&node.news(), seed);
    }
    for user in 0..8 {
        let user = format!("user-{user}");
        let mut shown = Vec::new();
        for (node, ledger) in cluster.nodes.iter().zip(&ledgers) {
            let status = node.presence(&user).await.status;
            let told = ledger.shown.get(&user).map_or("offline", String::as_str);
            assert_eq!(told, status.as_str(), "seed {seed}: what was told of {user} is not what is shown");
            shown.push(status);
        }
        assert!(shown.iter().all(|status| *status == shown[0]), "seed {seed}: {user} is {shown:?}");
    }
    // Everybody is silent: nobody stays.
    cluster.pass(secs(150)).await;
    for user in 0..8 {
        assert_eq!(cluster.status(&format!("user-{user}")).await, Status::Offline, "seed {seed}: a ghost");
    }
}
