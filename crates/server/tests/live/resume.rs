//! Coming back: no gap, no reordering, no ghost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use presently_testkit::http::{TICK, TestServer, Visitor, text};
use presently_testkit::secs;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::line::{Line, PATIENCE, Socket, Stream, client, pass, until};

/// Rounds of changes; the line is cut in the middle of them.
const ROUNDS: usize = 60;

/// What a watcher was told of each user, in order, without what a snapshot repeats.
#[derive(Debug, Default)]
struct Told(HashMap<String, Vec<(String, String)>>);

impl Told {
    fn take(&mut self, presence: &Value) {
        let told = self.0.entry(text(&presence["user_id"])).or_default();
        let state = (text(&presence["status"]), presence["since"].as_str().unwrap_or_default().to_owned());
        if told.last() != Some(&state) {
            told.push(state);
        }
    }

    fn of(&self, user: i64) -> Vec<String> {
        self.0.get(&user.to_string()).into_iter().flatten().map(|(status, _)| status.clone()).collect()
    }
}

/// People who change all the time.
async fn changes(server: &TestServer, line: &Line, people: &[Visitor], rounds: Range<usize>) {
    for round in rounds {
        for (place, person) in people.iter().enumerate() {
            pass(server, TICK).await;
            let activity = if (round + place) % 2 == 0 { "idle" } else { "active" };
            person.beat_with(json!({"activity": activity})).await;
        }
        line.delay((round % 4) as u64 * 3);
        if round % 7 == 3 {
            line.cut();
        }
    }
    line.delay(0);
}

/// What happened to each, as the history has it, beginning with the status before the first change that matters.
async fn happened(server: &TestServer, person: &Visitor) -> Vec<String> {
    let history = server.history(person.id).await;
    history.iter().map(|change| change.split_once("->").unwrap().1.to_owned()).collect()
}

async fn people(server: &TestServer) -> Vec<Visitor> {
    let mut people = Vec::new();
    for name in ["ann", "ben", "cat"] {
        people.push(server.visitor(name).await);
    }
    people
}

fn names(people: &[Visitor]) -> Vec<String> {
    people.iter().map(|person| person.id.to_string()).collect()
}

#[tokio::test]
async fn a_stream_over_a_line_that_is_cut_misses_nothing() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let people = people(&server).await;
    for query in [format!("?users={}", names(&people).join(",")), String::new()] {
        // A user changes no more than ten times a second in the long run.
        pass(&server, secs(10)).await;
        let line = Line::to(server.address()).await;
        let mut before = Vec::new();
        for person in &people {
            before.push(happened(&server, person).await.len() - 1);
        }
        let watching = Watching::begin(|seen| watch_stream(line.address, admin.clone(), query, seen));
        changes_are_told(&server, &line, &people, &before, &[watching]).await;
    }
}

/// A watcher that comes back whenever it is cut off. It ends with its test.
struct Watching {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// What came to it.
#[derive(Debug, Default)]
struct Seen {
    told: Told,
    snapshots: usize,
    /// How often it was connected.
    opened: usize,
}

impl Watching {
    fn begin<F: Future<Output = ()> + Send + 'static>(watch: impl FnOnce(Arc<Mutex<Seen>>) -> F) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        Self { seen: Arc::clone(&seen), task: tokio::spawn(watch(seen)) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Waits until it was told all that happened to these people, each after so many changes.
    async fn is_told(&self, server: &TestServer, people: &[Visitor], before: &[usize]) {
        for (person, &before) in people.iter().zip(before) {
            let all = happened(server, person).await;
            until("the last change is told", async || self.seen().told.of(person.id).len() >= all.len() - before).await;
            assert_eq!(self.seen().told.of(person.id), all[before..], "{}", person.username);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The people change while the line is cut, and then it is cut once more; each watcher is told everything, once.
async fn changes_are_told(server: &TestServer, line: &Line, people: &[Visitor], before: &[usize], all: &[Watching]) {
    for watching in all {
        until("it watches", async || watching.seen().snapshots == 1).await;
    }
    changes(server, line, people, 0..ROUNDS).await;
    for watching in all {
        watching.is_told(server, people, before).await;
    }
    let opened: Vec<_> = all.iter().map(|watching| watching.seen().opened).collect();
    line.cut();
    for (watching, opened) in all.iter().zip(opened) {
        until("it is back", async || watching.seen().opened > opened).await;
    }
    // What the return might repeat comes before these.
    changes(server, line, people, ROUNDS..ROUNDS + 2).await;
    for watching in all {
        watching.is_told(server, people, before).await;
        assert_eq!(watching.seen().snapshots, 1, "whoever comes back gets what they missed");
    }
}

async fn watch_stream(address: SocketAddr, who: Visitor, query: String, seen: Arc<Mutex<Seen>>) {
    let mut last = None::<String>;
    loop {
        let mut request = client().get(format!("http://{address}/api/presence/events{query}")).bearer_auth(&who.access);
        if let Some(last) = &last {
            request = request.header("last-event-id", last);
        }
        let Ok(mut stream) = Stream::of(request).await else { continue };
        seen.lock().unwrap().opened += 1;
        while let Some(event) = stream.next().await {
            let mut seen = seen.lock().unwrap();
            if event.event == "snapshot" {
                seen.snapshots += 1;
                event.data["presences"].as_array().unwrap().iter().for_each(|presence| seen.told.take(presence));
            } else {
                seen.told.take(&event.data);
            }
            last = Some(event.id);
        }
    }
}

#[tokio::test]
async fn a_socket_over_a_line_that_is_cut_misses_nothing() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let people = people(&server).await;
    let line = Line::to(server.address()).await;
    let watching = Watching::begin(|seen| watch_socket(line.address, admin.clone(), names(&people), seen));
    changes_are_told(&server, &line, &people, &[0; 3], &[watching]).await;
    assert_eq!(server.history(admin.id).await, ["offline->online"], "the watcher came back in time, each time");
}

async fn watch_socket(address: SocketAddr, who: Visitor, users: Vec<String>, seen: Arc<Mutex<Seen>>) {
    let mut at: Option<(Value, Value)> = None;
    let authorization = format!("Bearer {}", who.access);
    loop {
        let Ok(mut socket) = Socket::connect(address, "", Some(&authorization)).await else { continue };
        let mut watch = json!({"type": "watch", "users": users});
        if let Some((epoch, seq)) = &at {
            watch["epoch"] = epoch.clone();
            watch["seq"] = seq.clone();
        }
        seen.lock().unwrap().opened += 1;
        socket.say(watch);
        while let Some(frame) = socket.frame_if_any().await {
            let mut seen = seen.lock().unwrap();
            match frame["type"].as_str().unwrap() {
                "snapshot" => {
                    seen.snapshots += 1;
                    at = Some((frame["epoch"].clone(), frame["seq"].clone()));
                }
                "diff" => {
                    let (_, seq) = at.as_mut().unwrap();
                    assert!(frame["seq"].as_u64() >= seq.as_u64(), "numbers do not go back");
                    *seq = frame["seq"].clone();
                }
                _ => continue,
            }
            frame["presences"].as_array().unwrap().iter().for_each(|presence| seen.told.take(presence));
        }
    }
}

#[tokio::test]
async fn a_resume_sends_what_changed_and_nothing_else() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let people = people(&server).await;
    let mut users: Vec<_> = (1_000_000..1_000_997).map(|n| n.to_string()).collect();
    users.extend(names(&people));
    let mut socket = Socket::open(server.address(), &admin).await;
    socket.say(json!({"type": "watch", "users": users}));
    let snapshot = socket.frame().await;
    socket.vanish().await;
    pass(&server, secs(1)).await;
    people[1].logout().await;
    server.app().presently().settled().await.unwrap();

    let mut socket = Socket::open(server.address(), &admin).await;
    let resume = json!({"type": "watch", "users": users, "epoch": snapshot["epoch"], "seq": snapshot["seq"]});
    socket.say(resume);
    let diff = socket.frame().await;
    assert_eq!(diff["type"], "diff");
    assert_eq!(diff["presences"].as_array().unwrap().len(), 1);
    assert_eq!(diff["presences"][0]["user_id"], people[1].id.to_string());
    assert!(diff.to_string().len() * 20 < snapshot.to_string().len());
    socket.vanish().await;

    // Again from there: nothing, and it says so.
    let mut socket = Socket::open(server.address(), &admin).await;
    socket.say(json!({"type": "watch", "users": users, "epoch": snapshot["epoch"], "seq": diff["seq"]}));
    let nothing = socket.frame().await;
    assert_eq!(nothing, json!({"type": "diff", "seq": diff["seq"], "presences": []}));
}

#[tokio::test]
async fn another_life_of_the_server_is_a_snapshot() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let mut socket = Socket::open(server.address(), &admin).await;
    let before = socket.watch(&[admin.id]).await;
    let mut stream = Stream::open(server.address(), &admin, "?users=1").await;
    let id = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().id;
    server.restart().await;
    let mut socket = Socket::open(server.address(), &admin).await;
    socket.say(json!({"type": "watch", "users": ["1"], "epoch": before["epoch"], "seq": before["seq"]}));
    let after = socket.frame().await;
    assert_eq!(after["type"], "snapshot");
    assert_ne!(after["epoch"], before["epoch"]);
    let mut stream = Stream::open_after(server.address(), &admin, "?users=1", Some(&id)).await;
    assert_eq!(stream.snapshot().await.len(), 1);
}

#[tokio::test]
async fn a_line_that_doubles_every_connection_tells_nothing_twice_and_leaves_no_ghost() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let people = people(&server).await;
    let line = Line::to(server.address()).await;
    line.double();
    let query = format!("?users={}", names(&people).join(","));
    let stream = Watching::begin(|seen| watch_stream(line.address, admin.clone(), query, seen));
    let socket = Watching::begin(|seen| watch_socket(line.address, admin.clone(), names(&people), seen));
    let both = [stream, socket];
    changes_are_told(&server, &line, &people, &[0; 3], &both).await;
    drop(both);

    // Every socket was two sessions; all of them end with what carried them.
    line.cut();
    let sockets = || {
        let why = server.app().presently().explain(&admin.id.to_string());
        let sessions = why.map(|why| why.sessions).unwrap_or_default();
        sessions.iter().filter(|session| session.session.contains("/ws-")).count()
    };
    for _ in 0..30 {
        pass(&server, secs(1)).await;
        admin.beat().await;
    }
    until("no session of a socket is left", async || sockets() == 0).await;
}
