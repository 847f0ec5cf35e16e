//! The close codes of a WebSocket. **4000 to 4099: come back, with growing pauses. 4100 to 4199: do not.**

use super::pass::Ended;

/// Why the server ends a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The pass ended.
    Pass(Ended),
    /// No token within the time.
    NotAuthenticated,
    /// The first frame's token does not admit.
    Refused,
    /// The account of the first frame's token is not active.
    NotActive,
    /// Nothing was heard for two intervals.
    Silent,
    /// What was sent was not taken for too long.
    Slow,
    /// Frames came faster than they may.
    TooManyMessages,
    /// The limit of connections is reached.
    TooManyConnections,
    /// The user changes something too often: the socket's session cannot open.
    TooManyChanges,
    /// The presence library stopped telling.
    NoMore,
    /// A message is larger than it may be.
    TooBig,
    /// A frame was no text.
    Binary,
    /// The first message is larger than it may be.
    FirstTooBig,
    /// All messages under way together are larger than they may be.
    TooMuch,
    /// A text frame was not UTF-8.
    NotText,
    /// The frames are not those of the protocol.
    Protocol,
}

impl Why {
    /// The code and the reason of the close frame.
    pub(crate) fn frame(self) -> (u16, &'static str) {
        match self {
            Self::Pass(Ended::Stopping) => (1001, "the server stops"),
            Self::Protocol => (1002, "this is not the WebSocket protocol"),
            Self::Binary => (1003, "frames must be text"),
            Self::NotText => (1007, "text must be UTF-8"),
            Self::FirstTooBig => (1009, "a message before ready may have 8192 bytes"),
            Self::TooBig => (1009, "a message may have 524288 bytes"),
            Self::Pass(Ended::Expired) => (4000, "the token expired"),
            Self::NotAuthenticated => (4001, "no token within ten seconds"),
            Self::Pass(Ended::RightsChanged) => (4002, "the account's rights changed"),
            Self::Pass(Ended::Unknown) => (4003, "the token could not be checked"),
            Self::Silent => (4004, "nothing was heard"),
            Self::Slow => (4005, "nothing was read"),
            Self::NoMore => (4006, "watching ended"),
            Self::TooManyConnections => (4007, "too many connections"),
            Self::TooManyMessages => (4008, "too many messages"),
            Self::TooMuch => (4009, "too much is being sent at once"),
            Self::TooManyChanges => (4010, "too many changes"),
            Self::Refused => (4101, "the token was refused"),
            Self::Pass(Ended::Revoked) => (4101, "the token was revoked"),
            Self::Pass(Ended::ByAdmin) => (4102, "an administrator ended the session"),
            Self::NotActive | Self::Pass(Ended::NotActive) => (4103, "the account is not active"),
        }
    }

    /// Whether the session under the socket is over too; else its user has the grace to come back.
    pub(crate) fn ends_session(self) -> bool {
        matches!(self, Self::Pass(Ended::Revoked | Ended::ByAdmin | Ended::NotActive))
    }
}
