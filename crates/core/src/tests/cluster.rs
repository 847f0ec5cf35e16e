//! Several engines that follow one log.

use std::format;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::cluster::{Act, DecodeError, Entry, HeardSession, Members, Node, UserState, Verdict};
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

/// One of each kind, with the user whom it is about, and whether it outlives its node.
fn every_act() -> Vec<(Act, Option<&'static str>, bool)> {
    let user = || "alice".into();
    let session = || "phone".into();
    let (source, status, reason) = (Source::User, Status::Away, EndReason::ForcedLogout);
    let (after, number, set_at, last_evidence) = (1, 2, Timestamp(-3), Timestamp(4));
    let (remaining, lateness) = (Duration::from_micros(5), Duration::from_micros(6));
    // What a person or a program asked for is still true when its node comes back under another name.
    let asked = [
        Act::Evidence { user: user(), session: session(), after, activity: None },
        Act::Evidence { user: user(), session: session(), after, activity: Some(Activity::Active) },
        Act::Evidence { user: user(), session: session(), after, activity: Some(Activity::Idle) },
        Act::EndSession { user: user(), session: session(), reason },
        Act::EndUser { user: user(), reason: EndReason::Logout },
        Act::EndUser { user: user(), reason: EndReason::Disconnected },
        Act::Set { user: user(), status: Status::Offline },
        Act::Set { user: user(), status: Status::Online },
        Act::Override { user: user(), source, status, ends_after: None },
        Act::Override { user: user(), source: Source::Application, status, ends_after: Some(remaining) },
        Act::ClearOverride { user: user(), source: Source::Admin },
        Act::Bar { user: user() },
        Act::Unbar { user: user() },
        Act::Forget { user: user() },
    ];
    // What an owner or a leader noticed is not.
    let claim = |activity| Act::Claim { user: user(), session: session(), after, activity, last_evidence, remaining };
    let noticed = [
        claim(Activity::Active),
        claim(Activity::Idle),
        Act::Expire { user: user(), number, dropped: false, last_evidence, lateness },
        Act::Expire { user: user(), number, dropped: true, last_evidence, lateness },
        Act::EndTimer { user: user(), source: None, set_at, lateness },
        Act::EndTimer { user: user(), source: Some(source), set_at, lateness },
    ];
    let heard = vec![HeardSession { user: user(), session: session(), at: set_at }; 2];
    let of_nodes = [
        (Act::Joined, None, false),
        (Act::Lost { node: Node(1), heir: Node(2) }, None, false),
        (Act::Heard { sessions: heard }, None, true),
        (Act::Tick, None, false),
    ];
    let of_alice = |outlives| move |act| (act, Some("alice"), outlives);
    asked.map(of_alice(true)).into_iter().chain(noticed.map(of_alice(false))).chain(of_nodes).collect()
}

#[test]
fn an_act_names_the_user_whom_it_is_about_and_says_whether_it_outlives_its_node() {
    for (act, user, outlives) in every_act() {
        assert_eq!((act.user(), act.outlives_its_node()), (user, outlives), "{act:?}");
    }
}

#[test]
fn every_act_is_read_as_it_was_written_and_nothing_longer_is() {
    for (act, ..) in every_act() {
        let entry = Entry { seq: 3, node: Node(u64::MAX), count: 9, wall: Timestamp(-8), act };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(Entry::decode(3, &bytes).as_ref(), Ok(&entry));
        bytes.push(0);
        assert_eq!(Entry::decode(3, &bytes), Err(DecodeError::GARBAGE), "{entry:?}");
    }
}

#[test]
fn a_byte_that_stands_for_nothing_is_garbage() {
    // After the version, the node, the count and the time comes the kind of act, and then for most a name.
    let head = [&[1; 25][..]].concat();
    let named = |kind: u8, rest: &[u8]| [&head, &[kind, 1, 0, b'a'][..], rest].concat();
    let (moment, session) = ([0; 8], [1, 0, b's']);
    assert!(Entry::decode(0, &named(7, &[])).is_ok());
    assert!(Entry::decode(0, &named(4, &[2])).is_ok());
    for (what, bytes) in [
        ("kind", named(16, &[])),
        ("status", named(4, &[3])),
        ("reason", named(3, &[3])),
        ("source", named(6, &[3])),
        ("source of a timer", named(11, &[&[3][..], &moment, &moment].concat())),
        ("activity", named(0, &[&session[..], &moment, &[3]].concat())),
        ("activity of a claim", named(1, &[&session[..], &moment, &[2], &moment, &moment].concat())),
        ("flag", named(10, &[&moment[..], &[2], &moment, &moment].concat())),
        ("name", [&head[..], &[7, 1, 0, 0xFF]].concat()),
    ] {
        assert_eq!(Entry::decode(0, &bytes), Err(DecodeError::GARBAGE), "{what}");
    }
}

#[test]
fn each_member_is_inherited_by_the_next() {
    let members: Members = [Node(5), Node(2), Node(9), Node(2)].into_iter().collect();
    assert_eq!(members.nodes().collect::<Vec<_>>(), [Node(2), Node(5), Node(9)]);
    let heirs = [2, 5, 9, 7, 99].map(|node| members.heir_of(Node(node)).map(|Node(heir)| heir));
    assert_eq!(heirs, [Some(5), Some(9), Some(2), Some(9), Some(2)]);
    let alone: Members = [Node(5)].into_iter().collect();
    assert_eq!(alone.heir_of(Node(5)), None);
    assert!(members.is_live(Node(5)) && !members.is_live(Node(6)));
}

#[test]
fn members_change_by_entries_alone_and_a_repetition_asks_for_nothing() {
    let mut members = Members::new();
    let mut admit = |node, count, act| {
        let entry = Entry { seq: 1, node: Node(node), count, wall: Timestamp(0), act };
        std::format!("{:?}", members.admit(&entry))
    };
    let bar = || Act::Bar { user: "alice".into() };
    let lost = |node, heir| Act::Lost { node: Node(node), heir: Node(heir) };
    assert_eq!(admit(1, 1, bar()), "Nothing", "it is no member yet");
    assert_eq!(admit(1, 1, Act::Joined), "Joined(Node(1))");
    assert_eq!(admit(1, 1, Act::Joined), "Nothing");
    assert_eq!(admit(2, 4, Act::Joined), "Joined(Node(2))");
    assert_eq!(admit(2, 4, bar()), "Nothing", "its count is not above the last one");
    assert_eq!(admit(2, 5, bar()), "User(\"alice\")");
    // A first entry that comes again counts as far as it goes.
    assert_eq!(admit(2, 9, Act::Joined), "Nothing");
    assert_eq!(admit(2, 3, Act::Joined), "Nothing");
    assert_eq!(admit(2, 9, bar()), "Nothing");
    assert_eq!(admit(2, 10, Act::Tick), "Nothing");
    assert_eq!(admit(3, 1, Act::Joined), "Joined(Node(3))");
    // The heir is the one whom the entry names, or the next one when that one is lost as well.
    assert_eq!(admit(3, 2, lost(1, 3)), "Lost { node: Node(1), heir: Some(Node(3)) }");
    assert_eq!(admit(3, 3, lost(1, 3)), "Nothing");
    assert_eq!(admit(1, 9, Act::Joined), "Nothing", "who was lost does not come back under the same name");
    assert_eq!(admit(3, 4, lost(2, 1)), "Lost { node: Node(2), heir: Some(Node(3)) }");
    assert_eq!(admit(3, u64::MAX, lost(3, 3)), "Lost { node: Node(3), heir: None }");
    assert_eq!([1, 2, 3, 4].map(|node| members.count_of(Node(node))), [Some(1), Some(10), Some(4), None]);
    assert_eq!(members.nodes().count(), 0);
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
