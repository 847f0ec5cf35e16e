//! The limit of open files.

use std::fs;
use std::process::{Command, Stdio};

use presently_testkit::process::{Place, finish};

/// The same command under limits as `ulimit` takes them.
fn under(limits: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().expect("a place")).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[tokio::test]
async fn connections_that_were_asked_for_and_do_not_fit_are_refused() {
    let place = Place::new();
    let serve = place.command(&["serve", "--listen", "127.0.0.1:0", "--connections-max", "500"]);
    let ran = finish(under("ulimit -n 300", &serve), "").await;
    let why = ran.misused();
    assert!(why.contains("connections_max is 500") && why.contains("300"), "{why}");
    assert_eq!(why.lines().count(), 1, "{why}");
    assert!(!place.data().exists(), "nothing was made");
}

#[tokio::test]
async fn where_nobody_asked_they_are_lowered_and_a_line_says_so() {
    let place = Place::new();
    let server = place.serve_as(|command| *command = under("ulimit -n 300", command), &[]).await;
    let log = server.stdout();
    assert!(log.contains("connections_max=140") && log.contains("open_files_max=300"), "{log}");
}

#[tokio::test]
async fn the_limit_is_raised_as_far_as_it_goes() {
    let place = Place::new();
    let limits = "ulimit -Sn 256; ulimit -Hn 2000";
    let server = place.serve_as(|command| *command = under(limits, command), &["--connections-max", "1800"]).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(open_files.split_whitespace().nth(3), Some("2000"), "{open_files}");
}
