//! The admin panel: plain files that ask the same API as everybody else, and the cookie that stands for a signed-in admin.
//!
//! **A token reaches the browser only in cookies that no script can read**, and a cookie counts only in what the panel itself asks.
//!
//! - `cookie`: when a cookie stands for a token
//! - `session`: signing in and out
//! - `files`: what the panel is made of, inside the program
//! - `guide`: `docs/troubleshooting.md` as a page
//! - `figures`: what the overview draws

pub(crate) mod cookie;
pub(crate) mod figures;
pub(crate) mod files;
mod guide;
pub(crate) mod session;
