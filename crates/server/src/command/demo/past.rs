//! The day before the demo. **A past leads to its present**: each transition begins where the one before it ended, and
//! who is present at the end is so because of the last one. As many are there at the end as the lives that go on from it keep there
//! ([`Pace`](super::life::Pace)), so that a curve over both has no step.

use std::f64::consts::TAU;
use std::time::Duration;

use presently::store::{Audience, TransitionRow};
use presently::{Activity, Policy, PresenceRow, Reason, Status, Timestamp, UserId};

use super::chance::Chance;

/// How far the past goes back.
const DAY: Duration = Duration::from_secs(86_400);
/// How long one is there, and not, on the average, at the busiest time.
const VISIT: Duration = Duration::from_secs(80 * 60);
const GAP: Duration = Duration::from_secs(95 * 60);
/// How long one is active, and idle, within a visit.
const ACTIVE: Duration = Duration::from_secs(20 * 60);
const IDLE: Duration = Duration::from_secs(8 * 60);
/// Nothing was shorter than this.
const MINUTE: Duration = Duration::from_secs(60);
/// How many are there at the end, and from then on.
pub(super) const PRESENT: f64 = 0.45;
/// How busy it was at the quietest time, half a day ago.
const QUIETEST: f64 = 0.3;
/// Who did not come within the day was last seen between these: before any visit that reaches into it.
const LONG_AGO: [Duration; 2] = [DAY.saturating_mul(2), DAY.saturating_mul(30)];

/// What happened to one user.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) transitions: Vec<TransitionRow>,
    pub(super) presence: PresenceRow,
    /// Since when they are there, and how.
    pub(super) present: Option<(Timestamp, Activity)>,
}

/// How busy it was then: most now and a day ago.
fn busy(ago: Duration) -> f64 {
    let turn = ago.as_secs_f64() / DAY.as_secs_f64() * TAU;
    QUIETEST + (1.0 - QUIETEST) * f64::midpoint(1.0, turn.cos())
}

/// From when to when they were there, as times before now, the newest first; one that ends at zero goes on, and the oldest began before
/// the day.
fn visits(may_be_present: bool, chance: &mut Chance) -> Vec<(Duration, Duration)> {
    let mut visits = Vec::new();
    let mut ago = Duration::ZERO;
    if may_be_present && chance.happens(PRESENT) {
        ago = chance.about(VISIT) + MINUTE;
        visits.push((ago, Duration::ZERO));
    }
    loop {
        let end = ago + chance.about(GAP.div_f64(busy(ago))) + MINUTE;
        if end > DAY {
            return visits;
        }
        ago = end + chance.about(VISIT) + MINUTE;
        visits.push((ago, end));
    }
}

/// Makes up what happened to `user` until `now`.
pub(super) fn past(user: &UserId, may_be_present: bool, now: Timestamp, policy: Policy, chance: &mut Chance) -> Past {
    let at = |ago: Duration| Timestamp(now.0.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)));
    let long_ago = at(chance.between(LONG_AGO[0], LONG_AGO[1]));
    let mut presence =
        PresenceRow { user: user.clone(), status: Status::Offline, last_seen: Some(long_ago), since: long_ago };
    let (mut transitions, mut present) = (Vec::new(), None);
    let mut change = |to: Status, ago: Duration, heard: Duration, reason: Reason| {
        let last_seen = Some(at(heard)).max(presence.last_seen);
        let (from, at, audience) = (presence.status, at(ago), Audience::Everybody);
        transitions.push(TransitionRow { user: user.clone(), from, to, at, last_seen, reason, audience });
        (presence.status, presence.last_seen, presence.since) = (to, last_seen, at);
    };
    for (start, end) in visits(may_be_present, chance).into_iter().rev() {
        change(Status::Online, start, start, Reason::Evidence);
        let (mut ago, mut activity) = (start, Activity::Active);
        loop {
            let stay = if activity == Activity::Active { ACTIVE } else { IDLE };
            ago = ago.saturating_sub(chance.about(stay) + MINUTE);
            if ago < end + MINUTE {
                break;
            }
            let status;
            (activity, status) = match activity {
                Activity::Active => (Activity::Idle, Status::Away),
                Activity::Idle => (Activity::Active, Status::Online),
            };
            change(status, ago, ago, Reason::Activity);
        }
        if end.is_zero() {
            present = Some((at(start), activity));
            continue;
        }
        let (reason, silence) = match chance.share() {
            ..0.5 => (Reason::Logout, Duration::ZERO),
            ..0.85 => (Reason::Expired, policy.inactivity_timeout()),
            _ => (Reason::Disconnected, policy.reconnect_grace()),
        };
        change(Status::Offline, end, end + silence, reason);
    }
    if present.is_some() {
        presence.last_seen = Some(at(chance.between(Duration::ZERO, policy.heartbeat_interval())));
    }
    Past { transitions, presence, present }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_leads_to_its_present() {
        let now = Timestamp(1_800_000_000_000_000);
        let mut chance = Chance::new(5);
        let mut present = 0;
        for number in 0..500 {
            let user: UserId = number.to_string().into();
            let past = past(&user, number % 10 > 0, now, Policy::default(), &mut chance);
            let mut held = (Status::Offline, Timestamp(0));
            for row in &past.transitions {
                assert_eq!((row.from, &row.user), (held.0, &user), "{row}");
                assert!(row.to != row.from && held.1 < row.at && row.at < now, "{row}");
                assert!(row.last_seen.is_some_and(|seen| seen <= row.at), "{row}");
                held = (row.to, row.at);
            }
            assert_eq!(past.presence.status, held.0);
            assert!(past.transitions.is_empty() || past.presence.since == held.1);
            let shown = match past.present {
                None => Status::Offline,
                Some((_, Activity::Active)) => Status::Online,
                Some((_, Activity::Idle)) => Status::Away,
            };
            assert_eq!(past.presence.status, shown);
            assert!(number % 10 > 0 || past.present.is_none());
            present += usize::from(past.present.is_some());
        }
        assert!((150..260).contains(&present), "{present} of 450 who may");
    }

    #[test]
    fn the_numbers_change_little_by_little() {
        let (now, mut chance, users) = (Timestamp(1_800_000_000_000_000), Chance::new(11), 2_000);
        let pasts: Vec<_> = (0..users)
            .map(|user: i32| past(&user.to_string().into(), true, now, Policy::default(), &mut chance).transitions)
            .collect();
        let there_then = |minutes: i64| {
            let then = Timestamp(now.0 - minutes * 60_000_000);
            let last = |rows: &&Vec<TransitionRow>| rows.iter().rev().find(|row| row.at <= then).map(|row| row.to);
            pasts.iter().filter(|rows| last(rows).is_some_and(|status| status != Status::Offline)).count() as f64
        };
        let day = 24 * 60;
        for ago in (10..180).chain(day - 180..day).step_by(10) {
            let (before, after) = (there_then(ago), there_then(ago - 10));
            assert!((after - before).abs() < 0.05 * f64::from(users), "{before} {ago} minutes ago, then {after}");
        }
        assert!(there_then(day) > 0.3 * f64::from(users), "a day ago they were there as well: {}", there_then(day));
        assert!((there_then(0) - PRESENT * f64::from(users)).abs() < 0.05 * f64::from(users));
    }
}
