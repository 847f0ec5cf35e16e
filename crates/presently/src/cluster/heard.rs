//! Heartbeats that come to another node than their session's. **What says nothing new goes into the log packed, an entry for many**: a load
//! balancer that sends each heartbeat to another node costs a few commands a second, however many there are.
//!
//! Such a heartbeat is answered at once. The session becomes this node's when the entry is followed; until then its owner keeps
//! more than half a timeout before it, so that nobody is ended for what is on its way, and whoever is on their way when this node dies
//! has that half to be heard again.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use presently_core::cluster::{Act, HeardSession, Node};
use presently_core::{Activity, Now, Timestamp};

use super::Cluster;
use super::Command;
use super::proposals::{Proposal, Refusal};
use super::term::{End, Term};
use crate::shard::Shard;
use crate::shared::Shared;
use crate::{SessionId, UserId};

/// How often what was gathered is put into the log.
const EVERY: Duration = Duration::from_millis(500);
/// Sessions that wait for it at most; beyond it each is proposed by itself.
const GATHERED_MAX: usize = 50_000;
/// Bytes of an entry, about.
const ENTRY_BYTES: usize = 64 * 1024;

/// What waits, each session with its last evidence here.
#[derive(Debug, Default)]
pub(crate) struct Gathered(Mutex<BTreeMap<(UserId, SessionId), Timestamp>>);

impl Gathered {
    fn has_room(&self) -> bool {
        self.0.lock().len() < GATHERED_MAX
    }

    fn note(&self, heard: HeardSession) {
        let HeardSession { user, session, at } = heard;
        let mut gathered = self.0.lock();
        let newest = gathered.entry((user, session)).or_insert(at);
        *newest = at.max(*newest);
    }

    pub(super) fn take(&self) -> Vec<HeardSession> {
        let gathered = std::mem::take(&mut *self.0.lock());
        gathered.into_iter().map(|((user, session), at)| HeardSession { user, session, at }).collect()
    }
}

impl Shared {
    /// Counts evidence of another node's session that says nothing new; false when it is to be decided.
    pub(crate) fn hear_elsewhere(
        &self,
        shard: &mut Shard,
        now: Now,
        user: &str,
        session: &str,
        activity: Option<Activity>,
    ) -> bool {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.is_member()) else { return false };
        let counts = cluster.gathered.has_room() && shard.engine.renew_elsewhere(now, user, session, activity);
        if counts {
            cluster.gathered.note(HeardSession { user: user.into(), session: session.into(), at: now.wall });
        }
        counts
    }

    /// Makes sessions this node's without asking anybody: it decides alone.
    pub(super) fn own_alone(&self, heard: &[HeardSession]) {
        let now = self.clock.now();
        for heard in heard {
            self.shards.with(&heard.user, |shard| {
                let me = shard.engine.me().unwrap_or(Node(0));
                shard.engine.follow_heard(now, me, heard);
            });
        }
    }
}

/// Puts what was gathered into the log.
pub(super) fn hand_in(shared: &Shared, cluster: &Cluster) {
    let mut gathered = cluster.gathered.take().into_iter().peekable();
    while gathered.peek().is_some() {
        let (mut bytes, mut sessions) = (0, Vec::new());
        while let Some(heard) = gathered.next_if(|_| bytes < ENTRY_BYTES) {
            bytes += heard.user.len() + heard.session.len() + 12;
            sessions.push(heard);
        }
        let now = shared.clock.now();
        let command = Command::Act(Act::Heard { sessions });
        let proposal = Proposal::new(command, now.wall, now.tick);
        match cluster.proposals.push(proposal) {
            Ok(()) => {}
            Err(Refusal::Alone(proposal)) => shared.settle_all_alone(cluster, vec![*proposal]),
            Err(Refusal::Full(proposal)) => {
                if let Command::Act(Act::Heard { sessions }) = proposal.command {
                    sessions.into_iter().chain(gathered.by_ref()).for_each(|heard| cluster.gathered.note(heard));
                }
            }
        }
    }
}

/// Does so again and again.
pub(super) async fn gather(term: &Term<'_>) -> End {
    loop {
        term.shared.clock.sleep(EVERY).await;
        hand_in(term.shared, term.cluster);
    }
}
