//! The machine's clock steps; deadlines do not notice, and what is told follows the clock.

use std::time::Duration;

use super::script::check;
use crate::{Tick, Timestamp};

#[test]
fn a_clock_that_steps_forward_throws_nobody_offline() {
    check(
        "
        0s evidence alice/phone
        10s clock +1h
        30s beat alice/phone
        31s sweep
        150s sweep
        ",
        "
        0s +alice/phone active
        0s alice offline->online Evidence, seen 0s
        150s -alice/phone
        150s alice online->offline Expired, seen 3630s, 0s late
        ",
    );
}

#[test]
fn a_clock_that_steps_back_keeps_nobody_for_ever() {
    check(
        "
        7200s evidence alice/phone
        7210s clock -1h
        7230s beat alice/phone
        7230s show alice
        7350s sweep
        ",
        "
        7200s +alice/phone active
        7200s alice offline->online Evidence, seen 7200s
        7230s alice is online, seen 3630s, since 7200s
        7350s -alice/phone
        7350s alice online->offline Expired, seen 3630s, 0s late
        ",
    );
}

#[test]
fn an_override_ends_after_its_length_whatever_the_clock_says() {
    check(
        "
        0s override alice admin online 60s
        10s clock +1d
        11s sweep
        20s clock -2d
        60s sweep
        ",
        "
        0s +alice admin=online until 60s
        0s alice offline->online Override, seen never
        60s -alice admin
        60s alice online->offline OverrideEnded, seen never, 0s late
        ",
    );
}

#[test]
fn sessions_stay_in_the_order_of_opening_when_the_clock_steps_between_them() {
    check(
        "
        7200s evidence alice/first
        7201s clock -1h
        7202s evidence alice/second
        7202s explain alice
        ",
        "
        7200s +alice/first active
        7200s alice offline->online Evidence, seen 7200s
        7202s +alice/second active
        7202s alice merged=online first:active:heard=7200s:left=118s second:active:heard=3602s:left=120s
        ",
    );
}

#[test]
fn time_between_two_moments_is_never_negative() {
    let (early, late) = (Timestamp(-3), Timestamp(4));
    assert_eq!([late.since(early), late.since(late), early.since(late)], [7, 0, 0].map(Duration::from_micros));
    assert_eq!([Tick(9) - Tick(2), Tick(2) - Tick(9)], [7, 0].map(Duration::from_micros));
}
