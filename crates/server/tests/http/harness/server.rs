//! The life of a server: it starts, time passes, it stops or crashes, and starts again in the same folder.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use presently::Timestamp;
use presently::clock::{Clock, ManualClock};
use presently_server::{App, Settings};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::wire::Wire;
use super::{SECRET, rfc3339, secs};

/// A running server with its folder and its clock.
pub(crate) struct TestServer {
    running: Option<Running>,
    clock: Arc<ManualClock>,
    folder: TempDir,
    prepare: Box<dyn Fn(&mut Settings) + Send + Sync>,
    pub(super) wire: Arc<Wire>,
}

/// One life of the server, on a runtime of its own: ending the runtime is how it crashes.
struct Running {
    app: App,
    runtime: tokio::runtime::Runtime,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    /// A server with the default settings.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server with settings of its own.
    pub(crate) async fn start_with(prepare: impl Fn(&mut Settings) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = ManualClock::new();
        let prepare: Box<dyn Fn(&mut Settings) + Send + Sync> = Box::new(prepare);
        let (running, address) = run(folder.path(), &*prepare, clock.clone()).await;
        Self { running: Some(running), clock, folder, prepare, wire: Arc::new(Wire::to(address)) }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    /// The server's own handles.
    pub(crate) fn app(&self) -> App {
        self.running().app.clone()
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.wire.address()
    }

    /// Runs `work` where the server runs.
    pub(crate) async fn on_server<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.running().runtime.spawn(work).await.expect("the work ended")
    }

    // ---- time ---------------------------------------------------------------------------------------------------

    /// Moves the clock, and returns when everything due was done.
    pub(crate) async fn advance(&self, length: Duration) {
        let mut left = length;
        loop {
            self.settled().await;
            // In steps that no write can seem slow in: the store works in real time, whatever the clock says. Where nobody
            // is present nothing is written.
            let step = if self.app().presently().counts().users == 0 { left } else { secs(1) };
            self.clock.advance(left.min(step));
            left = left.saturating_sub(step);
            let app = self.app();
            let work = async move {
                app.presently().keep_evidence().await?;
                app.presently().sweep().await
            };
            self.on_server(work).await.expect("the sweep was kept");
            if left.is_zero() {
                return;
            }
        }
    }

    /// Returns when everything decided so far was kept: what is being written while the clock jumps would seem slow.
    async fn settled(&self) {
        let app = self.app();
        self.on_server(async move { app.presently().settled().await }).await.expect("everything was kept");
    }

    /// Steps the wall clock alone.
    pub(crate) async fn step_wall(&self, seconds: i64) {
        self.clock.step_wall(seconds * 1_000_000);
        self.advance(Duration::ZERO).await;
    }

    /// The wall clock.
    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// The wall clock, as it looks on the wire.
    pub(crate) fn now(&self) -> String {
        rfc3339(self.wall())
    }

    /// The wall clock in whole seconds, as tokens have it.
    pub(crate) fn unix(&self) -> i64 {
        self.wall().0.div_euclid(1_000_000)
    }

    // ---- life ---------------------------------------------------------------------------------------------------

    /// Stops the server as SIGTERM does, and starts it in the same folder `down` later.
    pub(crate) async fn restart_after(&mut self, down: Duration) {
        let Running { app, runtime, stop, serving } = self.running.take().expect("the server runs");
        let _ = stop.send(());
        serving.await.expect("the server did not panic").expect("the server stopped cleanly");
        runtime.spawn(async move { app.shutdown().await }).await.expect("shutdown did not panic");
        end(runtime);
        self.begin(down).await;
    }

    /// Stops the server and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(Duration::ZERO).await;
    }

    /// Ends the server without a goodbye, and starts it in the same folder `down` later.
    pub(crate) async fn crash_for(&mut self, down: Duration) {
        let Running { app, runtime, .. } = self.running.take().expect("the server runs");
        end(runtime);
        drop(app);
        self.begin(down).await;
    }

    async fn begin(&mut self, down: Duration) {
        let clock = ManualClock::new();
        let offset = self.wall().0 - clock.now().wall.0;
        clock.step_wall(offset + i64::try_from(down.as_micros()).expect("a sane downtime"));
        self.clock = clock.clone();
        let (running, address) = run(self.folder.path(), &*self.prepare, clock).await;
        self.running = Some(running);
        self.wire.leads_to(address);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

async fn run(
    folder: &Path,
    prepare: &(dyn Fn(&mut Settings) + Send + Sync),
    clock: Arc<ManualClock>,
) -> (Running, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut settings = Settings::in_folder(folder);
    settings.secret_key = Some(SECRET.to_owned());
    prepare(&mut settings);
    let opening = runtime.spawn(async move {
        let app = App::open(settings, clock).await.map_err(|error| error.to_string())?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        Ok::<_, String>((app, listener))
    });
    let (app, listener) = opening.await.expect("opening did not panic").expect("the server opens");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let serving = runtime.spawn(presently_server::serve(app.clone(), listener, async move {
        let _ = stopped.await;
    }));
    (Running { app, runtime, stop, serving }, address)
}

/// Ends a runtime with everything on it, and returns when nothing of it is left.
fn end(runtime: tokio::runtime::Runtime) {
    std::thread::spawn(move || runtime.shutdown_timeout(secs(10))).join().expect("the runtime ended");
}
