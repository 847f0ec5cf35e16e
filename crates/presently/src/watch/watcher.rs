//! The handle of who watches. **A snapshot is the announced truth at its position**: interest comes first, then the presences are
//! read, and when everything that they may have been ahead of was told, what came meanwhile is laid over them.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::index::Slot;
use super::mailbox::{Mail, Mailbox};
use super::stream::{Told, TooFar};
use super::{Diff, Epoch, Position, Resumed, Snapshot, WatchError};
use crate::handle::Presently;
use crate::privacy::Viewer;
use crate::shard::{SHARDS, presence};
use crate::shared::Shared;
use crate::store::Sight;
use crate::{Limits, Presence, Status, UserId};

/// Users of whom is asked what was missed, under one lock.
const MISSED_STEP: usize = 512;
/// Transitions of everybody that are handed over under one lock.
const MISSED_OF_ALL_STEP: usize = 4096;

/// Presences of a snapshot over which is laid what was told meanwhile, between two yields.
const LAID_AT_ONCE: usize = 10_000;

/// How long one who comes from another node waits for this one to get as far.
const ARRIVED_WITHIN: Duration = Duration::from_secs(2);
/// The pause of one who begins anew while the store does not answer.
const ANEW_EVERY: Duration = Duration::from_secs(1);

/// A subscriber who names whom it watches: a [`Snapshot`], and then numbered [`Diff`]s without a gap.
///
/// Dropping it ends its interests. A reader who stalls gets each transition in order while no more than 1,024 wait, and beyond
/// that the newest state of each user; it costs nobody else anything.
///
/// ```
/// # use std::sync::Arc;
/// # use presently::{Config, Presently, Status, Viewer, clock::SystemClock, memory::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let presently = Presently::open(Config::default(), Arc::new(MemoryStore::new()), SystemClock::new()).await?;
/// let mut watcher = presently.watcher(Viewer::Anybody);
/// let snapshot = watcher.watch(&["alice".into()]).await?;
/// assert_eq!(snapshot.presences[0].status, Status::Offline);
///
/// presently.evidence("alice", "laptop", None, || true)?;
/// let diff = watcher.next().await.ok_or("the end")?;
/// assert_eq!(diff.presences[0].status, Status::Online);
/// # Ok(())
/// # }
/// ```
pub struct Watcher {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    slots: Vec<Slot>,
    everybody: bool,
    /// What was told counts no more: the next thing to read is how things stand.
    renew: bool,
}

impl Presently {
    /// A watcher who sees what `viewer` may see, and watches nobody yet.
    #[must_use]
    pub fn watcher(&self, viewer: Viewer) -> Watcher {
        let shared = Arc::clone(self.shared());
        let mailbox = Mailbox::new(viewer);
        shared.stream.index.enter(&mailbox);
        Watcher { shared, mailbox, slots: Vec::new(), everybody: false, renew: false }
    }

    /// Where the stream of what is told is now.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared().stream.position(self.now().tick)
    }

    /// How many watchers there are, and how many different users they name.
    #[must_use]
    pub fn watching(&self) -> (usize, usize) {
        self.shared().stream.index.counts()
    }
}

impl Watcher {
    /// Users watched by one watcher at most.
    pub const WATCHED_MAX: usize = 10_000;

    /// Watches these users too. The snapshot is told once everything that was decided before it is, which takes as long as the
    /// store takes to keep it. Giving up on it changes nothing.
    ///
    /// # Errors
    /// [`WatchError`]: nothing has changed.
    pub async fn watch(&mut self, users: &[UserId]) -> Result<Snapshot, WatchError> {
        let added = self.enroll(users)?;
        let (snapshot, overflown) = self.snapshot(users).await?;
        let slots = added.keep();
        self.adopt(slots, overflown);
        Ok(snapshot)
    }

    /// Watches these users too, from a position at which this viewer was told of them before.
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub async fn resume(&mut self, users: &[UserId], from: Position) -> Result<Resumed, WatchError> {
        let added = self.enroll(users)?;
        self.arrived(from).await;
        let (resumed, overflown) = match self.missed(users, from).await {
            Ok(missed) => {
                let (_, mail) = self.conclude(&[]);
                let (told, overflown) = self.unpack(mail);
                (Resumed::Diffs(diffs(missed, told)), overflown)
            }
            Err(TooFar) => {
                let (snapshot, overflown) = self.snapshot(users).await?;
                (Resumed::Snapshot(snapshot), overflown)
            }
        };
        let slots = added.keep();
        self.adopt(slots, overflown);
        Ok(resumed)
    }

    /// Watches everybody, those who come later included. The snapshot is all who are online or away, in no particular order;
    /// everybody else is offline. Users who were named before are among everybody from now on, and count no more.
    ///
    /// A reader who stalls until more than 65,536 users have changed gets a [renewed](Diff::renewed) diff.
    ///
    /// # Errors
    /// [`WatchError::Forbidden`] for all but admins; [`WatchError::Closed`].
    pub async fn watch_everybody(&mut self) -> Result<Snapshot, WatchError> {
        let entered = self.enter()?;
        let snapshot = self.everybody().await?;
        entered.keep();
        self.everybody = true;
        self.renew = false;
        self.slots = Vec::new();
        Ok(snapshot)
    }

    /// Watches everybody from a position at which an admin was told of everybody before.
    ///
    /// # Errors
    /// As [`watch_everybody`](Self::watch_everybody).
    pub async fn resume_everybody(&mut self, from: Position) -> Result<Resumed, WatchError> {
        let entered = self.enter()?;
        self.arrived(from).await;
        let resumed = match self.missed_of_all(from).await {
            Ok(missed) => {
                let (_, mail) = self.conclude(&self.slots);
                match mail {
                    Some(Mail::Overflown) => None,
                    Some(Mail::Told(told)) => Some(diffs(missed, told)),
                    Some(Mail::Closed) | None => Some(diffs(missed, Vec::new())),
                }
            }
            Err(TooFar) => None,
        };
        let resumed = match resumed {
            Some(diffs) => Resumed::Diffs(diffs),
            None => Resumed::Snapshot(self.everybody().await?),
        };
        entered.keep();
        self.everybody = true;
        self.renew = false;
        self.slots = Vec::new();
        Ok(resumed)
    }

    /// Watches these users no more. Who watches everybody goes on to do so.
    pub fn unwatch(&mut self, users: &[UserId]) {
        let names: HashSet<&str, RandomState> = users.iter().map(UserId::as_str).collect();
        let index = &self.shared.stream.index;
        let gone: HashSet<Slot, RandomState> =
            names.iter().filter_map(|user| index.remove_by_name(&self.mailbox, user)).collect();
        if gone.is_empty() {
            return;
        }
        self.slots.retain(|slot| !gone.contains(slot));
        if self.slots.capacity() > 2 * self.slots.len() {
            self.slots.shrink_to_fit();
        }
        self.mailbox.drop_those(|user| names.contains(user));
    }

    /// How many users are watched by name.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.slots.len()
    }

    /// How far the reader is: whoever [resumes](Self::resume) from here misses nothing. It moves on while nothing happens, so a
    /// reader who is told of it now and then is never too old.
    #[must_use]
    pub fn position(&self) -> Position {
        let stream = &self.shared.stream;
        stream.stand(self.shared.clock.now().tick, |here| {
            let seq = match self.mailbox.oldest() {
                _ if self.renew => 0,
                Some(oldest) => oldest.saturating_sub(1),
                None => here.seq,
            };
            Position { seq, ..here }
        })
    }

    /// Everything that was told and not read; `None` after shutdown. Giving up on the wait loses nothing.
    pub async fn next(&mut self) -> Option<Diff> {
        loop {
            if self.renew {
                let Snapshot { position: Position { epoch, seq }, presences } = match self.anew().await {
                    Ok(snapshot) => snapshot,
                    Err(WatchError::Store(_)) => {
                        self.shared.clock.sleep(ANEW_EVERY).await;
                        continue;
                    }
                    Err(_) => return None,
                };
                self.renew = false;
                return Some(Diff { seq, epoch, presences, renewed: true, seqs: Vec::new() });
            }
            match poll_fn(|cx| self.mailbox.poll(cx)).await {
                Mail::Told(told) => return Some(diff(&told)),
                Mail::Overflown => self.renew = true,
                Mail::Closed => return None,
            }
        }
    }

    /// The same if there is something: never waits. Beginning anew is left to [`next`](Self::next).
    pub fn next_now(&mut self) -> Option<Diff> {
        if self.renew {
            return None;
        }
        match self.mailbox.take()? {
            Mail::Told(told) => Some(diff(&told)),
            Mail::Overflown => {
                self.renew = true;
                None
            }
            Mail::Closed => None,
        }
    }

    /// How things stand, for one who begins anew. Not everybody asks the store at once.
    async fn anew(&self) -> Result<Snapshot, WatchError> {
        let _turn = self.shared.anew.acquire().await.map_err(|_| WatchError::Closed)?;
        if self.everybody {
            return self.everybody().await;
        }
        let names: Vec<UserId> = self.slots.iter().filter_map(|&slot| self.shared.stream.index.name(slot)).collect();
        let (snapshot, _) = self.snapshot(&names).await?;
        Ok(snapshot)
    }

    /// Registers interest in those who are not watched.
    fn enroll(&self, users: &[UserId]) -> Result<Added<'_>, WatchError> {
        self.shared.closed()?;
        if users.len() > Self::WATCHED_MAX {
            return Err(WatchError::TooMany);
        }
        let Self { shared, mailbox, .. } = self;
        let mut added = Added { shared, mailbox, slots: Vec::new() };
        if self.everybody {
            return Ok(added);
        }
        // Whoever may come back to this moment finds everything after it.
        shared.stream.position(shared.clock.now().tick);
        added.slots.reserve_exact(users.len());
        for user in users.iter().filter(|user| !user.is_empty() && user.len() <= Limits::ID_BYTES_MAX) {
            added.slots.extend(shared.stream.index.add(mailbox, user));
            if self.slots.len() + added.slots.len() > Self::WATCHED_MAX {
                return Err(WatchError::TooMany);
            }
        }
        Ok(added)
    }

    fn adopt(&mut self, slots: Vec<Slot>, overflown: bool) {
        self.renew |= overflown;
        self.slots.reserve_exact(slots.len());
        self.slots.extend(slots);
    }

    /// How these users are, and whether the mailbox overflowed meanwhile: then what it held of others is lost.
    async fn snapshot(&self, users: &[UserId]) -> Result<(Snapshot, bool), WatchError> {
        let (shared, mut overflown) = (&self.shared, false);
        loop {
            let mut presences = shared.presences_seen_by(&self.mailbox.viewer, users).await?;
            shared.stream.until_told(shared.queue.number()).await;
            shared.closed()?;
            let (position, mail) = self.conclude(&[]);
            let (told, again) = self.unpack(mail);
            if again {
                // What was told since the presences were read is lost with the mail.
                overflown = true;
                continue;
            }
            let mut newest = Newest::of(&told);
            for presence in &mut presences {
                newest.lay_over(presence);
            }
            presences.extend(newest.rest(&told));
            return Ok((Snapshot { position, presences }, overflown));
        }
    }

    async fn everybody(&self) -> Result<Snapshot, WatchError> {
        let shared = &self.shared;
        loop {
            let mut presences = Vec::new();
            for place in 0..SHARDS {
                // Who leaves and returns meanwhile is visited twice.
                let mut found: HashMap<UserId, Presence, RandomState> = HashMap::default();
                let mut from = Some(0);
                while let Some(start) = from {
                    from = shared.shards.visit_step(place, start, &mut |user, status, last_seen, since| {
                        found.insert(user.into(), presence(user, status, last_seen, since));
                    });
                    tokio::task::yield_now().await;
                }
                presences.extend(found.into_values());
            }
            shared.stream.until_told(shared.queue.number()).await;
            shared.closed()?;
            let (position, mail) = self.conclude(&self.slots);
            let told = match mail {
                Some(Mail::Told(told)) => told,
                Some(Mail::Closed) | None => Vec::new(),
                Some(Mail::Overflown) => continue,
            };
            let mut newest = Newest::of(&told);
            if !told.is_empty() {
                for presences in presences.chunks_mut(LAID_AT_ONCE) {
                    presences.iter_mut().for_each(|presence| newest.lay_over(presence));
                    tokio::task::yield_now().await;
                }
                presences.extend(newest.rest(&told));
                presences.retain(|presence| presence.status != Status::Offline);
            }
            return Ok(Snapshot { position, presences });
        }
    }

    /// Waits until this node is where another one was, if it will be there soon.
    async fn arrived(&self, from: Position) {
        tokio::select! {
            biased;
            () = self.shared.stream.until_reached(from) => {}
            () = self.shared.clock.sleep(ARRIVED_WITHIN) => {}
        }
    }

    /// The position of this moment and everything told up to it that was not read. Interest in `leaving` ends with it.
    fn conclude(&self, leaving: &[Slot]) -> (Position, Option<Mail>) {
        let stream = &self.shared.stream;
        stream.stand(self.shared.clock.now().tick, |position| {
            for &slot in leaving {
                stream.index.remove(&self.mailbox, slot);
            }
            (position, self.mailbox.take())
        })
    }

    fn unpack(&self, mail: Option<Mail>) -> (Vec<Arc<Told>>, bool) {
        match mail {
            Some(Mail::Told(told)) => (told, false),
            Some(Mail::Overflown) => (Vec::new(), true),
            Some(Mail::Closed) | None => (Vec::new(), false),
        }
    }

    async fn missed(&self, users: &[UserId], from: Position) -> Result<Vec<Arc<Told>>, TooFar> {
        let (stream, visibility) = (&self.shared.stream, self.shared.config.visibility);
        let mut missed = Vec::new();
        // Nobody may be asked for, and the position be too old all the same.
        for users in users.chunks(MISSED_STEP).chain(users.is_empty().then_some(users)) {
            let users = users.iter().map(UserId::as_str);
            stream.missed(&self.mailbox.viewer, visibility, users, from, &mut missed)?;
            tokio::task::yield_now().await;
        }
        Ok(missed)
    }

    async fn missed_of_all(&self, from: Position) -> Result<Vec<Arc<Told>>, TooFar> {
        let mut missed = Vec::new();
        while self.shared.stream.missed_of_all(from, MISSED_OF_ALL_STEP, &mut missed)? {
            tokio::task::yield_now().await;
        }
        missed.retain(|told| told.audience.includes(Sight::Insider));
        Ok(missed)
    }

    /// Registers interest in everybody.
    fn enter(&self) -> Result<Entered<'_>, WatchError> {
        self.shared.closed()?;
        if self.mailbox.viewer != Viewer::Admin {
            return Err(WatchError::Forbidden);
        }
        if !self.everybody {
            self.shared.stream.watch_everybody(&self.mailbox, self.shared.clock.now().tick);
        }
        Ok(Entered { watcher: self, leave: !self.everybody })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let stream = &self.shared.stream;
        for &slot in &self.slots {
            stream.index.remove(&self.mailbox, slot);
        }
        if self.everybody {
            stream.unwatch_everybody(&self.mailbox);
        }
        stream.index.leave(&self.mailbox);
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("viewer", &self.mailbox.viewer)
            .field("watched", &self.slots.len())
            .field("everybody", &self.everybody)
            .finish_non_exhaustive()
    }
}

/// Interest that ends again unless it is kept.
struct Added<'a> {
    shared: &'a Shared,
    mailbox: &'a Arc<Mailbox>,
    slots: Vec<Slot>,
}

impl Added<'_> {
    fn keep(mut self) -> Vec<Slot> {
        std::mem::take(&mut self.slots)
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        let gone = self.slots.drain(..).filter_map(|slot| self.shared.stream.index.remove(self.mailbox, slot));
        let gone: HashSet<UserId, RandomState> = gone.collect();
        if !gone.is_empty() && !self.mailbox.is_empty() {
            self.mailbox.drop_those(|user| gone.contains(user));
        }
    }
}

/// Interest in everybody that ends again unless it is kept.
struct Entered<'a> {
    watcher: &'a Watcher,
    leave: bool,
}

impl Entered<'_> {
    fn keep(mut self) {
        self.leave = false;
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.leave {
            self.watcher.shared.stream.unwatch_everybody(&self.watcher.mailbox);
        }
    }
}

/// The newest of each user among what was told.
struct Newest<'a> {
    by_user: HashMap<&'a str, (&'a Told, bool), RandomState>,
}

impl<'a> Newest<'a> {
    fn of(told: &'a [Arc<Told>]) -> Self {
        Self { by_user: told.iter().map(|told| (told.presence.user.as_str(), (&**told, false))).collect() }
    }

    /// What was told last is what holds; a presence that was read is of the same state only with a newer `last_seen`.
    fn lay_over(&mut self, presence: &mut Presence) {
        if let Some((told, laid)) = self.by_user.get_mut(presence.user.as_str()) {
            *laid = true;
            let told = &told.presence;
            if (presence.status, presence.since) == (told.status, told.since) {
                presence.last_seen = presence.last_seen.max(told.last_seen);
            } else {
                *presence = told.clone();
            }
        }
    }

    /// Those who were not laid over anything, in the order of what was told.
    fn rest(&self, told: &[Arc<Told>]) -> Vec<Presence> {
        let is_rest = |told: &&Arc<Told>| {
            let newest = self.by_user.get(told.presence.user.as_str());
            newest.is_some_and(|(newest, laid)| newest.place == told.place && !laid)
        };
        told.iter().filter(is_rest).map(|told| told.presence.clone()).collect()
    }
}

fn diff(told: &[Arc<Told>]) -> Diff {
    Diff {
        seq: told.last().map_or(0, |told| told.seq),
        epoch: told.last().map_or(Epoch(0), |told| told.epoch),
        presences: told.iter().map(|told| told.presence.clone()).collect(),
        renewed: false,
        seqs: told.iter().map(|told| told.seq).collect(),
    }
}

/// A diff for each transition, in order, once.
fn diffs(mut missed: Vec<Arc<Told>>, told: Vec<Arc<Told>>) -> Vec<Diff> {
    missed.extend(told);
    missed.sort_unstable_by_key(|told| told.place);
    missed.dedup_by_key(|told| told.place);
    missed.iter().map(|told| diff(std::slice::from_ref(told))).collect()
}
