//! A node that was away and comes back, and what the others make of what it says.

use std::format;
use std::string::String;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use crate::cluster::{Act, Ancestry, Ended, Entry, Left, Members, Node, Past, UserState, Verdict};
use crate::{Activity, Effect, EndReason, Engine, Input, Limits, Now, Policy, Rejected, Status, Tick, Timestamp};

pub(super) const A: Node = Node(1);
pub(super) const B: Node = Node(2);
/// The name under which A comes back.
const A2: Node = Node(3);

/// One who follows, with everything that it takes.
pub(super) struct Follower {
    pub(super) engine: Engine,
    members: Members,
    seq: u64,
}

/// Entries go to whoever is there; what they tell is the same.
pub(super) struct Log {
    pub(super) seq: u64,
}

impl Log {
    pub(super) fn put(
        &mut self,
        second: u64,
        node: Node,
        count: u64,
        act: Act,
        to: &mut [&mut Follower],
    ) -> Vec<String> {
        self.seq += 1;
        let mut bytes = Vec::new();
        Entry { seq: 0, node, count, wall: at(second).wall, act }.encode(&mut bytes);
        let entry = Entry::decode(self.seq, &bytes).unwrap();
        let told: Vec<Vec<String>> = to.iter_mut().map(|follower| follower.follow(second, &entry)).collect();
        assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
        told.into_iter().next().unwrap_or_default()
    }
}

impl Follower {
    pub(super) fn new(me: Node, members: &[Node]) -> Self {
        Self { engine: engine(me), members: members.iter().copied().collect(), seq: 0 }
    }

    fn follow(&mut self, second: u64, entry: &Entry) -> Vec<String> {
        self.seq = entry.seq;
        match self.members.admit(entry) {
            Verdict::User(_) => told(&self.engine.follow(at(second), entry).unwrap_or_default()),
            Verdict::Lost { node, heir } => {
                self.engine.lose(node, heir.unwrap());
                while self.engine.adopt(at(second), 1) {}
                Vec::new()
            }
            Verdict::Heard(sessions) => {
                let now = Now { wall: entry.wall, ..at(second) };
                sessions.iter().for_each(|heard| self.engine.follow_heard(now, entry.node, heard));
                Vec::new()
            }
            Verdict::Joined(_) | Verdict::Nothing => Vec::new(),
        }
    }

    /// What a node that joins is given.
    fn copy(&self, second: u64, me: Node) -> Self {
        let mut engine = engine(me);
        let mut bytes = Vec::new();
        self.engine.past().encode(&mut bytes);
        engine.load_past(Past::decode(&bytes).unwrap(), self.seq);
        self.engine.visit_states(at(second), 0, usize::MAX, &mut |state| {
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            engine.load(at(second), UserState::decode(&bytes).unwrap());
        });
        let mut bytes = Vec::new();
        self.members.encode(&mut bytes);
        Self { engine, members: Members::decode(&bytes).unwrap(), seq: self.seq }
    }

    /// What `self`, which is back, claims of the copy that is to succeed it.
    fn claims(&self, since: u64, after: u64, known: bool, copy: &Self) -> Vec<Act> {
        let mut claims = Vec::new();
        self.engine.claims(at(since).tick, after, &copy.engine, &|_| known, &mut |act| claims.push(act));
        claims
    }
}

fn engine(me: Node) -> Engine {
    let mut engine = Engine::new(Policy::default(), Limits::default(), me.0, 0, 1);
    engine.set_me(me);
    engine
}

fn at(second: u64) -> Now {
    Now { tick: Tick(second * 1_000_000), wall: Timestamp((second * 1_000_000).cast_signed()) }
}

fn told(effects: &[Effect]) -> Vec<String> {
    let announced = effects.iter().filter_map(|effect| match effect {
        Effect::Announce(change) => {
            Some(format!("{} {}->{} {:?}", change.user, change.from.as_str(), change.to.as_str(), change.reason))
        }
        _ => None,
    });
    announced.collect()
}

/// Of a session that nobody has ended.
pub(super) fn heard(session: &str) -> Act {
    Act::Evidence { user: "alice".into(), session: session.into(), after: u64::MAX, activity: None }
}

/// What this node proposes when it hears alice.
fn hears(second: u64, node: &mut Follower, session: &str) -> Act {
    node.engine.propose(at(second), &Input::Evidence { user: "alice", session, activity: None }).unwrap()
}

pub(super) fn ended(session: &str) -> Act {
    Act::EndSession { user: "alice".into(), session: session.into(), reason: EndReason::Logout }
}

/// Alice came at A in the tenth second, and A was cut off in the twentieth; B knows that it is gone.
fn cut_off() -> (Log, Follower, Follower) {
    let (mut log, mut a, mut b) = (Log { seq: 0 }, Follower::new(A, &[A, B]), Follower::new(B, &[A, B]));
    log.put(10, A, 1, heard("phone"), &mut [&mut a, &mut b]);
    log.put(30, B, 1, Act::Lost { node: A, heir: B }, &mut [&mut b]);
    (log, a, b)
}

/// A comes back with a copy of B's state: what it claims, and what all tell of that.
fn comes_back(second: u64, log: &mut Log, a: &Follower, b: &mut Follower, known: bool) -> (Follower, Vec<String>) {
    let mut copy = b.copy(second, A2);
    log.put(second, A2, 1, Act::Joined, &mut [b, &mut copy]);
    let claims = a.claims(20, 1, known, &copy);
    let mut told = Vec::new();
    for (place, claim) in claims.into_iter().enumerate() {
        assert!(matches!(claim, Act::Claim { .. }));
        told.push("claim".into());
        told.extend(log.put(second, A2, 2 + place as u64, claim, &mut [b, &mut copy]));
    }
    (copy, told)
}

#[test]
fn who_is_heard_while_the_entry_is_on_its_way_is_not_thrown_out() {
    let (mut log, mut a) = (Log { seq: 0 }, Follower::new(A, &[A]));
    log.put(0, A, 1, heard("phone"), &mut [&mut a]);
    // A renewal would do, but for the activity, which all are to know.
    let idle = Input::Evidence { user: "alice", session: "phone", activity: Some(Activity::Idle) };
    assert!(!a.engine.renew(at(119), "alice", "phone", Some(Activity::Idle)));
    let act = a.engine.propose(at(119), &idle).unwrap();
    assert_eq!(a.engine.due(at(121), true, 10), []);
    let told = log.put(122, A, 2, act, &mut [&mut a]);
    assert_eq!(told, ["alice online->away Activity"]);
    assert!(a.engine.due(at(240), true, 10).is_empty());
    assert_eq!(a.engine.due(at(243), true, 10).len(), 1);
}

#[test]
fn what_was_not_heard_since_is_the_heirs() {
    let (mut log, a, mut b) = cut_off();
    let (_, told) = comes_back(60, &mut log, &a, &mut b, true);
    assert_eq!(told, [""; 0]);
    assert!(b.engine.renew(at(61), "alice", "phone", None));
}

#[test]
fn what_was_heard_since_is_claimed_also_when_it_ran_out_elsewhere() {
    let (mut log, mut a, mut b) = cut_off();
    assert!(a.engine.renew(at(100), "alice", "phone", None));
    let due = b.engine.due(at(151), true, 10);
    let gone = log.put(151, B, 2, due[0].clone(), &mut [&mut b]);
    assert_eq!(gone, ["alice online->offline Expired"]);
    let (mut copy, told) = comes_back(160, &mut log, &a, &mut b, true);
    assert_eq!(told, ["claim", "alice offline->online Evidence"]);
    assert!(copy.engine.renew(at(161), "alice", "phone", None));
}

#[test]
fn what_ended_on_somebodys_word_stays_ended() {
    let (mut log, mut a, mut b) = cut_off();
    assert!(a.engine.renew(at(40), "alice", "phone", None));
    log.put(50, B, 2, ended("phone"), &mut [&mut b]);
    let (_, told) = comes_back(60, &mut log, &a, &mut b, true);
    assert_eq!(told, [""; 0]);
}

#[test]
fn a_claim_that_comes_after_the_goodbye_opens_nothing() {
    let (mut log, mut a, mut b) = cut_off();
    assert!(a.engine.renew(at(40), "alice", "phone", None));
    let mut copy = b.copy(60, A2);
    let followers = &mut [&mut b, &mut copy];
    log.put(60, A2, 1, Act::Joined, followers);
    let mut claims = a.claims(20, 1, true, followers[1]);
    log.put(60, B, 2, ended("phone"), followers);
    assert_eq!(log.put(61, A2, 2, claims.remove(0), followers), [""; 0]);
    assert_eq!(followers[0].engine.counts().sessions, 0);
}

#[test]
fn evidence_that_was_on_its_way_at_the_goodbye_opens_nothing() {
    let (mut log, mut a, mut b) = (Log { seq: 0 }, Follower::new(A, &[A, B]), Follower::new(B, &[A, B]));
    log.put(10, A, 1, heard("phone"), &mut [&mut a, &mut b]);
    for (place, end) in [
        ended("phone"),
        Act::EndUser { user: "alice".into(), reason: EndReason::ForcedLogout },
        Act::Set { user: "alice".into(), status: Status::Offline },
    ]
    .into_iter()
    .enumerate()
    {
        let place = place as u64;
        let name = ["laptop", "tablet", "watch"][place as usize];
        let (late, other) = (hears(20, &mut b, "phone"), hears(20, &mut b, name));
        assert_eq!(log.put(20, A, 2 + place, end, &mut [&mut a, &mut b]).len(), 1);
        // A node that came only now refuses it as well.
        let mut copy = b.copy(21, A2);
        let followers = &mut [&mut a, &mut b, &mut copy];
        assert_eq!(log.put(21, B, 1 + 4 * place, late.clone(), followers), [""; 0]);
        assert!(followers.iter().all(|node| node.engine.presence("alice").is_none()));
        let entry = Entry { seq: log.seq + 1, node: B, count: 99, wall: at(21).wall, act: late.clone() };
        assert_eq!(b.engine.follow(at(21), &entry), Err(Rejected::Ended));
        // What is another session was not ended.
        let followers = &mut [&mut a, &mut b, &mut copy];
        assert_eq!(log.put(22, B, 2 + 4 * place, other, followers), ["alice offline->online Evidence"]);
        // Whoever knows of the end may open it again; so may one who came with a copy.
        let again = hears(23, &mut copy, "phone");
        let followers = &mut [&mut a, &mut b, &mut copy];
        assert_eq!(log.put(23, B, 3 + 4 * place, again, followers), [""; 0]);
        assert!(followers.iter().all(|node| node.engine.counts().sessions == 2));
        // To one that is live the late word does nothing that it should not.
        assert_eq!(log.put(24, B, 4 + 4 * place, late, followers), [""; 0]);
        assert!(followers.iter().all(|node| node.engine.counts().sessions == 2));
    }
}

#[test]
fn evidence_of_one_who_may_not_be_present_is_refused_for_that() {
    let (mut log, mut a) = (Log { seq: 0 }, Follower::new(A, &[A]));
    log.put(10, A, 1, heard("phone"), &mut [&mut a]);
    let late = hears(20, &mut a, "phone");
    log.put(20, A, 2, Act::Bar { user: "alice".into() }, &mut [&mut a]);
    let entry = |seq| Entry { seq, node: A, count: 9, wall: at(21).wall, act: late.clone() };
    assert_eq!(a.engine.follow(at(21), &entry(3)), Err(Rejected::Barred));
    log.put(22, A, 3, Act::Unbar { user: "alice".into() }, &mut [&mut a]);
    assert_eq!(a.engine.follow(at(23), &entry(5)), Err(Rejected::Ended));
}

#[test]
fn who_was_thrown_out_by_silence_comes_back_with_evidence_that_was_on_its_way() {
    let (mut log, mut a, mut b) = (Log { seq: 0 }, Follower::new(A, &[A, B]), Follower::new(B, &[A, B]));
    log.put(10, A, 1, heard("phone"), &mut [&mut a, &mut b]);
    let late = hears(130, &mut b, "phone");
    let due = a.engine.due(at(131), true, 10);
    log.put(131, A, 2, due[0].clone(), &mut [&mut a, &mut b]);
    assert_eq!(log.put(131, B, 1, late, &mut [&mut a, &mut b]), ["alice offline->online Evidence"]);
}

#[test]
fn who_said_goodbye_before_and_came_again_is_claimed() {
    let (mut log, mut a, mut b) = (Log { seq: 0 }, Follower::new(A, &[A, B]), Follower::new(B, &[A, B]));
    log.put(10, A, 1, heard("phone"), &mut [&mut a, &mut b]);
    log.put(11, A, 2, ended("phone"), &mut [&mut a, &mut b]);
    log.put(12, A, 3, heard("phone"), &mut [&mut a, &mut b]);
    log.put(30, B, 1, Act::Lost { node: A, heir: B }, &mut [&mut b]);
    assert!(a.engine.renew(at(40), "alice", "phone", None));
    let copy = b.copy(60, A2);
    assert_eq!(a.claims(20, 3, true, &copy).len(), 1);
}

#[test]
fn of_what_nobody_knows_nothing_is_lost_and_its_silence_goes_on() {
    let (mut log, a, mut b) = cut_off();
    // The log lost the entry, and B never read it.
    b.engine = engine(B);
    let copy = b.copy(60, A2);
    let claims = a.claims(20, 1, false, &copy);
    // Ten seconds of its silence were over when A was cut off.
    let remaining = Duration::from_secs(110);
    assert!(matches!(&claims[..], [Act::Claim { remaining: left, .. }] if *left == remaining), "{claims:?}");
    let (mut copy, told) = comes_back(60, &mut log, &a, &mut b, false);
    assert_eq!(told, ["claim", "alice offline->online Evidence"]);
    assert_eq!(told_by(copy.engine.succeed(at(60), at(20).tick, a.engine)), [""; 0]);
    assert!(copy.engine.due(at(169), true, 10).is_empty());
    assert_eq!(copy.engine.due(at(171), true, 10).len(), 1);
}

#[test]
fn a_session_whose_end_is_proposed_is_not_claimed() {
    let (_, mut a, mut b) = cut_off();
    assert_eq!(a.engine.due(at(131), false, 10).len(), 1);
    b.engine = engine(B);
    assert_eq!(a.claims(20, 1, false, &b.copy(140, A2)), []);
}

#[test]
fn a_node_that_comes_and_goes_keeps_no_ghost_alive() {
    let (mut log, mut a) = (Log { seq: 0 }, Follower::new(A, &[A]));
    log.put(0, A, 1, heard("phone"), &mut [&mut a]);
    for (former, name, second) in [(A, A2, 30), (A2, Node(4), 60), (Node(4), Node(5), 90)] {
        let mut copy = a.copy(second, name);
        // The others hold it for the node's former name; the node has that name lost.
        let followers = &mut [&mut copy];
        log.put(second, name, 1, Act::Joined, followers);
        log.put(second, name, 2, Act::Lost { node: former, heir: name }, followers);
        assert_eq!(a.claims(second, log.seq, true, &copy), []);
        copy.engine.succeed(at(second), at(second).tick, a.engine);
        a = copy;
    }
    assert!(a.engine.due(at(119), true, 10).is_empty());
    assert_eq!(a.engine.due(at(121), true, 10).len(), 1);
}

#[test]
fn a_row_whose_session_lives_on_is_not_forgotten() {
    let mut alone = engine(A);
    let opened = alone.apply(at(0), Input::Evidence { user: "alice", session: "phone", activity: None }).unwrap();
    assert!(matches!(&opened[0], Effect::OpenSession(row) if row.number >= 1 << 62));
    // It founds a cluster, B has a copy, and A comes back with a copy of that.
    let founded = Follower { engine: alone, members: vec![A].into_iter().collect(), seq: 0 };
    let mut copy = founded.copy(5, A2);
    let forgotten = |effect: &Effect| matches!(effect, Effect::ForgetSession(..));
    assert!(!copy.engine.succeed(at(5), at(5).tick, founded.engine).iter().any(forgotten));
    assert_eq!(copy.engine.rows("alice").len(), 2);
}

#[test]
fn who_comes_back_at_a_node_with_a_slower_clock_comes_after_they_left() {
    let (mut log, mut a, mut b) = (Log { seq: 0 }, Follower::new(A, &[A, B]), Follower::new(B, &[A, B]));
    log.put(100, A, 1, heard("phone"), &mut [&mut a, &mut b]);
    log.put(200, A, 2, ended("phone"), &mut [&mut a, &mut b]);
    let mut copy = b.copy(200, A2);
    log.put(150, B, 1, heard("laptop"), &mut [&mut a, &mut b, &mut copy]);
    for engine in [&a.engine, &b.engine, &copy.engine] {
        let since = engine.presence("alice").unwrap().since.unwrap();
        assert_eq!(since, Timestamp(at(200).wall.0 + 1));
    }
}

#[test]
fn how_far_a_lost_node_came_is_known() {
    let mut members: Members = [A, B].into_iter().collect();
    let mut admit = |node, count, act| {
        let entry = Entry { seq: 1, node, count, wall: Timestamp(0), act };
        members.admit(&entry);
        members.clone()
    };
    assert_eq!(admit(A, 7, Act::Tick).count_of(A), Some(7));
    // The log's word of its loss has the highest count there is, and says nothing of that.
    let after = admit(A, u64::MAX, Act::Lost { node: A, heir: A });
    assert_eq!((after.count_of(A), after.count_of(A2)), (Some(7), None));
    assert_eq!(admit(A, 8, Act::Tick).count_of(A), Some(7), "its late word counts for nothing");
    members.found([B, A2]);
    assert_eq!((members.count_of(A), members.count_of(B), members.count_of(A2)), (Some(7), Some(0), Some(0)));
    assert_eq!(members.nodes().collect::<Vec<_>>(), [B, A2]);
    for node in 100..400 {
        members.found([Node(node)]);
    }
    assert_eq!(members.count_of(A), None, "not for ever");
    assert_eq!(members.count_of(Node(398)), Some(0));
}

#[test]
fn a_state_knows_what_its_founders_had_followed() {
    let mut ancestry = Ancestry::new();
    assert_eq!(ancestry.epoch(), None);
    ancestry.go_on(0, 7, 10);
    assert_eq!(ancestry.epoch(), Some(7));
    // A cluster founded anew by one who had followed the seventh log up to 50.
    ancestry.go_on(50, 8, 60);
    let knows = |ancestry: &Ancestry| {
        [(7, 10), (7, 11), (7, 50), (7, 51), (8, 60), (8, 61), (9, 61)].map(|(epoch, seq)| ancestry.knows(epoch, seq))
    };
    assert_eq!(knows(&ancestry), [false, true, true, false, false, true, false]);
    assert_eq!([10, 11, 51, 61].map(|seq| ancestry.epoch_of(seq)), [None, Some(7), None, Some(8)]);
    let mut bytes = Vec::new();
    ancestry.encode(&mut bytes);
    assert_eq!(Ancestry::decode(&bytes).as_ref(), Ok(&ancestry));
    for epoch in 9..100 {
        ancestry.go_on(epoch * 100, epoch, epoch * 100);
    }
    assert!(!ancestry.knows(7, 50) && ancestry.knows(99, 9999));
}

#[test]
fn what_a_newer_program_wrote_is_no_garbage() {
    let entry = Entry { seq: 1, node: A, count: 1, wall: Timestamp(0), act: Act::Tick };
    let past = Past { ended: vec![Ended { seq: 3, session: 4 }], left: vec![Left { user: 5, at: Timestamp(6) }] };
    let mut ancestry = Ancestry::new();
    ancestry.go_on(0, 7, 10);
    let mut written: [Vec<u8>; 4] = Default::default();
    entry.encode(&mut written[0]);
    [A, B].into_iter().collect::<Members>().encode(&mut written[1]);
    past.encode(&mut written[2]);
    ancestry.encode(&mut written[3]);
    let read = |written: &[Vec<u8>; 4]| {
        [
            Entry::decode(1, &written[0]).err(),
            Members::decode(&written[1]).err(),
            Past::decode(&written[2]).err(),
            Ancestry::decode(&written[3]).err(),
        ]
    };
    assert_eq!(read(&written), [None; 4]);
    written.iter_mut().for_each(|bytes| bytes[0] += 1);
    assert!(read(&written).iter().all(|error| error.is_some_and(|error| error.is_newer())));
    assert!(UserState::decode(&[2]).unwrap_err().is_newer());
    written.iter_mut().for_each(|bytes| bytes[0] = 0);
    assert!(read(&written).iter().all(|error| error.is_some_and(|error| !error.is_newer())));
    assert!(!UserState::decode(&[]).unwrap_err().is_newer());
}

#[test]
fn what_follows_from_everything_that_is_known_of_a_user_is_kept() {
    let mut a = engine(A);
    let mut apply = |input| drop(a.apply(at(1), input).unwrap());
    apply(Input::Evidence { user: "alice", session: "phone", activity: None });
    apply(Input::Set { user: "alice", status: Status::Away });
    apply(Input::Override { user: "alice", source: crate::Source::User, status: Status::Offline, ends_after: None });
    let kinds: Vec<&str> = a
        .rows("alice")
        .iter()
        .map(|effect| match effect {
            Effect::SaveSession(_) => "session",
            Effect::SaveOverride(_) => "override",
            Effect::SaveHeld(_) => "held",
            Effect::SavePresence(row) => row.status.as_str(),
            _ => "?",
        })
        .collect();
    assert_eq!(kinds, ["session", "override", "held", "offline"]);
    assert_eq!(a.rows("bob"), []);
}

fn told_by(effects: Vec<Effect>) -> Vec<String> {
    told(&effects)
}
