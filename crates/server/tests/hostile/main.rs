//! The program as those meet it who mean it ill: connections, bodies, floods. Real processes, real sockets, real time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod bodies;
mod connections;
mod cost;
mod descriptors;
mod files;
mod logins;
mod operations;
mod raw;
mod readers;
mod secrets;
mod websocket;
