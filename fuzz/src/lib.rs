//! A server within the fuzzer's process, and the little that is needed to speak to it. **A panic of any thread ends the process**, so
//! one that the server would answer with a 500 is found as well.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use presently::clock::SystemClock;
use presently_accounts::{Draft, Role};
use presently_server::{App, Settings, serve};
use ring::hmac;

/// What signs the tokens.
pub const SECRET: &str = "a secret that only the fuzzer and its server know";
/// Longer than anything the server waits for.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The numbers of the accounts that are made: an administrator, and who asks.
pub const ADMIN: i64 = 1;
pub const USER: i64 = 2;
/// Some more, to whom things happen.
pub const OTHERS: [i64; 4] = [3, 4, 5, 6];

/// A server with some accounts, in a folder that goes with it.
pub struct Server {
    pub address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::in_folder(folder.path());
        settings.secret_key = Some(SECRET.to_owned());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let address = runtime.block_on(async {
            let app = App::open(settings, SystemClock::new()).await.expect("the server opens");
            for id in ADMIN..=*OTHERS.last().expect("some") {
                let role = if id == ADMIN { Role::Admin } else { Role::User };
                let username = format!("account{id}");
                let draft = Draft { username, password: format!("7 long words of {id}"), role, ..Draft::default() };
                app.accounts().create(draft, jiff::Timestamp::now(), None).await.expect("an account");
            }
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("its number");
            tokio::spawn(serve(app, listener, std::future::pending()));
            address
        });
        Self { address, _runtime: runtime, _folder: folder }
    }

    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        // Closed at once, so that a million of them leave no ports behind that wait.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("no lingering");
        Connection { stream, read: Vec::new() }
    }
}

/// A token of this account that is good for a day.
pub fn token(account: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = format!(
        r#"{{"token_type":"access","exp":{},"iat":{},"jti":"fuzz{account}","user_id":{account}}}"#,
        now + 86_400,
        now - 1
    );
    signed(br#"{"alg":"HS256","typ":"JWT"}"#, claims.as_bytes())
}

/// A token of these bytes, with the right signature.
pub fn signed(header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())))
}

/// An answer that came whole.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// A connection that is kept while the server keeps it.
pub struct Connection {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Sends a request and reads the answer. An error: the server closed the connection, or said nothing.
    pub fn ask(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: fuzz\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let lower = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let body = match length {
            _ if method == "HEAD" || status == 204 || status == 304 => Vec::new(),
            Some(length) => self.exactly(length)?,
            None if lower.contains("transfer-encoding: chunked") => self.chunks()?,
            None => Vec::new(),
        };
        Ok(Answer { status, head, body })
    }

    /// What is read next.
    pub fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.read.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }

    pub fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                let rest = self.read.split_off(at + end.len());
                return Ok(std::mem::replace(&mut self.read, rest));
            }
            self.more()?;
        }
    }

    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.more()?;
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.until(b"\r\n")?).into_owned();
            let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            body.extend(self.exactly(length)?);
            self.exactly(2)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
