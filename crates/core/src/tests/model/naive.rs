//! The rules of presence, written down as plainly as possible: vectors, and everything computed anew each time.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use crate::{
    Activity, Counts, Effect, Effects, EndReason, Explanation, HeldRow, Input, Limits, Now, OverrideRow, OverrideView,
    Policy, Presence, PresenceRow, Reason, Rejected, RestoredUser, SessionNumber, SessionRow, SessionView, Source,
    Status, Tick, Timestamp, Transition,
};

#[derive(Clone, Debug)]
struct Session {
    row: SessionRow,
    deadline: Tick,
    dropped: bool,
    heard: bool,
}

/// An override, or (without a source) a held status.
#[derive(Clone, Debug)]
struct Cover {
    source: Option<Source>,
    view: OverrideView,
    deadline: Option<Tick>,
}

#[derive(Clone, Debug, Default)]
struct User {
    sessions: Vec<Session>,
    covers: Vec<Cover>,
    barred: bool,
    last_seen: Option<Timestamp>,
    since: Option<Timestamp>,
    entered: Timestamp,
    shown: Status,
}

pub(super) struct Naive {
    policy: Policy,
    limits: Limits,
    users: BTreeMap<String, User>,
    number: SessionNumber,
    step: SessionNumber,
}

impl User {
    fn merged(&self) -> Status {
        self.sessions.iter().map(|session| session.row.activity.status()).max().unwrap_or_default()
    }

    /// `None` of a source is the weakest: it is what is held.
    fn merge(&self) -> Status {
        if self.barred {
            return Status::Offline;
        }
        let strongest = self.covers.iter().max_by_key(|cover| cover.source);
        strongest.map_or_else(|| self.merged(), |cover| cover.view.status)
    }

    fn end_cover(&mut self, name: &str, source: Option<Source>, out: &mut Effects) -> bool {
        let before = self.covers.len();
        self.covers.retain(|cover| cover.source != source);
        let ended = self.covers.len() < before;
        if ended {
            out.push(match source {
                Some(source) => Effect::ForgetOverride(name.into(), source),
                None => Effect::ForgetHeld(name.into()),
            });
        }
        ended
    }

    /// Ends sessions; true when one of them was the last one heard.
    fn end_sessions(&mut self, ends: impl Fn(&Session) -> bool, out: &mut Effects) -> bool {
        let (ending, left): (Vec<_>, Vec<_>) = self.sessions.drain(..).partition(|session| ends(session));
        self.sessions = left;
        out.extend(ending.iter().map(|session| Effect::ForgetSession(session.row.user.clone(), session.row.number)));
        ending.iter().any(|session| Some(session.row.last_evidence) == self.last_seen)
    }
}

impl Naive {
    pub(super) fn new(policy: Policy, limits: Limits, number: SessionNumber, step: SessionNumber) -> Self {
        Self { policy, limits, users: BTreeMap::new(), number, step }
    }

    pub(super) fn apply(&mut self, now: Now, input: Input<'_>) -> Result<Effects, Rejected> {
        let mut out = Effects::new();
        match input {
            Input::Evidence { user, session, activity } => {
                let mut it = self.present(now, user)?;
                let mut reason = Reason::Activity;
                if it.end_cover(user, None, &mut out) {
                    reason = Reason::Evidence;
                }
                it.last_seen = Some(now.wall);
                let deadline = now.tick + self.policy.inactivity_timeout();
                if let Some(live) = it.sessions.iter_mut().find(|live| live.row.session == session) {
                    live.deadline = live.deadline.max(deadline);
                    live.row.last_evidence = now.wall;
                    (live.dropped, live.heard) = (false, true);
                    if let Some(activity) = activity.filter(|activity| *activity != live.row.activity) {
                        live.row.activity = activity;
                        out.push(Effect::SaveSession(live.row.clone()));
                    }
                } else {
                    reason = Reason::Evidence;
                    self.evict(&mut it, &mut out);
                    let row = SessionRow {
                        number: self.number,
                        user: user.into(),
                        session: session.into(),
                        activity: activity.unwrap_or(Activity::Active),
                        opened_at: now.wall,
                        last_evidence: now.wall,
                    };
                    self.number += self.step;
                    out.push(Effect::OpenSession(row.clone()));
                    it.sessions.push(Session { row, deadline, dropped: false, heard: false });
                }
                self.done(now, user, it, reason, None, false, &mut out);
            }
            Input::EndSession { user, session, reason } => {
                let Some(mut it) = self.users.get(user).cloned() else { return Ok(out) };
                let below = std::format!("{session}/");
                let keep = it
                    .end_sessions(|live| live.row.session == session || live.row.session.starts_with(&below), &mut out);
                self.ended(now, user, it, reason, reason != EndReason::Disconnected, keep, &mut out);
            }
            Input::EndUser { user, reason } => {
                let Some(mut it) = self.users.get(user).cloned() else { return Ok(out) };
                let keep = it.end_sessions(|_| true, &mut out);
                self.ended(now, user, it, reason, true, keep, &mut out);
            }
            Input::Drop { user, session } => {
                let deadline = now.tick + self.policy.reconnect_grace();
                let live = self.users.get_mut(user).into_iter().flat_map(|it| &mut it.sessions);
                for live in live.filter(|live| live.row.session == session && deadline < live.deadline) {
                    (live.deadline, live.dropped) = (deadline, true);
                }
            }
            Input::Set { user, status: Status::Offline } => {
                let Some(mut it) = self.users.get(user).cloned() else { return Ok(out) };
                it.end_sessions(|_| true, &mut out);
                it.end_cover(user, None, &mut out);
                it.last_seen = Some(now.wall);
                self.done(now, user, it, Reason::Set, None, true, &mut out);
            }
            Input::Set { user, status } => {
                let mut it = self.present(now, user)?;
                if status == Status::Online {
                    it.last_seen = Some(now.wall);
                }
                self.cover(now, &mut it, None, status, Some(self.policy.inactivity_timeout()));
                out.push(Effect::SaveHeld(HeldRow { user: user.into(), status, set_at: now.wall }));
                self.done(now, user, it, Reason::Set, None, status == Status::Online, &mut out);
            }
            Input::Override { user, source, status, ends_after } => {
                let mut it = self.present(now, user)?;
                self.cover(now, &mut it, Some(source), status, ends_after);
                let ends_at = ends_after.map(|length| now.wall + length);
                let row = OverrideRow { user: user.into(), source, status, set_at: now.wall, ends_at };
                out.push(Effect::SaveOverride(row));
                self.done(now, user, it, Reason::Override, None, false, &mut out);
            }
            Input::ClearOverride { user, source } => {
                let Some(mut it) = self.users.get(user).cloned() else { return Ok(out) };
                it.end_cover(user, Some(source), &mut out);
                self.done(now, user, it, Reason::OverrideEnded, None, false, &mut out);
            }
            Input::Bar { user } => {
                let mut it = match self.present(now, user) {
                    Err(Rejected::Barred) => return Ok(out),
                    other => other?,
                };
                let keep = it.end_sessions(|_| true, &mut out);
                for source in [None, Some(Source::Application), Some(Source::User), Some(Source::Admin)] {
                    it.end_cover(user, source, &mut out);
                }
                it.barred = true;
                self.done(now, user, it, Reason::Barred, None, keep, &mut out);
            }
            Input::Unbar { user } => {
                let Some(mut it) = self.users.get(user).cloned() else { return Ok(out) };
                it.barred = false;
                self.done(now, user, it, Reason::Barred, None, false, &mut out);
            }
            Input::Forget { user } => {
                if let Some(it) = self.users.get(user).cloned() {
                    let gone = User { sessions: Vec::new(), covers: Vec::new(), barred: false, ..it };
                    self.done(now, user, gone, Reason::ForcedLogout, None, false, &mut out);
                }
                out.push(Effect::Erase(user.into()));
            }
            Input::Restore(user) => self.restore(now, user, &mut out)?,
        }
        Ok(out)
    }

    pub(super) fn sweep(&mut self, now: Now) -> Effects {
        let mut out = Effects::new();
        loop {
            let sessions = self.users.iter().flat_map(|(name, it)| {
                it.sessions.iter().map(|live| (live.deadline, 0, live.row.number, name.clone(), None))
            });
            let covers = self.users.iter().flat_map(|(name, it)| {
                it.covers.iter().filter_map(|cover| {
                    // What is held ends after overrides of the same moment.
                    let rank = cover.source.map_or(9, |source| source as u64);
                    Some((cover.deadline?, 1, rank, name.clone(), cover.source))
                })
            });
            let first = sessions.chain(covers).min().filter(|(deadline, ..)| *deadline <= now.tick);
            let Some((deadline, kind, number, name, source)) = first else { return out };
            let mut it = self.users[&name].clone();
            let (mut reason, mut keep) = (Reason::Expired, false);
            if kind == 0 {
                if it.sessions.iter().any(|live| live.row.number == number && live.dropped) {
                    reason = Reason::Disconnected;
                }
                keep = it.end_sessions(|live| live.row.number == number, &mut out);
            } else {
                it.end_cover(&name, source, &mut out);
                if source.is_some() {
                    reason = Reason::OverrideEnded;
                }
            }
            self.done(now, &name, it, reason, Some(now.tick - deadline), keep, &mut out);
        }
    }

    pub(super) fn drain(&mut self) -> BTreeMap<SessionNumber, Timestamp> {
        let live = self.users.values_mut().flat_map(|it| &mut it.sessions);
        live.filter_map(|live| std::mem::take(&mut live.heard).then_some((live.row.number, live.row.last_evidence)))
            .collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        let sessions = self.users.values().flat_map(|it| it.sessions.iter().map(|live| live.deadline));
        let covers = self.users.values().flat_map(|it| it.covers.iter().filter_map(|cover| cover.deadline));
        sessions.chain(covers).min()
    }

    pub(super) fn counts(&self) -> Counts {
        let shown = |status| self.users.values().filter(|it| it.shown == status).count() as u64;
        Counts {
            online: shown(Status::Online),
            away: shown(Status::Away),
            sessions: self.users.values().map(|it| it.sessions.len() as u64).sum(),
            users: self.users.len() as u64,
        }
    }

    pub(super) fn explain(&self, now: Now, user: &str) -> Option<Explanation> {
        let it = self.users.get(user)?;
        let mut overrides: Vec<_> =
            it.covers.iter().filter(|cover| cover.source.is_some()).map(|cover| cover.view.clone()).collect();
        overrides.sort_by_key(|view| std::cmp::Reverse(view.source));
        let sessions = it.sessions.iter().map(|live| SessionView {
            number: live.row.number,
            session: live.row.session.clone(),
            activity: live.row.activity,
            opened_at: live.row.opened_at,
            last_evidence: live.row.last_evidence,
            remaining: live.deadline - now.tick,
            elsewhere: false,
        });
        Some(Explanation {
            presence: Presence { user: user.into(), status: it.shown, last_seen: it.last_seen, since: it.since },
            merged: it.merged(),
            sessions: sessions.collect(),
            overrides,
            held: it.covers.iter().find(|cover| cover.source.is_none()).map(|cover| cover.view.status),
            barred: it.barred,
        })
    }

    /// A copy of a user who may be present, or a new one.
    fn present(&self, now: Now, user: &str) -> Result<User, Rejected> {
        match self.users.get(user) {
            Some(it) if it.barred => Err(Rejected::Barred),
            Some(it) => Ok(it.clone()),
            None if self.users.len() >= self.limits.users_max as usize => Err(Rejected::TooManyUsers),
            None => Ok(User { entered: now.wall, ..User::default() }),
        }
    }

    fn cover(&self, now: Now, it: &mut User, source: Option<Source>, status: Status, length: Option<Duration>) {
        it.covers.retain(|cover| cover.source != source);
        let ends_at = length.map(|length| now.wall + length);
        // The source of a view of what is held is never looked at.
        let view = OverrideView { source: source.unwrap_or(Source::Admin), status, set_at: now.wall, ends_at };
        it.covers.push(Cover { source, view, deadline: length.map(|length| now.tick + length) });
    }

    fn evict(&self, it: &mut User, out: &mut Effects) {
        while it.sessions.len() >= usize::from(self.limits.sessions_per_user_max) {
            let silent = it.sessions.iter().map(|live| (live.row.last_evidence, live.row.number)).min();
            it.end_sessions(|live| Some((live.row.last_evidence, live.row.number)) == silent, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that may differ, in one place")]
    fn ended(
        &mut self,
        now: Now,
        user: &str,
        mut it: User,
        reason: EndReason,
        ends_held: bool,
        mut keep: bool,
        out: &mut Effects,
    ) {
        if it.sessions.is_empty() {
            if ends_held {
                it.end_cover(user, None, out);
            }
            if reason != EndReason::ForcedLogout && !it.barred {
                keep |= it.last_seen != Some(now.wall);
                it.last_seen = Some(now.wall);
            }
        }
        let reason = match reason {
            EndReason::Logout => Reason::Logout,
            EndReason::Disconnected => Reason::Disconnected,
            EndReason::ForcedLogout => Reason::ForcedLogout,
        };
        self.done(now, user, it, reason, None, keep, out);
    }

    /// Shows the user, keeps what must be kept, and forgets whom there is nothing of.
    #[expect(clippy::too_many_arguments, reason = "everything that may differ, in one place")]
    fn done(
        &mut self,
        now: Now,
        user: &str,
        mut it: User,
        reason: Reason,
        lateness: Option<Duration>,
        keep: bool,
        out: &mut Effects,
    ) {
        let (from, to) = (it.shown, it.merge());
        let last_seen = it.last_seen;
        if from != to {
            (it.shown, it.since) = (to, Some(now.wall));
            let user = user.into();
            out.push(Effect::Announce(Transition { user, from, to, at: now.wall, last_seen, reason, lateness }));
        } else if keep {
            let since = it.since.unwrap_or(it.entered);
            out.push(Effect::SavePresence(PresenceRow { user: user.into(), status: to, last_seen, since }));
        }
        if it.sessions.is_empty() && it.covers.is_empty() && !it.barred {
            self.users.remove(user);
        } else {
            self.users.insert(user.to_string(), it);
        }
    }

    fn restore(&mut self, now: Now, user: RestoredUser, out: &mut Effects) -> Result<(), Rejected> {
        let RestoredUser { user: name, status, last_seen, since, mut sessions, overrides, held } = user;
        let held = held.filter(|(status, _)| *status != Status::Offline);
        let gone = |reason| {
            let (user, at) = (name.clone(), now.wall);
            Effect::Announce(Transition {
                user,
                from: status,
                to: Status::Offline,
                at,
                last_seen,
                reason,
                lateness: None,
            })
        };
        if let Some(it) = self.users.get_mut(name.as_str()) {
            if !it.barred || it.since.is_some() {
                return Ok(());
            }
            (it.last_seen, it.since) = (last_seen, Some(since));
            out.extend(sessions.iter().map(|session| Effect::ForgetSession(name.clone(), session.number)));
            out.extend(held.map(|_| Effect::ForgetHeld(name.clone())));
            out.extend(overrides.iter().map(|standing| Effect::ForgetOverride(name.clone(), standing.source)));
            if status != Status::Offline {
                it.since = Some(now.wall);
                out.push(gone(Reason::Barred));
            }
            return Ok(());
        }
        if sessions.is_empty() && overrides.is_empty() && held.is_none() {
            out.extend((status != Status::Offline).then(|| gone(Reason::Expired)));
            return Ok(());
        }
        let mut it = self.present(now, &name)?;
        (it.shown, it.last_seen, it.since) = (status, last_seen, Some(since));
        sessions.sort_by_key(|session| session.number);
        let longest = self.policy.inactivity_timeout();
        for session in sessions {
            if it.sessions.iter().any(|live| live.row.session == session.session) {
                out.push(Effect::ForgetSession(name.clone(), session.number));
                continue;
            }
            self.evict(&mut it, out);
            let row = SessionRow {
                number: session.number,
                user: name.clone(),
                session: session.session,
                activity: session.activity,
                opened_at: session.opened_at,
                last_evidence: session.last_evidence,
            };
            let deadline = now.tick + session.remaining.min(longest);
            it.sessions.push(Session { row, deadline, dropped: false, heard: false });
        }
        for standing in overrides {
            self.cover(now, &mut it, Some(standing.source), standing.status, standing.ends_after);
            if let Some(cover) = it.covers.last_mut() {
                (cover.view.set_at, cover.view.ends_at) = (standing.set_at, standing.ends_at);
            }
        }
        if let Some((status, left)) = held {
            self.cover(now, &mut it, None, status, Some(left.min(longest)));
        }
        self.done(now, &name, it, Reason::Mended, None, false, out);
        Ok(())
    }
}
