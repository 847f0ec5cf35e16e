//! Sums out of the text for Prometheus: what was counted for the graphs of others is counted once.

/// Sums since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Changes of status.
    pub(crate) transitions: u64,
    /// Evidence of life.
    pub(crate) evidence: u64,
    /// How late users were announced offline.
    pub(crate) lateness: Lateness,
}

/// Buckets of lateness that are told apart.
const BUCKETS_MAX: usize = 16;

/// How late users were announced offline after their deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Lateness {
    pub(crate) count: u64,
    sum_seconds: f64,
    /// Upper bounds in seconds, with how many were at most that late; ascending, then empty.
    buckets: [(f64, u64); BUCKETS_MAX],
}

impl Tally {
    /// Reads the text. What is not in it is zero.
    pub(crate) fn read(text: &str) -> Self {
        let mut tally = Self::default();
        let mut bucket = 0;
        for line in text.lines() {
            let Some(sample) = line.strip_prefix("presently_") else { continue };
            let Some((name, value)) = sample.rsplit_once(' ') else { continue };
            let number = value.parse::<f64>().unwrap_or(0.0);
            if name.starts_with("transitions_total") {
                tally.transitions += number as u64;
            } else if let Some(name) = name.strip_prefix("offline_lateness_seconds_") {
                match name {
                    "count" => tally.lateness.count = number as u64,
                    "sum" => tally.lateness.sum_seconds = number,
                    _ => {
                        let bound = name.split('"').nth(1).and_then(|bound| bound.parse::<f64>().ok());
                        if let (Some(bound), Some(place)) = (bound, tally.lateness.buckets.get_mut(bucket)) {
                            *place = (bound, number as u64);
                            bucket += 1;
                        }
                    }
                }
            }
        }
        tally
    }
}

impl Lateness {
    /// On the average, in seconds.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_seconds / self.count as f64)
    }

    /// The bound in seconds that this share of them kept.
    pub(crate) fn at_most(&self, share: f64) -> Option<f64> {
        let enough = share * self.count as f64;
        let bound = self.buckets.iter().find(|(bound, count)| *bound > 0.0 && *count as f64 >= enough)?.0;
        (self.count > 0 && bound.is_finite()).then_some(bound)
    }

    /// Which share of them was at most this late.
    pub(crate) fn share_within(&self, seconds: f64) -> Option<f64> {
        let (_, count) = self.buckets.iter().find(|(bound, _)| (*bound - seconds).abs() < 1e-9)?;
        (self.count > 0).then(|| *count as f64 / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE presently_transitions_total counter\n\
        presently_transitions_total{reason=\"evidence\",to=\"online\"} 5\n\
        presently_transitions_total{reason=\"expired\",to=\"offline\"} 3\n\
        presently_offline_lateness_seconds_bucket{le=\"0.5\"} 90\n\
        presently_offline_lateness_seconds_bucket{le=\"1\"} 99\n\
        presently_offline_lateness_seconds_bucket{le=\"+Inf\"} 100\n\
        presently_offline_lateness_seconds_sum 20\n\
        presently_offline_lateness_seconds_count 100\n";

    #[test]
    fn sums_are_read_from_the_text() {
        let tally = Tally::read(TEXT);
        assert_eq!(tally.transitions, 8);
        assert_eq!(tally.lateness.mean(), Some(0.2));
        assert_eq!(tally.lateness.at_most(0.9), Some(0.5));
        assert_eq!(tally.lateness.at_most(0.99), Some(1.0));
        assert_eq!(tally.lateness.at_most(1.0), None);
        assert_eq!(tally.lateness.share_within(1.0), Some(0.99));
    }

    #[test]
    fn where_nobody_expired_nothing_is_claimed() {
        let tally = Tally::read("");
        assert_eq!((tally.lateness.mean(), tally.lateness.at_most(0.99)), (None, None));
        assert_eq!(tally.lateness.share_within(1.0), None);
    }
}
