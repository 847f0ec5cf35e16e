//! Becoming a member. **What is shown stays shown until the copy has taken in what only this node knew**, so nobody falls offline because a
//! node comes back.
//!
//! 1. A lease and an incarnation from the bus; the first entry, which is also the request for a copy.
//! 2. Nobody else is there: this node founds the cluster with what it has, or with what the store knows; when the bus has lost the log, unless
//!    one of the others, who come in the same moment, had followed it further.
//! 3. Otherwise another node's copy, as of that entry or a later one; what came after it is followed in the copy. Whoever could give one
//!    joined before, or says later that it is complete; when none of them is left, this node founds the cluster anew and says so.
//! 4. This node's former name is lost in the log, so that it is certain what became of what it proposed. Then what only this node knows is
//!    claimed, and when the copy has followed that, it takes the engines' place.

use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use presently_core::cluster::{Act, Ancestry, Node};
use presently_core::{Effect, Engine, Now, UserId};
use presently_replication::snapshot::{self, Record};
use presently_replication::{Command, Followed, Frame, Incoming, Knows, LOST, Step, Word, founded, word_of};

use super::copy;
use super::founder::{found, found_anew, further, last_followed};
use super::proposals::{Finish, Proposal};
use super::term::{End, Term, turn_away, unread};
use super::{Cluster, follower, keeper};
use crate::bus::{self, BusError, Joined};
use crate::outbox::entry::Logged;
use crate::shard::SHARDS;
use crate::shared::{Outcome, Shared};
use crate::veil::{Veil, VeilCount, Veils};
use crate::watch::{Epoch, EpochChange};

/// How long one who joins waits for the next chunk of its copy before it asks again.
const CHUNK_WITHIN: Duration = Duration::from_secs(5);
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Claims appended at once.
const CLAIMS: usize = 1024;
/// How long it is waited until the log comes to what was put into it.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(8);

/// Joins; the node is a member when this returns, and proposals are taken.
pub(super) async fn join<'a>(shared: &'a Shared, cluster: &'a Cluster) -> Result<Term<'a>, End> {
    let now = shared.clock.now();
    // A number is never used again; the log's numbers and zero have a meaning of their own.
    let drawn = || getrandom::u64().map_err(|error| End::CutOff(BusError::Refused(format!("no randomness: {error}"))));
    let (node, new_epoch) = (Node(drawn()?.max(1)), drawn()?.max(1));
    cluster.proposals.begin_again();
    let joined = word_of(node, cluster.proposals.next_count(), now.wall, Act::Joined);
    let before = cluster.unanswered.lock().replace(node);
    let Joined { epoch, seq, peers } = cluster.bus.join(bus::Node(node.0), new_epoch, &joined).await?;
    *cluster.unanswered.lock() = None;
    if let Some(before) = before {
        // Nobody is to wait for a node that does not know that it is one.
        let _ = cluster.bus.leave(bus::Node(before.0), epoch, LOST).await;
    }
    cluster.node.store(node.0, Ordering::Release);
    cluster.epoch.store(epoch, Ordering::Release);
    let term = Term {
        shared,
        cluster,
        node,
        epoch,
        renewed: Mutex::new(now.tick),
        followed: Mutex::new(Followed { seq, ..Followed::default() }),
        copies: copy::Copies::default(),
    };
    tokio::select! {
        begun = begin(&term, peers) => begun?,
        end = keeper::keep(&term) => return Err(end),
    }
    Ok(term)
}

async fn begin(term: &Term<'_>, mut peers: Vec<bus::Node>) -> Result<(), End> {
    if peers.is_empty() {
        let Some(further) = further(term).await? else {
            found(term, []);
            return Ok(());
        };
        tracing::info!(node = further.0, "another node knows more; it founds the cluster");
        append_frames(term, &[founded(further)]).await?;
        peers.push(bus::Node(further.0));
    } else if let Some((epoch, seq)) = last_followed(term) {
        append_frames(term, &[Knows { node: term.node, epoch, seq }.encode()]).await?;
    }
    let Some(mut joining) = Joining::receive(term, peers).await? else { return Ok(()) };
    joining.claim().await?;
    let lease = term.cluster.bus.timing().lease;
    if term.shared.clock.now().tick - *term.renewed.lock() >= lease {
        // It took too long: the others may have given what it claimed to somebody else.
        return Err(End::Lost);
    }
    joining.succeed();
    Ok(())
}

/// From here on the log is followed.
pub(super) fn start(term: &Term<'_>) {
    let followed = term.followed.lock();
    let change = EpochChange { epoch: Epoch(term.epoch), log: Some(followed.seq) };
    term.shared.queue.change_epoch(change, term.shared.clock.now().tick);
    term.cluster.stand(Some(&followed.view));
    term.cluster.proposals.open();
    // Says that this node is complete.
    term.cluster.propose(term.shared, Act::Tick);
}

/// Takes up what the store knew at the start, if that was not done.
pub(super) fn restore(shared: &Shared, cluster: &Cluster) {
    if let Some(restored) = cluster.restored.lock().take() {
        shared.restore(restored);
    }
}

async fn append(term: &Term<'_>, acts: &[Act]) -> Result<u64, End> {
    let wall = term.shared.clock.now().wall;
    let mut count = 0;
    let mut frames = Vec::with_capacity(acts.len());
    for act in acts {
        count = term.cluster.proposals.next_count();
        frames.push(word_of(term.node, count, wall, act.clone()));
    }
    append_frames(term, &frames).await?;
    Ok(count)
}

pub(super) async fn append_frames(term: &Term<'_>, frames: &[Vec<u8>]) -> Result<(), End> {
    loop {
        match term.cluster.bus.append(term.me(), term.epoch, frames).await {
            Ok(_) => return Ok(()),
            // The keeper says when it is too late.
            Err(BusError::Unavailable(_)) => term.shared.clock.sleep(LOOK_EVERY).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// A copy that takes in what comes.
struct Joining<'a> {
    term: &'a Term<'a>,
    engines: Vec<Engine>,
    veils: Vec<Veils>,
    ancestry: Ancestry,
    followed: Followed,
    /// The last count of this node that was followed.
    own: u64,
    /// This node knew nothing before.
    fresh: bool,
    /// What this node is to keep of its claims, with their places in the log.
    kept: Vec<(u64, Effect)>,
}

impl<'a> Joining<'a> {
    /// Waits for the copy; `None` when nobody is left to give one, and this node has founded the cluster anew.
    async fn receive(term: &'a Term<'a>, peers: Vec<bus::Node>) -> Result<Option<Self>, End> {
        let mut joining = Self {
            term,
            engines: engines(term),
            veils: (0..SHARDS).map(|_| Veils::default()).collect(),
            ancestry: Ancestry::new(),
            followed: Followed::default(),
            own: 0,
            fresh: false,
            kept: Vec::new(),
        };
        let read = Mutex::new(Incoming::new(
            term.node,
            term.followed.lock().seq,
            peers.into_iter().map(|peer| Node(peer.0)).collect(),
        ));
        // A chunk that is on its way when the call is dropped is lost; a read is not.
        let complete = tokio::select! {
            complete = joining.take_chunks(&read) => complete?,
            end = read_on(term, &read) => return Err(end),
        };
        let Incoming { words, to, waiting, .. } = read.into_inner();
        if !complete {
            // Whoever knew more is gone.
            term.followed.lock().seq = to;
            found_anew(term, waiting).await?;
            return Ok(None);
        }
        for (seq, word) in words {
            joining.hear(seq, &word)?;
        }
        Ok(Some(joining))
    }

    /// Takes all chunks; false when nobody is left who could give them.
    async fn take_chunks(&mut self, read: &Mutex<Incoming>) -> Result<bool, End> {
        let (term, shared) = (self.term, self.term.shared);
        let (mut next, mut newest) = (0, shared.clock.now().tick);
        loop {
            let chunk = term.cluster.bus.take_chunk(term.me(), LOOK_EVERY).await?;
            let now = shared.clock.now();
            let Some(chunk) = chunk else {
                if read.lock().donors.is_empty() {
                    return Ok(false);
                }
                if now.tick - newest >= CHUNK_WITHIN {
                    tracing::warn!("no copy came; it is asked for again");
                    newest = now.tick;
                    append(term, &[Act::Joined]).await?;
                }
                continue;
            };
            let number = snapshot::number(&chunk).ok_or(End::Lost)?;
            if number == 0 && next != 0 {
                // Another copy, because this one was asked for twice or its giver is gone.
                self.engines = engines(term);
                self.veils = (0..SHARDS).map(|_| Veils::default()).collect();
                next = 0;
            }
            if number != next {
                // One before it is lost: the copy is asked for again when nothing more comes.
                continue;
            }
            let last = snapshot::read(&chunk, SHARDS, |record| self.load(now, record))?;
            (next, newest) = (next + 1, now.tick);
            if last {
                return Ok(true);
            }
            tokio::task::yield_now().await;
        }
    }

    fn load(&mut self, now: Now, record: Record) {
        match record {
            Record::Place(seq) => self.followed.seq = seq,
            Record::View(view) => self.followed.view = view,
            Record::User(place, state) => self.engines[place].load(now, state),
            // What is of the giver's own place is said with a place of the log by now.
            Record::Past(place, past) => self.engines[place].load_past(past, self.followed.seq),
            Record::Ancestry(ancestry) => self.ancestry = ancestry,
            Record::Veil(place, veil) => drop(self.veils[place].insert(veil.user.clone(), Veil::from(&veil))),
        }
    }

    fn hear(&mut self, seq: u64, word: &Word) -> Result<(), End> {
        if seq <= self.followed.seq {
            return Ok(());
        }
        match word {
            Word::Founded(founder) => self.followed.founded_by(*founder)?,
            Word::Entry(frame) => self.follow(frame)?,
            Word::Knows(_) => {}
            Word::Unread(error) => unread(seq, *error)?,
        }
        self.followed.seq = seq;
        Ok(())
    }

    fn follow(&mut self, Frame { entry, veil }: &Frame) -> Result<(), End> {
        self.followed.seq = entry.seq;
        if entry.node == self.term.node {
            self.own = self.own.max(entry.count);
        }
        match self.followed.admit(self.term.node, entry)? {
            Step::User => {
                let Some(user) = entry.act.user() else { return Ok(()) };
                let place = self.term.shared.shards.place(user);
                let (engine, veils) = (&mut self.engines[place], &mut self.veils[place]);
                let now = Now { tick: self.term.shared.clock.now().tick, wall: entry.wall };
                let effects = match veil {
                    Some(shown) => {
                        crate::privacy::draw(engine, veils, shown);
                        return Ok(());
                    }
                    // What is refused is refused everywhere.
                    None => engine.follow(now, entry).unwrap_or_default(),
                };
                if entry.node == self.term.node {
                    let told = |effect: &Effect| matches!(effect, Effect::Announce(_));
                    let kept = effects.iter().filter(|effect| !told(effect)).cloned();
                    self.kept.extend(kept.map(|effect| (entry.seq, effect)));
                }
                if !veils.is_empty() {
                    crate::veil::changes(veils, &VeilCount::default(), effects);
                }
            }
            Step::Heard => {
                let Act::Heard { sessions } = &entry.act else { return Ok(()) };
                let now = Now { tick: self.term.shared.clock.now().tick, wall: entry.wall };
                for heard in sessions {
                    let place = self.term.shared.shards.place(&heard.user);
                    self.engines[place].follow_heard(now, entry.node, heard);
                }
            }
            Step::Lose { node, heir } => {
                self.engines.iter_mut().for_each(|engine| engine.lose(node, heir));
            }
            Step::Asks(_) | Step::Tick | Step::Nothing => {}
        }
        Ok(())
    }

    /// Claims what only this node knows, and follows until the copy has it. Most of it while this node still decides alone; then,
    /// while what is asked for waits, what came up in the meantime.
    async fn claim(&mut self) -> Result<(), End> {
        let cluster = self.term.cluster;
        self.fresh = cluster.restored.lock().is_some();
        let former = cluster.before.lock().node;
        if let Some(node) = former {
            // From there on nothing more comes of this node's former name, so that it is certain what became of what it gave to the
            // log, and what is left of it is this node's.
            let lost = append(self.term, &[Act::Lost { node, heir: self.term.node }]).await?;
            self.follow_up_to(lost).await?;
        }
        if !self.fresh {
            self.claim_all().await?;
        }
        cluster.proposals.open();
        self.claim_all().await?;
        // When that took too long this node went on alone, and the copy does not know of it.
        if cluster.proposals.is_open() { Ok(()) } else { Err(End::Lost) }
    }

    /// Claims what the copy does not know yet.
    async fn claim_all(&mut self) -> Result<(), End> {
        let (term, shared) = (self.term, self.term.shared);
        let mut claims = Vec::new();
        if !self.fresh {
            for (place, copy) in self.engines.iter().enumerate() {
                {
                    let before = term.cluster.before.lock();
                    let mut claim = |act| claims.push(act);
                    shared.shards.at(place, |shard| before.reassert(&shard.engine, copy, &self.ancestry, &mut claim));
                }
                tokio::task::yield_now().await;
            }
        }
        let mut last = 0;
        for claims in claims.chunks(CLAIMS) {
            last = append(term, claims).await?;
        }
        self.follow_up_to(last).await
    }

    /// Follows the log until it came to this entry of this node, and to its end.
    async fn follow_up_to(&mut self, count: u64) -> Result<(), End> {
        let term = self.term;
        let began = term.shared.clock.now().tick;
        loop {
            let entries = term.cluster.bus.read(term.epoch, self.followed.seq, follower::READ_MAX, LOOK_EVERY).await?;
            let full = entries.len() >= follower::READ_MAX;
            for logged in &entries {
                self.hear(logged.seq, &Word::read(logged.seq, &logged.bytes))?;
            }
            if !self.followed.view.is_live(term.node) {
                return Err(End::Lost);
            }
            if self.own >= count && !full {
                return Ok(());
            }
            if !full && term.shared.clock.now().tick - began >= CAUGHT_UP_WITHIN {
                // The log has lost it.
                return Err(End::Lost);
            }
        }
    }

    /// The copy takes the engines' place; what differs is told, and whoever watches begins anew after it.
    fn succeed(self) {
        let (term, shared) = (self.term, self.term.shared);
        // The others know better what the store knew.
        drop(term.cluster.restored.lock().take());
        let since = term.cluster.before.lock().since;
        if !self.fresh && term.cluster.cut_off.lock().is_none() {
            // All that differs would be told at one place of the log, and without what was between: nobody could come back to it.
            turn_away(shared);
        }
        let mut late = Vec::new();
        for (place, (engine, veils)) in self.engines.into_iter().zip(self.veils).enumerate() {
            let before = term.cluster.before.lock();
            shared.shards.at(place, |shard| {
                let now = shared.clock.now();
                if !self.fresh {
                    // What was heard while the last claims were on their way.
                    let mut claim = |act| late.push(Command::Act(act));
                    before.reassert(&shard.engine, &engine, &self.ancestry, &mut claim);
                }
                let effects = shared.counted(shard, |shard| {
                    let old = std::mem::replace(&mut shard.engine, engine);
                    shard.engine.succeed(now, since, old)
                });
                shared.veils.moved(shard.veils.len(), veils.len());
                shard.veils = veils;
                // To one who comes for the first time nothing has changed: nobody has asked it yet.
                for effect in effects.into_iter().filter(|_| !self.fresh) {
                    let user = user_of(&effect);
                    // The others have kept what is told when they decided it; that a session of this node's own ended, they cannot know.
                    let own = matches!(effect, Effect::ForgetSession(..));
                    let from = Logged { user: &user, seq: self.followed.seq, own };
                    shared.push_from(shard, now, vec![effect], Some(from));
                }
            });
        }
        for (seq, effect) in self.kept {
            let user = user_of(&effect);
            shared.shards.with(&user, |shard| {
                let from = Logged { user: &user, seq, own: true };
                shared.push_from(shard, shared.clock.now(), vec![effect], Some(from));
            });
        }
        for proposal in term.cluster.proposals.take_followed(|given| self.followed.view.has_followed(given)) {
            conclude(shared, proposal, self.followed.seq);
        }
        late.extend(term.cluster.alone.lock().take(&self.followed.view));
        term.cluster.proposals.put_first(late, shared.clock.now());
        term.cluster.before.lock().ancestry = self.ancestry;
        *term.followed.lock() = self.followed;
        start(term);
    }
}

/// Answers for what the others have followed under a former name of this node. What followed from it they did not keep, because it was
/// this node's to keep; all that is known of the user is kept instead.
fn conclude(shared: &Shared, proposal: Proposal, seq: u64) {
    let (Some(user), Some(Finish::Decided(finish))) = (proposal.command.user().map(UserId::from), proposal.completion)
    else {
        return;
    };
    shared.shards.with(&user, |shard| {
        let now = shared.clock.now();
        let known = shard.engine.presence(&user);
        let (in_memory, since_known) = (known.is_some(), known.is_some_and(|known| known.since.is_some()));
        let effects = shard.engine.rows(&user);
        finish(
            shared,
            Ok((shard, Outcome { now, effects, changes: Vec::new(), in_memory, since_known, log: Some(seq) })),
        );
    });
}

pub(super) fn engines(term: &Term<'_>) -> Vec<Engine> {
    let mut engines: Vec<Engine> = term.shared.shards.empty_engines().collect();
    engines.iter_mut().for_each(|engine| engine.set_me(term.node));
    engines
}

/// Holds back what comes.
async fn read_on(term: &Term<'_>, read: &Mutex<Incoming>) -> End {
    loop {
        let after = read.lock().to;
        let entries = match term.cluster.bus.read(term.epoch, after, follower::READ_MAX, follower::READ_WAIT).await {
            Ok(entries) => entries,
            Err(BusError::Unavailable(_)) => {
                term.shared.clock.sleep(LOOK_EVERY).await;
                continue;
            }
            Err(error) => return error.into(),
        };
        let mut read = read.lock();
        for logged in entries {
            if let Err(end) = read.hold(term.node, logged.seq, Word::read(logged.seq, &logged.bytes)) {
                return end.into();
            }
        }
    }
}

/// Whom an effect is about.
fn user_of(effect: &Effect) -> UserId {
    match effect {
        Effect::Announce(transition) => transition.user.clone(),
        Effect::SavePresence(row) => row.user.clone(),
        Effect::OpenSession(row) | Effect::SaveSession(row) => row.user.clone(),
        Effect::SaveOverride(row) => row.user.clone(),
        Effect::SaveHeld(row) => row.user.clone(),
        Effect::ForgetSession(user, _)
        | Effect::ForgetOverride(user, _)
        | Effect::ForgetHeld(user)
        | Effect::Erase(user) => user.clone(),
    }
}
