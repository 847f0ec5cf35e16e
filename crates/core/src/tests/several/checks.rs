//! What must be true. **What was heard, and when, is written down apart from the nodes** and compared with what they decide.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::log::{Frame, Logged};
use super::model::Outcome;
use super::server::SECOND;
use super::world::{LAG, TIMEOUT, World};
use crate::cluster::{Act, Entry, HeardSession, Node, UserState};
use crate::{Engine, Now, Status};

const GRACE: u64 = 10 * SECOND;
/// A node that gave a session away and does not know it yet may hear it: nobody is told.
const UNTOLD: u64 = LAG + 4 * SECOND;

type Name = (String, String);

/// Evidence of a session in the log.
#[derive(Clone, Copy, Debug)]
struct Heard {
    seq: u64,
    at: u64,
    /// For how long it is good.
    lasts: u64,
}

/// What happened, as somebody would see it who sees everything.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// When evidence of the session came into the log, by place.
    logged: BTreeMap<Name, Vec<Heard>>,
    /// When a member heard it.
    renewed: BTreeMap<Name, u64>,
    /// When a node heard it that decided alone.
    alone: BTreeMap<Name, u64>,
    /// When it was heard anywhere.
    heard: BTreeMap<Name, u64>,
    /// The last count of each node in the log.
    counts: BTreeMap<Node, u64>,
    /// When it was ended on somebody's word.
    ended: BTreeMap<Name, u64>,
}

impl Truth {
    pub(super) fn heard(&mut self, time: u64, name: Name, counts: bool, alone: bool) {
        if alone {
            self.alone.insert(name.clone(), u64::MAX - LAG);
        } else {
            self.alone.remove(&name);
        }
        if counts {
            self.renewed.insert(name.clone(), time);
        }
        self.heard.insert(name, time);
    }

    pub(super) fn appended(&mut self, entries: &[Logged]) {
        for logged in entries {
            let Frame::Entry(bytes) = &logged.frame else { continue };
            let entry = Entry::decode(logged.seq, bytes).expect("an entry");
            let count = self.counts.entry(entry.node).or_default();
            if entry.count <= *count {
                continue;
            }
            *count = entry.count;
            if let Act::Heard { sessions } = &entry.act {
                for HeardSession { user, session, at } in sessions {
                    let ago = entry.wall.0.saturating_sub(at.0).cast_unsigned();
                    let heard = Heard { seq: logged.seq, at: logged.at, lasts: TIMEOUT.saturating_sub(ago) };
                    self.logged.entry((user.to_string(), session.to_string())).or_default().push(heard);
                }
            }
            if let Act::Evidence { user, session, .. } | Act::Claim { user, session, .. } = &entry.act {
                let name = (user.to_string(), session.to_string());
                let lasts =
                    if let Act::Claim { remaining, .. } = &entry.act { remaining.as_micros() as u64 } else { TIMEOUT };
                self.logged.entry(name).or_default().push(Heard { seq: logged.seq, at: logged.at, lasts });
            }
        }
    }

    /// The log lost something: what was in it may be unknown to everybody.
    pub(super) fn lost(&mut self) {
        self.logged.clear();
        self.renewed.clear();
        self.ended.clear();
    }

    /// Somebody goes on who knows nothing of what was after this place.
    pub(super) fn founded(&mut self, followed: u64) {
        self.ended.retain(|_, at| *at <= followed);
    }

    /// An entry is followed for the first time.
    pub(super) fn witness(
        &mut self,
        logged: &Logged,
        entry: &Entry,
        outcome: &Outcome,
        proposed: &BTreeMap<(Node, u64), u64>,
    ) {
        for name in &outcome.gone {
            if let Act::Expire { dropped, .. } = &entry.act {
                let proposed = proposed[&(entry.node, entry.count)];
                let timeout = if *dropped { GRACE } else { TIMEOUT };
                let last = self.logged.get(name).into_iter().flatten().rfind(|heard| heard.seq < logged.seq);
                if let Some(&heard) = last {
                    let until = heard.at + heard.lasts.min(timeout);
                    assert!(
                        until <= proposed,
                        "{name:?}: {heard:?}, and is thrown out by {entry:?}, proposed at {proposed}"
                    );
                }
                if let Some(&at) = self.renewed.get(name).filter(|&&at| at <= logged.at) {
                    assert!(
                        at + timeout <= proposed + UNTOLD,
                        "{name:?} was renewed at {at} and is thrown out by {entry:?}"
                    );
                }
            } else {
                self.ended.insert(name.clone(), logged.at);
            }
        }
        if let (Some(name), Act::Claim { .. }) = (&outcome.opened, &entry.act) {
            // What a node heard while it decided alone, nobody could end.
            let heard = self
                .heard
                .get(name)
                .copied()
                .unwrap_or_default()
                .max(self.alone.get(name).copied().unwrap_or_default());
            let ended = self.ended.get(name).copied().filter(|&at| at < logged.at).unwrap_or_default();
            assert!(
                heard + LAG >= ended,
                "{name:?} was ended at {ended}, heard at {heard}, and comes back by {entry:?}"
            );
        }
    }
}

/// What a node holds.
pub(super) fn states(engine: &Engine, now: Now) -> Vec<UserState> {
    let mut states = Vec::new();
    engine.visit_states(now, 0, usize::MAX, &mut |state| states.push(state));
    states
}

impl World {
    /// After every step.
    pub(super) fn check(&self) {
        for server in &self.servers {
            let now = server.now(self.time);
            if self.time.is_multiple_of(SECOND) {
                server.engine.check_invariants();
            }
            let Some(term) = server.member() else { continue };
            let Some(model) = self.lineages[term.lineage].at(term.seq) else { continue };
            if !self.time.is_multiple_of(SECOND) {
                continue;
            }
            let states = states(&server.engine, now);
            for state in &states {
                let (user, shown) = (state.user.as_str(), server.engine.presence(&state.user));
                let told = server.told.get(user).copied().unwrap_or_default();
                assert_eq!(shown.map(|shown| shown.status), Some(told), "what was told of {user} is not what is shown");
            }
            let shown = |user: &str| states.iter().any(|state| state.user == user);
            for (user, told) in &server.told {
                assert!(*told == Status::Offline || shown(user), "{user} was told to be {told:?} and is not there");
            }
            model.agrees_with(states);
        }
    }

    /// When nothing happened for long.
    pub(super) fn check_calm(&self) {
        let end = self.log.entries.last().map_or(0, |logged| logged.seq);
        let mut first = None;
        for server in &self.servers {
            let now = server.now(self.time);
            let Some(term) = server.member() else { panic!("it is no member, but {:?}", server.term) };
            assert!(self.log.entries.iter().filter(|logged| logged.seq > term.seq).count() < 50, "it follows {end}");
            assert_eq!(*first.get_or_insert(term.lineage), term.lineage, "there are two clusters");
            for state in states(&server.engine, now) {
                for session in &state.sessions {
                    let name = (state.user.to_string(), session.session.to_string());
                    let heard = self.truth.heard.get(&name).copied().unwrap_or_default();
                    assert!(heard + TIMEOUT + 10 * SECOND > self.time, "{name:?} is a ghost, silent since {heard}");
                }
            }
        }
    }

    /// When everybody was silent for long: nothing is left but what has no end.
    pub(super) fn check_silence(&self) {
        for server in &self.servers {
            for state in states(&server.engine, server.now(self.time)) {
                assert!(state.sessions.is_empty() && state.held.is_none(), "{state:?} is a ghost");
                assert!(state.overrides.iter().all(|standing| standing.ends_at.is_none()), "{state:?} has no end");
            }
        }
    }
}
