//! What waits to be kept, conflated. **At most one row a key, the newest**, so a store that is away costs memory by users and not by time.
//!
//! It is handed over in slices. **All that waits of a user is in one slice**, so a crash between two slices leaves each user as of one
//! moment: as before the outage, or as at its end. Who is to be erased comes first, then whom somebody waits for, then whoever waits longest.
//! Of one user with more lines of history than a slice may have, the oldest lines come before the rest.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use presently_core::{Effect, PresenceRow, Transition, UserId};

use crate::outbox::entry::{Change, Keep};
use crate::outbox::user_rows::{RowChange, UserRows};
use crate::store::{Audience, Batch, TransitionRow};

/// A [`Batch`] in the making.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    users: HashMap<UserId, UserRows, RandomState>,
    /// The users by their places: who waits longest first.
    order: BTreeMap<u64, UserId>,
    next_place: u64,
    /// The places of those to be erased.
    erased: BTreeSet<u64>,
    rows: usize,
    /// Whose each line is, oldest first.
    lines: BTreeMap<u64, UserId>,
    next_line: u64,
    /// Other nodes write the same database: it may have heard of a session that this node has not written.
    several: bool,
}

/// What goes to the store together.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    users: Vec<(UserId, UserRows)>,
    rows: usize,
    /// The last user has more than this.
    is_partial: bool,
}

impl Coalescer {
    /// Room for so many users is kept while nobody waits.
    const ROOM_KEPT: usize = 1_024;

    /// `several` says that other nodes write the same database.
    pub(crate) fn new(several: bool) -> Self {
        Self { several, ..Self::default() }
    }

    /// Takes up what the store is to keep of a change; gives back what is to be told.
    pub(crate) fn absorb(&mut self, change: Change, keep: Keep) -> Option<Change> {
        if keep == Keep::Nothing {
            return change.is_told().then_some(change);
        }
        match change {
            Change::Effect(effect) => return self.absorb_effect(effect, keep),
            Change::Announce(transition, audience) => return Some(self.announce(transition, audience, keep)),
            Change::Epoch(_) => return Some(change),
            Change::Veil(row) => self.change(&row.user.clone(), |rows| rows.change_veil(RowChange::Save(row))),
            Change::Unveil(user) => self.change(&user, |rows| rows.change_veil(RowChange::End)),
        }
        None
    }

    fn absorb_effect(&mut self, effect: Effect, keep: Keep) -> Option<Change> {
        match effect {
            Effect::Announce(transition) => return Some(self.announce(transition, Audience::Everybody, keep)),
            Effect::Erase(ref user) => {
                self.erase(user);
                return Some(Change::Effect(effect));
            }
            Effect::SavePresence(row) => self.change(&row.user.clone(), |rows| rows.save_presence(row)),
            Effect::OpenSession(row) => {
                let is_new = !self.several;
                self.change(&row.user.clone(), |rows| rows.save_session(row, is_new));
            }
            Effect::SaveSession(row) => self.change(&row.user.clone(), |rows| rows.save_session(row, false)),
            Effect::ForgetSession(user, number) => self.change(&user, |rows| rows.end_session(number)),
            Effect::SaveOverride(row) => {
                self.change(&row.user.clone(), |rows| rows.change_override(row.source, RowChange::Save(row)));
            }
            Effect::ForgetOverride(user, source) => {
                self.change(&user, |rows| rows.change_override(source, RowChange::End));
            }
            Effect::SaveHeld(row) => self.change(&row.user.clone(), |rows| rows.change_held(RowChange::Save(row))),
            Effect::ForgetHeld(user) => self.change(&user, |rows| rows.change_held(RowChange::End)),
        }
        None
    }

    /// Parts with at most `limit` rows, or with what cannot be divided. `awaited` are users for whom somebody waits.
    pub(crate) fn cut<'a>(&mut self, limit: usize, awaited: impl Iterator<Item = &'a UserId>) -> Slice {
        let mut slice = Slice::default();
        while let Some(user) = self.erased.first().and_then(|place| self.order.get(place)).cloned() {
            if !self.move_into(&mut slice, &user, limit) {
                return slice;
            }
        }
        for user in awaited {
            if !self.move_into(&mut slice, user, limit) {
                return slice;
            }
        }
        while let Some(user) = self.order.first_key_value().map(|(_, user)| user.clone()) {
            if !self.move_into(&mut slice, &user, limit) {
                return slice;
            }
        }
        slice
    }

    /// Takes back what the store refused: it comes before what was decided since. `was_given` says that the store had it in its hands.
    pub(crate) fn put_back(&mut self, slice: Slice, was_given: bool) {
        for (user, mut rows) in slice.users {
            if was_given {
                rows.was_given();
            }
            if let Some(later) = self.remove(&user) {
                rows.absorb(later);
            }
            self.put(user, rows);
        }
    }

    /// Drops the oldest history lines beyond `limit`; returns how many.
    pub(crate) fn shorten_history(&mut self, limit: usize) -> u64 {
        let mut dropped = 0;
        while self.lines.len() > limit
            && let Some((_, user)) = self.lines.pop_first()
        {
            if let Some(rows) = self.users.get_mut(&user) {
                rows.drop_oldest_line();
                self.rows -= 1;
                dropped += 1;
            }
        }
        dropped
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn contains(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// The place of whoever comes next.
    pub(crate) fn next_place(&self) -> u64 {
        self.next_place
    }

    /// The place of whoever waits longest.
    pub(crate) fn oldest_place(&self) -> u64 {
        self.order.first_key_value().map_or(self.next_place, |(&place, _)| place)
    }

    fn announce(&mut self, transition: Transition, audience: Audience, keep: Keep) -> Change {
        let (row, line) = (row_of(&transition), line_of(&transition, audience));
        let number = self.next_line;
        self.change(&transition.user, |rows| {
            // What is kept as the user's presence is the truth.
            if audience != Audience::Others {
                rows.save_presence(row);
            }
            if keep == Keep::All {
                rows.add_line(number, line);
            }
        });
        if keep == Keep::All {
            self.next_line += 1;
            self.lines.insert(number, transition.user.clone());
        }
        Change::Announce(transition, audience)
    }

    fn change(&mut self, user: &UserId, change: impl FnOnce(&mut UserRows)) {
        let place = self.next_place;
        let rows = self.users.entry_ref(user).or_insert_with(|| UserRows::at(place));
        if rows.place == place {
            self.order.insert(place, user.clone());
            self.next_place += 1;
        }
        let before = rows.count();
        change(rows);
        let after = rows.count();
        self.rows = self.rows + after - before;
        if after == 0 {
            self.remove(user);
        }
    }

    fn erase(&mut self, user: &UserId) {
        let mut rows = self.remove(user).unwrap_or_else(|| UserRows::at(self.next_place));
        self.next_place = self.next_place.max(rows.place + 1);
        rows.erase();
        self.put(user.clone(), rows);
    }

    fn put(&mut self, user: UserId, rows: UserRows) {
        self.rows += rows.count();
        self.order.insert(rows.place, user.clone());
        if rows.is_erased() {
            self.erased.insert(rows.place);
        }
        self.lines.extend(rows.lines().map(|number| (number, user.clone())));
        self.users.insert(user, rows);
    }

    fn remove(&mut self, user: &UserId) -> Option<UserRows> {
        let rows = self.users.remove(user)?;
        self.rows -= rows.count();
        self.order.remove(&rows.place);
        self.erased.remove(&rows.place);
        for number in rows.lines() {
            self.lines.remove(&number);
        }
        if self.users.is_empty() && self.users.capacity() > Self::ROOM_KEPT {
            self.users = HashMap::default();
        }
        Some(rows)
    }

    /// False when there is no room.
    fn move_into(&mut self, slice: &mut Slice, user: &UserId, limit: usize) -> bool {
        let Some(rows) = self.users.get(user) else { return true };
        let count = rows.count();
        if slice.rows + count > limit && slice.rows > 0 {
            return false;
        }
        let Some(mut rows) = self.remove(user) else { return true };
        slice.is_partial = count > limit && rows.lines().len() > 0;
        if slice.is_partial {
            let part = rows.split(limit);
            self.put(user.clone(), rows);
            rows = part;
        }
        slice.rows += rows.count();
        slice.users.push((user.clone(), rows));
        !slice.is_partial
    }
}

impl Slice {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// For the store.
    pub(crate) fn batch(&self) -> Batch {
        let (mut batch, mut lines) = (Batch::default(), Vec::new());
        for (user, rows) in &self.users {
            rows.add_to(&mut batch, &mut lines, user);
        }
        lines.sort_unstable_by_key(|&(number, _)| number);
        batch.transitions = lines.into_iter().map(|(_, line)| line).collect();
        batch
    }

    /// Of whom everything is here.
    pub(crate) fn users(&self) -> impl Iterator<Item = &UserId> {
        let whole = self.users.len() - usize::from(self.is_partial);
        self.users[..whole].iter().map(|(user, _)| user)
    }
}

/// The row that an announced transition leaves in the store.
pub(crate) fn row_of(transition: &Transition) -> PresenceRow {
    PresenceRow {
        user: transition.user.clone(),
        status: transition.to,
        last_seen: transition.last_seen,
        since: transition.at,
    }
}

fn line_of(transition: &Transition, audience: Audience) -> TransitionRow {
    TransitionRow {
        user: transition.user.clone(),
        from: transition.from,
        to: transition.to,
        at: transition.at,
        last_seen: transition.last_seen,
        reason: transition.reason,
        audience,
    }
}

#[cfg(test)]
mod tests {
    use presently_core::{Activity, Reason, SessionRow, Status, Timestamp};

    use super::*;

    const NOBODY: std::iter::Empty<&UserId> = std::iter::empty();

    fn announce(user: &str, to: Status, second: i64, last_seen: Option<i64>) -> Effect {
        Effect::Announce(Transition {
            user: user.into(),
            from: Status::Offline,
            to,
            at: Timestamp(second),
            last_seen: last_seen.map(Timestamp),
            reason: Reason::Evidence,
            lateness: None,
        })
    }

    fn row(number: u64, user: &str) -> SessionRow {
        SessionRow {
            number,
            user: user.into(),
            session: "tab".into(),
            activity: Activity::Active,
            opened_at: Timestamp(1),
            last_evidence: Timestamp(1),
        }
    }

    fn session(number: u64, user: &str) -> Effect {
        Effect::OpenSession(row(number, user))
    }

    fn forget(number: u64, user: &str) -> Effect {
        Effect::ForgetSession(user.into(), number)
    }

    fn gather(effects: impl IntoIterator<Item = Effect>) -> Coalescer {
        let mut gather = Coalescer::default();
        add(&mut gather, effects);
        gather
    }

    fn add(gather: &mut Coalescer, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            gather.absorb(Change::Effect(effect), Keep::All);
        }
    }

    fn gathered(effects: impl IntoIterator<Item = Effect>) -> Batch {
        all(&mut gather(effects))
    }

    fn all(gather: &mut Coalescer) -> Batch {
        let slice = gather.cut(usize::MAX, NOBODY);
        assert!(gather.is_empty() && gather.lines.is_empty() && gather.users.is_empty() && gather.order.is_empty());
        slice.batch()
    }

    fn users(slice: &Slice) -> Vec<&str> {
        slice.users().map(UserId::as_str).collect()
    }

    #[test]
    fn the_newest_row_of_a_user_is_kept_with_the_newest_known_last_seen() {
        let batch = gathered([announce("alice", Status::Online, 1, Some(1)), announce("alice", Status::Away, 2, None)]);
        assert_eq!(batch.presences.len(), 1);
        assert_eq!(batch.presences[0].status, Status::Away);
        assert_eq!(batch.presences[0].last_seen, Some(Timestamp(1)));
        assert_eq!(batch.transitions.len(), 2);
    }

    #[test]
    fn of_a_session_that_no_store_heard_of_and_that_ended_nothing_waits() {
        let mut gather = gather([session(7, "alice"), forget(7, "alice")]);
        assert_eq!((gather.rows(), gather.contains("alice")), (0, false));
        assert_eq!(all(&mut gather), Batch::default());
    }

    #[test]
    fn a_session_that_a_store_may_have_heard_of_is_ended() {
        let batch = gathered([Effect::SaveSession(row(7, "alice")), forget(7, "alice"), forget(8, "alice")]);
        assert!(batch.sessions.is_empty());
        assert_eq!(batch.ended_sessions, [7, 8]);

        let mut tried = gather([session(7, "alice")]);
        let slice = tried.cut(10, NOBODY);
        tried.put_back(slice, true);
        add(&mut tried, [forget(7, "alice")]);
        assert_eq!(all(&mut tried).ended_sessions, [7]);

        let mut one_of_several = Coalescer::new(true);
        add(&mut one_of_several, [session(7, "alice"), forget(7, "alice")]);
        assert_eq!(all(&mut one_of_several).ended_sessions, [7]);
    }

    #[test]
    fn an_erased_user_leaves_only_what_came_after() {
        let batch = gathered([
            announce("alice", Status::Online, 1, None),
            session(1, "alice"),
            announce("bob", Status::Online, 1, None),
            Effect::ForgetHeld("alice".into()),
            Effect::Erase("alice".into()),
            session(2, "alice"),
        ]);
        assert_eq!(batch.erased, ["alice"]);
        assert_eq!(batch.presences.len(), 1);
        assert_eq!(batch.sessions.len(), 1);
        assert_eq!(batch.transitions.len(), 1);
        assert!(batch.ended_held.is_empty());
    }

    #[test]
    fn a_slice_taken_back_is_the_same_as_one_never_handed_out() {
        let earlier = [announce("alice", Status::Online, 1, Some(1)), session(1, "alice"), session(2, "bob")];
        let later = [forget(1, "alice"), Effect::Erase("bob".into()), announce("alice", Status::Away, 2, None)];
        let mut returned = gather(earlier.clone());
        let slice = returned.cut(10, NOBODY);
        add(&mut returned, later.clone());
        returned.put_back(slice, false);
        let rows = returned.rows();
        assert_eq!(rows, 4);
        assert_eq!(all(&mut returned), gathered(earlier.into_iter().chain(later)));
    }

    #[test]
    fn what_waits_of_a_user_is_never_divided_between_slices() {
        let of = |user| [session(1, user), announce(user, Status::Online, 1, Some(1))];
        let mut gather = gather(["alice", "bob", "carol"].into_iter().flat_map(of));
        assert_eq!(gather.rows(), 9);
        let first = gather.cut(8, NOBODY);
        assert_eq!((users(&first), first.rows(), gather.rows()), (vec!["alice", "bob"], 6, 3));
        assert_eq!(users(&gather.cut(8, NOBODY)), ["carol"]);
    }

    #[test]
    fn erasures_come_first_then_whom_somebody_waits_for_then_who_waits_longest() {
        let mut gather = gather(["alice", "bob", "carol", "dora"].map(|user| session(1, user)));
        add(&mut gather, [Effect::Erase("dora".into()), session(2, "alice")]);
        let carol = UserId::from("carol");
        let slices: Vec<_> = (0..4).map(|_| users(&gather.cut(1, [&carol].into_iter())).concat()).collect();
        assert_eq!(slices, ["dora", "carol", "alice", "bob"]);
        assert!(gather.is_empty());
    }

    #[test]
    fn what_was_refused_keeps_its_place() {
        let mut gather = gather(["alice", "bob", "carol"].map(|user| session(1, user)));
        let slice = gather.cut(2, NOBODY);
        add(&mut gather, [announce("bob", Status::Online, 1, None)]);
        gather.put_back(slice, false);
        assert_eq!(gather.oldest_place(), 0);
        assert_eq!(users(&gather.cut(4, NOBODY)), ["alice", "bob"]);
        assert_eq!(gather.oldest_place(), 2);
    }

    #[test]
    fn of_a_user_with_more_lines_than_a_slice_the_oldest_come_first_and_the_presence_last() {
        let mut gather = gather((0..7).map(|second| announce("alice", Status::Online, second, None)));
        let mut slices = Vec::new();
        while !gather.is_empty() {
            let slice = gather.cut(3, NOBODY);
            let (batch, whole) = (slice.batch(), users(&slice).len());
            let lines: Vec<i64> = batch.transitions.iter().map(|line| line.at.0).collect();
            slices.push((lines, batch.presences.len(), whole));
        }
        assert_eq!(slices, [(vec![0, 1, 2], 0, 0), (vec![3, 4, 5], 0, 0), (vec![6], 1, 1)]);
    }

    #[test]
    fn a_long_history_loses_its_oldest_lines() {
        let mut gather = gather((0..3).map(|second| announce("alice", Status::Online, second, None)));
        add(&mut gather, (3..6).map(|second| announce("bob", Status::Online, second, None)));
        let slice = gather.cut(4, NOBODY);
        add(&mut gather, [announce("alice", Status::Online, 6, None)]);
        gather.put_back(slice, false);
        assert_eq!(gather.shorten_history(3), 4);
        let times: Vec<_> = all(&mut gather).transitions.iter().map(|line| line.at.0).collect();
        assert_eq!(times, [4, 5, 6]);
    }
}
