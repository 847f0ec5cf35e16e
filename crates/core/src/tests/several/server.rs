//! One server process: an engine, and in small what the driver does around it to be one of several nodes.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use super::log::{Frame, Log, Logged, Refused};
use super::model::{Lineage, Model, SESSIONS_MAX, Witness};
use crate::cluster::{Act, Ancestry, Entry, Members, Node, Past, UserState, Verdict};
use crate::{Effect, Engine, Input, Limits, Now, Policy, Reason, Rejected, Status, Tick, Timestamp};

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

/// From a node to the log, or to another node.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Join { node: Node, new_epoch: u64, joined: Rc<[u8]> },
    Append { node: Node, epoch: u64, ask: u64, frames: Rc<[Frame]> },
    Renew { node: Node, epoch: u64, asked: u64 },
    Leave { node: Node, epoch: u64 },
    Copy { to: Node, copy: Rc<Copied> },
}

/// What comes back.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Joined { node: Node, epoch: u64, seq: u64, peers: Vec<Node> },
    Appended { ask: u64, done: Result<(), Refused> },
    Renewed { node: Node, asked: u64, done: Result<(), Refused> },
    Copy(Rc<Copied>),
}

impl Wish {
    const fn new(act: Act, wall: Timestamp, at: u64) -> Self {
        Self { act, wall, at, given: None }
    }
}

/// A copy of everything, as of one place in the log.
#[derive(Debug)]
pub(super) struct Copied {
    to: Node,
    epoch: u64,
    seq: u64,
    lineage: usize,
    roll: Roll,
    ancestry: Ancestry,
    past: Past,
    states: Vec<Vec<u8>>,
}

/// Who takes part, and who of them has the state of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Roll {
    members: Members,
    elders: Vec<Node>,
    complete: Vec<Node>,
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
            self.decide_alone(time, wish);
        }
    }

    fn join(&mut self, around: &mut Around<'_>) {
        let node = Node(draw(around.random).max(1));
        let new_epoch = draw(around.random).max(1);
        self.begin_again();
        self.count = 1;
        let joined = bytes(node, 1, self.now(around.time).wall, Act::Joined);
        self.out.push(Message::Join { node, new_epoch, joined });
        self.term = Some(Term {
            node,
            epoch: 0,
            seq: 0,
            roll: Roll::default(),
            lineage: usize::MAX,
            renewed: self.tick,
            tried: self.tick,
            append: None,
            asked: Vec::new(),
            ticked: self.tick,
            since: self.tick,
            stage: Stage::Asking { since: self.tick },
        });
    }

    pub(super) fn receive(&mut self, around: &mut Around<'_>, reply: Reply) {
        if let Err(end) = self.take(around, reply) {
            self.end(around.time, end);
        }
    }

    fn take(&mut self, around: &mut Around<'_>, reply: Reply) -> Result<(), End> {
        let tick = self.tick;
        if let Reply::Joined { node, epoch, .. } = &reply
            && self.term.as_ref().is_none_or(|term| term.node != *node)
        {
            // It gave up on that name.
            self.out.push(Message::Leave { node: *node, epoch: *epoch });
        }
        let Some(term) = &mut self.term else { return Ok(()) };
        match reply {
            Reply::Joined { node, epoch, seq, peers } if term.node == node => {
                (term.epoch, term.seq, term.renewed) = (epoch, seq, tick);
                if peers.is_empty() {
                    self.found(around, [node].into());
                } else {
                    let (since, to) = (tick, seq);
                    term.stage = Stage::Copying { since, givers: peers, waiting: [node].into(), read: Vec::new(), to };
                }
            }
            Reply::Appended { ask, done } if term.append.as_ref().is_some_and(|append| append.ask == ask) => {
                done.map_err(|_| End::Lost)?;
                term.append = None;
            }
            Reply::Renewed { node, asked, done } if term.node == node => {
                done.map_err(|_| End::Lost)?;
                term.renewed = term.renewed.max(asked);
            }
            Reply::Copy(copy) if copy.to == term.node && copy.epoch == term.epoch => self.take_copy(around, &copy)?,
            _ => {}
        }
        Ok(())
    }

    fn take_copy(&mut self, around: &mut Around<'_>, copied: &Copied) -> Result<(), End> {
        let now = self.now(around.time);
        let Some(term) = &mut self.term else { return Ok(()) };
        let Stage::Copying { read, to, .. } = &mut term.stage else { return Ok(()) };
        let mut copy = engine(draw(around.random));
        copy.set_me(term.node);
        for state in &copied.states {
            copy.load(now, UserState::decode(state).expect("a state"));
        }
        copy.check_invariants();
        (term.roll, term.lineage) = (copied.roll.clone(), copied.lineage);
        term.seq = copied.seq;
        let (read, to) = (std::mem::take(read), *to);
        copy.load_past(copied.past.clone(), 0);
        let (ancestry, claimed) = (copied.ancestry.clone(), false);
        term.stage = Stage::Claiming { copy: copy.into(), ancestry, claimed, last: 0, own: 0 };
        for logged in read.into_iter().filter(|logged| logged.seq > copied.seq) {
            self.follow_in_copy(around, &logged)?;
        }
        let Some(term) = &mut self.term else { return Ok(()) };
        term.seq = term.seq.max(to);
        if let Some((node, _)) = self.name {
            // From here on nothing more comes of that name, and what is left of it is this node's.
            self.count += 1;
            let lost = Act::Lost { node, heir: term.node };
            let frame = Frame::Entry(bytes(term.node, self.count, now.wall, lost));
            self.send([frame].into());
        }
        let (count, tick) = (self.count, self.tick);
        let Some(Term { ticked, stage: Stage::Claiming { last, own, .. }, .. }) = &mut self.term else { return Ok(()) };
        *ticked = tick;
        *last = if self.name.is_some() { count } else { *own };
        Ok(())
    }

    /// The copy knows what became of this node's former name: whatever it does not know is told.
    fn claim(&mut self, around: &Around<'_>) {
        let now = self.now(around.time);
        let Some(Term { stage: Stage::Claiming { copy, ancestry, claimed, last, .. }, roll, .. }) = &mut self.term
        else {
            return;
        };
        (self.open, *claimed) = (true, true);
        let members = &roll.members;
        let new =
            |wish: &Wish| wish.given.is_none_or(|(node, count)| members.count_of(node).is_none_or(|last| last < count));
        let mut wishes: Vec<Wish> = Vec::new();
        if !self.fresh {
            let (own, trimmed) = (&self.ancestry, self.trimmed);
            let know =
                |number: u64| !trimmed && own.epoch_of(number).is_some_and(|epoch| ancestry.knows(epoch, number));
            let mut claim = |act| wishes.push(Wish::new(act, now.wall, around.time));
            self.engine.claims(Tick(self.since), self.followed, copy, &know, &mut claim);
        }
        wishes.extend(std::mem::take(&mut self.journal));
        wishes.extend(std::mem::take(&mut self.waiting));
        self.waiting = wishes.into_iter().filter(new).collect();
        // Whatever is asked for from now on may be among them: it does no harm to wait for it too.
        *last = self.count + self.waiting.len() as u64;
    }

    fn follow_in_copy(&mut self, around: &mut Around<'_>, logged: &Logged) -> Result<(), End> {
        let now = self.now(around.time);
        let Some(term) = &mut self.term else { return Ok(()) };
        let Stage::Claiming { copy, own, .. } = &mut term.stage else { return Ok(()) };
        term.seq = logged.seq;
        let bytes = match &logged.frame {
            Frame::Entry(bytes) => bytes,
            Frame::Founded(node) if *node == around.lineages[term.lineage].founder() => return Ok(()),
            Frame::Founded(_) => return Err(End::Lost),
        };
        let entry = Entry::decode(logged.seq, bytes).expect("an entry");
        if entry.node == term.node {
            *own = (*own).max(entry.count);
            settle(&mut self.given, &mut self.waiting, entry.count);
        }
        around.lineages[term.lineage].follow(&around.log.entries, logged.seq, around.witness);
        match term.roll.admit(&entry) {
            Verdict::User(_) => {
                let effects = copy.follow(now, &entry).unwrap_or_default();
                // It was held back, and the log has lost it since.
                same(&effects, around.lineages[term.lineage].told(logged.seq).ok_or(End::Trimmed)?);
            }
            Verdict::Lost { node, .. } if node == term.node => return Err(End::Lost),
            Verdict::Lost { node, heir } => copy.lose(node, heir.unwrap_or(term.node)),
            _ => {}
        }
        Ok(())
    }

    /// Begins a cluster with what this node has.
    fn found(&mut self, around: &mut Around<'_>, elders: Vec<Node>) {
        let now = self.now(around.time);
        let Some(term) = &mut self.term else { return };
        // How far the others came is remembered.
        let mut roll = Roll { members: std::mem::take(&mut self.roll.members), complete: [term.node].into(), elders };
        roll.members.found(roll.elders.iter().copied());
        let mut founded = engine(draw(around.random));
        founded.set_me(term.node);
        self.engine.visit_states(now, 0, usize::MAX, &mut |mut state| {
            state.sessions.iter_mut().for_each(|session| session.owner = term.node);
            founded.load(now, state);
        });
        founded.load_past(self.engine.past(), term.seq);
        self.engine = founded;
        self.ancestry.go_on(self.followed, term.epoch, term.seq);
        let known = self.followed;
        let mut states = Vec::new();
        self.engine.visit_states(now, 0, usize::MAX, &mut |state| states.push(state));
        let model = Model::of(
            roll.members.nodes().map(|node| (node, roll.members.count_of(node).unwrap_or_default())),
            states,
            self.engine.past().ended,
        );
        term.lineage = around.lineages.len();
        around.lineages.push(Lineage::new(term.node, known, term.seq, model));
        term.roll = roll;
        self.journal.clear();
        let members = &term.roll.members;
        let new =
            |wish: &Wish| wish.given.is_none_or(|(node, count)| members.count_of(node).is_none_or(|last| last < count));
        self.waiting.retain(new);
        self.start(around.time);
    }

    fn start(&mut self, time: u64) {
        let Some(term) = &mut self.term else { return };
        (term.stage, term.since) = (Stage::Member, self.tick);
        self.name = Some((term.node, term.epoch));
        (self.open, self.fresh, self.trimmed) = (true, false, false);
        let wall = self.now(time).wall;
        self.waiting.push_back(Wish::new(Act::Tick, wall, time));
    }

    fn succeed(&mut self, around: &mut Around<'_>) {
        let now = self.now(around.time);
        let Some(term) = &mut self.term else { return };
        let Stage::Claiming { copy, ancestry, .. } = std::mem::replace(&mut term.stage, Stage::Member) else { return };
        self.ancestry = ancestry;
        let old = std::mem::replace(&mut self.engine, *copy);
        let effects = self.engine.succeed(now, Tick(self.since), old);
        for effect in &effects {
            let Effect::Announce(change) = effect else { continue };
            assert_eq!(change.reason, Reason::Mended);
        }
        self.tell(&effects);
        self.start(around.time);
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

    fn hold_back(&mut self, logged: Logged) {
        let Some(Term { stage: Stage::Copying { givers, waiting, read, to, .. }, .. }) = &mut self.term else { return };
        *to = logged.seq;
        match &logged.frame {
            Frame::Founded(node) => *givers = [*node].into(),
            Frame::Entry(bytes) => {
                let entry = Entry::decode(logged.seq, bytes).expect("an entry");
                match entry.act {
                    Act::Lost { node, .. } => {
                        givers.retain(|&other| other != node);
                        waiting.retain(|&other| other != node);
                    }
                    Act::Joined if !waiting.contains(&entry.node) && !givers.contains(&entry.node) => {
                        waiting.push(entry.node);
                    }
                    Act::Tick if waiting.contains(&entry.node) && !givers.contains(&entry.node) => {
                        givers.push(entry.node);
                    }
                    _ => {}
                }
            }
        }
        read.push(logged);
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

impl Roll {
    fn admit<'a>(&mut self, entry: &'a Entry) -> Verdict<'a> {
        let verdict = self.members.admit(entry);
        match verdict {
            Verdict::Joined(node) => self.elders.push(node),
            Verdict::Lost { node, .. } => {
                self.elders.retain(|&elder| elder != node);
                self.complete.retain(|&elder| elder != node);
            }
            Verdict::Nothing if matches!(entry.act, Act::Tick) => {
                if self.members.is_live(entry.node) && !self.complete.contains(&entry.node) {
                    self.complete.push(entry.node);
                }
            }
            Verdict::User(_) | Verdict::Nothing => {}
        }
        verdict
    }

    fn eldest(&self, but: Node) -> Option<Node> {
        self.elders.iter().copied().find(|&elder| elder != but && self.complete.contains(&elder))
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
        Act::Evidence { user, session, activity } => Input::Evidence { user, session, activity: *activity },
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
