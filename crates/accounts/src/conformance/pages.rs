//! Pages of accounts.

use super::{Subject, at, draft, insert};
use crate::store::{Live, Ordering, PageQuery};
use crate::{Account, AccountId, AccountStatus, Changes, NewAccount, Role};

async fn names(store: &Subject, query: PageQuery) -> Vec<String> {
    let page = store.page(&query).await.expect("the store answers");
    if query.limit == 0 && query.offset == 0 {
        assert_eq!(page.count, page.accounts.len() as u64);
    }
    page.accounts.into_iter().map(|account| account.username).collect()
}

/// The order as asked for, then turned round.
async fn both_ways(store: &Subject, query: PageQuery) -> (Vec<String>, Vec<String>) {
    let up = names(store, PageQuery { descending: false, ..query.clone() }).await;
    let down = names(store, PageQuery { descending: true, ..query }).await;
    (up, down)
}

fn assert_order((up, mut down): (Vec<String>, Vec<String>), expected: &[&str]) {
    assert_eq!(up, expected);
    down.reverse();
    assert_eq!(down, expected, "turned round, and turned back");
}

fn searching(text: &str) -> PageQuery {
    PageQuery { search: Some(text.to_owned()), ..PageQuery::default() }
}

fn live(account: &Account, online_status: &'static str, last_seen_seconds: Option<i64>) -> Live {
    Live {
        account: account.id,
        online_status,
        last_seen_us: last_seen_seconds.map(|seconds| at(seconds).as_microsecond()),
    }
}

pub async fn search_looks_into_every_name_in_any_case(store: Subject) {
    let new = NewAccount {
        email: "Write.Me@Example.net".to_owned(),
        first_name: "Élodie".to_owned(),
        last_name: "ÅNGSTRÖM".to_owned(),
        ..draft("Wolf")
    };
    store.insert(&new, at(0), None).await.expect("an account is made");
    insert(&store, "Мария").await;
    insert(&store, "bob").await;
    for text in ["wolf", "OLF", "write.me@EXAMPLE.NET", "élo", "ÉLODIE", "ångström", "Ström"] {
        assert_eq!(names(&store, searching(text)).await, ["Wolf"], "{text}");
    }
    assert_eq!(names(&store, searching("мАРИ")).await, ["Мария"]);
    assert_eq!(names(&store, searching("Elodie")).await, [""; 0], "accents count");
    assert_eq!(names(&store, searching("")).await.len(), 3, "an empty search is none");
}

pub async fn search_takes_wildcards_literally(store: Subject) {
    insert(&store, "under_score").await;
    insert(&store, "underXscore").await;
    let percent = NewAccount { first_name: "100 % \\ 'sure'".to_owned(), ..draft("sure") };
    store.insert(&percent, at(0), None).await.expect("an account is made");
    for (text, expected) in [
        ("r_s", vec!["under_score"]),
        ("%", vec!["sure"]),
        ("0 %", vec!["sure"]),
        ("u%e", vec![]),
        ("_________", vec![]),
        ("\\", vec!["sure"]),
        ("'", vec!["sure"]),
        ("*", vec![]),
        ("[a-z]", vec![]),
        ("?", vec![]),
    ] {
        assert_eq!(names(&store, searching(text)).await, expected, "{text}");
    }
}

pub async fn filters_narrow_and_combine(store: Subject) {
    insert(&store, "user").await;
    for (name, role, status) in [
        ("admin", Role::Admin, AccountStatus::Active),
        ("moderator", Role::Moderator, AccountStatus::Active),
        ("pending", Role::User, AccountStatus::Pending),
        ("suspended", Role::Admin, AccountStatus::Suspended),
        ("banned", Role::User, AccountStatus::Banned),
    ] {
        let new = NewAccount { role, status, ..draft(name) };
        store.insert(&new, at(1), None).await.expect("an account is made");
    }
    let gone = store.insert(&draft("deactivated"), at(2), None).await.expect("an account is made").id;
    let deactivate = Changes { is_active: Some(false), ..Changes::default() };
    store.update(gone, &deactivate, at(3), None).await.expect("it is changed");

    let all = PageQuery::default;
    let by_status = |status| PageQuery { status: Some(status), ..all() };
    assert_eq!(names(&store, by_status(AccountStatus::Pending)).await, ["pending"]);
    assert_eq!(names(&store, by_status(AccountStatus::Suspended)).await, ["suspended"]);
    assert_eq!(names(&store, by_status(AccountStatus::Banned)).await, ["banned"]);
    assert_eq!(names(&store, by_status(AccountStatus::Active)).await, ["user", "admin", "moderator", "deactivated"]);
    assert_eq!(
        names(&store, PageQuery { is_active: Some(true), ..by_status(AccountStatus::Active) }).await,
        ["user", "admin", "moderator"]
    );
    assert_eq!(names(&store, PageQuery { is_active: Some(false), ..all() }).await, ["deactivated"]);
    let admins = PageQuery { role: Some(Role::Admin), ..all() };
    assert_eq!(names(&store, admins.clone()).await, ["admin", "suspended"]);
    let active_admins = PageQuery { status: Some(AccountStatus::Active), ..admins.clone() };
    assert_eq!(names(&store, active_admins).await, ["admin"]);
    assert_eq!(names(&store, PageQuery { search: Some("SUS".to_owned()), ..admins }).await, ["suspended"]);
}

pub async fn a_page_is_a_slice_and_counts_all(store: Subject) {
    for n in 0..7 {
        insert(&store, &format!("user{n}")).await;
    }
    insert(&store, "other").await;
    let slice = |offset, limit| PageQuery { offset, limit, ..searching("user") };
    for (offset, limit, expected) in [
        (0, 3, vec!["user0", "user1", "user2"]),
        (3, 3, vec!["user3", "user4", "user5"]),
        (6, 3, vec!["user6"]),
        (9, 3, vec![]),
        (5, 0, vec!["user5", "user6"]),
        (u64::from(u32::MAX), 1_000, vec![]),
    ] {
        let page = store.page(&slice(offset, limit)).await.expect("the store answers");
        assert_eq!(page.count, 7, "{offset}, {limit}");
        let names: Vec<_> = page.accounts.iter().map(|account| account.username.as_str()).collect();
        assert_eq!(names, expected, "{offset}, {limit}");
    }
    let page = store.page(&searching("nobody")).await.expect("the store answers");
    assert_eq!((page.count, page.accounts), (0, vec![]));
}

pub async fn created_at_orders_with_ties_by_id(store: Subject) {
    for (name, seconds) in [("late", 9), ("tie-1", 5), ("tie-2", 5), ("early", 1), ("tie-3", 5)] {
        store.insert(&draft(name), at(seconds), None).await.expect("an account is made");
    }
    let order = both_ways(&store, PageQuery::default()).await;
    assert_order(order, &["early", "tie-1", "tie-2", "tie-3", "late"]);
}

pub async fn username_orders_in_any_case(store: Subject) {
    for name in ["bob", "Äsop", "Carol", "ALICE", "äneas", "dave"] {
        insert(&store, name).await;
    }
    let order = both_ways(&store, PageQuery { ordering: Ordering::Username, ..PageQuery::default() }).await;
    assert_order(order, &["ALICE", "bob", "Carol", "dave", "äneas", "Äsop"]);
}

pub async fn last_seen_orders_by_what_is_live_and_never_is_oldest(store: Subject) {
    let mut made = Vec::new();
    for name in ["never-1", "now", "tie-1", "tie-2", "long-ago", "never-2"] {
        made.push(insert(&store, name).await);
    }
    let query = PageQuery {
        ordering: Ordering::LastSeen,
        live: vec![
            live(&made[1], "online", Some(100)),
            live(&made[4], "offline", Some(-5_000_000)),
            live(&made[3], "away", Some(50)),
            live(&made[2], "online", Some(50)),
            live(&made[5], "online", None),
        ],
        ..PageQuery::default()
    };
    let order = both_ways(&store, query.clone()).await;
    assert_order(order, &["never-1", "never-2", "long-ago", "tie-1", "tie-2", "now"]);
    assert_eq!(names(&store, PageQuery { offset: 2, limit: 2, ..query }).await, ["long-ago", "tie-1"]);
}

pub async fn online_status_orders_offline_away_online(store: Subject) {
    let mut made = Vec::new();
    for name in ["online-1", "unknown", "away-1", "forced-off", "online-2", "away-2"] {
        made.push(insert(&store, name).await);
    }
    let query = PageQuery {
        ordering: Ordering::OnlineStatus,
        live: vec![
            live(&made[5], "away", Some(1)),
            live(&made[4], "online", Some(2)),
            live(&made[3], "offline", Some(3)),
            live(&made[2], "away", Some(4)),
            live(&made[0], "online", Some(5)),
        ],
        ..PageQuery::default()
    };
    let order = both_ways(&store, query).await;
    assert_order(order, &["unknown", "forced-off", "away-1", "away-2", "online-1", "online-2"]);
}

pub async fn online_status_filters_by_what_is_live(store: Subject) {
    let mut made = Vec::new();
    for name in ["online", "unknown", "away", "forced-off", "admin"] {
        let role = if name == "admin" { Role::Admin } else { Role::User };
        let new = NewAccount { role, ..draft(name) };
        made.push(store.insert(&new, at(0), None).await.expect("an account is made"));
    }
    let stranger = Live { account: AccountId(999_999), online_status: "online", last_seen_us: Some(1) };
    let query = |online_status| PageQuery {
        online_status: Some(online_status),
        live: vec![
            live(&made[0], "online", Some(1)),
            live(&made[2], "away", Some(2)),
            live(&made[3], "offline", Some(3)),
            live(&made[4], "online", Some(4)),
            stranger.clone(),
        ],
        ..PageQuery::default()
    };
    assert_eq!(names(&store, query("online")).await, ["online", "admin"]);
    assert_eq!(names(&store, query("away")).await, ["away"]);
    assert_eq!(names(&store, query("offline")).await, ["unknown", "forced-off"]);
    assert_eq!(names(&store, PageQuery { role: Some(Role::Admin), ..query("online") }).await, ["admin"]);
    assert_eq!(names(&store, PageQuery { search: Some("ON".to_owned()), ..query("online") }).await, ["online"]);
    let nobody_live = PageQuery { live: vec![], ..query("online") };
    assert_eq!(names(&store, nobody_live).await, [""; 0]);
    let page = store.page(&PageQuery { limit: 1, offset: 1, ..query("offline") }).await.expect("the store answers");
    assert_eq!((page.count, page.accounts[0].username.as_str()), (2, "forced-off"));
}

pub async fn ten_thousand_live_users_fit_into_a_query(store: Subject) {
    let offline = insert(&store, "offline").await;
    let online = insert(&store, "online").await;
    let mut everybody: Vec<Live> = (1..10_000)
        .map(|n| Live { account: AccountId(1_000_000 + n), online_status: "online", last_seen_us: Some(n) })
        .collect();
    everybody.push(live(&online, "online", Some(1)));
    let query = PageQuery { online_status: Some("online"), live: everybody, ..PageQuery::default() };
    assert_eq!(names(&store, query.clone()).await, ["online"]);
    let order = both_ways(&store, PageQuery { online_status: None, ordering: Ordering::LastSeen, ..query }).await;
    assert_order(order, &[&offline.username, &online.username]);
}
