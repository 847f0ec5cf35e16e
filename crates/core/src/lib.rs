//! The presence engine: who is online, as a state machine that performs no I/O.
//!
//! Feed it what happened with [`Engine::apply`], wake it with [`Engine::sweep`] no later than [`Engine::next_deadline`],
//! and carry out the [`Effect`]s it returns, in order. Time is always an argument.
//!
//! ```
//! use presently_core::{Effect, Engine, Input, Limits, Now, Policy, Reason, Status, Tick, Timestamp};
//!
//! let at = |seconds: u64| Now {
//!     tick: Tick(seconds * 1_000_000),
//!     wall: Timestamp(1_790_000_000_000_000 + seconds as i64 * 1_000_000),
//! };
//! let mut engine = Engine::new(Policy::default(), Limits::default(), 7, 1, 1);
//!
//! // The first evidence opens a session and brings the user online: there is something to keep, and somebody to tell.
//! let effects = engine.apply(at(0), Input::Evidence { user: "alice", session: "phone", activity: None })?;
//! assert!(matches!(&effects[..], [Effect::OpenSession(_), Effect::Announce(change)] if change.to == Status::Online));
//!
//! // From then on a heartbeat moves a deadline, and that is all it does.
//! assert!(engine.renew(at(30), "alice", "phone", None));
//! assert!(engine.sweep(at(149), 1000).is_empty());
//!
//! // Silence ends at the deadline, and the last evidence stays the last evidence.
//! let effects = engine.sweep(at(150), 1000);
//! let Some(Effect::Announce(change)) = effects.last() else { panic!("nothing was announced") };
//! assert_eq!((change.to, change.reason, change.last_seen), (Status::Offline, Reason::Expired, Some(at(30).wall)));
//! assert_eq!(engine.presence("alice"), None);
//! # Ok::<(), presently_core::Rejected>(())
//! ```
//!
//! The callers' part: apply what was known before a restart ([`Input::Restore`]) before anything else of a user; keep what
//! [`Engine::drain_evidence`] hands over; answer from the store for users who are not in memory (they are offline).
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod cluster;
mod effect;
mod engine;
mod input;
mod policy;
mod status;
#[cfg(test)]
mod tests;
mod time;

pub use effect::{Effect, Effects, HeldRow, OverrideRow, PresenceRow, SessionRow, Transition};
pub use engine::{Counts, Engine, Explanation, OverrideView, SessionView};
pub use input::{EndReason, Input, Rejected, RestoredOverride, RestoredSession, RestoredUser};
pub use policy::{Limits, Policy, PolicyError};
pub use status::{Activity, Presence, Reason, Source, Status};
pub use time::{Now, Tick, Timestamp};

/// The name of a user: an opaque string of 1 to [`Limits::ID_BYTES_MAX`] bytes; short ones (24 bytes) are stored inline.
pub type UserId = compact_str::CompactString;

/// The name of a session within its user: the login (`"9f…"`), or a part of a login (`"9f…/tab-7"`).
///
/// Ending a login ends its parts too; see [`Input::EndSession`].
pub type SessionId = compact_str::CompactString;

/// A number for a live session that stays the same across restarts and is never used twice by one store.
pub type SessionNumber = u64;
