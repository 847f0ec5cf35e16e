//! What a restart finds. **Time in which nobody listened is no silence**: who was live is given the rest of their timeout, whatever
//! the wall clock did in between, and their `last_seen` stays the old one unless they are heard again.
//!
//! How long somebody listened is told by the evidence blocks, each of which knows its place in the life of the server that
//! packed it. Lives are put end to end; what lies between them does not count.

use std::ops::Range;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use presently_core::{
    HeldRow, Now, OverrideRow, PresenceRow, RestoredOverride, RestoredSession, RestoredUser, SessionNumber, SessionRow,
    Status, Timestamp, UserId,
};

use crate::evidence::unpack;
use crate::store::{EvidenceBlock, Saved, Store, StoreError, VeilRow};

/// A wall clock that is set goes further than one that is slewed, and than the time in which a task waits for its turn.
const STEP_MICROS: i64 = 500_000;
/// A block comes each second; with room for a disk that takes its time.
const BLOCK_WITHIN_MICROS: i64 = 2_000_000;

/// What was loaded, ready for the engines.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) users: Vec<RestoredUser>,
    /// Above every number that the store may know.
    pub(crate) first_number: SessionNumber,
    pub(crate) oldest_block: Option<Timestamp>,
    pub(crate) veils: Vec<VeilRow>,
}

impl Restored {
    /// Each of several nodes listened in its own time: who was live when the last one stopped has a full timeout.
    pub(crate) fn begin_silence_anew(&mut self, timeout: Duration) {
        for user in &mut self.users {
            user.sessions.iter_mut().for_each(|session| session.remaining = timeout);
            if let Some((_, remaining)) = &mut user.held {
                *remaining = timeout;
            }
        }
    }
}

pub(crate) async fn load(store: &dyn Store, timeout: Duration, now: Now) -> Result<Restored, StoreError> {
    let mut loading = Loading::default();
    store.load(&mut |saved| loading.take(saved)).await?;
    let silence = loading.silence(timeout);
    let first_number = loading.numbers_max.saturating_add(1);
    let oldest_block = loading.listened.marks.iter().map(|&(at, _)| at).min();
    if loading.garbage > 0 {
        tracing::warn!(blocks = loading.garbage, "evidence blocks made no sense and were passed over");
    }
    let veils = std::mem::take(&mut loading.veils);
    let mut users = loading.users(silence, timeout, now);
    complete(store, &mut users).await?;
    Ok(Restored { users: users.list, first_number, oldest_block, veils })
}

/// Users who are shown offline and have parts all the same (an override on top): their presence was not loaded.
async fn complete(store: &dyn Store, users: &mut Users) -> Result<(), StoreError> {
    let names: Vec<UserId> = users.list[users.shown..].iter().map(|user| user.user.clone()).collect();
    for (names, users) in names.chunks(10_000).zip(users.list[users.shown..].chunks_mut(10_000)) {
        for (row, user) in store.presences(names).await?.into_iter().zip(users) {
            if let Some(row) = row {
                user.status = row.status;
                user.since = row.since;
                user.last_seen = user.last_seen.max(row.last_seen);
            }
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Loading {
    presences: Vec<PresenceRow>,
    /// By number.
    sessions: Vec<SessionRow>,
    /// Where on the time line each session was heard last; `None` while no block spoke of it.
    heard: Vec<Option<i64>>,
    overrides: Vec<OverrideRow>,
    held: Vec<HeldRow>,
    veils: Vec<VeilRow>,
    listened: Listened,
    numbers_max: SessionNumber,
    newest_row: Option<Timestamp>,
    garbage: u64,
    entries: Vec<(SessionNumber, i64)>,
}

/// The lives of the server put end to end, in microseconds of listening.
#[derive(Debug, Default)]
struct Listened {
    lives: Vec<Life>,
    /// The wall time of each block and its place, by place.
    marks: Vec<(Timestamp, i64)>,
    /// The earliest wall time of each block and all that are after it: ascending, whatever the wall clock did.
    earliest_from: Vec<Timestamp>,
    /// The blocks before which the wall clock did not go with the listening: it stepped, or a life began.
    steps: Vec<usize>,
    end: i64,
}

#[derive(Debug)]
struct Life {
    life: u64,
    /// The place of its tick zero.
    zero: i64,
    /// The place of its newest block.
    newest: i64,
}

/// How much silence there was since each session, and since any wall time.
struct Silence {
    of_sessions: Vec<Duration>,
    of_held: Vec<Duration>,
}

impl Loading {
    fn take(&mut self, saved: Saved) {
        match saved {
            Saved::Presence(row) => {
                self.newest_row = self.newest_row.max(row.last_seen).max(Some(row.since));
                self.presences.push(row);
            }
            Saved::Session(row) => {
                self.numbers_max = self.numbers_max.max(row.number);
                self.newest_row = self.newest_row.max(Some(row.last_evidence));
                self.sessions.push(row);
            }
            Saved::Override(row) => self.overrides.push(row),
            Saved::Held(row) => {
                self.newest_row = self.newest_row.max(Some(row.set_at));
                self.held.push(row);
            }
            Saved::Veil(row) => self.veils.push(row),
            Saved::Evidence(block) => self.replay(&block),
        }
    }

    /// A merge of two lists that are sorted by number: nothing is looked up by hash.
    fn replay(&mut self, block: &EvidenceBlock) {
        self.heard.resize(self.sessions.len(), None);
        let mut entries = std::mem::take(&mut self.entries);
        if let Some(stamp) = unpack(&block.packed, &mut entries) {
            let (place, span) = self.listened.place(stamp.life, stamp.tick.0, block.at);
            let mut rest = 0;
            for &(number, millis) in &entries {
                rest += gallop(&self.sessions[rest..], number);
                let Some(row) = self.sessions.get_mut(rest) else { break };
                if row.number != number {
                    continue;
                }
                // What a block holds was heard since the block before it, whatever the wall clock says.
                let heard = place - millis.saturating_mul(1000).clamp(0, span);
                if self.heard[rest].is_none_or(|older| heard >= older) {
                    self.heard[rest] = Some(heard);
                    row.last_evidence = Timestamp(block.at.0.saturating_sub(millis.saturating_mul(1000)));
                }
            }
            self.numbers_max = self.numbers_max.max(entries.last().map_or(0, |&(number, _)| number));
        } else {
            self.garbage += 1;
        }
        self.entries = entries;
    }

    fn silence(&mut self, timeout: Duration) -> Silence {
        self.listened.order();
        self.heard.resize(self.sessions.len(), None);
        let since = |place: i64| Duration::from_micros((self.listened.end - place).max(0).cast_unsigned()).min(timeout);
        let since_wall = |at: Timestamp| match self.listened.heard_by_wall(at) {
            Some(place) => since(place),
            None => self.newest_row.unwrap_or(at).since(at).min(timeout),
        };
        let sessions = self.sessions.iter().zip(&self.heard);
        Silence {
            of_sessions: sessions
                .map(|(row, heard)| heard.map_or_else(|| since_wall(row.last_evidence), since))
                .collect(),
            of_held: self.held.iter().map(|row| since_wall(row.set_at)).collect(),
        }
    }

    fn users(self, silence: Silence, timeout: Duration, now: Now) -> Users {
        let mut users = Users::default();
        for PresenceRow { user, status, last_seen, since } in self.presences {
            let known = users.of(user, now);
            (known.status, known.last_seen, known.since) = (status, last_seen, since);
        }
        users.shown = users.list.len();
        for (row, silence) in self.sessions.into_iter().zip(silence.of_sessions) {
            let known = users.of(row.user, now);
            known.last_seen = known.last_seen.max(Some(row.last_evidence));
            known.sessions.push(RestoredSession {
                number: row.number,
                session: row.session,
                activity: row.activity,
                opened_at: row.opened_at,
                last_evidence: row.last_evidence,
                remaining: timeout - silence,
            });
        }
        for row in self.overrides {
            let OverrideRow { user, source, status, set_at, ends_at } = row;
            // One that ended while nobody looked ends at the first sweep, and what lies beneath shows again.
            let ends_after = ends_at.map(|ends_at| ends_at.since(now.wall));
            users.of(user, now).overrides.push(RestoredOverride { source, status, set_at, ends_at, ends_after });
        }
        for (row, silence) in self.held.into_iter().zip(silence.of_held) {
            users.of(row.user, now).held = Some((row.status, timeout - silence));
        }
        users
    }
}

impl Listened {
    /// When all blocks were placed.
    fn order(&mut self) {
        self.marks.sort_unstable_by_key(|&(_, place)| place);
        let mut earliest = Timestamp(i64::MAX);
        self.earliest_from = self
            .marks
            .iter()
            .rev()
            .map(|&(at, _)| {
                earliest = earliest.min(at);
                earliest
            })
            .collect();
        self.earliest_from.reverse();
        self.steps = (1..self.marks.len())
            .filter(|&number| {
                let (before, here) = (self.marks[number - 1], self.marks[number]);
                (here.0.0 - before.0.0 - (here.1 - before.1)).abs() > STEP_MICROS
            })
            .collect();
    }

    /// Where a block lies, and how far the block before it in the same life is away.
    fn place(&mut self, life: u64, tick: u64, at: Timestamp) -> (i64, i64) {
        let tick = i64::try_from(tick).unwrap_or(i64::MAX / 2).min(i64::MAX / 2);
        let known = self.lives.iter().rposition(|known| known.life == life).unwrap_or_else(|| {
            // The time from its start to its first block is not known better than this: a block comes every second.
            let first = tick.min(1_000_000);
            self.lives.push(Life { life, zero: self.end + first - tick, newest: self.end });
            self.lives.len() - 1
        });
        let known = &mut self.lives[known];
        let place = known.zero.saturating_add(tick);
        let span = place.saturating_sub(known.newest).max(0);
        known.newest = known.newest.max(place);
        self.end = self.end.max(place);
        self.marks.push((at, place));
        (place, span)
    }

    /// Where something lies of which only the wall time is known: in the newest stretch of blocks that has it. Where the wall clock
    /// stepped back, a time was twice, and who is not in the blocks of the first one was heard in the second. `None` where nobody
    /// listened.
    fn heard_by_wall(&self, at: Timestamp) -> Option<i64> {
        let begins = (!self.marks.is_empty()).then_some(0).into_iter().chain(self.steps.iter().copied());
        let mut end = self.marks.len();
        for begin in begins.rev() {
            let heard = self.heard_within(begin..end, at);
            if heard.is_some() {
                return heard;
            }
            end = begin;
        }
        self.heard_in_order(at)
    }

    /// Where something lies among blocks between which the wall clock did not step, if it was then.
    fn heard_within(&self, blocks: Range<usize>, at: Timestamp) -> Option<i64> {
        let (first, last) = (self.marks[blocks.start], self.marks[blocks.end - 1]);
        let place = if at > last.0 {
            last.1.saturating_add(at.0 - last.0.0)
        } else {
            let next = blocks.start + self.marks[blocks.clone()].partition_point(|&(mark, _)| mark < at);
            self.marks[next].1.saturating_sub(self.marks[next].0.0 - at.0)
        };
        // The clock stepped somewhere between two blocks: the time before the first one is this stretch's, and the time after the last.
        let earliest = blocks.start.checked_sub(1).map_or(first.1 - BLOCK_WITHIN_MICROS, |before| self.marks[before].1);
        let latest = self.marks.get(blocks.end).map_or(last.1 + BLOCK_WITHIN_MICROS, |after| after.1);
        (earliest..=latest).contains(&place).then(|| place.min(self.end))
    }

    /// The same by the order of the blocks alone, for a time that is in no stretch: nobody listened, or no block could be kept.
    fn heard_in_order(&self, at: Timestamp) -> Option<i64> {
        let next = self.earliest_from.partition_point(|&earliest| earliest <= at);
        let before = next.checked_sub(1).map(|before| self.marks[before].1);
        let Some(&(mark, place)) = self.marks.get(next) else { return before.map(|_| self.end) };
        let distance = i64::try_from(mark.since(at).as_micros()).unwrap_or(i64::MAX);
        let heard = place.saturating_sub(distance);
        Some(before.map_or(heard, |before| heard.max(before.min(place))))
    }
}

/// How many rows lie before `number`: doubling steps, because the next one is near.
fn gallop(rows: &[SessionRow], number: SessionNumber) -> usize {
    let mut step = 1;
    while step < rows.len() && rows[step].number < number {
        step *= 2;
    }
    let from = step / 2;
    let to = rows.len().min(step + 1);
    from + rows[from..to].partition_point(|row| row.number < number)
}

#[derive(Debug, Default)]
struct Users {
    list: Vec<RestoredUser>,
    /// So many come first who are shown online or away.
    shown: usize,
    by_name: HashMap<UserId, usize, RandomState>,
}

impl Users {
    fn of(&mut self, user: UserId, now: Now) -> &mut RestoredUser {
        let place = *self.by_name.entry(user).or_insert_with_key(|user| {
            self.list.push(RestoredUser {
                user: user.clone(),
                status: Status::Offline,
                last_seen: None,
                since: now.wall,
                sessions: Vec::new(),
                overrides: Vec::new(),
                held: None,
            });
            self.list.len() - 1
        });
        &mut self.list[place]
    }
}

#[cfg(test)]
mod tests {
    use presently_core::{Activity, Tick};

    use super::*;
    use crate::evidence::{Stamp, pack};

    const TIMEOUT: Duration = Duration::from_secs(120);
    const NOW: Now = Now { tick: Tick(5), wall: Timestamp(9_000_000_000) };

    fn second(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
    }

    fn session(number: u64, opened: i64) -> Saved {
        Saved::Session(SessionRow {
            number,
            user: format!("user-{number}").as_str().into(),
            session: "tab".into(),
            activity: Activity::Active,
            opened_at: second(opened),
            last_evidence: second(opened),
        })
    }

    /// A block of `life` at its own `tick`, by a wall that says `at`.
    fn block(life: u64, tick: u64, at: i64, heard: &[(u64, i64)]) -> Saved {
        let heard: Vec<_> = heard.iter().map(|&(number, at)| (number, second(at))).collect();
        let stamp = Stamp { life, tick: Tick(tick * 1_000_000) };
        Saved::Evidence(EvidenceBlock { at: second(at), packed: pack(stamp, second(at), &heard) })
    }

    /// By session: its last evidence and what remains of its timeout, in seconds.
    fn restored(all: impl IntoIterator<Item = Saved>) -> Vec<(u64, i64, u64)> {
        let mut loading = Loading::default();
        all.into_iter().for_each(|saved| loading.take(saved));
        let silence = loading.silence(TIMEOUT);
        let users = loading.users(silence, TIMEOUT, NOW);
        let sessions = users.list.into_iter().flat_map(|user| user.sessions);
        sessions.map(|s| (s.number, s.last_evidence.0 / 1_000_000, s.remaining.as_secs())).collect()
    }

    #[test]
    fn silence_ends_with_the_last_block() {
        let all = [session(1, 100), session(2, 100), block(1, 101, 101, &[]), block(1, 150, 150, &[(2, 150)])];
        assert_eq!(restored(all), [(1, 100, 70), (2, 150, 120)]);
    }

    #[test]
    fn without_blocks_silence_ends_with_the_newest_row() {
        assert_eq!(restored([session(1, 100), session(2, 130)]), [(1, 100, 90), (2, 130, 120)]);
    }

    #[test]
    fn a_crash_loop_costs_nobody_their_presence() {
        let all = [
            session(1, 100),
            block(1, 10, 101, &[]),
            block(2, 1, 5_000, &[]),
            block(2, 2, 5_001, &[]),
            block(3, 1, 9_000, &[]),
        ];
        assert_eq!(restored(all), [(1, 100, 116)]);
    }

    #[test]
    fn a_wall_that_stepped_before_the_crash_changes_no_silence() {
        for step in [3_600, -50] {
            let all = [
                session(1, 100),
                session(2, 100),
                block(1, 10, 101, &[(1, 101), (2, 101)]),
                block(1, 11, 102 + step, &[(2, 102)]),
            ];
            let mut all = Vec::from(all);
            if step < 0 {
                all.swap(2, 3);
            }
            let remaining: Vec<u64> = restored(all).into_iter().map(|(.., remaining)| remaining).collect();
            assert!(remaining.iter().all(|&remaining| remaining >= 118), "{remaining:?} after a step of {step} s");
        }
    }

    #[test]
    fn who_came_after_the_last_block_and_a_step_of_the_wall_has_the_whole_timeout() {
        for step in [20, 3_600, -20] {
            let stepped = (111..=150_i64).map(|at| block(1, at.cast_unsigned(), at + step, &[]));
            let all = (101..=110_i64)
                .map(|at| block(1, at.cast_unsigned(), at, &[]))
                .chain(stepped)
                .chain((151..=160_i64).map(|at| block(1, at.cast_unsigned(), at, &[])));
            let newest = Saved::Session(SessionRow {
                number: 1,
                user: "alice".into(),
                session: "tab".into(),
                activity: Activity::Active,
                opened_at: Timestamp(160_300_000),
                last_evidence: Timestamp(160_300_000),
            });
            let remaining = restored([newest].into_iter().chain(all))[0].2;
            assert_eq!(remaining, 120, "after a step of {step} s and back");
        }
    }

    #[test]
    fn who_was_silent_for_the_whole_timeout_has_nothing_left() {
        let blocks = (101..=300_i64).map(|at| block(1, at.cast_unsigned(), at, &[]));
        assert_eq!(restored([session(1, 100)].into_iter().chain(blocks)), [(1, 100, 0)]);
    }

    #[test]
    fn garbage_among_the_blocks_is_passed_over() {
        let garbage = Saved::Evidence(EvidenceBlock { at: second(102), packed: vec![1, 2, 3] });
        let all = [session(1, 100), block(1, 101, 101, &[(1, 101)]), garbage, block(1, 103, 103, &[])];
        assert_eq!(restored(all), [(1, 101, 118)]);
    }

    #[test]
    fn numbers_of_sessions_that_ended_are_not_used_again() {
        let mut loading = Loading::default();
        loading.take(session(3, 100));
        loading.take(block(1, 101, 101, &[(3, 101), (900, 101)]));
        assert_eq!(loading.numbers_max, 900);
    }

    #[test]
    fn galloping_finds_what_a_walk_finds() {
        let rows: Vec<SessionRow> = (0..200)
            .map(|n| match session(n * 3 + 1, 0) {
                Saved::Session(row) => row,
                _ => unreachable!(),
            })
            .collect();
        for number in 0..620 {
            let walked = rows.iter().take_while(|row| row.number < number).count();
            assert_eq!(gallop(&rows, number), walked, "number {number}");
        }
        assert_eq!(gallop(&[], 1), 0);
    }
}
