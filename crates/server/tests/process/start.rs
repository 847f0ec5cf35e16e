//! First starts, second servers, and ends.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{PASSWORD, Program, command, one_line, output};

#[tokio::test]
async fn the_first_start_makes_a_secret_and_an_admin_and_prints_the_password_once() {
    let mut program = Program::start().await;
    let secret = program.folder().join("data/secret-key");
    for file in [secret.clone(), program.database()] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let before = std::fs::read(&secret).unwrap();
    let admin = program.admin().await;
    assert!(program.stop().await.success());
    program.run().await;
    assert!(!program.printed().contains("password  "), "{}", program.printed());
    assert_eq!(std::fs::read(&secret).unwrap(), before);
    assert_eq!(program.get(&admin, "/api/auth/profile/").await.unwrap().0, 200, "tokens outlive a restart");
}

#[tokio::test]
async fn the_printed_commands_work_as_printed() {
    let program = Program::start().await;
    let script: String = program
        .printed()
        .lines()
        .filter(|line| line.starts_with("TOKEN=") || line.starts_with("curl ") || line.contains("sed -n"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut shell = std::process::Command::new("bash");
    shell.args(["-euc", &script]);
    let done = output(shell, "").await;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains("Heartbeat recorded") && text.contains("\"username\":\"admin\""), "{script}\n{text}");
}

#[tokio::test]
async fn a_second_server_in_the_same_folder_is_refused() {
    let program = Program::start().await;
    let done = output(program.command(&["--listen", "127.0.0.1:0"]), "").await;
    assert_eq!(done.status.code(), Some(1));
    assert!(one_line(&done).contains("another presently serves"), "{done:?}");
}

#[tokio::test]
async fn a_busy_port_is_one_line_and_exit_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut second = command();
    second.current_dir(folder.path()).args(["--listen", &taken.local_addr().unwrap().to_string()]);
    let done = output(second, "").await;
    assert_eq!(done.status.code(), Some(1));
    assert!(one_line(&done).contains("choose another address"), "{done:?}");
}

#[tokio::test]
async fn a_damaged_database_is_one_line_and_exit_1() {
    let mut program = Program::start().await;
    program.stop().await;
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", program.database().display()));
    }
    std::fs::write(program.database(), "this is no database, whatever its name says ".repeat(500)).unwrap();
    let done = output(program.command(&["--listen", "127.0.0.1:0"]), "").await;
    assert_eq!(done.status.code(), Some(1));
    assert!(one_line(&done).contains("presently.db"), "{done:?}");
}

#[tokio::test]
async fn a_clean_stop_keeps_last_seen_to_the_microsecond() {
    let mut program = Program::start().await;
    let admin = program.admin().await;
    let id = program.account(&admin, "alice").await;
    let (_, alice) = program.login("alice", PASSWORD).await.unwrap();
    let (_, beat) = program.post(&alice, "/api/users/heartbeat/", serde_json::json!({})).await.unwrap();
    assert!(program.stop().await.success());
    program.run().await;
    let (status, last_seen) = program.status(&admin, id).await;
    assert_eq!((status.as_str(), last_seen.as_str()), ("online", beat["last_seen"].as_str().unwrap()));
}
