//! An application, and what is seen of the users that it touches.

use std::path::PathBuf;

use presently::Presence;
use presently_accounts::store::AccountStore;
use presently_accounts::{Accounts, SecretKey, Settings as AccountSettings};
use presently_sql::{OpenOptions, SqliteStores};
use presently_testkit::http::{Answer, Call, TestServer, Visitor, text};
use presently_testkit::{eventually, secs};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) const TOUCH: &str = "/api/presence/touch";
pub(crate) const KEYS: &str = "/api/users/admin/api-keys/";

/// The back end of an application.
pub(crate) struct Application {
    pub(crate) id: i64,
    pub(crate) key: String,
}

impl Application {
    /// One with a key that an admin made.
    pub(crate) async fn made_by(admin: &Visitor, name: &str) -> Self {
        let made = admin.post(KEYS).json(json!({"name": name})).await.is(201);
        Self { id: made["id"].as_i64().unwrap(), key: text(&made["key"]) }
    }

    /// One with a key, without an admin.
    pub(crate) async fn of(server: &TestServer, name: &str) -> Self {
        let (app, name) = (server.app(), name.to_owned());
        let now = jiff::Timestamp::from_microsecond(server.wall().0).unwrap();
        let made = server.on_server(async move { app.accounts().make_key(&name, now, None).await }).await.unwrap();
        Self { id: made.key.id.0, key: made.text }
    }

    /// A request of theirs.
    pub(crate) fn call(&self, server: &TestServer, method: Method, path: &str) -> Call {
        server.call(method, path).bearer(&self.key)
    }

    /// Touches, with whatever answer.
    pub(crate) async fn try_touch(&self, server: &TestServer, users: impl Into<Value>) -> Answer {
        self.call(server, Method::POST, TOUCH).json(json!({"users": users.into()})).await
    }

    /// Touches, and all are taken.
    pub(crate) async fn touch(&self, server: &TestServer, users: Vec<Value>) {
        let taken = json!({"accepted": users.len(), "rejected": []});
        assert_eq!(self.try_touch(server, users).await.ok(), taken);
    }
}

/// One user in a touch.
pub(crate) fn heard(user: impl ToString) -> Value {
    json!({"user_id": user.to_string()})
}

/// The presence of a user with any name.
pub(crate) async fn presence(server: &TestServer, user: &str) -> Presence {
    let (app, user) = (server.app(), user.to_owned());
    server.on_server(async move { app.presently().presence(&user).await }).await.unwrap()
}

/// The status of a user with any name.
pub(crate) async fn status(server: &TestServer, user: &str) -> &'static str {
    presence(server, user).await.status.as_str()
}

/// The names of the sessions of a user.
pub(crate) fn sessions(server: &TestServer, user: &str) -> Vec<String> {
    let explained = server.app().presently().explain(user);
    explained.into_iter().flat_map(|explained| explained.sessions).map(|s| s.session.to_string()).collect()
}

/// The file that the server keeps everything in.
pub(crate) fn database(server: &TestServer) -> PathBuf {
    presently_server::sqlite_path(&server.app().settings().database_url).unwrap()
}

/// The accounts as another process sees them, on the same database.
pub(crate) async fn another_process(server: &TestServer) -> (SqliteStores, Accounts) {
    let stores = SqliteStores::open(database(server), OpenOptions::default()).await.unwrap();
    let store: std::sync::Arc<dyn AccountStore> = std::sync::Arc::new(stores.clone());
    let settings = AccountSettings::new(SecretKey::random());
    (stores, Accounts::new(store, settings))
}

/// Waits until a request of the application is refused, for a second.
pub(crate) async fn is_refused_within_a_second(server: &TestServer, application: &Application) {
    eventually(secs(1), "the key is refused", async || {
        let answer = application.try_touch(server, json!([])).await;
        let is_refused = answer.status == 401;
        if is_refused {
            answer.problem(401, "token_not_valid");
        }
        is_refused
    })
    .await;
}
