//! `presently demo`: a server to look at. **It never touches real data**: it has a folder of its own, which goes with it, a
//! secret of its own, and refuses to be told of a database.

mod chance;
mod crowd;
mod life;
mod names;
mod past;
mod people;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use presently::clock::{Clock, SystemClock};
use tempfile::TempDir;
use tokio::signal::unix::SignalKind;

use self::chance::Chance;
use self::crowd::Crowd;
use self::life::Pace;
use super::serve::Bound;
use super::{Failure, serve};
use crate::app::App;
use crate::banner::{self, DemoShown};
use crate::descriptors;
use crate::settings::{DatabaseFlags, Flags, LogFormat, Settings};

/// Short, so that one sees things move.
const INACTIVITY_TIMEOUT: &str = "20s";
const HEARTBEAT_INTERVAL: &str = "5s";
/// Users at least and at most.
const USERS: std::ops::RangeInclusive<i64> = 10..=5_000;
/// The same people come each time.
const SEED: u64 = 20_261_124;
/// What the names of the folders begin with.
const FOLDER: &str = "presently-demo-";
/// Keys of a settings file that name something real.
const REAL: [&str; 2] = ["database_url", "valkey_url"];

const AFTER_HELP: &str = "\
Nothing is kept, and no real data is touched: the demo's folder and its secret are its own and go
with it, and it refuses --database-url and --valkey-url. For your own users: presently serve

It is marked as a demo everywhere: each answer has the header X-Presently-Demo: true.
Sign in as admin with the password demo-demo-demo; everybody knows it.

Examples:
  presently demo
  presently demo --listen 127.0.0.1:9000 --users 2000";

/// Starts a server in a temporary folder with made-up users who come, idle, go and drop. Nothing is kept.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Demo {
    /// Address and port to listen on [default: 127.0.0.1:8000]
    #[arg(long, env = "PRESENTLY_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// How many users are made up, 10 to 5000
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(USERS), value_name = "N")]
    users: u16,
    /// Silence after which a user is offline; at least twice the heartbeat interval [default: 20s]
    #[arg(long, env = "PRESENTLY_INACTIVITY_TIMEOUT", value_name = "TIME")]
    inactivity_timeout: Option<String>,
    /// How often clients are asked to beat [default: 5s]
    #[arg(long, env = "PRESENTLY_HEARTBEAT_INTERVAL", value_name = "TIME")]
    heartbeat_interval: Option<String>,
    /// Origins whose pages may call, separated by commas, or * [default: none]
    #[arg(long, env = "PRESENTLY_CORS_ORIGINS", value_name = "ORIGINS")]
    cors_origins: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "PRESENTLY_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// TOML file with more settings, which may name no database [default: ./presently.toml if it is there]
    #[arg(long, env = "PRESENTLY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Taken to be refused.
    #[arg(long, hide = true, value_name = "URL")]
    database_url: Option<String>,
    /// Taken to be refused.
    #[arg(long, hide = true, value_name = "URL")]
    valkey_url: Option<String>,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.refuse_what_is_real()?;
        let users = usize::from(self.users);
        let mut settings = self.settings()?;
        serve::log(settings.log_format);
        descriptors::make_room(&mut settings)?;
        tracing::info!(users, "this is a demo: its users are made up, and nothing is kept");
        serve::threads()?.block_on(demo(settings, users))
    }

    fn refuse_what_is_real(&self) -> Result<(), Failure> {
        let refused = |what: &str, instead: &str| {
            Err(Failure::Usage(format!(
                "a demo never touches real data, and {what}: {instead}, or run presently serve for your own users"
            )))
        };
        for (given, flag) in [(&self.database_url, "--database-url"), (&self.valkey_url, "--valkey-url")] {
            if given.is_some() {
                return refused(&format!("{flag} names some"), "leave it out");
            }
        }
        for variable in ["PRESENTLY_DATABASE_URL", "PRESENTLY_VALKEY_URL"] {
            if std::env::var_os(variable).is_some_and(|value| !value.is_empty()) {
                return refused(&format!("{variable} is set"), &format!("run env -u {variable} presently demo"));
            }
        }
        let file = self.config.as_deref().unwrap_or(Path::new("presently.toml"));
        // What is wrong with the file otherwise is said where it is read.
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let keys: toml::Table = toml::from_str(&text).unwrap_or_default();
        match REAL.iter().find(|key| keys.contains_key(**key)) {
            Some(key) => {
                refused(&format!("{} sets {key}", file.display()), "run it in another folder or with another --config")
            }
            None => Ok(()),
        }
    }

    /// What holds for the demo, but for the folder.
    fn settings(self) -> Result<Settings, Failure> {
        let flags = Flags {
            listen: self.listen,
            database: DatabaseFlags { database_url: None, config: self.config },
            inactivity_timeout: self.inactivity_timeout.or_else(|| Some(INACTIVITY_TIMEOUT.to_owned())),
            heartbeat_interval: self.heartbeat_interval.or_else(|| Some(HEARTBEAT_INTERVAL.to_owned())),
            cors_origins: self.cors_origins,
            log_format: self.log_format,
            ..Flags::default()
        };
        // A token of the demo's admin must be good for nothing else: no secret but its own.
        Ok(Settings { demo: true, secret_key: None, ..Settings::resolve(flags)? })
    }
}

async fn demo(settings: Settings, users: usize) -> Result<(), Failure> {
    let bound = Bound::new(&settings)?;
    // From here on a signal ends the demo in order, with its folder; one that comes early is heeded when it is open.
    let stop = serve::stop(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()])?;
    let folder = folder()?;
    let path = folder.path().display().to_string();
    let served = serve_in(&folder, settings, users, bound, stop).await;
    let removed = folder.close();
    served?;
    removed.map_err(|error| Failure::Failed(format!("cannot remove the demo's folder {path}: {error}")))
}

/// A folder that nobody else has, and that goes when it is dropped.
fn folder() -> Result<TempDir, Failure> {
    let private = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(FOLDER).permissions(private).tempdir().map_err(|error| {
        let place = std::env::temp_dir();
        Failure::Failed(format!("cannot make a folder for the demo in {}: {error}", place.display()))
    })
}

async fn serve_in(
    folder: &TempDir,
    settings: Settings,
    users: usize,
    bound: Bound,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let database = folder.path().join("presently.db");
    let text = database.to_str().ok_or_else(|| {
        Failure::Failed(format!("the name of the temporary folder {} is no text; set TMPDIR", database.display()))
    })?;
    let settings = Settings { database_url: format!("sqlite:{text}"), ..settings };
    let pace = Pace::new(users, settings.policy()?);
    let mut chance = Chance::new(SEED);
    let clock = SystemClock::new();
    let people = people::make(&database, &settings, users, clock.now().wall, &mut chance)
        .await
        .map_err(|error| Failure::Failed(format!("cannot make up the demo's users: {error}")))?;
    let app = App::open(settings, clock).await?;
    let served = serve_crowd(&app, Crowd::new(app.clone(), people, chance, pace), users, bound, stop).await;
    app.shutdown().await;
    served
}

async fn serve_crowd(
    app: &App,
    crowd: Crowd,
    users: usize,
    bound: Bound,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let open = bound.open()?;
    let shown = DemoShown { username: people::ADMIN, password: people::ADMIN_PASSWORD, users };
    banner::print_demo(&shown, app.settings().log_format, open.listening);
    let crowd = tokio::spawn(crowd.run());
    let served = open.serve(app, stop).await;
    tracing::info!("the demo ends");
    crowd.abort();
    // Until it has gone, which takes no longer than the step it is at.
    let _ = crowd.await;
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_but_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "secret_key = \"the secret of somebody's real server\"\n").unwrap();
        let demo = Demo {
            listen: None,
            users: 10,
            inactivity_timeout: None,
            heartbeat_interval: None,
            cors_origins: None,
            log_format: None,
            config: Some(file),
            database_url: None,
            valkey_url: None,
        };
        let settings = demo.settings().unwrap();
        assert_eq!(settings.secret_key, None);
        assert!(settings.demo);
    }
}
