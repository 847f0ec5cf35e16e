//! Scripts: a line is a moment and what happens; the expectation is the whole list of effects, one a line, so silence is asserted too.
//!
//! ```text
//! 0s evidence alice/phone            0s +alice/phone active
//!                                    0s alice offline->online Evidence, seen 0s
//! ```
//! Moments are on the clock of deadlines; `seen`, `since` and ends are wall times. Both start at 0 and run together until `clock` steps the wall.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use super::store::Store;
use crate::{
    Activity, Effect, EndReason, Engine, Input, Limits, Now, Policy, RestoredOverride, RestoredSession, RestoredUser,
    SessionNumber, Source, Status, Tick, Timestamp,
};

/// Where both clocks start: nothing may depend on a zero.
const TICK: u64 = 77_000_123;
const WALL: i64 = 1_790_000_000_000_000;

/// Runs a script under the default policy (120 s, grace 10 s) and compares everything that came of it.
#[track_caller]
pub(super) fn check(script: &str, expected: &str) {
    check_with(Policy::default(), Limits::default(), script, expected);
}

#[track_caller]
pub(super) fn check_with(policy: Policy, limits: Limits, script: &str, expected: &str) {
    let mut play = Play::new(policy, limits);
    for line in lines(script) {
        play.line(line);
    }
    let expected: Vec<&str> = lines(expected).collect();
    let told = play.told.iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(told, expected, "\ncame of it:\n{}\nexpected:\n{}\n", told.join("\n"), expected.join("\n"));
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

struct Play {
    policy: Policy,
    limits: Limits,
    engine: Engine,
    store: Store,
    names: BTreeMap<SessionNumber, String>,
    step: i64,
    stopped: Timestamp,
    numbers: SessionNumber,
    told: Vec<String>,
}

impl Play {
    fn new(policy: Policy, limits: Limits) -> Self {
        let engine = Engine::new(policy, limits, 1, 1, 1);
        let (store, names) = (Store::default(), BTreeMap::new());
        Self { policy, limits, engine, store, names, step: 0, stopped: Timestamp(WALL), numbers: 1, told: Vec::new() }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let at = words.next().expect("a moment");
        let time = duration(at);
        let micros = time.as_micros() as i64;
        let now = Now { tick: Tick(TICK + micros as u64), wall: Timestamp(WALL + micros + self.step) };
        let command = words.next().expect("a command");
        let rest: Vec<&str> = words.collect();
        let who = rest.first().copied().unwrap_or_default();
        let (user, session) = who.split_once('/').unwrap_or((who, ""));
        let word = rest.get(1).copied().unwrap_or_default();
        match command {
            "evidence" => self.apply(at, now, Input::Evidence { user, session, activity: Activity::parse(word) }),
            "beat" => {
                // As a caller does it: the quick way, then the whole way.
                if !self.engine.renew(now, user, session, Activity::parse(word)) {
                    self.apply(at, now, Input::Evidence { user, session, activity: Activity::parse(word) });
                }
            }
            "renew" => {
                let renewed = self.engine.renew(now, user, session, Activity::parse(word));
                self.told.push(format!("{at} {}", if renewed { "renewed" } else { "not renewed" }));
            }
            "end" if who.contains('/') => self.apply(at, now, Input::EndSession { user, session, reason: end(word) }),
            "end" => self.apply(at, now, Input::EndUser { user, reason: end(word) }),
            "drop" => self.apply(at, now, Input::Drop { user, session }),
            "set" => self.apply(at, now, Input::Set { user, status: status(word) }),
            "override" => {
                let ends_after = rest.get(3).map(|length| duration(length));
                let input = Input::Override { user, source: source(word), status: status(rest[2]), ends_after };
                self.apply(at, now, input);
            }
            "clear" => self.apply(at, now, Input::ClearOverride { user, source: source(word) }),
            "bar" => self.apply(at, now, Input::Bar { user }),
            "unbar" => self.apply(at, now, Input::Unbar { user }),
            "forget" => self.apply(at, now, Input::Forget { user }),
            "restore" => {
                let input = self.restored(&rest);
                self.apply(at, now, input);
            }
            "sweep" => {
                let limit = if who.is_empty() { usize::MAX } else { who.parse().expect("a limit") };
                let effects = self.engine.sweep(now, limit);
                self.tell(at, now, &effects);
            }
            "clock" => self.step += signed(who),
            "drain" => self.drain(Some(at)),
            "stop" => {
                // A caller that goes down has kept what was heard.
                self.drain(None);
                self.stopped = now.wall;
            }
            "start" => self.start(at, now),
            "show" => self.show(at, user),
            "explain" => self.explain(at, now, user),
            "counts" => {
                let counts = self.engine.counts();
                let (online, away) = (counts.online, counts.away);
                self.told.push(format!("{at} {online} online {away} away {} sessions", counts.sessions));
            }
            "next" => {
                let next = self.engine.next_deadline();
                self.told.push(format!(
                    "{at} next {}",
                    next.map_or("never".into(), |tick| seconds(tick.0 as i64 - TICK as i64))
                ));
            }
            other => panic!("unknown command {other}"),
        }
        self.engine.check_invariants();
    }

    fn apply(&mut self, at: &str, now: Now, input: Input<'_>) {
        match self.engine.apply(now, input) {
            Ok(effects) => self.tell(at, now, &effects),
            Err(rejected) => self.told.push(format!("{at} rejected {rejected:?}")),
        }
    }

    fn tell(&mut self, at: &str, now: Now, effects: &[Effect]) {
        for effect in effects {
            let told = match effect {
                Effect::Announce(change) => {
                    assert_eq!(change.at, now.wall);
                    let late = change.lateness.map_or(String::new(), |late| format!(", {}s late", late.as_secs_f64()));
                    let seen = wall(change.last_seen);
                    format!(
                        "{} {}->{} {:?}, seen {seen}{late}",
                        change.user,
                        change.from.as_str(),
                        change.to.as_str(),
                        change.reason
                    )
                }
                Effect::SavePresence(row) => {
                    format!("={} {}, seen {}", row.user, row.status.as_str(), wall(row.last_seen))
                }
                Effect::OpenSession(row) | Effect::SaveSession(row) => {
                    self.numbers = self.numbers.max(row.number + 1);
                    let name = format!("{}/{}", row.user, row.session);
                    self.names.insert(row.number, name.clone());
                    format!("+{name} {}", row.activity.as_str())
                }
                Effect::ForgetSession(_, number) => format!("-{}", self.names[number]),
                Effect::SaveOverride(row) => {
                    let until = row.ends_at.map_or(String::new(), |end| format!(" until {}", wall(Some(end))));
                    format!("+{} {}={}{until}", row.user, row.source.as_str(), row.status.as_str())
                }
                Effect::ForgetOverride(user, source) => format!("-{user} {}", source.as_str()),
                Effect::SaveHeld(row) => format!("+{} held={}", row.user, row.status.as_str()),
                Effect::ForgetHeld(user) => format!("-{user} held"),
                Effect::Erase(user) => format!("erase {user}"),
            };
            self.told.push(format!("{at} {told}"));
            self.store.keep(effect);
        }
    }

    fn drain(&mut self, at: Option<&str>) {
        let mut heard = Vec::new();
        self.engine.drain_evidence(&mut |number, evidence| heard.push((number, evidence)));
        for (number, evidence) in heard {
            self.store.heard(number, evidence);
            if let Some(at) = at {
                self.told.push(format!("{at} heard {} {}", self.names[&number], wall(Some(evidence))));
            }
        }
    }

    fn start(&mut self, at: &str, now: Now) {
        self.engine = Engine::new(self.policy, self.limits, 2, self.numbers, 1);
        for input in self.store.restore(self.stopped, now, &self.policy) {
            self.apply(at, now, input);
        }
    }

    fn show(&mut self, at: &str, user: &str) {
        let shown = self.engine.presence(user).map_or(format!("{user} is not in memory"), |presence| {
            let (seen, since) = (wall(presence.last_seen), wall(presence.since));
            format!("{user} is {}, seen {seen}, since {since}", presence.status.as_str())
        });
        self.told.push(format!("{at} {shown}"));
    }

    fn explain(&mut self, at: &str, now: Now, user: &str) {
        let Some(why) = self.engine.explain(now, user) else {
            self.told.push(format!("{at} {user} is not in memory"));
            return;
        };
        assert_eq!(Some(why.presence), self.engine.presence(user));
        let mut told = format!("{at} {user} merged={}", why.merged.as_str());
        for session in why.sessions {
            let heard = wall(Some(session.last_evidence));
            let left = session.remaining.as_secs_f64();
            told += &format!(" {}:{}:heard={heard}:left={left}s", session.session, session.activity.as_str());
        }
        for standing in why.overrides {
            told += &format!(" {}={}", standing.source.as_str(), standing.status.as_str());
        }
        if let Some(held) = why.held {
            told += &format!(" held={}", held.as_str());
        }
        if why.barred {
            told += " barred";
        }
        self.told.push(told);
    }

    /// `restore alice online 110s 5s phone:active:90s admin=away:30s held=online:20s`: status, last seen, since, parts with what they have left.
    fn restored(&mut self, rest: &[&str]) -> Input<'static> {
        let at = |word: &str| Timestamp(WALL + signed(word));
        let mut user = RestoredUser {
            user: rest[0].into(),
            status: status(rest[1]),
            last_seen: (rest[2] != "never").then(|| at(rest[2])),
            since: at(rest[3]),
            sessions: Vec::new(),
            overrides: Vec::new(),
            held: None,
        };
        for part in &rest[4..] {
            let mut words = part.split([':', '=']);
            let (name, state) = (words.next().expect("a name"), words.next().expect("a state"));
            let left = words.next().map(duration);
            let seen = user.last_seen.unwrap_or_default();
            match (name, Source::parse(name)) {
                ("held", _) => user.held = Some((status(state), left.expect("how much is left"))),
                (_, Some(source)) => user.overrides.push(RestoredOverride {
                    source,
                    status: status(state),
                    set_at: user.since,
                    ends_at: None,
                    ends_after: left,
                }),
                _ => {
                    let number = 1000 + self.names.len() as u64;
                    self.names.insert(number, format!("{}/{name}", user.user));
                    user.sessions.push(RestoredSession {
                        number,
                        session: name.into(),
                        activity: Activity::parse(state).expect("an activity"),
                        opened_at: user.since,
                        last_evidence: seen,
                        remaining: left.expect("how much is left"),
                    });
                }
            }
        }
        self.pretend_kept(&user);
        Input::Restore(user)
    }

    /// The store that a `restore` line speaks of.
    fn pretend_kept(&mut self, user: &RestoredUser) {
        use crate::{HeldRow, OverrideRow, PresenceRow, SessionRow};
        let (name, set_at) = (user.user.clone(), user.since);
        let row = PresenceRow { user: name.clone(), status: user.status, last_seen: user.last_seen, since: set_at };
        self.store.presences.insert(name.to_string(), row);
        for session in &user.sessions {
            let RestoredSession { number, session, activity, opened_at, last_evidence, .. } = session.clone();
            let row = SessionRow { number, user: name.clone(), session, activity, opened_at, last_evidence };
            self.store.sessions.insert(number, row);
        }
        for &RestoredOverride { source, status, set_at, ends_at, .. } in &user.overrides {
            let row = OverrideRow { user: name.clone(), source, status, set_at, ends_at };
            self.store.overrides.insert((name.to_string(), source), row);
        }
        if let Some((status, _)) = user.held {
            self.store.held.insert(name.to_string(), HeldRow { user: name, status, set_at });
        }
    }
}

fn status(word: &str) -> Status {
    Status::parse(word).unwrap_or_else(|| panic!("{word:?} is no status"))
}

fn source(word: &str) -> Source {
    Source::parse(word).unwrap_or_else(|| panic!("{word:?} is no source"))
}

fn end(word: &str) -> EndReason {
    match word {
        "logout" => EndReason::Logout,
        "disconnected" => EndReason::Disconnected,
        "forced" => EndReason::ForcedLogout,
        other => panic!("{other:?} is no reason to end"),
    }
}

/// `3d`, `1h`, `90s`, `0.25s`.
fn duration(word: &str) -> Duration {
    let (number, unit) = word.split_at(word.len() - 1);
    let factor = match unit {
        "d" => 86_400.0,
        "h" => 3_600.0,
        "s" => 1.0,
        other => panic!("{other:?} is no unit"),
    };
    let seconds: f64 = number.parse().unwrap_or_else(|_| panic!("{word:?} is no time"));
    Duration::from_micros((seconds * factor * 1e6).round() as u64)
}

fn signed(word: &str) -> i64 {
    let micros = |word| duration(word).as_micros() as i64;
    word.strip_prefix('-').map_or_else(|| micros(word.trim_start_matches('+')), |rest| -micros(rest))
}

fn wall(at: Option<Timestamp>) -> String {
    at.map_or("never".into(), |at| seconds(at.0 - WALL))
}

fn seconds(micros: i64) -> String {
    format!("{}s", micros as f64 / 1e6)
}
