//! Several real processes on one database and one Valkey.

use std::ops::Deref;
use std::time::Duration;

use presently_testkit::process::{Place, Server, Way};
use presently_testkit::{PASSWORD, client, eventually, free_port, ms};
use presently_testkit::{Postgres, Valkey};
use serde_json::json;
use tokio::task::block_in_place;

use crate::network::Network;
use crate::people::{Beating, Person, Route};

/// How long a lease lasts, and with it how long a dead node is missed.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// Silence after which a user is offline.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(6);
/// How long a dropped socket may take to come back.
pub(crate) const GRACE: Duration = Duration::from_secs(3);
/// How long something may take that takes a moment, on a machine that has much else to do.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// How long a request may take: longer than a node that lost its servers takes to say so.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often those who beat do.
const BEAT_EVERY: Duration = Duration::from_millis(300);

/// The nodes and what they share. The nodes end first.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// The token of an administrator.
    pub(crate) boss: String,
    /// The address of the database.
    pub(crate) url: String,
    /// Where the program's commands run: on the database, next to the nodes.
    pub(crate) office: Place,
    pub(crate) valkey: Valkey,
    pub(crate) postgres: Postgres,
}

impl Cluster {
    /// So many nodes, all ready.
    pub(crate) async fn of(count: usize) -> Self {
        Self::with(count, &[]).await
    }

    /// So many nodes with more arguments.
    pub(crate) async fn with(count: usize, args: &[&str]) -> Self {
        let mut cluster = Self::prepared(count, args).await;
        cluster.office.user("boss", &["--role", "admin"]).await;
        cluster.start_all().await;
        cluster.boss = cluster.nodes[0].login("boss").await.1;
        cluster
    }

    /// So many nodes that were never started, on an empty database.
    pub(crate) async fn prepared(count: usize, args: &[&str]) -> Self {
        let (postgres, valkey) = block_in_place(|| {
            std::thread::scope(|scope| {
                let valkey = scope.spawn(Valkey::plain);
                (Postgres::start(&[]), valkey.join().expect("Valkey runs"))
            })
        });
        let url = postgres.database();
        let mut nodes = Vec::new();
        for number in 0..count {
            nodes.push(Node::new(number, &url, &postgres, &valkey, args).await);
        }
        Self { nodes, boss: String::new(), office: Place::on(url.clone()), url, valkey, postgres }
    }

    /// Starts all at once, and waits until all are ready.
    pub(crate) async fn start_all(&mut self) {
        futures_util::future::join_all(self.nodes.iter_mut().map(Node::start)).await;
        self.all_ready(SOON).await;
    }

    /// Waits until all nodes are.
    pub(crate) async fn all_ready(&self, within: Duration) {
        for node in &self.nodes {
            node.ready(within).await;
        }
    }

    /// Begins the heartbeats of somebody, at this node first.
    pub(crate) fn beating(&self, who: &Person, first: usize, route: Route) -> Beating {
        Beating::begin(who, self.ways(first), route, BEAT_EVERY)
    }

    /// The ways to all nodes, beginning with this one.
    pub(crate) fn ways(&self, first: usize) -> Vec<Way> {
        (0..self.nodes.len()).map(|place| self.nodes[(first + place) % self.nodes.len()].way.clone()).collect()
    }

    /// Somebody who signed in at this node.
    pub(crate) async fn person(&self, at: usize, name: &str) -> Person {
        let body = json!({"username": name, "password": PASSWORD});
        let (status, told) = self.nodes[at].post("/api/auth/register/", "", body).await;
        assert_eq!(status, 201, "{told}");
        let id = told["user"]["id"].as_i64().expect("an id");
        let token = told["tokens"]["access"].as_str().expect("a token").to_owned();
        self.nodes[at].beat(&token).await;
        Person { id, name: name.to_owned(), token }
    }

    /// Waits until every node shows this status of somebody.
    pub(crate) async fn all_show(&self, who: &Person, status: &str, within: Duration) {
        for node in &self.nodes {
            let what = format!("{} shows {} {status}", node.name, who.name);
            eventually(within, &what, async || node.shown(&self.boss, who.id).await.0 == status).await;
        }
    }
}

/// One node. Its address and its name stay the same, however often its process is another.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) to_valkey: Network,
    pub(crate) to_postgres: Network,
    way: Way,
    port: u16,
    args: Vec<String>,
    server: Option<Server>,
    place: Place,
}

impl Node {
    async fn new(number: usize, url: &str, postgres: &Postgres, valkey: &Valkey, args: &[&str]) -> Self {
        let to_valkey = Network::to(valkey.port()).await;
        let to_postgres = Network::to(postgres.port()).await;
        let port = free_port();
        let name = format!("node-{number}");
        let (lease, timeout, grace) = (seconds(LEASE), seconds(TIMEOUT), seconds(GRACE));
        let valkey_url = format!("redis://127.0.0.1:{}", to_valkey.port());
        let mut all: Vec<String> = [
            ("--valkey-url", valkey_url.as_str()),
            ("--node-name", name.as_str()),
            ("--node-lease", lease.as_str()),
            ("--inactivity-timeout", timeout.as_str()),
            ("--heartbeat-interval", "1s"),
            ("--reconnect-grace", grace.as_str()),
            ("--registration", "open"),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
        .collect();
        all.extend(args.iter().map(ToString::to_string));
        let http = client().no_proxy().timeout(ANSWER_WITHIN).build().expect("an HTTP client");
        let url = url.replace(&format!(":{}/", postgres.port()), &format!(":{}/", to_postgres.port()));
        Self {
            way: Way::to(format!("127.0.0.1:{port}"), http),
            place: Place::on(url),
            args: all,
            server: None,
            name,
            to_valkey,
            to_postgres,
            port,
        }
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.server = Some(self.place.start("serve", self.port, |_| {}, &args).await);
    }

    /// Waits until it says that it can serve.
    pub(crate) async fn ready(&self, within: Duration) {
        let mut last = (0, json!(null));
        let what = format!("{} is ready", self.name);
        eventually(within, &what, async || {
            last = self.send("GET", "/readyz", "", None).await.unwrap_or((0, json!("no answer")));
            last.0 == 200
        })
        .await;
        assert_eq!(last.1["cluster"], "ok", "{}", last.1);
    }

    /// Waits until it says that it cannot, and returns why.
    pub(crate) async fn cut_off(&self, within: Duration) -> String {
        let mut why = String::new();
        let what = format!("{} is cut off", self.name);
        eventually(within, &what, async || {
            let Ok((status, told)) = self.send("GET", "/readyz", "", None).await else { return false };
            why = told["detail"].as_str().unwrap_or_default().to_owned();
            status == 503
        })
        .await;
        why
    }

    /// Its process.
    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it runs")
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.server().end_by("KILL").await;
        self.server = None;
    }

    /// Stops it as an operator does, and returns its log.
    pub(crate) async fn stop(&mut self) -> String {
        self.server().stop().await;
        self.server.take().map(|server| server.stdout()).unwrap_or_default()
    }

    /// It does nothing, and its connections stay.
    pub(crate) fn freeze(&mut self) {
        self.server().signal("STOP");
    }

    /// It goes on.
    pub(crate) fn thaw(&mut self) {
        self.server().signal("CONT");
    }
}

impl Drop for Node {
    #[expect(clippy::print_stderr, reason = "a test that failed shows what its nodes said")]
    fn drop(&mut self) {
        if let Some(server) = self.server.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("---- {}\n{}{}", self.name, server.stdout(), server.stderr());
        }
    }
}

impl Deref for Node {
    type Target = Way;

    fn deref(&self) -> &Way {
        &self.way
    }
}

fn seconds(length: Duration) -> String {
    format!("{}s", length.as_secs())
}

/// Waits for this long, where silence is what is looked for, or time what is needed.
pub(crate) async fn pass(seconds: f64) {
    tokio::time::sleep(ms((seconds * 1000.0) as u64)).await;
}
