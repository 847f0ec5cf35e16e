//! What is told, in one sequence. **A transition is numbered, remembered and put into every mailbox that it concerns under one lock**:
//! who holds it sees all of what was told up to a number, and nothing after.
//!
//! Locks are taken in the order stream, index, mailbox. No user's shard is asked while one of them is held.
//!
//! Alone, numbers are microseconds since the start, made distinct, and not a count: what is told to others, or to nobody but the
//! user, leaves no gap in them. In a cluster they are places in its log, so that a position of one node is one at every other.

use std::collections::VecDeque;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use parking_lot::Mutex;
use presently_core::{Presence, Tick, Transition};
use tokio::sync::watch;

use super::index::Index;
use super::mailbox::Mailbox;
use super::subscribe::{Board, Transitions};
use super::{Epoch, Position};
use crate::privacy::{Viewer, Visibility};
use crate::store::Audience;

/// Transitions remembered for those who come back.
pub(crate) const REMEMBERED_MAX: usize = 262_144;
/// Transitions handed to one who comes back: beyond it, a snapshot is less work for both.
pub(crate) const RESUMED_MAX: usize = 65_536;

/// One transition, as told to its audience.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) epoch: Epoch,
    pub(crate) seq: u64,
    /// The place in the memory, each given once.
    pub(crate) place: u64,
    /// The place in the memory of the one before of the same user, or none.
    before: u64,
    pub(crate) presence: Presence,
    pub(crate) audience: Audience,
}

const NONE: u64 = u64::MAX;

pub(crate) struct Stream {
    pub(crate) index: Index,
    /// Who hears of every transition.
    board: Board,
    memory: Mutex<Memory>,
    hasher: FixedState,
    /// Everything decided up to this number was told.
    told_up_to: watch::Sender<u64>,
    /// The place in the log up to which everything was told.
    reached: watch::Sender<Option<Position>>,
}

/// What numbers mean from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochChange {
    pub(crate) epoch: Epoch,
    /// The place in the log from which on everything is told; `None` while numbers are this node's own.
    pub(crate) log: Option<u64>,
}

struct Memory {
    epoch: Epoch,
    /// Numbers are places in a log.
    logged: bool,
    /// Somebody watches, or did: before that nobody can come back, and nothing is remembered.
    begun: bool,
    /// The newest number given to anybody.
    seq: u64,
    /// Everything after this number is remembered.
    forgotten: u64,
    told: VecDeque<Arc<Told>>,
    /// The place of the oldest one remembered. Places count from the beginning.
    oldest: u64,
    /// The place of each user's newest.
    newest: HashTable<u64>,
    /// Who watches everybody.
    everybody: Vec<Arc<Mailbox>>,
}

/// Why nothing was handed over: the way leads over a snapshot.
pub(crate) struct TooFar;

impl Stream {
    pub(crate) fn new(epoch: u64, seed: u64) -> Self {
        let memory = Memory {
            epoch: Epoch(epoch),
            logged: false,
            begun: false,
            seq: 0,
            forgotten: 0,
            told: VecDeque::new(),
            oldest: 0,
            newest: HashTable::new(),
            everybody: Vec::new(),
        };
        let hasher = FixedState::with_seed(seed);
        Self {
            index: Index::new(hasher.clone()),
            board: Board::new(),
            memory: Mutex::new(memory),
            hasher,
            told_up_to: watch::Sender::new(0),
            reached: watch::Sender::new(None),
        }
    }

    /// Numbers mean something else from now on: whoever watches begins anew. Returns whom to wake.
    pub(crate) fn change_epoch(&self, change: EpochChange) -> Vec<Arc<Mailbox>> {
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        memory.oldest += memory.told.len() as u64;
        memory.told = VecDeque::new();
        memory.newest = HashTable::new();
        memory.epoch = change.epoch;
        memory.logged = change.log.is_some();
        memory.seq = change.log.unwrap_or(0);
        memory.forgotten = memory.seq;
        // Who watched elsewhere may come here at any time.
        memory.begun |= memory.logged;
        self.reached.send_replace(change.log.map(|seq| Position { epoch: change.epoch, seq }));
        self.index.renew()
    }

    /// Everything up to this place in the log was told.
    pub(crate) fn reached(&self, seq: u64) {
        let mut memory = self.memory.lock();
        // What was told last is at the place that is reached only now.
        if memory.logged && seq >= memory.seq {
            memory.seq = seq;
            let here = Some(Position { epoch: memory.epoch, seq });
            self.reached.send_if_modified(|reached| std::mem::replace(reached, here) != here);
        }
    }

    /// Ends when this position of the log was reached, or belongs to another one.
    pub(crate) async fn until_reached(&self, from: Position) {
        let there = |reached: &Option<Position>| {
            reached.is_none_or(|reached| reached.epoch != from.epoch || reached.seq >= from.seq)
        };
        // The sender lives as long as this.
        let _ = self.reached.subscribe().wait_for(there).await;
    }

    /// Where the stream is now. From here on everything is remembered.
    pub(crate) fn position(&self, now: Tick) -> Position {
        self.stand(now, |position| position)
    }

    /// Calls `act` with the position of this moment, while nothing can be told.
    pub(crate) fn stand<T>(&self, now: Tick, act: impl FnOnce(Position) -> T) -> T {
        let mut memory = self.memory.lock();
        if !memory.logged {
            memory.seq = memory.seq.max(now.0);
        }
        if !memory.begun {
            memory.begun = true;
            memory.forgotten = memory.seq;
        }
        act(Position { epoch: memory.epoch, seq: memory.seq })
    }

    /// From now on [`tell_all`](Self::tell_all) is heard by the one who has the answer, as `viewer` may know of it.
    pub(crate) fn subscribe(&self, viewer: Viewer, visibility: Visibility) -> Transitions {
        self.board.subscribe(viewer, visibility)
    }

    /// From now on a new subscriber hears what comes, and nothing of before.
    pub(crate) fn end_opening(&self) {
        self.board.end_opening();
    }

    /// Tells a transition to who hears of every one.
    pub(crate) fn tell_all(&self, transition: Transition, audience: Audience) {
        self.board.tell(transition, audience);
    }

    /// Tells a presence to all whom it concerns; those who must be woken for it are added to `wake`. Returns how many were told.
    /// `log` is its place in the log, if it has one.
    pub(crate) fn tell(
        &self,
        now: Tick,
        log: Option<u64>,
        presence: Presence,
        audience: Audience,
        visibility: Visibility,
        wake: &mut Vec<Arc<Mailbox>>,
    ) -> usize {
        let mut memory = self.memory.lock();
        if !memory.begun {
            return 0;
        }
        let hash = self.hasher.hash_one(presence.user.as_str());
        memory.count(now, log);
        let told = memory.remember(&self.hasher, hash, presence, audience);
        let mut count = 0;
        let mut deliver = |mailbox: &Arc<Mailbox>| {
            if mailbox.viewer.hears(visibility, &told.presence.user, audience) {
                count += 1;
                if mailbox.put(&told) {
                    wake.push(Arc::clone(mailbox));
                }
            }
        };
        memory.everybody.iter().for_each(&mut deliver);
        self.index.watchers(hash, &told.presence.user, &mut deliver);
        count
    }

    /// Everything decided up to `number` was told.
    pub(crate) fn told_up_to(&self, number: u64) {
        self.told_up_to.send_if_modified(|told| {
            let later = number > *told;
            *told = number.max(*told);
            later
        });
    }

    /// Ends when everything decided up to `number` was told, or nothing will be.
    pub(crate) async fn until_told(&self, number: u64) {
        // The sender lives as long as this.
        let _ = self.told_up_to.subscribe().wait_for(|&told| told >= number).await;
    }

    /// What `viewer` was told of these users after `from`, in no particular order.
    pub(crate) fn missed<'a>(
        &self,
        viewer: &Viewer,
        visibility: Visibility,
        users: impl Iterator<Item = &'a str>,
        from: Position,
        missed: &mut Vec<Arc<Told>>,
    ) -> Result<(), TooFar> {
        let memory = self.memory.lock();
        memory.check(from)?;
        let mut steps = 0;
        for user in users {
            let hash = self.hasher.hash_one(user);
            let mut place = memory.newest.find(hash, |&place| memory.is_of(place, user)).copied().unwrap_or(NONE);
            while let Some(told) = memory.at(place).filter(|told| told.seq > from.seq) {
                if viewer.hears(visibility, user, told.audience) {
                    missed.push(Arc::clone(told));
                }
                place = told.before;
                steps += 1;
                if steps > RESUMED_MAX || missed.len() > RESUMED_MAX {
                    return Err(TooFar);
                }
            }
        }
        Ok(())
    }

    /// The next `limit` of what admins were told of everybody after `from` and after what is there; false when there is no more.
    pub(crate) fn missed_of_all(
        &self,
        from: Position,
        limit: usize,
        missed: &mut Vec<Arc<Told>>,
    ) -> Result<bool, TooFar> {
        let memory = self.memory.lock();
        memory.check(from)?;
        let last = missed.last().map(|told| told.place);
        let start =
            memory.told.partition_point(|told| told.seq <= from.seq || last.is_some_and(|last| told.place <= last));
        if missed.len() + memory.told.len() - start > RESUMED_MAX {
            return Err(TooFar);
        }
        let end = memory.told.len().min(start + limit);
        missed.extend(memory.told.range(start..end).cloned());
        Ok(end < memory.told.len())
    }

    pub(crate) fn watch_everybody(&self, mailbox: &Arc<Mailbox>, now: Tick) {
        self.position(now);
        self.memory.lock().everybody.push(Arc::clone(mailbox));
    }

    pub(crate) fn unwatch_everybody(&self, mailbox: &Arc<Mailbox>) {
        self.memory.lock().everybody.retain(|other| !Arc::ptr_eq(other, mailbox));
    }

    /// Watchers read what was told, and then the end.
    pub(crate) fn close(&self) {
        self.board.close();
        self.index.close();
        self.told_up_to(u64::MAX);
    }
}

impl Memory {
    /// The number of what is told next.
    fn count(&mut self, now: Tick, log: Option<u64>) {
        self.seq = match log {
            _ if !self.logged => now.0.max(self.seq + 1),
            // What has no place in the log is told all the same, where the log is.
            log => self.seq.max(log.unwrap_or(0)),
        };
    }

    fn remember(&mut self, hasher: &FixedState, hash: u64, presence: Presence, audience: Audience) -> Arc<Told> {
        let place = self.oldest + self.told.len() as u64;
        let known = self.newest.find(hash, |&place| self.is_of(place, &presence.user)).copied();
        let (epoch, seq, before) = (self.epoch, self.seq, known.unwrap_or(NONE));
        let told = Arc::new(Told { epoch, seq, place, before, presence, audience });
        match known {
            Some(known) => {
                if let Some(newest) = self.newest.find_mut(hash, |&place| place == known) {
                    *newest = place;
                }
            }
            None => {
                let (told, oldest) = (&self.told, self.oldest);
                let rehash = |&place: &u64| {
                    let told = usize::try_from(place.wrapping_sub(oldest)).ok().and_then(|place| told.get(place));
                    told.map_or(0, |told| hasher.hash_one(told.presence.user.as_str()))
                };
                self.newest.insert_unique(hash, place, rehash);
            }
        }
        self.told.push_back(Arc::clone(&told));
        if self.told.len() > REMEMBERED_MAX
            && let Some(gone) = self.told.pop_front()
        {
            let place = self.oldest;
            self.oldest += 1;
            self.forgotten = gone.seq;
            let hash = hasher.hash_one(gone.presence.user.as_str());
            if let Ok(newest) = self.newest.find_entry(hash, |&newest| newest == place) {
                newest.remove();
            }
        }
        told
    }

    fn at(&self, place: u64) -> Option<&Arc<Told>> {
        self.told.get(usize::try_from(place.checked_sub(self.oldest)?).ok()?)
    }

    fn is_of(&self, place: u64, user: &str) -> bool {
        self.at(place).is_some_and(|told| told.presence.user == user)
    }

    fn check(&self, from: Position) -> Result<(), TooFar> {
        let here = self.begun && from.epoch == self.epoch && self.forgotten <= from.seq && from.seq <= self.seq;
        if here { Ok(()) } else { Err(TooFar) }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Status, Timestamp};

    fn tell(stream: &Stream, tick: u64, user: &str) {
        let presence =
            Presence { user: user.into(), status: Status::Online, last_seen: Some(Timestamp(1)), since: None };
        stream.tell(Tick(tick), None, presence, Audience::Everybody, Visibility::Everyone, &mut Vec::new());
    }

    fn missed(stream: &Stream, users: &[&str], from: Position) -> Option<usize> {
        let mut missed = Vec::new();
        let found = stream.missed(&Viewer::Anybody, Visibility::Everyone, users.iter().copied(), from, &mut missed);
        found.is_ok().then_some(missed.len())
    }

    #[test]
    fn nothing_is_remembered_before_somebody_watches() {
        let stream = Stream::new(1, 2);
        tell(&stream, 5, "alice");
        assert_eq!(stream.memory.lock().told.len(), 0);
        let position = stream.position(Tick(9));
        assert_eq!(missed(&stream, &["alice"], position), Some(0));
    }

    #[test]
    fn what_was_told_last_is_reached_when_the_log_was_followed_up_to_it() {
        let stream = Stream::new(1, 2);
        let epoch = Epoch(7);
        stream.change_epoch(EpochChange { epoch, log: Some(3) });
        let presence = Presence { user: "alice".into(), status: Status::Online, last_seen: None, since: None };
        stream.tell(Tick(0), Some(4), presence, Audience::Everybody, Visibility::Everyone, &mut Vec::new());
        assert_eq!(*stream.reached.borrow(), Some(Position { epoch, seq: 3 }));
        stream.reached(4);
        assert_eq!(*stream.reached.borrow(), Some(Position { epoch, seq: 4 }));
    }

    #[test]
    fn what_is_forgotten_cannot_be_resumed_and_memory_stays_bounded() {
        let stream = Stream::new(1, 2);
        let start = stream.position(Tick(0));
        for n in 0..REMEMBERED_MAX as u64 {
            tell(&stream, 0, if n % 100_000 == 0 { "alice" } else { "bob" });
        }
        assert_eq!(missed(&stream, &["alice", "nobody"], start), Some(3));
        assert_eq!(missed(&stream, &["bob"], start), None, "more than may be resumed");
        tell(&stream, 0, "carol");
        assert_eq!(missed(&stream, &["alice"], start), None, "too old");
        let later = Position { seq: start.seq + 1, ..start };
        assert_eq!(missed(&stream, &["alice", "carol"], later), Some(3));
        let memory = stream.memory.lock();
        assert_eq!((memory.told.len(), memory.newest.len()), (REMEMBERED_MAX, 3));
    }

    #[test]
    fn users_of_whom_all_is_forgotten_take_no_room() {
        let stream = Stream::new(1, 2);
        stream.position(Tick(0));
        for n in 0..REMEMBERED_MAX + 1000 {
            tell(&stream, 0, &format!("user-{n}"));
        }
        assert_eq!(stream.memory.lock().newest.len(), REMEMBERED_MAX);
    }

    #[test]
    fn a_position_of_another_life_or_of_the_future_is_refused() {
        let stream = Stream::new(1, 2);
        let here = stream.position(Tick(7));
        assert_eq!(missed(&stream, &["alice"], here), Some(0));
        assert_eq!(missed(&stream, &["alice"], Position { epoch: Epoch(2), ..here }), None);
        assert_eq!(missed(&stream, &["alice"], Position { seq: 8, ..here }), None);
        assert_eq!(missed(&stream, &["alice"], Position { seq: 6, ..here }), None);
    }

    #[test]
    fn numbers_say_nothing_of_how_much_was_told() {
        let stream = Stream::new(1, 2);
        let quiet = Stream::new(1, 2);
        stream.position(Tick(0));
        quiet.position(Tick(0));
        (1..100).for_each(|tick| tell(&stream, tick, "alice"));
        assert_eq!(stream.position(Tick(1_000)).seq, quiet.position(Tick(1_000)).seq);
    }
}
