//! `presently user …` beside a running server.

use std::time::Duration;

use crate::harness::{PASSWORD, Program, eventually, one_line, output};

const A_SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_account_made_on_the_command_line_signs_in() {
    let program = Program::start().await;
    let make = ["user", "create", "carol", "--email", "carol@example.com", "--role", "moderator", "--password-stdin"];
    let done = output(program.command(&make), &format!("{PASSWORD}\n")).await;
    assert!(done.status.success(), "{done:?}");
    eventually("carol signs in", A_SECOND, async || program.login("carol", PASSWORD).await).await;

    let again = output(program.command(&make), &format!("{PASSWORD}\n")).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(one_line(&again).contains("already exists"), "{again:?}");

    let list = output(program.command(&["user", "list", "--json"]), "").await;
    let lines = String::from_utf8(list.stdout).unwrap();
    let users: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(users.len(), 2);
    assert_eq!((&users[1]["username"], &users[1]["role"]), (&"carol".into(), &"moderator".into()));
    let table = output(program.command(&["user", "list"]), "").await;
    assert!(String::from_utf8_lossy(&table.stdout).contains("carol@example.com"));
}

#[tokio::test]
async fn a_new_password_holds_in_the_running_server_within_a_second() {
    let program = Program::start().await;
    let admin = program.admin().await;
    let id = program.account(&admin, "alice").await;
    let (_, alice) = program.login("alice", PASSWORD).await.unwrap();
    let set = program.command(&["user", "set-password", "alice", "--password-stdin"]);
    let done = output(set, "another horse battery\n").await;
    assert!(done.status.success(), "{done:?}");
    eventually("the old token is void", A_SECOND, async || {
        (program.get(&alice, "/api/auth/profile/").await.ok()?.0 == 401).then_some(())
    })
    .await;
    eventually("alice is offline", A_SECOND, async || (program.status(&admin, id).await.0 == "offline").then_some(()))
        .await;
    assert!(program.login("alice", PASSWORD).await.is_none());
    assert!(program.login("alice", "another horse battery").await.is_some());
}

#[tokio::test]
async fn what_cannot_be_done_is_one_line_and_exit_1() {
    let program = Program::start().await;
    let nobody = program.command(&["user", "set-password", "nobody", "--password-stdin"]);
    let done = output(nobody, "whatever it is\n").await;
    assert_eq!(done.status.code(), Some(1));
    assert!(one_line(&done).contains("there is no user \"nobody\""), "{done:?}");
    let short = output(program.command(&["user", "create", "dave", "--password-stdin"]), "short\n").await;
    assert_eq!(short.status.code(), Some(1));
    assert!(one_line(&short).contains("password"), "{short:?}");
}

#[tokio::test]
async fn a_pending_account_is_told_so_after_its_password() {
    let program = Program::start().await;
    let make = ["user", "create", "erin", "--status", "pending", "--password-stdin"];
    assert!(output(program.command(&make), &format!("{PASSWORD}\n")).await.status.success());
    let body = serde_json::json!({"username": "erin", "password": PASSWORD});
    let (status, answer) = program.post("", "/api/auth/login/", body).await.unwrap();
    assert_eq!((status, answer["code"].as_str()), (403, Some("account_pending")));
}
