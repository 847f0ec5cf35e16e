//! Who may see whom. **[`Presently::seen_by`] is the one rule**: every answer, snapshot, diff, count and line of history for
//! others than admins goes through it or through what it is made of.
//!
//! An invisible user is to others what a user is who logged out at the moment of becoming invisible. How that is kept up
//! until and after they are visible again is the matter of `veil`.

use std::ops::RangeInclusive;

use presently_core::{Engine, Reason, Transition};

use crate::acts::Decided;
use crate::cluster::{Command, Decision};
use crate::config::Error;
use crate::handle::Presently;
use crate::newest::Newest;
use crate::outbox::entry::Change;
use crate::reads::concluded;
use crate::shard::{SHARDS, Shard, VISIT_STEP};
use crate::shared::{Known, Outcome, Shared};
use crate::store::{Audience, Sight, TransitionRow, VeilRow};
use crate::veil::{Veil, Veils};
use crate::{Counts, Limits, Presence, Status, Timestamp, Transitions, UserId};

/// Users asked of the store in one call.
const CALL_MAX: usize = 10_000;
/// Users looked at between two yields to other tasks.
const LOOKS_MAX: usize = 1024;
/// Locked steps of a visit between two yields: 16,384 users, a fraction of a millisecond.
const STEPS_AT_ONCE: usize = 32;

/// Who looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Other users and applications.
    Anybody,
    /// This user: sees themselves as they are, and others as [`Anybody`](Self::Anybody) does.
    User(UserId),
    /// Sees everybody as they are.
    Admin,
}

/// Whom others may see at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody sees everybody who is not invisible.
    #[default]
    Everyone,
    /// Everybody but admins sees all others offline and never seen.
    Admins,
}

impl Viewer {
    /// What this viewer sees of `user`; `None` is nothing at all.
    pub(crate) fn sight(&self, visibility: Visibility, user: &str) -> Option<Sight> {
        match self {
            Self::Admin => Some(Sight::Insider),
            Self::User(me) if me == user => Some(Sight::Insider),
            _ if visibility == Visibility::Admins => None,
            _ => Some(Sight::Other),
        }
    }

    /// Whether a transition that is told to `audience` is one for this viewer.
    pub(crate) fn hears(&self, visibility: Visibility, user: &str, audience: Audience) -> bool {
        self.sight(visibility, user).is_some_and(|sight| audience.includes(sight))
    }
}

/// What may be known of somebody of whom nothing may be known.
pub(crate) fn unseen(user: &str) -> Presence {
    Presence { user: user.into(), status: Status::Offline, last_seen: None, since: None }
}

impl Presently {
    /// What `viewer` may know of a user whose true presence is this one: the one function that is applied last on every surface.
    ///
    /// An invisible user is, byte for byte, one who logged out when they became invisible.
    /// Where presence and visibility must be of one moment, ask [`presence_seen_by`](Self::presence_seen_by).
    #[must_use]
    pub fn seen_by(&self, viewer: &Viewer, presence: Presence) -> Presence {
        let shared = self.shared();
        match viewer.sight(shared.config.visibility, &presence.user) {
            Some(Sight::Insider) => presence,
            None => unseen(&presence.user),
            Some(Sight::Other) => {
                let veil = shared.shards.with(&presence.user, |shard| shard.veils.get(&presence.user).cloned());
                veil.map_or_else(|| presence.clone(), |veil| veil.seen(presence.clone()))
            }
        }
    }

    /// [`presence`](Self::presence) as `viewer` sees it.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn presence_seen_by(&self, viewer: &Viewer, user: &str) -> Result<Presence, Error> {
        let mut presences = self.presences_seen_by(viewer, &[user.into()]).await?;
        Ok(presences.pop().unwrap_or_else(|| unseen(user)))
    }

    /// [`presences`](Self::presences) as `viewer` sees them.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn presences_seen_by(&self, viewer: &Viewer, users: &[UserId]) -> Result<Vec<Presence>, Error> {
        self.shared().presences_seen_by(viewer, users).await
    }

    /// [`newest_online`](Self::newest_online) as `viewer` sees them, of those whom `wanted` takes by their name and status; who is
    /// offline to the viewer is left out.
    ///
    /// One pass over those in memory, in short locked steps between which others have their turn; it ends when it is dropped.
    pub async fn newest_online_seen_by(
        &self,
        viewer: &Viewer,
        after: Option<(Timestamp, UserId)>,
        limit: usize,
        wanted: impl Fn(&str, Status) -> bool + Send + Sync,
    ) -> Vec<Presence> {
        let mut page = Page { newest: Newest::new(after, limit), wanted };
        self.shared().offer_seen_by(viewer, &mut page).await;
        page.newest.finish()
    }

    /// What `take` makes of everybody whom `viewer` sees online or away, by their name, status and last evidence; in no order. Who
    /// leaves and returns meanwhile may be there twice.
    pub async fn online_seen_by<T: Send>(
        &self,
        viewer: &Viewer,
        take: impl Fn(&str, Status, Option<Timestamp>) -> Option<T> + Send + Sync,
    ) -> Vec<T> {
        let mut all = All { taken: Vec::new(), take };
        self.shared().offer_seen_by(viewer, &mut all).await;
        all.taken
    }

    /// [`counts`](Self::counts) as `viewer` may know them: who is offline to them counts for nothing.
    pub async fn counts_seen_by(&self, viewer: &Viewer) -> Counts {
        let shared = self.shared();
        match (viewer, shared.config.visibility) {
            (Viewer::Admin, _) => self.counts(),
            (Viewer::Anybody, Visibility::Admins) => Counts::default(),
            (Viewer::User(me), Visibility::Admins) => {
                let mut counts = Counts::default();
                shared.shards.with(me, |shard| add(&mut counts, shard, me));
                counts
            }
            (Viewer::Anybody, Visibility::Everyone) => shared.counts_of_visible(None).await,
            (Viewer::User(me), Visibility::Everyone) => shared.counts_of_visible(Some(me)).await,
        }
    }

    /// [`transitions`](Self::transitions) as `viewer` saw them: an invisible user left when they became invisible, and came
    /// when they were visible again.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Closed`].
    pub async fn transitions_seen_by(
        &self,
        viewer: &Viewer,
        user: &str,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<TransitionRow>, Error> {
        let shared = self.shared();
        shared.closed()?;
        match viewer.sight(shared.config.visibility, user) {
            Some(sight) => Ok(shared.store.transitions(&user.into(), sight, from, to, limit).await?),
            None => Ok(Vec::new()),
        }
    }

    /// The newest transition before `before` as `viewer` saw it: the status that held for them then.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Closed`].
    pub async fn transition_before_seen_by(
        &self,
        viewer: &Viewer,
        user: &str,
        before: Timestamp,
    ) -> Result<Option<TransitionRow>, Error> {
        let shared = self.shared();
        shared.closed()?;
        match viewer.sight(shared.config.visibility, user) {
            Some(sight) => Ok(shared.store.transition_before(&user.into(), sight, before).await?),
            None => Ok(None),
        }
    }

    /// [`subscribe`](Self::subscribe) to what `viewer` may know.
    #[must_use]
    pub fn subscribe_seen_by(&self, viewer: Viewer) -> Transitions {
        self.shared().stream.subscribe(viewer, self.shared().config.visibility)
    }

    /// Makes the user invisible to everybody but admins and themselves, or visible again, durably: across logins and restarts,
    /// until the next call or until the user is [forgotten](Self::forget). Returns the true presence.
    ///
    /// To others the user leaves at that moment, if they were there, and comes at the moment of becoming visible, if they are
    /// there then. Who is not there then stays as they were when they became invisible until they are heard again.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not keep it (it holds all the same), or why nothing has changed;
    /// [`Error::Full`] with a million invisible users; [`Error::TooManyChanges`] as of [`paced`](Self::paced).
    pub async fn set_invisible(&self, user: &str, invisible: bool) -> Result<Presence, Error> {
        if user.is_empty() || user.len() > Limits::ID_BYTES_MAX {
            return Err(Error::BadName);
        }
        let shared = self.shared();
        shared.closed()?;
        let decided = self.with_row(user, |shard, row| {
            let known = shared.known(shard, user);
            // What others saw must be known before it is frozen, and only the store may know of one who is offline.
            let row = match row {
                _ if !invisible || known.complete || is_there(&known) => None,
                Some(row) => row,
                None => return None,
            };
            Some(shared.veil_then(shard, user, invisible, concluded(user, known, row)))
        });
        self.conclude(user, decided.await??.made().await?).await
    }

    /// Whether the user is invisible.
    #[must_use]
    pub fn is_invisible(&self, user: &str) -> bool {
        self.shared().shards.with(user, |shard| shard.veils.get(user).is_some_and(|veil| veil.hidden))
    }
}

impl Shared {
    /// Draws a veil over a user of whom this is the truth, or lifts it; nothing, where it is so already.
    fn veil_then(
        &self,
        shard: &mut Shard,
        user: &str,
        invisible: bool,
        truth: Presence,
    ) -> Result<Decision<Decided>, Error> {
        let shown = match shard.veils.get(user) {
            Some(veil) if veil.hidden == invisible => None,
            Some(veil) => Some(veil.seen(truth)),
            None if !invisible => None,
            None => Some(truth),
        };
        let (now, name) = (self.clock.now(), UserId::from(user));
        let finish = move |shared: &Self, shard: &mut Shard, outcome| shared.conclude(shard, &name, outcome);
        let Some(Presence { last_seen, since, .. }) = shown else {
            return Ok(Decision::Made(finish(self, shard, Outcome::nothing(now))));
        };
        shard.pace.take(now.tick, user).map_err(|retry_after| Error::TooManyChanges { retry_after })?;
        let (user, at) = (user.into(), now.wall);
        self.draw_then(shard, VeilRow { user, invisible, at, last_seen, since, since_holds: true }, finish)
    }

    pub(crate) async fn presences_seen_by(&self, viewer: &Viewer, users: &[UserId]) -> Result<Vec<Presence>, Error> {
        self.closed()?;
        let mut found: Vec<Option<Presence>> = Vec::with_capacity(users.len());
        let (mut places, mut names) = (Vec::new(), Vec::new());
        for (place, user) in users.iter().enumerate() {
            found.push(self.look(viewer, user).without_store(user));
            if found.last().is_some_and(Option::is_none) {
                places.push(place);
                names.push(user.clone());
            }
            if place % LOOKS_MAX == LOOKS_MAX - 1 {
                tokio::task::yield_now().await;
            }
        }
        for (places, names) in places.chunks(CALL_MAX).zip(names.chunks(CALL_MAX)) {
            let rows = self.store.presences(names).await?;
            for ((&place, user), row) in places.iter().zip(names).zip(rows) {
                // They may have come online while the store was read.
                let look = self.look(viewer, user);
                found[place] =
                    look.without_store(user).or_else(|| Some(look.with(concluded(user, look.known.clone(), row))));
            }
        }
        Ok(found.into_iter().zip(users).map(|(found, user)| found.unwrap_or_else(|| unseen(user))).collect())
    }

    /// What is known of a user and what of it is shown, of one moment.
    fn look(&self, viewer: &Viewer, user: &str) -> Look {
        let sight = viewer.sight(self.config.visibility, user);
        self.shards.with(user, |shard| match sight {
            None => Look { known: Known::default(), shown: Shown::Nothing },
            Some(Sight::Insider) => Look { known: self.known(shard, user), shown: Shown::Truth },
            Some(Sight::Other) => match shard.veils.get(user) {
                None => Look { known: self.known(shard, user), shown: Shown::Truth },
                Some(veil) if veil.hidden => Look { known: Known::default(), shown: Shown::Veiled(veil.clone()) },
                Some(veil) => Look { known: self.known(shard, user), shown: Shown::Veiled(veil.clone()) },
            },
        })
    }

    /// Visits everybody online or away in short locked steps, between which others have their turn.
    pub(crate) async fn visit(&self, visitor: &mut (impl FnMut(&str, Status, Option<Timestamp>, Timestamp) + Send)) {
        for place in 0..SHARDS {
            let (mut from, mut steps) = (Some(0), 0_usize);
            while let Some(start) = from {
                from = self.shards.visit_step(place, start, visitor);
                steps += 1;
                if from.is_none() || steps.is_multiple_of(STEPS_AT_ONCE) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Offers everybody whom `viewer` sees online or away by their name and last evidence, with what they see of them to be made when
    /// it is wanted.
    async fn offer_seen_by(&self, viewer: &Viewer, taker: &mut impl Taker) {
        let me = match viewer {
            Viewer::Admin | Viewer::Anybody => None,
            Viewer::User(me) => Some(me.as_str()),
        };
        let sees_all = *viewer == Viewer::Admin;
        if !sees_all && self.config.visibility == Visibility::Admins {
            let mine = me.and_then(|me| self.shards.with(me, |shard| shard.engine.presence(me)));
            if let Some(mine) = mine.filter(|mine| mine.status != Status::Offline) {
                taker.offer(&Offered::of(&mine, &|| true));
            }
            return;
        }
        for place in 0..SHARDS {
            if !sees_all {
                // Whoever has a veil is looked up by it, so that of all the others no more than a time is looked at.
                self.shards.at(place, |shard| {
                    for (user, veil) in &shard.veils {
                        if !veil.hidden
                            && me != Some(user.as_str())
                            && let Some(truth) =
                                shard.engine.presence(user).filter(|user| user.status != Status::Offline)
                        {
                            taker.offer(&Offered::of(&veil.seen(truth), &|| true));
                        }
                    }
                });
            }
            let (mut from, mut steps) = (Some(0), 0_usize);
            while let Some(start) = from {
                from = self.shards.at(place, |shard| {
                    let veils = &shard.veils;
                    shard.engine.visit_seen(start, VISIT_STEP, taker.seen(), &mut |user, status, last_seen, since| {
                        if status != Status::Offline {
                            let is_bare =
                                || sees_all || veils.is_empty() || me == Some(user) || !veils.contains_key(user);
                            taker.offer(&Offered { user, status, last_seen, since: Some(since), is_there: &is_bare });
                        }
                    })
                });
                steps += 1;
                if from.is_none() || steps.is_multiple_of(STEPS_AT_ONCE) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// How many there are without the invisible, of whom `me` counts all the same.
    pub(crate) async fn counts_of_visible(&self, me: Option<&str>) -> Counts {
        let mut sum = Counts::default();
        for place in 0..SHARDS {
            let (counts, hidden) = self.shards.at(place, |shard| {
                let mut hidden = Counts::default();
                let names = shard.veils.iter().filter(|(user, veil)| veil.hidden && me != Some(user.as_str()));
                names.for_each(|(user, _)| add(&mut hidden, shard, user));
                (shard.engine.counts(), hidden)
            });
            sum.online += counts.online - hidden.online;
            sum.away += counts.away - hidden.away;
            sum.sessions += counts.sessions - hidden.sessions;
            sum.users += counts.users - hidden.users;
            // With very many invisible users one shard is work enough.
            tokio::task::yield_now().await;
        }
        sum
    }

    /// Draws the veil over a user, or lifts it, and has `finish` push what follows from it before the shard is let go.
    fn draw_then<T: Send + 'static>(
        &self,
        shard: &mut Shard,
        shown: VeilRow,
        finish: impl FnOnce(&Self, &mut Shard, Outcome) -> T + Send + 'static,
    ) -> Result<Decision<T>, Error> {
        if shard.closed {
            return Err(Error::Closed);
        }
        if self.queue.is_full() || (shard.veils.get(&shown.user).is_none() && self.veils.is_full()) {
            return Err(Error::Full);
        }
        if let Some(cluster) = &self.cluster {
            return self.propose_then(cluster, shard, Command::Veil { shown }, finish);
        }
        let changes = self.draw(shard, &shown);
        Ok(Decision::Made(finish(self, shard, Outcome { changes, ..Outcome::nothing(self.clock.now()) })))
    }

    /// Draws the veil over a user, or lifts it; returns what others are told and what is kept. The caller holds the shard.
    pub(crate) fn draw(&self, shard: &mut Shard, shown: &VeilRow) -> Vec<Change> {
        let before = shard.veils.len();
        let changes = draw(&shard.engine, &mut shard.veils, shown);
        self.veils.moved(before, shard.veils.len());
        changes
    }
}

/// Draws the veil over a user, or lifts it; returns what others are told and what is kept.
pub(crate) fn draw(engine: &Engine, veils: &mut Veils, shown: &VeilRow) -> Vec<Change> {
    let (user, now) = (&shown.user, shown.at);
    if veils.get(user).is_some_and(|veil| veil.hidden) == shown.invisible {
        return Vec::new();
    }
    let status = engine.presence(user).map_or(Status::Offline, |presence| presence.status);
    let drawn = Veil::drawn(shown, status != Status::Offline);
    let mut changes = vec![Change::Veil(drawn.row(user))];
    if status != Status::Offline {
        let (from, to, reason) = if shown.invisible {
            (status, Status::Offline, Reason::Logout)
        } else {
            (Status::Offline, status, Reason::Evidence)
        };
        let (user, last_seen) = (user.clone(), Some(now));
        let edge = Transition { user, from, to, at: now, last_seen, reason, lateness: None };
        changes.push(Change::Announce(edge, Audience::Others));
    }
    veils.insert(user.clone(), drawn);
    changes
}

/// Somebody whom a viewer may see, if they are not veiled.
struct Offered<'a> {
    user: &'a str,
    status: Status,
    last_seen: Option<Timestamp>,
    since: Option<Timestamp>,
    /// Whether no veil is over them: it costs a look, so it is asked last.
    is_there: &'a dyn Fn() -> bool,
}

impl<'a> Offered<'a> {
    fn of(presence: &'a Presence, is_there: &'a dyn Fn() -> bool) -> Self {
        let Presence { user, status, last_seen, since } = presence;
        Self { user, status: *status, last_seen: *last_seen, since: *since, is_there }
    }

    fn presence(&self) -> Presence {
        let Self { user, status, last_seen, since, .. } = *self;
        Presence { user: user.into(), status, last_seen, since }
    }
}

/// Who takes those whom a viewer sees.
trait Taker: Send {
    /// When they must have been seen.
    fn seen(&self) -> RangeInclusive<Timestamp> {
        Timestamp(i64::MIN)..=Timestamp(i64::MAX)
    }

    fn offer(&mut self, offered: &Offered<'_>);
}

/// Takes the newest.
struct Page<W> {
    newest: Newest,
    wanted: W,
}

impl<W: Fn(&str, Status) -> bool + Send> Taker for Page<W> {
    fn seen(&self) -> RangeInclusive<Timestamp> {
        self.newest.seen()
    }

    fn offer(&mut self, offered: &Offered<'_>) {
        let Self { newest, wanted } = self;
        newest.offer(offered.user, offered.last_seen, |user| {
            (wanted(user, offered.status) && (offered.is_there)()).then(|| offered.presence())
        });
    }
}

/// Takes everybody, in short.
struct All<T, F> {
    taken: Vec<T>,
    take: F,
}

impl<T: Send, F: Fn(&str, Status, Option<Timestamp>) -> Option<T> + Send> Taker for All<T, F> {
    fn offer(&mut self, offered: &Offered<'_>) {
        if let Some(taken) = (self.take)(offered.user, offered.status, offered.last_seen)
            && (offered.is_there)()
        {
            self.taken.push(taken);
        }
    }
}

/// What is known of a user, and what a viewer is shown of it.
struct Look {
    known: Known,
    shown: Shown,
}

enum Shown {
    Nothing,
    Truth,
    Veiled(Veil),
}

impl Look {
    /// What is shown, if the store need not be asked.
    fn without_store(&self, user: &str) -> Option<Presence> {
        match &self.shown {
            Shown::Nothing => Some(unseen(user)),
            // Nothing of the store's is shown of them. It is asked as for anybody who is offline: how long an answer takes tells nothing.
            Shown::Veiled(veil) if veil.hidden => None,
            _ => self.known.complete.then(|| self.with(concluded(user, self.known.clone(), None))),
        }
    }

    fn with(&self, truth: Presence) -> Presence {
        match &self.shown {
            Shown::Nothing => unseen(&truth.user),
            Shown::Truth => truth,
            Shown::Veiled(veil) => veil.seen(truth),
        }
    }
}

/// Others who are shown online or away are so as of now when they leave: nothing else is needed of them.
fn is_there(known: &Known) -> bool {
    known.presence.as_ref().is_some_and(|presence| presence.status != Status::Offline)
}

/// Adds what a user in memory counts for.
fn add(counts: &mut Counts, shard: &Shard, user: &str) {
    let Some((status, sessions)) = shard.engine.weight(user) else { return };
    counts.users += 1;
    counts.sessions += sessions as u64;
    match status {
        Status::Online => counts.online += 1,
        Status::Away => counts.away += 1,
        Status::Offline => {}
    }
}
