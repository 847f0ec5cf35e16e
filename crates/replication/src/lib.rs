//! A node's part in a group: what it proposes, whom it knows, and what it takes up when it joins. **Nothing here performs I/O, and time
//! is an argument**: the driver in `presently` carries out what follows.
//!
//! - [`Command`], [`Frame`], [`Word`]: what goes through the log
//! - [`Proposals`], [`Journal`]: what this node wants decided, repeated until it is followed once; what it decided partitioned
//! - [`View`], [`Followed`]: who takes part at a place of the log, and what an entry asks for there
//! - [`Incoming`], [`snapshot`], [`Former`]: joining: the log while the snapshot is on its way, its bytes, and what to reassert
//!
//! ```
//! use presently_core::cluster::{Act, Node};
//! use presently_core::{Tick, Timestamp};
//! use presently_replication::{Command, Followed, Proposal, Proposals, Step, Word};
//!
//! let me = Node(1);
//! let mut followed = Followed::default();
//! followed.view.found(me, []);
//! let mut proposals = Proposals::<&str>::default();
//! proposals.open();
//! let command = Command::Act(Act::Bar { user: "alice".into() });
//! let proposal = Proposal { completion: Some("asked by an admin"), ..Proposal::new(command, Timestamp(7), Tick(7)) };
//! assert!(proposals.push(proposal).is_ok());
//!
//! // Into the log, and out of it at place 41. The append's reply was lost, so it is there once more at 42.
//! let frames = proposals.take(me);
//! let Word::Entry(frame) = Word::read(41, &frames[0]) else { panic!("it was just written") };
//! assert_eq!(followed.admit(me, &frame.entry), Ok(Step::User));
//! assert_eq!(proposals.followed(&frame.entry).found.and_then(|mine| mine.completion), Some("asked by an admin"));
//! let Word::Entry(frame) = Word::read(42, &frames[0]) else { panic!("it was just written") };
//! assert_eq!(followed.admit(me, &frame.entry), Ok(Step::Nothing));
//! ```
#![no_std]

extern crate alloc;

mod followed;
mod former;
mod frame;
mod incoming;
mod journal;
mod proposals;
pub mod snapshot;
mod veil;
mod view;

pub use followed::{End, Followed, Step};
pub use former::Former;
pub use frame::{Frame, Knows, LOST, Word, founded, word_of};
pub use incoming::Incoming;
pub use journal::Journal;
pub use proposals::{Came, Command, InFlight, Proposal, Proposals, Refusal};
pub use veil::VeilRow;
pub use view::View;
