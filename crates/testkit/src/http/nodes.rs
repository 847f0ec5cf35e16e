//! How many nodes the tests speak to: one on a file, or with `PRESENTLY_TEST_NODES` several on one PostgreSQL and one Valkey, of which each
//! request goes to the next.
//!
//! **No request is sent before all nodes know what was answered before.** Nodes hear of each other within milliseconds (presence),
//! a quarter of a second (accounts) and a second (`last_seen`); a test asks in no time at all, so the harness waits for each of the three.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::join_all;
use presently::Presence;
use presently_server::{App, Cluster, Settings};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Postgres, Valkey};

/// How many nodes, unless one.
const VARIABLE: &str = "PRESENTLY_TEST_NODES";
/// What somebody may ask for by it.
const NODES_MAX: usize = 5;
/// Groups of nodes at the same time, whatever the number of tests that run: each node has up to eleven connections to PostgreSQL.
const GROUPS_MAX: usize = 6;
/// Leases are in Valkey's time, and are renewed on the test's clock, which may stand: they must outlast the test.
const LEASE: Duration = Duration::from_secs(60 * 60);
/// After how long they also agree if a `last_seen` differs by less than a millisecond, which is what they tell each other: evidence that
/// came beside a request of the test may have been whispered when the clock had moved on.
const EXACT_WITHIN: Duration = Duration::from_millis(500);
const EXACT_TO_MICROS: i64 = 1_000;
/// How long the nodes may take to agree, and how often it is looked.
const AGREE_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Why a test speaks to one of the nodes only. **Each is a fact of the design that an operator is told of, too**; a test for which none of
/// them holds asks all nodes in turn.
#[derive(Clone, Copy, Debug)]
pub enum OneNode {
    /// Failed logins are counted by the node that refused them: who guesses at all nodes has as many times the guesses.
    CountsFailedLogins,
    /// The overview, and what is there for operators, tell of the node that was asked, and name it.
    TellsOfItself,
    /// Streams and sockets are limited by the node that holds them.
    LimitsItsConnections,
    /// A session that lost its socket is taken over at its node; at another one it ends by itself, beside the new one.
    KnowsItsSockets,
}

/// A running node.
pub struct Node {
    pub app: App,
    pub(super) address: SocketAddr,
    pub(super) runtime: tokio::runtime::Handle,
}

/// How many nodes each server of the tests is.
pub(super) fn count() -> usize {
    static COUNT: LazyLock<usize> = LazyLock::new(|| {
        let Ok(text) = std::env::var(VARIABLE) else { return 1 };
        let count = text.parse().ok().filter(|count| (1..=NODES_MAX).contains(count));
        count.unwrap_or_else(|| panic!("{VARIABLE} is a number up to {NODES_MAX}, not {text:?}"))
    });
    *COUNT
}

/// What several nodes share.
pub(super) struct Group {
    database_url: String,
    name: String,
    _place: SemaphorePermit<'static>,
}

impl Group {
    /// A new one with an empty database; `None` for one node, which needs no others.
    pub(super) async fn new() -> Option<Self> {
        static PLACES: Semaphore = Semaphore::const_new(GROUPS_MAX);
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        if count() == 1 {
            return None;
        }
        let place = PLACES.acquire().await.expect("nobody closes it");
        let database_url = postgres().database();
        Some(Self { database_url, name: format!("group-{}", NUMBERS.fetch_add(1, Ordering::Relaxed)), _place: place })
    }

    /// Makes these the settings of a node of the group.
    pub(super) fn settings(&self, node: usize, settings: &mut Settings) {
        settings.database_url.clone_from(&self.database_url);
        settings.cluster = Some(Cluster {
            valkey_url: valkey().url(),
            node_name: format!("node-{node}"),
            lease: LEASE,
            name: self.name.clone(),
        });
    }

    /// Returns when every node hears what the others whisper: what was whispered before is lost to it.
    pub(super) async fn hears_whispers(&self) {
        let channel = format!("{{presently:{}}}:whispers", self.name);
        let script = "return redis.call('PUBSUB', 'SHARDNUMSUB', KEYS[1])[2]";
        let all = format!(":{}", count());
        let listening = async {
            while valkey().command(&["EVAL", script, "1", &channel]) != all {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(AGREE_WITHIN, listening).await.expect("all nodes hear what is whispered");
    }

    /// Ends the leases of nodes that were ended without a goodbye, as they end by themselves when they were not renewed for long enough.
    pub(super) fn ends_leases(&self) {
        let nodes = format!("{{presently:{}}}:nodes", self.name);
        let ended = valkey().command(&["ZUNIONSTORE", &nodes, "1", &nodes, "WEIGHTS", "0"]);
        assert_eq!(ended, format!(":{}", count()), "each node had a lease");
    }
}

/// Returns when all nodes know what any of them has answered.
pub(super) async fn agree(nodes: &[Node]) {
    if nodes.len() == 1 {
        return;
    }
    let began = tokio::time::Instant::now();
    let agreed = async {
        loop {
            // What was done to accounts, and what follows from it: that is proposed before the next line.
            on_each(nodes, |app| async move { app.follow_changes().await.expect("accounts can be read") }).await;
            let seen = on_each(nodes, |app| async move {
                // What was heard is whispered.
                app.presently().keep_evidence().await.expect("evidence is kept");
                app.presently().settled().await.expect("everything is kept");
                view(&app).await
            });
            let seen = seen.await;
            let apart_max = if began.elapsed() < EXACT_WITHIN { 0 } else { EXACT_TO_MICROS - 1 };
            if seen.windows(2).all(|two| are_alike(&two[0], &two[1], apart_max)) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(AGREE_WITHIN, agreed).await.is_err() {
        let seen = on_each(nodes, |app| async move { view(&app).await }).await;
        panic!("the nodes do not agree: {seen:#?}");
    }
}

/// The same for whoever cannot wait: the thread stands still meanwhile, with everything of the test that runs on it.
pub(super) fn agree_now(nodes: &Nodes) {
    if nodes.len() > 1 {
        let (done, agreed) = std::sync::mpsc::channel();
        let agreeing = Arc::clone(nodes);
        nodes[0].runtime.spawn(async move {
            agree(&agreeing).await;
            let _ = done.send(());
        });
        agreed.recv().expect("the nodes agree");
    }
}

/// Does the same on each node, where it runs, at the same time.
pub(super) async fn on_each<T, F>(nodes: &[Node], work: impl Fn(App) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let working = nodes.iter().map(|node| node.runtime.spawn(work(node.app.clone())));
    join_all(working).await.into_iter().map(|done| done.expect("the work ended")).collect()
}

/// What a node knows of everybody who is present.
async fn view(app: &App) -> Vec<Presence> {
    let mut users = app.presently().online_users().await;
    users.sort_by(|one, other| one.user.cmp(&other.user));
    users
}

fn are_alike(one: &[Presence], other: &[Presence], apart_max: i64) -> bool {
    let alike = |(one, other): (&Presence, &Presence)| match (one.last_seen, other.last_seen) {
        (Some(seen), Some(there)) if (seen.0 - there.0).abs() <= apart_max => {
            (&one.user, one.status, one.since) == (&other.user, other.status, other.since)
        }
        _ => one == other,
    };
    one.len() == other.len() && one.iter().zip(other).all(alike)
}

/// One server for all tests of the process, which need nothing of it after a crash of the machine.
fn postgres() -> &'static Postgres {
    static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
        Postgres::start(&[("max_connections", "400"), ("synchronous_commit", "off"), ("autovacuum", "off")])
    });
    &SERVER
}

fn valkey() -> &'static Valkey {
    static SERVER: LazyLock<Valkey> = LazyLock::new(Valkey::plain);
    &SERVER
}

/// The nodes that a server consists of at the moment.
pub(super) type Nodes = Arc<[Node]>;
