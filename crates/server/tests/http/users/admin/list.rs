//! `GET /api/users/admin/users/`

use presently_accounts::{AccountStatus, Draft, Role};
use presently_testkit::http::{Shown, TestServer, Visitor, draft, find, keys, text, usernames};
use presently_testkit::secs;
use serde_json::{Value, json};

#[tokio::test]
async fn a_page_has_its_four_keys_and_whole_users() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let page = page(&admin, "").await;
    assert_eq!(keys(&page), ["count", "next", "previous", "results"]);
    assert_eq!(page["count"], 2);
    assert_eq!(page["next"], json!(null));
    assert_eq!(page["previous"], json!(null));
    let listed = find(&page["results"], alice.id).unwrap();
    assert_eq!(listed, alice.user, "USER, as the login told it");
}

#[tokio::test]
async fn the_newest_account_comes_first() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for name in ["anna", "zoe", "mia"] {
        server.advance(secs(1)).await;
        server.account(name).await;
    }
    assert_eq!(usernames(&page(&admin, "").await["results"]), ["mia", "zoe", "anna", "boss"]);
    assert_eq!(usernames(&page(&admin, "?ordering=-created_at").await["results"]), ["mia", "zoe", "anna", "boss"]);
    assert_eq!(usernames(&page(&admin, "?ordering=created_at").await["results"]), ["boss", "anna", "zoe", "mia"]);
    assert_eq!(usernames(&page(&admin, "?ordering=username").await["results"]), ["anna", "boss", "mia", "zoe"]);
    assert_eq!(usernames(&page(&admin, "?ordering=-username").await["results"]), ["zoe", "mia", "boss", "anna"]);
}

#[tokio::test]
async fn it_orders_by_the_live_last_seen_with_the_never_seen_as_oldest() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let anna = server.visitor("anna").await;
    server.advance(secs(1)).await;
    server.visitor("zoe").await;
    server.advance(secs(1)).await;
    server.visitor("mia").await;
    server.account("new").await;
    server.advance(secs(1)).await;
    anna.beat().await;
    server.advance(secs(1)).await;
    assert_eq!(
        usernames(&page(&admin, "?ordering=-last_seen").await["results"]),
        ["boss", "anna", "mia", "zoe", "new"]
    );
    assert_eq!(usernames(&page(&admin, "?ordering=last_seen").await["results"]), ["new", "zoe", "mia", "anna", "boss"]);
    server.advance(secs(1_000)).await;
    assert_eq!(
        usernames(&page(&admin, "?ordering=-last_seen").await["results"]),
        ["boss", "anna", "mia", "zoe", "new"],
        "also when they are gone"
    );
}

#[tokio::test]
async fn it_orders_offline_before_away_before_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.visitor("on").await;
    server.visitor("away").await.beat_with(json!({"activity": "idle"})).await;
    server.account("off").await;
    let ordered = async |ordering: &str| {
        let page = page(&admin, &format!("?ordering={ordering}")).await;
        let statuses: Vec<_> =
            page["results"].as_array().unwrap().iter().map(|user| text(&user["online_status"])).collect();
        statuses
    };
    assert_eq!(ordered("online_status").await, ["offline", "away", "online", "online"]);
    assert_eq!(ordered("-online_status").await, ["online", "online", "away", "offline"]);
}

#[tokio::test]
async fn it_filters_by_the_live_status() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.visitor("idle").await.beat_with(json!({"activity": "idle"})).await;
    server.account("off").await;
    let named = async |status: &str| {
        let page = page(&admin, &format!("?ordering=username&online_status={status}")).await;
        assert_eq!(page["count"], page["results"].as_array().unwrap().len());
        usernames(&page["results"])
    };
    assert_eq!(named("online").await, ["alice", "boss"]);
    assert_eq!(named("away").await, ["idle"]);
    assert_eq!(named("offline").await, ["off"]);
    alice.logout().await;
    assert_eq!(named("online").await, ["boss"]);
    assert_eq!(named("offline").await, ["alice", "off"]);
    admin.set(alice.id, json!({"status": "online", "expires_in": 60})).await.ok();
    assert_eq!(named("online").await, ["alice", "boss"]);
    server.advance(secs(60)).await;
    assert_eq!(named("offline").await, ["alice", "off"]);
}

#[tokio::test]
async fn it_filters_by_state_and_role() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("alice").await;
    server.account_in("sus", AccountStatus::Suspended).await;
    server.account_in("ban", AccountStatus::Banned).await;
    server.account_in("pen", AccountStatus::Pending).await;
    server.account_with(Draft { role: Role::Moderator, ..draft("mod") }).await;
    let named = async |query: &str| usernames(&page(&admin, &format!("?ordering=username&{query}")).await["results"]);
    assert_eq!(named("status=suspended").await, ["sus"]);
    assert_eq!(named("status=banned").await, ["ban"]);
    assert_eq!(named("status=pending").await, ["pen"]);
    assert_eq!(named("status=active").await, ["alice", "boss", "mod"]);
    assert_eq!(named("role=admin").await, ["boss"]);
    assert_eq!(named("role=moderator").await, ["mod"]);
    assert_eq!(named("role=user&status=active").await, ["alice"]);
    assert_eq!(named("role=user&status=active&online_status=online").await, Vec::<String>::new());
}

#[tokio::test]
async fn it_searches_names_and_addresses_in_any_case() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server
        .account_with(Draft {
            first_name: "Zoë".into(),
            last_name: "Müller".into(),
            email: "z.m@Example.ORG".into(),
            ..draft("zoe")
        })
        .await;
    server.account_with(Draft { first_name: "100%".into(), last_name: "under_score".into(), ..draft("odd") }).await;
    let named = async |search: &str| {
        let page = admin.get(&format!("/api/users/admin/users/?ordering=username&search={search}")).await.ok();
        assert_eq!(page["count"], page["results"].as_array().unwrap().len());
        usernames(&page["results"])
    };
    for search in ["zoe", "ZOE", "zO", "z.m@example.org", "Z.M@", "Zo%C3%AB", "ZO%C3%8B", "m%C3%BCller", "M%C3%9CLLER"]
    {
        assert_eq!(named(search).await, ["zoe"], "{search}");
    }
    assert_eq!(named("BYRON").await, ["boss"], "the others have names of their own");
    assert_eq!(named("nobody").await, Vec::<String>::new());
    assert_eq!(named("%25").await, ["odd"], "a percent sign is a percent sign");
    assert_eq!(named("_").await, ["odd"], "an underscore is an underscore");
    assert_eq!(named("r_s").await, ["odd"]);
    assert_eq!(named("%5C").await, Vec::<String>::new(), "a backslash is a backslash");
    assert_eq!(named("%27%20OR%201=1%20--").await, Vec::<String>::new());
    assert_eq!(named("").await.len(), 3, "an empty search is none");
}

#[tokio::test]
async fn pages_follow_each_other() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for n in 0..25 {
        server.account(&format!("user-{n:02}")).await;
    }
    let first = page(&admin, "").await;
    assert_eq!(first["count"], 26);
    assert_eq!(first["results"].as_array().unwrap().len(), 20, "twenty unless asked");
    let second = page(&admin, "?page=2").await;
    assert_eq!(second["results"].as_array().unwrap().len(), 6);
    assert_eq!(second["next"], json!(null));
    let mut all = usernames(&first["results"]);
    all.extend(usernames(&second["results"]));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 26, "each once, also those made in the same moment");
}

#[tokio::test]
async fn next_and_previous_lead_through_all_pages_with_the_same_question() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for n in 0..7 {
        server.account(&format!("user-{n}")).await;
    }
    let mut path = "/api/users/admin/users/?per_page=3&search=user-&ordering=username&status=active".to_owned();
    let mut seen = Vec::new();
    let mut back = None;
    loop {
        let page = admin.get(&path).await.ok();
        assert_eq!(page["count"], 7);
        seen.extend(usernames(&page["results"]));
        if seen.len() <= 3 {
            assert_eq!(page["previous"], json!(null));
        }
        if page["next"].is_null() {
            back = page["previous"].as_str().map(ToOwned::to_owned).or(back);
            break;
        }
        path = follow(&page["next"]);
    }
    assert_eq!(seen, (0..7).map(|n| format!("user-{n}")).collect::<Vec<_>>());
    let page = admin.get(&follow(&json!(back.unwrap()))).await.ok();
    assert_eq!(usernames(&page["results"]), ["user-3", "user-4", "user-5"]);
    let page = admin.get(&follow(&page["previous"])).await.ok();
    assert_eq!(usernames(&page["results"]), ["user-0", "user-1", "user-2"]);
}

#[tokio::test]
async fn a_bad_page_is_invalid_page() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for bad in ["0", "-1", "2", "99", "abc", "1.5", "99999999999999999999999", "%00"] {
        let answer = admin.get(&format!("/api/users/admin/users/?page={bad}")).await;
        answer.problem(404, "invalid_page");
    }
    page(&admin, "?page=1").await;
    let empty = page(&admin, "?page=1&search=nobody").await;
    assert_eq!(empty["count"], 0);
    assert_eq!(empty["results"], json!([]));
}

#[tokio::test]
async fn per_page_is_from_one_to_a_thousand() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("alice").await;
    for good in ["1", "2", "1000"] {
        page(&admin, &format!("?per_page={good}")).await;
    }
    assert_eq!(page(&admin, "?per_page=1").await["results"].as_array().unwrap().len(), 1);
    for bad in ["0", "-1", "1001", "abc", "1.5", "99999999999999999999999", "%00"] {
        let answer = admin.get(&format!("/api/users/admin/users/?per_page={bad}")).await;
        answer.is(400);
    }
}

#[tokio::test]
async fn a_bad_filter_or_order_is_a_400() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for bad in [
        "status=bogus",
        "status=ACTIVE",
        "role=god",
        "online_status=busy",
        "online_status=Online",
        "ordering=password",
        "ordering=--username",
        "ordering=id;drop",
        "ordering=username,last_seen",
        "ordering=-",
        "status=%00",
    ] {
        let answer = admin.get(&format!("/api/users/admin/users/?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_is_shown_is_live_and_not_the_row() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for _ in 0..3 {
        server.advance(secs(100)).await;
        alice.beat().await;
        let page = page(&admin, "?search=alice").await;
        assert_eq!(Shown::of(&page["results"][0]), Shown::at("online", &server.now()));
        assert_eq!(page["results"][0]["is_online"], true);
    }
}

async fn page(admin: &Visitor, query: &str) -> Value {
    admin.get(&format!("/api/users/admin/users/{query}")).await.ok()
}

/// The path and query of a link, which may be whole or begin at the path.
fn follow(link: &Value) -> String {
    let link = text(link);
    match link.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map(|(_, path)| format!("/{path}")).expect("a path"),
        None => link,
    }
}
