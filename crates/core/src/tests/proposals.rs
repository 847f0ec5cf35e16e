//! What an owner or the leader notices and proposes, and what follows from it.

use std::time::Duration;
use std::vec;
use std::vec::Vec;

use crate::cluster::{Act, Entry, Node};
use crate::{
    Activity, Effect, EndReason, Engine, Input, Limits, Now, Policy, Reason, Rejected, Source, Status, Tick, Timestamp,
};

pub(super) const A: Node = Node(1);
pub(super) const B: Node = Node(2);

pub(super) fn engine(me: Node) -> Engine {
    let mut engine = Engine::new(Policy::default(), Limits::default(), me.0, 0, 1);
    engine.set_me(me);
    engine
}

/// The clocks of deadlines and of people are far apart, so that neither passes for the other.
pub(super) fn at(second: u64) -> Now {
    Now { tick: Tick(second * 1_000_000), wall: wall(second) }
}

pub(super) fn wall(second: u64) -> Timestamp {
    Timestamp(1_790_000_000_000_000 + (second * 1_000_000).cast_signed())
}

pub(super) const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Every engine follows the entry that stands at this place, proposed at that second by that node.
pub(super) fn follow(engines: &mut [&mut Engine], place: u64, second: u64, node: Node, act: Act) -> Vec<Effect> {
    let entry = Entry { seq: place, node, count: place, wall: wall(second), act };
    let effects: Vec<_> = engines.iter_mut().map(|engine| engine.follow(at(second), &entry).unwrap()).collect();
    engines.iter().for_each(|engine| engine.check_invariants());
    effects.into_iter().next().unwrap_or_default()
}

pub(super) fn heard(user: &str, session: &str) -> Act {
    Act::Evidence { user: user.into(), session: session.into(), after: u64::MAX, activity: None }
}

/// What is told of it: to which status, why, the last evidence, and how late.
pub(super) fn change(effects: &[Effect]) -> Option<(Status, Reason, Option<Timestamp>, Option<Duration>)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Announce(change) => Some((change.to, change.reason, change.last_seen, change.lateness)),
        _ => None,
    })
}

/// How much silence is left to alice's sessions, as this node knows.
fn left(engine: &Engine, second: u64) -> Vec<Duration> {
    let why = engine.explain(at(second), "alice").unwrap();
    why.sessions.iter().map(|session| session.remaining).collect()
}

#[test]
fn an_owner_proposes_the_end_of_what_was_silent_with_all_that_it_alone_knows() {
    let mut a = engine(A);
    follow(&mut [&mut a], 7, 10, A, heard("alice", "phone"));
    assert!(a.renew(at(20), "alice", "phone", None));
    assert_eq!(a.due(at(139), false, 10), []);
    let expire = |last_evidence, dropped, lateness| Act::Expire {
        user: "alice".into(),
        number: 7,
        dropped,
        last_evidence: wall(last_evidence),
        lateness,
    };
    assert_eq!(a.due(at(143), false, 10), [expire(20, false, seconds(3))]);
    // A proposal that came to nothing is made again ten seconds later, and not before.
    assert_eq!(a.due(at(152), false, 10), []);
    assert_eq!(a.due(at(153), false, 10), [expire(20, false, Duration::ZERO)]);

    follow(&mut [&mut a], 8, 160, A, heard("alice", "phone"));
    a.apply(at(161), Input::Drop { user: "alice", session: "phone" }).unwrap();
    assert_eq!(a.due(at(170), false, 10), []);
    assert_eq!(a.due(at(173), false, 10), [expire(160, true, seconds(2))]);
}

#[test]
fn an_owner_says_when_it_has_something_to_propose_and_does_no_more_than_it_is_asked_to() {
    let mut a = engine(A);
    assert_eq!(a.next_due(true), None);
    for (place, user) in ["alice", "bob", "carol"].into_iter().enumerate() {
        follow(&mut [&mut a], place as u64, 10, A, heard(user, "phone"));
    }
    let next = a.next_due(false).unwrap();
    assert!(at(129).tick < next && next <= at(130).tick, "{next:?}");
    // What is looked at and lives on counts too: here each entry once, when its bucket comes up.
    assert_eq!(a.due(at(131), false, 4).len(), 1);
    assert_eq!(a.due(at(131), false, 1).len(), 1);
    assert_eq!(a.due(at(131), false, 10).len(), 1);
}

#[test]
fn the_leader_alone_proposes_the_end_of_an_override_and_of_a_held_status() {
    let mut a = engine(A);
    let set = Act::Override {
        user: "alice".into(),
        source: Source::User,
        status: Status::Away,
        ends_after: Some(seconds(60)),
    };
    follow(&mut [&mut a], 1, 10, B, set);
    follow(&mut [&mut a], 2, 20, B, Act::Set { user: "bob".into(), status: Status::Online });
    assert_eq!((a.next_due(false), a.next_due(true)), (None, Some(at(70).tick)));
    assert_eq!(a.due(at(500), false, 10), []);
    assert_eq!(a.due(at(69), true, 10), []);
    let end = |user: &str, source, set_at, lateness| Act::EndTimer {
        user: user.into(),
        source,
        set_at: wall(set_at),
        lateness: seconds(lateness),
    };
    assert_eq!(a.due(at(72), true, 10), [end("alice", Some(Source::User), 10, 2)]);
    // Made again ten seconds later, and not before.
    assert_eq!(a.due(at(81), true, 10), []);
    assert_eq!(a.due(at(82), true, 10), [end("alice", Some(Source::User), 10, 0)]);
    let ended = follow(&mut [&mut a], 3, 83, A, end("alice", Some(Source::User), 10, 2));
    assert_eq!(change(&ended), Some((Status::Offline, Reason::OverrideEnded, None, Some(seconds(2)))));

    assert_eq!(a.due(at(139), true, 10), []);
    assert_eq!(a.due(at(143), true, 10), [end("bob", None, 20, 3)]);
    assert_eq!(a.due(at(152), true, 10), []);
    assert_eq!(a.due(at(153), true, 10), [end("bob", None, 20, 0)]);
    let ended = follow(&mut [&mut a], 4, 154, A, end("bob", None, 20, 3));
    assert_eq!(change(&ended), Some((Status::Offline, Reason::Expired, Some(wall(20)), Some(seconds(3)))));
    assert_eq!((a.next_due(true), a.counts().users), (None, 0));
}

#[test]
fn an_end_that_was_meant_for_another_one_ends_nothing() {
    let mut a = engine(A);
    let set = |source| Act::Override { user: "alice".into(), source, status: Status::Away, ends_after: None };
    follow(&mut [&mut a], 1, 10, B, set(Source::User));
    follow(&mut [&mut a], 2, 20, B, Act::Set { user: "alice".into(), status: Status::Online });
    for (place, source, set_at) in
        [(3, Some(Source::User), 9), (4, Some(Source::Admin), 10), (5, None, 10), (6, None, 21)]
    {
        let act = Act::EndTimer { user: "alice".into(), source, set_at: wall(set_at), lateness: Duration::ZERO };
        assert_eq!(follow(&mut [&mut a], place, 30, B, act), []);
    }
    let why = a.explain(at(30), "alice").unwrap();
    assert_eq!((why.overrides.len(), why.held), (1, Some(Status::Online)));
}

#[test]
fn a_silent_session_ends_on_its_owners_word_alone() {
    let (mut a, mut b) = (engine(A), engine(B));
    follow(&mut [&mut a, &mut b], 7, 10, A, heard("alice", "phone"));
    let expire = |user: &str, number, dropped| Act::Expire {
        user: user.into(),
        number,
        dropped,
        last_evidence: wall(15),
        lateness: seconds(4),
    };
    for (place, node, act) in
        [(8, B, expire("alice", 7, false)), (9, A, expire("alice", 6, false)), (10, A, expire("bob", 7, false))]
    {
        assert_eq!(follow(&mut [&mut a, &mut b], place, 140, node, act), []);
    }
    let ended = follow(&mut [&mut b, &mut a], 11, 140, A, expire("alice", 7, false));
    assert_eq!(change(&ended), Some((Status::Offline, Reason::Expired, Some(wall(15)), Some(seconds(4)))));
    follow(&mut [&mut a, &mut b], 12, 150, A, heard("alice", "phone"));
    let ended = follow(&mut [&mut b, &mut a], 13, 170, A, expire("alice", 12, true));
    assert_eq!(change(&ended).unwrap().1, Reason::Disconnected);
}

#[test]
fn the_last_evidence_is_kept_when_the_session_that_had_it_ends_unseen() {
    let mut a = engine(A);
    follow(&mut [&mut a], 1, 10, A, heard("alice", "phone"));
    follow(&mut [&mut a], 2, 20, A, heard("alice", "laptop"));
    let set = Act::Override { user: "alice".into(), source: Source::Admin, status: Status::Away, ends_after: None };
    follow(&mut [&mut a], 3, 30, A, set);
    let mut expire = |place, number, last_evidence| {
        let lateness = Duration::ZERO;
        let last_evidence = wall(last_evidence);
        let act = Act::Expire { user: "alice".into(), number, dropped: false, last_evidence, lateness };
        follow(&mut [&mut a], place, 150, A, act)
    };
    // The store has it with the laptop.
    assert_eq!(expire(4, 1, 10), [Effect::ForgetSession("alice".into(), 1)]);
    let effects = expire(5, 2, 20);
    let [Effect::ForgetSession(_, 2), Effect::SavePresence(row)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((row.status, row.last_seen, row.since), (Status::Away, Some(wall(20)), wall(30)));
}

#[test]
fn what_ended_is_remembered_with_its_place_and_not_for_ever() {
    let mut a = engine(A);
    follow(&mut [&mut a], 7, 10, A, heard("alice", "phone"));
    let end = Act::EndSession { user: "alice".into(), session: "phone".into(), reason: EndReason::Logout };
    follow(&mut [&mut a], 8, 11, A, end);
    let ended = |engine: &Engine, place| engine.ended_after(place, "alice", "phone");
    assert!(ended(&a, 7) && !ended(&a, 8) && !ended(&a, 9));
    assert!(!a.ended_after(0, "alice", "laptop") && !a.ended_after(0, "bob", "phone"));
    // What this node decided alone comes after every place, until it founds a cluster.
    a.apply(at(20), Input::Evidence { user: "bob", session: "phone", activity: None }).unwrap();
    a.apply(at(21), Input::EndUser { user: "bob", reason: EndReason::Logout }).unwrap();
    let places = |engine: &Engine| engine.past().ended.iter().map(|ended| ended.seq).collect::<Vec<_>>();
    assert_eq!(places(&a), [8, u64::MAX]);
    let mut founded = engine(B);
    founded.load_past(a.past(), 50);
    assert_eq!(places(&founded), [8, 50]);
    let evidence = Input::Evidence { user: "carol", session: "phone", activity: None };
    assert!(matches!(founded.propose(at(30), &evidence), Ok(Act::Evidence { after: 50, .. })));

    for second in 0..5000 {
        founded.apply(at(100 + second), Input::Evidence { user: "dave", session: "phone", activity: None }).unwrap();
        founded.apply(at(100 + second), Input::EndUser { user: "dave", reason: EndReason::Logout }).unwrap();
    }
    assert_eq!((founded.past().ended.len(), founded.past().left.len()), (4096, 1024));
    let latest = founded.past().left.last().map(|left| left.at);
    assert_eq!(latest, Some(Timestamp(wall(5099).0 + 1)), "who comes and goes in one moment left after they came");
}

#[test]
fn what_is_left_to_another_nodes_session_is_told_as_far_as_this_one_heard() {
    let (mut a, mut b) = (engine(A), engine(B));
    follow(&mut [&mut a, &mut b], 7, 10, A, heard("alice", "phone"));
    assert_eq!((left(&a, 30), left(&b, 30)), (vec![seconds(100)], vec![seconds(100)]));
    assert!(b.explain(at(30), "alice").unwrap().sessions[0].elsewhere);
    // A whisper says when the owner heard it; of a session that is unknown, or its own, it says nothing.
    b.heard(at(41), 7, wall(40));
    b.heard(at(42), 6, wall(42));
    a.heard(at(43), 7, wall(43));
    assert_eq!((left(&a, 50), left(&b, 50)), (vec![seconds(80)], vec![seconds(111)]));
    assert_eq!(
        (a.presence("alice").unwrap().last_seen, b.presence("alice").unwrap().last_seen),
        (Some(wall(10)), Some(wall(40)))
    );
    // What is heard at B itself, and says nothing new.
    assert!(b.renew_elsewhere(at(60), "alice", "phone", None));
    assert_eq!(left(&b, 70), [seconds(110)]);
    // More than half of the timeout must be left.
    assert!(!b.renew_elsewhere(at(120), "alice", "phone", None));
    assert!(b.renew_elsewhere(at(119), "alice", "phone", None));
}

#[test]
fn what_was_inherited_is_adopted_in_small_steps() {
    let mut b = engine(B);
    for place in 0..5 {
        follow(&mut [&mut b], place, 10, A, heard("alice", ["a", "b", "c", "d", "e"][place as usize]));
    }
    assert!(!b.adopt(at(20), 10), "nothing is inherited yet");
    b.lose(A, B);
    assert_eq!([b.adopt(at(30), 2), b.adopt(at(31), 2), b.adopt(at(32), 2)], [true, true, false]);
    b.check_invariants();
    assert_eq!(left(&b, 40), [110, 110, 111, 111, 112].map(seconds), "each has a full timeout from its step on");
    assert!(["a", "b", "c", "d", "e"].iter().all(|session| b.renew(at(40), "alice", session, None)));
    assert!(!b.adopt(at(41), 2));
}

#[test]
fn what_is_inherited_and_not_yet_adopted_is_as_if_another_nodes() {
    let mut b = engine(B);
    follow(&mut [&mut b], 1, 10, A, heard("alice", "phone"));
    b.lose(A, B);
    assert!(!b.renew(at(20), "alice", "phone", None) && !b.renew_elsewhere(at(20), "alice", "phone", None));
    assert_eq!(b.due(at(500), true, 10), [], "and it has no deadline here");
}

#[test]
fn losing_a_node_that_owned_nothing_leaves_nothing_to_adopt() {
    let mut b = engine(B);
    follow(&mut [&mut b], 1, 10, A, heard("alice", "phone"));
    follow(&mut [&mut b], 2, 11, B, heard("alice", "phone"));
    follow(&mut [&mut b], 3, 11, B, heard("alice", "laptop"));
    for lost in [A, Node(9)] {
        b.lose(lost, B);
        assert!(!b.adopt(at(20), 1), "there is nothing to look through");
    }
    follow(&mut [&mut b], 4, 30, A, heard("alice", "phone"));
    assert!(!b.renew(at(31), "alice", "phone", None), "A is back, and what it hears is its own");
}

#[test]
fn what_a_third_node_inherited_is_put_to_what_it_has() {
    const C: Node = Node(3);
    let mut b = engine(B);
    follow(&mut [&mut b], 1, 10, A, heard("alice", "phone"));
    follow(&mut [&mut b], 2, 10, A, heard("alice", "tablet"));
    follow(&mut [&mut b], 3, 10, C, heard("alice", "laptop"));
    b.lose(A, C);
    while b.adopt(at(20), 1) {}
    b.check_invariants();
    let sessions = ["phone", "tablet", "laptop"];
    assert!(sessions.iter().all(|session| !b.renew(at(30), "alice", session, None)));
    b.lose(C, B);
    while b.adopt(at(40), 1) {}
    assert!(sessions.iter().all(|session| b.renew(at(41), "alice", session, None)));
}

#[test]
fn sessions_opened_alone_are_numbered_by_node_and_by_engine() {
    let number = |node, first| {
        let mut engine = Engine::new(Policy::default(), Limits::default(), 0, first, 64);
        engine.set_me(node);
        assert_eq!(engine.me(), Some(node));
        let mut open = |session| {
            let effects = engine.apply(at(1), Input::Evidence { user: "alice", session, activity: None }).unwrap();
            match &effects[..] {
                [Effect::OpenSession(row), ..] => row.number,
                other => panic!("{other:?}"),
            }
        };
        [open("a"), open("b")]
    };
    let base = 1_u64 << 62 | 5 << 32;
    assert_eq!(number(Node(5), 3), [base + 3, base + 67]);
    assert_eq!(number(Node(5), 64 * 9 + 4), [base + 4, base + 68]);
    // A node's name is a random number; what is left of it fits below the sign.
    assert_eq!(number(Node(u64::MAX), 0)[0], (1 << 62) + (0x3FFF_FFFF << 32));
    assert_eq!(Engine::new(Policy::default(), Limits::default(), 0, 0, 1).me(), None);
}

#[test]
fn what_is_in_vain_is_refused_before_it_is_proposed() {
    let mut a = engine(A);
    follow(&mut [&mut a], 1, 10, A, Act::Bar { user: "alice".into() });
    let refused = |engine: &mut Engine, input| engine.propose(at(20), &input).unwrap_err();
    for input in [
        Input::Evidence { user: "alice", session: "phone", activity: None },
        Input::Set { user: "alice", status: Status::Online },
        Input::Override { user: "alice", source: Source::Admin, status: Status::Away, ends_after: None },
    ] {
        assert_eq!(refused(&mut a, input), Rejected::Barred);
    }
    for input in [
        Input::Evidence { user: "", session: "phone", activity: None },
        Input::Evidence { user: "bob", session: "", activity: None },
        Input::EndSession { user: "", session: "phone", reason: EndReason::Logout },
        Input::EndSession { user: "bob", session: "", reason: EndReason::Logout },
        Input::EndUser { user: "", reason: EndReason::Logout },
        Input::Set { user: "", status: Status::Offline },
        Input::ClearOverride { user: "", source: Source::Admin },
        Input::Bar { user: "" },
        Input::Unbar { user: "" },
        Input::Forget { user: "" },
    ] {
        assert_eq!(refused(&mut a, input), Rejected::BadName);
    }
    let mut full = Engine::new(Policy::default(), Limits { users_max: 1, ..Limits::default() }, 0, 0, 1);
    full.set_me(A);
    follow(&mut [&mut full], 1, 10, A, heard("alice", "phone"));
    for input in [
        Input::Evidence { user: "bob", session: "phone", activity: None },
        Input::Set { user: "bob", status: Status::Away },
        Input::Override { user: "bob", source: Source::Admin, status: Status::Away, ends_after: None },
        Input::Bar { user: "bob" },
    ] {
        assert_eq!(refused(&mut full, input), Rejected::TooManyUsers);
    }
    // Whom the engine holds already need no room, and who goes neither.
    assert_eq!(full.propose(at(20), &Input::Bar { user: "alice" }), Ok(Act::Bar { user: "alice".into() }));
    let offline = Act::Set { user: "bob".into(), status: Status::Offline };
    assert_eq!(full.propose(at(20), &Input::Set { user: "bob", status: Status::Offline }), Ok(offline));
}

#[test]
fn a_proposal_says_what_was_asked_for_and_up_to_where_its_node_had_followed() {
    let mut a = engine(A);
    follow(&mut [&mut a], 41, 10, B, heard("alice", "phone"));
    let activity = Some(Activity::Idle);
    let input = Input::Evidence { user: "alice", session: "phone", activity };
    let act = Act::Evidence { user: "alice".into(), session: "phone".into(), after: 41, activity };
    assert_eq!(a.propose(at(20), &input), Ok(act));
    assert_eq!(left(&a, 20), [seconds(110)], "another node's session is not renewed by a proposal");
    assert_eq!(a.propose(at(20), &Input::Drop { user: "alice", session: "phone" }), Ok(Act::Tick));
}
