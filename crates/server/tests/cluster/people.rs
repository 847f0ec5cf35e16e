//! Users, and what they do all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use presently_testkit::ms;
use presently_testkit::process::{Way, micros};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long a client waits for the answer to a heartbeat before it tries the next node.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);

/// Somebody with a login.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) token: String,
}

/// By which node a heartbeat goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// By the same one, while that answers.
    Stays,
    /// By another one each time.
    Wanders,
}

/// Heartbeats of one user, as a client sends them that tries the next node when one does not answer.
pub(crate) struct Beating {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Beaten>,
}

/// What became of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beaten {
    /// How many were acknowledged.
    pub(crate) count: u64,
    /// The longest time between two that were, or between the last one and the end.
    pub(crate) gap: Duration,
    /// The last seen that was acknowledged last, in microseconds.
    pub(crate) last_seen: i64,
}

impl Beating {
    /// Begins with the first of these ways.
    pub(crate) fn begin(who: &Person, ways: Vec<Way>, route: Route, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(beat(who.clone(), ways, route, every, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Ends after the heartbeat that is under way.
    pub(crate) async fn end(self) -> Beaten {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every answer was one that a client can go on with")
    }
}

async fn beat(who: Person, ways: Vec<Way>, route: Route, every: Duration, stop: Arc<AtomicBool>) -> Beaten {
    let mut beaten = Beaten { count: 0, gap: Duration::ZERO, last_seen: 0 };
    let (mut place, mut last) = (0, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let way = &ways[place % ways.len()];
        let answer =
            timeout(ANSWER_WITHIN, way.send("POST", "/api/users/heartbeat/", &who.token, Some(json!({})))).await;
        match answer {
            Ok(Ok((200, told))) => {
                assert_eq!(told["online_status"], "online", "{}: {told}", who.name);
                let seen = micros(told["last_seen"].as_str().expect("a time"));
                beaten.last_seen = beaten.last_seen.max(seen);
                beaten.count += 1;
                beaten.gap = beaten.gap.max(last.elapsed());
                last = Instant::now();
                place += usize::from(route == Route::Wanders);
                sleep(every).await;
            }
            // It stops, is cut off from what it would have to read, or is gone.
            Ok(Ok((503, _)) | Err(_)) | Err(_) => {
                place += 1;
                sleep(ms(50)).await;
            }
            Ok(Ok((status, told))) => panic!("{} by {}: {status}: {told}", who.name, way.address()),
        }
    }
    beaten.gap = beaten.gap.max(last.elapsed());
    beaten
}
