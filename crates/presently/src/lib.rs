//! Presence for any program: whoever is heard is online, whoever is silent is not, and everybody who asks gets one truth.
//!
//! ```
//! use std::sync::Arc;
//!
//! use presently::clock::SystemClock;
//! use presently::memory::MemoryStore;
//! use presently::{Config, EndReason, Presently, Status, Told};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let presently = Presently::open(Config::default(), Arc::new(MemoryStore::new()), SystemClock::new()).await?;
//! let mut transitions = presently.subscribe();
//!
//! // Whatever is heard of a user is evidence: a request, a heartbeat, a frame of a socket.
//! presently.evidence("alice", "laptop", None, || true)?;
//! presently.evidence("alice", "phone", None, || true)?;
//! assert!(presently.is_online("alice").await?);
//!
//! // One of two sessions ends: the user is still there.
//! presently.end_session("alice", "phone", EndReason::Logout).await?;
//! assert!(presently.is_online("alice").await?);
//!
//! let gone = presently.end_session("alice", "laptop", EndReason::Logout).await?;
//! assert_eq!(gone.status, Status::Offline);
//!
//! // Everybody who watches hears of it once, in order.
//! for expected in [Status::Online, Status::Offline] {
//!     let Some(Told::Transition(transition)) = transitions.next().await else { panic!("nobody told") };
//!     assert_eq!(transition.to, expected);
//! }
//! presently.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The pure rules are `presently_core`'s; this crate gives them a clock, threads and a [`Store`](store::Store):
//!
//! - `shard`, `shared`, `acts`, `reads`: the engines behind their locks, what changes them and what asks them
//! - `outbox`: the way of a decision to the store and to the subscribers
//! - `sweeper`, `listener`, `upkeep`, `compare`: what happens every 100 ms, every second, every minute
//! - `evidence`, `restore`: what a restart finds
//! - `privacy`, `veil`, `watch`: who may see whom, and telling those who watch
//! - [`store`], [`clock`], [`bus`]: the ports; [`memory`] a store without a disk
//!
//! The axum example `embed` shows it in a web server, with [`PresenceLayer`].

mod acts;
pub mod bus;
pub mod clock;
mod cluster;
mod compare;
mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod evidence;
mod handle;
mod layer;
mod listener;
pub mod memory;
mod metrics;
mod newest;
mod outbox;
mod pace;
mod privacy;
mod reads;
mod restore;
mod shard;
mod shared;
pub mod store;
mod sweeper;
mod task;
mod upkeep;
mod veil;
mod watch;

pub use acts::{APPLICATION, Beat, Hearing};
pub use config::{Config, Error, Stats};
pub use handle::Presently;
pub use layer::{PresenceLayer, PresenceService};
pub use presently_core::{
    Activity, Counts, EndReason, Explanation, HeldRow, Limits, Now, OverrideRow, OverrideView, Policy, PolicyError,
    Presence, PresenceRow, Reason, Rejected, SessionId, SessionNumber, SessionRow, SessionView, Source, Status, Tick,
    Timestamp, Transition, UserId,
};
pub use privacy::{Viewer, Visibility};
pub use watch::{Diff, Epoch, NoPosition, Position, Resumed, Snapshot, Told, Transitions, WatchError, Watcher};
