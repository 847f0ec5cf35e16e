//! Several engines that follow one log.

use std::format;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::cluster::{Act, Entry, Members, Node, UserState, Verdict};
use crate::{Activity, EndReason, Engine, Limits, Now, Policy, Source, Status, Tick, Timestamp};

const SECOND: u64 = 1_000_000;
const NODES: [Node; 3] = [Node(1), Node(2), Node(3)];

fn engine(me: Node) -> Engine {
    let limits = Limits { sessions_per_user_max: 3, ..Limits::default() };
    let mut engine = Engine::new(Policy::default(), limits, me.0, 0, 1);
    engine.set_me(me);
    engine
}

fn at(second: u64) -> Now {
    Now { tick: Tick(second * SECOND), wall: Timestamp((second * SECOND).cast_signed()) }
}

/// What all nodes agree on: all but what an owner keeps to itself.
fn agreed(engine: &Engine, now: Now) -> Vec<UserState> {
    let mut states = Vec::new();
    engine.visit_states(now, 0, usize::MAX, &mut |state| states.push(state));
    for state in &mut states {
        state.last_seen = None;
        state.sessions.iter_mut().for_each(|session| session.last_evidence = Timestamp(0));
    }
    states.sort_by(|a, b| a.user.cmp(&b.user));
    states
}

fn act() -> impl Strategy<Value = Act> {
    let user = || (0..3_u8).prop_map(|n| format!("user-{n}").into());
    let session = || (0..5_u8).prop_map(|n| format!("tab-{n}").into());
    let activity = || prop_oneof![Just(Activity::Active), Just(Activity::Idle)];
    let status = || prop_oneof![Just(Status::Online), Just(Status::Away), Just(Status::Offline)];
    let source = || prop_oneof![Just(Source::Application), Just(Source::User), Just(Source::Admin)];
    let reason = || prop_oneof![Just(EndReason::Logout), Just(EndReason::Disconnected), Just(EndReason::ForcedLogout)];
    let length = || (0..100_u64).prop_map(Duration::from_secs);
    prop_oneof![
        8 => (user(), session(), 0..60_u64, proptest::option::of(activity()))
            .prop_map(|(user, session, after, activity)| Act::Evidence { user, session, after, activity }),
        2 => (user(), session(), 0..60_u64, activity(), length()).prop_map(
            |(user, session, after, activity, remaining)| Act::Claim {
                user, session, after, activity, last_evidence: Timestamp(5), remaining,
            },
        ),
        2 => (user(), session(), reason()).prop_map(|(user, session, reason)| Act::EndSession { user, session, reason }),
        1 => (user(), reason()).prop_map(|(user, reason)| Act::EndUser { user, reason }),
        1 => (user(), status()).prop_map(|(user, status)| Act::Set { user, status }),
        1 => (user(), source(), status(), proptest::option::of(length()))
            .prop_map(|(user, source, status, ends_after)| Act::Override { user, source, status, ends_after }),
        1 => (user(), source()).prop_map(|(user, source)| Act::ClearOverride { user, source }),
        1 => user().prop_map(|user| Act::Bar { user }),
        1 => user().prop_map(|user| Act::Unbar { user }),
        1 => user().prop_map(|user| Act::Forget { user }),
        1 => (user(), 0..60_u64, any::<bool>(), length()).prop_map(|(user, number, dropped, lateness)| Act::Expire {
            user, number, dropped, last_evidence: Timestamp(7), lateness,
        }),
        1 => (user(), proptest::option::of(source()), 0..60_u64, length()).prop_map(|(user, source, at, lateness)| {
            Act::EndTimer { user, source, set_at: Timestamp((at * SECOND).cast_signed()), lateness }
        }),
        1 => Just(Act::Joined),
        1 => Just(Act::Lost { node: Node(9), heir: Node(1) }),
        1 => Just(Act::Tick),
    ]
}

proptest! {
    #[test]
    fn who_follows_the_same_entries_decides_the_same_and_a_copy_too(
        acts in proptest::collection::vec((act(), 0..3_usize), 1..60),
        copied_after in 0..60_usize,
    ) {
        let mut engines = NODES.map(engine);
        let mut copy = None;
        for (place, (act, node)) in acts.into_iter().enumerate() {
            let second = place as u64;
            // Each node has a clock of its own for deadlines.
            let nows: [Now; 3] = [at(second), at(second + 1000), at(second + 77)];
            if place == copied_after {
                let mut engine = engine(Node(4));
                engines[0].visit_states(nows[0], 0, usize::MAX, &mut |state| engine.load(at(second), state));
                engine.load_past(engines[0].past(), 0);
                prop_assert_eq!(agreed(&engine, at(second)), agreed(&engines[0], nows[0]));
                copy = Some(engine);
            }
            let entry = Entry { seq: second, node: NODES[node], count: second + 1, wall: at(second).wall, act };
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            let entry = Entry::decode(entry.seq, &bytes).unwrap();
            for (engine, now) in engines.iter_mut().chain(copy.as_mut()).zip(nows.into_iter().chain([at(second)])) {
                let _ = engine.follow(now, &entry);
            }
            let first = agreed(&engines[0], nows[0]);
            prop_assert_eq!(&agreed(&engines[1], nows[1]), &first);
            prop_assert_eq!(&agreed(&engines[2], nows[2]), &first);
            if let Some(copy) = &copy {
                prop_assert_eq!(&agreed(copy, at(second)), &first);
            }
        }
    }

    #[test]
    fn entries_and_states_survive_as_bytes_and_nothing_shorter_does(act in act(), wall in any::<i64>()) {
        let entry = Entry { seq: 3, node: Node(7), count: 9, wall: Timestamp(wall), act };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        prop_assert_eq!(Entry::decode(3, &bytes), Ok(entry.clone()));
        for length in 0..bytes.len() {
            prop_assert!(Entry::decode(3, &bytes[..length]).is_err());
        }
        let mut engine = engine(Node(7));
        if engine.follow(at(1), &entry).is_ok() {
            engine.visit_states(at(1), 0, usize::MAX, &mut |state| {
                let mut bytes = Vec::new();
                state.encode(&mut bytes);
                assert_eq!(UserState::decode(&bytes).as_ref(), Ok(&state));
            });
        }
    }

    #[test]
    fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::decode(1, &bytes);
        let _ = UserState::decode(&bytes);
        let _ = Members::decode(&bytes);
    }
}

#[test]
fn what_a_lost_node_owned_has_a_full_timeout_at_its_heir() {
    let (mut one, mut two) = (engine(Node(1)), engine(Node(2)));
    let mut members: Members = [Node(1), Node(2)].into_iter().collect();
    let mut follow = |engines: [&mut Engine; 2], second: u64, node: Node, count, act| {
        let entry = Entry { seq: second, node, count, wall: at(second).wall, act };
        let verdict = members.admit(&entry);
        for engine in engines {
            match verdict {
                Verdict::User(_) => drop(engine.follow(at(second), &entry)),
                Verdict::Lost { node, heir } => engine.lose(node, heir.unwrap()),
                _ => {}
            }
        }
    };
    let alice = || Act::Evidence { user: "alice".into(), session: "phone".into(), after: 0, activity: None };
    follow([&mut one, &mut two], 10, Node(1), 1, alice());
    assert_eq!(two.next_due(true), None);
    follow([&mut one, &mut two], 100, Node(2), 1, Act::Lost { node: Node(1), heir: Node(2) });
    while two.adopt(at(100), 10) {}
    assert!(two.due(at(219), true, 100).is_empty());
    let due = two.due(at(221), true, 100);
    assert!(matches!(&due[..], [Act::Expire { user, .. }] if user == "alice"));
    // Until that is followed, evidence is an entry, and rescues the session.
    assert!(!two.renew(at(222), "alice", "phone", None));
    follow([&mut one, &mut two], 223, Node(2), 2, alice());
    assert!(two.renew(at(224), "alice", "phone", None));
    assert!(two.due(at(300), true, 100).is_empty());
}
