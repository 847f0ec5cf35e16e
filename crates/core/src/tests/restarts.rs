//! A restart makes nobody offline and nobody online.

use super::script::check;

#[test]
fn a_restored_user_who_returns_in_time_is_never_seen_to_leave() {
    check(
        "
        100s restore alice online 10s 5s phone:active:90s
        110s beat alice/phone
        190s sweep
        229.999999s sweep
        230s sweep
        ",
        "
        230s -alice/phone
        230s alice online->offline Expired, seen 110s, 0s late
        ",
    );
}

#[test]
fn a_restored_user_who_does_not_return_leaves_with_the_last_seen_of_before() {
    check(
        "
        100s restore alice online 10s 5s phone:active:90s
        100s show alice
        189.999999s sweep
        190s sweep
        ",
        "
        100s alice is online, seen 10s, since 5s
        190s -alice/phone
        190s alice online->offline Expired, seen 10s, 0s late
        ",
    );
}

#[test]
fn a_restart_in_the_middle_of_everything_is_not_seen() {
    check(
        "
        0s evidence alice/l/tab-1
        1s evidence alice/l/tab-2 idle
        2s evidence bob/phone idle
        3s override carol admin away 300s
        4s set dave online
        50s beat alice/l/tab-1
        60s stop
        4000s start
        4000s counts
        4010s beat bob/phone
        4059s sweep
        4064s sweep
        4110s sweep
        4130s sweep
        ",
        "
        0s +alice/l/tab-1 active
        0s alice offline->online Evidence, seen 0s
        1s +alice/l/tab-2 idle
        2s +bob/phone idle
        2s bob offline->away Evidence, seen 2s
        3s +carol admin=away until 303s
        3s carol offline->away Override, seen never
        4s +dave held=online
        4s dave offline->online Set, seen 4s
        4000s 2 online 2 away 3 sessions
        4059s -carol admin
        4059s carol away->offline OverrideEnded, seen never, 59s late
        4064s -alice/l/tab-2
        4064s -dave held
        4064s dave online->offline Expired, seen 4s, 0s late
        4110s -alice/l/tab-1
        4110s alice online->offline Expired, seen 50s, 0s late
        4130s -bob/phone
        4130s bob away->offline Expired, seen 4010s, 0s late
        ",
    );
}

#[test]
fn an_override_that_ended_while_nobody_listened_ends_with_the_first_sweep() {
    check(
        "
        100s restore alice away 10s 5s phone:active:90s admin=away:0s
        100.2s sweep
        ",
        "
        100.2s -alice admin
        100.2s alice away->online OverrideEnded, seen 10s, 0.2s late
        ",
    );
}

#[test]
fn a_restored_session_never_has_more_than_the_timeout_left() {
    check(
        "
        0s restore alice online 0s 0s phone:active:9h
        120s sweep
        ",
        "
        120s -alice/phone
        120s alice online->offline Expired, seen 0s, 0s late
        ",
    );
}

#[test]
fn a_restored_user_whose_parts_say_otherwise_is_mended() {
    check(
        "
        9s restore alice online 3s 1s phone:idle:90s
        9s show alice
        9s restore bob offline 3s 1s phone:active:90s
        9s counts
        ",
        "
        9s alice online->away Mended, seen 3s
        9s alice is away, seen 3s, since 9s
        9s bob offline->online Mended, seen 3s
        9s 1 online 1 away 2 sessions
        ",
    );
}

#[test]
fn a_restored_user_of_whom_no_part_is_left_goes_offline() {
    check(
        "
        9s restore alice online 3s 1s
        9s show alice
        9s restore bob offline 3s 1s
        9s restore carol away 3s 1s held=offline:50s
        ",
        "
        9s alice online->offline Expired, seen 3s
        9s alice is not in memory
        9s carol away->offline Expired, seen 3s
        ",
    );
}

#[test]
fn restoring_a_live_user_changes_nothing() {
    check(
        "
        9s evidence alice/phone
        9s restore alice online 3s 1s laptop:idle:90s
        9s explain alice
        ",
        "
        9s +alice/phone active
        9s alice offline->online Evidence, seen 9s
        9s alice merged=online phone:active:heard=9s:left=120s
        ",
    );
}

#[test]
fn restoring_a_user_in_memory_of_whom_nothing_was_shown_yet_changes_nothing() {
    check(
        "
        9s override alice admin offline
        9s restore alice online 3s 1s phone:active:90s
        9s explain alice
        ",
        "
        9s +alice admin=offline
        9s alice merged=offline admin=offline
        ",
    );
}

#[test]
fn a_user_suspended_while_the_server_was_down_is_offline_when_it_is_back() {
    check(
        "
        9s bar alice
        9s restore alice online 3s 1s phone:active:90s admin=away:50s held=online:40s
        9s restore alice online 3s 1s
        9s show alice
        10s evidence alice/phone
        ",
        "
        9s -alice/phone
        9s -alice held
        9s -alice admin
        9s alice online->offline Barred, seen 3s
        9s alice is offline, seen 3s, since 9s
        10s rejected Barred
        ",
    );
}

#[test]
fn a_session_restored_twice_is_restored_once_and_the_other_row_is_forgotten() {
    check(
        "
        9s restore alice online 3s 1s phone:active:90s phone:idle:20s
        9s counts
        ",
        "
        9s -alice/phone
        9s 1 online 0 away 1 sessions
        ",
    );
}

#[test]
fn an_idle_session_is_still_idle_after_a_restart() {
    check(
        "
        0s evidence alice/tab
        1s evidence alice/tab idle
        2s stop
        3s start
        4s beat alice/tab
        4s show alice
        ",
        "
        0s +alice/tab active
        0s alice offline->online Evidence, seen 0s
        1s +alice/tab idle
        1s alice online->away Activity, seen 1s
        4s alice is away, seen 4s, since 1s
        ",
    );
}

#[test]
fn one_restart_after_another_throws_nobody_out() {
    check(
        "
        0s evidence alice/phone
        50s stop
        400s start
        410s stop
        800s start
        859.999999s sweep
        860s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        860s -alice/phone
        860s alice online->offline Expired, seen 0s, 0s late
        ",
    );
}
