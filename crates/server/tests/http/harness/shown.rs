//! What is shown of a user, which must be the same on every surface.

use presently::Timestamp;
use serde_json::Value;

use super::{TestServer, Visitor, find, text};

impl TestServer {
    /// What every surface says of a user, which must be one and the same.
    pub(crate) async fn shown(&self, watcher: &Visitor, id: i64) -> Shown {
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
    pub(crate) async fn history(&self, id: i64) -> Vec<String> {
        let app = self.app();
        let rows = self.on_server(async move {
            let presently = app.presently();
            presently.settled().await?;
            presently.transitions(&id.to_string(), Timestamp(0), Timestamp(i64::MAX), 10_000).await
        });
        let rows = rows.await.expect("the history can be read");
        rows.iter().map(|row| format!("{}->{}", row.from.as_str(), row.to.as_str())).collect()
    }
}

/// What is shown of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) status: String,
    pub(crate) last_seen: Option<String>,
}

impl Shown {
    /// What an answer shows of a user.
    pub(crate) fn of(value: &Value) -> Self {
        Self { status: text(&value["online_status"]), last_seen: value["last_seen"].as_str().map(ToOwned::to_owned) }
    }

    /// With a `last_seen`.
    pub(crate) fn at(status: &str, last_seen: &str) -> Self {
        Self { status: status.to_owned(), last_seen: Some(last_seen.to_owned()) }
    }

    /// Never heard of.
    pub(crate) fn never(status: &str) -> Self {
        Self { status: status.to_owned(), last_seen: None }
    }
}
