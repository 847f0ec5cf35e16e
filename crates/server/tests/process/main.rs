//! The program `presently` as it is run: flags, files, signals and exit codes. Here time is real, so timeouts are short.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod crash;
mod deadline;
mod demo;
mod first_start;
mod logs;
mod moved;
mod nodes;
mod pause;
mod postgres;
mod refusals;
mod settings;
mod silence;
mod stop;
mod user;
mod verify;
