//! The handle that programs hold, and the life of what is behind it. **All clones are one**, and the last one that goes stops everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::bus::{Bus, BusError};
use crate::clock::Clock;
use crate::cluster::{self, Cluster};
use crate::compare;
use crate::config::{Config, Error};
use crate::listener::{self, Heard};
use crate::metrics::Metrics;
use crate::outbox::queue::Queue;
use crate::outbox::writer;
use crate::restore;
use crate::shard::{SHARDS, Shards};
use crate::shared::{Ending, Health, Shared};
use crate::store::{Store, StoreError};
use crate::sweeper;
use crate::task::supervise;
use crate::upkeep;
use crate::veil::VeilCount;
use crate::watch::Stream;

/// How long a shutdown may take.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(10);
/// Watchers who begin anew at once: the others wait for their turn.
const ANEW_MAX: usize = 64;
/// Places users in shards on the nodes of a cluster.
const SHARDS_SEED: u64 = 0x70_72_65_73_65_6e_74_6c;
/// Rows of one batch of the last words.
const LAST_ROWS: usize = 10_000;

/// A presence server in a handle: cheap to clone, all clones are one.
///
/// Dropping the last clone without [`shutdown`](Self::shutdown) is like a crash: what was kept is kept, and the next
/// [`open`](Self::open) finds everybody with a `last_seen` that is a second or two old.
#[derive(Clone, Debug)]
pub struct Presently {
    life: Arc<Life>,
}

#[derive(Debug)]
struct Life {
    shared: Arc<Shared>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    /// They end when they are asked to.
    rounds: Vec<JoinHandle<()>>,
    /// Writes until the end.
    writer: Option<JoinHandle<()>>,
}

impl Presently {
    /// Loads what the store knows, and starts. Must be called within a tokio runtime, which runs the background tasks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(config: Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::begin(config, store, clock, None).await
    }

    /// The same as one of several nodes, which share the store and the bus. Returns when this node is a member, or decides alone
    /// because the bus is out of reach: it joins the others when that is back.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open_in(
        config: Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        bus: Arc<dyn Bus>,
    ) -> Result<Self, StoreError> {
        Self::begin(config, store, clock, Some(bus)).await
    }

    async fn begin(
        config: Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        bus: Option<Arc<dyn Bus>>,
    ) -> Result<Self, StoreError> {
        let timeout = config.policy.inactivity_timeout();
        let opened = clock.now();
        let mut restored = restore::load(&*store, timeout, opened).await?;
        let (first_number, oldest_block) = (restored.first_number, restored.oldest_block);
        let [life, users_seed, mut shards_seed, epoch, index_seed] = seeds()?;
        if bus.is_some() {
            // What one node says of a shard is of the same users at every other.
            shards_seed = SHARDS_SEED;
            restored.begin_silence_anew(timeout);
        }
        let shards = Shards::new(config.policy, config.limits, first_number, [users_seed, shards_seed]);
        let (cluster, restored) = match bus {
            Some(bus) => (Some(Cluster::new(bus, restored, opened.tick)), None),
            None => (None, Some(restored)),
        };
        let shared = Arc::new(Shared {
            config,
            clock,
            store,
            shards,
            queue: Queue::default(),
            stream: Stream::new(epoch, index_seed),
            cluster,
            anew: tokio::sync::Semaphore::new(ANEW_MAX),
            veils: VeilCount::default(),
            heard: tokio::sync::Mutex::new(Heard::new(life, opened.tick, oldest_block)),
            metrics: Metrics::new(),
            health: Health::new(),
            users: AtomicI64::new(0),
            ending: Ending::new(),
        });
        if let Some(restored) = restored {
            shared.restore(restored);
        }
        let mut rounds = vec![
            supervise("sweeper", &shared, sweeper::sweep_on),
            supervise("listener", &shared, listener::listen),
            supervise("upkeep", &shared, upkeep::keep_up),
        ];
        if let Some(cluster) = &shared.cluster {
            shared.queue.be_one_of_several();
            rounds.push(supervise("cluster", &shared, cluster::take_part));
            // The sender lives as long as this.
            let _ = cluster.settled.subscribe().wait_for(|&settled| settled).await;
        }
        let tasks = Tasks { rounds, writer: Some(supervise("writer", &shared, writer::write_down)) };
        Ok(Self { life: Arc::new(Life { shared, tasks: Mutex::new(tasks) }) })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.life.shared
    }

    /// Ends everything that is due, and returns when that was kept and told: what the background sweep does, on demand. Of several nodes
    /// each ends what is its own.
    ///
    /// # Errors
    /// As [`settled`](Self::settled).
    pub async fn sweep(&self) -> Result<(), Error> {
        self.shared().closed()?;
        sweeper::sweep(self.shared()).await;
        self.settled().await
    }

    /// Returns when everything decided so far was kept and told. One of several nodes has then also followed whatever any of them had
    /// put into the log before, and what was asked of it itself: who reads here after that reads at least that. (What was asked of another
    /// node a moment ago may not be in the log yet; to settle them all, settle each, and each once more.)
    ///
    /// # Errors
    /// [`Error::Store`] when the store refused it: it was told all the same. [`Error::Full`] when too much waits to be decided by
    /// the cluster. [`Error::Closed`].
    pub async fn settled(&self) -> Result<(), Error> {
        self.shared().closed()?;
        if let Some(cluster) = &self.shared().cluster {
            cluster.caught_up(self.shared()).await?;
        }
        let kept = self.shared().queue.settled(self.now().tick);
        self.kept(kept).await
    }

    /// Keeps what was heard until now, so that a crash after this loses none of it: what the background does each second, on demand.
    ///
    /// # Errors
    /// The store did not keep it; it is tried again within a second.
    pub async fn keep_evidence(&self) -> Result<(), Error> {
        self.shared().closed()?;
        Ok(crate::listener::append(self.shared()).await?)
    }

    /// `Ok` when the store takes what is decided; the error of the last attempt otherwise.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub fn health(&self) -> Result<(), StoreError> {
        self.shared().health.now()
    }

    /// `Ok` while this node and the others tell each other what they decide; else why it is cut off: everything is served all the
    /// same, and decided by this node alone. `None` when there are no others by [how it was opened](Self::open).
    #[must_use]
    pub fn cluster_health(&self) -> Option<Result<(), BusError>> {
        self.shared().cluster.as_ref().map(Cluster::health)
    }

    /// How many nodes take part, this one included; 0 while it is cut off, and where there is [no other](Self::open).
    #[must_use]
    pub fn members(&self) -> usize {
        self.shared().cluster.as_ref().filter(|cluster| cluster.is_member()).map_or(0, Cluster::members)
    }

    /// Compares the store's view with the engine's and mends it; returns the number of differences. Done once a minute in the background.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read, or does not keep what is mended; [`Error::Closed`].
    pub async fn compare(&self) -> Result<u64, Error> {
        self.shared().closed()?;
        let present = compare::present(self.shared()).await;
        compare::compare(self.shared(), &present).await
    }

    /// Keeps everything and stops, within ten seconds. What comes later is [`Error::Closed`]. Giving up on the wait stops
    /// nothing; a second call waits for the first.
    ///
    /// # Errors
    /// When the store did not keep everything: a restart then finds what a crash would have left.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        let mut ended = self.shared().ending.ended.subscribe();
        if !self.shared().ending.closed.swap(true, Ordering::AcqRel) {
            let presently = self.clone();
            tokio::spawn(async move { presently.end().await });
        }
        let kept = ended.wait_for(Option::is_some).await.ok().and_then(|kept| kept.clone());
        kept.unwrap_or(Ok(()))
    }

    async fn end(self) {
        let shared = self.shared();
        // Whoever decided something did so before its shard closed, and what was decided is in the queue.
        (0..SHARDS).for_each(|place| shared.shards.at(place, |shard| shard.closed = true));
        if let Some(cluster) = &shared.cluster {
            cluster.leave(shared).await;
        }
        shared.ending.stop.send_replace(true);
        let mut too_late = shared.clock.sleep(SHUTDOWN_WITHIN);
        let kept = tokio::select! {
            kept = self.last_words() => kept,
            () = &mut too_late => {
                Err(StoreError::Unavailable(format!("it did not keep everything within {SHUTDOWN_WITHIN:?}")))
            }
        };
        let kept = match kept {
            Ok(()) => tokio::select! {
                kept = self.last_rows() => kept,
                // A restart knows it all from the evidence; only programs that read the table see older times.
                () = too_late => Ok(()),
            },
            Err(error) => Err(error),
        };
        self.life.tasks.lock().abort();
        shared.stream.close();
        // Whoever still waits is told by the end of their channel.
        drop(shared.queue.take());
        drop(shared.cluster.as_ref().map(|cluster| cluster.proposals.close()));
        match &kept {
            Ok(()) => tracing::info!("everything is kept; presence ends"),
            Err(error) => tracing::error!(%error, "not everything could be kept; presence ends"),
        }
        shared.ending.ended.send_replace(Some(kept));
    }

    /// What a restart cannot do without: what was heard, and what was decided.
    async fn last_words(&self) -> Result<(), StoreError> {
        let shared = self.shared();
        let rounds = std::mem::take(&mut self.life.tasks.lock().rounds);
        for round in rounds {
            // One that panicked has nothing to hand over.
            let _ = round.await;
        }
        listener::append(shared).await?;
        compare::settled(shared).await
    }

    /// Everybody's exact `last_seen`, for whoever reads the table.
    async fn last_rows(&self) -> Result<(), StoreError> {
        let shared = self.shared();
        if shared.cluster.as_ref().is_some_and(Cluster::has_heir) {
            return Ok(());
        }
        let present = compare::present(shared).await;
        for names in present.chunks(LAST_ROWS) {
            names.iter().for_each(|user| upkeep::save(shared, user));
            compare::settled(shared).await?;
        }
        Ok(())
    }
}

impl Tasks {
    fn abort(&mut self) {
        self.rounds.drain(..).chain(self.writer.take()).for_each(|task| task.abort());
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.tasks.get_mut().abort();
        self.shared.stream.close();
    }
}

/// Random numbers for hashing and for the name of this life.
fn seeds() -> Result<[u64; 5], StoreError> {
    let mut seeds = [0; 5];
    for seed in &mut seeds {
        *seed = getrandom::u64().map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))?;
    }
    Ok(seeds)
}
