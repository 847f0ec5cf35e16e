//! What all requests share, and what runs beside them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use presently::clock::Clock;
use presently::{Now, Presently, Reason, Told, Transitions};
use presently_accounts::{AccountId, Accounts, SecretKey, Settings as AccountSettings};
use presently_sql::PostgresStores;
use presently_sql::postgres::Node;
use tokio::task::JoinHandle;

use crate::bodies::Bodies;
use crate::database::{Database, DatabaseUrl};
use crate::folder::Folder;
use crate::large::LargeAnswers;
use crate::metrics::Metrics;
use crate::panel::figures::{Figures, SAMPLE_EVERY, TALLY_EVERY};
use crate::push::tickets::Tickets;
use crate::push::{NOTICE_EVERY, Push};
use crate::settings::{BadSettings, Cluster, Settings};
use crate::{docs_page, routes};

/// The name of what tells one secret key from another, among the secrets in a database.
const SECRET_MARK: &str = "secret-key-mark";
/// How often accounts are checked for changes that other processes made (the contract allows a second).
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How often the figures that histograms gathered are folded.
const FOLD_EVERY: Duration = Duration::from_secs(5);
/// How often caches, counters and expired sessions are tidied.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// A presence server without a listener: the stores, the engine, the accounts and the tasks around them. All clones are one.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    settings: Settings,
    presently: Presently,
    accounts: Accounts,
    database: Database,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    push: Push,
    bodies: Arc<Bodies>,
    large_answers: Arc<LargeAnswers>,
    figures: Figures,
    started: Now,
    openapi: Bytes,
    docs: Bytes,
    /// Held while an account and its presence change together, so that both see the acts in one order.
    acts: tokio::sync::Mutex<()>,
    /// Held while accounts are listed by their presence.
    listings: tokio::sync::Mutex<()>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Keeps the data folder locked against a second server.
    _folder: Option<Folder>,
}

/// Why a server did not start: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that do not do: exit code 2.
    #[error("{0}")]
    Settings(#[from] BadSettings),
    /// Everything else: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl App {
    /// Opens the data folder and the database, loads what was known, and starts the engine.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub async fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let url = DatabaseUrl::parse(&settings.database_url)?;
        let bus = settings.cluster.as_ref().map(Cluster::bus).transpose()?;
        // A key that does not do is refused before anything is made.
        let secret_key = |text: String| {
            SecretKey::new(text).map_err(|error| StartError::from(BadSettings(format!("secret_key: {error}"))))
        };
        let given = settings.secret_key.clone().map(secret_key).transpose()?;
        let folder = url.lock().map_err(StartError::Failed)?;
        let metrics = Metrics::install();
        let node = settings.cluster.as_ref().and_then(|cluster| Node::new(&cluster.node_name)).unwrap_or_default();
        let database = url.open_as(node).await.map_err(StartError::Failed)?;
        database.hold().await.map_err(StartError::Failed)?;
        let secret = match given {
            Some(secret) => secret,
            None => secret_key(database.secret_key(folder.as_ref()).await.map_err(StartError::Failed)?)?,
        };
        let tickets = match &database {
            Database::Postgres(stores) if bus.is_some() => Tickets::shared(stores.clone(), secret.bytes()),
            _ => Tickets::here(),
        };
        let accounts = Accounts::new(
            database.accounts(),
            AccountSettings {
                secret: secret.clone(),
                access_lifetime: settings.access_token_lifetime,
                refresh_lifetime: settings.refresh_token_lifetime,
                refresh_rotation: settings.refresh_rotation,
                session_lifetime_max: settings.session_lifetime_max,
            },
        );
        let failed = |error: &dyn std::fmt::Display| StartError::Failed(format!("cannot read the database: {error}"));
        accounts.follow_changes().await.map_err(|error| failed(&error))?;
        tokio::spawn(accounts.warm_up());
        let (config, store) = (settings.presence()?, database.presence());
        let presently = match bus {
            None => Presently::open(config, store, Arc::clone(&clock)).await,
            Some(bus) => Presently::open_in(config, store, Arc::clone(&clock), Arc::new(bus)).await,
        };
        let presently = presently.map_err(|error| failed(&error))?;
        if let Database::Postgres(stores) = &database
            && settings.cluster.is_some()
            && let Err(refusal) = agree_on_secret(stores, &secret, &presently).await
        {
            // The others shall not wait for the end of its lease.
            let _ = presently.shutdown().await;
            return Err(refusal);
        }
        for account in accounts.store().barred().await.map_err(|error| failed(&error))? {
            let user = account.to_string();
            // Another node may have said so already.
            if !presently.explain(&user).is_some_and(|explained| explained.barred) {
                presently.bar(&user).await.map_err(|error| failed(&error))?;
            }
        }
        let mut openapi = routes::openapi();
        if settings.demo {
            routes::mark_as_demo(&mut openapi);
        }
        let app = Self(Arc::new(Inner {
            docs: docs_page::render(&openapi).into(),
            openapi: openapi.to_json().map_err(|error| failed(&error))?.into(),
            push: Push::new(tickets, settings.seats(), settings.streams_per_user_max),
            bodies: Arc::default(),
            large_answers: Arc::default(),
            figures: Figures::default(),
            started: clock.now(),
            settings,
            presently,
            accounts,
            database,
            clock,
            metrics,
            acts: tokio::sync::Mutex::new(()),
            listings: tokio::sync::Mutex::new(()),
            tasks: Mutex::new(Vec::new()),
            _folder: folder,
        }));
        app.settle_interrupted().await.map_err(|error| failed(&error))?;
        let tasks = vec![
            tokio::spawn(follow(Arc::downgrade(&app.0))),
            tokio::spawn(notice(Arc::downgrade(&app.0))),
            tokio::spawn(tidy(Arc::downgrade(&app.0), Arc::clone(app.clock()))),
            tokio::spawn(fold_metrics(Arc::downgrade(&app.0))),
            tokio::spawn(sample(Arc::downgrade(&app.0), Arc::clone(app.clock()))),
            tokio::spawn(tally(Arc::downgrade(&app.0), Arc::clone(app.clock()))),
        ];
        app.0.tasks.lock().extend(tasks);
        if app.0.settings.cluster.is_some() {
            let hearing = hear_of_departures(app.presently().subscribe(), Arc::downgrade(&app.0));
            app.0.tasks.lock().push(tokio::spawn(hearing));
        }
        Ok(app)
    }

    /// The presence library's handle.
    #[must_use]
    pub fn presently(&self) -> &Presently {
        &self.0.presently
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Whether everything here is made up and goes with the process: pages show it.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.0.settings.demo
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What the open streams and sockets share.
    pub(crate) fn push(&self) -> &Push {
        &self.0.push
    }

    /// What bodies and messages that are under way hold.
    pub(crate) fn bodies(&self) -> &Arc<Bodies> {
        &self.0.bodies
    }

    /// The large answers under way.
    pub(crate) fn large_answers(&self) -> &Arc<LargeAnswers> {
        &self.0.large_answers
    }

    /// What the overview draws.
    pub(crate) fn figures(&self) -> &Figures {
        &self.0.figures
    }

    /// When this process opened its stores.
    pub(crate) fn started(&self) -> Now {
        self.0.started
    }

    /// The OpenAPI document, as JSON.
    #[must_use]
    pub fn openapi(&self) -> Bytes {
        self.0.openapi.clone()
    }

    pub(crate) fn docs(&self) -> Bytes {
        self.0.docs.clone()
    }

    /// Wall time, for accounts and tokens.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.clock.now().wall.0).unwrap_or(Timestamp::MAX)
    }

    /// Held while an account and its presence change together.
    pub(crate) async fn acting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.acts.lock().await
    }

    /// Held while accounts are listed by their presence, which costs by how many there are: one such list at a time.
    pub(crate) async fn listing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.listings.lock().await
    }

    /// Whether the store answers and can be written to, and the other nodes are in reach where there may be others.
    ///
    /// # Errors
    /// Why not, for people.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        self.0.database.probe().await.map_err(|error| error.to_string())?;
        self.0.presently.health().map_err(|error| error.to_string())?;
        match self.0.presently.cluster_health() {
            Some(Err(error)) => Err(format!("this node is cut off from the others and decides alone: {error}")),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Keeps everything and stops; the listener must be closed before.
    pub async fn shutdown(&self) {
        for task in self.0.tasks.lock().drain(..) {
            task.abort();
        }
        if let Err(error) = self.0.presently.shutdown().await {
            tracing::error!(%error, "the last moments were not kept");
        }
        self.0.database.close().await;
    }
}

/// Refuses a secret that is not the one of the nodes that run: each would refuse the tokens of the others.
async fn agree_on_secret(stores: &PostgresStores, secret: &SecretKey, presently: &Presently) -> Result<(), StartError> {
    let failed = |error| StartError::Failed(format!("cannot read the database: {error}"));
    let mark = secret.mark();
    let theirs = stores.secret(SECRET_MARK, &mark).await.map_err(failed)?;
    if theirs == mark {
        return Ok(());
    }
    if presently.members() > 1 {
        return Err(StartError::Failed(
            "secret_key is another one than that of the nodes that run, which would refuse each other's tokens; \
             give all of them the same, or none"
                .to_owned(),
        ));
    }
    // Nobody is there who has the old one.
    stores.replace_secret(SECRET_MARK, &mark).await.map_err(failed)
}

/// Follows what other processes do to accounts (`presently user …`), so that it holds here too.
async fn follow(app: std::sync::Weak<Inner>) {
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade().map(App) else { return };
        match app.follow_changes().await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "changes of accounts cannot be followed; trying again");
            }
            Err(_) => {}
        }
    }
}

/// Wakes streams and sockets when rights were taken from anybody.
async fn notice(app: std::sync::Weak<Inner>) {
    let mut ticks = tokio::time::interval(NOTICE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade() else { return };
        app.push.notice(&app.accounts);
    }
}

/// Hears at once of those who were signed out at another node: the accounts' own way there takes a moment in which a heartbeat
/// here would bring them back. Sockets here say that it was an administrator, when it was.
async fn hear_of_departures(mut told: Transitions, app: std::sync::Weak<Inner>) {
    while let Some(told) = told.next().await {
        let Told::Transition(transition) = told else { continue };
        if !matches!(transition.reason, Reason::Logout | Reason::ForcedLogout | Reason::Barred) {
            continue;
        }
        let Some(app) = app.upgrade() else { return };
        if transition.reason == Reason::ForcedLogout {
            app.push.crowd.force_out(&transition.user);
        }
        if let Ok(account) = transition.user.parse() {
            app.accounts.doubt(AccountId(account));
        }
    }
}

async fn tidy(app: std::sync::Weak<Inner>, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(TIDY_EVERY).await;
        let Some(app) = app.upgrade().map(App) else { return };
        app.push().tickets.tidy(app.clock().now()).await;
        if let Err(error) = app.accounts().tidy(app.now()).await {
            tracing::warn!(%error, "expired sessions were not dropped; trying again in a minute");
        }
    }
}

async fn fold_metrics(app: std::sync::Weak<Inner>) {
    let mut ticks = tokio::time::interval(FOLD_EVERY);
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade() else { return };
        app.metrics.tidy();
    }
}

/// Reckons the last day from the history, and samples from then on.
async fn sample(app: std::sync::Weak<Inner>, clock: Arc<dyn Clock>) {
    {
        let Some(app) = app.upgrade() else { return };
        if let Err(error) = app.figures.reckon(&app.presently).await {
            tracing::warn!(%error, "the overview begins without the history");
        }
    }
    loop {
        clock.sleep(SAMPLE_EVERY).await;
        let Some(app) = app.upgrade() else { return };
        app.figures.sample(&app.presently);
    }
}

async fn tally(app: std::sync::Weak<Inner>, clock: Arc<dyn Clock>) {
    loop {
        {
            let Some(app) = app.upgrade() else { return };
            app.figures.tally(clock.now().tick, app.metrics.tally(&app.presently));
        }
        clock.sleep(TALLY_EVERY).await;
    }
}
