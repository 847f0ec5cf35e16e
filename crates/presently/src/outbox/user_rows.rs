//! What waits to be kept of one user, conflated. **At most one row a key, the newest**, and the lines of the history in their order.

use std::collections::{BTreeMap, VecDeque};

use presently_core::{HeldRow, OverrideRow, PresenceRow, SessionNumber, SessionRow, Source, UserId};

use crate::store::{Batch, TransitionRow, VeilRow};

/// The rows of one user. The user is the key under which they lie.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserRows {
    /// Where the user stands among those who wait.
    pub(crate) place: u64,
    /// What the store has of the user goes first.
    erased: bool,
    presence: Option<PresenceRow>,
    /// By number.
    sessions: Vec<(SessionNumber, Session)>,
    rare: Option<Box<Rare>>,
    /// Each with its number among all lines.
    lines: VecDeque<(u64, TransitionRow)>,
}

#[derive(Clone, Debug)]
enum Session {
    /// The store has never heard of it.
    Opened(SessionRow),
    Saved(SessionRow),
    Ended,
}

/// What few users have.
#[derive(Clone, Debug, Default)]
struct Rare {
    overrides: BTreeMap<Source, RowChange<OverrideRow>>,
    held: Option<RowChange<HeldRow>>,
    veil: Option<RowChange<VeilRow>>,
}

#[derive(Clone, Debug)]
pub(crate) enum RowChange<T> {
    Save(T),
    End,
}

impl UserRows {
    /// Of a user who stands at this place.
    pub(crate) fn at(place: u64) -> Self {
        Self { place, ..Self::default() }
    }

    /// How many rows a store has to write.
    pub(crate) fn count(&self) -> usize {
        let rare = self.rare.as_ref().map_or(0, |rare| {
            rare.overrides.len() + usize::from(rare.held.is_some()) + usize::from(rare.veil.is_some())
        });
        usize::from(self.erased) + usize::from(self.presence.is_some()) + self.sessions.len() + rare + self.lines.len()
    }

    pub(crate) fn is_erased(&self) -> bool {
        self.erased
    }

    pub(crate) fn save_presence(&mut self, mut row: PresenceRow) {
        row.last_seen = row.last_seen.or(self.presence.as_ref().and_then(|older| older.last_seen));
        self.presence = Some(row);
    }

    /// `is_new` says that no store has heard of it.
    pub(crate) fn save_session(&mut self, row: SessionRow, is_new: bool) {
        match self.sessions.binary_search_by_key(&row.number, |&(number, _)| number) {
            Ok(place) => match &mut self.sessions[place].1 {
                // Numbers are never used twice: one that ended stays ended.
                Session::Ended => {}
                Session::Opened(older) | Session::Saved(older) => *older = row,
            },
            Err(place) => {
                let session = if is_new { Session::Opened as fn(SessionRow) -> Session } else { Session::Saved };
                self.put_session(place, (row.number, session(row)));
            }
        }
    }

    /// Of one that no store has heard of nothing is left.
    pub(crate) fn end_session(&mut self, number: SessionNumber) {
        match self.sessions.binary_search_by_key(&number, |&(number, _)| number) {
            Ok(place) if matches!(self.sessions[place].1, Session::Opened(_)) => drop(self.sessions.remove(place)),
            Ok(place) => self.sessions[place].1 = Session::Ended,
            Err(place) => self.put_session(place, (number, Session::Ended)),
        }
    }

    pub(crate) fn change_override(&mut self, source: Source, change: RowChange<OverrideRow>) {
        self.rare().overrides.insert(source, change);
    }

    pub(crate) fn change_held(&mut self, change: RowChange<HeldRow>) {
        self.rare().held = Some(change);
    }

    pub(crate) fn change_veil(&mut self, change: RowChange<VeilRow>) {
        self.rare().veil = Some(change);
    }

    pub(crate) fn add_line(&mut self, number: u64, line: TransitionRow) {
        if self.lines.is_empty() {
            // Most have one, and there may be millions of users.
            self.lines.reserve_exact(1);
        }
        self.lines.push_back((number, line));
    }

    pub(crate) fn drop_oldest_line(&mut self) {
        self.lines.pop_front();
    }

    /// The numbers of its lines.
    pub(crate) fn lines(&self) -> impl ExactSizeIterator<Item = u64> {
        self.lines.iter().map(|&(number, _)| number)
    }

    /// Nothing of what was decided before is left to write.
    pub(crate) fn erase(&mut self) {
        *self = Self { place: self.place, erased: true, ..Self::default() };
    }

    /// Takes up what was decided later.
    pub(crate) fn absorb(&mut self, later: Self) {
        if later.erased {
            *self = Self { place: self.place, ..later };
            return;
        }
        if let Some(row) = later.presence {
            self.save_presence(row);
        }
        for (number, session) in later.sessions {
            match session {
                Session::Opened(row) => self.save_session(row, true),
                Session::Saved(row) => self.save_session(row, false),
                Session::Ended => self.end_session(number),
            }
        }
        if let Some(rare) = later.rare {
            let own = self.rare();
            own.overrides.extend(rare.overrides);
            own.held = rare.held.or(own.held.take());
            own.veil = rare.veil.or(own.veil.take());
        }
        self.lines.extend(later.lines);
    }

    /// A store had this in its hands and refused it. Whether it heard of a session is not certain: what broke may have been the answer.
    pub(crate) fn was_given(&mut self) {
        for (_, session) in &mut self.sessions {
            if let Session::Opened(row) = session {
                *session = Session::Saved(row.clone());
            }
        }
    }

    /// Parts with its oldest `limit` lines, and with the order to erase what was before them.
    pub(crate) fn split(&mut self, limit: usize) -> Self {
        let lines = self.lines.drain(..limit.min(self.lines.len())).collect();
        Self { place: self.place, erased: std::mem::take(&mut self.erased), lines, ..Self::default() }
    }

    /// Adds a copy to `batch`; lines come with their numbers.
    pub(crate) fn add_to(&self, batch: &mut Batch, lines: &mut Vec<(u64, TransitionRow)>, user: &UserId) {
        batch.erased.extend(self.erased.then(|| user.clone()));
        batch.presences.extend(self.presence.clone());
        for (number, session) in &self.sessions {
            match session {
                Session::Opened(row) | Session::Saved(row) => batch.sessions.push(row.clone()),
                Session::Ended => batch.ended_sessions.push(*number),
            }
        }
        if let Some(rare) = &self.rare {
            for (source, change) in &rare.overrides {
                match change {
                    RowChange::Save(row) => batch.overrides.push(row.clone()),
                    RowChange::End => batch.ended_overrides.push((user.clone(), *source)),
                }
            }
            match &rare.held {
                Some(RowChange::Save(row)) => batch.held.push(row.clone()),
                Some(RowChange::End) => batch.ended_held.push(user.clone()),
                None => {}
            }
            match &rare.veil {
                Some(RowChange::Save(row)) => batch.veils.push(row.clone()),
                Some(RowChange::End) => batch.ended_veils.push(user.clone()),
                None => {}
            }
        }
        lines.extend(self.lines.iter().cloned());
    }

    fn put_session(&mut self, place: usize, session: (SessionNumber, Session)) {
        if self.sessions.is_empty() {
            self.sessions.reserve_exact(1);
        }
        self.sessions.insert(place, session);
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}
