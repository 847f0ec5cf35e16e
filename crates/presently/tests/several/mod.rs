//! Several nodes on one clock, one store and one bus that the tests hold in their hands.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use presently::bus::{Bus, MemoryBus};
use presently::clock::{Clock, ManualClock};
use presently::memory::MemoryStore;
use presently::{Config, Presence, Presently, Status, Told, Transitions, UserId, Viewer, Watcher};

pub(crate) struct Cluster {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryStore>,
    /// An end that belongs to no node.
    pub(crate) bus: MemoryBus,
    pub(crate) nodes: Vec<Node>,
}

pub(crate) struct Node {
    pub(crate) presently: Presently,
    pub(crate) link: Arc<MemoryBus>,
    told: Transitions,
}

impl Cluster {
    pub(crate) async fn of(nodes: usize) -> Self {
        let clock = ManualClock::new();
        // Ticks start above zero, as they do for whoever starts later.
        clock.advance(secs(1));
        let bus = MemoryBus::new();
        let mut cluster = Self { clock, store: Arc::new(MemoryStore::new()), bus, nodes: Vec::new() };
        for _ in 0..nodes {
            cluster.start().await;
        }
        cluster
    }

    /// One more node comes.
    pub(crate) async fn start(&mut self) {
        let link = Arc::new(self.bus.handle());
        self.start_over(link).await;
    }

    pub(crate) async fn start_over(&mut self, link: Arc<MemoryBus>) {
        self.start_on(link, self.clock.clone()).await;
    }

    /// One more node comes, with a clock of its own.
    pub(crate) async fn start_on(&mut self, link: Arc<MemoryBus>, clock: Arc<ManualClock>) {
        let (store, bus) = (self.store.clone(), link.clone());
        let opening = tokio::spawn(async move { Presently::open_in(Config::default(), store, clock, bus).await });
        while !opening.is_finished() {
            self.pass(Duration::from_millis(10)).await;
        }
        let presently = opening.await.unwrap().unwrap();
        let told = presently.subscribe();
        self.nodes.push(Node { presently, link, told });
        self.pass(Duration::from_millis(100)).await;
    }

    /// How many entries came into the log after this place.
    pub(crate) async fn entries_after(&self, seq: u64) -> usize {
        let epoch = u64::from_str_radix(&self.nodes[0].presently.position().epoch.to_string(), 16).unwrap();
        self.bus.read(epoch, seq, usize::MAX, Duration::ZERO).await.unwrap().len()
    }

    /// The process is gone without a word.
    pub(crate) async fn kill(&mut self, node: usize) {
        drop(self.nodes.remove(node));
        yields().await;
    }

    /// Time passes, and everything in the background does what it does in that time.
    pub(crate) async fn pass(&self, length: Duration) {
        let mut left = length;
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(100));
            self.clock.advance(step);
            self.bus.advance(step);
            tokio::time::advance(step).await;
            yields().await;
            left -= step;
        }
    }

    /// What each node knows of the user; the same everywhere, or this panics.
    pub(crate) async fn presence(&self, user: &str) -> Presence {
        let first = self.nodes[0].presence(user).await;
        for node in &self.nodes[1..] {
            assert_eq!(node.presence(user).await, first, "the nodes do not agree");
        }
        first
    }

    pub(crate) async fn status(&self, user: &str) -> Status {
        let statuses: Vec<Status> = {
            let mut statuses = Vec::new();
            for node in &self.nodes {
                statuses.push(node.presence(user).await.status);
            }
            statuses
        };
        assert!(statuses.iter().all(|status| *status == statuses[0]), "the nodes do not agree: {statuses:?}");
        statuses[0]
    }

    /// What one node told since the last look.
    pub(crate) fn news_of(&mut self, node: usize) -> Vec<String> {
        self.nodes[node].news()
    }

    /// What every node told since the last look; the same everywhere, or this panics.
    pub(crate) fn news(&mut self) -> Vec<String> {
        let news: Vec<Vec<String>> = self.nodes.iter_mut().map(Node::news).collect();
        for other in &news[1..] {
            assert_eq!(*other, news[0], "the nodes do not tell the same");
        }
        news[0].clone()
    }
}

impl Node {
    pub(crate) async fn beat(&self, user: &str, session: &str) {
        self.presently.heard(user, session, None, || true).await.unwrap();
    }

    pub(crate) async fn presence(&self, user: &str) -> Presence {
        self.presently.presence(user).await.unwrap()
    }

    pub(crate) fn news(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        while let Some(Told::Transition(t)) = self.told.next_now() {
            news.push(format!("{} {}->{} {}", t.user, t.from.as_str(), t.to.as_str(), t.reason.as_str()));
        }
        news
    }

    pub(crate) async fn watch(&self, users: &[&str]) -> Watcher {
        let mut watcher = self.presently.watcher(Viewer::Anybody);
        let users: Vec<UserId> = users.iter().map(|&user| user.into()).collect();
        watcher.watch(&users).await.unwrap();
        watcher
    }
}

/// What a watcher finds, as `user status`.
pub(crate) fn seen(watcher: &mut Watcher) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(diff) = watcher.next_now() {
        seen.extend(diff.presences.iter().map(|told| format!("{} {}", told.user, told.status.as_str())));
    }
    seen
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets the background tasks run until they wait.
pub(crate) async fn yields() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn now(clock: &ManualClock) -> presently::Timestamp {
    clock.now().wall
}
