//! What administrators and accounts do: set, force, bar, erase.

use super::script::check;

#[test]
fn a_user_set_offline_is_offline_until_the_next_heartbeat_brings_them_back() {
    check(
        "
        0s evidence alice/phone
        10s set alice offline
        10s show alice
        30s beat alice/phone
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        10s -alice/phone
        10s alice online->offline Set, seen 10s
        10s alice is not in memory
        30s +alice/phone active
        30s alice offline->online Evidence, seen 30s
        ",
    );
}

#[test]
fn a_user_set_online_without_any_heartbeat_expires_like_everybody_else() {
    check(
        "
        5s set alice online
        5s counts
        124.999999s sweep
        125s sweep
        ",
        "
        5s +alice held=online
        5s alice offline->online Set, seen 5s
        5s 1 online 0 away 0 sessions
        125s -alice held
        125s alice online->offline Expired, seen 5s, 0s late
        ",
    );
}

#[test]
fn a_user_set_away_stays_away_until_their_next_evidence_of_any_kind() {
    check(
        "
        0s evidence alice/phone
        10s set alice away
        20s renew alice/phone
        20s beat alice/phone
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        10s +alice held=away
        10s alice online->away Set, seen 0s
        20s not renewed
        20s -alice held
        20s alice away->online Evidence, seen 20s
        ",
    );
}

#[test]
fn a_user_set_away_who_was_never_heard_has_no_last_seen() {
    check(
        "
        0s set alice away
        120s sweep
        ",
        "
        0s +alice held=away
        0s alice offline->away Set, seen never
        120s -alice held
        120s alice away->offline Expired, seen never, 0s late
        ",
    );
}

#[test]
fn a_held_status_that_expires_shows_the_sessions_that_outlive_it() {
    check(
        "
        0s evidence alice/phone
        10s set alice away
        100s evidence alice/laptop idle
        110s set alice online
        219s drop alice/laptop
        220s sweep
        230s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        10s +alice held=away
        10s alice online->away Set, seen 0s
        100s -alice held
        100s +alice/laptop idle
        100s alice away->online Evidence, seen 100s
        110s +alice held=online
        110s =alice online, seen 110s
        220s -alice/phone
        220s -alice/laptop
        230s -alice held
        230s alice online->offline Expired, seen 110s, 0s late
        ",
    );
}

#[test]
fn setting_a_status_again_replaces_it_and_gives_it_a_new_deadline() {
    check(
        "
        0s set alice online
        100s set alice away
        120s sweep
        220s sweep
        ",
        "
        0s +alice held=online
        0s alice offline->online Set, seen 0s
        100s +alice held=away
        100s alice online->away Set, seen 0s
        220s -alice held
        220s alice away->offline Expired, seen 0s, 0s late
        ",
    );
}

#[test]
fn the_last_logout_ends_a_held_status_with_it() {
    check(
        "
        0s evidence alice/phone
        1s set alice online
        2s end alice/phone logout
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice held=online
        1s =alice online, seen 1s
        2s -alice/phone
        2s -alice held
        2s alice online->offline Logout, seen 2s
        ",
    );
}

#[test]
fn a_tab_that_closes_leaves_a_held_status_standing() {
    check(
        "
        0s evidence alice/tab
        1s set alice away
        2s end alice/tab disconnected
        121s sweep
        ",
        "
        0s +alice/tab active
        0s alice offline->online Evidence, seen 0s
        1s +alice held=away
        1s alice online->away Set, seen 0s
        2s -alice/tab
        2s =alice away, seen 2s
        121s -alice held
        121s alice away->offline Expired, seen 2s, 0s late
        ",
    );
}

#[test]
fn setting_offline_is_silent_for_a_user_who_is_not_in_memory() {
    check("0s set alice offline", "");
}

#[test]
fn setting_offline_moves_last_seen_of_a_user_in_memory_who_is_offline_already() {
    check(
        "
        0s override alice admin offline
        1s evidence alice/phone
        9s set alice offline
        ",
        "
        0s +alice admin=offline
        1s +alice/phone active
        9s -alice/phone
        9s =alice offline, seen 9s
        ",
    );
}

#[test]
fn a_suspended_user_is_offline_at_once_and_cannot_come_back_by_any_way() {
    check(
        "
        0s evidence alice/phone
        1s override alice user away
        2s set alice online
        5s bar alice
        6s renew alice/phone
        6s beat alice/phone
        6s evidence alice/new
        6s set alice online
        6s set alice away
        6s override alice admin online
        6s end alice logout
        6s bar alice
        6s show alice
        6s counts
        500s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice user=away
        1s alice online->away Override, seen 0s
        2s +alice held=online
        2s =alice away, seen 2s
        5s -alice/phone
        5s -alice held
        5s -alice user
        5s alice away->offline Barred, seen 2s
        6s not renewed
        6s rejected Barred
        6s rejected Barred
        6s rejected Barred
        6s rejected Barred
        6s rejected Barred
        6s alice is offline, seen 2s, since 5s
        6s 0 online 0 away 0 sessions
        ",
    );
}

#[test]
fn a_suspended_user_may_be_set_offline() {
    check(
        "
        0s bar alice
        1s set alice offline
        1s explain alice
        ",
        "
        1s =alice offline, seen 1s
        1s alice merged=offline barred
        ",
    );
}

#[test]
fn an_activated_user_starts_offline_and_comes_with_the_next_evidence() {
    check(
        "
        0s evidence alice/phone
        1s bar alice
        2s unbar alice
        2s show alice
        2s unbar bob
        3s beat alice/phone
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s -alice/phone
        1s alice online->offline Barred, seen 0s
        2s alice is not in memory
        3s +alice/phone active
        3s alice offline->online Evidence, seen 3s
        ",
    );
}

#[test]
fn barring_an_unknown_user_is_silent_and_claims_to_know_nothing_of_their_past() {
    check(
        "
        0s bar alice
        0s show alice
        1s evidence alice/phone
        ",
        "
        0s alice is offline, seen never, since never
        1s rejected Barred
        ",
    );
}

#[test]
fn watchers_of_an_erased_user_see_them_go_before_nothing_remains() {
    check(
        "
        0s evidence alice/phone
        1s override alice admin away 30s
        2s forget alice
        2s show alice
        200s sweep
        200s next
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice admin=away until 31s
        1s alice online->away Override, seen 0s
        2s alice away->offline ForcedLogout, seen 0s
        2s erase alice
        2s alice is not in memory
        200s next never
        ",
    );
}

#[test]
fn erasing_reaches_the_store_for_users_who_are_offline_or_barred() {
    check(
        "
        0s forget alice
        1s bar bob
        2s forget bob
        2s show bob
        ",
        "
        0s erase alice
        2s erase bob
        2s bob is not in memory
        ",
    );
}
