//! Presence that is pushed, and presence for applications, over real connections.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod ask;
mod events;
mod limits;
mod line;
mod privacy;
mod resume;
mod rights;
mod sessions;
mod shutdown;
mod sockets;
mod tickets;
