//! Any sequence of acts, with watchers who come, stall, leave and come back: each of them has the truth as its viewer may see it,
//! in order, each transition once.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use presently::clock::SystemClock;
use presently::memory::MemoryStore;
use presently::{
    Activity, Config, Diff, EndReason, Position, Presence, Presently, Resumed, Snapshot, Source, Status, UserId,
    Viewer, Watcher,
};
use proptest::prelude::*;
use world::{World, secs, yields};

const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

#[derive(Clone, Debug)]
enum Act {
    Beat(usize, bool),
    Logout(usize),
    Drop(usize),
    Set(usize, Status),
    Override(usize, Status),
    Clear(usize),
    Invisible(usize, bool),
    Forget(usize),
    Pass(u64),
    /// Also while the engine is ahead of what was told.
    Watch(usize, u8, bool),
    Unwatch(usize, u8),
    Read(usize),
    Leave(usize),
    ComeBack(usize),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let user = || 0..USERS.len();
    let client = || 0..4_usize;
    let status = || prop_oneof![Just(Status::Online), Just(Status::Away), Just(Status::Offline)];
    prop_oneof![
        8 => (user(), any::<bool>()).prop_map(|(user, idle)| Act::Beat(user, idle)),
        4 => user().prop_map(Act::Logout),
        1 => user().prop_map(Act::Drop),
        2 => (user(), status()).prop_map(|(user, status)| Act::Set(user, status)),
        2 => (user(), status()).prop_map(|(user, status)| Act::Override(user, status)),
        2 => user().prop_map(Act::Clear),
        6 => (user(), any::<bool>()).prop_map(|(user, invisible)| Act::Invisible(user, invisible)),
        1 => user().prop_map(Act::Forget),
        3 => (1..150_u64).prop_map(Act::Pass),
        4 => (client(), any::<u8>(), any::<bool>()).prop_map(|(client, users, behind)| Act::Watch(client, users, behind)),
        1 => (client(), any::<u8>()).prop_map(|(client, users)| Act::Unwatch(client, users)),
        4 => client().prop_map(Act::Read),
        2 => client().prop_map(Act::Leave),
        3 => client().prop_map(Act::ComeBack),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_watcher_has_the_truth_that_its_viewer_may_see(acts in proptest::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut play = Play::new().await;
            for act in acts {
                play.act(act).await;
            }
            for place in 0..play.clients.len() {
                play.come_back(place).await;
                play.read(place).await;
            }
        });
    }
}

/// The stage: a world, what each sight was told, and four clients.
struct Play {
    world: World,
    insider: Witness,
    other: Witness,
    clients: Vec<Client>,
}

/// Reads at once and remembers everything.
struct Witness {
    watcher: Watcher,
    told: Vec<(u64, Presence)>,
}

/// What a program on the other side of a wire would know.
struct Client {
    viewer: Viewer,
    /// Watches everybody instead of the users it names.
    everybody: bool,
    watcher: Option<Watcher>,
    position: Option<Position>,
    known: BTreeMap<UserId, Presence>,
}

impl Play {
    async fn new() -> Self {
        let world = World::new().await;
        let (insider, other) = (witness(&world, Viewer::Admin).await, witness(&world, Viewer::Anybody).await);
        let client =
            |viewer, everybody| Client { viewer, everybody, watcher: None, position: None, known: BTreeMap::new() };
        let clients = vec![
            client(Viewer::Anybody, false),
            client(Viewer::User("alice".into()), false),
            client(Viewer::Admin, false),
            client(Viewer::Admin, true),
        ];
        Self { world, insider, other, clients }
    }

    async fn act(&mut self, act: Act) {
        let presently = self.world.presently.clone();
        match act {
            Act::Beat(user, idle) => {
                let activity = Some(if idle { Activity::Idle } else { Activity::Active });
                presently.evidence(USERS[user], "phone", activity, || true).unwrap();
            }
            Act::Logout(user) => drop(presently.end_user(USERS[user], EndReason::Logout).await.unwrap()),
            Act::Drop(user) => presently.drop_session(USERS[user], "phone"),
            Act::Set(user, status) => drop(presently.set(USERS[user], status).await.unwrap()),
            Act::Override(user, status) => {
                drop(presently.override_status(USERS[user], Source::User, status, None).await.unwrap());
            }
            Act::Clear(user) => drop(presently.clear_override(USERS[user], Source::User).await.unwrap()),
            Act::Invisible(user, invisible) => drop(presently.set_invisible(USERS[user], invisible).await.unwrap()),
            Act::Forget(user) => presently.forget(USERS[user]).await.unwrap(),
            Act::Pass(seconds) => self.world.pass(secs(seconds)).await,
            Act::Watch(client, users, behind) => self.watch(client, &named(users), behind).await,
            Act::Unwatch(client, users) => self.clients[client].unwatch(&named(users)),
            Act::Read(client) => self.read(client).await,
            Act::Leave(client) => self.clients[client].watcher = None,
            Act::ComeBack(client) => self.come_back(client).await,
            Act::Restart => self.restart().await,
        }
        presently.settled().await.ok();
        self.witness();
    }

    fn witness(&mut self) {
        for Witness { watcher, told } in [&mut self.insider, &mut self.other] {
            while let Some(diff) = watcher.next_now() {
                told.extend(diff.events().map(|(seq, presence)| (seq, presence.clone())));
            }
        }
    }

    async fn restart(&mut self) {
        for client in &mut self.clients {
            client.watcher = None;
        }
        let world = std::mem::replace(&mut self.world, World::new().await);
        self.world = world.stop_and_start(secs(10)).await;
        self.insider = witness(&self.world, Viewer::Admin).await;
        self.other = witness(&self.world, Viewer::Anybody).await;
    }

    async fn watch(&mut self, client: usize, users: &[UserId], behind: bool) {
        let Self { world, clients, .. } = self;
        let client = &mut clients[client];
        let (viewer, everybody) = (client.viewer.clone(), client.everybody);
        let watcher = client.watcher.get_or_insert_with(|| {
            (client.known, client.position) = (BTreeMap::new(), None);
            world.presently.watcher(viewer)
        });
        let hurry = async {
            if behind {
                for user in USERS {
                    world.beat(user, "laptop");
                    yields().await;
                }
                world.store.open();
            }
        };
        if behind {
            world.store.close();
            world.beat("alice", "tablet");
            yields().await;
        }
        let watched =
            async { if everybody { watcher.watch_everybody().await } else { watcher.watch(users).await }.unwrap() };
        let (snapshot, ()) = tokio::join!(watched, hurry);
        if !everybody {
            assert!(snapshot.presences.iter().map(|presence| &presence.user).zip(users).all(|(a, b)| a == b));
        }
        client.take(snapshot);
    }

    /// Reads everything: exactly what was told of whom it watches, and then it has the truth.
    async fn read(&mut self, client: usize) {
        self.world.presently.settled().await.unwrap();
        self.witness();
        let Some(mut watcher) = self.clients[client].watcher.take() else { return };
        let diffs = std::iter::from_fn(|| watcher.next_now()).collect();
        self.clients[client].watcher = Some(watcher);
        self.follow(client, diffs);
        self.check(client).await;
    }

    async fn come_back(&mut self, client: usize) {
        self.world.presently.settled().await.unwrap();
        self.witness();
        let here = &mut self.clients[client];
        let (None, Some(from)) = (&here.watcher, here.position) else { return };
        let mut watcher = self.world.presently.watcher(here.viewer.clone());
        let users: Vec<UserId> = here.known.keys().cloned().collect();
        let resumed = match here.everybody {
            true => watcher.resume_everybody(from).await.unwrap(),
            false => watcher.resume(&users, from).await.unwrap(),
        };
        here.watcher = Some(watcher);
        match resumed {
            Resumed::Diffs(diffs) => self.follow(client, diffs),
            Resumed::Snapshot(snapshot) => {
                assert_ne!(from.epoch, self.world.presently.position().epoch, "it is not old");
                if here.everybody {
                    here.known.clear();
                }
                here.take(snapshot);
            }
        }
        self.check(client).await;
    }

    fn follow(&mut self, client: usize, diffs: Vec<Diff>) {
        let got: Vec<(u64, Presence)> =
            diffs.iter().flat_map(|diff| diff.events().map(|(seq, presence)| (seq, presence.clone()))).collect();
        let Self { clients, insider, other, .. } = self;
        let client = &mut clients[client];
        let Some(position) = &mut client.position else { return assert!(got.is_empty()) };
        let mut told: Vec<_> = insider.told.iter().filter(|(_, told)| client.viewer.is_insider(&told.user)).collect();
        told.extend(other.told.iter().filter(|(_, told)| !client.viewer.is_insider(&told.user)));
        told.sort_by_key(|(seq, _)| *seq);
        told.retain(|(seq, told)| *seq > position.seq && (client.everybody || client.known.contains_key(&told.user)));
        assert_eq!(got.iter().collect::<Vec<_>>(), told);
        position.seq = diffs.last().map_or(position.seq, |diff| diff.seq);
        client.known.extend(got.into_iter().map(|(_, presence)| (presence.user.clone(), presence)));
    }

    async fn check(&self, client: usize) {
        let client = &self.clients[client];
        for user in USERS.map(UserId::from) {
            let seen = self.world.presently.presence_seen_by(&client.viewer, &user).await.unwrap();
            match client.known.get(&user) {
                Some(known) => {
                    assert_eq!(known.status, seen.status, "{user} to {:?}", client.viewer);
                    // A goodbye of one who is offline anyway is no transition.
                    let is_same = if seen.status == Status::Offline {
                        known.since <= seen.since
                    } else {
                        known.since == seen.since
                    };
                    assert!(is_same, "{known:?} and {seen:?} to {:?}", client.viewer);
                    assert!(known.last_seen <= seen.last_seen, "{known:?} and {seen:?} to {:?}", client.viewer);
                }
                None if client.everybody && client.watcher.is_some() => assert_eq!(seen.status, Status::Offline),
                None => {}
            }
        }
    }
}

impl Client {
    fn take(&mut self, snapshot: Snapshot) {
        self.position = Some(snapshot.position);
        if self.everybody {
            self.known.clear();
        }
        self.known.extend(snapshot.presences.into_iter().map(|presence| (presence.user.clone(), presence)));
    }

    fn unwatch(&mut self, users: &[UserId]) {
        let Some(watcher) = &mut self.watcher else { return };
        watcher.unwatch(users);
        if !self.everybody {
            self.known.retain(|user, _| !users.contains(user));
            assert_eq!(watcher.watched(), self.known.len());
        }
    }
}

trait Insider {
    fn is_insider(&self, user: &str) -> bool;
}

impl Insider for Viewer {
    fn is_insider(&self, user: &str) -> bool {
        match self {
            Self::Admin => true,
            Self::User(me) => me == user,
            Self::Anybody => false,
        }
    }
}

async fn witness(world: &World, viewer: Viewer) -> Witness {
    let mut watcher = world.presently.watcher(viewer);
    watcher.watch(&USERS.map(UserId::from)).await.unwrap();
    Witness { watcher, told: Vec::new() }
}

fn named(users: u8) -> Vec<UserId> {
    let names = USERS.iter().enumerate().filter(|(place, _)| users & (1 << place) != 0);
    names.map(|(_, &name)| name.into()).collect()
}

/// The engine does not know since when somebody is offline who came into memory with an override: it may not contradict itself.
#[tokio::test]
async fn who_is_offline_under_an_override_is_offline_since_no_earlier_moment_than_was_told() {
    let mut play = Play::new().await;
    let dave = 3;
    play.act(Act::Override(dave, Status::Offline)).await;
    play.act(Act::Pass(100)).await;
    play.act(Act::Set(dave, Status::Offline)).await;
    play.act(Act::Watch(0, 1 << dave, false)).await;
    play.act(Act::Set(dave, Status::Online)).await;
    play.read(0).await;
    play.act(Act::Clear(dave)).await;
    play.read(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watchers_who_come_in_the_thick_of_it_lose_nothing_and_go_back_nowhere() {
    let presently = Presently::open(Config::default(), Arc::new(MemoryStore::new()), SystemClock::new()).await.unwrap();
    let users: Vec<UserId> = (0..20).map(|n| UserId::from(format!("user-{n}"))).collect();
    let over = Arc::new(AtomicBool::new(false));
    let mut busy = Vec::new();
    for half in users.chunks(10) {
        let (presently, users, over) = (presently.clone(), half.to_vec(), Arc::clone(&over));
        busy.push(tokio::spawn(async move {
            let mut round = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let user = &users[round % users.len()];
                round += 1;
                let _ = presently.evidence(user, "phone", None, || true);
                match round % 7 {
                    0 => drop(presently.end_user(user, EndReason::Logout).await.unwrap()),
                    3 => drop(presently.set_invisible(user, round.is_multiple_of(2)).await.unwrap()),
                    5 => drop(presently.set_away(user).await.unwrap()),
                    _ => {}
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut watching = Vec::new();
    for n in 0..8 {
        let (presently, users) = (presently.clone(), users.clone());
        watching.push(tokio::spawn(async move { watch_for_a_while(&presently, &users, n).await }));
    }
    let mut watchers = Vec::new();
    for watcher in watching {
        watchers.push(watcher.await.unwrap());
    }
    over.store(true, Ordering::Relaxed);
    for busy in busy {
        busy.await.unwrap();
    }
    presently.settled().await.unwrap();
    for (mut watcher, viewer, mut known) in watchers {
        while let Some(diff) = watcher.next_now() {
            known.extend(diff.presences.into_iter().map(|presence| (presence.user.clone(), presence)));
        }
        for user in &users {
            let seen = presently.presence_seen_by(&viewer, user).await.unwrap();
            assert_eq!((known[user].status, known[user].since), (seen.status, seen.since), "{user} to {viewer:?}");
        }
    }
    presently.shutdown().await.unwrap();
}

/// Watches, reads a little, and leaves or comes back, again and again.
async fn watch_for_a_while(
    presently: &Presently,
    users: &[UserId],
    n: usize,
) -> (Watcher, Viewer, BTreeMap<UserId, Presence>) {
    let viewer = [Viewer::Anybody, Viewer::Admin, Viewer::User(users[0].clone())][n % 3].clone();
    let mut known = BTreeMap::<UserId, Presence>::new();
    let mut from = None;
    for round in 0.. {
        let mut watcher = presently.watcher(viewer.clone());
        let presences = match from {
            None => {
                known.clear();
                let (first, rest) = users.split_at(7);
                let mut presences = watcher.watch(first).await.unwrap().presences;
                let snapshot = watcher.watch(rest).await.unwrap();
                from = Some(snapshot.position);
                presences.extend(snapshot.presences);
                presences
            }
            Some(from) => match watcher.resume(users, from).await.unwrap() {
                Resumed::Diffs(diffs) => diffs.into_iter().flat_map(|diff| diff.presences).collect(),
                Resumed::Snapshot(_) => panic!("it is not old"),
            },
        };
        take(&mut known, presences, &viewer, users);
        let mut before = from.map_or(0, |from| from.seq);
        for _ in 0..20 {
            let diff = watcher.next().await.unwrap();
            assert!(diff.events().all(|(seq, _)| seq > std::mem::replace(&mut before, seq)), "numbers went back");
            take(&mut known, diff.presences, &viewer, users);
        }
        from = (round % 3 > 0).then(|| watcher.position());
        if let Some(from) = from {
            // What was told after the last read is missed and comes again.
            assert!(from.seq >= before);
        }
        if round == 30 {
            while let Some(diff) = watcher.next_now() {
                take(&mut known, diff.presences, &viewer, users);
            }
            return (watcher, viewer, known);
        }
    }
    unreachable!()
}

/// Takes up what was told; the truth of insiders never goes back in time.
fn take(known: &mut BTreeMap<UserId, Presence>, presences: Vec<Presence>, viewer: &Viewer, users: &[UserId]) {
    for presence in presences {
        let before = known.insert(presence.user.clone(), presence.clone());
        assert!(users.contains(&presence.user));
        if let (Some(before), Viewer::Admin) = (before, viewer) {
            assert!(before.since <= presence.since, "{before:?} was told before {presence:?}");
        }
    }
}
