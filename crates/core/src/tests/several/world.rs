//! Nodes, links, people, and whatever can happen to them. A step is a tenth of a second; faults come in storms, and between them it is calm for
//! long enough that everything must be as if nothing had happened.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::checks::Truth;
use super::log::{Log, Logged};
use super::model::{Lineage, Outcome};
use super::server::{Around, Message, Reply, SECOND, Server, Stage, draw};
use crate::cluster::{Entry, Node};
use crate::{Activity, EndReason, Input, Source, Status};

pub(super) const STEP: u64 = SECOND / 10;
pub(super) const TIMEOUT: u64 = 120 * SECOND;
/// How long an entry or a reply is on its way, but for a few; and how far a reader is behind.
const DELAY: u64 = SECOND / 4;
pub(super) const LAG: u64 = 2 * SECOND;

#[derive(Debug)]
struct Person {
    name: String,
    tabs: Vec<Tab>,
}

#[derive(Debug)]
struct Tab {
    session: String,
    open: bool,
    server: usize,
    beats_at: u64,
    beats_left: u64,
}

enum Parcel {
    /// From this server.
    Message(usize, Message),
    /// To this life of this server.
    Reply(usize, u64, Reply),
}

pub(super) struct World {
    pub(super) time: u64,
    random: u64,
    pub(super) log: Log,
    pub(super) servers: Vec<Server>,
    lives: Vec<u64>,
    pub(super) lineages: Vec<Lineage>,
    /// When an end was proposed, by node and count.
    proposed: RefCell<BTreeMap<(Node, u64), u64>>,
    transit: Vec<(u64, Parcel)>,
    /// Links lose and delay.
    rough: bool,
    people: Vec<Person>,
    pub(super) truth: Truth,
    /// How many faults there were.
    pub(super) faults: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            time: 1000 * SECOND,
            random: seed,
            log: Log::default(),
            servers: Vec::new(),
            lives: Vec::new(),
            lineages: Vec::new(),
            proposed: RefCell::default(),
            transit: Vec::new(),
            rough: false,
            people: Vec::new(),
            truth: Truth::default(),
            faults: 0,
        };
        for _ in 0..3 + world.below(3) {
            let server = world.born();
            world.servers.push(server);
            world.lives.push(0);
        }
        for person in 0..6 {
            let tabs = ["login/a", "login/b", "other"].map(|session| Tab {
                session: session.to_string(),
                open: false,
                server: 0,
                beats_at: world.time + world.below(60 * SECOND),
                beats_left: 0,
            });
            world.people.push(Person { name: format!("user-{person}"), tabs: tabs.into() });
        }
        world
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        draw(&mut self.random) % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    /// A process that begins: its clocks are its own.
    fn born(&mut self) -> Server {
        let (seed, tick) = (draw(&mut self.random), SECOND + self.below(1_000_000 * SECOND));
        let skew = self.below(600 * SECOND).cast_signed() - 300 * SECOND.cast_signed();
        Server::new(seed, tick, skew)
    }

    /// A storm of so many seconds.
    pub(super) fn storm(&mut self, seconds: u64) {
        self.rough = true;
        for _ in 0..seconds * SECOND / STEP {
            if self.one_in(60) {
                self.fault();
            }
            self.step();
        }
        // The end of all faults.
        self.rough = false;
        for server in &mut self.servers {
            (server.cut_until, server.paused_until) = (0, 0);
        }
    }

    /// Nothing bad happens for so many seconds.
    pub(super) fn calm(&mut self, seconds: u64) {
        for _ in 0..seconds * SECOND / STEP {
            self.step();
        }
    }

    /// Everybody goes without a word.
    pub(super) fn everybody_falls_silent(&mut self) {
        for tab in self.people.iter_mut().flat_map(|person| &mut person.tabs) {
            (tab.open, tab.beats_at) = (false, u64::MAX);
        }
    }

    fn fault(&mut self) {
        self.faults += 1;
        let server = self.below(self.servers.len() as u64) as usize;
        let (short, long) = (self.below(4 * SECOND), self.below(90 * SECOND));
        match self.below(20) {
            0..=4 => self.servers[server].cut_until = self.time + short,
            5..=6 => self.servers[server].cut_until = self.time + long,
            7..=8 => self.servers[server].paused_until = self.time + short,
            9 => self.servers[server].paused_until = self.time + long,
            10..=12 => self.servers[server].lag = self.below(LAG),
            13..=15 => {
                let step = self.below(400 * SECOND).cast_signed() - 200 * SECOND.cast_signed();
                self.servers[server].skew += step;
            }
            16..=17 => self.kill(server),
            18 => {
                self.log.lose();
                self.truth.lost();
            }
            _ => {
                let entries = self.below(20) as usize;
                self.log.lose_tail(self.time, entries);
                self.lineages.iter_mut().for_each(Lineage::begin_again);
                self.truth.lost();
            }
        }
    }

    /// A process is gone, and another one comes in its place; unless it is the last one that knows anything.
    fn kill(&mut self, server: usize) {
        let knows = |server: &Server| server.member().is_some();
        if self.servers.iter().enumerate().any(|(other, it)| other != server && knows(it)) {
            self.servers[server] = self.born();
            self.lives[server] += 1;
        }
    }

    fn step(&mut self) {
        self.time += STEP;
        self.deliver();
        self.live();
        for server in 0..self.servers.len() {
            if self.time < self.servers[server].paused_until {
                continue;
            }
            self.servers[server].tick += STEP;
            self.with(server, |server, around| server.step(around));
            for message in std::mem::take(&mut self.servers[server].out) {
                if self.time >= self.servers[server].cut_until {
                    self.post(Parcel::Message(server, message));
                }
            }
        }
        self.check();
    }

    fn with(&mut self, server: usize, run: impl FnOnce(&mut Server, &mut Around<'_>)) {
        let Self { time, log, lineages, random, proposed, truth, servers, .. } = self;
        let mut witness = |logged: &Logged, entry: &Entry, outcome: &Outcome| {
            truth.witness(logged, entry, outcome, &proposed.borrow())
        };
        let time = *time;
        let before = lineages.len();
        run(&mut servers[server], &mut Around { time, log, lineages, random, proposed, witness: &mut witness });
        if lineages.len() > before {
            truth.founded(lineages[before].known());
        }
    }

    /// On its way for a moment, or for long; twice, or never.
    fn post(&mut self, parcel: Parcel) {
        let odds = if self.rough { self.below(100) } else { 50 };
        let delay = if odds < 3 { self.below(4 * SECOND) } else { self.below(DELAY) };
        if odds != 99 {
            self.transit.push((self.time + delay, parcel));
        }
    }

    fn deliver(&mut self) {
        let mut due = Vec::new();
        let time = self.time;
        self.transit = std::mem::take(&mut self.transit)
            .into_iter()
            .filter_map(|(at, parcel)| {
                if at <= time {
                    due.push((at, parcel));
                    None
                } else {
                    Some((at, parcel))
                }
            })
            .collect();
        due.sort_by_key(|&(at, _)| at);
        for (_, parcel) in due {
            match parcel {
                Parcel::Message(from, message) => self.reach(from, message),
                Parcel::Reply(to, life, reply) => {
                    let there = self.lives[to] == life && time >= self.servers[to].cut_until;
                    if there && time < self.servers[to].paused_until {
                        // It waits in the socket.
                        self.transit.push((self.servers[to].paused_until, Parcel::Reply(to, life, reply)));
                    } else if there {
                        self.with(to, |server, around| server.receive(around, reply));
                    }
                }
            }
        }
    }

    fn reach(&mut self, from: usize, message: Message) {
        if self.time < self.servers[from].cut_until {
            return;
        }
        let time = self.time;
        let reply = match message {
            Message::Join { node, new_epoch, joined } => {
                let (epoch, seq, peers) = self.log.join(time, node, new_epoch, joined);
                Reply::Joined { node, epoch, seq, peers }
            }
            Message::Append { node, epoch, ask, frames } => {
                let before = self.log.entries.len();
                let done = self.log.append(time, node, epoch, &frames);
                self.truth.appended(&self.log.entries[before..]);
                Reply::Appended { ask, done }
            }
            Message::Renew { node, epoch, asked } => {
                Reply::Renewed { node, asked, done: self.log.renew(time, node, epoch) }
            }
            Message::Leave { node, epoch } => return self.log.leave(time, node, epoch),
            Message::Copy { to, copy } => {
                let there = |server: &Server| server.term.as_ref().is_some_and(|term| term.node == to);
                let Some(server) = self.servers.iter().position(there) else { return };
                let life = self.lives[server];
                return self.post(Parcel::Reply(server, life, Reply::Copy(copy)));
            }
        };
        let life = self.lives[from];
        self.post(Parcel::Reply(from, life, reply));
    }

    /// What people and administrators do in this moment.
    fn live(&mut self) {
        for person in 0..self.people.len() {
            for tab in 0..self.people[person].tabs.len() {
                if self.time >= self.people[person].tabs[tab].beats_at {
                    self.beat(person, tab);
                }
            }
        }
        if self.one_in(40) && self.people.iter().flat_map(|person| &person.tabs).any(|tab| tab.beats_at != u64::MAX) {
            self.act();
        }
    }

    /// A server that answers; people who do not get an answer try another one.
    fn somewhere(&mut self, mut server: usize) -> Option<usize> {
        for _ in 0..8 {
            if self.time >= self.servers[server].paused_until {
                return Some(server);
            }
            server = self.below(self.servers.len() as u64) as usize;
        }
        None
    }

    fn beat(&mut self, person: usize, tab: usize) {
        let (wander, beats) = (self.one_in(6), 1 + self.below(20));
        // A browser that throttles a hidden tab may wake it just before its deadline, or just after.
        let hidden = self.one_in(12);
        let pause = if hidden { 117 * SECOND + self.below(6 * SECOND) } else { 20 * SECOND + self.below(10 * SECOND) };
        let (away, elsewhere) = (self.below(400 * SECOND), self.below(self.servers.len() as u64) as usize);
        let activity = [None, None, Some(Activity::Idle), Some(Activity::Active)][self.below(4) as usize];
        let here = &mut self.people[person].tabs[tab];
        if !here.open {
            (here.open, here.beats_left, here.server) = (true, beats, elsewhere);
        }
        here.beats_at = self.time + pause;
        if wander {
            here.server = elsewhere;
        }
        let near = here.server;
        let Some(server) = self.somewhere(near) else { return };
        let here = &mut self.people[person].tabs[tab];
        here.server = server;
        here.beats_left -= 1;
        let (last, session) = (here.beats_left == 0, here.session.clone());
        let user = self.people[person].name.clone();
        if last {
            let here = &mut self.people[person].tabs[tab];
            (here.open, here.beats_at) = (false, self.time + away);
            return self.leave(server, &user, &session);
        }
        let renewed = self.servers[server].beat(self.time, &user, &session, activity);
        let term = self.servers[server].term.as_ref();
        let counts = term.is_some_and(|term| {
            let follows = matches!(term.stage, Stage::Member | Stage::Claiming { .. });
            renewed && follows && self.log.is_live(term.node, term.epoch)
        });
        let alone = !self.servers[server].open;
        self.truth.heard(self.time, (user, session), counts, alone);
    }

    /// A tab closes: properly, by a logout, with its connection, or without a word.
    fn leave(&mut self, server: usize, user: &str, session: &str) {
        let input = match self.below(5) {
            0 => Input::EndSession { user, session, reason: EndReason::Disconnected },
            1 => Input::EndSession { user, session: "login", reason: EndReason::Logout },
            2 => Input::EndUser { user, reason: EndReason::Logout },
            3 => Input::Drop { user, session },
            _ => return,
        };
        self.servers[server].ask(self.time, &input);
    }

    fn act(&mut self) {
        let (person, server) = (self.below(self.people.len() as u64) as usize, self.below(self.servers.len() as u64));
        let Some(server) = self.somewhere(server as usize) else { return };
        let user = &self.people[person].name.clone();
        let source = Source::ALL[self.below(3) as usize];
        let status = [Status::Offline, Status::Away, Status::Online][self.below(3) as usize];
        let length = core::time::Duration::from_micros(self.below(60 * SECOND));
        let input = match self.below(12) {
            0..=1 => Input::Override { user, source, status, ends_after: Some(length) },
            2 => Input::Override { user, source, status, ends_after: None },
            3..=4 => Input::ClearOverride { user, source },
            5..=6 => Input::Set { user, status },
            7 => Input::Bar { user },
            8..=9 => Input::Unbar { user },
            10 => Input::EndUser { user, reason: EndReason::ForcedLogout },
            _ => Input::Forget { user },
        };
        self.servers[server].ask(self.time, &input);
    }
}
