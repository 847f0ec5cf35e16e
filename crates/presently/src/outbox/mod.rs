//! The way of a decision to the store and to everybody who is told. **Everything leaves in the order of decisions.**
//!
//! - `entry`: one thing that was decided, to keep or to tell
//! - `queue`: what was decided and not taken up yet, and what the store does not have
//! - `coalescer`, `user_rows`: what waits for the store, at most one row a key
//! - `writer`: the one task that writes and announces
//! - `ttl_map`: what happened a moment ago

pub(crate) mod coalescer;
pub(crate) mod entry;
pub(crate) mod queue;
mod ttl_map;
mod user_rows;
pub(crate) mod writer;
