//! The deadlines of sessions. **Invariant:** every live session is armed exactly once. The entry may be early, never late; it is re-armed when it comes up.
//!
//! A renewal only writes the session's deadline, so it costs the wheel nothing; the entry comes up at the old deadline and
//! moves on. The work of a second is therefore the sessions opened one timeout ago plus those that ended, whatever the number of sessions.
//!
//! A ring of buckets of 262 ms reaches 268 s ahead; what is due later waits in the farthest bucket. The bucket that time has
//! reached is emptied into an ordered set, so that within it sessions end at their deadline and in its order, not at the bucket's border.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::iter;

use super::session::Session;
use super::slab::{Slab, Slot};
use crate::{SessionNumber, Tick};

/// Buckets are 2^18 µs long.
const SHIFT: u32 = 18;
const BUCKETS: usize = 1024;

/// [`Session::armed`] of a session in [`Wheel::near`]; its `place` is the key's distance from the start of the cursor's bucket.
const NEAR: u16 = BUCKETS as u16;
/// [`Session::armed`] of a session that is not armed (yet, or any more).
pub(super) const NOWHERE: u16 = NEAR + 1;

#[derive(Debug)]
pub(super) struct Wheel {
    /// By bucket number modulo their count. A `Vec` and not a list through the sessions: a bucket's sessions are scattered in
    /// memory, and reading them one after the other from a known list lets the processor fetch many at once.
    buckets: Box<[Vec<Slot>]>,
    /// One bit for each bucket that is not empty.
    occupied: [u64; BUCKETS / 64],
    /// The bucket that time has reached. All of the ring lies in `cursor .. cursor + BUCKETS`.
    cursor: u64,
    /// What may be due within the cursor's bucket. The cursor stays until this is empty.
    near: BTreeSet<(Tick, SessionNumber, Slot)>,
    /// How many are armed.
    len: usize,
}

/// What a look at the wheel found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A session whose evidence had moved its deadline on, or that is due later within this bucket. It is armed.
    Rearmed,
    /// A session past its deadline. It is no longer armed.
    Expired(Slot),
    /// The caller's timer is due before any session.
    Timer,
    /// Nothing more is due.
    Nothing,
}

const fn bucket(tick: Tick) -> u64 {
    tick.0 >> SHIFT
}

const fn start(bucket: u64) -> Tick {
    Tick(bucket << SHIFT)
}

const fn index(bucket: u64) -> usize {
    (bucket % BUCKETS as u64) as usize
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            buckets: iter::repeat_with(Vec::new).take(BUCKETS).collect(),
            occupied: [0; BUCKETS / 64],
            cursor: 0,
            near: BTreeSet::new(),
            len: 0,
        }
    }

    /// Arms a session that is not armed.
    pub(super) fn arm(&mut self, now: Tick, sessions: &mut Slab<Session>, slot: Slot) {
        if self.len == 0 {
            // Nobody waits: skip what an idle engine would otherwise have to walk through.
            self.cursor = self.cursor.max(bucket(now));
        }
        self.len += 1;
        self.file(sessions, slot);
    }

    /// Takes a session out before it ends otherwise.
    pub(super) fn disarm(&mut self, sessions: &mut Slab<Session>, slot: Slot) {
        let session = &mut sessions[slot];
        let (armed, place) = (session.armed, session.place);
        if armed == NOWHERE {
            return;
        }
        session.armed = NOWHERE;
        self.len -= 1;
        if armed == NEAR {
            let key = Tick(start(self.cursor).0 + u64::from(place));
            self.near.remove(&(key, session.number, slot));
            return;
        }
        let list = &mut self.buckets[usize::from(armed)];
        list.swap_remove(place as usize);
        if let Some(&moved) = list.get(place as usize) {
            sessions[moved].place = place;
        }
        self.tidy(usize::from(armed));
    }

    /// The deadline of this session became earlier.
    pub(super) fn rearm(&mut self, now: Tick, sessions: &mut Slab<Session>, slot: Slot) {
        self.disarm(sessions, slot);
        self.arm(now, sessions, slot);
    }

    /// No later than this a [`look`](Self::look) is due.
    pub(super) fn next(&self) -> Option<Tick> {
        let near = self.near.first().map(|&(tick, ..)| tick);
        let far = self.first_occupied().map(start);
        near.into_iter().chain(far).min()
    }

    /// Looks at one thing that came up, in the order of deadlines; `timer` is the earliest of the caller's own.
    pub(super) fn look(&mut self, now: Tick, timer: Option<Tick>, sessions: &mut Slab<Session>) -> Found {
        let timer = timer.filter(|&at| at <= now);
        loop {
            let here = index(self.cursor);
            if self.cursor <= bucket(now)
                && let Some(slot) = self.buckets[here].pop()
            {
                self.tidy(here);
                self.file(sessions, slot);
                return Found::Rearmed;
            }
            if let Some(&(key, _, slot)) = self.near.first() {
                if key > now || timer.is_some_and(|at| at < key) {
                    return if timer.is_some() { Found::Timer } else { Found::Nothing };
                }
                self.near.pop_first();
                if sessions[slot].deadline > key {
                    self.file(sessions, slot);
                    return Found::Rearmed;
                }
                sessions[slot].armed = NOWHERE;
                self.len -= 1;
                return Found::Expired(slot);
            }
            let next = self.first_occupied().filter(|&next| next <= bucket(now));
            if let Some(at) = timer
                && next.is_none_or(|next| bucket(at) < next)
            {
                return Found::Timer;
            }
            let Some(next) = next else {
                self.cursor = self.cursor.max(bucket(now));
                return Found::Nothing;
            };
            self.cursor = next;
        }
    }

    /// Puts a counted session where its deadline belongs.
    fn file(&mut self, sessions: &mut Slab<Session>, slot: Slot) {
        let session = &mut sessions[slot];
        let due = bucket(session.deadline);
        if due <= self.cursor {
            let offset = session.deadline.0.saturating_sub(start(self.cursor).0);
            session.armed = NEAR;
            session.place = offset as u32; // Below 2^18: it is within the bucket.
            self.near.insert((Tick(start(self.cursor).0 + offset), session.number, slot));
            return;
        }
        let here = index(due.min(self.cursor + (BUCKETS as u64 - 1)));
        let list = &mut self.buckets[here];
        session.armed = here as u16;
        session.place = list.len() as u32;
        list.push(slot);
        self.occupied[here / 64] |= 1 << (here % 64);
    }

    /// Gives an empty bucket's memory back: the ring turns, and each bucket in turn would keep what the fullest one needed.
    fn tidy(&mut self, here: usize) {
        if self.buckets[here].is_empty() {
            self.buckets[here] = Vec::new();
            self.occupied[here / 64] &= !(1 << (here % 64));
        }
    }

    fn first_occupied(&self) -> Option<u64> {
        let from = index(self.cursor);
        let words = self.occupied.len();
        for step in 0..=words {
            let at = (from / 64 + step) % words;
            let mut word = self.occupied[at];
            if step == 0 {
                // What this leaves out lies behind the seam of the ring: it comes last, in one more step.
                word &= u64::MAX << (from % 64);
            }
            if word != 0 {
                let found = at * 64 + word.trailing_zeros() as usize;
                return Some(self.cursor + ((found + BUCKETS - from) % BUCKETS) as u64);
            }
        }
        None
    }

    /// Panics unless the invariant holds for this session.
    #[cfg(test)]
    pub(super) fn check(&self, sessions: &Slab<Session>, slot: Slot) {
        let session = &sessions[slot];
        // Only a caller whose ticks went back can have put a deadline before the bucket that time has reached.
        let deadline = session.deadline.max(start(self.cursor));
        if session.armed == NEAR {
            let key = Tick(start(self.cursor).0 + u64::from(session.place));
            assert!(self.near.contains(&(key, session.number, slot)), "{} is not near", session.name);
            assert!(key <= deadline, "{} is armed too late", session.name);
            return;
        }
        let here = usize::from(session.armed);
        assert_eq!(self.buckets[here][session.place as usize], slot, "{} is not where it is armed", session.name);
        assert!(self.occupied[here / 64] & (1 << (here % 64)) != 0);
        let comes_up = start(self.cursor + ((here + BUCKETS - index(self.cursor)) % BUCKETS) as u64);
        assert!(comes_up <= deadline, "{} is armed too late", session.name);
    }

    /// How many entries there are, counted and as known.
    #[cfg(test)]
    pub(super) fn entries(&self) -> (usize, usize) {
        (self.near.len() + self.buckets.iter().map(Vec::len).sum::<usize>(), self.len)
    }
}
