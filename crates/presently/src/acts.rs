//! What changes presence. **An act returns when what it caused is kept by the store**; giving up on the wait undoes nothing and loses nothing.
//!
//! The engine knows who is in memory. Of the others only the store knows when they were last seen and since when they are
//! offline, so an act that moves their `last_seen` asks the store first and decides then, unless something was decided meanwhile.

use std::sync::Arc;
use std::time::Duration;

use presently_core::{Effect, Input, PresenceRow};
use tokio::sync::oneshot;

use crate::cluster::Decision;
use crate::config::Error;
use crate::handle::Presently;
use crate::outbox::queue::Kept;
use crate::shard::Shard;
use crate::shared::{Known, Outcome, Shared};
use crate::store::StoreError;
use crate::veil::changes;
use crate::{Activity, EndReason, Now, Presence, Source, Status, Timestamp, UserId};

/// How long an act waits for the store.
const KEPT_WITHIN: Duration = Duration::from_secs(5);
/// How long evidence waits for it: its answer says what holds in memory, whatever the store does.
const EVIDENCE_KEPT_WITHIN: Duration = Duration::from_secs(1);
/// How often a decision is put off because the shard did not stand still.
const ROUNDS_MAX: usize = 8;

/// How the name of a session begins that an application reports of its user: the application is not held to the user's pace.
pub const APPLICATION: &str = "app-";

/// What evidence leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The status shown.
    pub status: Status,
    /// The moment of this evidence.
    pub last_seen: Timestamp,
}

/// Evidence that is taken, or on its way to be.
#[derive(Debug)]
#[must_use = "it may come to nothing yet"]
pub struct Hearing(Course);

#[derive(Debug)]
enum Course {
    /// It renewed a session, which needs nothing of the store; or the store is away.
    Heard(Beat),
    /// It is decided by this node alone, and the store is about to keep it.
    Decided(Beat, oneshot::Receiver<Kept>, Arc<Shared>),
    /// The log of the cluster is to be followed up to it. The other nodes are its memory.
    Proposed(Decision<Heard>),
}

/// What evidence leaves behind, and who says when it is kept.
type Heard = (Beat, Option<oneshot::Receiver<Kept>>);

impl Hearing {
    /// Whether nothing needs to be waited for. The steady state.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        matches!(self.0, Course::Heard(_))
    }

    /// Ends when it is decided and, on a single node, kept: a crash after that undoes nothing. A store that does not keep it within a second
    /// is not waited for, nor one that is away: presence goes on in memory.
    ///
    /// # Errors
    /// As [`Presently::heard`].
    pub async fn decided(self) -> Result<Beat, Error> {
        match self.0 {
            Course::Heard(beat) => Ok(beat),
            Course::Proposed(decision) => decision.made().await.map(|(beat, _)| beat),
            Course::Decided(beat, kept, shared) => {
                tokio::select! {
                    biased;
                    _ = kept => {}
                    () = shared.clock.sleep(EVIDENCE_KEPT_WITHIN) => {}
                }
                Ok(beat)
            }
        }
    }

    /// The same without waiting for the other nodes.
    pub async fn kept(self) {
        if let Course::Decided(..) = self.0 {
            // What one node decides comes to something.
            let _ = self.decided().await;
        }
    }
}

/// What is known after a decision, and who says when it is kept.
pub(crate) type Decided = (Known, oneshot::Receiver<Kept>);

impl Presently {
    /// Evidence of life, unless `still` says no: then [`Error::Stale`]. `still` is called while the user's shard is held, so
    /// nothing can come between it and the decision; it must be quick, and must not call this handle.
    /// Returns the status and `last_seen` (= now) after it; in a cluster, when more than a renewal is needed, what the status
    /// will be in a moment ([`heard`](Self::heard) waits for it, and says when it came to nothing). The steady state allocates nothing and
    /// waits for nobody.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::Barred`], [`Error::BadName`], [`Error::Full`] or [`Error::Closed`]: nothing has changed.
    pub fn evidence(
        &self,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool,
    ) -> Result<Beat, Error> {
        let shared = self.shared();
        shared.shards.with(user, |shard| match shared.renew(shard, user, session, activity, still)? {
            Some(beat) => Ok(beat),
            None => {
                let predicted =
                    shared.cluster.as_ref().map(|_| predicted(shard, shared.clock.now(), user, session, activity));
                let decision = shared.decide_then(
                    shard,
                    Input::Evidence { user, session, activity },
                    heard(user.into(), false),
                )?;
                match (decision, predicted) {
                    (Decision::Pending(_), Some(status)) => Ok(Beat { status, last_seen: shared.clock.now().wall }),
                    (Decision::Pending(_), None) => Err(Error::Closed),
                    (Decision::Made((beat, _)), _) => Ok(beat),
                }
            }
        })
    }

    /// [`evidence`](Self::evidence), and whoever asks after it reads what it changed, also after a crash: what a single node decides is
    /// kept when this returns, unless the store is away or takes longer than a second. A renewal waits for nothing.
    ///
    /// # Errors
    /// As [`evidence`](Self::evidence), and [`Error::Ended`].
    pub async fn heard(
        &self,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool + Send,
    ) -> Result<Beat, Error> {
        self.hear(user, session, activity, still)?.decided().await
    }

    /// [`hear`](Self::hear) for what a user says themselves: what changes something (a session that opens, another activity) is held
    /// to 10 a second in the long run and 100 at once. Evidence that changes nothing is never refused for it.
    ///
    /// # Errors
    /// As [`evidence`](Self::evidence), and [`Error::TooManyChanges`].
    pub fn paced(
        &self,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool,
    ) -> Result<Hearing, Error> {
        self.take(user, session, activity, still, true)
    }

    /// [`heard`](Self::heard) for whoever has more to say meanwhile: it is on its way when this returns.
    ///
    /// # Errors
    /// As [`evidence`](Self::evidence).
    pub fn hear(
        &self,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool,
    ) -> Result<Hearing, Error> {
        self.take(user, session, activity, still, false)
    }

    fn take(
        &self,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool,
        paced: bool,
    ) -> Result<Hearing, Error> {
        let shared = self.shared();
        let course = shared.shards.with(user, |shard| match shared.renew(shard, user, session, activity, still)? {
            Some(beat) => Ok(Course::Heard(beat)),
            None => {
                if paced && shard.engine.would_change(user, session, activity) {
                    let taken = shard.pace.take(shared.clock.now().tick, user);
                    taken.map_err(|retry_after| Error::TooManyChanges { retry_after })?;
                }
                let waits = shared.cluster.is_none() && !shared.queue.is_away();
                let finish = heard(user.into(), waits);
                Ok(match shared.decide_then(shard, Input::Evidence { user, session, activity }, finish)? {
                    Decision::Made((beat, Some(kept))) => Course::Decided(beat, kept, Arc::clone(shared)),
                    Decision::Made((beat, None)) => Course::Heard(beat),
                    proposed => Course::Proposed(proposed),
                })
            }
        });
        course.map(Hearing)
    }

    /// The same, and waits until what it caused is kept. For logins: one is never refused for its [pace](Self::paced), but counts.
    ///
    /// # Errors
    /// As [`heard`](Self::heard), and [`Error::Store`].
    pub async fn evidence_kept(
        &self,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool + Send,
    ) -> Result<Presence, Error> {
        let (shared, name) = (self.shared(), UserId::from(user));
        let decided = shared.shards.with(user, |shard| {
            if !shard.closed && !still() {
                return Err(Error::Stale);
            }
            if shard.engine.would_change(user, session, activity) {
                shard.pace.charge(shared.clock.now().tick, user);
            }
            let finish = move |shared: &Shared, shard: &mut Shard, outcome: Outcome| {
                shard.count_evidence(&name);
                shared.conclude(shard, &name, outcome)
            };
            shared.decide_then(shard, Input::Evidence { user, session, activity }, finish)
        });
        self.conclude(user, decided?.made().await?).await
    }

    /// Ends `session` and its parts (`session` + `"/…"`).
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not keep it (it holds all the same), or why nothing has changed.
    pub async fn end_session(&self, user: &str, session: &str, reason: EndReason) -> Result<Presence, Error> {
        let input = Input::EndSession { user, session, reason };
        if reason == EndReason::Logout { self.depart(user, input).await } else { self.act(user, input).await }
    }

    /// Ends every session of the user.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    pub async fn end_user(&self, user: &str, reason: EndReason) -> Result<Presence, Error> {
        let input = Input::EndUser { user, reason };
        if reason == EndReason::Logout { self.depart(user, input).await } else { self.act(user, input).await }
    }

    /// The socket under a session dropped without a goodbye: the user has the reconnect grace to come back unseen.
    pub fn drop_session(&self, user: &str, session: &str) {
        let shared = self.shared();
        let dropped =
            shared.shards.with(user, |shard| shared.decide(shard, shared.clock.now(), Input::Drop { user, session }));
        if let Err(error) = dropped {
            // The session expires by itself.
            tracing::trace!(%error, "a dropped socket was not noted");
        }
    }

    /// Shows `status` until the user's next evidence. `Offline` ends every session.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    pub async fn set(&self, user: &str, status: Status) -> Result<Presence, Error> {
        let input = Input::Set { user, status };
        if status == Status::Offline { self.depart(user, input).await } else { self.act(user, input).await }
    }

    /// [`set`](Self::set) to online: `last_seen` is now, and without evidence the user expires like everybody else.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_online(&self, user: &str) -> Result<Presence, Error> {
        self.set(user, Status::Online).await
    }

    /// [`set`](Self::set) to away: `last_seen` stays.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_away(&self, user: &str) -> Result<Presence, Error> {
        self.set(user, Status::Away).await
    }

    /// [`set`](Self::set) to offline: every session ends, `last_seen` is now.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_offline(&self, user: &str) -> Result<Presence, Error> {
        self.set(user, Status::Offline).await
    }

    /// The user was seen now, wherever: `last_seen` moves, and the youngest session is renewed if there is one. Opens no
    /// session, so who is offline stays offline.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn update_last_seen(&self, user: &str) -> Result<Presence, Error> {
        for _ in 0..ROUNDS_MAX {
            let decided = match self.see_in_session(user) {
                Some(decided) => decided?.made().await,
                None => break,
            };
            match decided {
                // The session ended meanwhile: another one may be left.
                Err(Error::Ended) => {}
                decided => return self.conclude(user, decided?).await,
            }
        }
        // No session has the name of nothing: to the engine this is a goodbye that ends nothing and is seen now.
        let (session, reason) = ("-", EndReason::Disconnected);
        self.depart(user, Input::EndSession { user, session, reason }).await
    }

    /// The user was seen now in their youngest session; `None` when there is none.
    fn see_in_session(&self, user: &str) -> Option<Result<Decision<Decided>, Error>> {
        let (shared, name) = (self.shared(), UserId::from(user));
        shared.shards.with(user, |shard| {
            let explained = shard.engine.explain(shared.clock.now(), user)?;
            if explained.barred {
                return Some(Err(Error::Barred));
            }
            let youngest = explained.sessions.last()?.session.clone();
            let input = Input::Evidence { user, session: &youngest, activity: None };
            let finish = move |shared: &Shared, shard: &mut Shard, mut outcome: Outcome| {
                if let Some(Presence { user, status, last_seen, since: Some(since) }) = shard.engine.presence(&name) {
                    outcome.effects.push(Effect::SavePresence(PresenceRow { user, status, last_seen, since }));
                }
                shared.conclude(shard, &name, outcome)
            };
            Some(shared.decide_then(shard, input, finish))
        })
    }

    /// Shows `status` on top of what the sessions say, for `ends_after` or until it is cleared.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn override_status(
        &self,
        user: &str,
        source: Source,
        status: Status,
        ends_after: Option<Duration>,
    ) -> Result<Presence, Error> {
        self.act(user, Input::Override { user, source, status, ends_after }).await
    }

    /// Ends the override of this source: what lies beneath shows again.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn clear_override(&self, user: &str, source: Source) -> Result<Presence, Error> {
        self.act(user, Input::ClearOverride { user, source }).await
    }

    /// The user may not be present until [`unbar`](Self::unbar): offline from now on, evidence is [`Error::Barred`].
    ///
    /// Who is barred is not kept here: whoever keeps it bars again after a restart.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn bar(&self, user: &str) -> Result<Presence, Error> {
        self.act(user, Input::Bar { user }).await
    }

    /// The user may be present again, starting offline.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn unbar(&self, user: &str) -> Result<Presence, Error> {
        self.act(user, Input::Unbar { user }).await
    }

    /// Erases the user: nothing remains, neither presence nor history.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn forget(&self, user: &str) -> Result<(), Error> {
        let name = UserId::from(user);
        let finish = move |shared: &Shared, shard: &mut Shard, outcome: Outcome| {
            let from = outcome.logged(&name);
            shared.push_and_wait(shard, &name, outcome.now, outcome.effects, from)
        };
        let shared = self.shared();
        let kept = shared.shards.with(user, |shard| shared.decide_then(shard, Input::Forget { user }, finish))?;
        self.kept(kept.made().await?).await
    }

    /// Decides, and waits until it is kept.
    async fn act(&self, user: &str, input: Input<'_>) -> Result<Presence, Error> {
        let (shared, name) = (self.shared(), UserId::from(user));
        let finish = move |shared: &Shared, shard: &mut Shard, outcome| shared.conclude(shard, &name, outcome);
        let decided = shared.shards.with(user, |shard| shared.decide_then(shard, input, finish));
        self.conclude(user, decided?.made().await?).await
    }

    /// [`act`](Self::act) for what leaves the user offline and seen now, also when they were offline before.
    async fn depart(&self, user: &str, input: Input<'_>) -> Result<Presence, Error> {
        let shared = self.shared();
        let decided = self.with_row(user, |shard, row| {
            let known = shard.engine.presence(user).is_some_and(|presence| presence.since.is_some());
            let row = match row {
                _ if known || shared.queue.overlay(shared.clock.now().tick, user).is_some() => None,
                Some(row) => row,
                None => return None,
            };
            Some(shared.decide_then(shard, input.clone(), departed(user.into(), row)))
        });
        self.conclude(user, decided.await??.made().await?).await
    }

    /// Calls `step` under the lock of the user's shard, with no row first. As long as it answers `None`, it is called again with what the
    /// store knows (`Some(None)` is nothing) and of that very moment: not when anything was decided in the shard meanwhile, unless that
    /// happened each time.
    pub(crate) async fn with_row<T>(
        &self,
        user: &str,
        mut step: impl FnMut(&mut Shard, Option<Option<PresenceRow>>) -> Option<T>,
    ) -> Result<T, Error> {
        let mut asked: Option<(u64, Option<PresenceRow>)> = None;
        for round in 1..=ROUNDS_MAX {
            let stepped = self.shared().shards.with(user, |shard| {
                let of_this_moment = |decided: u64| decided == shard.decided || round == ROUNDS_MAX;
                let row = asked.take().filter(|&(decided, _)| of_this_moment(decided)).map(|(_, row)| row);
                step(shard, row).ok_or(shard.decided)
            });
            match stepped {
                Ok(done) => return Ok(done),
                Err(decided) => asked = Some((decided, self.ask(user).await?)),
            }
        }
        Err(Error::Full)
    }

    pub(crate) async fn conclude(&self, user: &str, (known, kept): Decided) -> Result<Presence, Error> {
        self.kept(kept).await?;
        self.completed(user, known).await
    }

    /// Waits until the store has it: not for ever.
    pub(crate) async fn kept(&self, kept: oneshot::Receiver<Kept>) -> Result<(), Error> {
        tokio::select! {
            biased;
            kept = kept => match kept {
                Ok(kept) => Ok(kept?),
                Err(_) => {
                    self.shared().closed()?;
                    Err(StoreError::Unavailable("what keeps it was interrupted".into()).into())
                }
            },
            () = self.shared().clock.sleep(KEPT_WITHIN) => {
                Err(StoreError::Unavailable(format!("it did not answer within {KEPT_WITHIN:?}")).into())
            }
        }
    }

    async fn ask(&self, user: &str) -> Result<Option<PresenceRow>, Error> {
        let mut rows = self.shared().store.presences(&[user.into()]).await?;
        Ok(rows.pop().flatten())
    }
}

impl Shared {
    /// Renews a live session, this node's or another's; `None` when more than that must be decided.
    fn renew(
        &self,
        shard: &mut Shard,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool,
    ) -> Result<Option<Beat>, Error> {
        if shard.closed {
            return Err(Error::Closed);
        }
        if !still() {
            return Err(Error::Stale);
        }
        let now = self.clock.now();
        if !shard.engine.renew(now, user, session, activity)
            && !self.hear_elsewhere(shard, now, user, session, activity)
        {
            return Ok(None);
        }
        shard.count_evidence(user);
        Ok(Some(beat(shard, user, now.wall)))
    }

    /// Pushes what follows from a decision.
    pub(crate) fn conclude(&self, shard: &mut Shard, user: &str, outcome: Outcome) -> Decided {
        let from = outcome.logged(user);
        let mut all = changes(&mut shard.veils, &self.veils, outcome.effects);
        all.extend(outcome.changes);
        let kept = self.push_changes_and_wait(shard, user, outcome.now, all, from);
        (self.known(shard, user), kept)
    }
}

/// What is left to do after evidence; `waits` says that somebody wants to know when it is kept.
fn heard(user: UserId, waits: bool) -> impl FnOnce(&Shared, &mut Shard, Outcome) -> Heard + Send + 'static {
    move |shared, shard, outcome| {
        let from = outcome.logged(&user);
        let kept = if waits && !outcome.effects.is_empty() {
            Some(shared.push_and_wait(shard, &user, outcome.now, outcome.effects, from))
        } else {
            shared.push_from(shard, outcome.now, outcome.effects, from);
            None
        };
        shard.count_evidence(&user);
        (beat(shard, &user, outcome.now.wall), kept)
    }
}

/// What is left to do after a departure. `row` is the store's, for one of whom nothing newer is known.
fn departed(
    user: UserId,
    row: Option<PresenceRow>,
) -> impl FnOnce(&Shared, &mut Shard, Outcome) -> Decided + Send + 'static {
    move |shared, shard, mut outcome| {
        if !outcome.since_known {
            let wall = outcome.now.wall;
            let row = shared.queue.overlay(shared.clock.now().tick, &user).map_or(row, |overlay| overlay.row);
            let since = row.filter(|row| row.status == Status::Offline).map(|row| row.since);
            for effect in &mut outcome.effects {
                if let Effect::SavePresence(row) = effect {
                    // Without a row, what the engine says from now on: another time could be newer than what it says next.
                    row.since = since.unwrap_or(row.since);
                }
            }
            if !outcome.in_memory {
                let (user, status) = (user.clone(), Status::Offline);
                let row = PresenceRow { user, status, last_seen: Some(wall), since: since.unwrap_or(wall) };
                outcome.effects.push(Effect::SavePresence(row));
            }
        }
        shared.conclude(shard, &user, outcome)
    }
}

fn beat(shard: &Shard, user: &str, last_seen: Timestamp) -> Beat {
    let status = shard.engine.presence(user).map_or(Status::Offline, |presence| presence.status);
    Beat { status, last_seen }
}

/// What a user will be shown as once evidence of theirs is decided.
fn predicted(shard: &Shard, now: Now, user: &str, session: &str, activity: Option<Activity>) -> Status {
    let explained = shard.engine.explain(now, user);
    if let Some(explained) = explained.as_ref().filter(|explained| !explained.overrides.is_empty()) {
        return explained.presence.status;
    }
    let sessions = explained.map(|explained| explained.sessions).unwrap_or_default();
    let others = sessions.iter().filter(|other| other.session != session).map(|other| other.activity);
    let known = sessions.iter().find(|other| other.session == session).map(|session| session.activity);
    let activities = others.chain([activity.or(known).unwrap_or_default()]);
    if activities.into_iter().any(|activity| activity == Activity::Active) { Status::Online } else { Status::Away }
}
