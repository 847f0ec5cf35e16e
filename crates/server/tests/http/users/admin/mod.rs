//! `/api/users/admin/users/…`

mod acts;
mod create;
mod list;
mod one;
mod online;
mod online_status;
mod sessions;
mod set_online_status;
