//! What the back ends of applications may, and what it does: API keys and touch.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod command;
mod helpers;
mod keys;
mod surfaces;
mod touch;
mod touch_refusals;
