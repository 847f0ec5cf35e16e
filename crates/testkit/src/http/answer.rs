//! Answers, and the conventions that each of them keeps.

use presently::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::documented;
use crate::secs;

/// An answer that keeps the conventions.
#[derive(Debug)]
pub struct Answer {
    what: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// An answer, which ends the test when it breaks a convention.
    pub(super) fn that_keeps_the_conventions(what: String, status: u16, headers: HeaderMap, text: String) -> Self {
        let answer = Self { what, status, headers, text };
        answer.keeps_the_conventions();
        answer
    }

    /// A header, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{} is no JSON ({error})", self.show()))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.show());
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        self.is(200)
    }

    /// The body of an error with this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.is(status);
        assert_eq!(body["code"], code, "{}", self.show());
        body
    }

    /// The body of a 400 that names this field.
    #[track_caller]
    pub fn names_field(&self, field: &str) -> Value {
        let body = self.is(400);
        let sentences = body["errors"][field].as_array();
        let sentences = sentences.unwrap_or_else(|| panic!("{} does not name {field}", self.show()));
        assert!(!sentences.is_empty(), "{}", self.show());
        assert!(sentences.iter().all(|s| s.as_str().is_some_and(|s| !s.is_empty())), "{}", self.show());
        body
    }

    fn show(&self) -> String {
        let mut text = self.text.clone();
        text.truncate(text.char_indices().nth(600).map_or(text.len(), |(at, _)| at));
        format!("{} -> {} {text}", self.what, self.status)
    }

    #[track_caller]
    fn keeps_the_conventions(&self) {
        let show = self.show();
        assert!(self.status < 500 || self.status == 503, "no 5xx: {show}");
        assert!(!(300..400).contains(&self.status), "no redirect: {show}");
        documented::check(&self.what, self.status, &show);
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "X-Request-Id: {show}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "nosniff: {show}");
        if self.status < 400 {
            if let Ok(body) = serde_json::from_str(&self.text) {
                check_times(&body, &show);
            }
            return;
        }
        let head = self.what.starts_with("HEAD ");
        if !head {
            check_problem(self.header("content-type").unwrap_or_default(), self.status, &self.text, &show);
        }
        match self.status {
            401 => {
                let challenge = self.header("www-authenticate").unwrap_or_default();
                assert!(challenge.starts_with("Bearer"), "WWW-Authenticate: {show}");
            }
            405 => assert!(self.header("allow").is_some_and(|allow| !allow.is_empty()), "Allow: {show}"),
            429 | 503 => {
                let wait = self.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                assert!(wait.is_some_and(|seconds| seconds >= 1), "Retry-After: {show}");
            }
            _ => {}
        }
    }
}

/// What came back over a bare connection.
#[derive(Debug)]
pub struct RawAnswer {
    /// Zero when nothing came back.
    pub status: u16,
    /// The head in small letters.
    pub head: String,
    /// What comes after it.
    pub body: String,
}

impl RawAnswer {
    /// Reads until the server closes or falls silent.
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16_384];
        while let Ok(Ok(read)) = tokio::time::timeout(secs(2), stream.read(&mut buffer)).await {
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..read]);
            if Self::parse(&bytes).is_complete() {
                break;
            }
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn is_complete(&self) -> bool {
        let length = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        length.is_some_and(|length| self.body.len() >= length)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Asserts that this is an error in the one shape.
    #[track_caller]
    pub fn is_a_problem(&self, what: &str) {
        let show = format!("{what:?} -> {self:?}");
        assert!((400..500).contains(&self.status), "a 4xx: {show}");
        check_problem(self.header("content-type").unwrap_or_default(), self.status, &self.body, &show);
    }
}

#[track_caller]
fn check_problem(content_type: &str, status: u16, body: &str, show: &str) {
    assert!(content_type.starts_with("application/problem+json"), "problem+json, not {content_type:?}: {show}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("a JSON problem ({error}): {show}"));
    assert_eq!(body["status"], status, "status: {show}");
    for key in ["type", "title", "detail", "error", "code"] {
        assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {show}");
    }
    assert_eq!(body["detail"], body["error"], "error is detail: {show}");
    let code = body["code"].as_str().unwrap_or_default();
    let snake = code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    assert!(snake, "code is snake_case: {show}");
    if let Some(errors) = body.get("errors") {
        let fields = errors.as_object().unwrap_or_else(|| panic!("errors is an object: {show}"));
        let lists = fields.values().all(|list| list.as_array().is_some_and(|list| list.iter().all(Value::is_string)));
        assert!(lists, "errors are lists of sentences: {show}");
    }
}

/// Every time in an answer looks as times look on the wire.
#[track_caller]
fn check_times(body: &Value, show: &str) {
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_time = name.ends_with("_at") || matches!(name.as_str(), "last_seen" | "join_date" | "since");
                match value {
                    Value::String(text) if is_time => assert!(is_wire_time(text), "{name} is a time: {show}"),
                    _ => check_times(value, show),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| check_times(value, show)),
        _ => {}
    }
}

fn is_wire_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok_and(|at| rfc3339(Timestamp(at.as_microsecond())) == text)
}

/// A time as it looks on the wire.
pub fn rfc3339(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).expect("a sane time");
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Asserts that this is a time as times are on the wire.
#[track_caller]
pub fn assert_time(value: &Value) {
    assert!(value.as_str().is_some_and(is_wire_time), "RFC 3339 in UTC with Z and microseconds: {value}");
}

/// The text of a JSON string.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_owned()
}

/// The keys of an object, sorted.
#[track_caller]
pub fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The element of a list that has this `id`.
#[track_caller]
pub fn find(list: &Value, id: i64) -> Option<Value> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} is a list"));
    let found: Vec<_> = list.iter().filter(|user| user["id"] == id).collect();
    assert!(found.len() <= 1, "user {id} is listed once");
    found.first().map(|user| (*user).clone())
}

/// The usernames of a list, in its order.
#[track_caller]
pub fn usernames(list: &Value) -> Vec<String> {
    list.as_array().unwrap_or_else(|| panic!("{list} is a list")).iter().map(|user| text(&user["username"])).collect()
}
