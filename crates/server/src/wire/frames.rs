//! The frames of a WebSocket.

use presently::{Epoch, Position, UserId};
use serde::{Deserialize, Serialize};

use super::PresenceBody;
use crate::extract;
use crate::problem::Problem;

/// The longest name of a user, in bytes.
pub(crate) const USER_BYTES_MAX: usize = 128;

/// Names of users as sent, each 1 to 128 bytes.
pub(crate) fn user_ids(sent: Vec<String>) -> Result<Vec<UserId>, Problem> {
    sent.into_iter()
        .map(|user| {
            let fits = (1..=USER_BYTES_MAX).contains(&user.len());
            fits.then(|| UserId::from(user))
                .ok_or_else(|| Problem::field("users", "Each must be a string of 1 to 128 bytes."))
        })
        .collect()
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientFrame {
    Auth(String),
    /// `None` is everybody.
    Watch(Option<Vec<UserId>>, Option<Position>),
    Unwatch(Vec<UserId>),
    Activity(presently::Activity),
    Ping,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(rename = "type")]
    kind: Option<String>,
    token: Option<String>,
    users: Option<Vec<String>>,
    epoch: Option<String>,
    seq: Option<u64>,
    activity: Option<String>,
}

impl ClientFrame {
    /// Reads a frame.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Problem> {
        let sent: Sent = extract::parse(text)?;
        let missing = |field: &str| Problem::field(field, "This field is required.");
        match sent.kind.as_deref() {
            Some("auth") => Ok(Self::Auth(sent.token.ok_or_else(|| missing("token"))?)),
            Some("watch") => {
                // An epoch that cannot be read is one of another life: a snapshot will do.
                let epoch = sent.epoch.and_then(|text| text.parse::<Epoch>().ok());
                let position = epoch.zip(sent.seq).map(|(epoch, seq)| Position { epoch, seq });
                Ok(Self::Watch(sent.users.map(user_ids).transpose()?, position))
            }
            Some("unwatch") => Ok(Self::Unwatch(user_ids(sent.users.ok_or_else(|| missing("users"))?)?)),
            Some("activity") => sent
                .activity
                .as_deref()
                .and_then(presently::Activity::parse)
                .map(Self::Activity)
                .ok_or_else(|| Problem::field("activity", "Must be active or idle.")),
            Some("ping") => Ok(Self::Ping),
            Some(_) => {
                Err(Problem::bad_request("unknown_type", "The type must be auth, watch, unwatch, activity or ping."))
            }
            None => Err(missing("type")),
        }
    }
}

/// What the server says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ServerFrame<'a> {
    Ready { user_id: Option<&'a str>, session: Option<&'a str>, heartbeat_interval_ms: u64 },
    Snapshot { epoch: String, seq: u64, presences: Vec<PresenceBody> },
    Diff { seq: u64, presences: Vec<PresenceBody> },
    Pong,
    Error { code: &'a str, detail: &'a str },
}

impl ServerFrame<'_> {
    pub(crate) fn text(&self) -> String {
        // Strings and numbers: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        ClientFrame::parse(text.as_bytes()).unwrap_err().code()
    }

    #[test]
    fn frames_are_read_as_documented() {
        let parse = |text: &str| ClientFrame::parse(text.as_bytes()).unwrap();
        assert_eq!(parse(r#"{"type":"auth","token":"t"}"#), ClientFrame::Auth("t".into()));
        assert_eq!(
            parse(r#"{"type":"watch","users":["1","2"]}"#),
            ClientFrame::Watch(Some(vec!["1".into(), "2".into()]), None)
        );
        let position = Position { epoch: "00000000000000ab".parse().unwrap(), seq: 41 };
        assert_eq!(
            parse(r#"{"type":"watch","users":[],"epoch":"00000000000000ab","seq":41}"#),
            ClientFrame::Watch(Some(vec![]), Some(position))
        );
        assert_eq!(parse(r#"{"type":"watch","epoch":"?","seq":41}"#), ClientFrame::Watch(None, None));
        assert_eq!(parse(r#"{"type":"unwatch","users":["2"]}"#), ClientFrame::Unwatch(vec!["2".into()]));
        assert_eq!(parse(r#"{"type":"activity","activity":"idle"}"#), ClientFrame::Activity(presently::Activity::Idle));
        assert_eq!(parse(r#"{"type":"ping","more":1}"#), ClientFrame::Ping);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(code("nonsense"), "invalid_json");
        assert_eq!(code("[]"), "invalid_json");
        assert_eq!(code("{}"), "invalid_field");
        assert_eq!(code(r#"{"type":"dance"}"#), "unknown_type");
        assert_eq!(code(r#"{"type":"auth"}"#), "invalid_field");
        assert_eq!(code(r#"{"type":"watch","users":[1]}"#), "invalid_field");
        assert_eq!(code(r#"{"type":"watch","users":[""]}"#), "invalid_field");
        assert_eq!(code(r#"{"type":"activity","activity":"asleep"}"#), "invalid_field");
        assert_eq!(code(&format!(r#"{{"type":"unwatch","users":["{}"]}}"#, "x".repeat(129))), "invalid_field");
    }

    #[test]
    fn frames_are_written_as_documented() {
        let ready = ServerFrame::Ready { user_id: Some("4"), session: Some("s"), heartbeat_interval_ms: 30_000 };
        assert_eq!(ready.text(), r#"{"type":"ready","user_id":"4","session":"s","heartbeat_interval_ms":30000}"#);
        assert_eq!(ServerFrame::Pong.text(), r#"{"type":"pong"}"#);
        assert_eq!(
            ServerFrame::Diff { seq: 42, presences: vec![] }.text(),
            r#"{"type":"diff","seq":42,"presences":[]}"#
        );
    }
}
