//! Who may see whom: an invisible user is a user who left.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use presently::clock::ManualClock;
use presently::{
    Activity, Config, Counts, EndReason, Error, Position, Presence, Reason, Resumed, Source, Status, Timestamp, Told,
    UserId, Viewer, Visibility, Watcher,
};
use world::{World, secs};

const ALL: (Timestamp, Timestamp) = (Timestamp(i64::MIN), Timestamp(i64::MAX));

#[tokio::test]
async fn an_invisible_user_is_offline_to_others_byte_for_byte_on_every_surface() {
    // Two worlds: in one alice becomes invisible and goes on living, in the other she logs out and stays away.
    let (mut hidden, mut gone) = (Surfaces::new().await, Surfaces::new().await);
    for world in [&hidden.world, &gone.world] {
        world.beat("alice", "phone");
        world.beat("alice", "laptop");
        world.beat("bob", "phone");
        world.pass(secs(7)).await;
    }
    assert_eq!(hidden.all().await, gone.all().await);
    let truth = hidden.world.presently.set_invisible("alice", true).await.unwrap();
    assert_eq!(truth.status, Status::Online);
    gone.world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    assert_eq!(hidden.all().await, gone.all().await);

    for step in 0..6 {
        let presently = &hidden.world.presently;
        match step {
            0 => hidden.world.beat("alice", "tablet"),
            1 => drop(presently.end_user("alice", EndReason::Logout).await.unwrap()),
            2 => hidden.world.beat("alice", "phone"),
            3 => drop(presently.override_status("alice", Source::User, Status::Away, None).await.unwrap()),
            4 => drop(presently.update_last_seen("alice").await.unwrap()),
            _ => drop(presently.set_offline("alice").await.unwrap()),
        }
        // Others come and go in both worlds, and all clocks go on.
        for world in [&hidden.world, &gone.world] {
            world.pass(secs(13)).await;
            world.beat("bob", "phone");
            if step % 2 == 0 {
                world.presently.end_user("bob", EndReason::Logout).await.unwrap();
            }
        }
        assert_eq!(hidden.all().await, gone.all().await, "after step {step}");
    }
    hidden.world.beat("alice", "phone");
    hidden.restart().await;
    gone.restart().await;
    assert_eq!(hidden.all().await, gone.all().await, "after a restart");
    hidden.world.beat("alice", "phone");
    hidden.world.pass(secs(300)).await;
    gone.world.pass(secs(300)).await;
    assert_eq!(hidden.all().await, gone.all().await, "after five minutes");
    assert!(hidden.world.presently.is_invisible("alice"));

    hidden.world.presently.clear_override("alice", Source::User).await.unwrap();
    // Who comes back is to others as one who logs in now.
    hidden.world.beat("alice", "phone");
    hidden.world.pass(secs(1)).await;
    gone.world.pass(secs(1)).await;
    hidden.world.presently.set_invisible("alice", false).await.unwrap();
    gone.world.beat("alice", "phone");
    assert_eq!(hidden.all().await, gone.all().await, "visible again");
    for world in [&hidden.world, &gone.world] {
        world.pass(secs(5)).await;
        world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    }
    assert_eq!(hidden.all().await, gone.all().await);
}

/// Who is looked up is known to the store alone, in both cases: how long an answer takes tells nothing.
#[tokio::test]
async fn to_look_up_an_invisible_user_is_the_work_of_looking_up_an_offline_one() {
    let world = World::new().await;
    for user in ["alice", "bob"] {
        world.beat(user, "phone");
    }
    world.presently.set_invisible("alice", true).await.unwrap();
    world.presently.end_user("bob", EndReason::Logout).await.unwrap();
    let users: Vec<UserId> = vec!["alice".into(), "bob".into(), "alice".into()];
    for asked in 0..3 {
        let work = async |users: &[UserId]| {
            let before = world.store.asked();
            world.presently.presences_seen_by(&Viewer::Anybody, users).await.unwrap();
            world.store.asked() - before
        };
        assert_eq!((work(&users[..1]).await, work(&users[1..2]).await), (1, 1), "look {asked}");
        assert_eq!(work(&users).await, 3);
        world.beat("alice", "phone");
    }
}

#[tokio::test]
async fn a_page_of_who_is_online_looks_at_everybody_once_and_shows_what_others_see() {
    let world = World::new().await;
    let mut users: Vec<UserId> = Vec::new();
    for n in 0..1_500 {
        let user = format!("user-{n}");
        let activity = if n % 3 == 0 { Activity::Idle } else { Activity::Active };
        world.presently.evidence(&user, "phone", Some(activity), || true).unwrap();
        if n % 100 == 0 {
            world.pass(secs(1)).await;
        }
        if n % 7 == 0 || n % 11 == 0 {
            world.presently.set_invisible(&user, true).await.unwrap();
        }
        if n % 11 == 0 {
            world.presently.set_invisible(&user, false).await.unwrap();
        }
        users.push(user.into());
    }
    for viewer in [Viewer::Anybody, Viewer::User("user-7".into()), Viewer::Admin] {
        let mut expected = world.presently.presences_seen_by(&viewer, &users).await.unwrap();
        expected.retain(|presence| presence.status == Status::Online);
        expected.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.user.cmp(&b.user)));
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let looks = std::sync::atomic::AtomicUsize::new(0);
            let wanted = |_: &str, status| {
                looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                status == Status::Online
            };
            let page = world.presently.newest_online_seen_by(&viewer, after.take(), 97, wanted).await;
            assert!(looks.into_inner() <= users.len(), "one pass");
            let Some(last) = page.last() else { break };
            after = Some((last.last_seen.unwrap(), last.user.clone()));
            walked.extend(page);
        }
        assert_eq!(walked, expected, "{viewer:?}");
        let of_all = |user: &str, status, last_seen| Some((UserId::from(user), status, last_seen));
        let mut all = world.presently.online_seen_by(&viewer, of_all).await;
        all.retain(|(_, status, _)| *status == Status::Online);
        all.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        let shown: Vec<_> = expected.into_iter().map(|seen| (seen.user, seen.status, seen.last_seen)).collect();
        assert_eq!(all, shown, "{viewer:?}");
    }
}

#[tokio::test]
async fn figures_for_everybody_do_not_move_with_an_invisible_user() {
    let world = World::new().await;
    for user in ["alice", "bob"] {
        world.beat(user, "phone");
    }
    world.presently.set_invisible("alice", true).await.unwrap();
    let before = world.presently.stats_of_visible().await;
    assert_eq!((before.counts.online, before.counts.sessions, before.evidence), (1, 1, 2));
    world.beat("alice", "phone");
    world.beat("alice", "laptop");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    world.beat("alice", "phone");
    let after = world.presently.stats_of_visible().await;
    assert_eq!((after.counts, after.evidence), (before.counts, before.evidence));
    assert_eq!(world.presently.stats().evidence, 5, "the truth");
    world.beat("bob", "phone");
    assert_eq!(world.presently.stats_of_visible().await.evidence, 3);
}

#[tokio::test]
async fn admins_and_the_user_see_the_truth() {
    let world = World::new().await;
    world.beat("alice", "phone");
    world.presently.set_invisible("alice", true).await.unwrap();
    world.pass(secs(5)).await;
    world.beat("alice", "phone");
    let truth = world.presence("alice").await;
    for viewer in [Viewer::Admin, Viewer::User("alice".into())] {
        assert_eq!(world.presently.presence_seen_by(&viewer, "alice").await.unwrap(), truth);
        assert_eq!(world.presently.seen_by(&viewer, truth.clone()), truth);
        assert_eq!(
            world.presently.newest_online_seen_by(&viewer, None, 9, |_, _| true).await,
            std::slice::from_ref(&truth)
        );
        assert_eq!(world.presently.counts_seen_by(&viewer).await, world.presently.counts());
        let mut watcher = world.presently.watcher(viewer.clone());
        assert_eq!(watcher.watch(&["alice".into()]).await.unwrap().presences, std::slice::from_ref(&truth));
        let lines = world.presently.transitions_seen_by(&viewer, "alice", ALL.0, ALL.1, 9).await.unwrap();
        assert_eq!(lines.len(), 1);
    }
    let other = Viewer::User("bob".into());
    assert_eq!(world.presently.presence_seen_by(&other, "alice").await.unwrap().status, Status::Offline);
    assert_eq!(world.presently.counts_seen_by(&other).await, Counts::default());
}

#[tokio::test]
async fn watchers_hear_an_invisible_user_leave_and_come_and_nothing_between() {
    let world = World::new().await;
    world.beat("alice", "phone");
    let mut others = world.presently.watcher(Viewer::Anybody);
    let mut herself = world.presently.watcher(Viewer::User("alice".into()));
    others.watch(&["alice".into()]).await.unwrap();
    herself.watch(&["alice".into()]).await.unwrap();
    world.pass(secs(1)).await;
    let left_at = world.wall();
    world.presently.set_invisible("alice", true).await.unwrap();
    world.pass(secs(1)).await;
    world.presently.set_away("alice").await.unwrap();
    world.beat("alice", "phone");
    world.pass(secs(1)).await;
    let came_at = world.wall();
    world.presently.set_invisible("alice", false).await.unwrap();
    let told = others.next().await.unwrap().presences;
    assert_eq!(told, [at("alice", Status::Offline, left_at), at("alice", Status::Online, came_at)]);
    let seen = world.presently.presence_seen_by(&Viewer::Anybody, "alice").await.unwrap();
    assert_eq!(seen, at("alice", Status::Online, came_at));
    let told: Vec<Status> = herself.next().await.unwrap().presences.into_iter().map(|told| told.status).collect();
    assert_eq!(told, [Status::Away, Status::Online], "to her nothing began and nothing ended");
}

#[tokio::test]
async fn who_is_gone_when_they_are_visible_again_stays_as_they_were() {
    let mut world = World::new().await;
    world.beat("alice", "phone");
    world.presently.set_invisible("alice", true).await.unwrap();
    let left = seen(&world, "alice").await;
    world.pass(secs(60)).await;
    world.beat("alice", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    world.pass(secs(60)).await;
    world.presently.set_invisible("alice", false).await.unwrap();
    assert!(!world.presently.is_invisible("alice"));
    assert_eq!(seen(&world, "alice").await, left);
    assert!(world.presence("alice").await.last_seen > left.last_seen);
    world = world.stop_and_start(secs(60)).await;
    assert_eq!(seen(&world, "alice").await, left, "across a restart");

    // A status that is no evidence moves no last_seen of hers, neither here nor in what is told and kept.
    let mut watcher = world.presently.watcher(Viewer::Anybody);
    watcher.watch(&["alice".into()]).await.unwrap();
    world.presently.override_status("alice", Source::Admin, Status::Away, None).await.unwrap();
    let now = world.wall();
    let away = Presence { status: Status::Away, since: Some(now), ..left.clone() };
    assert_eq!(seen(&world, "alice").await, away);
    assert_eq!(watcher.next().await.unwrap().presences, [away]);
    let lines = world.presently.transitions_seen_by(&Viewer::Anybody, "alice", now, ALL.1, 9).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].last_seen, left.last_seen);
    world.presently.clear_override("alice", Source::Admin).await.unwrap();
    assert_eq!(watcher.next().await.unwrap().presences[0].last_seen, left.last_seen);
    assert_eq!(seen(&world, "alice").await.last_seen, left.last_seen);

    world.pass(secs(1)).await;
    world.beat("alice", "phone");
    assert_eq!(seen(&world, "alice").await, at("alice", Status::Online, world.wall()), "heard, and all is as it is");
    assert_eq!(seen(&world, "alice").await, world.presence("alice").await);
}

#[tokio::test]
async fn a_logout_after_invisibility_is_seen_by_all() {
    let world = World::new().await;
    world.presently.set_invisible("alice", true).await.unwrap();
    world.beat("alice", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    world.presently.set_invisible("alice", false).await.unwrap();
    assert_eq!(seen(&world, "alice").await, never("alice"));
    world.pass(secs(1)).await;
    world.presently.update_last_seen("alice").await.unwrap();
    assert_eq!(seen(&world, "alice").await.last_seen, Some(world.wall()));
    assert_eq!(seen(&world, "alice").await.since, None, "when she left is nobody's business");
}

#[tokio::test]
async fn who_was_never_there_becomes_invisible_without_a_trace() {
    let world = World::new().await;
    world.presently.set_invisible("alice", true).await.unwrap();
    world.beat("alice", "phone");
    assert_eq!(seen(&world, "alice").await, never("alice"));
    let lines = world.presently.transitions_seen_by(&Viewer::Anybody, "alice", ALL.0, ALL.1, 9).await.unwrap();
    assert_eq!(lines, []);
}

#[tokio::test]
async fn who_is_offline_becomes_invisible_as_the_store_knows_them() {
    let world = World::new().await;
    world.beat("alice", "phone");
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    let left = world.presence("alice").await;
    let world = world.stop_and_start(secs(60)).await;
    world.presently.set_invisible("alice", true).await.unwrap();
    world.beat("alice", "phone");
    assert_eq!(seen(&world, "alice").await, left);
    world.presently.set_invisible("alice", true).await.unwrap();
    assert_eq!(seen(&world, "alice").await, left, "once more changes nothing");
}

#[tokio::test]
async fn invisibility_lasts_across_logins_and_crashes_until_it_is_ended() {
    let world = World::new().await;
    world.beat("alice", "phone");
    world.presently.set_invisible("alice", true).await.unwrap();
    let left = seen(&world, "alice").await;
    world.presently.end_user("alice", EndReason::Logout).await.unwrap();
    let world = world.crash(secs(30)).await;
    assert!(world.presently.is_invisible("alice"));
    world.presently.evidence_kept("alice", "laptop", None, || true).await.unwrap();
    let world = world.crash(secs(30)).await;
    world.pass(secs(200)).await;
    assert_eq!(seen(&world, "alice").await, left);
    world.presently.set_invisible("alice", false).await.unwrap();
    let world = world.crash(secs(30)).await;
    assert!(!world.presently.is_invisible("alice"));
    assert_eq!(seen(&world, "alice").await, left);
}

#[tokio::test]
async fn an_erased_user_is_invisible_no_more() {
    let world = World::new().await;
    world.beat("alice", "phone");
    world.presently.set_invisible("alice", true).await.unwrap();
    world.presently.forget("alice").await.unwrap();
    assert!(!world.presently.is_invisible("alice"));
    assert_eq!(seen(&world, "alice").await, never("alice"));
    let world = world.crash(secs(1)).await;
    world.beat("alice", "phone");
    assert_eq!(seen(&world, "alice").await, world.presence("alice").await);
}

#[tokio::test]
async fn the_history_for_others_is_that_of_one_who_left_and_came() {
    let world = World::new().await;
    world.beat("alice", "phone");
    world.pass(secs(1)).await;
    world.presently.set_invisible("alice", true).await.unwrap();
    for _ in 0..20 {
        world.presently.end_user("alice", EndReason::Logout).await.unwrap();
        world.beat("alice", "phone");
    }
    world.pass(secs(1)).await;
    let visible_at = world.wall();
    world.presently.set_invisible("alice", false).await.unwrap();
    let lines = |viewer| world.presently.transitions_seen_by(viewer, "alice", ALL.0, ALL.1, 3);
    let seen: Vec<_> =
        lines(&Viewer::Anybody).await.unwrap().into_iter().map(|line| (line.from, line.to, line.reason)).collect();
    let (online, offline) = (Status::Online, Status::Offline);
    assert_eq!(
        seen,
        [(offline, online, Reason::Evidence), (online, offline, Reason::Logout), (offline, online, Reason::Evidence)]
    );
    assert_eq!(lines(&Viewer::Admin).await.unwrap().len(), 3);
    assert_eq!(world.presently.transitions("alice", ALL.0, ALL.1, 99).await.unwrap().len(), 41);
    let before = |viewer, at| world.presently.transition_before_seen_by(viewer, "alice", at);
    assert_eq!(before(&Viewer::Anybody, visible_at).await.unwrap().unwrap().to, offline);
    assert_eq!(before(&Viewer::Admin, visible_at).await.unwrap().unwrap().to, online);
}

#[tokio::test]
async fn subscribers_who_may_not_know_are_told_what_others_see() {
    let world = World::new().await;
    let mut others = world.presently.subscribe_seen_by(Viewer::Anybody);
    let mut admins = world.presently.subscribe();
    world.beat("alice", "phone");
    world.presently.set_invisible("alice", true).await.unwrap();
    world.presently.set_away("alice").await.unwrap();
    let told = |transitions: &mut presently::Transitions| {
        std::iter::from_fn(|| transitions.next_now())
            .map(|told| if let Told::Transition(transition) = told { transition.to } else { panic!("missed") })
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&mut others), [Status::Online, Status::Offline]);
    assert_eq!(told(&mut admins), [Status::Online, Status::Away]);
}

#[tokio::test]
async fn a_veil_that_the_store_refuses_holds_and_is_kept_later() {
    let world = World::new().await;
    world.beat("alice", "phone");
    world.presently.settled().await.unwrap();
    world.store.memory.fail_with(Some(presently::store::StoreError::Unwritable("no room".into())));
    let refused = world.presently.set_invisible("alice", true).await;
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    assert!(world.presently.is_invisible("alice"));
    assert_eq!(world.presently.newest_online_seen_by(&Viewer::Anybody, None, 9, |_, _| true).await, []);
    world.store.memory.fail_with(None);
    assert_eq!(seen(&world, "alice").await.status, Status::Offline);
    world.pass(secs(10)).await;
    let world = world.crash(secs(1)).await;
    assert!(world.presently.is_invisible("alice"));
    assert_eq!(world.presently.set_invisible("", true).await, Err(Error::BadName));
}

#[tokio::test]
async fn where_only_admins_see_others_there_is_nobody() {
    let config = Config { visibility: Visibility::Admins, ..Config::default() };
    let world = World::open(config, ManualClock::new(), std::sync::Arc::default()).await;
    world.beat("alice", "phone");
    world.beat("bob", "phone");
    world.presently.settled().await.unwrap();
    let (truth, alice) = (world.presence("alice").await, Viewer::User("alice".into()));
    assert_eq!(seen(&world, "alice").await, never("alice"));
    assert_eq!(world.presently.seen_by(&Viewer::Anybody, truth.clone()), never("alice"));
    assert_eq!(world.presently.newest_online_seen_by(&Viewer::Anybody, None, 9, |_, _| true).await, []);
    assert_eq!(world.presently.newest_online_seen_by(&alice, None, 9, |_, _| true).await, std::slice::from_ref(&truth));
    assert_eq!(world.presently.counts_seen_by(&Viewer::Anybody).await, Counts::default());
    assert_eq!(world.presently.counts_seen_by(&alice).await, Counts { online: 1, away: 0, sessions: 1, users: 1 });
    assert_eq!(world.presently.counts_seen_by(&Viewer::Admin).await.online, 2);
    let lines = |viewer| world.presently.transitions_seen_by(viewer, "alice", ALL.0, ALL.1, 9);
    assert_eq!(lines(&Viewer::Anybody).await.unwrap(), []);
    assert_eq!(lines(&alice).await.unwrap().len(), 1);
    assert_eq!(lines(&Viewer::Admin).await.unwrap().len(), 1);
}

/// Everything that others can ask or hear.
struct Surfaces {
    world: World,
    watching: Watcher,
    start: Position,
    users: Vec<UserId>,
}

impl Surfaces {
    async fn new() -> Self {
        Self::of(World::new().await).await
    }

    async fn of(world: World) -> Self {
        let users: Vec<UserId> = ["alice", "bob", "carol"].map(UserId::from).to_vec();
        let mut watching = world.presently.watcher(Viewer::Anybody);
        watching.watch(&users).await.unwrap();
        let start = world.presently.position();
        Self { world, watching, start, users }
    }

    async fn restart(&mut self) {
        let world = std::mem::replace(&mut self.world, World::new().await);
        *self = Self::of(world.stop_and_start(secs(5)).await).await;
    }

    async fn all(&mut self) -> String {
        let presently = &self.world.presently;
        presently.settled().await.unwrap();
        let mut all = Vec::new();
        for viewer in [Viewer::Anybody, Viewer::User("carol".into())] {
            all.push(format!("{:?}", presently.presences_seen_by(&viewer, &self.users).await.unwrap()));
            all.push(format!("{:?}", presently.newest_online_seen_by(&viewer, None, 9, |_, _| true).await));
            all.push(format!("{:?}", presently.counts_seen_by(&viewer).await));
            for user in &self.users {
                all.push(format!("{:?}", presently.presence_seen_by(&viewer, user).await.unwrap()));
                let truth = presently.presence(user).await.unwrap();
                all.push(format!("{:?}", presently.seen_by(&viewer, truth)));
                let lines = presently.transitions_seen_by(&viewer, user, ALL.0, ALL.1, 99).await.unwrap();
                all.push(format!("{lines:?}").replace("audience: Others", "audience: Everybody"));
                let before = presently.transition_before_seen_by(&viewer, user, ALL.1).await.unwrap();
                all.push(format!("{before:?}").replace("audience: Others", "audience: Everybody"));
            }
            let mut fresh = presently.watcher(viewer.clone());
            let snapshot = fresh.watch(&self.users).await.unwrap();
            all.push(format!("{} {:?}", snapshot.position.seq, snapshot.presences));
            let mut back = presently.watcher(viewer);
            let Resumed::Diffs(diffs) = back.resume(&self.users, self.start).await.unwrap() else { panic!("not old") };
            all.push(format!("{diffs:?}").replace(&self.start.epoch.to_string(), "epoch"));
        }
        while let Some(diff) = self.watching.next_now() {
            all.push(format!("{diff:?}").replace(&self.start.epoch.to_string(), "epoch"));
        }
        all.push(format!("{}", self.watching.position().seq));
        all.join("\n")
    }
}

async fn seen(world: &World, user: &str) -> Presence {
    world.presently.presence_seen_by(&Viewer::Anybody, user).await.unwrap()
}

fn never(user: &str) -> Presence {
    Presence { user: user.into(), status: Status::Offline, last_seen: None, since: None }
}

fn at(user: &str, status: Status, at: Timestamp) -> Presence {
    Presence { user: user.into(), status, last_seen: Some(at), since: Some(at) }
}
