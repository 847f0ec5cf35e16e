//! Who watches, and what they were told: at every node, each transition once, in one order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use presently_testkit::clients::{Event, Socket, Stream};
use presently_testkit::process::micros;
use presently_testkit::{client, eventually, ms};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::nodes::{Cluster, SOON, TIMEOUT};
use crate::people::Person;

/// How long a node may take to open a stream before the watcher tries the next one.
const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// By how much the moments of two processes on one machine may differ.
const CLOCKS_MICROS: i64 = 100_000;

/// One presence, as a watcher was told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) user: String,
    pub(crate) status: String,
    pub(crate) since: String,
    /// It came in a snapshot: what was between is not told.
    pub(crate) anew: bool,
}

/// Somebody who watches, and comes back with their position whenever the connection is lost.
pub(crate) struct Watcher {
    name: String,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

/// Everything that one watcher was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) steps: Vec<Step>,
    /// How many snapshots came.
    pub(crate) snapshots: usize,
    /// How many connections were opened.
    pub(crate) opened: usize,
    /// The position of the newest: they do not go back within an epoch.
    at: Option<(String, u64)>,
    /// What was told at a position that was given before: whoever comes back with that would miss it.
    repeated: Vec<String>,
}

impl Told {
    /// What was told of somebody.
    pub(crate) fn of(&self, who: &Person) -> Vec<Step> {
        let id = who.id.to_string();
        self.steps.iter().filter(|step| step.user == id).cloned().collect()
    }

    /// The same as statuses and since when, without what snapshots repeat.
    pub(crate) fn states(&self, who: &Person) -> Vec<(String, String)> {
        let mut states: Vec<(String, String)> = Vec::new();
        for step in self.of(who) {
            if !step.anew || states.last().is_none_or(|(status, _)| *status != step.status) {
                states.push((step.status, step.since));
            }
        }
        states
    }

    fn status_of(&self, id: &str) -> Option<&str> {
        self.steps.iter().rev().find(|step| step.user == id).map(|step| step.status.as_str())
    }

    fn take(&mut self, presences: &Value, epoch: &str, seq: u64, anew: bool) {
        self.snapshots += usize::from(anew);
        if let Some(before) = self.at.as_ref().filter(|(before, _)| before == epoch) {
            assert!(before.1 <= seq, "{} before {seq} in {epoch}", before.1);
            // A snapshot may be cut at the place of a change that is told right after it.
            let after_snapshot = self.steps.last().is_some_and(|step| step.anew);
            if before.1 == seq && !anew && !after_snapshot && presences != &json!([]) {
                self.repeated.push(format!("{seq} of {epoch}: {presences}"));
            }
        }
        self.at = Some((epoch.to_owned(), seq));
        for presence in presences.as_array().expect("presences") {
            let text = |key: &str| presence[key].as_str().unwrap_or_default().to_owned();
            let (user, status, since) = (text("user_id"), text("status"), text("since"));
            self.steps.push(Step { user, status, since, anew });
        }
    }
}

impl Watcher {
    /// Watches everybody through an event stream, at the first of these nodes that answers.
    pub(crate) async fn of_everybody(cluster: &Cluster, nodes: &[usize]) -> Self {
        Self::of_everybody_at(addresses(cluster, nodes), &cluster.boss).await
    }

    /// The same, by these addresses.
    pub(crate) async fn of_everybody_at(addresses: Vec<SocketAddr>, token: &str) -> Self {
        let (name, token) = (format!("the stream from {addresses:?}"), token.to_owned());
        Self::begin(name, |told| async move { stream(&addresses, &token, &told).await }).await
    }

    /// Watches these through a socket.
    pub(crate) async fn of_some(cluster: &Cluster, nodes: &[usize], whom: &[&Person]) -> Self {
        Self::of_some_at(addresses(cluster, nodes), &cluster.boss, whom).await
    }

    /// The same, by these addresses.
    pub(crate) async fn of_some_at(addresses: Vec<SocketAddr>, token: &str, whom: &[&Person]) -> Self {
        let (name, token) = (format!("the socket to {addresses:?}"), token.to_owned());
        let users: Vec<String> = whom.iter().map(|who| who.id.to_string()).collect();
        Self::begin(name, |told| async move { socket(&addresses, &token, &users, &told).await }).await
    }

    async fn begin<W: Future<Output = ()> + Send + 'static>(
        name: String,
        watch: impl FnOnce(Arc<Mutex<Told>>) -> W,
    ) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let task = tokio::spawn(watch(Arc::clone(&told)));
        let watcher = Self { name, told, task };
        eventually(SOON, &format!("{} begins", watcher.name), async || watcher.told.lock().snapshots > 0).await;
        watcher
    }

    /// What was told so far.
    pub(crate) fn told(&self) -> Told {
        assert!(!self.task.is_finished(), "{}: what came was wrong", self.name);
        self.told.lock().clone()
    }

    /// How many snapshots came, and how many connections there were.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let told = self.told.lock();
        (told.snapshots, told.opened)
    }

    /// Waits until the newest that was told of somebody is this.
    pub(crate) async fn shows(&self, who: &Person, status: &str, within: Duration) {
        let id = who.id.to_string();
        let what = format!("{} tells that {} is {status}", self.name, who.name);
        eventually(within, &what, async || {
            assert!(!self.task.is_finished(), "{}: what came was wrong", self.name);
            self.told.lock().status_of(&id) == Some(status)
        })
        .await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn addresses(cluster: &Cluster, nodes: &[usize]) -> Vec<SocketAddr> {
    nodes.iter().map(|&node| cluster.nodes[node].address().parse().expect("an address")).collect()
}

async fn stream(addresses: &[SocketAddr], token: &str, told: &Mutex<Told>) {
    let http = client().no_proxy().build().expect("an HTTP client");
    let mut last = None::<String>;
    for address in addresses.iter().cycle() {
        let mut request = http.get(format!("http://{address}/api/presence/events")).bearer_auth(token);
        if let Some(last) = &last {
            request = request.header("last-event-id", last);
        }
        let opened = timeout(OPEN_WITHIN, Stream::try_of(request)).await;
        if let Ok(Some(mut stream)) = opened {
            told.lock().opened += 1;
            while let Some(Event { event, id, data }) = stream.next_whenever().await {
                let (epoch, seq) = id.rsplit_once('-').expect("an id is a position");
                let seq = seq.parse().expect("a number");
                match event.as_str() {
                    "snapshot" => told.lock().take(&data["presences"], epoch, seq, true),
                    _ => told.lock().take(&json!([data]), epoch, seq, false),
                }
                last = Some(id);
            }
        }
        sleep(ms(50)).await;
    }
}

async fn socket(addresses: &[SocketAddr], token: &str, users: &[String], told: &Mutex<Told>) {
    let authorization = format!("Bearer {token}");
    let mut at: Option<(String, u64)> = None;
    for &address in addresses.iter().cycle() {
        let opened = timeout(OPEN_WITHIN, Socket::connect(address, "", Some(&authorization))).await;
        if let Ok(Ok(mut socket)) = opened {
            told.lock().opened += 1;
            let mut watch = json!({"type": "watch", "users": users});
            if let Some((epoch, seq)) = &at {
                watch["epoch"] = json!(epoch);
                watch["seq"] = json!(seq);
            }
            socket.say(watch);
            while let Some(frame) = socket.frame_whenever().await {
                let kind = frame["type"].as_str().expect("a type");
                if !matches!(kind, "snapshot" | "diff") {
                    continue;
                }
                if let Some(epoch) = frame["epoch"].as_str() {
                    at = Some((epoch.to_owned(), 0));
                }
                let at = at.as_mut().expect("a diff follows a snapshot");
                at.1 = frame["seq"].as_u64().expect("a number");
                told.lock().take(&frame["presences"], &at.0, at.1, kind == "snapshot");
            }
        }
        sleep(ms(50)).await;
    }
}

/// A change that is told to all watchers after everything that was before it.
pub(crate) async fn settle(cluster: &Cluster, marker: &Person, watchers: &[&Watcher]) {
    let id = marker.id.to_string();
    let now = watchers.first().and_then(|watcher| watcher.told.lock().status_of(&id).map(ToOwned::to_owned));
    let next = if now.as_deref() == Some("away") { "online" } else { "away" };
    let path = format!("/api/users/admin/users/{id}/set-online-status/");
    let body = json!({"status": next, "expires_in": 600});
    eventually(SOON, "the marker is set", async || {
        for node in &cluster.nodes {
            let answer = node.send("POST", &path, &cluster.boss, Some(body.clone())).await;
            if answer.is_ok_and(|(status, _)| status == 200) {
                return true;
            }
        }
        false
    })
    .await;
    for watcher in watchers {
        watcher.shows(marker, next, SOON).await;
    }
}

/// What happened to somebody by the history, oldest first: the status and when it began. Whatever became of the nodes, nobody expired
/// before their deadline, and no mistake had to be mended.
pub(crate) async fn history(cluster: &Cluster, at: usize, who: &Person) -> Vec<(String, String)> {
    let lines = lines(cluster, at, who).await;
    for pair in lines.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{}: each change begins where the last one ended: {lines:?}", who.name);
    }
    lines.into_iter().map(|(_, to, at)| (to, at)).collect()
}

/// The lines of the history: from, to, and when.
async fn lines(cluster: &Cluster, at: usize, who: &Person) -> Vec<(String, String, String)> {
    let (status, told) = cluster.nodes[at].get(&format!("/api/presence/{}/history", who.id), &cluster.boss).await;
    assert_eq!(status, 200, "{told}");
    let text = |line: &Value, key: &str| line[key].as_str().expect("a text").to_owned();
    let lines = told["transitions"].as_array().expect("lines");
    for line in lines {
        assert_ne!(line["reason"], "mended", "{}: {lines:?}", who.name);
        if line["reason"] == "expired" {
            let silence = micros(&text(line, "at")) - micros(&text(line, "last_seen"));
            assert!(silence >= TIMEOUT.as_micros() as i64 - CLOCKS_MICROS, "{}: {lines:?}", who.name);
        }
    }
    lines.iter().map(|line| (text(line, "from"), text(line, "to"), text(line, "at"))).collect()
}

/// Every watcher was told each transition of these users that happened since it began, once and in order, and nothing else, where no
/// snapshot says that something is left out; the history says the same. Returns the statuses of each. Call [`settle`] before.
pub(crate) async fn exactly_once(cluster: &Cluster, watchers: &[&Watcher], people: &[&Person]) -> Vec<Vec<String>> {
    exactly_once_at(cluster, 0, watchers, people).await
}

/// The same, when this node is to be asked what happened.
pub(crate) async fn exactly_once_at(
    cluster: &Cluster,
    node: usize,
    watchers: &[&Watcher],
    people: &[&Person],
) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for who in people {
        let happened = history(cluster, node, who).await;
        for watcher in watchers {
            let told = watcher.told();
            assert_eq!(told.repeated, [""; 0], "{}", watcher.name);
            let steps = told.of(who);
            if let Err(wrong) = follows(&happened, &steps, false) {
                panic!("{} of {}: {wrong}\nhappened: {happened:#?}\ntold: {steps:#?}", watcher.name, who.name);
            }
        }
        all.push(statuses(&happened));
    }
    all
}

/// For when nodes were killed: what one was told to keep when it died, the others told their watchers, and the history may not have it.
/// All of these watchers were told the same, each change once; the history has all of it but so many lines. Returns what was told.
pub(crate) async fn alike(
    cluster: &Cluster,
    watchers: &[&Watcher],
    who: &Person,
    missing_max: usize,
) -> Vec<(String, String)> {
    let told = watchers[0].told();
    let states = told.states(who);
    assert!(states.windows(2).all(|pair| pair[0].0 != pair[1].0), "{}: each is a change: {states:?}", who.name);
    for watcher in watchers {
        let told = watcher.told();
        assert_eq!(told.repeated, [""; 0], "{}", watcher.name);
        assert_eq!(told.states(who), states, "{} and {} of {}", watcher.name, watchers[0].name, who.name);
    }
    let kept: Vec<_> = lines(cluster, 0, who).await.into_iter().map(|(_, to, at)| (to, at)).collect();
    let mut rest = states.iter();
    assert!(kept.iter().all(|line| rest.any(|state| state == line)), "{}: {kept:#?} of {states:#?}", who.name);
    assert!(kept.len() + missing_max >= states.len(), "{}: {kept:#?} of {states:#?}", who.name);
    states
}

/// A watcher was told in order what happened to somebody, nothing twice and nothing else, up to the last of it. For one at a node
/// that was no member for a while: it tells what differs from before, and not what was between.
pub(crate) fn in_order(watcher: &Watcher, who: &Person, happened: &[(String, String)]) {
    let steps = watcher.told().of(who);
    if let Err(wrong) = follows(happened, &steps, true) {
        panic!("{} of {}: {wrong}\nhappened: {happened:#?}\ntold: {steps:#?}", watcher.name, who.name);
    }
}

/// Without the times.
pub(crate) fn statuses(states: &[(String, String)]) -> Vec<String> {
    states.iter().map(|(status, _)| status.clone()).collect()
}

/// Whether these steps are what happened from the first one on, with gaps or without.
fn follows(happened: &[(String, String)], steps: &[Step], gaps: bool) -> Result<(), String> {
    let mut next = 0;
    for step in steps {
        // Of whom nobody ever heard is offline.
        if step.anew && step.since.is_empty() && next == 0 {
            continue;
        }
        let found = happened.iter().position(|(status, at)| (status, at) == (&step.status, &step.since));
        let place = found.ok_or_else(|| format!("{step:?} did not happen"))?;
        match (step.anew, place) {
            // What a snapshot repeats, or shows after what it leaves out.
            (true, place) if place + 1 >= next => {}
            (false, place) if place == next || (gaps && place > next) => {}
            _ => return Err(format!("{step:?} is number {place} where number {next} was due")),
        }
        next = place + 1;
    }
    if next == happened.len() { Ok(()) } else { Err(format!("what comes after number {next} was not told")) }
}

/// No watcher was told that one of these users left.
pub(crate) fn nobody_left(watchers: &[&Watcher], people: &[&Person]) {
    for watcher in watchers {
        for step in watcher.told().steps {
            let who = people.iter().find(|who| who.id.to_string() == step.user);
            // Of whom nobody ever heard is offline.
            let left = step.status == "offline" && !step.since.is_empty();
            assert!(who.is_none() || !left, "{}: {step:?} of {:?}", watcher.name, who.map(|who| &who.name));
        }
    }
}
