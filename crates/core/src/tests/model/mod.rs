//! The engine against a naive model: any sequence of inputs, everything that can be seen compared after each.

mod naive;

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use naive::Naive;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{
    Activity, Effect, Effects, EndReason, Engine, Input, Limits, Now, Policy, RestoredOverride, RestoredSession,
    RestoredUser, SessionNumber, Source, Status, Tick, Timestamp,
};

const USERS: [&str; 4] = ["alice", "bob", "carol", "a name too long to be held inline"];
const SESSIONS: [&str; 6] = ["a", "a/1", "a/1/x", "a/2", "b", "ab"];
/// Where the engine's own numbers begin; restored sessions have smaller ones.
const FIRST: SessionNumber = 1_000_000;
const STEP: SessionNumber = 3;

/// What a case does at one moment.
#[derive(Clone, Debug)]
enum Act {
    Evidence(usize, usize, Option<Activity>),
    EndSession(usize, usize, EndReason),
    EndUser(usize, EndReason),
    Drop(usize, usize),
    Set(usize, Status),
    Override(usize, Source, Status, Option<u64>),
    Clear(usize, Source),
    Bar(usize),
    Unbar(usize),
    Forget(usize),
    Restore(usize, Status, Vec<(usize, Activity, u64)>, Vec<(Source, Status, Option<u64>)>, Option<(Status, u64)>),
    Sweep(usize),
    Drain,
}

fn act() -> impl Strategy<Value = Act> {
    let user = || 0..USERS.len();
    let session = || 0..SESSIONS.len();
    let activity = || select(&[Activity::Idle, Activity::Active][..]);
    let status = || select(&[Status::Offline, Status::Away, Status::Online][..]);
    let reason = || select(&[EndReason::Logout, EndReason::Disconnected, EndReason::ForcedLogout][..]);
    let source = || select(&Source::ALL[..]);
    let length = || prop_oneof![Just(0_u64), 0..10_000_000_u64, 0..400_000_000_000_u64];
    let sessions = prop::collection::vec((session(), activity(), length()), 0..5);
    let overrides = prop::collection::vec((source(), status(), prop::option::of(length())), 0..3);
    prop_oneof![
        12 => (user(), session(), prop::option::of(activity())).prop_map(|(u, s, a)| Act::Evidence(u, s, a)),
        2 => (user(), session(), reason()).prop_map(|(u, s, r)| Act::EndSession(u, s, r)),
        1 => (user(), reason()).prop_map(|(u, r)| Act::EndUser(u, r)),
        3 => (user(), session()).prop_map(|(u, s)| Act::Drop(u, s)),
        2 => (user(), status()).prop_map(|(u, s)| Act::Set(u, s)),
        2 => (user(), source(), status(), prop::option::of(length())).prop_map(|(u, s, t, l)| Act::Override(u, s, t, l)),
        1 => (user(), source()).prop_map(|(u, s)| Act::Clear(u, s)),
        1 => user().prop_map(Act::Bar),
        2 => user().prop_map(Act::Unbar),
        1 => user().prop_map(Act::Forget),
        2 => (user(), status(), sessions, overrides, prop::option::of((status(), length())))
            .prop_map(|(u, s, sessions, overrides, held)| Act::Restore(u, s, sessions, overrides, held)),
        8 => (1..6_usize).prop_map(Act::Sweep),
        1 => Just(Act::Drain),
    ]
}

/// How long until the next act, and how far the wall clock steps besides.
fn pause() -> impl Strategy<Value = (u64, i64)> {
    let length = prop_oneof![
        2 => Just(0_u64),
        3 => 0..1_000_000_u64,
        3 => 0..60_000_000_u64,
        2 => 0..400_000_000_u64,
        1 => 0..200_000_000_000_u64,
    ];
    let step = prop_oneof![20 => Just(0_i64), 1 => -5_000_000_000..5_000_000_000_i64];
    (length, step)
}

fn policy() -> impl Strategy<Value = Policy> {
    let ms = Duration::from_millis;
    let policies = [(120_000, 30_000, 10_000), (200, 100, 0), (5_000, 1_000, 5_000), (900_000, 30_000, 10_000)];
    select(policies.to_vec()).prop_map(move |(timeout, interval, grace)| {
        Policy::new(ms(timeout), ms(interval), ms(grace)).expect("a sound policy")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_does_what_a_naive_model_does(
        policy in policy(),
        acts in prop::collection::vec((pause(), act()), 1..120),
    ) {
        run(policy, &acts);
    }
}

fn run(policy: Policy, acts: &[((u64, i64), Act)]) {
    let limits = Limits { users_max: 3, sessions_per_user_max: 4 };
    let mut pair = Pair {
        engine: Engine::new(policy, limits, 5, FIRST, STEP),
        naive: Naive::new(policy, limits, FIRST, STEP),
        owners: BTreeMap::new(),
        restored: 0,
    };
    let mut now = Now { tick: Tick(3_000_000_000), wall: Timestamp(1_790_000_000_000_000) };
    for ((length, step), act) in acts {
        now.tick.0 += length;
        now.wall.0 += *length as i64 + step;
        pair.act(now, act);
        pair.compare(now);
    }
}

struct Pair {
    engine: Engine,
    naive: Naive,
    owners: BTreeMap<SessionNumber, String>,
    restored: SessionNumber,
}

impl Pair {
    fn act(&mut self, now: Now, act: &Act) {
        let input = match act {
            &Act::Evidence(user, session, activity) => {
                let (user, session) = (USERS[user], SESSIONS[session]);
                let before = self.engine.explain(now, user);
                if self.engine.renew(now, user, session, activity) {
                    let naive = self.naive.apply(now, Input::Evidence { user, session, activity });
                    assert_eq!(naive, Ok(Effects::new()), "a renewal has no effects");
                    return;
                }
                assert_eq!(self.engine.explain(now, user), before, "a renewal that fails changes nothing");
                Input::Evidence { user, session, activity }
            }
            &Act::EndSession(user, session, reason) => {
                Input::EndSession { user: USERS[user], session: SESSIONS[session], reason }
            }
            &Act::EndUser(user, reason) => Input::EndUser { user: USERS[user], reason },
            &Act::Drop(user, session) => Input::Drop { user: USERS[user], session: SESSIONS[session] },
            &Act::Set(user, status) => Input::Set { user: USERS[user], status },
            &Act::Override(user, source, status, length) => {
                let ends_after = length.map(Duration::from_micros);
                Input::Override { user: USERS[user], source, status, ends_after }
            }
            &Act::Clear(user, source) => Input::ClearOverride { user: USERS[user], source },
            &Act::Bar(user) => Input::Bar { user: USERS[user] },
            &Act::Unbar(user) => Input::Unbar { user: USERS[user] },
            &Act::Forget(user) => Input::Forget { user: USERS[user] },
            Act::Restore(..) => self.restore(now, act),
            &Act::Sweep(limit) => return self.sweep(now, limit),
            Act::Drain => return self.drain(),
        };
        let effects = self.engine.apply(now, input.clone());
        assert_eq!(effects, self.naive.apply(now, input));
        self.learn(effects.iter().flatten());
    }

    fn sweep(&mut self, now: Now, limit: usize) {
        let mut effects = Effects::new();
        while self.engine.next_deadline().is_some_and(|deadline| deadline <= now.tick) {
            effects.extend(self.engine.sweep(now, limit));
        }
        assert_eq!(self.engine.sweep(now, usize::MAX), [], "nothing is due, and still something ended");
        // Users do not meet: only the order within one is a promise for equal deadlines.
        let mut naive = self.naive.sweep(now);
        naive.sort_by_key(|effect| self.owner(effect));
        effects.sort_by_key(|effect| self.owner(effect));
        assert_eq!(effects, naive);
    }

    fn drain(&mut self) {
        let mut heard = BTreeMap::new();
        self.engine.drain_evidence(&mut |number, at| {
            assert!(heard.insert(number, at).is_none(), "handed over twice");
        });
        assert_eq!(heard, self.naive.drain());
    }

    fn compare(&self, now: Now) {
        self.engine.check_invariants();
        for user in USERS {
            assert_eq!(self.engine.explain(now, user), self.naive.explain(now, user));
        }
        assert_eq!(self.engine.counts(), self.naive.counts());
        let due = self.naive.next_deadline();
        assert_eq!(self.engine.next_deadline().is_some(), due.is_some());
        assert!(self.engine.next_deadline() <= due, "the next sweep would be too late");
    }

    fn restore(&mut self, now: Now, act: &Act) -> Input<'static> {
        let Act::Restore(user, status, sessions, overrides, held) = act else { unreachable!() };
        let last_seen = Timestamp(now.wall.0 - 100);
        let mut number = || {
            self.restored += 1;
            self.owners.insert(self.restored, USERS[*user].to_string());
            self.restored
        };
        let sessions = sessions.iter().map(|&(session, activity, left)| RestoredSession {
            number: number(),
            session: SESSIONS[session].into(),
            activity,
            opened_at: Timestamp(now.wall.0 - 500),
            last_evidence: last_seen,
            remaining: Duration::from_micros(left),
        });
        let overrides = overrides.iter().map(|&(source, status, left)| RestoredOverride {
            source,
            status,
            set_at: Timestamp(now.wall.0 - 300),
            ends_at: left.map(|left| now.wall + Duration::from_micros(left)),
            ends_after: left.map(Duration::from_micros),
        });
        Input::Restore(RestoredUser {
            user: USERS[*user].into(),
            status: *status,
            last_seen: Some(last_seen),
            since: Timestamp(now.wall.0 - 400),
            sessions: sessions.collect(),
            overrides: overrides.collect(),
            held: held.map(|(status, left)| (status, Duration::from_micros(left))),
        })
    }

    fn learn<'a>(&mut self, effects: impl Iterator<Item = &'a Effect>) {
        for effect in effects {
            if let Effect::OpenSession(row) = effect {
                self.owners.insert(row.number, row.user.to_string());
            }
        }
    }

    fn owner(&self, effect: &Effect) -> String {
        match effect {
            Effect::Announce(change) => change.user.to_string(),
            Effect::SavePresence(row) => row.user.to_string(),
            Effect::OpenSession(row) | Effect::SaveSession(row) => row.user.to_string(),
            Effect::ForgetSession(user, number) => {
                assert_eq!(self.owners[number], user.as_str(), "session {number} is somebody else's");
                user.to_string()
            }
            Effect::SaveOverride(row) => row.user.to_string(),
            Effect::SaveHeld(row) => row.user.to_string(),
            Effect::ForgetOverride(user, _) | Effect::ForgetHeld(user) | Effect::Erase(user) => user.to_string(),
        }
    }
}
