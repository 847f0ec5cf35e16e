//! What a program may rely on while everything works.

mod world;

use std::time::Duration;

use presently::{Activity, Config, EndReason, Error, Limits, Presence, Source, Status};
use world::{World, secs, yields};

#[tokio::test]
async fn evidence_brings_a_user_online_once() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.beat("alice", "tab");
    world.presently.settled().await.unwrap();
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    assert!(world.presently.is_online("alice").await.unwrap());
    assert_eq!(world.presently.stats().evidence, 2);
}

#[tokio::test]
async fn silence_ends_presence_at_the_deadline_and_last_seen_stays() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    let seen = world.wall();
    world.pass(Duration::from_millis(119_900)).await;
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    world.pass(Duration::from_millis(200)).await;
    assert_eq!(world.news(), ["alice online->offline expired"]);
    let gone = world.presence("alice").await;
    assert_eq!((gone.status, gone.last_seen), (Status::Offline, Some(seen)));
    assert_eq!(gone.since.unwrap().since(seen), Duration::from_millis(120_000));
}

#[tokio::test]
async fn an_idle_session_expires_like_an_active_one() {
    let mut world = World::new().await;
    world.presently.evidence("alice", "tab", Some(Activity::Idle), || true).unwrap();
    world.pass(secs(121)).await;
    assert_eq!(world.news(), ["alice offline->away evidence", "alice away->offline expired"]);
    assert_eq!(world.presently.counts().users, 0);
}

#[tokio::test]
async fn one_tab_of_many_closes_and_the_user_stays() {
    let mut world = World::new().await;
    world.beat("alice", "login/one");
    world.beat("alice", "login/two");
    world.presently.end_session("alice", "login/one", EndReason::Disconnected).await.unwrap();
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    let gone = world.presently.end_session("alice", "login", EndReason::Logout).await.unwrap();
    assert_eq!(gone.status, Status::Offline);
    assert_eq!(world.news(), ["alice online->offline logout"]);
}

#[tokio::test]
async fn a_dropped_socket_that_comes_back_in_time_was_never_seen_to_leave() {
    let mut world = World::new().await;
    world.beat("alice", "socket");
    world.presently.drop_session("alice", "socket");
    world.pass(secs(9)).await;
    world.beat("alice", "socket");
    world.pass(secs(60)).await;
    assert_eq!(world.news(), ["alice offline->online evidence"]);
    world.presently.drop_session("alice", "socket");
    world.pass(secs(11)).await;
    assert_eq!(world.news(), ["alice online->offline disconnected"]);
}

#[tokio::test]
async fn an_override_is_not_overruled_by_the_next_heartbeat() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.presently.override_status("alice", Source::User, Status::Away, Some(secs(60))).await.unwrap();
    world.beat("alice", "tab");
    world.pass(secs(59)).await;
    world.beat("alice", "tab");
    assert_eq!(world.presence("alice").await.status, Status::Away);
    world.pass(secs(2)).await;
    assert_eq!(
        world.news(),
        ["alice offline->online evidence", "alice online->away override", "alice away->online override_ended"]
    );
}

#[tokio::test]
async fn a_logout_of_one_who_is_offline_moves_last_seen_and_keeps_since() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(121)).await;
    let offline = world.presence("alice").await;
    world.news();
    world.pass(secs(100)).await;
    let commits = world.store.memory.commits();
    let out = world.presently.end_session("alice", "tab", EndReason::Logout).await.unwrap();
    assert_eq!(out, Presence { last_seen: Some(world.wall()), ..offline });
    assert_eq!(world.store.memory.commits(), commits + 1);
    assert_eq!(world.presence("alice").await, out);
    assert_eq!(world.news(), Vec::<String>::new());
}

#[tokio::test]
async fn set_offline_of_one_who_was_never_present_begins_now() {
    let world = World::new().await;
    let out = world.presently.set_offline("alice").await.unwrap();
    let now = Some(world.wall());
    assert_eq!(out, Presence { user: "alice".into(), status: Status::Offline, last_seen: now, since: now });
    assert_eq!(world.stored("alice").await.unwrap().last_seen, now);
}

#[tokio::test]
async fn a_forced_logout_of_one_who_is_offline_moves_nothing() {
    let world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(121)).await;
    let before = world.presence("alice").await;
    assert_eq!(world.presently.end_user("alice", EndReason::ForcedLogout).await.unwrap(), before);
}

#[tokio::test]
async fn an_act_under_an_override_keeps_the_since_that_only_the_store_knows() {
    let world = World::new().await;
    world.beat("alice", "tab");
    world.pass(secs(121)).await;
    let before = world.presence("alice").await;
    world.pass(secs(10)).await;
    let hidden = world.presently.override_status("alice", Source::Admin, Status::Offline, None).await.unwrap();
    assert_eq!(hidden, before);
    let out = world.presently.set_offline("alice").await.unwrap();
    assert_eq!((out.last_seen, out.since), (Some(world.wall()), before.since));
    assert_eq!(world.stored("alice").await.unwrap().since, before.since.unwrap());
}

#[tokio::test]
async fn an_override_of_one_who_is_offline_shows_the_last_seen_of_the_store() {
    let world = World::new().await;
    world.beat("alice", "tab");
    let seen = world.wall();
    world.pass(secs(130)).await;
    let shown = world.presently.override_status("alice", Source::Admin, Status::Online, None).await.unwrap();
    assert_eq!((shown.status, shown.last_seen), (Status::Online, Some(seen)));
    assert_eq!(world.presence("alice").await.last_seen, Some(seen));
    assert_eq!(world.stored("alice").await.unwrap().last_seen, Some(seen));
    world.presently.clear_override("alice", Source::Admin).await.unwrap();
    assert_eq!(world.presence("alice").await.last_seen, Some(seen));
}

#[tokio::test]
async fn update_last_seen_moves_it_and_nothing_else() {
    let mut world = World::new().await;
    // Of one who is live.
    world.beat("alice", "tab");
    let since = world.presence("alice").await.since;
    world.pass(secs(50)).await;
    let seen = world.presently.update_last_seen("alice").await.unwrap();
    let expected = Presence { user: "alice".into(), status: Status::Online, last_seen: Some(world.wall()), since };
    assert_eq!(seen, expected);
    assert_eq!(world.stored("alice").await.unwrap().last_seen, seen.last_seen);
    // Of one who is shown without a session.
    world.presently.set_away("bob").await.unwrap();
    world.pass(secs(10)).await;
    let seen = world.presently.update_last_seen("bob").await.unwrap();
    assert_eq!((seen.status, seen.last_seen), (Status::Away, Some(world.wall())));
    assert_eq!(world.presence("bob").await, seen);
    // Of one who is offline.
    let seen = world.presently.update_last_seen("carol").await.unwrap();
    assert_eq!((seen.status, seen.last_seen), (Status::Offline, Some(world.wall())));
    assert_eq!(world.news(), ["alice offline->online evidence", "bob offline->away set"]);
    // Of one who may not be present.
    world.presently.bar("dave").await.unwrap();
    assert_eq!(world.presently.update_last_seen("dave").await, Err(Error::Barred));
}

#[tokio::test]
async fn who_is_barred_cannot_come_back_until_unbarred() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    assert_eq!(world.presently.bar("alice").await.unwrap().status, Status::Offline);
    assert_eq!(world.presently.evidence("alice", "tab", None, || true), Err(Error::Barred));
    assert_eq!(world.presently.set_online("alice").await, Err(Error::Barred));
    world.presently.unbar("alice").await.unwrap();
    world.beat("alice", "tab");
    world.presently.settled().await.unwrap();
    assert_eq!(
        world.news(),
        ["alice offline->online evidence", "alice online->offline barred", "alice offline->online evidence"]
    );
}

#[tokio::test]
async fn bad_names_change_nothing() {
    let world = World::new().await;
    let long = "n".repeat(Limits::ID_BYTES_MAX + 1);
    for name in ["", &long] {
        assert_eq!(world.presently.evidence(name, "tab", None, || true), Err(Error::BadName));
        assert_eq!(world.presently.evidence("alice", name, None, || true), Err(Error::BadName));
        assert_eq!(world.presently.set_offline(name).await, Err(Error::BadName));
        assert_eq!(world.presently.end_user(name, EndReason::Logout).await, Err(Error::BadName));
    }
    assert_eq!(world.presently.counts().users, 0);
    assert_eq!(world.store.memory.commits(), 0);
}

#[tokio::test]
async fn a_forgotten_user_is_unknown_at_once() {
    let world = World::new().await;
    world.beat("alice", "tab");
    world.presently.settled().await.unwrap();
    world.store.close();
    let presently = world.presently.clone();
    let forgetting = tokio::spawn(async move { presently.forget("alice").await });
    yields().await;
    let unknown = Presence { user: "alice".into(), status: Status::Offline, last_seen: None, since: None };
    assert_eq!(world.presence("alice").await, unknown);
    world.store.open();
    forgetting.await.unwrap().unwrap();
    assert_eq!(world.presence("alice").await, unknown);
    assert_eq!(world.history("alice").await, []);
}

#[tokio::test]
async fn reads_never_see_an_older_row_while_a_newer_one_is_on_its_way() {
    let world = World::new().await;
    world.beat("alice", "tab");
    world.presently.settled().await.unwrap();
    world.pass(secs(60)).await;
    world.beat("alice", "tab");
    let seen = world.wall();
    world.store.close();
    let presently = world.presently.clone();
    let ending = tokio::spawn(async move { presently.end_user("alice", EndReason::ForcedLogout).await.unwrap() });
    yields().await;
    assert_eq!(world.stored("alice").await.unwrap().status, Status::Online);
    let expected = Presence { user: "alice".into(), status: Status::Offline, last_seen: Some(seen), since: Some(seen) };
    assert_eq!(world.presence("alice").await, expected);
    assert_eq!(world.presently.presences(&["alice".into()]).await.unwrap(), std::slice::from_ref(&expected));
    world.store.open();
    assert_eq!(ending.await.unwrap(), expected);
    assert_eq!(world.presence("alice").await, expected);
}

#[tokio::test]
async fn presences_come_in_the_order_asked() {
    let world = World::new().await;
    world.beat("gone", "tab");
    world.pass(secs(121)).await;
    world.beat("here", "tab");
    let asked = ["nobody", "here", "gone", "here"].map(Into::into);
    let answers = world.presently.presences(&asked).await.unwrap();
    assert_eq!(answers.iter().map(|p| p.user.clone()).collect::<Vec<_>>(), asked);
    let statuses: Vec<_> = answers.iter().map(|p| (p.status, p.last_seen.is_some())).collect();
    let (offline, online) = (Status::Offline, Status::Online);
    assert_eq!(statuses, [(offline, false), (online, true), (offline, true), (online, true)]);
}

#[tokio::test]
async fn the_newest_come_first_in_exact_order() {
    let world = World::new().await;
    for user in 0..300_u64 {
        world.clock.advance(Duration::from_micros(user % 3));
        world.beat(&format!("user-{user:03}"), "tab");
    }
    world.beat("user-007", "tab");
    let mut all = world.presently.online_users().await;
    all.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.user.cmp(&b.user)));
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = world.presently.newest_online(after.take(), 70).await;
        let Some(last) = page.last() else { break };
        after = Some((last.last_seen.unwrap(), last.user.clone()));
        paged.extend(page);
    }
    assert_eq!(paged.len(), 300);
    assert_eq!(paged, all);
}

#[tokio::test]
async fn users_beyond_the_limit_are_refused_and_room_comes_back() {
    let limits = Limits { users_max: 3, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() }).await;
    for user in ["a", "b", "c"] {
        world.beat(user, "tab");
    }
    assert_eq!(world.presently.evidence("d", "tab", None, || true), Err(Error::Full));
    world.beat("a", "other");
    world.presently.end_user("b", EndReason::Logout).await.unwrap();
    world.beat("d", "tab");
}

#[tokio::test]
async fn a_clock_that_steps_throws_nobody_offline_and_keeps_nobody() {
    let mut world = World::new().await;
    world.beat("alice", "tab");
    world.beat("bob", "tab");
    for step in [86_400_000_000, -172_800_000_000] {
        world.clock.step_wall(step);
        world.pass(secs(50)).await;
        world.beat("alice", "tab");
    }
    assert_eq!(world.news(), ["alice offline->online evidence", "bob offline->online evidence"]);
    world.pass(secs(21)).await;
    assert_eq!(world.news(), ["bob online->offline expired"]);
    world.pass(secs(100)).await;
    assert_eq!(world.news(), ["alice online->offline expired"]);
}
