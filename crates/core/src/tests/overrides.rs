//! Overrides: a small stack by source, on top of everything the sessions say.

use super::script::check;

#[test]
fn an_override_shows_over_heartbeats_and_what_lies_beneath_shows_when_it_ends() {
    check(
        "
        0s evidence alice/phone
        10s override alice user away 100s
        40s renew alice/phone
        70s beat alice/phone active
        110s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        10s +alice user=away until 110s
        10s alice online->away Override, seen 0s
        40s renewed
        110s -alice user
        110s alice away->online OverrideEnded, seen 70s, 0s late
        ",
    );
}

#[test]
fn the_strongest_override_shows_and_each_end_uncovers_the_next() {
    check(
        "
        0s override alice application online 300s
        1s override alice user away 200s
        2s override alice admin offline 100s
        2s explain alice
        102s sweep
        201s sweep
        300s sweep
        ",
        "
        0s +alice application=online until 300s
        0s alice offline->online Override, seen never
        1s +alice user=away until 201s
        1s alice online->away Override, seen never
        2s +alice admin=offline until 102s
        2s alice away->offline Override, seen never
        2s alice merged=offline admin=offline user=away application=online
        102s -alice admin
        102s alice offline->away OverrideEnded, seen never, 0s late
        201s -alice user
        201s alice away->online OverrideEnded, seen never, 0s late
        300s -alice application
        300s alice online->offline OverrideEnded, seen never, 0s late
        ",
    );
}

#[test]
fn a_weaker_override_beneath_a_stronger_one_changes_nothing_that_is_shown() {
    check(
        "
        0s override alice admin away
        1s override alice user online 10s
        11s sweep
        12s clear alice admin
        ",
        "
        0s +alice admin=away
        0s alice offline->away Override, seen never
        1s +alice user=online until 11s
        11s -alice user
        12s -alice admin
        12s alice away->offline OverrideEnded, seen never
        ",
    );
}

#[test]
fn a_new_override_of_the_same_source_replaces_the_old_one_and_its_end() {
    check(
        "
        0s override alice admin away 10s
        5s override alice admin online 60s
        10s sweep
        30s override alice admin away
        65s sweep
        65s next
        ",
        "
        0s +alice admin=away until 10s
        0s alice offline->away Override, seen never
        5s +alice admin=online until 65s
        5s alice away->online Override, seen never
        30s +alice admin=away
        30s alice online->away Override, seen never
        65s next never
        ",
    );
}

#[test]
fn a_cleared_override_shows_the_sessions_again_and_clearing_twice_is_silent() {
    check(
        "
        0s evidence alice/phone idle
        1s override alice admin online
        2s clear alice user
        3s clear alice admin
        4s clear alice admin
        5s clear bob admin
        ",
        "
        0s +alice/phone idle
        0s alice offline->away Evidence, seen 0s
        1s +alice admin=online
        1s alice away->online Override, seen 0s
        3s -alice admin
        3s alice online->away OverrideEnded, seen 0s
        ",
    );
}

#[test]
fn sessions_live_and_expire_beneath_an_override_and_their_evidence_is_kept() {
    check(
        "
        0s override alice admin online
        10s evidence alice/phone
        20s beat alice/phone
        140s sweep
        150s clear alice admin
        ",
        "
        0s +alice admin=online
        0s alice offline->online Override, seen never
        10s +alice/phone active
        140s -alice/phone
        140s =alice online, seen 20s
        150s -alice admin
        150s alice online->offline OverrideEnded, seen 20s
        ",
    );
}

#[test]
fn logout_beneath_an_override_moves_last_seen_and_nothing_that_is_shown() {
    check(
        "
        0s evidence alice/phone
        1s override alice user online 100s
        5s end alice/phone logout
        6s end alice/phone logout
        7s end alice forced
        101s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice user=online until 101s
        5s -alice/phone
        5s =alice online, seen 5s
        6s =alice online, seen 6s
        101s -alice user
        101s alice online->offline OverrideEnded, seen 6s, 0s late
        ",
    );
}

#[test]
fn an_override_to_offline_hides_a_user_whose_sessions_go_on() {
    check(
        "
        0s evidence alice/phone
        1s override alice user offline
        2s renew alice/phone
        2s counts
        2s explain alice
        3s clear alice user
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice user=offline
        1s alice online->offline Override, seen 0s
        2s renewed
        2s 0 online 0 away 1 sessions
        2s alice merged=online phone:active:heard=2s:left=120s user=offline
        3s -alice user
        3s alice offline->online OverrideEnded, seen 2s
        ",
    );
}

#[test]
fn an_override_stands_on_top_of_a_held_status() {
    check(
        "
        0s override alice admin offline 50s
        1s set alice online
        50s sweep
        121s sweep
        ",
        "
        0s +alice admin=offline until 50s
        1s +alice held=online
        1s =alice offline, seen 1s
        50s -alice admin
        50s alice offline->online OverrideEnded, seen 1s, 0s late
        121s -alice held
        121s alice online->offline Expired, seen 1s, 0s late
        ",
    );
}

#[test]
fn an_override_that_ends_in_three_days_ends_then() {
    check(
        "
        0s override alice admin online 3d
        1d sweep
        2.999999d sweep
        2.999999d next
        3d sweep
        ",
        "
        0s +alice admin=online until 259200s
        0s alice offline->online Override, seen never
        2.999999d next 259200s
        3d -alice admin
        3d alice online->offline OverrideEnded, seen never, 0s late
        ",
    );
}

#[test]
fn an_override_of_no_length_ends_with_the_next_sweep() {
    check(
        "
        0s override alice admin online 0s
        0s next
        0.5s sweep
        ",
        "
        0s +alice admin=online until 0s
        0s alice offline->online Override, seen never
        0s next 0s
        0.5s -alice admin
        0.5s alice online->offline OverrideEnded, seen never, 0.5s late
        ",
    );
}

#[test]
fn an_override_without_end_stands_until_it_is_cleared() {
    check(
        "
        0s override alice application away
        0s next
        30d sweep
        30d show alice
        ",
        "
        0s +alice application=away
        0s alice offline->away Override, seen never
        0s next never
        30d alice is away, seen never, since 0s
        ",
    );
}
