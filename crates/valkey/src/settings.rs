//! Where the server is, and how it is used. **A password is never shown.**

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use presently::bus::Timing;

/// How a [`ValkeyBus`](crate::ValkeyBus) is set; [`Settings::new`] gives the usual ones.
#[derive(Clone)]
pub struct Settings {
    /// `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, `rediss://…` for TLS; `valkey://` and `valkeys://` mean the same.
    /// User and password are percent-encoded. `redis+cluster://` and `rediss+cluster://`, or the parameter `cluster=true`, for a cluster;
    /// parameters `seed=HOST:PORT` name more of its servers.
    ///
    /// For TLS the parameters `ca=FILE` (certificates to trust instead of the system's), `cert=FILE` and `key=FILE` (what this node shows) name
    /// PEM files; the fields of that name go before them.
    pub url: String,
    /// The name of this group of nodes, for several on one server: 1 to 64 letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Certificates to trust instead of the system's, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// The certificate chain that this node shows, as a PEM file; with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate, as a PEM file.
    pub key_file: Option<PathBuf>,
    /// How long leases hold. The same for all nodes of a group.
    pub timing: Timing,
    /// So many entries are kept, and at most a few hundred more: a node that falls behind further needs a snapshot. One takes its bytes and about 30.
    pub log_max: u64,
    /// How long making a connection may take, with its TLS and log in.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// What is wrong with the address.
    #[error("the address of the bus: {0}")]
    Url(String),
    /// What a name may be.
    #[error("a name of a group of nodes has 1 to 64 letters, digits, \"-\", \"_\" or \".\"")]
    Name,
    /// How the times belong together.
    #[error(
        "a lease is at least three times as long as the time between its renewals, and neither that nor a time-out is 0"
    )]
    Timing,
    /// The log keeps something.
    #[error("the log keeps at least one entry")]
    LogMax,
    /// A file for TLS that cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
}

impl Settings {
    /// The usual settings for the server at `url`: the group `main`, leases of 9 s renewed each 3 s, 1,000,000 entries, time-outs of 2 s.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: "main".into(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            timing: Timing { lease: Duration::from_secs(9), renew_every: Duration::from_secs(3) },
            log_max: 1_000_000,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
        }
    }

    /// What needs no look at files or the network.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(letter) {
            return Err(SettingsError::Name);
        }
        let Timing { lease, renew_every } = self.timing;
        let times = [renew_every, self.connect_timeout, self.response_timeout];
        if times.iter().any(|time| time.as_millis() == 0)
            || renew_every.checked_mul(3).is_none_or(|three| three > lease)
        {
            return Err(SettingsError::Timing);
        }
        if self.log_max == 0 {
            return Err(SettingsError::LogMax);
        }
        Ok(())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).field("timing", &self.timing).finish_non_exhaustive()
    }
}
