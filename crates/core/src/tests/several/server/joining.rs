//! Becoming a member, as the driver does it: a copy, what the copy does not know, and then the place of what is shown.

use std::vec::Vec;

use super::{Around, Copied, End, Reply, Roll, Server, Stage, Term, Wish, bytes, draw, engine, same, settle};
use super::{Frame, Lineage, Logged, Message, Model};
use crate::cluster::{Act, Ancestry, Entry, Node, UserState, Verdict};
use crate::{Effect, Now, Reason, Tick};

impl Server {
    pub(super) fn join(&mut self, around: &mut Around<'_>) {
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

    pub(in crate::tests::several) fn receive(&mut self, around: &mut Around<'_>, reply: Reply) {
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
        copy.load_past(copied.past.clone(), copied.seq);
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
    pub(super) fn claim(&mut self, around: &Around<'_>) {
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
            let mut claim = |act| wishes.push(Wish::new(act, now.wall, around.time));
            let know = known(&self.ancestry, self.trimmed, ancestry);
            self.engine.claims(Tick(self.since), self.followed, copy, &know, &mut claim);
        }
        wishes.extend(std::mem::take(&mut self.journal));
        wishes.extend(std::mem::take(&mut self.waiting));
        self.waiting = wishes.into_iter().filter(new).collect();
        // Whatever is asked for from now on may be among them: it does no harm to wait for it too.
        *last = self.count + self.waiting.len() as u64;
    }

    pub(super) fn follow_in_copy(&mut self, around: &mut Around<'_>, logged: &Logged) -> Result<(), End> {
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
            Verdict::Heard(sessions) => {
                let now = Now { wall: entry.wall, ..now };
                sessions.iter().for_each(|heard| copy.follow_heard(now, entry.node, heard));
            }
            Verdict::Lost { node, .. } if node == term.node => return Err(End::Lost),
            Verdict::Lost { node, heir } => copy.lose(node, heir.unwrap_or(term.node)),
            _ => {}
        }
        Ok(())
    }

    /// Begins a cluster with what this node has.
    pub(super) fn found(&mut self, around: &mut Around<'_>, elders: Vec<Node>) {
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

    pub(super) fn start(&mut self, time: u64) {
        let Some(term) = &mut self.term else { return };
        (term.stage, term.since) = (Stage::Member, self.tick);
        self.name = Some((term.node, term.epoch));
        (self.open, self.fresh, self.trimmed) = (true, false, false);
        let wall = self.now(time).wall;
        self.waiting.push_back(Wish::new(Act::Tick, wall, time));
    }

    pub(super) fn succeed(&mut self, around: &mut Around<'_>) {
        let now = self.now(around.time);
        let Some(term) = &mut self.term else { return };
        let Stage::Claiming { copy, ancestry, .. } = std::mem::replace(&mut term.stage, Stage::Member) else { return };
        // What was heard while the claims were on their way.
        let mut late = Vec::new();
        if !self.fresh {
            let mut claim = |act| late.push(Wish::new(act, now.wall, around.time));
            let know = known(&self.ancestry, self.trimmed, &ancestry);
            self.engine.claims(Tick(self.since), self.followed, &copy, &know, &mut claim);
        }
        late.into_iter().rev().for_each(|wish| self.waiting.push_front(wish));
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

    pub(super) fn hold_back(&mut self, logged: Logged) {
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
}

/// Whether those whose state came to be as `theirs` says know what was at this place, by what this server knows of its own.
fn known<'a>(own: &'a Ancestry, trimmed: bool, theirs: &'a Ancestry) -> impl Fn(u64) -> bool + 'a {
    move |number| !trimmed && own.epoch_of(number).is_some_and(|epoch| theirs.knows(epoch, number))
}
