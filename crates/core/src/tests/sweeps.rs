//! Sweeps: at the deadline, in its order, in small bites.

use std::time::Duration;

use super::script::{check, check_with};
use crate::{Limits, Policy};

#[test]
fn a_sweep_ends_things_in_the_order_of_their_deadlines() {
    check(
        "
        2s evidence carol/phone
        1s evidence bob/phone
        1.1s evidence alice/phone
        0s override dave admin online 121.05s
        500s sweep
        ",
        "
        2s +carol/phone active
        2s carol offline->online Evidence, seen 2s
        1s +bob/phone active
        1s bob offline->online Evidence, seen 1s
        1.1s +alice/phone active
        1.1s alice offline->online Evidence, seen 1.1s
        0s +dave admin=online until 121.05s
        0s dave offline->online Override, seen never
        500s -bob/phone
        500s bob online->offline Expired, seen 1s, 379s late
        500s -dave admin
        500s dave online->offline OverrideEnded, seen never, 378.95s late
        500s -alice/phone
        500s alice online->offline Expired, seen 1.1s, 378.9s late
        500s -carol/phone
        500s carol online->offline Expired, seen 2s, 378s late
        ",
    );
}

#[test]
fn a_late_sweep_tells_the_truth_about_what_was_shown_in_between() {
    // The session ended beneath the override, so the end of the override is what took the user offline.
    check(
        "
        0s evidence alice/phone
        1s override alice admin online 130s
        500s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +alice admin=online until 131s
        500s -alice/phone
        500s =alice online, seen 0s
        500s -alice admin
        500s alice online->offline OverrideEnded, seen 0s, 369s late
        ",
    );
}

#[test]
fn deadlines_are_exact_within_a_bucket_and_at_its_borders() {
    // Buckets are 262,144 µs long and the clock starts 77,000,123 µs in: one begins at 120.132165s.
    check(
        "
        0s evidence a/s
        0.000001s evidence b/s
        0.132164s evidence c/s
        0.132165s evidence d/s
        0.132166s evidence e/s
        119.999999s sweep
        120s sweep
        120.000001s sweep
        120.132163s sweep
        120.132164s sweep
        120.132165s sweep
        120.132166s sweep
        ",
        "
        0s +a/s active
        0s a offline->online Evidence, seen 0s
        0.000001s +b/s active
        0.000001s b offline->online Evidence, seen 0.000001s
        0.132164s +c/s active
        0.132164s c offline->online Evidence, seen 0.132164s
        0.132165s +d/s active
        0.132165s d offline->online Evidence, seen 0.132165s
        0.132166s +e/s active
        0.132166s e offline->online Evidence, seen 0.132166s
        120s -a/s
        120s a online->offline Expired, seen 0s, 0s late
        120.000001s -b/s
        120.000001s b online->offline Expired, seen 0.000001s, 0s late
        120.132164s -c/s
        120.132164s c online->offline Expired, seen 0.132164s, 0s late
        120.132165s -d/s
        120.132165s d online->offline Expired, seen 0.132165s, 0s late
        120.132166s -e/s
        120.132166s e online->offline Expired, seen 0.132166s, 0s late
        ",
    );
}

#[test]
fn a_sweep_does_no_more_than_its_limit_and_says_that_more_is_due() {
    check(
        "
        0s evidence a/s
        0s evidence b/s
        200s next
        200s sweep 2
        200s sweep 0
        200s sweep 1
        200s next
        200s sweep 1
        200s next
        ",
        "
        0s +a/s active
        0s a offline->online Evidence, seen 0s
        0s +b/s active
        0s b offline->online Evidence, seen 0s
        200s next 119.870021s
        200s -a/s
        200s a online->offline Expired, seen 0s, 80s late
        200s next 120s
        200s -b/s
        200s b online->offline Expired, seen 0s, 80s late
        200s next never
        ",
    );
}

#[test]
fn after_a_sweep_the_next_one_is_due_at_the_deadline_itself() {
    check(
        "
        0s evidence a/s
        0s next
        119.9s sweep
        119.9s next
        120s sweep
        120s next
        ",
        "
        0s +a/s active
        0s a offline->online Evidence, seen 0s
        0s next 119.870021s
        119.9s next 120s
        120s -a/s
        120s a online->offline Expired, seen 0s, 0s late
        120s next never
        ",
    );
}

#[test]
fn a_timeout_beyond_the_horizon_of_the_wheel_is_kept_to_the_microsecond() {
    let hour = Duration::from_secs(3600);
    let policy = Policy::new(hour, Duration::from_secs(30), Duration::from_secs(600)).expect("a sound policy");
    check_with(
        policy,
        Limits::default(),
        "
        0s evidence alice/phone
        1s evidence bob/phone
        269s sweep
        2000s beat bob/phone
        3599.999999s sweep
        3600s sweep
        4999s drop bob/phone
        5598.999999s sweep
        5599s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        1s +bob/phone active
        1s bob offline->online Evidence, seen 1s
        3600s -alice/phone
        3600s alice online->offline Expired, seen 0s, 0s late
        5599s -bob/phone
        5599s bob online->offline Disconnected, seen 2000s, 0s late
        ",
    );
}

#[test]
fn a_machine_that_slept_for_months_wakes_up_to_empty_rooms() {
    check(
        "
        0s evidence alice/phone
        90d sweep
        90d evidence alice/phone
        90d next
        90d sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        90d -alice/phone
        90d alice online->offline Expired, seen 0s, 7775880s late
        90d +alice/phone active
        90d alice offline->online Evidence, seen 7776000s
        90d next 7776119.886405s
        ",
    );
}

#[test]
fn an_empty_engine_has_nothing_to_wait_for() {
    check(
        "
        0s next
        0s sweep
        0s counts
        ",
        "
        0s next never
        0s 0 online 0 away 0 sessions
        ",
    );
}

#[test]
fn what_is_due_beyond_the_horizon_of_the_wheel_waits_at_the_horizon() {
    // Where time stands is bucket 293, which began 0.191931s before; the farthest one is 1023 further on.
    let day = Duration::from_secs(86_400);
    let policy = Policy::new(day, Duration::from_secs(30), Duration::from_secs(10)).expect("a sound policy");
    check_with(
        policy,
        Limits::default(),
        "
        0s evidence alice/phone
        0s next
        267.9s sweep
        267.9s next
        268s sweep 1
        268s next
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        0s next 267.981381s
        267.9s next 267.981381s
        268s next 536.154693s
        ",
    );
}

#[test]
fn of_what_is_due_at_the_same_moment_sessions_end_before_overrides() {
    check(
        "
        0s evidence alice/phone
        0s override alice admin away 120s
        120s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        0s +alice admin=away until 120s
        0s alice online->away Override, seen 0s
        120s -alice/phone
        120s =alice away, seen 0s
        120s -alice admin
        120s alice away->offline OverrideEnded, seen 0s, 0s late
        ",
    );
}

#[test]
fn of_two_buckets_on_both_sides_of_the_seam_the_nearer_one_is_next() {
    // Time stands in bucket 293. The first session waits in the farthest one, which has the index before; the second is due in bucket 301.
    let seconds = Duration::from_secs;
    let policy = Policy::new(seconds(86_400), seconds(30), seconds(2)).expect("a sound policy");
    check_with(
        policy,
        Limits::default(),
        "
        0s evidence alice/phone
        0s evidence bob/phone
        0s drop bob/phone
        0s next
        2s sweep
        2s next
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        0s +bob/phone active
        0s bob offline->online Evidence, seen 0s
        0s next 1.905221s
        2s -bob/phone
        2s bob online->offline Disconnected, seen 0s, 0s late
        2s next 267.981381s
        ",
    );
}
