//! The shapes on the wire, and where they meet the types of the core ([`convert`]).

pub(crate) mod convert;
mod presence;
mod requests;
mod user;

pub(crate) use presence::{
    HeartbeatBody, OnlineStatusBody, OnlineUser, OnlineUsers, OwnStatus, SessionBody, Sessions, StatusSet,
};
pub(crate) use requests::{
    CreateUser, Heartbeat, Login, Logout, PatchUser, Refresh, Register, SetOnlineStatus, Verify, Why,
};
pub(crate) use user::{AllUsers, ListedUser, Message, SignedInBody, Tokens, User, UsersPage};
