//! The calls that the checklist makes. **Each has a time limit, and an answer that is no answer is a sentence.**

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Everybody's clients ask this, so whatever stands before the server lets it through.
const ASKED_FIRST: &str = "/api/auth/profile/";
/// More than the test users that one run makes.
const FOUND_MAX: usize = 1000;

/// A server, as seen from here.
pub(super) struct Client {
    base: String,
    pub(super) http: reqwest::Client,
}

/// Somebody who can sign in.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: i64,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) token: String,
}

/// What is shown of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) status: String,
    pub(super) last_seen: Option<jiff::Timestamp>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.last_seen {
            Some(moment) => write!(f, "{}, last seen {moment:.3}", self.status),
            None => write!(f, "{}, never seen", self.status),
        }
    }
}

impl Shown {
    pub(super) fn of(value: &Value) -> Self {
        Self {
            status: value["online_status"].as_str().unwrap_or("nothing").to_owned(),
            last_seen: value["last_seen"].as_str().and_then(|text| text.parse().ok()),
        }
    }
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(format!("{url:?} is no address; write for example http://localhost:8000"));
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("cannot make a client: {error}"))?;
        Ok(Self { base, http })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `ws://` for `http://`, `wss://` for `https://`.
    pub(super) fn socket_url(&self, path: &str) -> String {
        format!("ws{}{path}", self.base.strip_prefix("http").unwrap_or(&self.base))
    }

    pub(super) fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    pub(super) async fn send(request: RequestBuilder) -> Result<Response, String> {
        request.timeout(CALL_TIMEOUT).send().await.map_err(|error| format!("no answer: {}", cause(&error)))
    }

    /// Whether a Presently answers there, looked at without credentials and without making anything.
    pub(super) async fn answers(&self) -> Result<(), String> {
        let response = Self::send(self.request(Method::GET, ASKED_FIRST, "")).await?;
        let status = response.status();
        let told: Value = response.json().await.unwrap_or_default();
        if status == StatusCode::UNAUTHORIZED && told["code"] == "not_authenticated" {
            return Ok(());
        }
        Err(format!(
            "what answers there is no Presently: GET {ASKED_FIRST} without a token answered {status}, not 401 not_authenticated"
        ))
    }

    /// A call that must succeed.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Result<Value, String> {
        let request = self.request(method.clone(), path, token);
        let response = Self::send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await?;
        let status = response.status();
        let text = response.text().await.map_err(|error| format!("{method} {path} broke off: {error}"))?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        Err(format!("{method} {path} answered {status}: {}", value["detail"].as_str().unwrap_or("nothing readable")))
    }

    pub(super) async fn get(&self, path: &str, by: &Person) -> Result<Value, String> {
        self.call(Method::GET, path, &by.token, None).await
    }

    pub(super) async fn post(&self, path: &str, by: &Person, body: Value) -> Result<Value, String> {
        self.call(Method::POST, path, &by.token, Some(body)).await
    }

    pub(super) async fn login(&self, username: &str, password: &str) -> Result<Person, String> {
        let body = json!({"username": username, "password": password});
        let answer = self.call(Method::POST, "/api/auth/login/", "", Some(body)).await?;
        Ok(Person {
            id: answer["user"]["id"].as_i64().ok_or("a login without an id")?,
            username: username.to_owned(),
            password: password.to_owned(),
            token: answer["tokens"]["access"].as_str().ok_or("a login without a token")?.to_owned(),
        })
    }

    /// Makes a user, who is not signed in.
    pub(super) async fn make(&self, admin: &Person, username: &str, password: &str) -> Result<Person, String> {
        let body = json!({"username": username, "password": password});
        let made = self.post("/api/users/admin/users/", admin, body).await?;
        Ok(Person {
            id: made["id"].as_i64().ok_or("a user without an id")?,
            username: username.to_owned(),
            password: password.to_owned(),
            token: String::new(),
        })
    }

    /// Removes whoever is called so.
    pub(super) async fn remove_all(&self, admin: &Person, prefix: &str) -> Result<(), String> {
        let found = self.get(&format!("/api/users/admin/users/?per_page={FOUND_MAX}&search={prefix}"), admin).await?;
        let mut done = Ok(());
        for user in found["results"].as_array().into_iter().flatten() {
            let (Some(id), Some(name)) = (user["id"].as_i64(), user["username"].as_str()) else { continue };
            if name.starts_with(prefix) {
                let path = format!("/api/users/admin/users/{id}/");
                done = self.call(Method::DELETE, &path, &admin.token, None).await.map(|_| ()).and(done);
            }
        }
        done
    }

    pub(super) async fn shown(&self, admin: &Person, id: i64) -> Result<Shown, String> {
        let path = format!("/api/users/admin/users/{id}/online-status/");
        Ok(Shown::of(&self.get(&path, admin).await?))
    }
}

/// What is beneath an error: the outermost one only says that a request failed.
fn cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}
