//! A user in memory, and what they show: **the merge is the only place that knows what stands on top of what.**

use alloc::boxed::Box;

use super::slab::Slot;
use crate::{Activity, Source, Status, Tick, Timestamp, UserId};

/// Stands for "not known": eight bytes a user cheaper than an `Option`.
const NEVER: Timestamp = Timestamp(i64::MIN);

#[derive(Debug)]
pub(super) struct User {
    pub(super) name: UserId,
    last_seen: Timestamp,
    /// When `shown` began, or, while `since_known` is false, when the user came into memory.
    pub(super) since: Timestamp,
    /// The oldest and the youngest session, or `NIL`.
    pub(super) first: Slot,
    pub(super) last: Slot,
    /// How many sessions there are of each activity: merging looks at nothing else of them.
    pub(super) active: u16,
    pub(super) idle: u16,
    pub(super) shown: Status,
    pub(super) since_known: bool,
    pub(super) rare: Option<Box<Rare>>,
}

/// What few users have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// By source, weakest first.
    overrides: [Option<Standing>; Source::ALL.len()],
    pub(super) held: Option<Held>,
    pub(super) barred: bool,
}

/// An override that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) status: Status,
    pub(super) set_at: Timestamp,
    pub(super) ends_at: Option<Timestamp>,
    pub(super) deadline: Option<Tick>,
}

/// A status that holds until the next evidence, or until its deadline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) status: Status,
    pub(super) set_at: Timestamp,
    pub(super) deadline: Tick,
}

impl User {
    pub(super) fn new(name: UserId, since: Timestamp, nil: Slot) -> Self {
        Self {
            name,
            last_seen: NEVER,
            since,
            first: nil,
            last: nil,
            active: 0,
            idle: 0,
            shown: Status::Offline,
            since_known: false,
            rare: None,
        }
    }

    pub(super) fn last_seen(&self) -> Option<Timestamp> {
        (self.last_seen != NEVER).then_some(self.last_seen)
    }

    /// The last evidence; the beginning of time when there never was any.
    pub(super) const fn seen_at(&self) -> Timestamp {
        self.last_seen
    }

    pub(super) fn see(&mut self, at: Option<Timestamp>) {
        self.last_seen = at.unwrap_or(NEVER);
    }

    pub(super) fn session_count(&self) -> usize {
        usize::from(self.active) + usize::from(self.idle)
    }

    /// The number of sessions with this activity.
    pub(super) fn count_mut(&mut self, activity: Activity) -> &mut u16 {
        match activity {
            Activity::Active => &mut self.active,
            Activity::Idle => &mut self.idle,
        }
    }

    /// What the sessions alone say.
    pub(super) fn merged(&self) -> Status {
        if self.active > 0 {
            Status::Online
        } else if self.idle > 0 {
            Status::Away
        } else {
            Status::Offline
        }
    }

    /// What is to be shown: the strongest override, else the held status, else the sessions; and nothing of a barred user.
    pub(super) fn merge(&self) -> Status {
        let Some(rare) = &self.rare else { return self.merged() };
        if rare.barred {
            return Status::Offline;
        }
        let strongest = rare.overrides.iter().rev().flatten().next().map(|standing| standing.status);
        strongest.or(rare.held.map(|held| held.status)).unwrap_or_else(|| self.merged())
    }

    pub(super) fn barred(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.barred)
    }

    pub(super) fn held(&self) -> Option<Held> {
        self.rare.as_ref()?.held
    }

    pub(super) fn standing(&self, source: Source) -> Option<Standing> {
        self.rare.as_ref()?.overrides[source as usize]
    }

    pub(super) fn set_barred(&mut self, barred: bool) {
        self.change_rare(|rare| rare.barred = barred);
    }

    pub(super) fn set_held(&mut self, held: Option<Held>) {
        self.change_rare(|rare| rare.held = held);
    }

    pub(super) fn set_standing(&mut self, source: Source, standing: Option<Standing>) {
        self.change_rare(|rare| rare.overrides[source as usize] = standing);
    }

    /// Keeps the box only while there is something in it.
    fn change_rare(&mut self, change: impl FnOnce(&mut Rare)) {
        let rare = self.rare.get_or_insert_default();
        change(rare);
        if !rare.barred && rare.held.is_none() && rare.overrides.iter().all(Option::is_none) {
            self.rare = None;
        }
    }
}
