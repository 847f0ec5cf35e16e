//! One server process: an engine, and in small what the driver does around it to be one of several nodes.

mod joining;
mod messages;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use messages::{Copied, Roll};
pub(super) use messages::{Message, Reply};

use super::log::{Frame, Log, Logged, Refused};
use super::model::{Lineage, Model, SESSIONS_MAX, Witness};
use crate::cluster::{Act, Ancestry, Entry, HeardSession, Node, Verdict};
use crate::{Effect, Engine, Input, Limits, Now, Policy, Rejected, Status, Tick, Timestamp};

pub(super) const SECOND: u64 = 1_000_000;
const RENEW_EVERY: u64 = 2 * SECOND;
const ANSWER_WITHIN: u64 = SECOND / 2;
const RETRIED_FOR: u64 = 2 * SECOND;
const ALONE_AFTER: u64 = 2 * SECOND;
const JOIN_EVERY: u64 = SECOND;
const COPY_WITHIN: u64 = 5 * SECOND;
const CLAIMED_WITHIN: u64 = 8 * SECOND;
/// What was given to the log and is not followed for so long may be lost: another entry tells.
const FOLLOWED_WITHIN: u64 = 5 * SECOND;

impl Wish {
    const fn new(act: Act, wall: Timestamp, at: u64) -> Self {
        Self { act, wall, at, given: None }
    }
}

/// What was asked for, and when.
#[derive(Clone, Debug)]
struct Wish {
    act: Act,
    wall: Timestamp,
    at: u64,
    /// Under which name and count it was given to the log last.
    given: Option<(Node, u64)>,
}

#[derive(Debug)]
pub(super) struct Term {
    pub(super) node: Node,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    roll: Roll,
    pub(super) lineage: usize,
    renewed: u64,
    tried: u64,
    append: Option<Appending>,
    asked: Vec<Node>,
    ticked: u64,
    since: u64,
    pub(super) stage: Stage,
}

#[derive(Debug)]
struct Appending {
    ask: u64,
    first: u64,
    sent: u64,
    frames: Rc<[Frame]>,
}

#[derive(Debug)]
pub(super) enum Stage {
    Asking {
        since: u64,
    },
    Copying {
        since: u64,
        givers: Vec<Node>,
        waiting: Vec<Node>,
        read: Vec<Logged>,
        to: u64,
    },
    /// The copy follows; first it is to come to where this node's former name is lost, then to the claims.
    Claiming {
        copy: std::boxed::Box<Engine>,
        ancestry: Ancestry,
        claimed: bool,
        last: u64,
        own: u64,
    },
    Member,
}

pub(super) struct Server {
    pub(super) tick: u64,
    pub(super) skew: i64,
    pub(super) paused_until: u64,
    pub(super) cut_until: u64,
    /// How far behind the log it reads.
    pub(super) lag: u64,
    pub(super) engine: Engine,
    /// What its watchers were told.
    pub(super) told: BTreeMap<String, Status>,
    /// When what it followed last of a user was decided: readers sort by it.
    told_at: BTreeMap<String, Timestamp>,
    pub(super) term: Option<Term>,
    lost_at: u64,
    /// Proposals are taken; else it decides alone.
    pub(super) open: bool,
    /// It never was a member.
    pub(super) fresh: bool,
    /// What was heard of sessions of other nodes and is not proposed yet, and when that was done last.
    gathered: Vec<HeardSession>,
    handed_in: u64,
    waiting: VecDeque<Wish>,
    given: VecDeque<(u64, Wish)>,
    count: u64,
    asks: u64,
    /// What was decided alone and is to be told to the others.
    journal: Vec<Wish>,
    /// What was known last of who takes part, how the state came to be, and up to where it was followed.
    roll: Roll,
    ancestry: Ancestry,
    followed: u64,
    /// The name under which it was a member last, and the epoch.
    name: Option<(Node, u64)>,
    /// When it was surely a member for the last time.
    since: u64,
    /// What it has read is not what the log holds.
    trimmed: bool,
    pub(super) out: Vec<Message>,
}

/// What a server reaches of the world.
pub(super) struct Around<'a> {
    pub(super) time: u64,
    pub(super) log: &'a Log,
    pub(super) lineages: &'a mut Vec<Lineage>,
    pub(super) random: &'a mut u64,
    /// When this was proposed, by node and count.
    pub(super) proposed: &'a RefCell<BTreeMap<(Node, u64), u64>>,
    pub(super) witness: Witness<'a>,
}

/// Why a membership is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lost,
    Trimmed,
    CutOff,
}

pub(super) fn engine(seed: u64) -> Engine {
    let limits = Limits { sessions_per_user_max: SESSIONS_MAX as u16, ..Limits::default() };
    Engine::new(Policy::default(), limits, seed, 0, 1)
}

impl Server {
    pub(super) fn new(seed: u64, tick: u64, skew: i64) -> Self {
        Self {
            tick,
            skew,
            paused_until: 0,
            cut_until: 0,
            lag: 0,
            engine: engine(seed),
            told: BTreeMap::new(),
            told_at: BTreeMap::new(),
            term: None,
            lost_at: 0,
            open: true,
            fresh: true,
            gathered: Vec::new(),
            handed_in: 0,
            waiting: VecDeque::new(),
            given: VecDeque::new(),
            count: 0,
            asks: 0,
            journal: Vec::new(),
            roll: Roll::default(),
            ancestry: Ancestry::new(),
            followed: 0,
            name: None,
            since: tick,
            trimmed: false,
            out: Vec::new(),
        }
    }

    pub(super) fn now(&self, time: u64) -> Now {
        Now { tick: Tick(self.tick), wall: Timestamp(time.cast_signed() + self.skew) }
    }

    pub(super) fn member(&self) -> Option<&Term> {
        self.term.as_ref().filter(|term| matches!(term.stage, Stage::Member))
    }

    /// A person's beat: true when this node takes it as evidence on its own.
    pub(super) fn beat(&mut self, time: u64, user: &str, session: &str, activity: Option<crate::Activity>) -> bool {
        let now = self.now(time);
        if self.engine.renew(now, user, session, activity) {
            return true;
        }
        if self.member().is_some() && self.engine.renew_elsewhere(now, user, session, activity) {
            self.gathered.push(HeardSession { user: user.into(), session: session.into(), at: now.wall });
            return false;
        }
        self.ask(time, &Input::Evidence { user, session, activity });
        false
    }

    /// What somebody asks for.
    pub(super) fn ask(&mut self, time: u64, input: &Input<'_>) {
        let now = self.now(time);
        if let Input::Drop { .. } = input {
            let effects = self.engine.apply(now, input.clone()).expect("a drop is never refused");
            assert!(effects.is_empty());
            return;
        }
        match self.engine.propose(now, input) {
            Ok(act) if self.open => self.waiting.push_back(Wish::new(act, now.wall, time)),
            Ok(act) => self.decide_alone(time, Wish::new(act, now.wall, time)),
            Err(rejected) => assert_eq!(rejected, Rejected::Barred),
        }
    }

    fn decide_alone(&mut self, time: u64, wish: Wish) {
        let act = &wish.act;
        if let Act::Heard { sessions } = act {
            self.own_alone(time, sessions);
        }
        let Some(input) = input_of(act) else { return };
        let Ok(effects) = self.engine.apply(self.now(time), input) else { return };
        self.tell(&effects);
        let lasting = matches!(
            act,
            Act::EndSession { .. }
                | Act::Override { ends_after: None, .. }
                | Act::ClearOverride { .. }
                | Act::Bar { .. }
                | Act::Unbar { .. }
                | Act::Forget { .. }
        );
        if lasting {
            self.journal.push(wish);
        }
    }

    /// Watchers are told, and what they are told adds up.
    fn tell(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Announce(change) = effect else { continue };
            let before = self.told.insert(change.user.to_string(), change.to).unwrap_or_default();
            assert_eq!(before, change.from, "{change:?} is told twice, or one before it was not");
            assert_ne!(change.from, change.to);
        }
    }

    /// One step of everything that goes on in the process.
    pub(super) fn step(&mut self, around: &mut Around<'_>) {
        let end = match &self.term {
            None => {
                if self.open && self.tick - self.lost_at >= ALONE_AFTER {
                    self.go_alone(around.time);
                }
                if self.tick - self.lost_at >= JOIN_EVERY || self.lost_at == 0 {
                    self.join(around);
                }
                return;
            }
            Some(_) => self.go_on(around),
        };
        if let Err(end) = end {
            self.end(around.time, end);
        }
    }

    fn end(&mut self, time: u64, end: End) {
        let Some(term) = self.term.take() else { return };
        self.told_at.clear();
        self.begin_again();
        self.lost_at = self.tick;
        if let Stage::Member = term.stage {
            self.since = term.renewed.max(term.since);
            (self.roll, self.followed) = (term.roll, term.seq);
        }
        self.trimmed |= end == End::Trimmed;
        match end {
            End::Lost | End::Trimmed => self.out.push(Message::Leave { node: term.node, epoch: term.epoch }),
            End::CutOff => self.go_alone(time),
        }
    }

    fn begin_again(&mut self) {
        let given = std::mem::take(&mut self.given).into_iter().map(|(_, wish)| wish);
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = given.chain(waiting).filter(|wish| wish.act.outlives_its_node()).collect();
        self.count = 0;
    }

    fn go_alone(&mut self, time: u64) {
        if !self.open {
            return;
        }
        self.open = false;
        self.fresh = false;
        for wish in std::mem::take(&mut self.waiting) {
            let over = matches!(&wish.act, Act::Evidence { user, session, after, .. }
                if self.engine.ended_after(*after, user, session));
            if !over {
                self.decide_alone(time, wish);
            }
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.own_alone(time, &gathered);
    }

    fn own_alone(&mut self, time: u64, sessions: &[HeardSession]) {
        let (now, me) = (self.now(time), self.engine.me().unwrap_or(Node(0)));
        sessions.iter().for_each(|heard| self.engine.follow_heard(now, me, heard));
    }

    /// One step of a membership, or of becoming a member.
    fn go_on(&mut self, around: &mut Around<'_>) -> Result<(), End> {
        let (time, tick) = (around.time, self.tick);
        let Some(term) = &mut self.term else { return Ok(()) };
        if let Stage::Asking { since } = term.stage {
            return if tick - since > ALONE_AFTER { Err(End::CutOff) } else { Ok(()) };
        }
        // 1. The lease.
        if tick - term.renewed >= Log::LEASE {
            return Err(End::CutOff);
        }
        if tick - term.tried >= RENEW_EVERY {
            term.tried = tick;
            self.out.push(Message::Renew { node: term.node, epoch: term.epoch, asked: tick });
        }
        // 2. The log.
        if time >= self.cut_until {
            self.read(around)?;
        }
        // 3. Into the log.
        self.append(around.proposed)?;
        // 4. What is due.
        let Some(term) = &mut self.term else { return Ok(()) };
        match &term.stage {
            Stage::Member => self.look_after(time),
            Stage::Claiming { own, last, claimed: false, .. } if own >= last => self.claim(around),
            Stage::Claiming { own, last, .. } if own >= last => self.succeed(around),
            // The log may have lost what it waits for.
            Stage::Claiming { .. } if tick - term.ticked >= CLAIMED_WITHIN => return Err(End::Lost),
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, around: &mut Around<'_>) -> Result<(), End> {
        let Some(term) = &mut self.term else { return Ok(()) };
        let until = around.time.saturating_sub(self.lag);
        let after = if let Stage::Copying { to, .. } = &term.stage { *to } else { term.seq };
        let entries = around.log.read(term.epoch, after, until).map_err(|refused| match refused {
            Refused::Trimmed => End::Trimmed,
            Refused::Epoch | Refused::Lost => End::Lost,
        })?;
        for logged in entries {
            match self.term.as_ref().map(|term| &term.stage) {
                Some(Stage::Member) => self.follow(around, &logged)?,
                Some(Stage::Claiming { .. }) => self.follow_in_copy(around, &logged)?,
                Some(Stage::Copying { .. }) => self.hold_back(logged),
                _ => {}
            }
        }
        let (tick, wall) = (self.tick, self.now(around.time).wall);
        let Some(term) = &mut self.term else { return Ok(()) };
        let Stage::Copying { since, givers, waiting, to, .. } = &mut term.stage else { return Ok(()) };
        if !waiting.contains(&term.node) {
            return Err(End::Lost);
        }
        if givers.is_empty() {
            let (node, to, others) = (term.node, *to, waiting.clone());
            term.seq = to;
            let mut elders = Vec::from([node]);
            elders.extend(others.iter().copied().filter(|&other| other != node));
            term.asked = elders[1..].to_vec();
            self.found(around, elders);
            let frames = Rc::from([Frame::Founded(node)]);
            self.send(frames);
            return Ok(());
        }
        if tick - *since >= COPY_WITHIN && term.append.is_none() {
            *since = tick;
            self.count += 1;
            let frame = Frame::Entry(bytes(term.node, self.count, wall, Act::Joined));
            self.send([frame].into());
        }
        Ok(())
    }

    fn follow(&mut self, around: &mut Around<'_>, logged: &Logged) -> Result<(), End> {
        let now = self.now(around.time);
        let Some(term) = &mut self.term else { return Ok(()) };
        term.seq = logged.seq;
        around.lineages[term.lineage].follow(&around.log.entries, logged.seq, around.witness);
        let bytes = match &logged.frame {
            Frame::Entry(bytes) => bytes,
            Frame::Founded(node) if *node == around.lineages[term.lineage].founder() => return Ok(()),
            Frame::Founded(_) => return Err(End::Lost),
        };
        let entry = Entry::decode(logged.seq, bytes).expect("an entry");
        let verdict = term.roll.admit(&entry);
        if entry.node == term.node && !matches!(verdict, Verdict::Lost { .. }) {
            settle(&mut self.given, &mut self.waiting, entry.count);
        }
        match verdict {
            Verdict::User(_) => {
                let effects = self.engine.follow(now, &entry).unwrap_or_default();
                same(&effects, around.lineages[term.lineage].told(logged.seq).expect("it was just read"));
                for effect in &effects {
                    let Effect::Announce(change) = effect else { continue };
                    let before = self.told_at.insert(change.user.to_string(), change.at);
                    assert!(before.is_none_or(|before| before < change.at), "{change:?} is not after {before:?}");
                }
                self.tell(&effects);
            }
            Verdict::Heard(sessions) => {
                let now = Now { wall: entry.wall, ..now };
                sessions.iter().for_each(|heard| self.engine.follow_heard(now, entry.node, heard));
            }
            Verdict::Joined(node) if node != term.node => term.asked.push(node),
            Verdict::Nothing if matches!(entry.act, Act::Joined) && entry.node != term.node => {
                term.asked.push(entry.node);
            }
            Verdict::Lost { node, .. } if node == term.node => return Err(End::Lost),
            Verdict::Lost { node, heir } => self.engine.lose(node, heir.unwrap_or(term.node)),
            _ => {}
        }
        Ok(())
    }

    /// Deadlines, copies, and ticks.
    fn look_after(&mut self, time: u64) {
        let now = self.now(time);
        let Some(term) = &mut self.term else { return };
        let leads = term.roll.eldest(Node(0)) == Some(term.node);
        self.engine.adopt(now, 3);
        if self.tick - self.handed_in >= SECOND / 2 && !self.gathered.is_empty() {
            self.handed_in = self.tick;
            let sessions = std::mem::take(&mut self.gathered);
            self.waiting.push_back(Wish::new(Act::Heard { sessions }, now.wall, time));
        }
        for act in self.engine.due(now, leads, 100) {
            self.waiting.push_back(Wish::new(act, now.wall, time));
        }
        let every = if leads { SECOND } else { FOLLOWED_WITHIN };
        if (leads || !self.given.is_empty()) && self.tick - term.ticked >= every {
            term.ticked = self.tick;
            self.waiting.push_back(Wish::new(Act::Tick, now.wall, time));
        }
        for to in std::mem::take(&mut term.asked) {
            if !term.roll.members.is_live(to) || term.roll.eldest(to) != Some(term.node) {
                continue;
            }
            let mut states = Vec::new();
            self.engine.visit_states(now, 0, usize::MAX, &mut |state| {
                let mut bytes = Vec::new();
                state.encode(&mut bytes);
                states.push(bytes);
            });
            let (epoch, seq, lineage, roll) = (term.epoch, term.seq, term.lineage, term.roll.clone());
            let (ancestry, past) = (self.ancestry.clone(), self.engine.past());
            let copy = Rc::new(Copied { to, epoch, seq, lineage, roll, ancestry, past, states });
            self.out.push(Message::Copy { to, copy });
        }
    }

    fn append(&mut self, proposed: &RefCell<BTreeMap<(Node, u64), u64>>) -> Result<(), End> {
        let tick = self.tick;
        let Some(term) = &mut self.term else { return Ok(()) };
        if let Some(append) = &mut term.append {
            if tick - append.first >= RETRIED_FOR {
                return Err(End::CutOff);
            }
            if tick - append.sent >= ANSWER_WITHIN {
                append.sent = tick;
                let (ask, frames) = (append.ask, append.frames.clone());
                self.out.push(Message::Append { node: term.node, epoch: term.epoch, ask, frames });
            }
            return Ok(());
        }
        if !matches!(term.stage, Stage::Member | Stage::Claiming { claimed: true, .. }) || self.waiting.is_empty() {
            return Ok(());
        }
        let mut frames = Vec::new();
        for wish in self.waiting.drain(..) {
            self.count += 1;
            if let Act::Expire { .. } = wish.act {
                proposed.borrow_mut().insert((term.node, self.count), wish.at);
            }
            frames.push(Frame::Entry(bytes(term.node, self.count, wish.wall, wish.act.clone())));
            self.given.push_back((self.count, Wish { given: Some((term.node, self.count)), ..wish }));
        }
        self.send(frames.into());
        Ok(())
    }

    fn send(&mut self, frames: Rc<[Frame]>) {
        self.asks += 1;
        let (ask, tick) = (self.asks, self.tick);
        let Some(term) = &mut self.term else { return };
        term.append = Some(Appending { ask, first: tick, sent: tick, frames: frames.clone() });
        self.out.push(Message::Append { node: term.node, epoch: term.epoch, ask, frames });
    }
}

/// The node came to its entry with this count: what it gave before was followed too, or the log lost it, and never will be.
fn settle(given: &mut VecDeque<(u64, Wish)>, waiting: &mut VecDeque<Wish>, count: u64) {
    let mut lost = Vec::new();
    while let Some((other, wish)) = given.pop_front_if(|(other, _)| *other <= count) {
        if other < count && wish.act.outlives_its_node() {
            lost.push(wish);
        }
    }
    lost.into_iter().rev().for_each(|wish| waiting.push_front(wish));
}

/// What a node tells at a place of the log is what everybody tells there.
fn same(effects: &[Effect], told: &[(String, Status, Status)]) {
    let changes: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Announce(change) => Some((change.user.to_string(), change.from, change.to)),
            _ => None,
        })
        .collect();
    assert_eq!(changes, told);
}

fn bytes(node: Node, count: u64, wall: Timestamp, act: Act) -> Rc<[u8]> {
    let mut bytes = Vec::new();
    Entry { seq: 0, node, count, wall, act }.encode(&mut bytes);
    bytes.into()
}

pub(super) fn draw(random: &mut u64) -> u64 {
    // splitmix64.
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut drawn = *random;
    drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    drawn ^ (drawn >> 31)
}

fn input_of(act: &Act) -> Option<Input<'_>> {
    Some(match act {
        Act::Evidence { user, session, activity, .. } => Input::Evidence { user, session, activity: *activity },
        Act::EndSession { user, session, reason } => Input::EndSession { user, session, reason: *reason },
        Act::EndUser { user, reason } => Input::EndUser { user, reason: *reason },
        Act::Set { user, status } => Input::Set { user, status: *status },
        Act::Override { user, source, status, ends_after } => {
            Input::Override { user, source: *source, status: *status, ends_after: *ends_after }
        }
        Act::ClearOverride { user, source } => Input::ClearOverride { user, source: *source },
        Act::Bar { user } => Input::Bar { user },
        Act::Unbar { user } => Input::Unbar { user },
        Act::Forget { user } => Input::Forget { user },
        _ => return None,
    })
}
