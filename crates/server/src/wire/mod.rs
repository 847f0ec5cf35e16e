//! The shapes on the wire, and where they meet the types of the core ([`convert`]).

pub(crate) mod convert;
mod frames;
mod presence;
mod requests;
mod seen;
mod user;

pub(crate) use frames::{ClientFrame, ServerFrame, USER_BYTES_MAX, user_ids};
pub(crate) use presence::{
    HeartbeatBody, OnlineStatusBody, OnlineUser, OnlineUsers, OwnStatus, SessionBody, Sessions, StatusSet,
};
pub(crate) use requests::{
    CreateUser, Heartbeat, Login, Logout, PatchUser, Query, Refresh, Register, SetInvisible, SetOnlineStatus, Verify,
    Why,
};
pub(crate) use seen::{
    AccountState, CountsBody, ExplanationBody, History, Moment, OnlinePage, OverrideBody, OwnPresence, PresenceBody,
    Presences, TicketBody, TransitionBody,
};
pub(crate) use user::{AllUsers, ListedUser, Message, SignedInBody, Tokens, User, UsersPage};
