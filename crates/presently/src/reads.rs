//! Questions. **Memory first, then what the store does not have yet, then the store**: no answer is older than one that was told.

use std::time::Duration;

use presently_core::PresenceRow;

use crate::config::{Error, Stats};
use crate::handle::Presently;
use crate::privacy::Viewer;
use crate::shard::presence;
use crate::shared::Known;
use crate::store::{NetChange, Sight, TransitionRow};
use crate::{Counts, Explanation, Now, Policy, Presence, Status, Timestamp, Transitions, UserId};

impl Presently {
    /// Whether the user is shown online (away is not).
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn is_online(&self, user: &str) -> Result<bool, Error> {
        Ok(self.presence(user).await?.status == Status::Online)
    }

    /// From memory, else from the store. An unknown user is offline, never seen.
    ///
    /// # Errors
    /// [`Error::Store`] when only the store knows and it does not answer; [`Error::Closed`].
    pub async fn presence(&self, user: &str) -> Result<Presence, Error> {
        self.shared().closed()?;
        let known = self.known(user);
        self.completed(user, known).await
    }

    /// In the order asked, one store call at most for those not in memory (one for each 10,000).
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn presences(&self, users: &[UserId]) -> Result<Vec<Presence>, Error> {
        self.presences_seen_by(&Viewer::Admin, users).await
    }

    /// From memory alone: `None` is offline, with a `last_seen` that only the store knows.
    #[must_use]
    pub fn live(&self, user: &str) -> Option<Presence> {
        self.shared().shards.with(user, |shard| shard.engine.presence(user))
    }

    /// Everybody online or away, in no particular order.
    pub async fn online_users(&self) -> Vec<Presence> {
        let mut all = Vec::new();
        let mut add = |user: &str, status, last_seen, since| all.push(presence(user, status, last_seen, since));
        self.shared().visit(&mut add).await;
        all
    }

    /// The first `limit` of those online or away, newest `last_seen` first (ties: user id, ascending), strictly after `after`.
    /// Who was never seen comes last, as if seen at the beginning of time.
    pub async fn newest_online(&self, after: Option<(Timestamp, UserId)>, limit: usize) -> Vec<Presence> {
        self.newest_online_seen_by(&Viewer::Admin, after, limit, |_, _| true).await
    }

    /// Why the user has the status they have; `None` for one who is not in memory.
    #[must_use]
    pub fn explain(&self, user: &str) -> Option<Explanation> {
        let shared = self.shared();
        shared.shards.with(user, |shard| shard.engine.explain(shared.clock.now(), user))
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared().shards.counts().0
    }

    /// The kept history of a user: `from <= at < to`, oldest first, the newest `limit` of them.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Closed`].
    pub async fn transitions(
        &self,
        user: &str,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<TransitionRow>, Error> {
        self.shared().closed()?;
        Ok(self.shared().store.transitions(&user.into(), Sight::Insider, from, to, limit).await?)
    }

    /// How the numbers of those online and away changed with `from <= at < to`, by slices of `every`: what the kept history says.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Closed`].
    pub async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, Error> {
        self.shared().closed()?;
        Ok(self.shared().store.net_changes(from, to, every).await?)
    }

    /// When the kept history begins; `None` when nothing is kept.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Closed`].
    pub async fn history_begins(&self) -> Result<Option<Timestamp>, Error> {
        self.shared().closed()?;
        Ok(self.shared().store.history_begins().await?)
    }

    /// This moment, on the clock that decides.
    #[must_use]
    pub fn now(&self) -> Now {
        self.shared().clock.now()
    }

    /// The timings.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.shared().config.policy
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        use std::sync::atomic::Ordering::Relaxed;
        let shared = self.shared();
        let (counts, evidence) = shared.shards.counts();
        Stats {
            counts,
            pending: (shared.queue.len() + shared.queue.backlog()) as u64,
            evidence,
            history_dropped: shared.health.history_dropped.load(Relaxed),
            mended: shared.health.repaired.load(Relaxed),
        }
    }

    /// [`stats`](Self::stats) without what invisible users do: what whoever may read them may know.
    pub async fn stats_of_visible(&self) -> Stats {
        let shared = self.shared();
        let (counts, evidence) = (shared.counts_of_visible(None).await, shared.shards.evidence_of_visible());
        Stats { counts, evidence, ..self.stats() }
    }

    /// Every transition from now on, each after the store kept it (or, while the store is down, after it refused), in order.
    /// The first subscriber within a second of [`open`](Self::open) also gets what was told before: what the restart decided.
    #[must_use]
    pub fn subscribe(&self) -> Transitions {
        self.subscribe_seen_by(Viewer::Admin)
    }

    fn known(&self, user: &str) -> Known {
        let shared = self.shared();
        shared.shards.with(user, |shard| shared.known(shard, user))
    }

    /// Asks the store for what is not known of this moment.
    pub(crate) async fn completed(&self, user: &str, known: Known) -> Result<Presence, Error> {
        if known.complete {
            return Ok(concluded(user, known, None));
        }
        let mut rows = self.shared().store.presences(&[user.into()]).await?;
        // Who was not known may have come online while the store was read.
        let known = if known.presence.is_some() { known } else { self.known(user) };
        Ok(concluded(user, known, rows.pop().flatten()))
    }
}

/// What is known, completed by the store's row. Who is only in the store is offline, whatever the row says.
pub(crate) fn concluded(user: &str, mut known: Known, row: Option<PresenceRow>) -> Presence {
    if let Some(row) = row.filter(|_| !known.complete) {
        let since = match row.status {
            Status::Offline => row.since,
            _ => row.last_seen.unwrap_or(row.since).max(row.since),
        };
        let (status, last_seen) = (Status::Offline, row.last_seen);
        known.add(Presence { user: row.user, status, last_seen, since: Some(since) });
    }
    let unknown = || Presence { user: user.into(), status: Status::Offline, last_seen: None, since: None };
    known.presence.unwrap_or_else(unknown)
}
