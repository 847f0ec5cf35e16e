//! People: accounts, who is signed in, and what they do.

use std::sync::Arc;

use presently_accounts::{AccountStatus, Draft, Role};
use reqwest::Method;
use serde_json::{Value, json};

use super::wire::Wire;
use super::{Answer, Call, Shown, TestServer, text};
use crate::PASSWORD;

impl TestServer {
    /// Makes an account, and returns its number.
    pub async fn account_with(&self, draft: Draft) -> i64 {
        let app = self.app();
        let now = jiff::Timestamp::from_microsecond(self.wall().0).expect("a sane time");
        let made = self.on_server(async move { app.accounts().create(draft, now, None).await }).await;
        made.expect("the account was made").id.0
    }

    /// Makes an ordinary account.
    pub async fn account(&self, username: &str) -> i64 {
        self.account_with(draft(username)).await
    }

    /// Makes an account in some state.
    pub async fn account_in(&self, username: &str, status: AccountStatus) -> i64 {
        self.account_with(Draft { status, ..draft(username) }).await
    }

    /// An admin, signed in.
    pub async fn admin(&self) -> Visitor {
        self.account_with(Draft { role: Role::Admin, ..draft("boss") }).await;
        self.login("boss").await
    }

    /// An ordinary user, signed in.
    pub async fn visitor(&self, username: &str) -> Visitor {
        self.account(username).await;
        self.login(username).await
    }

    /// Signs in somebody who has an account.
    pub async fn login(&self, username: &str) -> Visitor {
        let answer = self.try_login(username, PASSWORD).await.ok();
        Visitor::of(&self.wire, username, &answer)
    }

    /// Asks for a login.
    pub async fn try_login(&self, username: &str, password: &str) -> Answer {
        self.post("/api/auth/login/").json(json!({"username": username, "password": password})).await
    }

    /// Somebody who holds this token.
    pub fn bearing(&self, id: i64, username: &str, access: String) -> Visitor {
        let wire = Arc::clone(&self.wire);
        Visitor { wire, id, username: username.to_owned(), access, refresh: String::new(), user: Value::Null }
    }
}

/// Somebody who is signed in.
#[derive(Clone)]
pub struct Visitor {
    wire: Arc<Wire>,
    /// The number of the account.
    pub id: i64,
    /// Its name.
    pub username: String,
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
    /// USER, as the login told it.
    pub user: Value,
}

impl Visitor {
    fn of(wire: &Arc<Wire>, username: &str, answer: &Value) -> Self {
        Self {
            wire: Arc::clone(wire),
            id: answer["user"]["id"].as_i64().expect("the id is an integer"),
            username: username.to_owned(),
            access: text(&answer["tokens"]["access"]),
            refresh: text(&answer["tokens"]["refresh"]),
            user: answer["user"].clone(),
        }
    }

    /// A request of theirs.
    pub fn call(&self, method: Method, path: &str) -> Call {
        self.wire.call(method, path).bearer(&self.access)
    }

    /// A GET of theirs.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST of theirs, without a body.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// A PATCH of theirs.
    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    /// A PUT of theirs.
    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    /// A DELETE of theirs.
    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// A plain heartbeat that is accepted.
    pub async fn beat(&self) -> Value {
        self.post("/api/users/heartbeat/").await.ok()
    }

    /// A heartbeat with a body that is accepted.
    pub async fn beat_with(&self, body: Value) -> Value {
        self.post("/api/users/heartbeat/").json(body).await.ok()
    }

    /// Goodbye.
    pub async fn logout(&self) -> Value {
        self.post("/api/auth/logout/").await.ok()
    }

    /// What they are told of themselves, without being evidence.
    pub async fn own(&self) -> Shown {
        Shown::of(&self.get("/api/users/heartbeat/").await.ok())
    }

    /// As an admin: does something to a user.
    pub async fn act(&self, id: i64, act: &str) -> Value {
        self.post(&format!("/api/users/admin/users/{id}/{act}/")).await.ok()
    }

    /// As an admin: sets the status of a user.
    pub fn set(&self, id: i64, body: Value) -> Call {
        self.post(&format!("/api/users/admin/users/{id}/set-online-status/")).json(body)
    }

    /// Asserts that their token is good, without being evidence.
    pub async fn is_not_shut_out(&self) {
        self.get("/api/users/heartbeat/").await.ok();
    }

    /// Asserts that neither of their tokens opens anything.
    pub async fn is_shut_out(&self) {
        self.post("/api/users/heartbeat/").await.problem(401, "token_not_valid");
        self.get("/api/auth/profile/").await.problem(401, "token_not_valid");
        if !self.refresh.is_empty() {
            let refresh = self.wire.call(Method::POST, "/api/auth/refresh/").json(json!({"refresh": self.refresh}));
            refresh.await.problem(401, "token_not_valid");
        }
    }
}

/// A draft of an ordinary account.
pub fn draft(username: &str) -> Draft {
    Draft {
        username: username.to_owned(),
        email: format!("{username}@example.org"),
        password: PASSWORD.to_owned(),
        first_name: "Ada".to_owned(),
        last_name: "Byron".to_owned(),
        ..Draft::default()
    }
}
