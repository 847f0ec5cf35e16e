//! What the back ends of applications may, and what it does: API keys and touch.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod command;
#[allow(dead_code, unused_imports, reason = "what other tests need of it")]
#[path = "../http/harness/mod.rs"]
mod harness;
mod helpers;
mod keys;
mod surfaces;
mod touch;
mod touch_refusals;
