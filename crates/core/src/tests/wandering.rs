//! Heartbeats that come to another node than their session's.

use super::rejoining::{A, B, Follower, Log, ended, heard};
use crate::cluster::{Act, HeardSession};
use crate::{Activity, Now, Status, Tick, Timestamp};

const fn at(second: u64) -> Now {
    Now { tick: Tick(second * 1_000_000), wall: Timestamp(second.cast_signed() * 1_000_000) }
}

/// The phone was heard at this second.
fn phone(second: u64) -> Act {
    Act::Heard {
        sessions: [HeardSession { user: "alice".into(), session: "phone".into(), at: at(second).wall }].into(),
    }
}

/// Alice came at A in the tenth second.
fn two() -> (Log, Follower, Follower) {
    let (mut log, mut a, mut b) = (Log { seq: 0 }, Follower::new(A, &[A, B]), Follower::new(B, &[A, B]));
    log.put(10, A, 1, heard("phone"), &mut [&mut a, &mut b]);
    (log, a, b)
}

#[test]
fn what_says_nothing_new_is_counted_at_once_and_the_session_moves_with_the_next_entry() {
    let (mut log, mut a, mut b) = two();
    assert!(b.engine.renew_elsewhere(at(40), "alice", "phone", None));
    assert_eq!(b.engine.presence("alice").unwrap().last_seen, Some(at(40).wall), "and told where it was heard");
    assert!(a.engine.renew(at(40), "alice", "phone", None), "its owner does not know yet");
    assert_eq!(log.put(41, B, 1, phone(40), &mut [&mut a, &mut b]), [""; 0]);
    let last_seen = |follower: &Follower| follower.engine.presence("alice").unwrap().last_seen;
    assert_eq!([&a, &b].map(last_seen), [Some(at(40).wall); 2], "when it was heard, and not when the entry came");
    assert!(!a.engine.renew(at(42), "alice", "phone", None) && b.engine.renew(at(42), "alice", "phone", None));
    assert_eq!((a.engine.due(at(500), true, 10).len(), b.engine.due(at(161), true, 10).len()), (0, 0));
    assert_eq!(b.engine.due(at(163), true, 10).len(), 1, "two minutes after it was heard last");
}

#[test]
fn a_word_of_a_node_that_stood_still_is_counted_and_takes_no_time_away() {
    let (mut log, mut a, mut b) = two();
    assert!(b.engine.renew_elsewhere(at(40), "alice", "phone", None));
    log.put(70, B, 1, phone(40), &mut [&mut a, &mut b]);
    assert!(a.engine.due(at(159), true, 10).is_empty());
    assert_eq!((a.engine.due(at(161), true, 10).len(), b.engine.due(at(500), true, 10).len()), (1, 0));

    let (mut log, mut a, mut b) = two();
    assert!(b.engine.renew_elsewhere(at(40), "alice", "phone", None));
    assert!(a.engine.renew(at(60), "alice", "phone", None));
    log.put(70, B, 1, phone(40), &mut [&mut a, &mut b]);
    assert!(a.engine.due(at(179), true, 10).is_empty());
}

#[test]
fn what_ended_meanwhile_stays_ended() {
    let (mut log, mut a, mut b) = two();
    assert!(b.engine.renew_elsewhere(at(40), "alice", "phone", None));
    log.put(41, A, 2, ended("phone"), &mut [&mut a, &mut b]);
    log.put(42, B, 1, phone(40), &mut [&mut a, &mut b]);
    for engine in [&a.engine, &b.engine] {
        assert_eq!((engine.counts().sessions, engine.counts().online), (0, 0));
    }
}

#[test]
fn whatever_is_new_or_urgent_is_proposed() {
    let (mut log, mut a, mut b) = two();
    let refused = |follower: &mut Follower, second, session, activity| {
        !follower.engine.renew_elsewhere(at(second), "alice", session, activity)
    };
    assert!(refused(&mut b, 40, "phone", Some(Activity::Idle)), "an activity");
    assert!(refused(&mut b, 40, "laptop", None), "a session");
    assert!(refused(&mut a, 40, "phone", None), "its own");
    assert!(refused(&mut b, 70, "phone", None), "no more than half of the silence is left");
    assert!(!b.engine.renew_elsewhere(at(40), "bob", "phone", None), "a user");
    log.put(41, A, 2, Act::Set { user: "alice".into(), status: Status::Away }, &mut [&mut a, &mut b]);
    assert!(refused(&mut b, 42, "phone", None), "a status that waits for evidence");
    log.put(43, A, 3, Act::Bar { user: "alice".into() }, &mut [&mut a, &mut b]);
    assert!(refused(&mut b, 44, "phone", None), "one who may not be present");
}

#[test]
fn a_repetition_and_an_older_word_take_nothing_back() {
    let (mut log, mut a, mut b) = two();
    log.put(41, B, 1, phone(40), &mut [&mut a, &mut b]);
    assert!(b.engine.renew(at(100), "alice", "phone", None));
    log.put(101, B, 2, phone(40), &mut [&mut a, &mut b]);
    assert!(b.engine.due(at(219), true, 10).is_empty());
    assert_eq!(b.engine.presence("alice").unwrap().last_seen, Some(at(100).wall));
}
