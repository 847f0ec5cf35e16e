//! What the overview draws: how many were online and away in the last day, and how busy the last minute was.
//!
//! The day before this start is reckoned back, once, from the numbers of now and the transitions that the history kept; from then on a
//! sample is taken each minute. **What was not kept is not made up**: nothing is told of the time before the history begins; erased accounts,
//! and history that was given up, are missing in the reckoned part; a rate is that of the time in which it was counted, never of a longer one.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use presently::{Presently, Tick, Timestamp};

use crate::metrics::Tally;

/// Between two samples of a day.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// A day of samples, both ends included.
const SAMPLES_MAX: usize = 24 * 60 + 1;
/// Between two tallies.
pub(crate) const TALLY_EVERY: Duration = Duration::from_secs(5);
/// Shorter than this no rate by the second, and by the minute, is told: it would be made of one or two events.
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The tallies of a minute, both ends included.
const TALLIES_MAX: usize = 13;

/// How many there were at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) online: u64,
    pub(crate) away: u64,
}

/// How busy the last minute was, or as much of it as was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    /// Over how much time it was counted.
    pub(crate) observed: Duration,
    /// `None` before a minute was seen.
    pub(crate) transitions_per_minute: Option<f64>,
    /// `None` before a second was seen.
    pub(crate) evidence_per_second: Option<f64>,
}

/// The samples and tallies of this process.
#[derive(Default)]
pub(crate) struct Figures {
    samples: Mutex<VecDeque<Sample>>,
    tallies: Mutex<VecDeque<(Tick, Tally)>>,
}

impl Figures {
    /// Reckons the day before this moment back from the history.
    pub(crate) async fn reckon(&self, presently: &Presently) -> Result<(), presently::Error> {
        presently.settled().await?;
        let Some(begins) = presently.history_begins().await? else { return Ok(()) };
        let now = presently.now().wall;
        let counts = presently.counts();
        let micros = i64::try_from(SAMPLE_EVERY.as_micros()).unwrap_or(i64::MAX);
        let slices = SAMPLES_MAX as i64 - 1;
        let from = Timestamp(now.0 - slices * micros);
        let mut changes = presently.net_changes(from, Timestamp(now.0 + 1), SAMPLE_EVERY).await?;
        let (mut online, mut away) = (counts.online as i64, counts.away as i64);
        let mut reckoned = VecDeque::with_capacity(SAMPLES_MAX);
        for slice in (0..=slices).rev() {
            // What happened after this sample and not after the next one is undone.
            while let Some(change) = changes.pop_if(|change| change.slice >= slice.unsigned_abs()) {
                online -= change.online;
                away -= change.away;
            }
            let at = Timestamp(from.0 + slice * micros);
            if at < begins {
                break;
            }
            reckoned.push_front(Sample { at, online: online.max(0).unsigned_abs(), away: away.max(0).unsigned_abs() });
        }
        let mut samples = self.samples.lock();
        reckoned.extend(samples.iter().copied());
        *samples = reckoned;
        Ok(())
    }

    /// Takes a sample of this moment.
    pub(crate) fn sample(&self, presently: &Presently) {
        let counts = presently.counts();
        let sample = Sample { at: presently.now().wall, online: counts.online, away: counts.away };
        let mut samples = self.samples.lock();
        samples.push_back(sample);
        while samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// The samples from `from` on, every `step`th, the newest among them.
    pub(crate) fn since(&self, from: Timestamp, step: usize) -> Vec<Sample> {
        let samples = self.samples.lock();
        let mut newest_first: Vec<_> =
            samples.iter().rev().take_while(|sample| sample.at >= from).step_by(step).copied().collect();
        newest_first.reverse();
        newest_first
    }

    /// Takes a tally of this moment.
    pub(crate) fn tally(&self, at: Tick, tally: Tally) {
        let mut tallies = self.tallies.lock();
        tallies.push_back((at, tally));
        while tallies.len() > TALLIES_MAX {
            tallies.pop_front();
        }
    }

    /// How busy it was from the oldest tally to this one.
    pub(crate) fn pace(&self, at: Tick, now: &Tally) -> Pace {
        let tallies = self.tallies.lock();
        let Some((since, before)) = tallies.front() else { return Pace::default() };
        let observed = at - *since;
        let rate = |of: u64, unit: Duration| {
            (observed >= unit).then(|| of as f64 * unit.as_secs_f64() / observed.as_secs_f64())
        };
        Pace {
            observed,
            transitions_per_minute: rate(now.transitions.saturating_sub(before.transitions), MINUTE),
            evidence_per_second: rate(now.evidence.saturating_sub(before.evidence), SECOND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(transitions: u64, evidence: u64) -> Tally {
        Tally { transitions, evidence, ..Tally::default() }
    }

    #[test]
    fn the_pace_is_that_of_the_last_minute() {
        let figures = Figures::default();
        let at = |seconds: u64| Tick::default() + Duration::from_secs(seconds);
        let pace = |second, tally| {
            let Pace { observed, transitions_per_minute, evidence_per_second } = figures.pace(at(second), &tally);
            (observed.as_secs(), transitions_per_minute, evidence_per_second)
        };
        assert_eq!(pace(0, tally(5, 5)), (0, None, None));
        figures.tally(at(0), tally(0, 0));
        assert_eq!(pace(0, tally(1, 1)), (0, None, None), "one event is no rate");
        assert_eq!(pace(4, tally(1, 2)), (4, None, Some(0.5)), "nor is one in four seconds fifteen in a minute");
        for step in 1..=20 {
            figures.tally(at(step * 5), tally(step * 10, step * 100));
        }
        assert_eq!(pace(100, tally(200, 2_000)), (60, Some(120.0), Some(20.0)));
    }

    #[test]
    fn samples_are_thinned_from_the_newest_on() {
        let figures = Figures::default();
        let sample = |second: i64| Sample { at: Timestamp(second), online: 0, away: 0 };
        figures.samples.lock().extend((0..10).map(sample));
        let told: Vec<_> = figures.since(Timestamp(2), 3).iter().map(|sample| sample.at.0).collect();
        assert_eq!(told, [3, 6, 9]);
    }
}
