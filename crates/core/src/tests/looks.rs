//! What can be asked, and what is handed over.

use super::script::check;

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
