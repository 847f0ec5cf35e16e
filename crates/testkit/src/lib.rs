//! Servers of other programs, for tests. **A server goes with its test, whatever becomes of the test.**
//!
//! Everything panics with a sentence when it does not work: that is a failed test.

mod postgres;

pub use postgres::Postgres;
