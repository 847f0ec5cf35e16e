//! What a million online users cost: memory, a heartbeat, and a second of sweeping while all of them beat every 30 s.
//!
//! ```text
//! cargo run --release -p presently-core --example footprint
//! ```
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::time::{Duration, Instant};

use presently_core::{Engine, Input, Limits, Now, Policy, Tick, Timestamp};

const USERS: u64 = 1_000_000;
const BEAT: u64 = 30_000_000;
/// A beat of virtual time.
const STEP: u64 = 10_000;
/// Scatters neighbours in time over the memory; prime to `USERS`.
const STRIDE: u64 = 611_953;

fn main() {
    let names: Vec<(String, String)> =
        (0..USERS).map(|user| ((1_000_000 + user).to_string(), format!("{user:022}"))).collect();
    let mut engine = Engine::new(Policy::default(), Limits::default(), 7, 1, 1);

    let before = resident_bytes();
    let begun = moment();
    let mut steps = Steps::default();
    for tick in (0..BEAT).step_by(STEP as usize) {
        for user in due(tick) {
            let (user, session) = &names[user];
            let input = Input::Evidence { user, session, activity: None };
            let effects = engine.apply(at(tick), input).map_or(0, |effects| effects.len());
            assert_eq!(effects, 2, "a session to keep and a transition");
        }
    }
    let opened = begun.elapsed();
    println!("{:>9} users online, one session each", engine.counts().online);
    println!("{:>9.0} bytes of memory a user", (resident_bytes() - before) as f64 / USERS as f64);
    println!("{:>9.0} ns to open a session", opened.as_nanos() as f64 / USERS as f64);

    let (mut renewed, mut renewing, mut drained) = (0_u64, Duration::ZERO, 0_u64);
    let seconds = 300;
    for tick in (BEAT..BEAT + seconds * 1_000_000).step_by(STEP as usize) {
        let begun = moment();
        for user in due(tick) {
            let (user, session) = &names[user];
            renewed += u64::from(engine.renew(at(tick), user, session, None));
        }
        renewing += begun.elapsed();
        while engine.next_deadline().is_some_and(|deadline| deadline <= at(tick).tick) {
            let begun = moment();
            let effects = engine.sweep(at(tick), 1000);
            steps.add(begun.elapsed());
            assert!(effects.is_empty(), "everybody beats");
        }
        if tick % 1_000_000 == 0 {
            engine.drain_evidence(&mut |_, _| drained += 1);
        }
    }
    assert_eq!(engine.counts().online, USERS);
    println!(
        "{:>9.0} ns a heartbeat ({renewed} of them, {drained} handed over)",
        renewing.as_nanos() as f64 / renewed as f64
    );
    println!("{:>9.3} ms of sweeping a second of service", steps.sum.as_secs_f64() * 1e3 / seconds as f64);
    println!("{:>9.3} ms for the longest of {} sweeps of 1000 looks", steps.longest.as_secs_f64() * 1e3, steps.count);
    println!("{:>9.0} bytes of memory a user after {seconds} s", (resident_bytes() - before) as f64 / USERS as f64);
    println!("{:>9} bytes the whole process, names of this program included", resident_bytes());

    let begun = moment();
    let last = at(BEAT + (seconds + 200) * 1_000_000);
    let (mut steps, mut effects) = (Steps::default(), 0);
    while engine.next_deadline().is_some() {
        let begun = moment();
        effects += engine.sweep(last, 1000).len();
        steps.add(begun.elapsed());
    }
    assert_eq!((engine.counts().users, effects as u64), (0, 2 * USERS));
    println!("{:>9.0} ms to end everybody at once", begun.elapsed().as_secs_f64() * 1e3);
    println!("{:>9.3} ms for the longest of {} such sweeps", steps.longest.as_secs_f64() * 1e3, steps.count);
}

#[derive(Default)]
struct Steps {
    sum: Duration,
    longest: Duration,
    count: u64,
}

impl Steps {
    fn add(&mut self, step: Duration) {
        self.sum += step;
        self.longest = self.longest.max(step);
        self.count += 1;
    }
}

/// The users whose beat falls into the step that begins at `tick`.
fn due(tick: u64) -> impl Iterator<Item = usize> {
    let phase = tick % BEAT;
    let border = |phase: u64| phase * USERS / BEAT;
    (border(phase)..border(phase + STEP)).map(|place| (place * STRIDE % USERS) as usize)
}

fn at(tick: u64) -> Now {
    Now { tick: Tick(1_000_000_000 + tick), wall: Timestamp(1_790_000_000_000_000 + tick as i64) }
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch, not the time of the engine")]
fn moment() -> Instant {
    Instant::now()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}
