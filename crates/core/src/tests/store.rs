//! What a caller keeps on disk, and what it gives back after a restart: the least that honours the effects.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use crate::{
    Effect, HeldRow, Input, Now, OverrideRow, Policy, PresenceRow, RestoredOverride, RestoredSession, RestoredUser,
    SessionNumber, SessionRow, Source, Status, Timestamp, UserId,
};

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) presences: BTreeMap<String, PresenceRow>,
    pub(super) sessions: BTreeMap<SessionNumber, SessionRow>,
    pub(super) overrides: BTreeMap<(String, Source), OverrideRow>,
    pub(super) held: BTreeMap<String, HeldRow>,
    /// How long nobody listened since the last evidence of a session, or since a status is held: that silence is nobody's
    /// fault, also when one restart follows another.
    deaf_by_session: BTreeMap<SessionNumber, Duration>,
    deaf_by_user: BTreeMap<String, Duration>,
}

impl Store {
    /// Keeps what an effect says. Panics when it contradicts what was kept before.
    pub(super) fn keep(&mut self, effect: &Effect) {
        match effect {
            Effect::Announce(change) => {
                let from = self.presences.get(change.user.as_str()).map_or(Status::Offline, |row| row.status);
                assert_eq!(change.from, from, "{change:?} does not follow what was announced before");
                assert_ne!(change.from, change.to, "{change:?} is no change");
                self.put(&change.user, change.to, change.last_seen, change.at);
            }
            Effect::SavePresence(row) => {
                let kept = self.presences.get(row.user.as_str());
                assert_eq!(row.status, kept.map_or(Status::Offline, |row| row.status), "a silent change of status");
                let since = kept.map_or(row.since, |row| row.since);
                self.put(&row.user, row.status, row.last_seen, since);
            }
            Effect::OpenSession(row) | Effect::SaveSession(row) => {
                let kept = self.presences.get(row.user.as_str());
                let (status, since) = kept.map_or((Status::Offline, row.opened_at), |row| (row.status, row.since));
                self.put(&row.user, status, Some(row.last_evidence), since);
                self.deaf_by_session.remove(&row.number);
                self.sessions.insert(row.number, row.clone());
            }
            Effect::SaveOverride(row) => {
                self.know(&row.user, row.set_at);
                self.overrides.insert((row.user.to_string(), row.source), row.clone());
            }
            Effect::SaveHeld(row) => {
                self.know(&row.user, row.set_at);
                self.deaf_by_user.remove(row.user.as_str());
                self.held.insert(row.user.to_string(), row.clone());
            }
            Effect::ForgetSession(user, number) => {
                let forgotten = self.sessions.remove(number);
                assert_eq!(forgotten.map(|row| row.user).as_ref(), Some(user), "session {number} was never saved");
            }
            Effect::ForgetOverride(user, source) => {
                assert!(self.overrides.remove(&(user.to_string(), *source)).is_some(), "no override of {user}");
            }
            Effect::ForgetHeld(user) => {
                assert!(self.held.remove(user.as_str()).is_some(), "nothing is held for {user}");
            }
            Effect::Erase(user) => {
                self.presences.remove(user.as_str());
                self.sessions.retain(|_, row| row.user != user);
                self.overrides.retain(|(name, _), _| name != user);
                self.held.remove(user.as_str());
            }
        }
    }

    /// Keeps what a drain handed over.
    pub(super) fn heard(&mut self, number: SessionNumber, at: Timestamp) {
        let row = self.sessions.get_mut(&number).expect("evidence of a session that was never saved, or was forgotten");
        row.last_evidence = at;
        self.deaf_by_session.remove(&number);
        self.presences.get_mut(row.user.as_str()).expect("a session without presence").last_seen = Some(at);
    }

    /// What to apply first after a restart. `stopped` is when the last evidence was kept.
    pub(super) fn restore(&mut self, stopped: Timestamp, now: Now, policy: &Policy) -> Vec<Input<'static>> {
        let left = |heard: Timestamp, deaf: Option<&Duration>| {
            let silence = stopped.since(heard).saturating_sub(deaf.copied().unwrap_or_default());
            policy.inactivity_timeout().saturating_sub(silence)
        };
        let row = |(name, presence): (&String, &PresenceRow)| {
            let sessions = self.sessions.values().filter(|row| row.user == name).map(|row| RestoredSession {
                number: row.number,
                session: row.session.clone(),
                activity: row.activity,
                opened_at: row.opened_at,
                last_evidence: row.last_evidence,
                remaining: left(row.last_evidence, self.deaf_by_session.get(&row.number)),
            });
            let overrides = Source::ALL.into_iter().filter_map(|source| {
                let row = self.overrides.get(&(name.clone(), source))?;
                Some(RestoredOverride {
                    source,
                    status: row.status,
                    set_at: row.set_at,
                    ends_at: row.ends_at,
                    ends_after: row.ends_at.map(|end| end.since(now.wall)),
                })
            });
            let held = self.held.get(name);
            RestoredUser {
                user: UserId::from(name.as_str()),
                status: presence.status,
                last_seen: presence.last_seen,
                since: presence.since,
                sessions: sessions.collect(),
                overrides: overrides.collect(),
                held: held.map(|row| (row.status, left(row.set_at, self.deaf_by_user.get(name)))),
            }
        };
        let inputs = self.presences.iter().map(row).map(Input::Restore).collect();
        let pause = now.wall.since(stopped);
        for number in self.sessions.keys() {
            *self.deaf_by_session.entry(*number).or_default() += pause;
        }
        for user in self.held.keys() {
            *self.deaf_by_user.entry(user.clone()).or_default() += pause;
        }
        inputs
    }

    /// There is a row of everybody of whom there is anything.
    fn know(&mut self, user: &UserId, since: Timestamp) {
        if !self.presences.contains_key(user.as_str()) {
            self.put(user, Status::Offline, None, since);
        }
    }

    fn put(&mut self, user: &UserId, status: Status, last_seen: Option<Timestamp>, since: Timestamp) {
        let kept = self.presences.get(user.as_str()).and_then(|row| row.last_seen);
        let row = PresenceRow { user: user.clone(), status, last_seen: last_seen.or(kept), since };
        self.presences.insert(user.to_string(), row);
    }
}
