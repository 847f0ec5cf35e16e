//! `/api/users/…`

mod admin;
mod all_users;
mod heartbeat;
