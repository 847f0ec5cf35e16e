//! A server whose clock was set back: the keys are given what a server would have kept while it was ahead.

use std::time::{Duration, SystemTime};

use presently::bus::Bus;
use presently_testkit::Valkey;
use tokio::time::sleep;

use crate::{LOST, ONE, TWO, bus};

const AHEAD: Duration = Duration::from_secs(100_000);
const EPOCH: &str = "{presently:main}:epoch";

#[tokio::test]
async fn numbers_go_on_above_those_of_a_clock_that_was_ahead() {
    let server = Valkey::plain();
    let bus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    let last = micros() + u64::try_from(AHEAD.as_micros()).unwrap();
    server.command(&["HSET", EPOCH, "last", &last.to_string()]);
    assert_eq!(bus.append(ONE, 7, &[vec![1], vec![2]]).await.unwrap(), [last + 1, last + 2]);
    assert_eq!(bus.join(TWO, 8, b"two").await.unwrap().seq, last + 3);

    // With the epoch evicted, the log still knows.
    assert_eq!(server.command(&["DEL", EPOCH]), ":1");
    let founded = bus.join(ONE, 9, b"one").await.unwrap();
    assert_eq!((founded.epoch, founded.seq), (9, last + 4));
    bus.leave(ONE, 9, LOST).await.unwrap();
    assert_eq!(bus.join(TWO, 10, b"two").await.unwrap().seq, last + 5);
}

#[tokio::test]
async fn leases_of_a_clock_that_was_ahead_end_in_their_time() {
    let server = Valkey::plain();
    let bus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    bus.join(TWO, 8, b"two").await.unwrap();
    let ahead = micros() + u64::try_from(AHEAD.as_micros()).unwrap();
    let ends = ahead + u64::try_from(bus.timing().lease.as_micros()).unwrap();
    server.command(&["HSET", EPOCH, "heard", &ahead.to_string()]);
    for node in ["\0\0\0\0\0\0\0\x01", "\0\0\0\0\0\0\0\x02"] {
        assert_eq!(server.command(&["ZADD", "{presently:main}:nodes", &ends.to_string(), node]), ":0");
    }
    assert_eq!(bus.renew(ONE, 7, LOST).await.unwrap().peers, [TWO]);
    let mut reaped = Vec::new();
    for _ in 0..5 {
        sleep(bus.timing().renew_every).await;
        reaped.extend(bus.renew(ONE, 7, LOST).await.unwrap().reaped);
    }
    assert_eq!(reaped, [TWO]);
}

#[expect(clippy::disallowed_methods, reason = "the server's clock is this machine's")]
fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}
