//! `/api/auth/…`, and its twin `/api/users/…`.

mod login;
mod logout;
mod logout_all;
mod password;
mod profile;
mod refresh;
mod register;
mod sessions;
mod throttle;
mod tokens;
mod verify;
