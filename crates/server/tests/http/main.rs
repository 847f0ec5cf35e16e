//! The server over HTTP, laid out like its URLs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod auth;
mod conventions;
mod operations;
mod panel;
mod routes;
mod rules;
mod users;
