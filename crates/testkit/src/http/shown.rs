//! What is shown of a user, which must be the same on every surface.

use presently::store::TransitionRow;
use presently::{Status, Timestamp};
use serde_json::Value;

use super::{TICK, TestServer, Visitor, find, text};

impl TestServer {
    /// What every surface says of a user, which must be one and the same.
    pub async fn shown(&self, watcher: &Visitor, id: i64) -> Shown {
        let one = watcher.get(&format!("/api/users/admin/users/{id}/online-status/")).await.ok();
        let truth =
            Shown { status: text(&one["online_status"]), last_seen: one["last_seen"].as_str().map(ToOwned::to_owned) };
        assert_eq!(one["user_id"], id, "online-status names the user");

        let online = watcher.get("/api/users/admin/users/online/").await.ok();
        let listed = find(&online["online_users"], id).map(|user| Shown::of(&user));
        let expected = (truth.status == "online").then(|| truth.clone());
        assert_eq!(listed, expected, "the online list and online-status agree about user {id}");

        let all = watcher.get("/api/users/all-users/").await.ok();
        let user = find(&all["users"], id).expect("all-users has everybody");
        assert_eq!(Shown::of(&user), truth, "all-users and online-status agree about user {id}");

        let detail = watcher.get(&format!("/api/users/admin/users/{id}/")).await;
        if detail.status == 200 {
            let detail = detail.json();
            assert_eq!(Shown::of(&detail), truth, "the account and online-status agree about user {id}");
            let page = watcher.get("/api/users/admin/users/?per_page=1000").await.ok();
            let user = find(&page["results"], id).expect("the list has everybody");
            assert_eq!(Shown::of(&user), truth, "the list and online-status agree about user {id}");
            for status in ["online", "away", "offline"] {
                let path = format!("/api/users/admin/users/?per_page=1000&online_status={status}");
                let filtered = watcher.get(&path).await.ok();
                let there = find(&filtered["results"], id).is_some();
                assert_eq!(there, status == truth.status, "the list of those {status} is right about user {id}");
            }
        }
        truth
    }

    /// The changes of a user's status so far, as `from->to`.
    pub async fn history(&self, id: i64) -> Vec<String> {
        self.settled().await;
        let app = self.app();
        let rows = self.on_server(async move {
            app.presently().transitions(&id.to_string(), Timestamp(0), Timestamp(i64::MAX), 10_000).await
        });
        let mut rows = rows.await.expect("the history can be read");
        if self.nodes().len() > 1 {
            // Lines of several nodes are in the order of their clocks, and these stand: what happens now is told of now, or, when it must be
            // later than evidence of now, of a microsecond later.
            rows.chunk_by_mut(|one, next| next.at <= one.at + TICK).fold(None, in_turn);
        }
        rows.iter().map(|row| format!("{}->{}", row.from.as_str(), row.to.as_str())).collect()
    }
}

/// Puts lines in an order in which each begins where the one before ended, if there is one. Returns where the last one ends.
fn in_turn(last: Option<Status>, lines: &mut [TransitionRow]) -> Option<Status> {
    fn fits(last: Option<Status>, lines: &mut [TransitionRow]) -> bool {
        if lines.is_empty() {
            return true;
        }
        let mut tried = Vec::new();
        for next in 0..lines.len() {
            let (from, to) = (lines[next].from, lines[next].to);
            if last.is_some_and(|last| last != from) || tried.contains(&(from, to)) {
                continue;
            }
            tried.push((from, to));
            lines.swap(0, next);
            if fits(Some(to), &mut lines[1..]) {
                return true;
            }
            lines.swap(0, next);
        }
        false
    }
    fits(last, lines);
    lines.last().map(|line| line.to)
}

/// What is shown of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The status.
    pub status: String,
    /// The last seen, as on the wire.
    pub last_seen: Option<String>,
}

impl Shown {
    /// What an answer shows of a user.
    pub fn of(value: &Value) -> Self {
        Self { status: text(&value["online_status"]), last_seen: value["last_seen"].as_str().map(ToOwned::to_owned) }
    }

    /// With a `last_seen`.
    pub fn at(status: &str, last_seen: &str) -> Self {
        Self { status: status.to_owned(), last_seen: Some(last_seen.to_owned()) }
    }

    /// Never heard of.
    pub fn never(status: &str) -> Self {
        Self { status: status.to_owned(), last_seen: None }
    }
}
