//! Sessions: one opens, beats, idles, drops, ends; several merge.

use super::script::check;

#[test]
fn the_first_evidence_brings_a_user_online() {
    check(
        "
        5s evidence alice/phone
        5s show alice
        5s counts
        ",
        "
        5s +alice/phone active
        5s alice offline->online Evidence, seen 5s
        5s alice is online, seen 5s, since 5s
        5s 1 online 0 away 1 sessions
        ",
    );
}

#[test]
fn a_heartbeat_in_the_steady_state_has_no_effects_and_moves_last_seen() {
    check(
        "
        0s evidence alice/phone
        30s renew alice/phone
        60s renew alice/phone active
        90s evidence alice/phone active
        90s show alice
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        30s renewed
        60s renewed
        90s alice is online, seen 90s, since 0s
        ",
    );
}

#[test]
fn silence_ends_at_the_deadline_and_last_seen_stays_the_last_evidence() {
    check(
        "
        0s evidence alice/phone
        30s beat alice/phone
        149.999999s sweep
        150s sweep
        150s show alice
        150s counts
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        150s -alice/phone
        150s alice online->offline Expired, seen 30s, 0s late
        150s alice is not in memory
        150s 0 online 0 away 0 sessions
        ",
    );
}

#[test]
fn a_user_who_expired_comes_back_with_the_next_evidence() {
    check(
        "
        0s evidence alice/phone
        120s sweep
        121s renew alice/phone
        121s beat alice/phone
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        120s -alice/phone
        120s alice online->offline Expired, seen 0s, 0s late
        121s not renewed
        121s +alice/phone active
        121s alice offline->online Evidence, seen 121s
        ",
    );
}

#[test]
fn evidence_that_arrives_before_the_sweep_saves_the_session() {
    check(
        "
        0s evidence alice/phone
        120.4s beat alice/phone
        120.5s sweep
        240.4s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        240.4s -alice/phone
        240.4s alice online->offline Expired, seen 120.4s, 0s late
        ",
    );
}

#[test]
fn one_tab_of_many_that_closes_leaves_the_user_online() {
    check(
        "
        0s evidence alice/l/tab-1
        1s evidence alice/l/tab-2
        2s evidence alice/l/tab-3
        3s end alice/l/tab-2 disconnected
        3s show alice
        4s end alice/l/tab-1 disconnected
        5s end alice/l/tab-3 disconnected
        ",
        "
        0s +alice/l/tab-1 active
        0s alice offline->online Evidence, seen 0s
        1s +alice/l/tab-2 active
        2s +alice/l/tab-3 active
        3s -alice/l/tab-2
        3s alice is online, seen 2s, since 0s
        4s -alice/l/tab-1
        5s -alice/l/tab-3
        5s alice online->offline Disconnected, seen 5s
        ",
    );
}

#[test]
fn the_presence_is_kept_when_the_session_that_ends_was_the_last_one_heard() {
    check(
        "
        0s evidence alice/phone
        1s evidence alice/laptop
        2s end alice/laptop disconnected
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice/laptop active
        2s -alice/laptop
        2s =alice online, seen 1s
        ",
    );
}

#[test]
fn each_session_expires_on_its_own_and_the_last_one_takes_the_user_offline() {
    check(
        "
        0s evidence alice/phone
        50s evidence alice/laptop
        120s sweep
        170s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        50s +alice/laptop active
        120s -alice/phone
        170s -alice/laptop
        170s alice online->offline Expired, seen 50s, 0s late
        ",
    );
}

#[test]
fn an_idle_session_makes_its_user_away_and_an_active_one_outshines_it() {
    check(
        "
        0s evidence alice/phone idle
        10s evidence alice/laptop active
        20s evidence alice/laptop idle
        30s evidence alice/phone active
        30s counts
        ",
        "
        0s +alice/phone idle
        0s alice offline->away Evidence, seen 0s
        10s +alice/laptop active
        10s alice away->online Evidence, seen 10s
        20s +alice/laptop idle
        20s alice online->away Activity, seen 20s
        30s +alice/phone active
        30s alice away->online Activity, seen 30s
        30s 1 online 0 away 2 sessions
        ",
    );
}

#[test]
fn an_active_session_that_expires_leaves_the_idle_one_showing() {
    check(
        "
        0s evidence alice/phone active
        60s evidence alice/laptop idle
        120.25s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        60s +alice/laptop idle
        120.25s -alice/phone
        120.25s alice online->away Expired, seen 60s, 0.25s late
        ",
    );
}

#[test]
fn away_users_expire_like_the_others() {
    check(
        "
        0s evidence alice/phone idle
        100s beat alice/phone idle
        219.999999s sweep
        220s sweep
        ",
        "
        0s +alice/phone idle
        0s alice offline->away Evidence, seen 0s
        220s -alice/phone
        220s alice away->offline Expired, seen 100s, 0s late
        ",
    );
}

#[test]
fn a_background_tab_that_polls_stays_idle_and_a_quick_renewal_cannot_change_that() {
    check(
        "
        0s evidence alice/tab idle
        30s evidence alice/tab
        60s renew alice/tab
        90s renew alice/tab active
        90s show alice
        ",
        "
        0s +alice/tab idle
        0s alice offline->away Evidence, seen 0s
        60s renewed
        90s not renewed
        90s alice is away, seen 60s, since 0s
        ",
    );
}

#[test]
fn a_background_tab_that_the_browser_throttles_to_one_beat_a_minute_stays() {
    check(
        "
        0s evidence alice/tab idle
        60s beat alice/tab idle
        121s sweep
        121s beat alice/tab idle
        200s sweep
        ",
        "
        0s +alice/tab idle
        0s alice offline->away Evidence, seen 0s
        ",
    );
}

#[test]
fn logout_of_the_last_session_is_offline_at_once_and_last_seen_is_now() {
    check(
        "
        0s evidence alice/phone
        40s end alice/phone logout
        41s renew alice/phone
        41s show alice
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        40s -alice/phone
        40s alice online->offline Logout, seen 40s
        41s not renewed
        41s alice is not in memory
        ",
    );
}

#[test]
fn ending_a_login_ends_its_parts_and_leaves_logins_with_a_longer_name_alone() {
    check(
        "
        0s evidence alice/9f
        1s evidence alice/9f/tab-1
        2s evidence alice/9f/tab-2
        3s evidence alice/9f0
        4s end alice/9f logout
        ",
        "
        0s +alice/9f active
        0s alice offline->online Evidence, seen 0s
        1s +alice/9f/tab-1 active
        2s +alice/9f/tab-2 active
        3s +alice/9f0 active
        4s -alice/9f
        4s -alice/9f/tab-1
        4s -alice/9f/tab-2
        ",
    );
}

#[test]
fn ending_a_part_leaves_the_login_alive() {
    check(
        "
        0s evidence alice/9f
        1s evidence alice/9f/tab-1
        2s beat alice/9f
        3s end alice/9f/tab-1 disconnected
        4s end alice/9f/tab-1 disconnected
        ",
        "
        0s +alice/9f active
        0s alice offline->online Evidence, seen 0s
        1s +alice/9f/tab-1 active
        3s -alice/9f/tab-1
        ",
    );
}

#[test]
fn ending_what_is_not_there_is_silent() {
    check(
        "
        0s end alice/phone logout
        0s end alice logout
        0s drop alice/phone
        1s evidence alice/phone
        2s end alice/tablet logout
        2s drop alice/tablet
        ",
        "
        1s +alice/phone active
        1s alice offline->online Evidence, seen 1s
        ",
    );
}

#[test]
fn logout_all_ends_every_session_with_one_transition() {
    check(
        "
        0s evidence alice/phone
        1s evidence alice/laptop idle
        9s end alice logout
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice/laptop idle
        9s -alice/phone
        9s -alice/laptop
        9s alice online->offline Logout, seen 9s
        ",
    );
}

#[test]
fn a_forced_logout_leaves_last_seen_at_the_last_evidence() {
    check(
        "
        0s evidence alice/phone
        30s beat alice/phone
        50s end alice forced
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        50s -alice/phone
        50s alice online->offline ForcedLogout, seen 30s
        ",
    );
}

#[test]
fn a_socket_that_drops_has_the_grace_to_come_back_unseen() {
    check(
        "
        0s evidence alice/socket
        20s drop alice/socket
        29s evidence alice/socket
        31s sweep
        148.9s sweep
        149s sweep
        ",
        "
        0s +alice/socket active
        0s alice offline->online Evidence, seen 0s
        149s -alice/socket
        149s alice online->offline Expired, seen 29s, 0s late
        ",
    );
}

#[test]
fn a_socket_that_does_not_come_back_ends_with_the_grace() {
    check(
        "
        0s evidence alice/socket
        20s drop alice/socket
        20s next
        29.999999s sweep
        30s sweep
        ",
        "
        0s +alice/socket active
        0s alice offline->online Evidence, seen 0s
        20s next 29.954629s
        30s -alice/socket
        30s alice online->offline Disconnected, seen 0s, 0s late
        ",
    );
}

#[test]
fn a_drop_never_makes_a_deadline_later() {
    check(
        "
        0s evidence alice/socket
        115s drop alice/socket
        120s sweep
        ",
        "
        0s +alice/socket active
        0s alice offline->online Evidence, seen 0s
        120s -alice/socket
        120s alice online->offline Expired, seen 0s, 0s late
        ",
    );
}

#[test]
fn a_drop_that_changes_no_deadline_changes_no_reason() {
    check(
        "
        0s evidence alice/socket
        110s drop alice/socket
        120s sweep
        ",
        "
        0s +alice/socket active
        0s alice offline->online Evidence, seen 0s
        120s -alice/socket
        120s alice online->offline Expired, seen 0s, 0s late
        ",
    );
}

#[test]
fn a_client_that_reconnects_again_and_again_never_flaps() {
    check(
        "
        0s evidence alice/s1
        5s drop alice/s1
        6s evidence alice/s2
        10s drop alice/s2
        14s evidence alice/s3
        15s sweep
        19s drop alice/s3
        20s sweep
        28s evidence alice/s4
        29s sweep
        29s show alice
        ",
        "
        0s +alice/s1 active
        0s alice offline->online Evidence, seen 0s
        6s +alice/s2 active
        14s +alice/s3 active
        15s -alice/s1
        20s -alice/s2
        28s +alice/s4 active
        29s -alice/s3
        29s alice is online, seen 28s, since 0s
        ",
    );
}
