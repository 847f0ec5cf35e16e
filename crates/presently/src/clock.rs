//! The one clock of the process: it owns the tick, which never goes back, and the wall time, which may step.
//!
//! **The tick does not count time in which the process did not run** (stopped, or starved for more than a second):
//! silence counts only while somebody listens.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use presently_core::{Now, Tick, Timestamp};
use tokio::sync::oneshot;

/// Where `now` comes from, and how the driver waits.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// This moment on both clocks.
    fn now(&self) -> Now;
    /// Ends when `length` has passed on this clock.
    fn sleep(&self, length: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>>;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    running: Running,
}

impl SystemClock {
    /// Starts at tick zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), running: Running::default() })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    fn wall() -> Timestamp {
        let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        Timestamp(match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    fn now(&self) -> Now {
        let reading = || u64::try_from(Instant::now().duration_since(self.started).as_micros()).unwrap_or(u64::MAX);
        Now { tick: Tick(self.running.tick(reading)), wall: Self::wall() }
    }

    fn sleep(&self, length: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(tokio::time::sleep(length))
    }
}

/// Counts the time in which the process ran, from readings of a monotonic clock in microseconds.
///
/// Somebody reads at least every 100 ms (the sweeper does), so a longer pause of everybody means that nobody ran.
#[derive(Debug, Default)]
struct Running {
    /// A reading not more than [`FRESH`](Self::FRESH) older than the newest one that was answered.
    last: AtomicU64,
    /// The time that is not counted. Written under `noticing`, always before `last` is.
    stalled: AtomicU64,
    noticing: Mutex<()>,
}

impl Running {
    /// A pause of all readers that is no pause of the process.
    const GAP: u64 = 1_000_000;
    /// How often `last` is written: all threads read it, and a write takes it from their caches.
    const FRESH: u64 = 50_000;

    fn tick(&self, read: impl Fn() -> u64) -> u64 {
        loop {
            let stalled = self.stalled.load(Ordering::Acquire);
            let reading = read();
            let last = self.last.load(Ordering::Acquire);
            if reading.saturating_sub(last) > Self::GAP {
                self.notice(&read);
                continue;
            }
            if reading.saturating_sub(last) > Self::FRESH {
                self.last.fetch_max(reading, Ordering::AcqRel);
            }
            // A pause noticed since the first line may lie before or after `reading`: read again.
            if self.stalled.load(Ordering::Acquire) == stalled {
                return reading.saturating_sub(stalled);
            }
        }
    }

    #[cold]
    fn notice(&self, read: &impl Fn() -> u64) {
        let _one = self.noticing.lock();
        let (reading, last) = (read(), self.last.load(Ordering::Acquire));
        let gap = reading.saturating_sub(last);
        if gap > Self::GAP {
            // Readings up to `last + FRESH` may have been answered: the tick goes on from there, never back.
            self.stalled.fetch_add(gap - Self::FRESH, Ordering::AcqRel);
            self.last.fetch_max(reading, Ordering::AcqRel);
        }
    }
}

/// A clock that stands until it is moved: for tests of whole programs.
#[derive(Debug)]
pub struct ManualClock {
    hands: Arc<Mutex<Hands>>,
}

#[derive(Debug)]
struct Hands {
    now: Now,
    /// By the moment of waking, and by arrival within it.
    sleepers: BTreeMap<(Tick, u64), oneshot::Sender<()>>,
    arrivals: u64,
}

impl ManualClock {
    /// Stands at tick zero and 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let now = Now { tick: Tick(0), wall: Timestamp(1_767_225_600_000_000) };
        Arc::new(Self { hands: Arc::new(Mutex::new(Hands { now, sleepers: BTreeMap::new(), arrivals: 0 })) })
    }

    /// Moves both clocks, waking sleepers whose time has come, in order.
    pub fn advance(&self, length: Duration) {
        let mut hands = self.hands.lock();
        hands.now = Now { tick: hands.now.tick + length, wall: hands.now.wall + length };
        let later = (Tick(hands.now.tick.0.saturating_add(1)), 0);
        let still_asleep = hands.sleepers.split_off(&later);
        let woken = std::mem::replace(&mut hands.sleepers, still_asleep);
        drop(hands);
        for (_, sleeper) in woken {
            // Nobody waits for a sleep that was given up.
            let _ = sleeper.send(());
        }
    }

    /// Steps the wall clock alone, by `micros` in either direction.
    pub fn step_wall(&self, micros: i64) {
        let mut hands = self.hands.lock();
        hands.now.wall = Timestamp(hands.now.wall.0.saturating_add(micros));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        self.hands.lock().now
    }

    fn sleep(&self, length: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        if length.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let mut hands = self.hands.lock();
        if hands.sleepers.len() > 1024 {
            hands.sleepers.retain(|_, sleeper| !sleeper.is_closed());
        }
        let (sleeper, woken) = oneshot::channel();
        hands.arrivals += 1;
        let key = (hands.now.tick + length, hands.arrivals);
        hands.sleepers.insert(key, sleeper);
        let hands_of_the_clock = Arc::clone(&self.hands);
        Box::pin(async move {
            let _clock_lives = hands_of_the_clock;
            let _ = woken.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_running_process_counts_all_of_its_time() {
        let running = Running::default();
        for reading in (0..600).map(|n| n * 100_000) {
            assert_eq!(running.tick(|| reading), reading);
        }
    }

    #[test]
    fn a_stopped_process_counts_none_of_the_gap() {
        let running = Running::default();
        assert_eq!(running.tick(|| 900_000), 900_000);
        let resumed = running.tick(|| 900_000 + 3_600 * SECOND);
        assert_eq!(resumed, 950_000);
        assert_eq!(running.tick(|| 900_000 + 3_600 * SECOND + 7), resumed + 7);
    }

    #[test]
    fn a_second_of_silence_is_no_gap() {
        let running = Running::default();
        assert_eq!(running.tick(|| SECOND), SECOND);
        assert_eq!(running.tick(|| 2 * SECOND), 2 * SECOND);
    }

    #[test]
    fn a_reading_from_before_a_gap_does_not_go_back() {
        let running = Running::default();
        assert_eq!(running.tick(|| 500_000), 500_000);
        running.tick(|| 540_000);
        assert!(running.tick(|| 60 * SECOND) >= 540_000);
    }

    #[test]
    fn many_threads_agree_on_one_gap() {
        let (running, monotonic) = (Running::default(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut before = 0;
                    for _ in 0..20_000 {
                        let tick = running.tick(|| monotonic.fetch_add(100, Ordering::SeqCst));
                        assert!(tick >= before, "the tick went back from {before} to {tick}");
                        before = tick;
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..50 {
                    monotonic.fetch_add(3_600 * SECOND, Ordering::SeqCst);
                    std::thread::yield_now();
                }
            });
        });
        let counted = running.tick(|| monotonic.load(Ordering::SeqCst));
        assert!(counted < 120 * SECOND, "{counted} µs were counted: a gap slipped through");
    }

    #[test]
    fn the_machine_clock_moves() {
        let clock = SystemClock::new();
        let before = clock.now();
        assert!(before.wall > Timestamp(1_700_000_000_000_000));
        assert!(clock.now().tick >= before.tick);
    }

    #[tokio::test]
    async fn sleepers_wake_when_their_time_has_come() {
        let clock = ManualClock::new();
        let (short, long) = (clock.sleep(Duration::from_secs(1)), clock.sleep(Duration::from_secs(3)));
        clock.advance(Duration::from_secs(2));
        short.await;
        let long = tokio::spawn(long);
        tokio::task::yield_now().await;
        assert!(!long.is_finished());
        clock.advance(Duration::from_secs(1));
        long.await.unwrap();
    }

    #[test]
    fn a_stepped_wall_leaves_the_tick() {
        let clock = ManualClock::new();
        let before = clock.now();
        clock.step_wall(-5);
        assert_eq!(clock.now(), Now { tick: before.tick, wall: Timestamp(before.wall.0 - 5) });
    }
}
