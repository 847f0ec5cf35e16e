//! The life of one made-up login: a state machine that performs no I/O. **Who is present beats in time**: whoever goes
//! offline here does so as people do, and not because the demo forgot them.

use std::time::Duration;

use presently::{Activity, Policy, Tick};

use super::chance::Chance;
use super::past::PRESENT;

/// On the average something can be seen to happen this often.
const SEEN_EVERY: Duration = Duration::from_millis(800);
/// Nobody stays as they are for shorter or longer than this, on the average.
const STAY_MIN: Duration = Duration::from_secs(8);
const STAY_MAX: Duration = Duration::from_secs(300);
/// Nothing ends sooner than this.
const MOMENT: Duration = Duration::from_secs(2);

/// How many have a second device.
pub(super) const SECOND_DEVICE: f64 = 0.2;
/// What those who are active do next, by chance, up to this share: idle, log out, drop; the others fall silent.
const ACTIVE_TO: [f64; 3] = [0.5, 0.7, 0.85];
/// What those who are idle do next: become active, log out; the others fall silent.
const IDLE_TO: [f64; 2] = [0.65, 0.8];
/// How long one is idle, in the stays of those who are active.
const IDLE_STAY: f64 = 0.7;

/// How fast lives go by.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    stay: Duration,
    /// How long one is signed out: so long that as many are there as there were in the past.
    out: Duration,
    /// How many of those who are not there are only silent, and back sooner.
    silent: f64,
    policy: Policy,
}

impl Pace {
    /// So that among so many users something happens about every second.
    pub(super) fn new(users: usize, policy: Policy) -> Self {
        let stay = SEEN_EVERY.saturating_mul(u32::try_from(users).unwrap_or(u32::MAX)).clamp(STAY_MIN, STAY_MAX);
        let (out, silent) = absence(stay, policy);
        Self { stay, out, silent, policy }
    }
}

/// How long one must be signed out, on the average, for [`PRESENT`] of all to be there at any moment; and which share of those who
/// are not there is silent.
fn absence(stay: Duration, policy: Policy) -> (Duration, f64) {
    let [to_idle, to_out, to_dropped] = ACTIVE_TO;
    let [idle_to_active, idle_to_out] = IDLE_TO;
    // How often one is what, between two logouts.
    let active = 1.0 / ((to_out - to_idle) + to_idle * (idle_to_out - idle_to_active));
    let idle = active * to_idle;
    let dropped = active * (to_dropped - to_out);
    let silent = active * (1.0 - to_dropped) + idle * (1.0 - idle_to_out);
    // For how long: who is silent is shown until the timeout, and offline after it.
    let shown = stay.mul_f64(active + idle * IDLE_STAY)
        + policy.inactivity_timeout().mul_f64(silent)
        + policy.reconnect_grace().mul_f64(dropped);
    let unseen = stay.mul_f64(silent);
    // With a second device some are there twice: one device is there less often than its owner.
    let device = owner_to_device(PRESENT);
    let absent = shown.mul_f64((1.0 - device) / device);
    (absent.saturating_sub(unseen), (unseen.as_secs_f64() / absent.as_secs_f64()).min(1.0))
}

/// The share of the time in which one device is there, when [`SECOND_DEVICE`] have two and a person is there in this share:
/// `person = device + SECOND_DEVICE * (device - device²)`, solved for `device`.
fn owner_to_device(person: f64) -> f64 {
    let (a, b) = (SECOND_DEVICE, 1.0 + SECOND_DEVICE);
    (b - (b * b - 4.0 * a * person).sqrt()) / (2.0 * a)
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
        if mood == Mood::Out && chance.happens(pace.silent) {
            life.until = now + chance.about(pace.stay).max(MOMENT);
        }
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
            Mood::Active if turn < ACTIVE_TO[0] => (Mood::Idle, Act::Beat(Activity::Idle)),
            Mood::Active if turn < ACTIVE_TO[1] => (Mood::Out, Act::LogOut),
            Mood::Active if turn < ACTIVE_TO[2] => (Mood::Dropped, Act::Drop),
            Mood::Idle if turn < IDLE_TO[0] => (Mood::Active, Act::Beat(Activity::Active)),
            Mood::Idle if turn < IDLE_TO[1] => (Mood::Out, Act::LogOut),
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
            Mood::Out => chance.about(pace.out),
            Mood::Active => chance.about(pace.stay),
            Mood::Idle => chance.about(pace.stay.mul_f64(IDLE_STAY)),
            Mood::Silent => pace.policy.inactivity_timeout() + chance.about(pace.stay),
            Mood::Dropped => chance.between(grace.mul_f64(0.3), grace.mul_f64(1.7)),
        };
        (self.mood, self.until) = (mood, now + length.max(MOMENT));
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::{BinaryHeap, HashMap};

    use presently::Timestamp;

    use super::super::past::past;
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

    #[test]
    fn as_many_stay_as_there_were_when_the_past_ended() {
        const MINUTE: u64 = 60_000_000;
        for (users, timeout) in [(300, 20), (2_000, 20), (2_000, 120)] {
            let policy =
                Policy::new(Duration::from_secs(timeout), Duration::from_secs(5), Duration::from_secs(10)).unwrap();
            let (mut chance, pace) = (Chance::new(7), Pace::new(users, policy));
            let mut devices = Vec::new();
            for owner in 0..users {
                let now = Timestamp(1_800_000_000_000_000);
                let past = past(&owner.to_string().into(), true, now, policy, &mut chance);
                let present = past.present.map(|(_, activity)| activity);
                let shown_until = present.map_or(Tick(0), |_| Tick(0) + policy.inactivity_timeout());
                devices.push((owner, Life::begin(present, Tick(0), &mut chance, &pace), shown_until));
                if chance.happens(SECOND_DEVICE) {
                    devices.push((owner, Life::begin(None, Tick(0), &mut chance, &pace), Tick(0)));
                }
            }
            let dues = devices.iter().enumerate();
            let mut dues: BinaryHeap<_> =
                dues.map(|(place, (_, life, _))| Reverse((life.due(Tick(0), &mut chance, &pace), place))).collect();
            for minute in 0..40 {
                let there: std::collections::HashSet<_> =
                    devices.iter().filter(|device| device.2 > Tick(minute * MINUTE)).map(|device| device.0).collect();
                let (there, expected) = (there.len() as f64, PRESENT * users as f64);
                // Four times the deviation of so many who each are there or not.
                let chance_alone = 4.0 * (expected * (1.0 - PRESENT)).sqrt();
                assert!(
                    (there - expected).abs() < chance_alone,
                    "{users}: {there} after {minute} minutes, not {expected}"
                );
                while let Some(&Reverse((now, place))) = dues.peek()
                    && now < Tick((minute + 1) * MINUTE)
                {
                    dues.pop();
                    let (_, life, shown_until) = &mut devices[place];
                    *shown_until = match life.step(now, &mut chance, &pace) {
                        Act::SignIn | Act::Beat(_) => now + policy.inactivity_timeout(),
                        Act::Drop => now + policy.reconnect_grace(),
                        Act::LogOut => now,
                        Act::Nothing => *shown_until,
                    };
                    dues.push(Reverse((life.due(now, &mut chance, &pace), place)));
                }
            }
        }
    }
}
