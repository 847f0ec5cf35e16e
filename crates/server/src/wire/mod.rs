//! The shapes on the wire, and where they meet the types of the core ([`convert`]).

pub(crate) mod convert;
mod frames;
mod key;
mod panel;
mod presence;
mod requests;
mod seen;
mod touch;
mod user;
pub(crate) mod words;

pub(crate) use frames::{ClientFrame, ServerFrame, USER_BYTES_MAX, user_ids};
pub(crate) use key::{CreateKey, KeyBody, Keys, MadeKeyBody};
pub(crate) use panel::{
    AuditAccount, AuditLine, AuditPage, ClusterBody, LatenessBody, OverviewBody, PanelSession, SampleBody, SamplesBody,
};
pub(crate) use presence::{
    HeartbeatBody, OnlineStatusBody, OnlineUser, OnlineUsers, OwnStatus, SessionBody, Sessions, StatusSet,
};
pub(crate) use requests::{
    ChangePassword, ChangeProfile, CreateUser, Heartbeat, Login, Logout, PatchUser, Query, Refresh, Register,
    SetInvisible, SetOnlineStatus, Verify, Why,
};
pub(crate) use seen::{
    AccountState, CountsBody, ExplanationBody, History, Moment, OnlinePage, OverrideBody, OwnPresence, PresenceBody,
    Presences, TicketBody, TransitionBody,
};
pub(crate) use touch::{NotTaken, Touch, TouchBody, Touched};
pub(crate) use user::{AllUsers, ListedUser, Message, OwnSession, OwnSessions, SignedInBody, Tokens, User, UsersPage};
