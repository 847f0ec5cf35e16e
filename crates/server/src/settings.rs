//! The settings: flags first, then environment variables, then the TOML file, then defaults.
//!
//! **Settings that contradict each other cannot be built**: [`Settings::resolve`] refuses them with one sentence.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::HeaderValue;
use ipnet::IpNet;
use presently::{Limits, Policy, Visibility};
use presently_accounts::RefreshRotation;
use serde::Deserialize;

pub use self::cluster::Cluster;
use crate::database::DatabaseUrl;

mod cluster;
mod listen;

/// Everything a server can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to answer for those who run it, apart from everybody else; without it that is at `listen`.
    pub operations_listen: Option<SocketAddr>,
    /// `sqlite:PATH` or `postgres://…`.
    pub database_url: String,
    /// What several nodes share; one node alone without it.
    pub cluster: Option<Cluster>,
    /// Signs tokens; made and kept in the data folder when absent.
    pub secret_key: Option<String>,
    /// How long silence may last.
    pub inactivity_timeout: Duration,
    /// How often clients are asked to beat.
    pub heartbeat_interval: Duration,
    /// How long a dropped socket may take to come back unseen.
    pub reconnect_grace: Duration,
    /// How long an access token is good.
    pub access_token_lifetime: Duration,
    /// How long a refresh token is good.
    pub refresh_token_lifetime: Duration,
    /// What becomes of a refresh token that is used.
    pub refresh_rotation: RefreshRotation,
    /// How long a login lasts, however often it is refreshed.
    pub session_lifetime_max: Duration,
    /// Who may make an account.
    pub registration: Registration,
    /// Whose pages may call.
    pub cors_origins: CorsOrigins,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long transitions stay in the history.
    pub history_retention: Duration,
    /// TCP connections at once; without it [`Settings::CONNECTIONS_MAX`], or what the limit of open files leaves room for.
    pub connections_max: Option<usize>,
    /// Streams and sockets of one user at once.
    pub streams_per_user_max: usize,
    /// Whom others may see.
    pub visibility: Visibility,
    /// Whether each answer says that this is a demo. Only `presently demo` sets it.
    pub demo: bool,
}

/// Who may make an account through `POST /api/auth/register/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Nobody but admins.
    #[default]
    Closed,
    /// Everybody.
    Open,
}

/// What becomes of a refresh token that is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// A new one takes its place; for ten seconds the old one may be used again.
    #[default]
    Grace,
    /// A new one takes its place at once.
    Strict,
    /// It stays good until its end.
    Off,
}

impl From<Rotation> for RefreshRotation {
    fn from(rotation: Rotation) -> Self {
        match rotation {
            Rotation::Grace => Self::Grace,
            Rotation::Strict => Self::Strict,
            Rotation::Off => Self::Off,
        }
    }
}

/// Who sees the presence of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VisibleTo {
    /// Everybody who is signed in.
    #[default]
    Everyone,
    /// Admins alone; everybody else sees themselves.
    Admins,
}

impl From<VisibleTo> for Visibility {
    fn from(to: VisibleTo) -> Self {
        match to {
            VisibleTo::Everyone => Self::Everyone,
            VisibleTo::Admins => Self::Admins,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The origins whose pages may call this server from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// None.
    #[default]
    None,
    /// Any.
    Any,
    /// These.
    Listed(Vec<HeaderValue>),
}

impl CorsOrigins {
    /// `*`, or origins separated by commas.
    ///
    /// # Errors
    /// A sentence, when an entry is no origin (`scheme://host[:port]`, without a path).
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::None);
        }
        if text == "*" {
            return Ok(Self::Any);
        }
        text.split(',')
            .map(|entry| {
                let entry = entry.trim().trim_end_matches('/');
                let uri: http::Uri = entry.parse().map_err(|_| bad_origin(entry))?;
                let bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
                if uri.scheme().is_none() || uri.host().is_none() || !bare {
                    return Err(bad_origin(entry));
                }
                HeaderValue::from_str(&entry.to_ascii_lowercase()).map_err(|_| bad_origin(entry))
            })
            .collect::<Result<_, _>>()
            .map(Self::Listed)
    }
}

fn bad_origin(entry: &str) -> String {
    format!("cors_origins: {entry:?} is no origin; write scheme://host[:port], for example http://localhost:5173")
}

/// The flags of `presently serve` (each also an environment variable, and a key of the TOML file).
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// Address and port to listen on; :8000 is every IPv4 address, 9000 is 127.0.0.1:9000 [default: 127.0.0.1:8000]
    #[arg(long, env = "PRESENTLY_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Address and port for /metrics, /healthz and /readyz alone [default: none: those are at --listen]
    #[arg(long, env = "PRESENTLY_OPERATIONS_LISTEN", value_name = "ADDR:PORT")]
    pub operations_listen: Option<String>,
    #[command(flatten)]
    /// The database.
    pub database: DatabaseFlags,
    /// Valkey or Redis that several nodes share, redis://USER:PASSWORD@HOST:PORT or rediss://… [default: none: one node]
    #[arg(long, env = "PRESENTLY_VALKEY_URL", hide_env_values = true, value_name = "URL")]
    pub valkey_url: Option<String>,
    /// Name of this node among several, the same at each start [default: the machine's name and the port]
    #[arg(long, env = "PRESENTLY_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// How long a node that died counts as there; the same for all nodes [default: 9s]
    #[arg(long, env = "PRESENTLY_NODE_LEASE", value_name = "TIME")]
    pub node_lease: Option<String>,
    /// Name of the group of nodes, for several groups on one Valkey [default: main]
    #[arg(long, env = "PRESENTLY_CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// Key that signs tokens, at least 32 bytes, not one repeated [default: made at first start and kept in the data folder, or in PostgreSQL]
    #[arg(long, env = "PRESENTLY_SECRET_KEY", hide_env_values = true, value_name = "TEXT")]
    pub secret_key: Option<String>,
    /// Silence after which a user is offline; at least twice the heartbeat interval [default: 120s]
    #[arg(long, env = "PRESENTLY_INACTIVITY_TIMEOUT", value_name = "TIME")]
    pub inactivity_timeout: Option<String>,
    /// How often clients are asked to beat [default: 30s]
    #[arg(long, env = "PRESENTLY_HEARTBEAT_INTERVAL", value_name = "TIME")]
    pub heartbeat_interval: Option<String>,
    /// How long a dropped socket may take to come back unseen [default: 10s]
    #[arg(long, env = "PRESENTLY_RECONNECT_GRACE", value_name = "TIME")]
    pub reconnect_grace: Option<String>,
    /// How long an access token is good [default: 60m]
    #[arg(long, env = "PRESENTLY_ACCESS_TOKEN_LIFETIME", value_name = "TIME")]
    pub access_token_lifetime: Option<String>,
    /// How long a refresh token is good [default: 7d]
    #[arg(long, env = "PRESENTLY_REFRESH_TOKEN_LIFETIME", value_name = "TIME")]
    pub refresh_token_lifetime: Option<String>,
    /// What becomes of a refresh token that is used: a new one takes its place and the old one may be used again for 10 s, a new one
    /// at once, or it stays good until its end [default: grace]
    #[arg(long, env = "PRESENTLY_REFRESH_ROTATION", value_enum)]
    pub refresh_rotation: Option<Rotation>,
    /// How long a login lasts, however often it is refreshed [default: 30d]
    #[arg(long, env = "PRESENTLY_SESSION_LIFETIME_MAX", value_name = "TIME")]
    pub session_lifetime_max: Option<String>,
    /// Whether anybody may make an account [default: closed]
    #[arg(long, env = "PRESENTLY_REGISTRATION", value_enum)]
    pub registration: Option<Registration>,
    /// Origins whose pages may call, separated by commas, or * [default: none]
    #[arg(long, env = "PRESENTLY_CORS_ORIGINS", value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
    /// Addresses or networks whose X-Forwarded-For is believed, separated by commas [default: none]
    #[arg(long, env = "PRESENTLY_TRUSTED_PROXIES", value_name = "NETS")]
    pub trusted_proxies: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "PRESENTLY_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// How long transitions stay in the history [default: 90d]
    #[arg(long, env = "PRESENTLY_HISTORY_RETENTION", value_name = "TIME")]
    pub history_retention: Option<String>,
    /// TCP connections at once [default: 20000, or what the limit of open files leaves room for]
    #[arg(long, env = "PRESENTLY_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<usize>,
    /// Event streams and WebSockets of one user at once [default: 50]
    #[arg(long, env = "PRESENTLY_STREAMS_PER_USER_MAX", value_name = "N")]
    pub streams_per_user_max: Option<usize>,
    /// Who sees the presence of others: everyone, or admins alone [default: everyone]
    #[arg(long, env = "PRESENTLY_VISIBILITY", value_enum)]
    pub visibility: Option<VisibleTo>,
}

/// Where the database is, and the file with settings: shared by all commands.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseFlags {
    /// Database, sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME [default: sqlite:./data/presently.db]
    #[arg(long, env = "PRESENTLY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// TOML file with settings, named as the flags with _ for - [default: ./presently.toml if it is there]
    #[arg(long, env = "PRESENTLY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The TOML file.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<String>,
    operations_listen: Option<String>,
    database_url: Option<String>,
    valkey_url: Option<String>,
    node_name: Option<String>,
    node_lease: Option<String>,
    cluster_name: Option<String>,
    secret_key: Option<String>,
    inactivity_timeout: Option<String>,
    heartbeat_interval: Option<String>,
    reconnect_grace: Option<String>,
    access_token_lifetime: Option<String>,
    refresh_token_lifetime: Option<String>,
    refresh_rotation: Option<Rotation>,
    session_lifetime_max: Option<String>,
    registration: Option<Registration>,
    cors_origins: Option<Listing>,
    trusted_proxies: Option<Listing>,
    log_format: Option<LogFormat>,
    history_retention: Option<String>,
    connections_max: Option<usize>,
    streams_per_user_max: Option<usize>,
    visibility: Option<VisibleTo>,
}

/// A list in the file: `"a,b"` or `["a", "b"]`.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum Listing {
    Text(String),
    Items(Vec<String>),
}

impl Listing {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Items(items) => items.join(","),
        }
    }
}

/// Why settings were refused: one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub String);

impl Settings {
    /// The default `database_url`.
    pub const DATABASE_URL: &'static str = "sqlite:./data/presently.db";
    /// The default `connections_max`.
    pub const CONNECTIONS_MAX: usize = 20_000;

    /// The defaults, with everything kept in `data` and a free port of the loopback address: for tests and embedding.
    #[must_use]
    pub fn in_folder(data: &Path) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            database_url: format!("sqlite:{}", data.join("presently.db").display()),
            ..Self::default()
        }
    }

    /// Flags and variables over the file over the defaults.
    ///
    /// # Errors
    /// One sentence about the first setting that does not do.
    pub fn resolve(flags: Flags) -> Result<Self, BadSettings> {
        let file = read_file(flags.database.config.as_deref())?;
        let base = Self::default();
        let listen = match flags.listen.or(file.listen) {
            Some(text) => listen::address("listen", &text)?,
            None => base.listen,
        };
        let operations_listen = flags.operations_listen.or(file.operations_listen).filter(|text| !text.is_empty());
        let operations_listen =
            operations_listen.map(|text| listen::address("operations_listen", &text)).transpose()?;
        let node_name = flags.node_name.or(file.node_name);
        let node_lease = time("node_lease", flags.node_lease.or(file.node_lease), Cluster::LEASE)?;
        let cluster_name = flags.cluster_name.or(file.cluster_name);
        let cluster = flags.valkey_url.or(file.valkey_url).filter(|url| !url.is_empty()).map(|valkey_url| Cluster {
            valkey_url,
            node_name: node_name.unwrap_or_else(|| cluster::name_of_node(listen)),
            lease: node_lease,
            name: cluster_name.unwrap_or_else(|| Cluster::NAME.to_owned()),
        });
        let settings = Self {
            listen,
            operations_listen,
            cluster,
            database_url: flags.database.database_url.or(file.database_url).unwrap_or(base.database_url),
            secret_key: flags.secret_key.or(file.secret_key),
            inactivity_timeout: time(
                "inactivity_timeout",
                flags.inactivity_timeout.or(file.inactivity_timeout),
                base.inactivity_timeout,
            )?,
            heartbeat_interval: time(
                "heartbeat_interval",
                flags.heartbeat_interval.or(file.heartbeat_interval),
                base.heartbeat_interval,
            )?,
            reconnect_grace: time(
                "reconnect_grace",
                flags.reconnect_grace.or(file.reconnect_grace),
                base.reconnect_grace,
            )?,
            access_token_lifetime: time(
                "access_token_lifetime",
                flags.access_token_lifetime.or(file.access_token_lifetime),
                base.access_token_lifetime,
            )?,
            refresh_token_lifetime: time(
                "refresh_token_lifetime",
                flags.refresh_token_lifetime.or(file.refresh_token_lifetime),
                base.refresh_token_lifetime,
            )?,
            refresh_rotation: flags.refresh_rotation.or(file.refresh_rotation).unwrap_or_default().into(),
            session_lifetime_max: time(
                "session_lifetime_max",
                flags.session_lifetime_max.or(file.session_lifetime_max),
                base.session_lifetime_max,
            )?,
            registration: flags.registration.or(file.registration).unwrap_or_default(),
            cors_origins: CorsOrigins::parse(
                &flags.cors_origins.or(file.cors_origins.map(Listing::text)).unwrap_or_default(),
            )
            .map_err(BadSettings)?,
            trusted_proxies: networks(
                &flags.trusted_proxies.or(file.trusted_proxies.map(Listing::text)).unwrap_or_default(),
            )?,
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            history_retention: time(
                "history_retention",
                flags.history_retention.or(file.history_retention),
                base.history_retention,
            )?,
            connections_max: flags.connections_max.or(file.connections_max),
            streams_per_user_max: flags
                .streams_per_user_max
                .or(file.streams_per_user_max)
                .unwrap_or(base.streams_per_user_max),
            visibility: flags.visibility.or(file.visibility).unwrap_or_default().into(),
            demo: false,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The database alone, for commands that need nothing else.
    ///
    /// # Errors
    /// One sentence, when the file cannot be read.
    pub fn database_url(flags: &DatabaseFlags) -> Result<String, BadSettings> {
        let file = read_file(flags.config.as_deref())?;
        Ok(flags.database_url.clone().or(file.database_url).unwrap_or_else(|| Self::DATABASE_URL.to_owned()))
    }

    /// How many connections there may be.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.connections_max.unwrap_or(Self::CONNECTIONS_MAX)
    }

    fn check(&self) -> Result<(), BadSettings> {
        self.policy()?;
        if self.access_token_lifetime < Duration::from_secs(1) {
            return Err(BadSettings("access_token_lifetime must be at least one second".to_owned()));
        }
        if self.refresh_token_lifetime < self.access_token_lifetime {
            return Err(BadSettings(
                "refresh_token_lifetime must not be shorter than access_token_lifetime".to_owned(),
            ));
        }
        if self.session_lifetime_max < Duration::from_secs(1) {
            return Err(BadSettings("session_lifetime_max must be at least one second".to_owned()));
        }
        if self.connections_max == Some(0) {
            return Err(BadSettings("connections_max must be at least 1".to_owned()));
        }
        if self.streams_per_user_max == 0 {
            return Err(BadSettings("streams_per_user_max must be at least 1".to_owned()));
        }
        let database = DatabaseUrl::parse(&self.database_url)?;
        self.cluster.as_ref().map_or(Ok(()), |cluster| cluster.check(&database))
    }

    /// The timings of presence.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn policy(&self) -> Result<Policy, BadSettings> {
        // A grace left at its default must not forbid a short timeout.
        let grace = if self.reconnect_grace == Self::default().reconnect_grace {
            self.reconnect_grace.min(self.inactivity_timeout)
        } else {
            self.reconnect_grace
        };
        Policy::new(self.inactivity_timeout, self.heartbeat_interval, grace)
            .map_err(|error| BadSettings(error.to_string()))
    }

    /// The configuration of the presence library.
    ///
    /// # Errors
    /// When the timings contradict each other.
    pub fn presence(&self) -> Result<presently::Config, BadSettings> {
        Ok(presently::Config {
            policy: self.policy()?,
            limits: Limits::default(),
            history_retention: self.history_retention,
            visibility: self.visibility,
            figures_of_invisible: self.figures_of_invisible(),
        })
    }

    /// Whether `/metrics` counts invisible users: only where it has an address of its own.
    pub(crate) fn figures_of_invisible(&self) -> bool {
        self.operations_listen.is_some()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            operations_listen: None,
            database_url: Self::DATABASE_URL.to_owned(),
            cluster: None,
            secret_key: None,
            inactivity_timeout: policy.inactivity_timeout(),
            heartbeat_interval: policy.heartbeat_interval(),
            reconnect_grace: policy.reconnect_grace(),
            access_token_lifetime: Duration::from_secs(60 * 60),
            refresh_token_lifetime: Duration::from_secs(7 * 86_400),
            refresh_rotation: RefreshRotation::default(),
            session_lifetime_max: Duration::from_secs(30 * 86_400),
            registration: Registration::Closed,
            cors_origins: CorsOrigins::None,
            trusted_proxies: Vec::new(),
            log_format: LogFormat::Text,
            history_retention: Duration::from_secs(90 * 86_400),
            connections_max: None,
            streams_per_user_max: 50,
            visibility: Visibility::default(),
            demo: false,
        }
    }
}

/// The path of a `sqlite:` URL.
///
/// # Errors
/// One sentence, for any other URL.
pub fn sqlite_path(url: &str) -> Result<PathBuf, BadSettings> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && !path.contains(":memory:") => Ok(PathBuf::from(path)),
        Some(_) => Err(BadSettings("database_url: sqlite: must be followed by the path of a file".to_owned())),
        None => Err(BadSettings(
            "database_url: write sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
        )),
    }
}

/// `90s`, `5m`, `1h 30m`, `7d`, or a number of seconds.
fn time(name: &str, text: Option<String>, default: Duration) -> Result<Duration, BadSettings> {
    let Some(text) = text else { return Ok(default) };
    let bad = || BadSettings(format!("{name}: {text:?} is no time; write for example 90s, 5m or 1h"));
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    if let Some(days) = text.trim().strip_suffix('d').and_then(|days| days.trim().parse::<u64>().ok()) {
        return days.checked_mul(86_400).map(Duration::from_secs).ok_or_else(bad);
    }
    let length: jiff::SignedDuration = text.trim().parse().map_err(|_| bad())?;
    length.try_into().map_err(|_| bad())
}

fn networks(text: &str) -> Result<Vec<IpNet>, BadSettings> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            entry
                .parse::<IpNet>()
                .or_else(|_| entry.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| BadSettings(format!("trusted_proxies: {entry:?} is no address or network")))
        })
        .collect()
}

fn read_file(path: Option<&Path>) -> Result<File, BadSettings> {
    let (path, asked_for) = match path {
        Some(path) => (path, true),
        None => (Path::new("presently.toml"), false),
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => return Ok(File::default()),
        Err(error) => return Err(BadSettings(format!("cannot read {}: {error}", path.display()))),
    };
    toml::from_str(&text).map_err(|error| {
        let what = error.message().lines().next().unwrap_or_default().to_owned();
        BadSettings(format!("{}: {what}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_shorter_than_two_heartbeats_is_refused() {
        let flags = Flags { inactivity_timeout: Some("50s".into()), ..Flags::default() };
        let error = Settings::resolve(flags).unwrap_err();
        assert!(error.0.contains("at least twice heartbeat_interval"), "{error}");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("120s", 120), ("60m", 3600), ("7d", 604_800), ("90", 90), ("1h 30m", 5400)] {
            assert_eq!(time("t", Some(text.into()), Duration::ZERO).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        assert!(time("t", Some("soon".into()), Duration::ZERO).is_err());
        assert!(time("t", Some("-5s".into()), Duration::ZERO).is_err());
    }

    #[test]
    fn origins_are_checked() {
        assert_eq!(CorsOrigins::parse("*").unwrap(), CorsOrigins::Any);
        let listed = CorsOrigins::parse("http://localhost:5173, https://a.example").unwrap();
        assert!(matches!(listed, CorsOrigins::Listed(origins) if origins.len() == 2));
        assert!(CorsOrigins::parse("localhost").is_err());
        assert!(CorsOrigins::parse("http://a.example/path").is_err());
    }
}
