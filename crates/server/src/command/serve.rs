//! `presently serve`: start, run, stop.

use std::future::poll_fn;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::task::Poll;

use presently::clock::SystemClock;
use presently_accounts::{AccountStatus, Draft, Role};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::Failure;
use crate::app::App;
use crate::banner::{self, FirstAdmin};
use crate::descriptors;
use crate::folder::random_text;
use crate::settings::{Flags, LogFormat, Settings};
use crate::{cli, variables};

/// Connections that wait in the kernel's queue.
const BACKLOG: i32 = 4096;
/// What is logged unless `PRESENTLY_LOG` says otherwise.
const LOGGED: &str = "info,sqlx=warn";

pub(crate) fn run(flags: Flags) -> Result<(), Failure> {
    let mut settings = Settings::resolve(flags)?;
    log(settings.log_format);
    descriptors::make_room(&mut settings)?;
    threads()?.block_on(serve(settings))
}

pub(super) fn threads() -> Result<Runtime, Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot start threads: {error}"));
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    // Taken before the data is read, so that a busy port is told at once; opened after, so that nobody waits unheard.
    let bound = Bound::new(&settings)?;
    let app = App::open(settings, SystemClock::new()).await?;
    let admin = first_admin(&app).await?;
    let open = bound.open()?;
    banner::print(app.settings(), open.listening, admin.as_ref());
    let stop = stop(&[SignalKind::terminate(), SignalKind::interrupt()])?;
    let served = open.serve(&app, stop).await;
    tracing::info!("stopping");
    app.shutdown().await;
    served
}

/// Addresses that are taken, but where nobody is heard yet.
pub(super) struct Bound {
    public: Socket,
    operations: Option<Socket>,
}

/// Addresses that are listened at.
pub(super) struct Open {
    public: TcpListener,
    operations: Option<TcpListener>,
    /// Where the public one is.
    pub(super) listening: SocketAddr,
}

impl Bound {
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let operations = settings.operations_listen;
        Ok(Self {
            public: bind(settings.listen, "--listen")?,
            operations: operations.map(|address| bind(address, "--operations-listen")).transpose()?,
        })
    }

    pub(super) fn open(self) -> Result<Open, Failure> {
        let (public, listening) = open(self.public)?;
        let operations = self.operations.map(open).transpose()?.map(|(operations, address)| {
            tracing::info!(%address, "metrics and health are answered on a listener of their own");
            operations
        });
        Ok(Open { public, operations, listening })
    }
}

impl Open {
    /// Serves until `stop`. Those who run it are answered until everybody else has gone.
    pub(super) async fn serve(self, app: &App, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
        let (ended, end) = oneshot::channel::<()>();
        let public = async {
            let served = crate::serve(app.clone(), self.public, stop).await;
            drop(ended);
            served
        };
        let operations = async {
            match self.operations {
                Some(listener) => {
                    let ended = async {
                        let _ = end.await;
                    };
                    crate::serve_operations(app.clone(), listener, ended).await
                }
                None => Ok(()),
            }
        };
        let (public, operations) = tokio::join!(public, operations);
        public.and(operations).map_err(|error| Failure::Failed(format!("cannot serve: {error}")))
    }
}

fn bind(address: SocketAddr, flag: &str) -> Result<Socket, Failure> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    bound().map_err(|error: std::io::Error| {
        Failure::Failed(format!("cannot listen on {address}: {error}; choose another address with {flag}"))
    })
}

/// Opens a bound socket, and says where.
fn open(socket: Socket) -> Result<(TcpListener, SocketAddr), Failure> {
    let opened = || {
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    opened().map_err(|error: std::io::Error| Failure::Failed(format!("cannot listen: {error}")))
}

/// Makes an admin when there is none.
async fn first_admin(app: &App) -> Result<Option<FirstAdmin>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("cannot make the first admin: {error}"));
    // Asked first: of nodes that start at once, one that was quicker is an admin and no reason for another name.
    let taken = app.accounts().store().account_named("admin").await.map_err(|error| failed(&error))?.is_some();
    if app.accounts().store().admin_count().await.map_err(|error| failed(&error))? > 0 {
        return Ok(None);
    }
    let password = random_text::<10>().map_err(|error| failed(&error))?;
    let username = if taken {
        format!("admin-{}", random_text::<3>().map_err(|error| failed(&error))?)
    } else {
        "admin".to_owned()
    };
    let draft = Draft {
        username: username.clone(),
        password: password.clone(),
        role: Role::Admin,
        status: AccountStatus::Active,
        is_staff: true,
        ..Draft::default()
    };
    match app.accounts().create(draft, app.now(), None).await {
        Ok(_) => Ok(Some(FirstAdmin { username, password })),
        // Of nodes that start at once, another one was first.
        Err(_) if app.accounts().store().admin_count().await.is_ok_and(|count| count > 0) => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// Ends at the first of these signals; those that come before it is awaited count.
pub(super) fn stop(kinds: &[SignalKind]) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let signals: std::io::Result<Vec<_>> = kinds.iter().map(|&kind| signal(kind)).collect();
    let mut signals = signals.map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
    Ok(poll_fn(move |context| {
        if signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }))
}

/// Logs go to stdout. `PRESENTLY_LOG` takes a filter such as `debug` or `presently=trace`. The first lines name misspelt variables.
///
/// **`trace` is for our own lines alone:** libraries show the bytes that they carry there, and tokens are among them.
pub(super) fn log(format: LogFormat) {
    let wanted = std::env::var("PRESENTLY_LOG").ok().filter(|text| !text.is_empty());
    let (filter, refused) = match wanted.map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(LOGGED), Some(error)),
        None => (EnvFilter::new(LOGGED), None),
    };
    let ours = filter_fn(|line| *line.level() != Level::TRACE || line.target().starts_with("presently"));
    // That nobody reads the log is said nowhere: stderr is for why the program failed.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stdout).log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stdout().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second subscriber in one process is refused, which only tests do.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter.and(ours))).try_init();
    variables::warn_of_unknown(&cli::command());
    if let Some(error) = refused {
        tracing::warn!(%error, "PRESENTLY_LOG is no filter, so it is passed over: write for example debug");
    }
}
