//! Several nodes on one database.

use std::collections::BTreeSet;

use presently::store::{Batch, EvidenceBlock, Saved, Store as _};
use presently::{Activity, SessionRow, Status, Timestamp};
use presently_accounts::AccountId;
use presently_accounts::store::AccountStore as _;
use presently_sql::postgres::{NewTicket, OpenError};
use presently_testkit::Postgres;
use sqlx::Connection as _;
use tokio::task::JoinSet;

use super::{account, keep, kept, now, open, open_as, other_program, presence};

#[tokio::test]
async fn of_two_nodes_the_newer_since_says_the_status_and_last_seen_does_not_go_back() {
    let url = Postgres::shared().database();
    let (a, b) = (open_as(&url, "a").await, open_as(&url, "b").await);
    keep(&a, presence("alice", Status::Online, Some(100), 100)).await;
    keep(&b, presence("alice", Status::Away, Some(90), 90)).await;
    assert_eq!(kept(&a, "alice").await, Some(presence("alice", Status::Online, Some(100), 100)), "older, in both");
    keep(&b, presence("alice", Status::Away, Some(95), 110)).await;
    assert_eq!(kept(&a, "alice").await, Some(presence("alice", Status::Away, Some(100), 110)), "a newer status");
    keep(&b, presence("alice", Status::Offline, Some(97), 120)).await;
    assert_eq!(kept(&a, "alice").await, Some(presence("alice", Status::Offline, Some(100), 120)), "still a's evidence");
    keep(&a, presence("alice", Status::Online, Some(130), 105)).await;
    assert_eq!(kept(&a, "alice").await, Some(presence("alice", Status::Offline, Some(130), 120)), "newer evidence");
    keep(&b, presence("alice", Status::Online, None, 140)).await;
    assert_eq!(kept(&a, "alice").await, Some(presence("alice", Status::Online, Some(130), 140)), "no evidence");
}

#[tokio::test]
async fn a_node_whose_clock_was_set_back_corrects_what_it_wrote_itself() {
    let url = Postgres::shared().database();
    let stores = open_as(&url, "a").await;
    keep(&stores, presence("alice", Status::Online, Some(900), 900)).await;
    keep(&stores, presence("alice", Status::Offline, Some(100), 100)).await;
    assert_eq!(kept(&stores, "alice").await, Some(presence("alice", Status::Offline, Some(100), 100)));
}

#[tokio::test]
async fn a_name_is_held_by_one_server_until_it_is_closed() {
    let url = Postgres::shared().database();
    let (first, second, other) = (open_as(&url, "a").await, open_as(&url, "a").await, open_as(&url, "b").await);
    first.hold_node().await.expect("it is free");
    other.hold_node().await.expect("another name");
    assert!(matches!(second.hold_node().await, Err(OpenError::Taken { .. })));
    // Both see the same: the lock is about presence, not about accounts.
    second.insert(&account("Ada"), now(), None).await.expect("inserts");
    first.close().await;
    let begun = std::pin::pin!(async { while second.hold_node().await.is_err() {} });
    tokio::time::timeout(std::time::Duration::from_secs(20), begun).await.expect("it is free again");
}

#[tokio::test]
async fn the_only_one_and_one_of_several_refuse_each_other() {
    let url = Postgres::shared().database();
    let (only, a, b) = (open(&url).await, open_as(&url, "a").await, open_as(&url, "b").await);
    a.hold_node().await.expect("it is free");
    b.hold_node().await.expect("there may be several");
    let refused = only.hold_node().await.expect_err("there are several");
    assert!(
        refused.to_string().contains("another presently") && refused.to_string().contains("--valkey-url"),
        "{refused}"
    );
    a.close().await;
    b.close().await;
    let begun = std::pin::pin!(async { while only.hold_node().await.is_err() {} });
    tokio::time::timeout(std::time::Duration::from_secs(20), begun).await.expect("nobody is left");
    let refused = open_as(&url, "a").await.hold_node().await.expect_err("there is one alone");
    assert!(refused.to_string().contains("another presently"), "{refused}");
}

fn session(number: u64, user: &str, last_evidence: Timestamp) -> SessionRow {
    SessionRow {
        number,
        user: user.into(),
        session: "tab".into(),
        activity: Activity::Active,
        opened_at: Timestamp(1),
        last_evidence,
    }
}

/// The sessions and the evidence that a start would be given.
async fn given(stores: &presently_sql::PostgresStores) -> (Vec<String>, usize) {
    let (mut users, mut blocks) = (Vec::new(), 0);
    let mut take = |one| match one {
        Saved::Session(row) => users.push(row.user.to_string()),
        Saved::Evidence(_) => blocks += 1,
        _ => {}
    };
    stores.load(&mut take).await.expect("it loads");
    (users, blocks)
}

#[tokio::test]
async fn the_first_of_several_goes_on_with_what_the_only_one_kept() {
    let url = Postgres::shared().database();
    let only = open(&url).await;
    only.hold_node().await.expect("it is free");
    only.commit(&Batch { sessions: vec![session(7, "alice", Timestamp(5))], ..Batch::default() }).await.expect("kept");
    let block = EvidenceBlock { at: Timestamp(5), packed: vec![1] };
    only.append_evidence(&block, Timestamp(0)).await.expect("kept");
    only.close().await;
    let (a, b) = (open_as(&url, "a").await, open_as(&url, "b").await);
    let begun = std::pin::pin!(async { while a.hold_node().await.is_err() {} });
    tokio::time::timeout(std::time::Duration::from_secs(20), begun).await.expect("it is free again");
    b.hold_node().await.expect("another name");
    // Who comes second is given it by the first, which has it in memory.
    assert_eq!(given(&a).await, (vec!["alice".to_owned()], 1));
}

#[tokio::test]
async fn what_a_name_heard_that_nobody_holds_is_dropped_a_day_later() {
    let url = Postgres::shared().database();
    let hours = |hours: i64| Timestamp(hours * 3_600_000_000);
    let held = open_as(&url, "held").await;
    held.hold_node().await.expect("it is free");
    for (number, (name, at)) in (1..).zip([("gone", hours(10)), ("stopped", hours(40)), ("held", hours(10))]) {
        let stores = open_as(&url, name).await;
        let sessions = vec![session(number, name, at)];
        stores.commit(&Batch { sessions, ..Batch::default() }).await.expect("kept");
        stores.append_evidence(&EvidenceBlock { at, packed: vec![1] }, Timestamp(0)).await.expect("kept");
    }
    let new = open_as(&url, "new").await;
    new.hold_node().await.expect("it is free");
    let sessions = ["gone", "stopped", "held"].map(ToOwned::to_owned).to_vec();
    assert_eq!(given(&new).await, (sessions, 2), "a session may have moved, and is ended by whoever has it");
}

#[tokio::test]
async fn however_long_all_were_stopped_nothing_is_dropped() {
    let url = Postgres::shared().database();
    for name in ["a", "b"] {
        let stores = open_as(&url, name).await;
        let block = EvidenceBlock { at: Timestamp(1), packed: vec![1] };
        stores.append_evidence(&block, Timestamp(0)).await.expect("kept");
    }
    let new = open_as(&url, "new").await;
    new.hold_node().await.expect("it is free");
    assert_eq!(given(&new).await, (vec![], 2));
}

#[tokio::test]
async fn a_ticket_is_given_to_one_in_time() {
    let url = Postgres::shared().database();
    let (a, b) = (open_as(&url, "a").await, open_as(&url, "b").await);
    let sealed = b"sealed".to_vec();
    for number in 1..=3 {
        let ends_at = Timestamp(100);
        let ticket = NewTicket { digest: [number; 32], sealed: sealed.clone(), ends_at, user: "alice".into() };
        assert!(a.keep_ticket(ticket, Timestamp(0), 3).await.expect("kept"));
    }
    let one_more = NewTicket { digest: [4; 32], sealed: sealed.clone(), ends_at: Timestamp(100), user: "alice".into() };
    assert!(!b.keep_ticket(one_more, Timestamp(99), 3).await.expect("answers"), "of all nodes together");
    let (one, other) = tokio::join!(a.take_ticket([1; 32], Timestamp(99)), b.take_ticket([1; 32], Timestamp(99)));
    let taken: Vec<_> = [one, other].into_iter().filter_map(|taken| taken.expect("answers")).collect();
    assert_eq!(taken, [sealed]);
    assert_eq!(b.take_ticket([2; 32], Timestamp(100)).await.expect("answers"), None, "too late");
    b.drop_tickets(Timestamp(100)).await.expect("answers");
    assert_eq!(b.take_ticket([3; 32], Timestamp(99)).await.expect("answers"), None, "dropped");
}

#[tokio::test]
async fn whoever_starts_is_given_what_all_kept() {
    let url = Postgres::shared().database();
    let (a, b) = (open_as(&url, "a").await, open_as(&url, "b").await);
    let block = |at, packed: &[u8]| EvidenceBlock { at: Timestamp(at), packed: packed.to_vec() };
    for (number, (node, user)) in (1..).zip([(&a, "alice"), (&b, "bob")]) {
        let sessions = vec![session(number, user, Timestamp(1))];
        node.commit(&Batch { sessions, ..Batch::default() }).await.expect("it is kept");
        node.append_evidence(&block(5, user.as_bytes()), Timestamp(0)).await.expect("it is kept");
    }
    // Each drops its own evidence only.
    b.append_evidence(&block(9, &[9]), Timestamp(9)).await.expect("it is kept");
    for stores in [&a, &b, &open_as(&url, "c").await] {
        let mut saved = Vec::new();
        stores.load(&mut |one| saved.push(one)).await.expect("it loads");
        let sessions = [session(1, "alice", Timestamp(1)), session(2, "bob", Timestamp(1))].map(Saved::Session);
        let blocks = [block(5, b"alice"), block(9, &[9])].map(Saved::Evidence);
        assert_eq!(saved, [sessions, blocks].concat());
    }
}

#[tokio::test]
async fn a_session_that_moved_has_one_row_and_is_ended_by_whoever_has_it() {
    let url = Postgres::shared().database();
    let (a, b, c) = (open_as(&url, "a").await, open_as(&url, "b").await, open_as(&url, "c").await);
    for (node, at) in [(&a, 1), (&b, 2)] {
        let sessions = vec![session(7, "alice", Timestamp(at)), session(8, "bob", Timestamp(at))];
        node.commit(&Batch { sessions, ..Batch::default() }).await.expect("it is kept");
    }
    c.commit(&Batch { ended_sessions: vec![7], ..Batch::default() }).await.expect("it is kept");
    let mut saved = Vec::new();
    a.load(&mut |one| saved.push(one)).await.expect("it loads");
    assert_eq!(saved, [Saved::Session(session(8, "bob", Timestamp(2)))]);
}

#[tokio::test]
async fn a_change_that_is_committed_late_is_not_passed_over() {
    let url = Postgres::shared().database();
    let stores = open(&url).await;
    let slow = stores.insert(&account("slow"), now(), None).await.expect("inserts").id;
    let quick = stores.insert(&account("quick"), now(), None).await.expect("inserts").id;
    let last = stores.newest_change().await.expect("answers");

    let mut other = other_program(&url).await;
    let mut open = other.begin().await.expect("begins");
    let suspend = "UPDATE users SET status = 'suspended' WHERE id = $1";
    sqlx::query(suspend).bind(slow.0).execute(&mut *open).await.expect("updates");
    sqlx::query(suspend).bind(quick.0).execute(&mut other_program(&url).await).await.expect("updates");
    let (last, ids) = stores.changes_after(last).await.expect("answers");
    assert_eq!(ids, [quick], "the slow one is not committed");
    open.commit().await.expect("commits");
    assert_eq!(stores.changes_after(last).await.expect("answers").1, [slow]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_follower_hears_of_every_change_while_many_write() {
    let url = Postgres::shared().database();
    let stores = open(&url).await;
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let stores = stores.clone();
        tasks.spawn(async move {
            for n in 0..50 {
                let new = account(&format!("user-{writer}-{n}"));
                stores.insert(&new, now(), None).await.expect("inserts");
            }
        });
    }
    let mut followers = JoinSet::new();
    for _ in 0..3 {
        let stores = open(&url).await;
        followers.spawn(async move {
            let (mut last, mut seen) = (0, BTreeSet::<AccountId>::new());
            while seen.len() < 200 {
                let (newest, ids) = stores.changes_after(last).await.expect("answers");
                assert!(newest >= last);
                last = newest;
                seen.extend(ids);
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    let all = followers.join_all();
    tokio::time::timeout(std::time::Duration::from_secs(20), all).await.expect("nothing was passed over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_write_the_same_users_in_any_order_do_not_end_each_other() {
    let url = Postgres::shared().database();
    let mut tasks = JoinSet::new();
    for node in 0..4_i64 {
        let stores = open_as(&url, &format!("n{node}")).await;
        tasks.spawn(async move {
            for round in 0..10 {
                let mut presences: Vec<_> = (0..300)
                    .map(|user| presence(&format!("user-{user}"), Status::Online, Some(round), round * 4 + node))
                    .collect();
                if node % 2 == 0 {
                    presences.reverse();
                }
                stores.commit(&Batch { presences, ..Batch::default() }).await.expect("it is kept");
            }
        });
    }
    tasks.join_all().await;
    let stores = open(&url).await;
    assert_eq!(kept(&stores, "user-7").await, Some(presence("user-7", Status::Online, Some(9), 39)));
}
