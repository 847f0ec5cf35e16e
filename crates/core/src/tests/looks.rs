//! What can be asked, and what is handed over.

use super::script::check;
use crate::{Activity, Engine, Input, Limits, Now, Policy, Status, Tick, Timestamp};

#[test]
fn what_was_heard_is_handed_over_once_with_the_last_evidence() {
    check(
        "
        0s evidence alice/phone
        0s evidence bob/phone
        0s drain
        10s beat alice/phone
        20s beat alice/phone
        20s beat bob/phone
        21s end bob/phone logout
        21s evidence carol/phone
        22s drain
        23s drain
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        0s +bob/phone active
        0s bob offline->online Evidence, seen 0s
        21s -bob/phone
        21s bob online->offline Logout, seen 21s
        21s +carol/phone active
        21s carol offline->online Evidence, seen 21s
        22s heard alice/phone 20s
        ",
    );
}

#[test]
fn explain_tells_every_session_oldest_first() {
    check(
        "
        0s evidence alice/phone idle
        10s evidence alice/laptop
        20s beat alice/phone idle
        30s explain alice
        30s explain bob
        ",
        "
        0s +alice/phone idle
        0s alice offline->away Evidence, seen 0s
        10s +alice/laptop active
        10s alice away->online Evidence, seen 10s
        30s alice merged=online phone:idle:heard=20s:left=110s laptop:active:heard=10s:left=100s
        30s bob is not in memory
        ",
    );
}

#[test]
fn evidence_that_opens_or_turns_a_session_would_change_something() {
    let mut engine = Engine::new(Policy::default(), Limits::default(), 0, 1, 1);
    let now = Now { tick: Tick(1), wall: Timestamp(1) };
    assert!(engine.would_change("alice", "phone", None), "nobody is in memory");
    let evidence = Input::Evidence { user: "alice", session: "phone", activity: Some(Activity::Active) };
    engine.apply(now, evidence).expect("there is room");

    let would = |activity| engine.would_change("alice", "phone", activity);
    assert!(!would(None));
    assert!(!would(Some(Activity::Active)));
    assert!(would(Some(Activity::Idle)));
    assert!(engine.would_change("alice", "laptop", None));
    assert_eq!(engine.weight("alice"), Some((Status::Online, 1)));
    assert_eq!(engine.weight("bob"), None);

    engine.apply(now, Input::Bar { user: "alice" }).expect("there is room");
    assert!(!engine.would_change("alice", "phone", Some(Activity::Idle)), "they are barred");
}
