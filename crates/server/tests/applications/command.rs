//! `presently key …`, beside a running server.

use std::process::Command;

use presently_testkit::http::TestServer;
use serde_json::Value;

use crate::helpers::{Application, database, is_refused_within_a_second};

/// What the program said.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn fine(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn failed(&self, code: i32) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
    }
}

fn presently(server: &TestServer, arguments: &[&str]) -> Said {
    let output = Command::new(presently_testkit::process::program())
        .args(arguments)
        .arg("--database-url")
        .arg(format!("sqlite:{}", database(server).display()))
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn a_key_is_alone_on_stdout_and_good_in_the_running_server_until_it_is_revoked() {
    let server = TestServer::start().await;
    let made = presently(&server, &["key", "create", "billing"]).fine();
    let key = made.stdout.strip_suffix('\n').unwrap();
    assert!(key.starts_with("presently_") && key.len() == 59, "{key:?}");
    assert_eq!(made.stderr.lines().count(), 1, "{}", made.stderr);
    assert!(!made.stderr.contains(key), "shown once");
    let application = Application { id: 1, key: key.to_owned() };
    application.touch(&server, vec![]).await;

    let revoked = presently(&server, &["key", "revoke", "billing"]).fine();
    assert!(revoked.stdout.contains("billing") && revoked.stderr.is_empty(), "{}", revoked.stdout);
    is_refused_within_a_second(&server, &application).await;
}

#[tokio::test]
async fn keys_are_listed_for_people_and_for_programs() {
    let server = TestServer::start().await;
    assert_eq!(presently(&server, &["key", "list", "--json"]).fine().stdout, "");
    let keys: Vec<_> = ["a", "b c"].map(|name| presently(&server, &["key", "create", name]).fine().stdout).into();
    presently(&server, &["key", "revoke", "a"]).fine();
    let people = presently(&server, &["key", "list"]).fine().stdout;
    assert_eq!(people.lines().count(), 3, "{people}");
    let programs = presently(&server, &["key", "list", "--json"]).fine().stdout;
    let lines: Vec<Value> = programs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines.iter().map(|key| (key["name"].as_str().unwrap(), key["revoked_at"].is_null())).collect();
    assert_eq!(seen, [("b c", true), ("a", false)]);
    for key in keys {
        assert!(!people.contains(key.trim()) && !programs.contains(key.trim()));
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_one_line_and_exit_code_1() {
    let server = TestServer::start().await;
    presently(&server, &["key", "create", "billing"]).fine();
    for arguments in [&["key", "create", "billing"], &["key", "create", " "], &["key", "revoke", "shop"]] {
        let said = presently(&server, arguments);
        said.failed(1);
        assert_eq!(said.stderr.lines().count(), 1, "{arguments:?}: {}", said.stderr);
    }
    for arguments in [&["key"][..], &["key", "create"], &["key", "revoke"], &["key", "forget", "x"]] {
        presently(&server, arguments).failed(2);
    }
}
