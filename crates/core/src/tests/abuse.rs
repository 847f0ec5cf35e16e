//! Limits, and inputs that nobody should send.

use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use super::script::{check, check_with};
use crate::{
    Activity, EndReason, Engine, Input, Limits, Now, Policy, PolicyError, Rejected, RestoredUser, Source, Status, Tick,
    Timestamp,
};

#[test]
fn one_session_too_many_ends_the_one_that_was_silent_longest() {
    check_with(
        Policy::default(),
        Limits { users_max: 10, sessions_per_user_max: 2 },
        "
        0s evidence alice/a
        1s evidence alice/b
        2s beat alice/a
        3s evidence alice/c idle
        4s evidence alice/d idle
        ",
        "
        0s +alice/a active
        0s alice offline->online Evidence, seen 0s
        1s +alice/b active
        3s -alice/b
        3s +alice/c idle
        4s -alice/a
        4s +alice/d idle
        4s alice online->away Evidence, seen 4s
        ",
    );
}

#[test]
fn a_full_engine_takes_nobody_new_and_serves_those_it_has() {
    check_with(
        Policy::default(),
        Limits { users_max: 1, sessions_per_user_max: 9 },
        "
        0s evidence alice/a
        0s evidence bob/a
        0s set bob online
        0s set bob offline
        0s override bob admin online
        0s bar bob
        0s restore bob online 0s 0s phone:active:9s
        0s forget bob
        1s evidence alice/b
        2s end alice logout
        3s evidence bob/a
        ",
        "
        0s +alice/a active
        0s alice offline->online Evidence, seen 0s
        0s rejected TooManyUsers
        0s rejected TooManyUsers
        0s rejected TooManyUsers
        0s rejected TooManyUsers
        0s rejected TooManyUsers
        0s erase bob
        1s +alice/b active
        2s -alice/a
        2s -alice/b
        2s alice online->offline Logout, seen 2s
        3s +bob/a active
        3s bob offline->online Evidence, seen 3s
        ",
    );
}

#[test]
fn barring_somebody_live_frees_nothing_and_unbarring_does() {
    check_with(
        Policy::default(),
        Limits { users_max: 1, sessions_per_user_max: 9 },
        "
        0s bar alice
        0s evidence bob/a
        1s unbar alice
        1s evidence bob/a
        ",
        "
        0s rejected TooManyUsers
        1s +bob/a active
        1s bob offline->online Evidence, seen 1s
        ",
    );
}

#[test]
fn bad_names_are_rejected_by_every_input() {
    let long = "x".repeat(Limits::ID_BYTES_MAX + 1);
    let fits = "x".repeat(Limits::ID_BYTES_MAX);
    let mut engine = Engine::new(Policy::default(), Limits::default(), 0, 1, 1);
    let now = Now::default();
    for bad in ["", long.as_str()] {
        let restored = RestoredUser {
            user: bad.into(),
            status: Status::Online,
            last_seen: None,
            since: Timestamp(0),
            sessions: Vec::new(),
            overrides: Vec::new(),
            held: None,
        };
        for input in [
            Input::Evidence { user: bad, session: "s", activity: None },
            Input::Evidence { user: "u", session: bad, activity: None },
            Input::EndSession { user: bad, session: "s", reason: EndReason::Logout },
            Input::EndSession { user: "u", session: bad, reason: EndReason::Logout },
            Input::EndUser { user: bad, reason: EndReason::Logout },
            Input::Drop { user: bad, session: "s" },
            Input::Drop { user: "u", session: bad },
            Input::Set { user: bad, status: Status::Online },
            Input::Override { user: bad, source: Source::Admin, status: Status::Online, ends_after: None },
            Input::ClearOverride { user: bad, source: Source::Admin },
            Input::Bar { user: bad },
            Input::Unbar { user: bad },
            Input::Forget { user: bad },
            Input::Restore(restored),
        ] {
            assert_eq!(engine.apply(now, input), Err(Rejected::BadName));
        }
        assert!(!engine.renew(now, bad, bad, None));
    }
    assert!(engine.apply(now, Input::Evidence { user: &fits, session: &fits, activity: None }).is_ok());
    assert!(engine.renew(now, &fits, &fits, None));
    assert_eq!(engine.counts().users, 1);
}

#[test]
fn the_ends_of_both_clocks_are_survived() {
    for tick in [0, u64::MAX - 1, u64::MAX] {
        for wall in [i64::MIN, -1, i64::MAX] {
            let now = Now { tick: Tick(tick), wall: Timestamp(wall) };
            let mut engine = Engine::new(Policy::default(), Limits::default(), 0, 1, 1);
            let whole = Duration::MAX;
            for input in [
                Input::Evidence { user: "a", session: "s", activity: None },
                Input::Override { user: "a", source: Source::Admin, status: Status::Away, ends_after: Some(whole) },
                Input::Set { user: "b", status: Status::Away },
                Input::Drop { user: "a", session: "s" },
                Input::Evidence { user: "a", session: "t", activity: Some(Activity::Idle) },
            ] {
                assert!(engine.apply(now, input).is_ok());
                engine.check_invariants();
            }
            engine.sweep(now, 100);
            engine.sweep(Now { tick: Tick(u64::MAX), ..now }, 100);
            // What stands longer than the clock runs ends with the clock.
            assert_eq!(engine.counts().users, 0);
            engine.check_invariants();
        }
    }
}

#[test]
fn a_clock_of_deadlines_that_goes_back_after_all_breaks_nothing() {
    check(
        "
        900s evidence alice/phone
        950s sweep
        10s evidence bob/phone
        11s drop bob/phone
        12s sweep
        960s sweep
        2000s sweep
        ",
        "
        900s +alice/phone active
        900s alice offline->online Evidence, seen 900s
        10s +bob/phone active
        10s bob offline->online Evidence, seen 10s
        960s -bob/phone
        960s bob online->offline Disconnected, seen 10s, 939s late
        2000s -alice/phone
        2000s alice online->offline Expired, seen 900s, 980s late
        ",
    );
}

#[test]
fn an_engine_that_is_never_drained_does_not_grow_with_those_who_come_and_go() {
    let mut engine = Engine::new(Policy::default(), Limits::default(), 0, 1, 1);
    let mut longest = 0;
    for round in 0..10_000_u64 {
        let now = Now { tick: Tick(round), wall: Timestamp(round as i64) };
        for _ in 0..2 {
            engine.apply(now, Input::Evidence { user: "alice", session: "s", activity: None }).expect("accepted");
        }
        engine.apply(now, Input::EndUser { user: "alice", reason: EndReason::Logout }).expect("accepted");
        longest = longest.max(engine.heard_len());
    }
    assert_eq!(longest, 1024);
    engine.check_invariants();
}

#[test]
fn the_list_of_those_heard_is_tidied_when_half_of_it_is_gone_and_loses_nobody() {
    let mut engine = Engine::new(Policy::default(), Limits::default(), 0, 1, 1);
    let at = |moment: u64| Now { tick: Tick(moment), wall: Timestamp(moment as i64) };
    let mut opened = 0;
    let mut open = |engine: &mut Engine, user: &str| {
        opened += 1;
        engine.apply(at(opened), Input::Evidence { user, session: "s", activity: None }).expect("accepted");
        engine.renew(at(opened), user, "s", None);
    };
    let stay: Vec<String> = (0..1000).map(|number| std::format!("stays-{number}")).collect();
    stay.iter().for_each(|user| open(&mut engine, user));
    assert_eq!(engine.heard_len(), 1000);
    let mut longest = 0;
    for round in 0..3000 {
        open(&mut engine, "comes and goes");
        engine
            .apply(at(round), Input::EndUser { user: "comes and goes", reason: EndReason::Logout })
            .expect("accepted");
        longest = longest.max(engine.heard_len());
    }
    // Looking through the list costs as much as it is long: not before as many have gone.
    assert_eq!(longest, 2000);
    engine.check_invariants();
    // Heard again, and not listed twice.
    assert!(engine.renew(at(9000), &stay[0], "s", None));
    let mut kept = Vec::new();
    engine.drain_evidence(&mut |number, _| kept.push(number));
    kept.sort_unstable();
    assert_eq!(kept, (1..=1000).collect::<Vec<_>>());
    assert_eq!(engine.heard_len(), 0);
}

#[test]
fn visiting_in_small_steps_sees_everybody_once_and_ends() {
    let mut engine = Engine::new(Policy::default(), Limits::default(), 0, 1, 1);
    let names: Vec<String> = (0..1000).map(|number| std::format!("user-{number}")).collect();
    for user in &names {
        engine.apply(Now::default(), Input::Evidence { user, session: "s", activity: None }).expect("accepted");
    }
    for user in names.iter().step_by(3) {
        engine.apply(Now::default(), Input::EndUser { user, reason: EndReason::Logout }).expect("accepted");
    }
    let (mut seen, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        from = engine.visit(at, 7, &mut |name, status, _, _| {
            assert_eq!(status, Status::Online);
            seen.push(String::from(name));
        });
    }
    assert_eq!(
        seen,
        names.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, name)| name.clone()).collect::<Vec<_>>()
    );
    assert_eq!(engine.visit(usize::MAX, usize::MAX, &mut |_, _, _, _| panic!("nobody is there")), None);
}

#[test]
fn contradictory_timings_cannot_be_built() {
    let seconds = Duration::from_secs;
    let policy = Policy::new(seconds(60), seconds(30), seconds(10)).expect("sound");
    let timings = (policy.inactivity_timeout(), policy.heartbeat_interval(), policy.reconnect_grace());
    assert_eq!(timings, (seconds(60), seconds(30), seconds(10)));
    let refused = |timeout, interval, grace| Policy::new(timeout, interval, grace).expect_err("refused");
    assert!(matches!(refused(seconds(59), seconds(30), seconds(10)), PolicyError::TimeoutTooShort { .. }));
    assert_eq!(refused(seconds(60), Duration::ZERO, seconds(10)), PolicyError::IntervalTooShort);
    assert_eq!(refused(seconds(60), seconds(30), seconds(61)), PolicyError::GraceTooLong);
    assert_eq!(refused(seconds(86_401), seconds(30), seconds(61)), PolicyError::TimeoutTooLong);
}
