//! The life of one made-up login: a state machine that performs no I/O. **Who is present beats in time**: whoever goes
//! offline here does so as people do, and not because the demo forgot them.

use std::time::Duration;

use presently::{Activity, Policy, Tick};

use super::chance::Chance;

/// On the average something can be seen to happen this often.
const SEEN_EVERY: Duration = Duration::from_millis(800);
/// Nobody stays as they are for shorter or longer than this, on the average.
const STAY_MIN: Duration = Duration::from_secs(8);
const STAY_MAX: Duration = Duration::from_secs(300);
/// Nothing ends sooner than this.
const MOMENT: Duration = Duration::from_secs(2);

/// How fast lives go by.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    stay: Duration,
    policy: Policy,
}

impl Pace {
    /// So that among so many users something happens about every second.
    pub(super) fn new(users: usize, policy: Policy) -> Self {
        let stay = SEEN_EVERY.saturating_mul(u32::try_from(users).unwrap_or(u32::MAX)).clamp(STAY_MIN, STAY_MAX);
        Self { stay, policy }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Signed out, or never signed in.
    Out,
    Active,
    Idle,
    /// Signed in, and not heard: a closed lid, a tunnel.
    Silent,
    /// The socket dropped. Who comes back within the grace was never seen to leave.
    Dropped,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    SignIn,
    Beat(Activity),
    Drop,
    LogOut,
    Nothing,
}

/// What one login is at, and until when.
#[derive(Clone, Debug)]
pub(super) struct Life {
    mood: Mood,
    until: Tick,
}

impl Life {
    /// Somebody who is there already, or will come.
    pub(super) fn begin(present: Option<Activity>, now: Tick, chance: &mut Chance, pace: &Pace) -> Self {
        let mood = match present {
            None => Mood::Out,
            Some(Activity::Active) => Mood::Active,
            Some(Activity::Idle) => Mood::Idle,
        };
        let mut life = Self { mood, until: now };
        life.become_now(mood, now, chance, pace);
        life
    }

    /// What is to be done now.
    pub(super) fn step(&mut self, now: Tick, chance: &mut Chance, pace: &Pace) -> Act {
        if now < self.until {
            return match self.mood {
                Mood::Active => Act::Beat(Activity::Active),
                Mood::Idle => Act::Beat(Activity::Idle),
                Mood::Out | Mood::Silent | Mood::Dropped => Act::Nothing,
            };
        }
        let turn = chance.share();
        let (mood, act) = match self.mood {
            Mood::Out => (Mood::Active, Act::SignIn),
            Mood::Silent | Mood::Dropped => (Mood::Active, Act::Beat(Activity::Active)),
            Mood::Active if turn < 0.5 => (Mood::Idle, Act::Beat(Activity::Idle)),
            Mood::Active if turn < 0.7 => (Mood::Out, Act::LogOut),
            Mood::Active if turn < 0.85 => (Mood::Dropped, Act::Drop),
            Mood::Idle if turn < 0.65 => (Mood::Active, Act::Beat(Activity::Active)),
            Mood::Idle if turn < 0.8 => (Mood::Out, Act::LogOut),
            Mood::Active | Mood::Idle => (Mood::Silent, Act::Nothing),
        };
        self.become_now(mood, now, chance, pace);
        act
    }

    /// Somebody ended the login, or did not let it in.
    pub(super) fn thrown_out(&mut self, now: Tick, chance: &mut Chance, pace: &Pace) {
        self.become_now(Mood::Out, now, chance, pace);
    }

    /// When the next step is due. Who is present beats more often than asked, and not all at once.
    pub(super) fn due(&self, now: Tick, chance: &mut Chance, pace: &Pace) -> Tick {
        let interval = pace.policy.heartbeat_interval();
        match self.mood {
            Mood::Active | Mood::Idle => (now + chance.between(interval.mul_f64(0.7), interval)).min(self.until),
            Mood::Out | Mood::Silent | Mood::Dropped => self.until,
        }
    }

    fn become_now(&mut self, mood: Mood, now: Tick, chance: &mut Chance, pace: &Pace) {
        let grace = pace.policy.reconnect_grace();
        let length = match mood {
            Mood::Out => chance.about(pace.stay.mul_f64(1.5)),
            Mood::Active => chance.about(pace.stay),
            Mood::Idle => chance.about(pace.stay.mul_f64(0.7)),
            Mood::Silent => pace.policy.inactivity_timeout() + chance.about(pace.stay),
            Mood::Dropped => chance.between(grace.mul_f64(0.3), grace.mul_f64(1.7)),
        };
        (self.mood, self.until) = (mood, now + length.max(MOMENT));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn policy() -> Policy {
        Policy::new(Duration::from_secs(20), Duration::from_secs(5), Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn who_is_present_beats_in_time_and_everything_happens() {
        let (mut chance, pace) = (Chance::new(3), Pace::new(300, policy()));
        let mut now = Tick(0);
        let mut life = Life::begin(None, now, &mut chance, &pace);
        let mut seen: HashMap<&str, u32> = HashMap::new();
        for _ in 0..20_000 {
            let present = matches!(life.mood, Mood::Active | Mood::Idle);
            let due = life.due(now, &mut chance, &pace);
            assert!(!present || due - now <= policy().heartbeat_interval());
            now = due;
            let before = life.mood;
            let what = match life.step(now, &mut chance, &pace) {
                Act::SignIn => "signs in",
                Act::Beat(_) => "beats",
                Act::Drop => "drops",
                Act::LogOut => "logs out",
                Act::Nothing => {
                    assert_eq!(life.mood, Mood::Silent, "after {before:?}");
                    "falls silent"
                }
            };
            *seen.entry(what).or_default() += 1;
        }
        for what in ["signs in", "beats", "drops", "logs out", "falls silent"] {
            assert!(seen.get(what).is_some_and(|times| *times > 10), "{what}: {seen:?}");
        }
    }

    #[test]
    fn among_few_and_among_many_something_happens_about_every_second() {
        for (users, at_least, at_most) in [(10, 0.3, 3.0), (300, 0.5, 3.0), (1_000, 1.0, 10.0)] {
            let (mut chance, pace) = (Chance::new(users), Pace::new(users as usize, policy()));
            let minutes = 20;
            let mut changes = 0;
            for _ in 0..users {
                let mut now = Tick(0);
                let mut life = Life::begin(None, now, &mut chance, &pace);
                while now < Tick(minutes * 60_000_000) {
                    let before = life.mood;
                    now = life.due(now, &mut chance, &pace);
                    life.step(now, &mut chance, &pace);
                    changes += u64::from(before != life.mood);
                }
            }
            let per_second = changes as f64 / (minutes * 60) as f64;
            assert!((at_least..at_most).contains(&per_second), "{users}: {per_second} a second");
        }
    }
}
