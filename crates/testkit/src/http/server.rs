//! The life of a server: it starts, time passes, it stops or crashes, and starts again in the same folder.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use presently::Timestamp;
use presently::clock::{Clock, ManualClock};
use presently_server::{App, Settings};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::nodes::{Group, Node, Nodes, OneNode, agree, agree_now, count, on_each};
use super::wire::Wire;
use super::{SECRET, TIMEOUT, documented, rfc3339};
use crate::secs;

/// A running server with its folder and its clock: one node, or several (`nodes`).
pub struct TestServer {
    running: Vec<Running>,
    group: Option<Group>,
    clock: Arc<ManualClock>,
    folder: TempDir,
    prepare: Box<dyn Fn(&mut Settings) + Send + Sync>,
    pub(super) wire: Arc<Wire>,
}

/// One life of a node, on a runtime of its own: ending the runtime is how it crashes.
struct Running {
    app: App,
    runtime: tokio::runtime::Runtime,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    /// A server with the default settings.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server with settings of its own.
    pub async fn start_with(prepare: impl Fn(&mut Settings) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = ManualClock::new();
        let prepare: Box<dyn Fn(&mut Settings) + Send + Sync> = Box::new(prepare);
        let group = Group::new().await;
        let wire = Arc::new(Wire::default());
        let mut server = Self { running: Vec::new(), group, clock, folder, prepare, wire };
        server.run().await;
        server
    }

    /// Speaks to one node only, of however many there are.
    pub fn speak_to(&self, _why: OneNode) {
        self.wire.leads_to_one();
    }

    /// The server's own handles; of several nodes, the first one's when all agree.
    pub fn app(&self) -> App {
        let nodes = self.nodes();
        agree_now(&nodes);
        nodes[0].app.clone()
    }

    /// The handles of all nodes.
    pub fn nodes(&self) -> Nodes {
        self.wire.nodes()
    }

    /// Where the server listens; of several nodes, the next one when all agree.
    pub fn address(&self) -> SocketAddr {
        agree_now(&self.nodes());
        self.wire.address()
    }

    /// Runs `work` where the server runs.
    pub async fn on_server<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.running[0].runtime.spawn(work).await.expect("the work ended")
    }

    /// Returns when all nodes know what any of them has answered; at once where there is one.
    pub async fn agree(&self) {
        agree(&self.nodes()).await;
    }

    // ---- time ---------------------------------------------------------------------------------------------------

    /// Moves the clock, and returns when everything due was done.
    pub async fn advance(&self, length: Duration) {
        let mut left = length;
        loop {
            self.settled().await;
            // In steps that no write can seem slow in: the store works in real time, whatever the clock says. Where nobody
            // is present nothing is written.
            let step = if self.nodes()[0].app.presently().counts().users == 0 { left } else { secs(1) };
            self.clock.advance(left.min(step));
            left = left.saturating_sub(step);
            let nodes = self.nodes();
            let swept = on_each(&nodes, |app| async move {
                app.presently().keep_evidence().await?;
                app.presently().sweep().await
            });
            swept.await.into_iter().for_each(|swept| swept.expect("the sweep was kept"));
            if left.is_zero() {
                return self.agree().await;
            }
        }
    }

    /// Returns when everything decided so far was kept: what is being written while the clock jumps would seem slow.
    pub async fn settled(&self) {
        self.agree().await;
        let nodes = self.nodes();
        let settled = on_each(&nodes, |app| async move { app.presently().settled().await });
        settled.await.into_iter().for_each(|settled| settled.expect("everything was kept"));
    }

    /// Steps the wall clock alone.
    pub async fn step_wall(&self, seconds: i64) {
        self.clock.step_wall(seconds * 1_000_000);
        self.advance(Duration::ZERO).await;
    }

    /// The wall clock.
    pub fn wall(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// The wall clock, as it looks on the wire.
    pub fn now(&self) -> String {
        rfc3339(self.wall())
    }

    /// The wall clock in whole seconds, as tokens have it.
    pub fn unix(&self) -> i64 {
        self.wall().0.div_euclid(1_000_000)
    }

    // ---- life ---------------------------------------------------------------------------------------------------

    /// Stops the server as SIGTERM does, and starts it in the same folder `down` later. Of several nodes one stops after the other.
    pub async fn restart_after(&mut self, down: Duration) {
        self.agree().await;
        self.wire.leads_nowhere();
        for Running { app, runtime, stop, serving } in self.running.drain(..) {
            let _ = stop.send(());
            serving.await.expect("the server did not panic").expect("the server stopped cleanly");
            runtime.spawn(async move { app.shutdown().await }).await.expect("shutdown did not panic");
            end(runtime);
        }
        self.begin(down).await;
    }

    /// How long a session may be silent after a restart of all that had this much of its timeout left: each of several nodes listened in its
    /// own time, so there everybody begins anew.
    pub fn rest_after_restart(&self, rest: Duration) -> Duration {
        if self.group.is_some() { TIMEOUT } else { rest }
    }

    /// Stops the server and starts it again.
    pub async fn restart(&mut self) {
        self.restart_after(Duration::ZERO).await;
    }

    /// Ends the server, all nodes of it, without a goodbye, and starts it in the same folder `down` later.
    pub async fn crash_for(&mut self, down: Duration) {
        self.wire.leads_nowhere();
        for Running { app, runtime, .. } in self.running.drain(..) {
            end(runtime);
            drop(app);
        }
        if let Some(group) = &self.group {
            group.ends_leases();
        }
        self.begin(down).await;
    }

    async fn begin(&mut self, down: Duration) {
        let clock = ManualClock::new();
        let offset = self.wall().0 - clock.now().wall.0;
        clock.step_wall(offset + i64::try_from(down.as_micros()).expect("a sane downtime"));
        self.clock = clock;
        self.run().await;
    }

    /// Starts one node after the other.
    async fn run(&mut self) {
        let mut nodes = Vec::new();
        for number in 0..count() {
            let mut settings = Settings::in_folder(self.folder.path());
            if let Some(group) = &self.group {
                group.settings(number, &mut settings);
            }
            settings.secret_key = Some(SECRET.to_owned());
            (self.prepare)(&mut settings);
            let (running, address) = run(settings, self.clock.clone()).await;
            documented::learn(&running.app.openapi());
            nodes.push(Node { app: running.app.clone(), address, runtime: running.runtime.handle().clone() });
            self.running.push(running);
        }
        if let Some(group) = &self.group {
            group.hears_whispers().await;
        }
        self.wire.leads_to(nodes);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.wire.leads_nowhere();
        for running in self.running.drain(..) {
            running.runtime.shutdown_background();
        }
    }
}

async fn run(settings: Settings, clock: Arc<ManualClock>) -> (Running, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
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
