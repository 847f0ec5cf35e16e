//! Out of the log. **Entries are followed in their order, each once, under the lock of its user's shard**; what follows from one is in the
//! queue before the next one is looked at.

use std::time::Duration;

use presently_core::Now;
use presently_core::cluster::Act;
use presently_replication::{Frame, Step, Word};

use super::copy;
use super::proposals::{Finish, Proposal};
use super::term::{End, Term, unread};
use crate::acts::APPLICATION;
use crate::bus::BusError;
use crate::outbox::entry::Logged;
use crate::shard::{SHARDS, Shard};
use crate::shared::{Outcome, Shared};

/// Entries read at once.
pub(super) const READ_MAX: usize = 4096;
/// How long one read waits for an entry.
pub(super) const READ_WAIT: Duration = Duration::from_secs(1);
/// Entries followed between two yields to other tasks.
const STEP: usize = 256;
const RETRY_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn follow(term: &Term<'_>) -> End {
    loop {
        let after = term.followed.lock().seq;
        let entries = match term.cluster.bus.read(term.epoch, after, READ_MAX, READ_WAIT).await {
            Ok(entries) => entries,
            // Whether this node is cut off is the keeper's to say.
            Err(BusError::Unavailable(_)) => {
                term.shared.clock.sleep(RETRY_EVERY).await;
                continue;
            }
            Err(error) => return error.into(),
        };
        term.shared.metrics.followed(entries.len());
        for (place, logged) in entries.iter().enumerate() {
            let end = match Word::read(logged.seq, &logged.bytes) {
                Word::Founded(founder) => term.followed.lock().founded_by(founder).err().map(End::from),
                Word::Entry(frame) => one(term, frame),
                Word::Knows(_) => None,
                Word::Unread(error) => unread(logged.seq, error).err(),
            };
            if let Some(end) = end {
                return end;
            }
            term.followed.lock().seq = logged.seq;
            if place % STEP == STEP - 1 {
                term.shared.queue.followed(logged.seq);
                tokio::task::yield_now().await;
            }
        }
        if let Some(last) = entries.last() {
            term.shared.queue.followed(last.seq);
        }
        copy::prepare(term).await;
    }
}

/// Follows one entry.
fn one(term: &Term<'_>, frame: Frame) -> Option<End> {
    let Frame { entry, veil } = frame;
    let step = match term.followed.lock().admit(term.node, &entry) {
        Ok(step) => step,
        Err(end) => return Some(end.into()),
    };
    let own = entry.node == term.node;
    let proposal = match step {
        // A repetition; or the word of one who is no member, which is proposed again.
        Step::Nothing | Step::Asks(_) | Step::Lose { .. } => None,
        Step::User | Step::Heard | Step::Tick if own => term.cluster.proposals.followed(&entry),
        Step::User | Step::Heard | Step::Tick => None,
    };
    match step {
        Step::User => follow_user(term, &entry, veil, proposal),
        Step::Heard => {
            let Act::Heard { sessions } = &entry.act else { return None };
            for heard in sessions {
                term.shared.shards.with(&heard.user, |shard| {
                    let now = Now { tick: term.shared.clock.now().tick, wall: entry.wall };
                    shard.engine.follow_heard(now, entry.node, heard);
                });
            }
        }
        Step::Asks(node) => {
            term.cluster.stand(Some(&term.followed.lock().view));
            term.copies.ask(node);
        }
        Step::Lose { node, heir } => {
            (0..SHARDS).for_each(|place| term.shared.shards.at(place, |shard| shard.engine.lose(node, heir)));
            term.cluster.stand(Some(&term.followed.lock().view));
        }
        Step::Tick => {
            term.cluster.stand(Some(&term.followed.lock().view));
            if let Some(Finish::Reached(told)) = proposal.and_then(|proposal| proposal.completion) {
                // What is told from here on is at this position, or later.
                term.shared.queue.followed(entry.seq);
                let _ = told.send(());
            }
        }
        Step::Nothing => {}
    }
    None
}

/// Counts what a user changed at another node, so that they cannot change more because there are several.
fn charge(shared: &Shared, shard: &mut Shard, act: &Act, is_veil: bool) {
    let user = match act {
        _ if is_veil => act.user(),
        Act::Evidence { user, session, activity, .. } => {
            let counts = !session.starts_with(APPLICATION) && shard.engine.would_change(user, session, *activity);
            counts.then_some(user.as_str())
        }
        _ => None,
    };
    if let Some(user) = user {
        shard.pace.charge(shared.clock.now().tick, user);
    }
}

fn follow_user(
    term: &Term<'_>,
    entry: &presently_core::cluster::Entry,
    veil: Option<crate::store::VeilRow>,
    proposal: Option<Proposal>,
) {
    let shared = term.shared;
    let Some(user) = entry.act.user() else { return };
    let from = Logged { user, seq: entry.seq, own: entry.node == term.node };
    let finish = proposal.and_then(|proposal| {
        shared.metrics.settled(shared.clock.now().tick - proposal.at);
        match proposal.completion? {
            Finish::Decided(finish) => Some(finish),
            Finish::Reached(_) => None,
        }
    });
    shared.shards.with(user, |shard| {
        let now = Now { tick: shared.clock.now().tick, wall: entry.wall };
        if !from.own {
            charge(shared, shard, &entry.act, veil.is_some());
        }
        let before = shard.engine.presence(user);
        let (in_memory, since_known) = (before.is_some(), before.is_some_and(|before| before.since.is_some()));
        let decided = match &veil {
            Some(shown) => Ok((Vec::new(), shared.draw(shard, shown))),
            None => shared.counted(shard, |shard| shard.engine.follow(now, entry)).map(|effects| (effects, Vec::new())),
        };
        match (decided, finish) {
            (Ok((effects, changes)), Some(finish)) => {
                let outcome = Outcome { now, effects, changes, in_memory, since_known, log: Some(entry.seq) };
                finish(shared, Ok((shard, outcome)));
            }
            (Ok((effects, changes)), None) => {
                shared.push_from(shard, now, effects, Some(from));
                shared.push_changes_from(shard, now, changes, from);
            }
            (Err(rejected), Some(finish)) => finish(shared, Err(rejected.into())),
            (Err(_), None) => {}
        }
    });
}
