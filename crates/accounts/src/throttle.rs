//! How often a password may be guessed. **An attempt counts from its start, so that many at once are no way around.**
//!
//! Counted are pairs of a username and an address: nobody's mistakes keep anybody else out, nor the owner at another address.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use siphasher::sip128::SipHasher13;
use tokio::sync::{Notify, Semaphore};

use crate::fold_case;
use crate::token::random_bytes;

const FAILURES_MAX: u32 = 10;
const WINDOW_US: i64 = 60_000_000;
const PAIRS_MAX: usize = 100_000;
const WAITING_MAX: usize = 64;

/// A username and an address, in 128 bits each.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pair(u128, u128);

/// Why an attempt may not be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many failures; try again after this time.
    TooMany(Duration),
    /// Too many attempts wait for others to come to an end.
    Busy,
}

pub(crate) struct Throttle {
    key: [u8; 16],
    state: Mutex<State>,
    ended: Notify,
    waiting: Semaphore,
    pairs_max: usize,
}

#[derive(Default)]
struct State {
    counters: HashMap<Pair, Counter>,
    /// The pairs as they came, with their numbers; those of pairs that went are passed over.
    oldest: VecDeque<(Pair, u64)>,
    last_number: u64,
}

struct Counter {
    number: u64,
    since_us: i64,
    failures: u32,
    under_way: u32,
}

enum Turn {
    Go(u64),
    /// As many are under way as may still fail: their outcome decides.
    Wait,
    TooMany(Duration),
}

/// An attempt under way. Dropped, it has failed.
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: Pair,
    number: u64,
    outcome: Outcome,
}

#[derive(Clone, Copy)]
enum Outcome {
    Failed,
    Succeeded,
    Withdrawn,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self {
            key: random_bytes(),
            state: Mutex::default(),
            ended: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
            pairs_max: PAIRS_MAX,
        }
    }

    pub(crate) fn pair(&self, username: &str, address: IpAddr) -> Pair {
        let name = SipHasher13::new_with_key(&self.key).hash(fold_case(username).as_bytes()).as_u128();
        let network = match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            // The half of an IPv6 address that a site can choose freely does not make it another one.
            IpAddr::V6(address) => (1 << 127) | (address.to_bits() >> 64),
        };
        Pair(name, network)
    }

    /// Begins an attempt, perhaps after others of the same pair have come to an end.
    pub(crate) async fn begin(&self, pair: Pair, now: Timestamp) -> Result<Attempt<'_>, Refusal> {
        let mut place = None;
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            match self.turn(pair, now) {
                Turn::Go(number) => return Ok(Attempt { throttle: self, pair, number, outcome: Outcome::Failed }),
                Turn::TooMany(retry_after) => return Err(Refusal::TooMany(retry_after)),
                Turn::Wait if place.is_some() => {}
                Turn::Wait => place = Some(self.waiting.try_acquire().map_err(|_| Refusal::Busy)?),
            }
            ended.await;
        }
    }

    fn turn(&self, pair: Pair, now: Timestamp) -> Turn {
        let now_us = now.as_microsecond();
        let mut state = self.state.lock();
        let counter = state.counter(pair, now_us, self.pairs_max);
        // After a step of the clock back, the minute begins anew instead of lasting for hours.
        counter.since_us = counter.since_us.min(now_us);
        let ends_us = counter.since_us.saturating_add(WINDOW_US);
        if now_us >= ends_us {
            (counter.since_us, counter.failures) = (now_us, 0);
        }
        if counter.failures >= FAILURES_MAX {
            return Turn::TooMany(Duration::from_micros(u64::try_from(ends_us - now_us).unwrap_or(0)));
        }
        if counter.failures + counter.under_way >= FAILURES_MAX {
            return Turn::Wait;
        }
        counter.under_way += 1;
        Turn::Go(counter.number)
    }

    /// Drops the counters whose minute is over.
    pub(crate) fn tidy(&self, now: Timestamp) {
        let now_us = now.as_microsecond();
        let mut state = self.state.lock();
        state.counters.retain(|_, counter| counter.under_way > 0 || now_us < counter.since_us + WINDOW_US);
        state.forget_the_gone();
    }
}

impl State {
    fn counter(&mut self, pair: Pair, now_us: i64, pairs_max: usize) -> &mut Counter {
        if !self.counters.contains_key(&pair) {
            while self.counters.len() >= pairs_max
                && let Some((oldest, number)) = self.oldest.pop_front()
            {
                if self.counters.get(&oldest).is_some_and(|counter| counter.number == number) {
                    self.counters.remove(&oldest);
                }
            }
            if self.oldest.len() >= 2 * pairs_max {
                self.forget_the_gone();
            }
            self.last_number += 1;
            self.oldest.push_back((pair, self.last_number));
        }
        let number = self.last_number;
        self.counters.entry(pair).or_insert(Counter { number, since_us: now_us, failures: 0, under_way: 0 })
    }

    fn forget_the_gone(&mut self) {
        let counters = &self.counters;
        self.oldest.retain(|(pair, number)| counters.get(pair).is_some_and(|counter| counter.number == *number));
    }
}

impl Attempt<'_> {
    /// It was the right password: the pair is free of failures again.
    pub(crate) fn succeeded(mut self) {
        self.outcome = Outcome::Succeeded;
    }

    /// Nothing was found out: it does not count.
    pub(crate) fn withdrawn(mut self) {
        self.outcome = Outcome::Withdrawn;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.throttle.state.lock();
        if let Some(counter) = state.counters.get_mut(&self.pair).filter(|counter| counter.number == self.number) {
            counter.under_way = counter.under_way.saturating_sub(1);
            match self.outcome {
                Outcome::Failed => counter.failures += 1,
                Outcome::Succeeded => counter.failures = 0,
                Outcome::Withdrawn => {}
            }
            if counter.under_way == 0 && counter.failures == 0 {
                state.counters.remove(&self.pair);
            }
        }
        drop(state);
        self.throttle.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_485_286 + seconds).expect("a time in this century")
    }

    fn pair(throttle: &Throttle, username: &str, address: &str) -> Pair {
        throttle.pair(username, address.parse().expect("an address"))
    }

    async fn fail(throttle: &Throttle, pair: Pair, seconds: i64) -> Result<(), Refusal> {
        throttle.begin(pair, at(seconds)).await.map(drop)
    }

    #[tokio::test]
    async fn ten_failures_in_a_minute_pass_and_the_eleventh_does_not() {
        let throttle = Throttle::new();
        let alice = pair(&throttle, "alice", "192.0.2.1");
        for second in 0..10 {
            assert_eq!(fail(&throttle, alice, second).await, Ok(()));
        }
        assert_eq!(fail(&throttle, alice, 10).await, Err(Refusal::TooMany(Duration::from_secs(50))));
        assert_eq!(fail(&throttle, alice, 59).await, Err(Refusal::TooMany(Duration::from_secs(1))));
        assert_eq!(fail(&throttle, alice, 60).await, Ok(()), "a new minute");
    }

    #[tokio::test]
    async fn other_addresses_and_other_names_are_not_affected() {
        let throttle = Throttle::new();
        for _ in 0..10 {
            fail(&throttle, pair(&throttle, "Alice", "192.0.2.1"), 0).await.expect("it may be tried");
        }
        for same in ["alice", "ALICE"] {
            assert!(fail(&throttle, pair(&throttle, same, "192.0.2.1"), 1).await.is_err(), "{same}");
            assert!(fail(&throttle, pair(&throttle, same, "::ffff:192.0.2.1"), 1).await.is_err(), "{same}");
        }
        for (name, address) in [("alice", "192.0.2.2"), ("alice", "::192.0.2.1"), ("alic", "192.0.2.1")] {
            assert_eq!(fail(&throttle, pair(&throttle, name, address), 1).await, Ok(()), "{name} {address}");
        }
    }

    #[tokio::test]
    async fn addresses_of_one_64_count_as_one() {
        let throttle = Throttle::new();
        for n in 0..10 {
            let pair = pair(&throttle, "alice", &format!("2001:db8:1:2:{n}::1"));
            fail(&throttle, pair, 0).await.expect("it may be tried");
        }
        assert!(fail(&throttle, pair(&throttle, "alice", "2001:db8:1:2:ffff::9"), 1).await.is_err());
        assert_eq!(fail(&throttle, pair(&throttle, "alice", "2001:db8:1:3::1"), 1).await, Ok(()));
    }

    #[tokio::test]
    async fn a_success_clears_the_pair_and_what_is_withdrawn_does_not_count() {
        let throttle = Throttle::new();
        let alice = pair(&throttle, "alice", "192.0.2.1");
        for _ in 0..3 {
            for _ in 0..9 {
                fail(&throttle, alice, 0).await.expect("it may be tried");
            }
            throttle.begin(alice, at(1)).await.expect("it may be tried").succeeded();
            assert!(throttle.state.lock().counters.is_empty());
        }
        for _ in 0..30 {
            throttle.begin(alice, at(1)).await.expect("it may be tried").withdrawn();
        }
        assert_eq!(fail(&throttle, alice, 1).await, Ok(()));
    }

    #[tokio::test]
    async fn of_many_at_once_ten_may_fail_and_the_others_wait_for_that() {
        let throttle = Throttle::new();
        let alice = pair(&throttle, "alice", "192.0.2.1");
        let mut under_way = Vec::new();
        for _ in 0..10 {
            under_way.push(throttle.begin(alice, at(0)).await.expect("it may be tried"));
        }
        let mut eleventh = std::pin::pin!(throttle.begin(alice, at(0)));
        assert!(futures_poll(eleventh.as_mut()).await.is_none(), "it waits");
        under_way.drain(..9);
        assert!(futures_poll(eleventh.as_mut()).await.is_none(), "it still waits");
        under_way.drain(..);
        let refused = futures_poll(eleventh.as_mut()).await.expect("it is decided").map(drop);
        assert_eq!(refused, Err(Refusal::TooMany(Duration::from_secs(60))));
    }

    #[tokio::test]
    async fn the_right_owner_may_come_many_times_at_once() {
        let throttle = Throttle::new();
        let alice = pair(&throttle, "alice", "192.0.2.1");
        let logins = (0..60).map(|_| async {
            let attempt = throttle.begin(alice, at(0)).await?;
            tokio::task::yield_now().await;
            attempt.succeeded();
            Ok::<_, Refusal>(())
        });
        let mut logins: Vec<_> = logins.map(Box::pin).collect();
        for _ in 0..200 {
            let mut open = Vec::new();
            for mut login in logins {
                match futures_poll(login.as_mut()).await {
                    Some(outcome) => assert_eq!(outcome, Ok(())),
                    None => open.push(login),
                }
            }
            logins = open;
        }
        assert!(logins.is_empty(), "all are served");
    }

    #[tokio::test]
    async fn a_clock_that_steps_back_locks_nobody_out_for_longer_than_a_minute() {
        let throttle = Throttle::new();
        let alice = pair(&throttle, "alice", "192.0.2.1");
        for _ in 0..10 {
            fail(&throttle, alice, 36_000).await.expect("it may be tried");
        }
        assert_eq!(fail(&throttle, alice, 0).await, Err(Refusal::TooMany(Duration::from_secs(60))));
        assert_eq!(fail(&throttle, alice, 60).await, Ok(()));
    }

    #[tokio::test]
    async fn the_oldest_pairs_go_when_there_are_too_many() {
        let throttle = Throttle { pairs_max: 100, ..Throttle::new() };
        let first = pair(&throttle, "first", "192.0.2.1");
        for _ in 0..10 {
            fail(&throttle, first, 0).await.expect("it may be tried");
        }
        for n in 0..99 {
            fail(&throttle, pair(&throttle, &format!("user{n}"), "192.0.2.1"), 0).await.expect("it may be tried");
        }
        assert!(fail(&throttle, first, 0).await.is_err(), "there was room");
        for n in 0..1_000 {
            let pair = pair(&throttle, &format!("more{n}"), "192.0.2.1");
            if n % 2 == 0 {
                fail(&throttle, pair, 0).await.expect("it may be tried");
            } else {
                throttle.begin(pair, at(0)).await.expect("it may be tried").succeeded();
            }
        }
        let (counters, oldest) = {
            let state = throttle.state.lock();
            (state.counters.len(), state.oldest.len())
        };
        assert!(counters <= 100 && oldest <= 200, "{counters} and {oldest}");
        assert_eq!(fail(&throttle, first, 0).await, Ok(()));
        throttle.tidy(at(60));
        assert!(throttle.state.lock().counters.is_empty() && throttle.state.lock().oldest.is_empty());
    }

    /// Polls once.
    async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
