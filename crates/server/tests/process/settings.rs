//! Settings from flags, variables and a file, and those that do not do.

use crate::harness::{Program, command, output};

#[tokio::test]
async fn settings_that_contradict_each_other_are_exit_2() {
    for arguments in [
        &["--inactivity-timeout", "50s"][..],
        &["--heartbeat-interval", "soon"],
        &["--listen", "nowhere"],
        &["--cors-origins", "localhost"],
        &["--trusted-proxies", "everybody"],
        &["--database-url", "mysql://x"],
        &["--secret-key", "short"],
        &["--no-such-flag"],
        &["no-such-command"],
        &["--config", "missing.toml"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = command();
        program.current_dir(folder.path()).args(arguments);
        let done = output(program, "").await;
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {done:?}");
        assert!(!done.stderr.is_empty(), "{arguments:?} says why");
    }
}

#[tokio::test]
async fn flags_win_over_variables_and_variables_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("presently.toml"), "inactivity_timeout = \"1s\"\n").unwrap();
    let told = async |variable: Option<&str>, flags: &[&str]| {
        let mut program = command();
        program.current_dir(folder.path()).args(flags);
        if let Some(value) = variable {
            program.env("PRESENTLY_INACTIVITY_TIMEOUT", value);
        }
        let done = output(program, "").await;
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    assert!(told(None, &[]).await.contains("(1s)"), "the file is read");
    assert!(told(Some("2s"), &[]).await.contains("(2s)"), "a variable wins over it");
    assert!(told(Some("2s"), &["--inactivity-timeout", "3s"]).await.contains("(3s)"), "a flag wins over both");
}

#[tokio::test]
async fn a_file_with_a_key_nobody_knows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("presently.toml"), "inactivity_timout = \"120s\"\n").unwrap();
    let mut program = command();
    program.current_dir(folder.path());
    let done = output(program, "").await;
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("inactivity_timout"), "{done:?}");
}

#[tokio::test]
async fn help_teaches() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["user", "--help"], &["user", "create", "--help"]] {
        let mut program = command();
        program.args(arguments);
        let done = output(program, "").await;
        assert!(done.status.success(), "{arguments:?}");
        assert!(String::from_utf8_lossy(&done.stdout).contains("--help"), "{arguments:?}");
    }
}

#[tokio::test]
async fn logs_in_json_are_one_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = command();
    program.current_dir(folder.path()).args(["--log-format", "json", "--listen", "127.0.0.1:0"]);
    let mut child = program.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let found = std::io::BufRead::lines(lines).map_while(Result::ok).find(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        line["message"] == "listening" && line["admin_password"].is_string()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found.is_some());
}

#[tokio::test]
async fn registration_can_be_opened() {
    let program =
        Program::start_with(&["--registration", "open", "--inactivity-timeout", "3", "--heartbeat-interval", "1"])
            .await;
    let body = serde_json::json!({"username": "newcomer", "password": "correct horse battery"});
    assert_eq!(program.post("", "/api/auth/register/", body).await.unwrap().0, 201);
}
