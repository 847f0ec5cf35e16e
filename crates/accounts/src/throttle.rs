//! How often a password may be guessed. **An attempt counts from its start, so that many at once are no way around.**
//!
//! Failures are counted for a username at an address, and for the address across names; accounts that are registered, for the address.
//! Nobody's mistakes keep anybody else out at another address, nor the owner at one of their own.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use siphasher::sip128::SipHasher13;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::counters::{Counters, Rule, Turn};
use crate::fold_case;
use crate::network::Network;
use crate::token::random_bytes;

/// Existing front ends send one wrong password four times; ten is the contract's.
const OF_PAIRS: Rule = Rule { max: 10, window_us: 60_000_000, keys_max: 100_000 };
/// Across names: an office behind one address mistypes less, and a list of stolen passwords is of no use at this pace.
const OF_ADDRESSES: Rule = Rule { max: 100, window_us: 300_000_000, keys_max: 100_000 };
/// A class that registers together has room; a robot does not fill the store.
const OF_REGISTRATIONS: Rule = Rule { max: 20, window_us: 300_000_000, keys_max: 100_000 };
/// Attempts that wait for the outcome of others, from one address and in all. The next one is told that the server is busy.
const WAITING_OF_ONE_MAX: u32 = 64;
const WAITING_MAX: usize = 1_024;

/// A username and an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair(u128, Network);

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
}

struct State {
    pairs: Counters<Pair>,
    addresses: Counters<Network>,
    registrations: Counters<Network>,
    waiting: HashMap<Network, u32>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Failed,
    Succeeded,
    Withdrawn,
}

/// An attempt under way. Dropped, it has failed.
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: (Pair, u64),
    address: (Network, u64),
    outcome: Outcome,
}

/// A registration under way. Dropped, it counts.
pub(crate) struct Registration<'a> {
    throttle: &'a Throttle,
    address: (Network, u64),
    counts: bool,
}

/// A place among those who wait.
struct Waiting<'a> {
    throttle: &'a Throttle,
    network: Network,
    _permit: SemaphorePermit<'a>,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self::with(OF_PAIRS, OF_ADDRESSES)
    }

    fn with(of_pairs: Rule, of_addresses: Rule) -> Self {
        Self {
            key: random_bytes(),
            state: Mutex::new(State {
                pairs: Counters::new(of_pairs),
                addresses: Counters::new(of_addresses),
                registrations: Counters::new(OF_REGISTRATIONS),
                waiting: HashMap::new(),
            }),
            ended: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Begins an attempt to sign in, perhaps after others have come to an end.
    pub(crate) async fn begin(&self, username: &str, network: Network, now: Timestamp) -> Result<Attempt<'_>, Refusal> {
        let name = SipHasher13::new_with_key(&self.key).hash(fold_case(username).as_bytes()).as_u128();
        let pair = Pair(name, network);
        let mut place = None;
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if let Some(attempt) = self.attempt(pair, network, now)? {
                return Ok(attempt);
            }
            if place.is_none() {
                place = Some(self.wait(network)?);
            }
            ended.await;
        }
    }

    /// An attempt, or nothing when as many are under way as may still fail: their outcome decides.
    fn attempt(&self, pair: Pair, network: Network, now: Timestamp) -> Result<Option<Attempt<'_>>, Refusal> {
        let now_us = now.as_microsecond();
        let state = &mut *self.state.lock();
        match (state.pairs.turn(&pair, now_us), state.addresses.turn(&network, now_us)) {
            (Turn::TooMany(one), Turn::TooMany(other)) => Err(Refusal::TooMany(one.max(other))),
            (Turn::TooMany(wait), _) | (_, Turn::TooMany(wait)) => Err(Refusal::TooMany(wait)),
            (Turn::Wait, _) | (_, Turn::Wait) => Ok(None),
            (Turn::Go, Turn::Go) => {
                let pair = (pair, state.pairs.start(pair, now_us));
                let address = (network, state.addresses.start(network, now_us));
                Ok(Some(Attempt { throttle: self, pair, address, outcome: Outcome::Failed }))
            }
        }
    }

    fn wait(&self, network: Network) -> Result<Waiting<'_>, Refusal> {
        let permit = self.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
        let mut state = self.state.lock();
        let ours = state.waiting.entry(network).or_default();
        if *ours >= WAITING_OF_ONE_MAX {
            return Err(Refusal::Busy);
        }
        *ours += 1;
        Ok(Waiting { throttle: self, network, _permit: permit })
    }

    /// Begins a registration; those under way count.
    pub(crate) fn register(&self, network: Network, now: Timestamp) -> Result<Registration<'_>, Refusal> {
        let now_us = now.as_microsecond();
        let mut state = self.state.lock();
        match state.registrations.turn(&network, now_us) {
            Turn::Go => {
                let address = (network, state.registrations.start(network, now_us));
                Ok(Registration { throttle: self, address, counts: true })
            }
            Turn::Wait => Err(Refusal::Busy),
            Turn::TooMany(wait) => Err(Refusal::TooMany(wait)),
        }
    }

    /// Drops the counters whose time is over.
    pub(crate) fn tidy(&self, now: Timestamp) {
        let now_us = now.as_microsecond();
        let mut state = self.state.lock();
        state.pairs.tidy(now_us);
        state.addresses.tidy(now_us);
        state.registrations.tidy(now_us);
    }
}

impl Attempt<'_> {
    /// It was the right password: the pair is free of failures again. The address is not: who has one account could otherwise guess
    /// at all others.
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
        let failed = matches!(self.outcome, Outcome::Failed);
        {
            let state = &mut *self.throttle.state.lock();
            if matches!(self.outcome, Outcome::Succeeded) {
                state.pairs.forgive(self.pair);
            }
            state.pairs.finish(self.pair, failed);
            state.addresses.finish(self.address, failed);
        }
        self.throttle.ended.notify_waiters();
    }
}

impl Registration<'_> {
    /// Nothing was made and nothing found out: it does not count.
    pub(crate) fn withdrawn(mut self) {
        self.counts = false;
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.throttle.state.lock().registrations.finish(self.address, self.counts);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waiting = &mut self.throttle.state.lock().waiting;
        if let Some(ours) = waiting.get_mut(&self.network) {
            *ours -= 1;
            if *ours == 0 {
                waiting.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polled::poll_once;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_485_286 + seconds).expect("a time in this century")
    }

    fn network(address: &str) -> Network {
        Network::of(address.parse().expect("an address"))
    }

    const HOME: &str = "192.0.2.1";

    async fn fail(throttle: &Throttle, name: &str, address: &str, seconds: i64) -> Result<(), Refusal> {
        throttle.begin(name, network(address), at(seconds)).await.map(drop)
    }

    async fn begin<'a>(throttle: &'a Throttle, name: &str, seconds: i64) -> Attempt<'a> {
        throttle.begin(name, network(HOME), at(seconds)).await.expect("it may be tried")
    }

    #[tokio::test]
    async fn ten_failures_in_a_minute_pass_and_the_eleventh_does_not() {
        let throttle = Throttle::new();
        for second in 0..10 {
            assert_eq!(fail(&throttle, "alice", HOME, second).await, Ok(()));
        }
        let refused = |seconds| Err(Refusal::TooMany(Duration::from_secs(seconds)));
        assert_eq!(fail(&throttle, "alice", HOME, 10).await, refused(50));
        assert_eq!(fail(&throttle, "alice", HOME, 59).await, refused(1));
        assert_eq!(fail(&throttle, "alice", HOME, 60).await, Ok(()), "a new minute");
    }

    #[tokio::test]
    async fn other_addresses_and_other_names_are_not_affected() {
        let throttle = Throttle::new();
        for _ in 0..10 {
            fail(&throttle, "Alice", HOME, 0).await.expect("it may be tried");
        }
        for same in ["alice", "ALICE"] {
            assert!(fail(&throttle, same, HOME, 1).await.is_err(), "{same}");
            assert!(fail(&throttle, same, "::ffff:192.0.2.1", 1).await.is_err(), "{same}");
        }
        for (name, address) in [("alice", "192.0.2.2"), ("alice", "::192.0.2.1"), ("alic", HOME)] {
            assert_eq!(fail(&throttle, name, address, 1).await, Ok(()), "{name} {address}");
        }
    }

    #[tokio::test]
    async fn addresses_of_one_64_count_as_one() {
        let throttle = Throttle::new();
        for n in 0..10 {
            fail(&throttle, "alice", &format!("2001:db8:1:2:{n}::1"), 0).await.expect("it may be tried");
        }
        assert!(fail(&throttle, "alice", "2001:db8:1:2:ffff::9", 1).await.is_err());
        assert_eq!(fail(&throttle, "alice", "2001:db8:1:3::1", 1).await, Ok(()));
    }

    #[tokio::test]
    async fn a_hundred_failures_of_one_address_in_five_minutes_pass_whatever_the_names() {
        let throttle = Throttle::new();
        for n in 0..100 {
            assert_eq!(fail(&throttle, &format!("name{n}"), HOME, n).await, Ok(()), "{n}");
        }
        let refused = throttle.begin("another", network(HOME), at(100)).await.map(drop);
        assert_eq!(refused, Err(Refusal::TooMany(Duration::from_secs(200))));
        assert_eq!(fail(&throttle, "another", "198.51.100.7", 100).await, Ok(()), "another address");
        assert_eq!(fail(&throttle, "another", HOME, 300).await, Ok(()), "a new window");
    }

    #[tokio::test]
    async fn a_success_does_not_forgive_the_address() {
        let throttle = Throttle::new();
        for n in 0..100 {
            assert_eq!(fail(&throttle, &format!("name{n}"), HOME, 0).await, Ok(()), "{n}");
            if n < 99 {
                begin(&throttle, "mallory", 0).await.succeeded();
            }
        }
        assert!(fail(&throttle, "another", HOME, 1).await.is_err());
    }

    #[tokio::test]
    async fn of_many_names_at_once_a_hundred_may_fail() {
        let throttle = Throttle::new();
        let mut under_way = Vec::new();
        for n in 0..100 {
            under_way.push(begin(&throttle, &format!("name{n}"), 0).await);
        }
        let mut more: Vec<_> = (0..64)
            .map(|n| {
                let throttle = &throttle;
                Box::pin(async move { throttle.begin(&format!("more{n}"), network(HOME), at(0)).await.map(drop) })
            })
            .collect();
        for one in &mut more {
            assert!(poll_once(one.as_mut()).await.is_none(), "it waits");
        }
        assert_eq!(fail(&throttle, "one too many", HOME, 0).await, Err(Refusal::Busy));
        drop(under_way);
        for one in &mut more {
            let decided = poll_once(one.as_mut()).await;
            assert_eq!(decided, Some(Err(Refusal::TooMany(Duration::from_secs(300)))));
        }
        drop(more);
        assert!(throttle.state.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn twenty_accounts_of_one_address_in_five_minutes_are_registered() {
        let throttle = Throttle::new();
        let register = |address: &str, seconds| throttle.register(network(address), at(seconds));
        for n in 0..30 {
            register(HOME, n).map(Registration::withdrawn).expect("what came to nothing does not count");
        }
        for n in 0..20 {
            assert_eq!(register(HOME, n).map(drop), Ok(()), "{n}");
        }
        assert_eq!(register(HOME, 20).map(drop), Err(Refusal::TooMany(Duration::from_secs(280))));
        assert_eq!(register("198.51.100.7", 20).map(drop), Ok(()));
        assert_eq!(register(HOME, 300).map(drop), Ok(()));
    }

    #[tokio::test]
    async fn a_success_clears_the_pair_and_what_is_withdrawn_does_not_count() {
        let throttle = Throttle::new();
        for _ in 0..3 {
            for _ in 0..9 {
                fail(&throttle, "alice", HOME, 0).await.expect("it may be tried");
            }
            begin(&throttle, "alice", 1).await.succeeded();
            assert_eq!(throttle.state.lock().pairs.sizes().0, 0);
        }
        for _ in 0..30 {
            begin(&throttle, "alice", 1).await.withdrawn();
        }
        assert_eq!(fail(&throttle, "alice", HOME, 1).await, Ok(()));
    }

    #[tokio::test]
    async fn of_many_at_once_ten_may_fail_and_the_others_wait_for_that() {
        let throttle = Throttle::new();
        let mut under_way = Vec::new();
        for _ in 0..10 {
            under_way.push(begin(&throttle, "alice", 0).await);
        }
        let mut eleventh = std::pin::pin!(throttle.begin("alice", network(HOME), at(0)));
        assert!(poll_once(eleventh.as_mut()).await.is_none(), "it waits");
        under_way.drain(..9);
        assert!(poll_once(eleventh.as_mut()).await.is_none(), "it still waits");
        under_way.drain(..);
        let refused = poll_once(eleventh.as_mut()).await.expect("it is decided").map(drop);
        assert_eq!(refused, Err(Refusal::TooMany(Duration::from_secs(60))));
    }

    #[tokio::test]
    async fn the_right_owner_may_come_many_times_at_once() {
        let throttle = Throttle::new();
        let logins = (0..60).map(|_| async {
            let attempt = throttle.begin("alice", network(HOME), at(0)).await?;
            tokio::task::yield_now().await;
            attempt.succeeded();
            Ok::<_, Refusal>(())
        });
        let mut logins: Vec<_> = logins.map(Box::pin).collect();
        for _ in 0..200 {
            let mut open = Vec::new();
            for mut login in logins {
                match poll_once(login.as_mut()).await {
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
        for _ in 0..10 {
            fail(&throttle, "alice", HOME, 36_000).await.expect("it may be tried");
        }
        let refused = fail(&throttle, "alice", HOME, 0).await;
        assert_eq!(refused, Err(Refusal::TooMany(Duration::from_secs(60))));
        assert_eq!(fail(&throttle, "alice", HOME, 60).await, Ok(()));
    }

    #[tokio::test]
    async fn the_oldest_pairs_go_when_there_are_too_many() {
        let few = Rule { keys_max: 100, ..OF_PAIRS };
        let throttle = Throttle::with(few, Rule { max: u32::MAX, ..OF_ADDRESSES });
        for _ in 0..10 {
            fail(&throttle, "first", HOME, 0).await.expect("it may be tried");
        }
        for n in 0..99 {
            fail(&throttle, &format!("user{n}"), HOME, 0).await.expect("it may be tried");
        }
        assert!(fail(&throttle, "first", HOME, 0).await.is_err(), "there was room");
        for n in 0..1_000 {
            let name = format!("more{n}");
            if n % 2 == 0 {
                fail(&throttle, &name, HOME, 0).await.expect("it may be tried");
            } else {
                begin(&throttle, &name, 0).await.succeeded();
            }
        }
        let (counters, oldest) = throttle.state.lock().pairs.sizes();
        assert!(counters <= 100 && oldest <= 200, "{counters} and {oldest}");
        assert_eq!(fail(&throttle, "first", HOME, 0).await, Ok(()));
        throttle.tidy(at(60));
        assert_eq!(throttle.state.lock().pairs.sizes(), (0, 0));
        assert_eq!(throttle.state.lock().addresses.sizes().0, 1, "its five minutes are not over");
        throttle.tidy(at(300));
        assert_eq!(throttle.state.lock().addresses.sizes(), (0, 0));
    }
}
