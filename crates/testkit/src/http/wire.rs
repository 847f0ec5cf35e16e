//! The way to the server: requests, and bare connections.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::nodes::{Node, Nodes, agree};
use super::{Answer, RawAnswer, TestServer, documented};
use crate::{client, secs};

impl TestServer {
    /// A request without credentials.
    pub fn call(&self, method: Method, path: &str) -> Call {
        self.wire.call(method, path)
    }

    /// A GET without credentials.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST without credentials and without a body.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Sends bytes as they are, and returns what came back until the server closed or fell silent.
    pub async fn raw(&self, bytes: &[u8]) -> RawAnswer {
        let mut stream = TcpStream::connect(self.address()).await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        RawAnswer::read(&mut stream).await
    }
}

/// The way to the server: of several nodes, to each in turn.
pub(super) struct Wire {
    nodes: Mutex<Nodes>,
    next: AtomicUsize,
    to_one: AtomicBool,
    http: reqwest::Client,
}

impl Default for Wire {
    fn default() -> Self {
        let http = client()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(secs(60))
            .user_agent("presently-tests/1.0")
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Self { nodes: Mutex::new(Nodes::default()), next: AtomicUsize::new(0), to_one: AtomicBool::new(false), http }
    }
}

impl Wire {
    /// The server is there from now on.
    pub(super) fn leads_to(&self, nodes: Vec<Node>) {
        *self.nodes.lock().expect("unpoisoned") = nodes.into();
    }

    /// The server is gone.
    pub(super) fn leads_nowhere(&self) {
        self.leads_to(Vec::new());
    }

    /// From now on to one node.
    pub(super) fn leads_to_one(&self) {
        self.to_one.store(true, Ordering::Relaxed);
    }

    pub(super) fn nodes(&self) -> Nodes {
        Arc::clone(&self.nodes.lock().expect("unpoisoned"))
    }

    pub(super) fn address(&self) -> SocketAddr {
        let turn = if self.to_one.load(Ordering::Relaxed) { 0 } else { self.next.fetch_add(1, Ordering::Relaxed) };
        let nodes = self.nodes();
        nodes[turn % nodes.len()].address
    }

    pub(super) fn call(&self, method: Method, path: &str) -> Call {
        let what = format!("{method} {path}");
        let request = self.http.request(method, format!("http://{}{path}", self.address()));
        Call { request, what, nodes: self.nodes() }
    }
}

/// A request that is sent when it is awaited.
pub struct Call {
    request: reqwest::RequestBuilder,
    what: String,
    nodes: Nodes,
}

impl Call {
    /// With a token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a header that is not text.
    pub fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a JSON body, and saying so.
    pub fn json(self, body: impl Into<Value>) -> Self {
        self.json_text(&body.into().to_string())
    }

    /// With a JSON body that may be none.
    pub fn json_text(self, body: &str) -> Self {
        self.header("content-type", "application/json").raw(body)
    }

    /// With a body of these bytes, without a word on what they are.
    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body: Vec<u8> = body.into();
        self.request = self.request.body(body);
        self
    }

    /// The answer, without any expectation but that it is one.
    async fn send(self) -> Answer {
        let Self { request, what, nodes } = self;
        agree(&nodes).await;
        let response = request.send().await.unwrap_or_else(|error| panic!("{what} got no answer: {error}"));
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap_or_else(|error| panic!("{what} broke off: {error}"));
        Answer::that_keeps_the_conventions(what, status, headers, text)
    }

    /// The status alone, without waiting for a body that may never end.
    pub async fn status(self) -> u16 {
        let Self { request, what, nodes } = self;
        agree(&nodes).await;
        let answer = request.send().await.unwrap_or_else(|error| panic!("{what} got no answer: {error}"));
        let status = answer.status().as_u16();
        documented::check(&what, status, "its body was not read");
        status
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
