//! Days of traffic in virtual time: people come, beat, go idle, lose their connection, come back, leave; administrators act;
//! the clock steps; the server restarts and crashes. What the clients did is written down apart from the engine and compared.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::format;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use core::cmp::Reverse;

use super::store::Store;
use crate::{
    Activity, Effect, Effects, EndReason, Engine, Input, Limits, Now, Policy, Reason, Rejected, Source, Status, Tick,
    Timestamp, Transition,
};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;
/// Where the clock of deadlines starts.
const START: u64 = 5 * SECOND;
const TIMEOUT: u64 = 120 * SECOND;
const GRACE: u64 = 10 * SECOND;
/// How often the caller sweeps, and hands evidence over to the store.
const SWEEP_EVERY: u64 = SECOND / 2;
const DRAIN_EVERY: u64 = SECOND;

#[test]
fn two_days_of_three_thousand_people_leave_no_ghost_and_throw_nobody_out() {
    let transitions = Simulation::new(20_260_412, 3_000, 2 * DAY).run();
    assert!(transitions.len() > 20_000, "only {} transitions", transitions.len());
}

#[test]
fn many_short_histories_hold_too() {
    for seed in 0..30 {
        Simulation::new(seed, 40, DAY / 6).run();
    }
}

#[test]
fn the_same_inputs_give_the_same_transitions_whatever_keys_the_hash() {
    let run = |hash_seed| {
        let mut simulation = Simulation::new(77, 200, DAY / 4);
        simulation.hash_seed = hash_seed;
        simulation.engine = Engine::new(Policy::default(), Limits::default(), hash_seed, 1, 1);
        simulation.run()
    };
    assert_eq!(run(1), run(2));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    Beat(usize, usize),
    Act,
    Step,
    Restart,
    Drain,
    Sweep,
    Inspect,
}

/// One tab of one person. A client acts whether the server runs or not.
#[derive(Clone, Copy, Debug, Default)]
struct Tab {
    open: bool,
    beats_left: u32,
}

/// What the clients' acts amount to: between which moments the tab's session must end.
#[derive(Clone, Copy, Debug)]
struct Truth {
    evidence: u64,
    not_before: u64,
    not_after: u64,
}

struct Simulation {
    seed: u64,
    hash_seed: u64,
    random: u64,
    until: u64,
    tick: u64,
    step: i64,
    stepped_at: u64,
    down_until: u64,
    /// The moment of the last drain, on both clocks.
    kept: Now,
    next_number: u64,
    names: Vec<String>,
    tabs: Vec<[Tab; 3]>,
    truths: BTreeMap<(usize, usize), Truth>,
    barred: BTreeSet<usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    engine: Engine,
    store: Store,
    transitions: Vec<Transition>,
}

/// Prints the seed when an assertion fails.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "whoever sees the failure needs the seed to see it again")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::eprintln!("the seed was {}", self.0);
        }
    }
}

impl Simulation {
    fn new(seed: u64, people: usize, until: u64) -> Self {
        Self {
            seed,
            hash_seed: seed,
            random: seed,
            until,
            tick: 0,
            step: 0,
            stepped_at: 0,
            down_until: 0,
            kept: Now::default(),
            next_number: 1,
            names: (0..people).map(|person| format!("person-{person}")).collect(),
            tabs: std::iter::repeat_n([Tab::default(); 3], people).collect(),
            truths: BTreeMap::new(),
            barred: BTreeSet::new(),
            events: BinaryHeap::new(),
            scheduled: 0,
            engine: Engine::new(Policy::default(), Limits::default(), seed, 1, 1),
            store: Store::default(),
            transitions: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<Transition> {
        let _seed = Seed(self.seed);
        for person in 0..self.names.len() {
            let first = self.below(6 * 60 * MINUTE);
            self.at(first, Event::Arrive(person));
        }
        for event in [Event::Act, Event::Step, Event::Restart, Event::Drain, Event::Sweep, Event::Inspect] {
            self.at(0, event);
        }
        while let Some(Reverse((tick, _, event))) = self.events.pop()
            && tick < self.until
        {
            self.tick = tick;
            self.happen(event);
        }
        self.everybody_goes_home();
        self.transitions
    }

    fn happen(&mut self, event: Event) {
        let up = self.tick >= self.down_until;
        match event {
            Event::Arrive(person) => self.arrive(person),
            Event::Beat(person, tab) => self.beat(person, tab),
            Event::Act => {
                if up {
                    self.administrate();
                }
                let pause = self.below(MINUTE);
                self.after(pause, Event::Act);
            }
            Event::Step => {
                self.step += self.below(7200 * SECOND) as i64 - 3600 * SECOND as i64;
                self.stepped_at = self.tick.max(self.down_until);
                let pause = self.below(DAY / 6);
                self.after(pause, Event::Step);
            }
            Event::Restart => {
                // Wall times are all that a store has: right after a step it cannot tell how long somebody was silent.
                if up && self.tick - self.stepped_at > 3 * TIMEOUT {
                    self.restart();
                }
                let pause = self.below(DAY / 12);
                self.after(pause, Event::Restart);
            }
            Event::Drain => {
                if up {
                    self.drain();
                }
                self.after(DRAIN_EVERY, Event::Drain);
            }
            Event::Sweep => {
                if up {
                    self.sweep();
                }
                self.after(SWEEP_EVERY, Event::Sweep);
            }
            Event::Inspect => {
                if up {
                    self.inspect();
                }
                self.after(7 * MINUTE + SECOND / 3, Event::Inspect);
            }
        }
    }

    /// Somebody opens a tab, and their next visit is planned.
    fn arrive(&mut self, person: usize) {
        let tab = self.below(3) as usize;
        if !self.tabs[person][tab].open {
            let beats_left = 1 + self.below(40) as u32;
            self.tabs[person][tab] = Tab { open: true, beats_left };
            self.beat(person, tab);
        }
        let pause = if self.one_in(4) { self.below(10 * MINUTE) } else { self.below(10 * 60 * MINUTE) };
        self.after(pause, Event::Arrive(person));
    }

    fn beat(&mut self, person: usize, tab: usize) {
        let client = &mut self.tabs[person][tab];
        if client.beats_left == 0 {
            client.open = false;
            return self.leave(person, tab);
        }
        client.beats_left -= 1;
        let activity = match self.below(10) {
            0 => Some(Activity::Idle),
            1 => Some(Activity::Active),
            _ => None,
        };
        self.hear(person, tab, activity);
        let mut pause = 28 * SECOND + self.below(4 * SECOND);
        if self.one_in(40) {
            // The connection goes; the client is back sooner or later.
            self.lose(person, tab);
            pause = self.below(2 * TIMEOUT);
        }
        self.after(pause, Event::Beat(person, tab));
    }

    fn hear(&mut self, person: usize, tab: usize, activity: Option<Activity>) {
        if self.tick < self.down_until {
            return;
        }
        let (now, session) = (self.now(), format!("login/tab-{tab}"));
        let mut heard = self.engine.renew(now, &self.names[person], &session, activity);
        if !heard {
            let user = self.names[person].clone();
            let result = self.engine.apply(now, Input::Evidence { user: &user, session: &session, activity });
            heard = result.is_ok();
            match result {
                Ok(effects) => self.carry_out(&effects),
                Err(rejected) => assert_eq!((rejected, self.barred.contains(&person)), (Rejected::Barred, true)),
            }
        }
        if heard {
            let deadline = self.tick + TIMEOUT;
            self.truths.insert((person, tab), Truth { evidence: self.tick, not_before: deadline, not_after: deadline });
            let shown = self.engine.presence(&self.names[person]).expect("just heard");
            assert_eq!(shown.last_seen, Some(now.wall));
        }
    }

    fn lose(&mut self, person: usize, tab: usize) {
        if self.tick < self.down_until {
            return;
        }
        let session = format!("login/tab-{tab}");
        let user = self.names[person].clone();
        self.apply(Input::Drop { user: &user, session: &session });
        if let Some(truth) = self.truths.get_mut(&(person, tab)) {
            truth.not_before = truth.not_before.min(self.tick + GRACE);
            truth.not_after = truth.not_after.min(self.tick + GRACE);
        }
    }

    /// A tab closes: properly, by a logout, or without a word.
    fn leave(&mut self, person: usize, tab: usize) {
        if self.tick < self.down_until {
            return;
        }
        let (user, session) = (self.names[person].clone(), format!("login/tab-{tab}"));
        match self.below(3) {
            0 => {
                self.truths.remove(&(person, tab));
                self.apply(Input::EndSession { user: &user, session: &session, reason: EndReason::Disconnected });
            }
            1 => {
                self.forget_tabs(person);
                self.apply(Input::EndSession { user: &user, session: "login", reason: EndReason::Logout });
            }
            _ => {}
        }
    }

    fn administrate(&mut self) {
        let person = self.below(self.names.len() as u64) as usize;
        let user = &self.names[person].clone();
        let source = Source::ALL[self.below(3) as usize];
        let status = [Status::Offline, Status::Away, Status::Online][self.below(3) as usize];
        let length = Duration::from_micros(self.below(60 * MINUTE));
        match self.below(12) {
            0..=2 => self.apply(Input::Override { user, source, status, ends_after: Some(length) }),
            3 => self.apply(Input::ClearOverride { user, source }),
            4..=6 => {
                if status == Status::Offline {
                    self.forget_tabs(person);
                }
                self.apply(Input::Set { user, status });
            }
            7 => {
                self.barred.insert(person);
                self.forget_tabs(person);
                self.apply(Input::Bar { user });
            }
            8..=9 => {
                if let Some(barred) = self.barred.pop_first() {
                    let user = self.names[barred].clone();
                    self.apply(Input::Unbar { user: &user });
                }
            }
            10 => {
                self.forget_tabs(person);
                self.apply(Input::EndUser { user, reason: EndReason::ForcedLogout });
            }
            _ => {
                self.barred.remove(&person);
                self.forget_tabs(person);
                self.apply(Input::Forget { user });
            }
        }
    }

    /// Everything in memory is lost; half of the time also what was heard since the last drain.
    fn restart(&mut self) {
        let crash = self.one_in(2);
        if !crash {
            self.drain();
        }
        let stopped = self.now();
        let silence = stopped.tick - self.kept.tick;
        let down = SECOND + self.below(10 * MINUTE);
        self.down_until = self.tick + down;
        self.tick = self.down_until;
        let now = self.now();
        self.engine = Engine::new(Policy::default(), Limits::default(), self.hash_seed, self.next_number, 1);
        for person in self.barred.clone() {
            let user = self.names[person].clone();
            self.apply(Input::Bar { user: &user });
        }
        let inputs = self.store.restore(self.kept.wall, now, &Policy::default());
        for input in inputs {
            self.apply(input);
        }
        for truth in self.truths.values_mut() {
            // Nobody wrote down that a connection was lost, nor, in a crash, the last second.
            truth.not_after = truth.evidence + TIMEOUT + down + silence.as_micros() as u64;
            truth.not_before += down;
            truth.not_before -= if crash { DRAIN_EVERY.min(truth.not_before) } else { 0 };
        }
        if crash {
            // Between two drains a beat may have been lost; the one before it is all that is known.
            let lost = self.kept.tick.0 - START;
            for truth in self.truths.values_mut().filter(|truth| truth.evidence > lost) {
                truth.not_before = truth.not_before.min(self.tick);
            }
        }
        self.truths.values_mut().for_each(|truth| truth.evidence += down);
        self.engine.check_invariants();
    }

    fn drain(&mut self) {
        let store = &mut self.store;
        self.engine.drain_evidence(&mut |number, at| store.heard(number, at));
        self.kept = self.now();
    }

    fn sweep(&mut self) {
        let now = self.now();
        while self.engine.next_deadline().is_some_and(|deadline| deadline <= now.tick) {
            let effects = self.engine.sweep(now, 50);
            self.carry_out(&effects);
        }
    }

    /// Compares what is shown with what the clients did.
    fn inspect(&mut self) {
        self.engine.check_invariants();
        for person in 0..self.names.len() {
            let why = self.engine.explain(self.now(), &self.names[person]);
            let kept = self.store.presences.get(&self.names[person]).map_or(Status::Offline, |row| row.status);
            assert_eq!(
                why.as_ref().map_or(Status::Offline, |why| why.presence.status),
                kept,
                "{person} is kept wrongly"
            );
            let truths: Vec<Truth> = self.truths.range((person, 0)..(person + 1, 0)).map(|(_, truth)| *truth).collect();
            let merged = why.as_ref().map_or(Status::Offline, |why| why.merged);
            if merged == Status::Offline {
                let alive = truths.iter().any(|truth| truth.not_before > self.tick);
                assert!(!alive, "{person} was thrown out at {}: {truths:?}", self.tick);
            } else {
                let alive = truths.iter().any(|truth| truth.not_after + SWEEP_EVERY >= self.tick);
                assert!(alive, "{person} is a ghost at {}: {truths:?}", self.tick);
            }
            let Some(why) = why else { continue };
            if why.overrides.is_empty() && why.held.is_none() {
                assert_eq!(why.presence.status, if why.barred { Status::Offline } else { merged });
            }
            assert_eq!(why.barred, self.barred.contains(&person));
        }
    }

    /// When nobody is heard any more, nobody stays.
    fn everybody_goes_home(&mut self) {
        // An override is an hour at most, and longer by what the clock stepped back before a restart.
        let from = self.tick.max(self.down_until);
        for tick in (from..from + DAY).step_by(SWEEP_EVERY as usize) {
            self.tick = tick;
            self.sweep();
            if self.engine.next_deadline().is_none() {
                break;
            }
            assert!(tick < from + TIMEOUT + SECOND || self.engine.counts().sessions == 0, "ghosts");
        }
        let counts = self.engine.counts();
        assert_eq!((counts.online, counts.away, counts.sessions), (0, 0, 0), "ghosts");
        assert_eq!(counts.users, self.barred.len() as u64);
        assert!(self.store.sessions.is_empty() && self.store.overrides.is_empty() && self.store.held.is_empty());
        assert!(self.store.presences.values().all(|row| row.status == Status::Offline));
    }

    fn apply(&mut self, input: Input<'_>) {
        match self.engine.apply(self.now(), input) {
            Ok(effects) => self.carry_out(&effects),
            Err(rejected) => assert_eq!(rejected, Rejected::Barred),
        }
    }

    /// The store itself refuses a transition that does not follow the one before.
    fn carry_out(&mut self, effects: &Effects) {
        for effect in effects {
            self.store.keep(effect);
            match effect {
                Effect::OpenSession(row) => self.next_number = self.next_number.max(row.number + 1),
                Effect::Announce(change) => {
                    let late = change.lateness.unwrap_or_default();
                    assert!(late.as_micros() as u64 <= SWEEP_EVERY, "{change:?} came too late");
                    let timed = matches!(change.reason, Reason::Expired | Reason::OverrideEnded);
                    assert!(timed || change.lateness.is_none() || change.reason == Reason::Disconnected);
                    if change.to == Status::Offline && matches!(change.reason, Reason::Expired | Reason::Disconnected) {
                        self.nobody_was_thrown_out(change);
                    }
                    self.transitions.push(change.clone());
                }
                _ => {}
            }
        }
    }

    fn nobody_was_thrown_out(&self, change: &Transition) {
        let person = change.user.trim_start_matches("person-").parse::<usize>().expect("a person");
        let mut truths = self.truths.range((person, 0)..(person + 1, 0)).map(|(_, truth)| truth);
        assert!(truths.all(|truth| truth.not_before <= self.tick), "{change:?} threw somebody out at {}", self.tick);
    }

    fn forget_tabs(&mut self, person: usize) {
        for tab in 0..3 {
            self.truths.remove(&(person, tab));
        }
    }

    fn now(&self) -> Now {
        let wall = 1_790_000_000 * SECOND as i64 + self.tick as i64 + self.step;
        Now { tick: Tick(START + self.tick), wall: Timestamp(wall) }
    }

    fn after(&mut self, pause: u64, event: Event) {
        self.at(self.tick + pause, event);
    }

    fn at(&mut self, tick: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((tick, self.scheduled, event)));
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
