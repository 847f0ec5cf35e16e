//! Chance that can be repeated. **The same seed gives the same demo**: what somebody saw once can be looked at again.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough for made-up people.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0, below 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in this share of the cases.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// Below `end`, which is at least 1.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.share() * end as f64) as usize
    }

    /// One of them; there is at least one.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// As long as things last that may end at any moment: `mean` on the average, at most four times that.
    pub(super) fn about(&mut self, mean: Duration) -> Duration {
        mean.mul_f64((-(1.0 - self.share()).ln()).min(4.0))
    }

    /// Between the two, each moment as likely as the other.
    pub(super) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_chance_and_it_is_spread() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            (0..1_000).map(|_| chance.share()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|share| (0.0..1.0).contains(share)));
        let mean = draw(7).iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }

    #[test]
    fn lengths_are_about_their_mean_and_end() {
        let mut chance = Chance::new(1);
        let minute = Duration::from_secs(60);
        let lengths: Vec<_> = (0..1_000).map(|_| chance.about(minute)).collect();
        assert!(lengths.iter().all(|length| *length <= minute * 4));
        let mean = lengths.iter().sum::<Duration>() / 1_000;
        assert!((minute.mul_f64(0.85)..minute.mul_f64(1.15)).contains(&mean), "{mean:?}");
    }
}
