//! A server of one's own for a test: `valkey-server` or `redis-server` from the path, on a free port, without a disk.
//! **It ends with its value, and touches no server that was there before.** Blocking, standard library only (and `tempfile`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More arguments, as on the command line.
    pub args: Vec<String>,
    /// PEM files: the server's certificate and its key. The port then speaks TLS.
    pub tls: Option<(String, String)>,
    /// One server that is a whole cluster.
    pub cluster: bool,
}

/// A running server.
pub struct Server {
    options: Options,
    port: u16,
    /// Without TLS, for the test's own commands; the same as `port` where that speaks no TLS.
    plain_port: u16,
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts one, and returns when it answers.
    pub fn start(options: Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the server");
        // Another process may take a port between its choice and its use.
        for _ in 0..5 {
            let (port, plain_port) = (free_port(), free_port());
            let plain_port = if options.tls.is_some() { plain_port } else { port };
            if let Some(child) = spawn(&options, directory.path(), port, plain_port) {
                let server = Self { options, port, plain_port, child, directory };
                server.found_cluster();
                return server;
            }
        }
        panic!("no server could be started");
    }

    /// One that needs no options.
    pub fn plain() -> Self {
        Self::start(Options::default())
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without user and parameters.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on its port, with nothing in it. Only after `kill`.
    pub fn restart(&mut self) {
        for _ in 0..20 {
            if let Some(child) = spawn(&self.options, self.directory.path(), self.port, self.plain_port) {
                self.child = child;
                self.found_cluster();
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server did not start again");
    }

    /// It answers no more, and its connections stay.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// It goes on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Sends a command, and returns the first line of the answer.
    pub fn command(&self, words: &[&str]) -> String {
        command(self.plain_port, words).expect("an answer of the server")
    }

    fn found_cluster(&self) {
        if !self.options.cluster {
            return;
        }
        let answer = self.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        assert_eq!(answer, "+OK");
        // Each command is answered only when the server has found itself whole.
        for _ in 0..100 {
            if !self.command(&["GET", "x"]).starts_with("-CLUSTERDOWN") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the cluster did not come up");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(options: &Options, directory: &std::path::Path, port: u16, plain_port: u16) -> Option<Child> {
    let mut command = Command::new(program());
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
    command.arg("--dir").arg(directory).args(["--loglevel", "warning", "--port", &plain_port.to_string()]);
    if let Some((certificate, key)) = &options.tls {
        command.args(["--tls-port", &port.to_string(), "--tls-cert-file", certificate, "--tls-key-file", key]);
        if options.cluster {
            command.args(["--tls-cluster", "yes"]);
        }
    }
    if options.cluster {
        let bus_port = free_port().to_string();
        let file = format!("nodes-{bus_port}.conf");
        command.args(["--cluster-enabled", "yes", "--cluster-port", &bus_port, "--cluster-config-file", &file]);
    }
    command.args(&options.args);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    for _ in 0..200 {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return None;
        }
        // Whatever it answers (it may want a password), it is up.
        if self::command(plain_port, &["PING"]).is_some_and(|answer| !answer.starts_with("-LOADING")) {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn program() -> &'static str {
    let runs = |name: &&str| {
        let version = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    let found = ["valkey-server", "redis-server"].into_iter().find(runs);
    found.expect("valkey-server or redis-server on the path (./test installs one)")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its number").port()
}

fn command(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(1 << 20)).read_line(&mut line).ok()?;
    (!line.is_empty()).then(|| line.trim_end().to_owned())
}
