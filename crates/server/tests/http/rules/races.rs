//! Many at once: one truth on all surfaces afterwards.

use std::future::IntoFuture;

use presently_accounts::{AccountStatus, Draft, Role};
use presently_testkit::http::{Answer, Call, TestServer, Visitor, draft, text};
use presently_testkit::{PASSWORD, secs};
use serde_json::json;

#[tokio::test]
async fn a_hundred_logins_of_one_user_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let login = json!({"username": "alice", "password": PASSWORD});
    let answers = all_at_once((0..100).map(|_| server.post("/api/auth/login/").json(login.clone()))).await;
    let mut tokens = Vec::new();
    for answer in answers {
        // Who cannot be served now is told when to come back; everybody else is in.
        if answer.status == 503 {
            continue;
        }
        let told = answer.ok();
        assert_eq!(told["user"]["online_status"], "online");
        tokens.push(text(&told["tokens"]["access"]));
    }
    assert!(tokens.len() >= 10, "{} got in", tokens.len());
    assert_eq!(server.shown(&admin, id).await.status, "online");
    assert_eq!(server.history(id).await, ["offline->online"]);
    let last = tokens.pop().unwrap();
    all_at_once(tokens.iter().map(|token| server.post("/api/auth/logout/").bearer(token))).await;
    assert_eq!(server.shown(&admin, id).await.status, "online", "one is left");
    server.post("/api/auth/logout/").bearer(&last).await.ok();
    assert_eq!(server.shown(&admin, id).await.status, "offline");
    assert_eq!(server.history(id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_hundred_heartbeats_of_one_user_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(500)).await;
    let answers = all_at_once((0..100).map(|n| {
        let activity = if n % 2 == 0 { "active" } else { "idle" };
        alice.post("/api/users/heartbeat/").json(json!({"session": format!("tab-{}", n % 7), "activity": activity}))
    }))
    .await;
    answers.iter().for_each(|answer| drop(answer.ok()));
    let shown = server.shown(&admin, alice.id).await;
    assert_eq!(shown.last_seen, Some(server.now()));
    assert_ne!(shown.status, "offline");
    alternates(&server.history(alice.id).await);
}

#[tokio::test]
async fn a_hundred_logouts_of_one_session_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let answers = all_at_once((0..100).map(|_| alice.post("/api/auth/logout/"))).await;
    assert!(answers.iter().any(|answer| answer.status == 200));
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.problem(401, "token_not_valid");
    }
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    assert_eq!(server.history(alice.id).await, ["offline->online", "online->offline"]);
}

#[tokio::test]
async fn a_logout_among_heartbeats_leaves_no_ghost() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("alice").await;
    for round in 0..10 {
        let alice = server.login("alice").await;
        let calls = (0..41).map(|n| match n {
            20 => alice.post("/api/auth/logout/"),
            n if n % 3 == 0 => alice.get("/api/auth/profile/"),
            n if n % 3 == 1 => alice.post("/api/users/heartbeat/").json(json!({"session": format!("tab-{n}")})),
            _ => alice.post("/api/users/heartbeat/"),
        });
        let answers = all_at_once(calls).await;
        answers[20].ok();
        for answer in &answers {
            assert!(answer.status == 200 || answer.status == 401, "{}", answer.text);
        }
        assert_eq!(server.shown(&admin, alice.id).await.status, "offline", "round {round}");
        server.advance(secs(1)).await;
        assert_eq!(server.shown(&admin, alice.id).await.status, "offline", "round {round}");
        alice.is_shut_out().await;
    }
    alternates(&server.history(server.login("alice").await.id).await);
}

#[tokio::test]
async fn an_admins_act_among_heartbeats_leaves_no_ghost() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    for act in ["force-logout", "suspend", "ban", "deactivate"] {
        for round in 0..3 {
            server.advance(secs(2)).await;
            let alice = server.login("alice").await;
            let foreign = server.foreign(id, "alice");
            let about = format!("/api/users/admin/users/{id}/");
            let calls = (0..41).map(|n| match n {
                20 if act == "deactivate" => admin.patch(&about).json(json!({"is_active": false})),
                20 => admin.post(&format!("{about}{act}/")),
                n if n % 2 == 0 => foreign.post("/api/users/heartbeat/"),
                _ => alice.post("/api/users/heartbeat/"),
            });
            let answers = all_at_once(calls).await;
            answers[20].ok();
            assert_eq!(server.shown(&admin, id).await.status, "offline", "{act}, round {round}");
            alice.is_shut_out().await;
            foreign.is_shut_out().await;
            assert_eq!(server.shown(&admin, id).await.status, "offline", "{act}, round {round}");
            admin.act(id, "activate").await;
            assert_eq!(server.shown(&admin, id).await.status, "offline", "{act}, round {round}");
        }
    }
}

#[tokio::test]
async fn logins_that_race_a_suspension_leave_nobody_online() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    for _ in 0..3 {
        let login = json!({"username": "alice", "password": PASSWORD});
        let calls = (0..12).map(|n| match n {
            6 => admin.post(&format!("/api/users/admin/users/{id}/suspend/")),
            _ => server.post("/api/auth/login/").json(login.clone()),
        });
        let answers = all_at_once(calls).await;
        answers[6].ok();
        assert_eq!(server.shown(&admin, id).await.status, "offline");
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let told = answer.json();
            if let Some(access) = told["tokens"]["access"].as_str() {
                server.post("/api/users/heartbeat/").bearer(access).await.problem(401, "token_not_valid");
            }
        }
        assert_eq!(server.shown(&admin, id).await.status, "offline");
        admin.act(id, "activate").await;
    }
}

#[tokio::test]
async fn everything_at_once_ends_in_one_truth() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let mut users = Vec::new();
    for n in 0..5 {
        users.push(server.visitor(&format!("user-{n}")).await);
    }
    for _ in 0..5 {
        let mut calls = Vec::new();
        for (n, user) in users.iter().enumerate() {
            for step in 0..20 {
                calls.push(match (step + n) % 6 {
                    0 => user.post("/api/users/heartbeat/"),
                    1 => user.post("/api/users/heartbeat/").json(json!({"activity": "idle"})),
                    2 => admin.set(user.id, json!({"status": "away"})),
                    3 => admin.set(user.id, json!({"status": "offline", "expires_in": 30})),
                    4 => admin.set(user.id, json!({"status": null})),
                    _ => user.get("/api/users/admin/users/online/"),
                });
            }
        }
        all_at_once(calls).await.iter().for_each(|answer| drop(answer.ok()));
        for user in &users {
            let shown = server.shown(&admin, user.id).await;
            assert_eq!(user.own().await, shown);
            alternates(&server.history(user.id).await);
        }
        server.advance(secs(31)).await;
    }
    server.advance(secs(200)).await;
    for user in &users {
        assert_eq!(server.shown(&admin, user.id).await.status, "offline", "no ghosts");
        alternates(&server.history(user.id).await);
    }
}

#[tokio::test]
async fn deletion_among_heartbeats_leaves_nothing() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for round in 0..5 {
        let alice = server.visitor(&format!("alice-{round}")).await;
        let path = format!("/api/users/admin/users/{}/", alice.id);
        let calls = (0..21).map(|n| if n == 10 { admin.delete(&path) } else { alice.post("/api/users/heartbeat/") });
        let answers = all_at_once(calls).await;
        answers[10].is(204);
        admin.get(&path).await.problem(404, "user_not_found");
        let online = admin.get("/api/users/admin/users/online/").await.ok();
        assert_eq!(online["count"], 1, "{online}");
        assert_eq!(server.history(alice.id).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_ban_beside_approvals_holds() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for round in 0..10 {
        let id = server.account_in(&format!("alice-{round}"), AccountStatus::Pending).await;
        let about = format!("/api/users/admin/users/{id}/");
        let calls = (0..9).map(|n| admin.post(&format!("{about}{}/", if n == 4 { "ban" } else { "approve" })));
        let answers = all_at_once(calls).await;
        answers[4].ok();
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            answer.problem(409, "not_pending");
        }
        assert_eq!(admin.get(&about).await.ok()["status"], "banned", "round {round}");
        server.advance(secs(2)).await;
        server.foreign(id, "alice").post("/api/users/heartbeat/").await.problem(403, "account_not_active");
    }
}

#[tokio::test]
async fn two_admins_who_try_it_on_each_other_at_once_leave_one() {
    let server = TestServer::start().await;
    let mut one = server.admin().await;
    let tries = ["delete", "suspend", "ban", "demote", "deactivate"];
    for (round, what) in tries.iter().cycle().take(3 * tries.len()).enumerate() {
        let name = format!("boss-{round}");
        server.account_with(Draft { role: Role::Admin, ..draft(&name) }).await;
        let other = server.login(&name).await;
        let on = |by: &Visitor, id: i64| {
            let about = format!("/api/users/admin/users/{id}/");
            match *what {
                "delete" => by.delete(&about),
                "demote" => by.patch(&about).json(json!({"role": "user"})),
                "deactivate" => by.patch(&about).json(json!({"is_active": false})),
                act => by.post(&format!("{about}{act}/")),
            }
        };
        let answers = all_at_once([on(&one, other.id), on(&other, one.id)]).await;
        let done = answers.iter().filter(|answer| answer.status < 300).count();
        assert_eq!(done, 1, "{what}: {answers:?}");
        // Who came too late is refused for what they are by then, or for what would be left.
        let refused = answers.iter().find(|answer| answer.status >= 300).map(|answer| answer.status);
        assert!(matches!(refused, Some(401 | 403 | 409)), "{what}: {answers:?}");
        let left = if answers[0].status < 300 { one.clone() } else { other };
        left.get("/api/users/admin/users/").await.ok();
        one = left;
    }
}

/// Sends all of them before it waits for any.
async fn all_at_once(calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    let sent: Vec<_> = calls.into_iter().map(|call| tokio::spawn(call.into_future())).collect();
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.unwrap());
    }
    answers
}

/// Each change begins where the one before ended: nothing was announced twice, nothing was left out.
#[track_caller]
fn alternates(history: &[String]) {
    let mut status = "offline";
    for change in history {
        let (from, to) = change.split_once("->").unwrap();
        assert_eq!(from, status, "{history:?}");
        assert_ne!(from, to, "{history:?}");
        status = to;
    }
}
