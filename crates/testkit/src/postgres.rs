//! A PostgreSQL server of one's own: the one of the system's packages, in a temporary folder.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use crate::free_port;

/// Who owns every database, with which password over TCP. Over the Unix socket no password is asked for.
const USER: &str = "presently";
const PASSWORD: &str = "a-password-that-no-line-may-show";
/// How often, and how many times, it is looked whether a server has started: half a minute at least.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 1_500;
/// Settings for tests: nothing has to survive the machine, everything has to survive the server.
const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "32MB"),
    ("max_connections", "120"),
    ("listen_addresses", "127.0.0.1"),
    ("log_line_prefix", "%m [%p] %q%d "),
];
/// Waits until whoever started it is gone or lets go, then ends the server and removes its folder.
const GUARD: &str = r#"
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -rf "$1"
"#;

/// A running server with any number of databases. It is stopped and removed when this is dropped, and when the process ends in
/// whatever way.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    guard: Child,
}

impl Postgres {
    /// One for all tests of a process.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));
        &SHARED
    }

    /// Starts a server with these settings over its own.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(folder(), settings)
    }

    /// Starts a server that speaks TLS: its certificate is for `localhost`, by the authority of [`Postgres::authority`].
    ///
    /// # Panics
    /// As [`Postgres::start`], and when openssl is not installed.
    #[must_use]
    pub fn start_with_tls() -> Self {
        let folder = folder();
        certify(folder.path());
        let path = |name| folder.path().join(name).display().to_string();
        let (certificate, key) = (path("server.crt"), path("server.key"));
        Self::start_in(folder, &[("ssl", "on"), ("ssl_cert_file", &certificate), ("ssl_key_file", &key)])
    }

    /// Who signed the certificate of [`Postgres::start_with_tls`].
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.crt")
    }

    /// Starts a server in this folder, which may hold files that its settings name.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start_in(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("a file can be written");
        give_away(folder.path());
        let made = program("initdb")
            .args(["--username", USER, "--auth-local", "trust", "--auth-host", "scram-sha-256", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-instructions", "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(folder.path().join("data"))
            .stdin(Stdio::null())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let guard = as_server(Command::new("sh"))
            .args(["-c", GUARD, "guard"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell runs");
        let settings =
            SETTINGS.iter().chain(settings).map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let server = Mutex::default();
        let started = Self { folder, port: free_port(), settings, server, databases: AtomicU32::new(0), guard };
        started.start_again();
        started
    }

    /// The address of a new, empty database, over TCP and with a password.
    ///
    /// # Panics
    /// When the server does not make it.
    pub fn database(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{}", self.port, self.create())
    }

    /// The same over the Unix socket.
    ///
    /// # Panics
    /// When the server does not make it.
    pub fn database_by_socket(&self) -> String {
        let folder = self.folder.path().display();
        format!("postgres://{USER}@localhost:{}/{}?host={folder}", self.port, self.create())
    }

    fn create(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.client("createdb").arg(&name).expect_success();
        name
    }

    /// The password in every address.
    #[must_use]
    pub const fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder that it lives in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server wrote into its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Stops it as an administrator does: whoever is connected is told.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self) {
        let data = self.folder.path().join("data");
        program("pg_ctl").args(["stop", "-m", "fast", "-w", "-s", "-D"]).arg(data).expect_success();
        self.gone();
    }

    /// Kills it: nobody is told, nothing is put in order.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_mut().expect("a server runs").kill().expect("it can be killed");
        drop(server);
        self.gone();
    }

    /// Starts it again, on the same port and with what it kept.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        let mut looks = 0;
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let child = server.get_or_insert_with(|| self.spawn());
            let answers =
                self.client("pg_isready").args(["-q", "-t", "5"]).status().expect("pg_isready runs").success();
            match child.try_wait().expect("a child") {
                None if answers => return,
                // After it was killed its processes need a moment to notice, and until then there is no new start.
                Some(_) => *server = None,
                None => {}
            }
            looks += 1;
            assert!(looks < LOOKS_MAX, "the database server does not start: {}", self.log());
            sleep(LOOK_EVERY);
        }
    }

    fn spawn(&self) -> Child {
        let log = self.folder.path().join("log");
        let log: File = OpenOptions::new().create(true).append(true).open(log).expect("a file can be written");
        let settings = self.settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
        program("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(self.folder.path())
            .args(settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the database server runs")
    }

    fn gone(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = server.take() {
            child.wait().expect("it ends");
        }
    }

    fn client(&self, name: &str) -> Command {
        let mut command = program(name);
        command.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", USER]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        if let Some(mut child) = self.server.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = child.wait();
        }
        let _ = self.guard.wait();
    }
}

trait ExpectSuccess {
    fn expect_success(&mut self);
}

impl ExpectSuccess for Command {
    #[track_caller]
    fn expect_success(&mut self) {
        let done = self.stdin(Stdio::null()).output().expect("the program runs");
        assert!(done.status.success(), "{self:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A folder for a server.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("presently-postgres-").tempdir().expect("a temporary folder")
}

/// Makes an authority and a certificate of it.
fn certify(folder: &Path) {
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        command.args(args.split(' ')).current_dir(folder).expect_success();
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {new} -keyout authority.key -out authority.crt -days 30 -subj /CN=authority"));
    openssl(&format!("req {new} -keyout server.key -out server.csr -subj /CN=localhost"));
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost").expect("a file can be written");
    openssl(
        "x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 30 -extfile names -out server.crt",
    );
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.join("server.key"), private).expect("a file of ours");
}

/// One of PostgreSQL's programs, as whoever may run them.
fn program(name: &str) -> Command {
    as_server(Command::new(programs().join(name)))
}

/// Where the newest PostgreSQL of this system has its programs.
fn programs() -> &'static Path {
    static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
        let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
        let mut packaged: Vec<PathBuf> = packaged.map(|version| version.join("bin")).collect();
        packaged.sort_by_key(|path| path.parent().and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok()));
        let path = std::env::var_os("PATH").unwrap_or_default();
        packaged
            .into_iter()
            .rev()
            .chain(std::env::split_paths(&path))
            .find(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
            .expect("PostgreSQL is not installed: apt-get install postgresql")
    });
    &PROGRAMS
}

/// PostgreSQL refuses to run as root: then it runs as nobody.
fn other_user() -> Option<(u32, u32)> {
    static OTHER: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
        let number = |args: &[&str]| -> u32 {
            let told = Command::new("id").args(args).output().expect("id runs");
            String::from_utf8_lossy(&told.stdout).trim().parse().expect("a number")
        };
        (number(&["-u"]) == 0).then(|| (number(&["-u", "nobody"]), number(&["-g", "nobody"])))
    });
    *OTHER
}

fn as_server(mut command: Command) -> Command {
    command.env_remove("LC_ALL").env("LANG", "C").current_dir("/");
    for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE", "PGOPTIONS"] {
        command.env_remove(name);
    }
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command
}

/// Lets the server's user own the folder and what lies in it.
fn give_away(folder: &Path) {
    let Some((user, group)) = other_user() else { return };
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root may give files away");
    own(folder);
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        own(&entry.path());
    }
}
