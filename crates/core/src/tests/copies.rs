//! A node's state, as it is given to one that joins, and what becomes of what that one had before.

use std::string::{String, ToString};
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use super::proposals::{A, B, at, change, engine, follow, heard, seconds, wall};
use crate::cluster::{Act, Entry, HeldState, Node, OverrideState, SessionState, UserState};
use crate::{
    Activity, Effect, EndReason, Engine, Input, Limits, Policy, Reason, Rejected, SessionNumber, Source, Status,
};

/// A node that joins, whose clock of deadlines is a thousand seconds ahead.
const C: Node = Node(3);
const AHEAD: u64 = 1000;
/// The first number of a session that was opened alone.
const LOCAL: SessionNumber = 1 << 62;

fn states(engine: &Engine, second: u64) -> Vec<UserState> {
    let mut states = Vec::new();
    assert_eq!(engine.visit_states(at(second), 0, usize::MAX, &mut |state| states.push(state)), None);
    states
}

/// What C is given of this engine at that second.
fn copy(of: &Engine, second: u64) -> Engine {
    let mut copy = engine(C);
    copy.load_past(of.past(), 0);
    states(of, second).into_iter().for_each(|state| copy.load(at(second + AHEAD), state));
    copy.check_invariants();
    copy
}

fn evidence(engine: &mut Engine, second: u64, session: &str) {
    engine.apply(at(second), Input::Evidence { user: "alice", session, activity: None }).unwrap();
}

fn claims(engine: &Engine, since: u64, copy: &Engine, know: &dyn Fn(SessionNumber) -> bool) -> Vec<(String, Duration)> {
    let mut claims = Vec::new();
    engine.claims(at(since).tick, 0, copy, know, &mut |act| match act {
        Act::Claim { session, remaining, .. } => claims.push((session.to_string(), remaining)),
        other => panic!("{other:?}"),
    });
    claims
}

#[test]
fn a_state_is_all_that_is_held_of_a_user() {
    let mut a = engine(A);
    follow(&mut [&mut a], 7, 10, B, heard("alice", "phone"));
    follow(&mut [&mut a], 8, 20, A, heard("alice", "laptop"));
    follow(&mut [&mut a], 9, 30, B, Act::Set { user: "alice".into(), status: Status::Away });
    let length = Some(seconds(60));
    let (source, status) = (Source::User, Status::Offline);
    follow(&mut [&mut a], 10, 40, B, Act::Override { user: "alice".into(), source, status, ends_after: length });
    follow(&mut [&mut a], 11, 41, B, Act::Bar { user: "bob".into() });
    let session = |number, session: &str, second, owner| SessionState {
        number,
        session: session.into(),
        activity: Activity::Active,
        opened_at: wall(second),
        last_evidence: wall(second),
        owner,
    };
    let alice = UserState {
        user: "alice".into(),
        last_seen: Some(wall(20)),
        since: wall(40),
        since_known: true,
        barred: false,
        sessions: vec![session(7, "phone", 10, B), session(8, "laptop", 20, A)],
        overrides: vec![OverrideState {
            source,
            status,
            set_at: wall(40),
            ends_at: Some(wall(100)),
            remaining: Some(seconds(50)),
        }],
        held: Some(HeldState { status: Status::Away, set_at: wall(30), remaining: seconds(100) }),
    };
    let bob = UserState {
        user: "bob".into(),
        last_seen: None,
        since: wall(41),
        since_known: false,
        barred: true,
        sessions: vec![],
        overrides: vec![],
        held: None,
    };
    assert_eq!(states(&a, 50), [alice, bob]);
    // Who takes it up would say the same, by its own clock of deadlines.
    assert_eq!(states(&copy(&a, 50), 50 + AHEAD), states(&a, 50));
}

#[test]
fn states_are_visited_in_small_steps_each_once() {
    let mut a = engine(A);
    let names: Vec<String> = (0..20).map(|number| std::format!("user-{number}")).collect();
    for (place, user) in names.iter().enumerate() {
        follow(&mut [&mut a], place as u64, 10, A, heard(user, "phone"));
    }
    for (place, user) in names.iter().enumerate().filter(|(place, _)| place % 3 == 0) {
        let end = Act::EndUser { user: user.as_str().into(), reason: EndReason::Logout };
        follow(&mut [&mut a], 20 + place as u64, 11, A, end);
    }
    let (mut seen, mut from, mut steps) = (Vec::new(), Some(0), 0);
    while let Some(at_slot) = from {
        from = a.visit_states(at(12), at_slot, 4, &mut |state| seen.push(state.user.to_string()));
        steps += 1;
    }
    let present: Vec<_> = names.iter().enumerate().filter(|(place, _)| place % 3 != 0).map(|(_, name)| name).collect();
    assert_eq!((seen.iter().collect::<Vec<_>>(), steps), (present, 5));
    let nobody = &mut |state| panic!("{state:?}");
    assert_eq!(a.visit_states(at(12), usize::MAX, usize::MAX, nobody), None);
}

#[test]
fn what_ends_by_time_ends_at_a_copy_after_what_was_left_of_it() {
    let mut a = engine(A);
    let ends_after = Some(seconds(60));
    let (source, status) = (Source::Admin, Status::Away);
    follow(&mut [&mut a], 1, 10, A, Act::Override { user: "alice".into(), source, status, ends_after });
    follow(&mut [&mut a], 2, 20, A, Act::Set { user: "bob".into(), status: Status::Online });
    let mut c = copy(&a, 30);
    assert_eq!((c.counts().online, c.counts().away), (1, 1));
    let timer = |user: &str, source, set_at| Act::EndTimer {
        user: user.into(),
        source,
        set_at: wall(set_at),
        lateness: Duration::ZERO,
    };
    assert_eq!(c.due(at(AHEAD + 69), true, 10), []);
    assert_eq!(c.due(at(AHEAD + 70), true, 10), [timer("alice", Some(Source::Admin), 10)]);
    assert_eq!(
        c.due(at(AHEAD + 139), true, 10),
        [timer("alice", Some(Source::Admin), 10)].map(|act| match act {
            Act::EndTimer { user, source, set_at, .. } => Act::EndTimer { user, source, set_at, lateness: seconds(59) },
            other => other,
        })
    );
    assert_eq!(c.due(at(AHEAD + 140), true, 10), [timer("bob", None, 20)]);
}

#[test]
fn what_a_copy_has_of_its_own_has_a_full_timeout_and_what_is_others_is_theirs() {
    let mut a = engine(A);
    follow(&mut [&mut a], 1, 10, C, heard("alice", "phone"));
    follow(&mut [&mut a], 2, 10, B, heard("alice", "laptop"));
    let mut c = copy(&a, 60);
    assert!(c.renew(at(AHEAD + 60), "alice", "phone", None) && !c.renew(at(AHEAD + 60), "alice", "laptop", None));
    let mut c = copy(&a, 60);
    assert_eq!(c.due(at(AHEAD + 179), true, 10), []);
    assert_eq!(c.due(at(AHEAD + 180), true, 10).len(), 1);
    assert_eq!(c.due(at(AHEAD + 181), true, 10), [], "it is not armed twice");
}

#[test]
fn of_a_user_in_memory_nothing_is_taken_up() {
    let (mut a, mut c) = (engine(A), engine(C));
    follow(&mut [&mut a], 1, 10, A, heard("alice", "phone"));
    follow(&mut [&mut c], 1, 10, C, heard("alice", "laptop"));
    let before = states(&c, 20);
    c.load(at(20), states(&a, 20).remove(0));
    assert_eq!(states(&c, 20), before);
}

#[test]
fn a_claim_is_made_of_what_was_heard_since_and_of_what_the_others_never_knew() {
    let mut a = engine(A);
    follow(&mut [&mut a], 1, 10, A, heard("alice", "phone"));
    let (knowing, empty) = (copy(&a, 20), engine(C));
    // Nothing was heard since: it is the heir's when the others have it, and it ended there when they had it.
    assert_eq!(claims(&a, 20, &knowing, &|_| true), []);
    assert_eq!(claims(&a, 20, &knowing, &|_| false), []);
    assert_eq!(claims(&a, 20, &empty, &|_| true), []);
    // Its opening was never heard of.
    let told = |left| [("phone".to_string(), seconds(left))];
    assert_eq!(claims(&a, 20, &empty, &|number| number != 1), told(110));
    // Heard since, if only at that very moment; the silence since then counts as none.
    assert_eq!(claims(&a, 10, &knowing, &|_| true), told(120));
    assert!(a.renew(at(50), "alice", "phone", None));
    for copy in [&knowing, &empty] {
        assert_eq!(claims(&a, 20, copy, &|_| true), told(120));
    }
    // What is another node's, or this one's in the copy too, needs no claim.
    follow(&mut [&mut a], 2, 60, B, heard("alice", "phone"));
    assert_eq!(claims(&a, 20, &empty, &|_| false), []);
    let (mut a, mut c) = (engine(A), engine(C));
    follow(&mut [&mut a], 1, 10, A, heard("alice", "phone"));
    follow(&mut [&mut c], 1, 10, C, heard("alice", "phone"));
    assert_eq!(claims(&a, 10, &c, &|_| false), []);
}

#[test]
fn what_was_opened_alone_under_this_name_is_known_to_nobody_and_under_a_former_one_to_all() {
    // The name of a node is a random number, and may leave nothing in the numbers of its sessions.
    for me in [A, Node(1 << 30), Node(u64::MAX)] {
        let mut alone = engine(me);
        evidence(&mut alone, 10, "a");
        evidence(&mut alone, 11, "b");
        let ask_nobody = |number| panic!("{number} is no place in a log");
        let told = claims(&alone, 30, &engine(C), &ask_nobody);
        assert_eq!(told, [("a".to_string(), seconds(100)), ("b".to_string(), seconds(101))]);
        alone.set_me(Node(77));
        assert_eq!(claims(&alone, 30, &engine(C), &ask_nobody), []);
    }
}

#[test]
fn of_what_was_opened_alone_and_is_no_more_the_row_is_forgotten() {
    let mut a = engine(A);
    follow(&mut [&mut a], 1, 10, A, heard("alice", "phone"));
    evidence(&mut a, 20, "laptop");
    let gone = engine(C).succeed(at(AHEAD + 30), at(30).tick, a);
    let [Effect::ForgetSession(_, number), Effect::Announce(told)] = &gone[..] else { panic!("{gone:?}") };
    assert_eq!(number >> 32, LOCAL >> 32 | 1);
    assert_eq!((told.from, told.to, told.reason), (Status::Online, Status::Offline, Reason::Mended));
    assert_eq!((told.at, told.last_seen), (wall(AHEAD + 30), Some(wall(20))));
}

#[test]
fn whoever_succeeds_tells_what_differs_and_nothing_else() {
    let (mut a, mut b) = (engine(A), engine(B));
    follow(&mut [&mut a, &mut b], 1, 10, B, heard("alice", "phone"));
    follow(&mut [&mut a, &mut b], 2, 10, B, heard("bob", "phone"));
    follow(&mut [&mut b], 3, 20, B, Act::Set { user: "bob".into(), status: Status::Away });
    follow(&mut [&mut b], 4, 25, B, heard("carol", "phone"));
    let told = copy(&b, 30).succeed(at(AHEAD + 30), at(30).tick, a);
    let told: Vec<_> = told
        .iter()
        .map(|effect| match effect {
            Effect::Announce(told) => (told.user.as_str(), told.from, told.to, told.at),
            other => panic!("{other:?}"),
        })
        .collect();
    let bob = ("bob", Status::Online, Status::Away, wall(20));
    assert_eq!(told, [bob, ("carol", Status::Offline, Status::Online, wall(25))]);
}

#[test]
fn silence_goes_on_where_it_was_when_the_node_was_cut_off() {
    let mut a = engine(A);
    follow(&mut [&mut a], 1, 10, A, heard("alice", "phone"));
    let mut b = engine(B);
    follow(&mut [&mut b], 1, 10, C, heard("alice", "phone"));
    assert!(a.renew(at(15), "alice", "phone", None));
    let mut c = copy(&b, 60);
    c.succeed(at(AHEAD + 60), at(40).tick, a);
    c.check_invariants();
    let mut kept = Vec::new();
    c.drain_evidence(&mut |number, at| kept.push((number, at)));
    assert_eq!(kept, [(1, wall(15))], "what was heard is handed over under the number that it has now");
    assert_eq!(c.presence("alice").unwrap().last_seen, Some(wall(15)));
    // Of 120 seconds 25 were over at the fortieth.
    assert_eq!(c.due(at(AHEAD + 60 + 94), true, 10), []);
    assert_eq!(c.due(at(AHEAD + 60 + 95), true, 10).len(), 1);
}

#[test]
fn a_socket_that_dropped_before_is_still_dropped_after() {
    let (mut a, mut b) = (engine(A), engine(B));
    follow(&mut [&mut a], 1, 10, A, heard("alice", "phone"));
    follow(&mut [&mut b], 1, 10, C, heard("alice", "phone"));
    a.apply(at(20), Input::Drop { user: "alice", session: "phone" }).unwrap();
    let mut c = copy(&b, 60);
    c.succeed(at(AHEAD + 60), at(25).tick, a);
    assert_eq!(c.due(at(AHEAD + 64), true, 10), []);
    let due = c.due(at(AHEAD + 65), true, 10);
    assert!(matches!(due[..], [Act::Expire { dropped: true, .. }]), "{due:?}");
}

#[test]
fn a_claim_brings_what_was_heard_and_the_silence_that_is_left() {
    let (mut a, mut b) = (engine(A), engine(B));
    let claim = |session: &str, activity, last_evidence, left| Act::Claim {
        user: "alice".into(),
        session: session.into(),
        after: u64::MAX,
        activity,
        last_evidence: wall(last_evidence),
        remaining: seconds(left),
    };
    let told = follow(&mut [&mut b, &mut a], 1, 100, A, claim("phone", Activity::Idle, 60, 50));
    assert_eq!(change(&told), Some((Status::Away, Reason::Evidence, Some(wall(60)), None)));
    assert_eq!(a.due(at(149), true, 10), []);
    assert_eq!(a.due(at(150), true, 10).len(), 1);
    // No more than a timeout, whatever it says.
    follow(&mut [&mut a, &mut b], 2, 200, A, claim("laptop", Activity::Active, 190, 9999));
    let of_laptop = |acts: Vec<Act>| acts.iter().any(|act| matches!(act, Act::Expire { number: 2, .. }));
    assert!(!of_laptop(a.due(at(319), true, 10)));
    assert!(of_laptop(a.due(at(320), true, 10)));
    // Of one that is live it moves the owner, the activity, and the last evidence, if that is later.
    let told = follow(&mut [&mut a, &mut b], 3, 330, B, claim("laptop", Activity::Idle, 180, 50));
    assert_eq!(change(&told).unwrap().0, Status::Away);
    assert!(!a.renew(at(331), "alice", "laptop", None) && b.renew(at(331), "alice", "laptop", None));
    assert_eq!(a.presence("alice").unwrap().last_seen, Some(wall(190)));
    follow(&mut [&mut a, &mut b], 4, 340, A, Act::Bar { user: "alice".into() });
    let act = claim("watch", Activity::Idle, 330, 50);
    let entry = Entry { seq: 5, node: A, count: 5, wall: wall(341), act };
    assert_eq!(a.follow(at(341), &entry), Err(Rejected::Barred));
}

#[test]
fn with_too_many_sessions_the_one_opened_first_ends_on_every_node() {
    let limits = Limits { sessions_per_user_max: 2, ..Limits::default() };
    let mut nodes = [A, B].map(|me| {
        let mut engine = Engine::new(Policy::default(), limits, me.0, 0, 1);
        engine.set_me(me);
        engine
    });
    let [a, b] = &mut nodes;
    follow(&mut [a, b], 1, 10, A, heard("alice", "a"));
    follow(&mut [a, b], 2, 11, A, heard("alice", "b"));
    assert!(a.renew(at(12), "alice", "a", None), "only its owner knows that it was heard last");
    let effects = follow(&mut [a, b], 3, 13, B, heard("alice", "c"));
    assert!(matches!(&effects[..], [Effect::ForgetSession(_, 1), Effect::OpenSession(row)] if row.number == 3));
}
