//! How much a client may send.

use presently::Tick;

/// Frames a second, in the long run.
const PER_SECOND: u64 = 20;
/// Frames at once.
const AT_ONCE: u64 = 100;
/// Users in a frame that count as one more frame.
pub(crate) const USERS_A_FRAME: usize = 500;

/// What one connection may still send, in millionths of a frame.
pub(crate) struct Allowance {
    left: i64,
    as_of: Tick,
}

impl Allowance {
    const FRAME: i64 = 1_000_000;

    pub(crate) fn new(now: Tick) -> Self {
        Self { left: AT_ONCE as i64 * Self::FRAME, as_of: now }
    }

    /// Takes one frame out; false when there was none left.
    pub(crate) fn take(&mut self, now: Tick) -> bool {
        let micros = i64::try_from((now - self.as_of).as_micros()).unwrap_or(i64::MAX);
        self.as_of = now;
        let more = micros.saturating_mul(PER_SECOND as i64);
        self.left = self.left.saturating_add(more).min(AT_ONCE as i64 * Self::FRAME);
        if self.left < Self::FRAME {
            return false;
        }
        self.left -= Self::FRAME;
        true
    }

    /// Takes out what a frame with this many users costs beyond one; the debt is paid by waiting.
    pub(crate) fn charge(&mut self, users: usize) {
        self.left -= i64::try_from(users / USERS_A_FRAME).unwrap_or(0) * Self::FRAME;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let mut allowance = Allowance::new(Tick(0));
        assert_eq!((0..200).filter(|_| allowance.take(Tick(0))).count(), 100);
        let later = Tick(0) + Duration::from_secs(1);
        assert_eq!((0..200).filter(|_| allowance.take(later)).count(), 20);
        let much_later = Tick(0) + Duration::from_secs(1_000);
        assert_eq!((0..200).filter(|_| allowance.take(much_later)).count(), 100);
    }

    #[test]
    fn many_users_cost_more() {
        let mut allowance = Allowance::new(Tick(0));
        assert!(allowance.take(Tick(0)));
        allowance.charge(10_000);
        assert_eq!((0..200).filter(|_| allowance.take(Tick(0))).count(), 79);
    }
}
