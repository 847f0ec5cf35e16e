//! Questions. **Nothing here changes anything.**

use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use super::Engine;
use crate::{Activity, Now, Presence, SessionId, SessionNumber, Source, Status, Timestamp};

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users shown online.
    pub online: u64,
    /// Users shown away.
    pub away: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Users in memory.
    pub users: u64,
}

/// A live session, to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its number.
    pub number: SessionNumber,
    /// Its name.
    pub session: SessionId,
    /// Its activity.
    pub activity: Activity,
    /// When it began.
    pub opened_at: Timestamp,
    /// Its last evidence.
    pub last_evidence: Timestamp,
    /// How much more silence it may keep.
    pub remaining: Duration,
    /// Another node hears it, and alone knows whether its socket is open.
    pub elsewhere: bool,
}

/// An override, to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideView {
    /// On whose word.
    pub source: Source,
    /// The status shown.
    pub status: Status,
    /// When it was set.
    pub set_at: Timestamp,
    /// When it ends, in wall time.
    pub ends_at: Option<Timestamp>,
}

/// Why a user has the status they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is shown.
    pub presence: Presence,
    /// What the sessions alone would show.
    pub merged: Status,
    /// The live sessions, oldest first.
    pub sessions: Vec<SessionView>,
    /// The overrides that stand, strongest first.
    pub overrides: Vec<OverrideView>,
    /// The status that holds until the next evidence.
    pub held: Option<Status>,
    /// Whether the user may not be present.
    pub barred: bool,
}

impl Engine {
    /// What may be known of a user in memory; `None` for one who is not (offline, as the store knows them).
    #[must_use]
    pub fn presence(&self, user: &str) -> Option<Presence> {
        let user = &self.users[self.find(user)?];
        Some(Presence {
            user: user.name.clone(),
            status: user.shown,
            last_seen: user.last_seen(),
            since: user.since_known.then_some(user.since),
        })
    }

    /// The status shown of a user in memory, and how many sessions they have.
    #[must_use]
    pub fn weight(&self, user: &str) -> Option<(Status, usize)> {
        let user = &self.users[self.find(user)?];
        Some((user.shown, user.session_count()))
    }

    /// Whether this evidence would change what is kept of the user: it opens a session, or turns one to another activity. That of a
    /// barred user changes nothing.
    #[must_use]
    pub fn would_change(&self, user: &str, session: &str, activity: Option<Activity>) -> bool {
        let Some(owner) = self.find(user) else { return true };
        let turns = |slot| activity.is_some_and(|activity| activity != self.sessions[slot].activity);
        !self.users[owner].barred() && self.find_session(owner, session).is_none_or(turns)
    }

    /// Why.
    #[must_use]
    pub fn explain(&self, now: Now, user: &str) -> Option<Explanation> {
        let slot = self.find(user)?;
        let user = &self.users[slot];
        let sessions = self.session_slots(slot).map(|slot| &self.sessions[slot]).map(|session| SessionView {
            number: session.number,
            session: session.name.clone(),
            activity: session.activity,
            opened_at: session.opened_at,
            last_evidence: session.last_evidence,
            remaining: session.deadline - now.tick,
            elsewhere: session.owned_by().is_some(),
        });
        let overrides = Source::ALL.into_iter().rev().filter_map(|source| {
            let standing = user.standing(source)?;
            Some(OverrideView { source, status: standing.status, set_at: standing.set_at, ends_at: standing.ends_at })
        });
        Some(Explanation {
            presence: self.presence(&user.name)?,
            merged: user.merged(),
            sessions: sessions.collect(),
            overrides: overrides.collect(),
            held: user.held().map(|held| held.status),
            barred: user.barred(),
        })
    }

    /// How many.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            online: self.online,
            away: self.away,
            sessions: self.sessions.len() as u64,
            users: self.users.len() as u64,
        }
    }

    /// Visits users in memory in the order of their slots, `limit` slots from `from`; returns where to go on, `None` at the end.
    /// Callers hold a lock: small steps keep it short.
    ///
    /// The visitor is given the name, what is shown, the last evidence, and since when (for a user of whom that is
    /// [not known](Presence::since): since they are in memory).
    #[expect(clippy::type_complexity, reason = "four plain values; a struct would have to be learnt for one call")]
    pub fn visit(
        &self,
        from: usize,
        limit: usize,
        visitor: &mut dyn FnMut(&str, Status, Option<Timestamp>, Timestamp),
    ) -> Option<usize> {
        self.visit_seen(from, limit, Timestamp(i64::MIN)..=Timestamp(i64::MAX), visitor)
    }

    /// The same of those whose last evidence was within `seen` (of who was never seen: at the beginning of time). To pass by
    /// somebody is cheap.
    #[expect(clippy::type_complexity, reason = "as for visit")]
    pub fn visit_seen(
        &self,
        from: usize,
        limit: usize,
        seen: RangeInclusive<Timestamp>,
        visitor: &mut dyn FnMut(&str, Status, Option<Timestamp>, Timestamp),
    ) -> Option<usize> {
        let end = from.saturating_add(limit).min(self.users.slots());
        self.users.visit(from, end, |user| {
            if seen.contains(&user.seen_at()) {
                visitor(&user.name, user.shown, user.last_seen(), user.since);
            }
        });
        (end < self.users.slots()).then_some(end.max(from))
    }
}
