//! What the log says, followed by the simplest means there are: lists, and the rules written down once more.

use std::collections::{BTreeMap, BTreeSet};
use std::string::{String, ToString};
use std::vec::Vec;

use super::log::{Frame, Logged};
use crate::cluster::{Act, Ended, Entry, Node, UserState};
use crate::engine::name_of;
use crate::{Activity, EndReason, Status, Timestamp};

pub(super) const SESSIONS_MAX: usize = 3;

/// A change of what is shown of a user.
pub(super) type Change = (String, Status, Status);

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    live: BTreeMap<Node, u64>,
    lost: BTreeSet<Node>,
    users: BTreeMap<String, User>,
    /// Where sessions ended on somebody's word.
    ended: Vec<Ended>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct User {
    sessions: Vec<Session>,
    overrides: [Option<(Status, Timestamp)>; 3],
    held: Option<(Status, Timestamp)>,
    barred: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    name: String,
    number: u64,
    activity: Activity,
    owner: Node,
}

/// What an entry did, as the model has it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    changes: Vec<Change>,
    /// The sessions that it ended, but for those that made room.
    pub(super) gone: Vec<(String, String)>,
    /// The session that it opened.
    pub(super) opened: Option<(String, String)>,
}

/// Is shown every entry once, with what it did.
pub(super) type Witness<'a> = &'a mut dyn FnMut(&Logged, &Entry, &Outcome);

impl Model {
    pub(super) fn of(
        members: impl IntoIterator<Item = (Node, u64)>,
        states: Vec<UserState>,
        ended: Vec<Ended>,
    ) -> Self {
        let mut model = Self { live: members.into_iter().collect(), ended, ..Self::default() };
        for state in states {
            let mut user = User { barred: state.barred, ..User::default() };
            user.held = state.held.map(|held| (held.status, held.set_at));
            for standing in state.overrides {
                user.overrides[standing.source as usize] = Some((standing.status, standing.set_at));
            }
            for session in state.sessions {
                let (name, number) = (session.session.to_string(), session.number);
                user.sessions.push(Session { name, number, activity: session.activity, owner: session.owner });
            }
            model.users.insert(state.user.to_string(), user);
        }
        model
    }

    /// Does what the entry says.
    fn follow(&mut self, entry: &Entry) -> Outcome {
        let mut outcome = Outcome::default();
        if let Act::Joined = entry.act {
            if !self.lost.contains(&entry.node) {
                let count = self.live.entry(entry.node).or_default();
                *count = (*count).max(entry.count);
            }
            return outcome;
        }
        let Some(count) = self.live.get_mut(&entry.node).filter(|count| **count < entry.count) else { return outcome };
        *count = entry.count;
        if let Act::Lost { node, heir } = entry.act {
            self.lose(node, heir);
        }
        if let Act::Heard { sessions } = &entry.act {
            for heard in sessions {
                let user = self.users.get_mut(heard.user.as_str());
                let mut sessions = user.into_iter().flat_map(|user| &mut user.sessions);
                if let Some(session) =
                    sessions.find(|session| session.name == heard.session && heard.is_fresh(entry.wall))
                {
                    session.owner = entry.node;
                }
            }
        }
        let Some(name) = entry.act.user().map(ToString::to_string) else { return outcome };
        if let Act::Claim { session, after, .. } = &entry.act
            && self.ended.iter().any(|ended| ended.seq > *after && ended.session == name_of(&name, session))
        {
            return outcome;
        }
        if let Act::Evidence { session, after, .. } = &entry.act
            && self.ended.iter().any(|ended| ended.seq > *after && ended.session == name_of(&name, session))
            && self.users.get(&name).is_none_or(|user| user.sessions.iter().all(|live| live.name != **session))
        {
            return outcome;
        }
        let mut user = self.users.remove(&name).unwrap_or_default();
        let (from, before) = (user.shown(), user.sessions.clone());
        user.change(entry);
        let to = user.shown();
        let had = |sessions: &[Session], name: &str| sessions.iter().any(|session| session.name == name);
        let gone = before.iter().filter(|session| !had(&user.sessions, &session.name));
        if !matches!(entry.act, Act::Expire { .. }) {
            let ended = |gone: &Session| Ended { seq: entry.seq, session: name_of(&name, &gone.name) };
            self.ended.extend(gone.clone().map(ended));
        }
        outcome.gone.extend(gone.map(|session| (name.clone(), session.name.clone())));
        let opened = user.sessions.iter().find(|session| !had(&before, &session.name));
        outcome.opened = opened.map(|session| (name.clone(), session.name.clone()));
        if user != User::default() {
            self.users.insert(name.clone(), user);
        }
        if from != to {
            outcome.changes.push((name, from, to));
        }
        outcome
    }

    /// What a node should hold.
    pub(super) fn agrees_with(&self, states: Vec<UserState>) {
        let other = Self::of(None, states, Vec::new());
        for name in self.users.keys().chain(other.users.keys()) {
            assert_eq!(other.users.get(name), self.users.get(name), "a node does not agree with the log about {name}");
        }
    }

    fn lose(&mut self, node: Node, heir: Node) {
        if self.live.remove(&node).is_none() {
            return;
        }
        self.lost.insert(node);
        let named = self.live.contains_key(&heir).then_some(heir);
        let next = self.live.keys().copied().find(|&other| other > node).or_else(|| self.live.keys().next().copied());
        let Some(heir) = named.or(next) else { return };
        let sessions = self.users.values_mut().flat_map(|user| &mut user.sessions);
        sessions.filter(|session| session.owner == node).for_each(|session| session.owner = heir);
    }
}

impl User {
    fn shown(&self) -> Status {
        if self.barred {
            return Status::Offline;
        }
        let sessions = self.sessions.iter().map(|session| session.activity.status()).max().unwrap_or_default();
        let top = self.overrides.iter().rev().flatten().next().or(self.held.as_ref());
        top.map_or(sessions, |&(status, _)| status)
    }

    fn change(&mut self, entry: &Entry) {
        let wall = entry.wall;
        match &entry.act {
            Act::Evidence { session, activity, .. } if !self.barred => {
                self.held = None;
                self.hear(entry, session, *activity);
            }
            Act::Claim { session, activity, .. } if !self.barred => self.hear(entry, session, Some(*activity)),
            Act::EndSession { session, reason, .. } => {
                let part = |name: &str| name == session.as_str() || name.starts_with(&std::format!("{session}/"));
                self.sessions.retain(|session| !part(&session.name));
                if self.sessions.is_empty() && *reason != EndReason::Disconnected {
                    self.held = None;
                }
            }
            Act::EndUser { .. } => {
                self.sessions.clear();
                self.held = None;
            }
            Act::Set { status: Status::Offline, .. } => {
                self.sessions.clear();
                self.held = None;
            }
            Act::Set { status, .. } if !self.barred => self.held = Some((*status, wall)),
            Act::Override { source, status, .. } if !self.barred => {
                self.overrides[*source as usize] = Some((*status, wall));
            }
            Act::ClearOverride { source, .. } => self.overrides[*source as usize] = None,
            Act::Bar { .. } => *self = Self { barred: true, ..Self::default() },
            Act::Unbar { .. } => self.barred = false,
            Act::Forget { .. } => *self = Self::default(),
            Act::Expire { number, .. } => {
                self.sessions.retain(|session| session.number != *number || session.owner != entry.node);
            }
            Act::EndTimer { source, set_at, .. } => {
                let slot = source.map_or(&mut self.held, |source| &mut self.overrides[source as usize]);
                if slot.is_some_and(|(_, at)| at == *set_at) {
                    *slot = None;
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, entry: &Entry, name: &str, activity: Option<Activity>) {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.name == name) {
            session.owner = entry.node;
            session.activity = activity.unwrap_or(session.activity);
            return;
        }
        while self.sessions.len() >= SESSIONS_MAX {
            self.sessions.remove(0);
        }
        let activity = activity.unwrap_or_default();
        self.sessions.push(Session { name: name.into(), number: entry.seq, activity, owner: entry.node });
    }
}

/// A state of all, and what comes after it in the log: whoever founds a cluster begins one, and copies carry it on.
#[derive(Debug)]
pub(super) struct Lineage {
    founder: Node,
    /// Up to where the founder had followed before.
    known: u64,
    /// Up to where it was shown.
    witnessed: u64,
    base: (u64, Model),
    model: Model,
    seq: u64,
    /// What everybody is to tell, by place.
    told: BTreeMap<u64, Vec<Change>>,
}

impl Lineage {
    pub(super) fn new(founder: Node, known: u64, seq: u64, model: Model) -> Self {
        Self { founder, known, witnessed: 0, base: (seq, model.clone()), model, seq, told: BTreeMap::new() }
    }

    /// Follows up to this entry.
    pub(super) fn follow(&mut self, log: &[Logged], seq: u64, witness: Witness<'_>) {
        let from = log.partition_point(|entry| entry.seq <= self.seq);
        for logged in log[from..].iter().take_while(|logged| logged.seq <= seq) {
            self.seq = logged.seq;
            let mut outcome = Outcome::default();
            if let Frame::Entry(bytes) = &logged.frame {
                let entry = Entry::decode(logged.seq, bytes).expect("an entry");
                outcome = self.model.follow(&entry);
                if logged.seq > self.witnessed {
                    self.witnessed = logged.seq;
                    witness(logged, &entry, &outcome);
                }
            }
            self.told.insert(logged.seq, outcome.changes);
        }
    }

    /// `None` when the log does not hold that entry any more.
    pub(super) fn told(&self, seq: u64) -> Option<&[Change]> {
        self.told.get(&seq).map(Vec::as_slice)
    }

    pub(super) fn at(&self, seq: u64) -> Option<&Model> {
        (self.seq == seq).then_some(&self.model)
    }

    /// The newest entries are gone.
    pub(super) fn begin_again(&mut self) {
        (self.seq, self.model) = self.base.clone();
        self.told.clear();
    }

    pub(super) const fn known(&self) -> u64 {
        self.known
    }

    pub(super) const fn founder(&self) -> Node {
        self.founder
    }
}
