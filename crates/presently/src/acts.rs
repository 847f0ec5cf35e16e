//! What changes presence. **An act returns when what it caused is kept by the store**; giving up on the wait undoes nothing and loses nothing.
//!
//! The engine knows who is in memory. Of the others only the store knows when they were last seen and since when they are
//! offline, so an act that moves their `last_seen` asks the store first and decides then, unless something was decided meanwhile.

use std::time::Duration;

use presently_core::{Effect, Input, PresenceRow};
use tokio::sync::oneshot;

use crate::config::Error;
use crate::handle::Presently;
use crate::queue::Kept;
use crate::shard::Shard;
use crate::shared::Known;
use crate::store::StoreError;
use crate::{Activity, EndReason, Presence, Source, Status, Timestamp};

/// How long an act waits for the store.
const KEPT_WITHIN: Duration = Duration::from_secs(5);
/// How often a decision is put off because the shard did not stand still.
const ROUNDS_MAX: usize = 8;

/// What evidence leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The status shown.
    pub status: Status,
    /// The moment of this evidence.
    pub last_seen: Timestamp,
}

/// What was decided under the lock.
type Decided = Result<(Known, oneshot::Receiver<Kept>), Error>;

impl Presently {
    /// Evidence of life, unless `still` says no: then [`Error::Stale`]. `still` is called while the user's shard is held, so
    /// nothing can come between it and the decision; it must be quick, and must not call this handle.
    /// Returns the status and `last_seen` (= now) after it. The steady state allocates nothing and waits for nobody.
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
        shared.shards.with(user, |shard| {
            if shard.closed {
                return Err(Error::Closed);
            }
            if !still() {
                return Err(Error::Stale);
            }
            let now = shared.clock.now();
            if !shard.engine.renew(now, user, session, activity) {
                shared.decide(shard, now, Input::Evidence { user, session, activity })?;
            }
            shard.evidence += 1;
            let status = shard.engine.presence(user).map_or(Status::Offline, |presence| presence.status);
            Ok(Beat { status, last_seen: now.wall })
        })
    }

    /// The same, and waits until what it caused is kept. For logins.
    ///
    /// # Errors
    /// As [`evidence`](Self::evidence), and [`Error::Store`].
    pub async fn evidence_kept(
        &self,
        user: &str,
        session: &str,
        activity: Option<Activity>,
        still: impl FnOnce() -> bool + Send,
    ) -> Result<Presence, Error> {
        let shared = self.shared();
        let decided = shared.shards.with(user, |shard| {
            if !shard.closed && !still() {
                return Err(Error::Stale);
            }
            let now = shared.clock.now();
            let kept = shared.decide_and_wait(shard, now, Input::Evidence { user, session, activity })?;
            shard.evidence += 1;
            Ok((shared.known(shard, user), kept))
        });
        self.conclude(user, decided).await
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
        let shared = self.shared();
        let seen = shared.shards.with(user, |shard| {
            let now = shared.clock.now();
            let explained = shard.engine.explain(now, user)?;
            if explained.barred {
                return Some(Err(Error::Barred));
            }
            let youngest = explained.sessions.last()?.session.clone();
            let input = Input::Evidence { user, session: &youngest, activity: None };
            Some(shared.weigh(shard, now, input).map(|mut effects| {
                if let Some(Presence { user, status, last_seen, since: Some(since) }) = shard.engine.presence(user) {
                    effects.push(Effect::SavePresence(PresenceRow { user, status, last_seen, since }));
                }
                let kept = shared.push_and_wait(shard, now, effects);
                (shared.known(shard, user), kept)
            }))
        });
        match seen {
            Some(decided) => self.conclude(user, decided).await,
            // No session has the name of nothing: to the engine this is a goodbye that ends nothing and is seen now.
            None => {
                let (session, reason) = ("-", EndReason::Disconnected);
                self.depart(user, Input::EndSession { user, session, reason }).await
            }
        }
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
        let shared = self.shared();
        let kept = shared
            .shards
            .with(user, |shard| shared.decide_and_wait(shard, shared.clock.now(), Input::Forget { user }))?;
        self.kept(kept).await
    }

    /// Decides, and waits until it is kept.
    async fn act(&self, user: &str, input: Input<'_>) -> Result<Presence, Error> {
        let shared = self.shared();
        let decided = shared.shards.with(user, |shard| {
            let kept = shared.decide_and_wait(shard, shared.clock.now(), input)?;
            Ok((shared.known(shard, user), kept))
        });
        self.conclude(user, decided).await
    }

    /// [`act`](Self::act) for what leaves the user offline and seen now, also when they were offline before.
    async fn depart(&self, user: &str, input: Input<'_>) -> Result<Presence, Error> {
        let shared = self.shared();
        let mut asked: Option<(u64, Option<PresenceRow>)> = None;
        for round in 0..ROUNDS_MAX {
            let step = shared.shards.with(user, |shard| {
                let memory = shard.engine.presence(user);
                if memory.as_ref().is_some_and(|presence| presence.since.is_some()) {
                    return Ok(self.depart_from_memory(shard, user, input.clone(), None));
                }
                let row = match (shared.queue.unkept(user), &asked) {
                    (Some(unkept), _) => unkept.row,
                    (None, Some((decided, row))) if *decided == shard.decided || round + 1 == ROUNDS_MAX => row.clone(),
                    _ => return Err(shard.decided),
                };
                let offline = row.filter(|row| row.status == Status::Offline);
                let since = offline.map_or_else(|| shared.clock.now().wall, |row| row.since);
                Ok(self.depart_from_memory(shard, user, input.clone(), Some(since)))
            });
            match step {
                Ok(decided) => return self.conclude(user, decided).await,
                Err(decided) => asked = Some((decided, self.ask(user).await?)),
            }
        }
        Err(Error::Full)
    }

    /// `since` is given when the engine does not know it.
    fn depart_from_memory(&self, shard: &mut Shard, user: &str, input: Input<'_>, since: Option<Timestamp>) -> Decided {
        let shared = self.shared();
        let now = shared.clock.now();
        let away = shard.engine.presence(user).is_none();
        let mut effects = shared.weigh(shard, now, input)?;
        if let Some(since) = since {
            for effect in &mut effects {
                if let Effect::SavePresence(row) = effect {
                    row.since = since;
                }
            }
            if away {
                let (user, status) = (user.into(), Status::Offline);
                effects.push(Effect::SavePresence(PresenceRow { user, status, last_seen: Some(now.wall), since }));
            }
        }
        let kept = shared.push_and_wait(shard, now, effects);
        Ok((shared.known(shard, user), kept))
    }

    async fn conclude(&self, user: &str, decided: Decided) -> Result<Presence, Error> {
        let (known, kept) = decided?;
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

    pub(crate) async fn ask(&self, user: &str) -> Result<Option<PresenceRow>, Error> {
        let mut rows = self.shared().store.presences(&[user.into()]).await?;
        Ok(rows.pop().flatten())
    }
}
