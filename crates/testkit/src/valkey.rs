//! A Valkey server of one's own: `valkey-server` or `redis-server` from the path, on a free port, without a disk.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use crate::free_port;

/// How often, and how many times, it is looked whether a server has started: half a minute at least.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 1_500;
/// How often a start is tried: somebody else may take a port between its choice and its use.
const STARTS_MAX: u32 = 20;
/// How long one of the test's own commands may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Waits until whoever started it is gone or lets go, then ends the server and removes its folder.
const GUARD: &str = r#"
read -r _
pid=$(cat "$1/pid" 2>/dev/null) && kill -KILL "$pid" 2>/dev/null
rm -rf "$1"
"#;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ValkeyOptions {
    /// More arguments, as on the command line.
    pub args: Vec<String>,
    /// PEM files: the server's certificate and its key. The port then speaks TLS.
    pub tls: Option<(String, String)>,
    /// One server that is a whole cluster.
    pub cluster: bool,
}

/// A running server. It is ended when this is dropped, and when the process ends in whatever way.
#[derive(Debug)]
pub struct Valkey {
    options: ValkeyOptions,
    port: u16,
    /// Without TLS, for the test's own commands; the same as `port` where that speaks no TLS.
    plain_port: u16,
    server: Mutex<Option<Child>>,
    folder: TempDir,
    guard: Child,
}

impl Valkey {
    /// One that needs no options.
    ///
    /// # Panics
    /// When neither Valkey nor Redis is installed, or it does not start.
    #[must_use]
    pub fn plain() -> Self {
        Self::start(ValkeyOptions::default())
    }

    /// Starts one, and returns when it answers.
    ///
    /// # Panics
    /// As [`Valkey::plain`].
    #[must_use]
    pub fn start(options: ValkeyOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("presently-valkey-").tempdir().expect("a temporary folder");
        let guard = Command::new("sh")
            .args([OsStr::new("-c"), GUARD.as_ref(), "guard".as_ref(), folder.path().as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell runs");
        let mut started = Self { options, port: 0, plain_port: 0, server: Mutex::default(), folder, guard };
        for _ in 0..STARTS_MAX {
            started.port = free_port();
            started.plain_port = if started.options.tls.is_some() { free_port() } else { started.port };
            if started.spawn() {
                started.found_cluster();
                return started;
            }
        }
        panic!("no server could be started");
    }

    /// The port for clients.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without user and parameters.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a crash does: what was in it is lost.
    pub fn kill(&self) {
        let ended = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = ended {
            // Another process may get its number.
            let _ = fs::remove_file(self.folder.path().join("pid"));
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on its port, with nothing in it. Only after [`Valkey::kill`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        for _ in 0..STARTS_MAX {
            if self.spawn() {
                return self.found_cluster();
            }
            sleep(LOOK_EVERY * 5);
        }
        panic!("the server did not start again");
    }

    /// It answers no more, and its connections stay.
    ///
    /// # Panics
    /// When there is none.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// It goes on.
    ///
    /// # Panics
    /// When there is none.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let number = server.as_ref().expect("a server runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &number]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Sends a command, and returns the first line of the answer.
    ///
    /// # Panics
    /// When none comes.
    pub fn command(&self, words: &[&str]) -> String {
        command(self.plain_port, words).expect("an answer of the server").0
    }

    /// What the server tells of itself in this section of its `INFO`.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn info(&self, section: &str) -> String {
        command(self.plain_port, &["INFO", section]).and_then(|(_, text)| text).expect("an answer of the server")
    }

    fn found_cluster(&self) {
        if !self.options.cluster {
            return;
        }
        let answer = self.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        assert_eq!(answer, "+OK");
        // Each command is answered only when the server has found itself whole.
        for _ in 0..LOOKS_MAX {
            if !self.command(&["GET", "x"]).starts_with("-CLUSTERDOWN") {
                return;
            }
            sleep(LOOK_EVERY);
        }
        panic!("the cluster did not come up");
    }

    /// Starts a process; false when it ended at once.
    fn spawn(&self) -> bool {
        let mut command = Command::new(program());
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(self.folder.path()).arg("--pidfile").arg(self.folder.path().join("pid"));
        command.args(["--loglevel", "warning", "--port", &self.plain_port.to_string()]);
        let port = self.port.to_string();
        if let Some((certificate, key)) = &self.options.tls {
            command.args(["--tls-port", &port, "--tls-cert-file", certificate, "--tls-key-file", key]);
            if self.options.cluster {
                command.args(["--tls-cluster", "yes"]);
            }
        }
        if self.options.cluster {
            let bus_port = free_port().to_string();
            let file = format!("nodes-{bus_port}.conf");
            command.args(["--cluster-enabled", "yes", "--cluster-port", &bus_port, "--cluster-config-file", &file]);
        }
        command.args(&self.options.args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server runs");
        for _ in 0..LOOKS_MAX {
            if child.try_wait().expect("a child").is_some() {
                return false;
            }
            // Whatever it answers (it may want a password), it is up.
            let answer = self::command(self.plain_port, &["PING"]);
            if answer.is_some_and(|(line, _)| !line.starts_with("-LOADING")) {
                *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
                return true;
            }
            sleep(LOOK_EVERY);
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.kill();
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn program() -> &'static Path {
    static PROGRAM: LazyLock<&'static Path> = LazyLock::new(|| {
        let runs = |name: &&str| {
            let version = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        let found = ["valkey-server", "redis-server"].into_iter().find(runs);
        Path::new(found.expect("Valkey is not installed: apt-get install valkey-server, or redis-server"))
    });
    &PROGRAM
}

/// The first line of the answer, and the text after it where the answer is one.
fn command(port: u16, words: &[&str]) -> Option<(String, Option<String>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream.take(ANSWER_BYTES_MAX));
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    if line.is_empty() {
        return None;
    }
    let line = line.trim_end().to_owned();
    let Some(length) = line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) else {
        return Some((line, None));
    };
    let mut text = vec![0; length];
    reader.read_exact(&mut text).ok()?;
    Some((line, String::from_utf8(text).ok()))
}
