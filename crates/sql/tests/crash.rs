//! Several processes on one database, and processes that die.
//!
//! A test here starts this very program again to run one of the ignored tests as a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use jiff::Timestamp as Moment;
use presently::store::{Batch, EvidenceBlock, Saved, Store};
use presently::{PresenceRow, Status, Timestamp};
use presently_accounts::store::AccountStore;
use presently_accounts::{AccountStatus, NewAccount, PasswordHash, Role};
use presently_sql::{OpenError, OpenOptions, SqliteStores};

/// Where the other process finds the database.
const DATABASE: &str = "PRESENTLY_TEST_DATABASE";
/// Before each line that is for the test.
const MARK: &str = "@ ";

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("presently.db");
    for round in 1..=3 {
        let mut child = start(&myself(), "writes_until_it_is_killed", &path);
        let mut acknowledged = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(word) = line.strip_prefix(MARK) {
                acknowledged.push(word.to_owned());
            }
            if acknowledged.len() == 300 {
                child.kill().expect("kills");
            }
        }
        child.wait().expect("ends");
        assert!(acknowledged.len() >= 300, "it died by itself after {} lines", acknowledged.len());

        let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens");
        let mut blocks = std::collections::HashSet::new();
        stores
            .load(&mut |saved| {
                if let Saved::Evidence(block) = saved {
                    blocks.insert(block.at.0);
                }
            })
            .await
            .expect("loads");
        for word in &acknowledged {
            let is_there = match word.split_once('-').expect("a kind and a number") {
                ("presence", _) => stores.presences(&[word.as_str().into()]).await.expect("answers")[0].is_some(),
                ("account", _) => stores.account_named(word).await.expect("answers").is_some(),
                (_, number) => blocks.contains(&number.parse().expect("a number")),
            };
            assert!(is_there, "round {round}: {word} was acknowledged and is gone");
        }
        stores.close().await;
    }
}

#[tokio::test]
#[ignore = "a process of another test"]
async fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens");
    let first = i64::from(std::process::id()) * 1_000_000;
    let writers = ["presence", "account", "evidence"].map(|kind| {
        let stores = stores.clone();
        tokio::spawn(async move {
            for number in first.. {
                let word = format!("{kind}-{number}");
                let at = Timestamp(number);
                match kind {
                    "presence" => {
                        let user = word.as_str().into();
                        let row = PresenceRow { user, status: Status::Online, last_seen: None, since: at };
                        stores.commit(&Batch { presences: vec![row], ..Batch::default() }).await.expect("commits");
                    }
                    "account" => {
                        stores.insert(&account(&word), Moment::UNIX_EPOCH, None).await.expect("inserts");
                    }
                    _ => {
                        let block = EvidenceBlock { at, packed: vec![9; 9_000] };
                        stores.append_evidence(&block, Timestamp(0)).await.expect("appends");
                    }
                }
                say(&word);
            }
        })
    });
    for writer in writers {
        writer.await.expect("writes on");
    }
}

#[tokio::test]
async fn processes_that_start_at_once_all_find_the_schema() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/presently.db");
        let children: Vec<Child> = (0..4).map(|_| start(&myself(), "makes_an_account", &path)).collect();
        for child in children {
            assert_eq!(told(child), ["made"]);
        }
        let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens");
        let (_, whose) = stores.changes_after(0).await.expect("answers");
        assert_eq!(whose.len(), 4);
    }
}

#[tokio::test]
#[ignore = "a process of another test"]
async fn makes_an_account() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens");
    let name = format!("user-{}", std::process::id());
    stores.insert(&account(&name), Moment::UNIX_EPOCH, None).await.expect("inserts");
    say("made");
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = for_everybody(folder.path());
    let data = folder.path().join("data");
    let path = data.join("presently.db");
    let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens");
    stores.close().await;
    for (file, around) in [(0o444, 0o777), (0o444, 0o555), (0o666, 0o555)] {
        chmod(&path, file);
        chmod(&data, around);
        let child = start(&program, "opens_what_it_may_not_write", &path);
        let expected = format!("read only, {}", path.display());
        assert_eq!(told(child), [expected], "file {file:o} in a folder {around:o}");
    }
    // A folder in which nothing can be made.
    let child = start(&program, "opens_what_it_may_not_write", &data.join("new.db"));
    assert_eq!(told(child), [format!("read only, {}", data.join("new.db").display())]);
    chmod(&data, 0o700);
    chmod(&path, 0o600);
    SqliteStores::open(&path, OpenOptions::default()).await.expect("opens again");
}

#[tokio::test]
#[ignore = "a process of another test"]
async fn opens_what_it_may_not_write() {
    let Some(path) = std::env::var_os(DATABASE).map(PathBuf::from) else { return };
    match SqliteStores::open(&path, OpenOptions::default()).await {
        Err(OpenError::ReadOnly { path, .. }) => say(&format!("read only, {}", path.display())),
        other => say(&format!("{other:?}")),
    }
}

fn myself() -> PathBuf {
    std::env::current_exe().expect("its own path")
}

/// Runs one of the ignored tests in a process, as nobody when this one may do everything and the program lies where nobody can reach it.
fn start(program: &Path, test: &str, database: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(DATABASE, database);
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if is_root && program != myself() {
        command.uid(65_534).gid(65_534);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts")
}

/// What the process said.
fn told(child: Child) -> Vec<String> {
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| Some(line.split_once(MARK)?.1.to_owned())).collect()
}

/// A copy of this program that every user may run.
fn for_everybody(folder: &Path) -> PathBuf {
    chmod(folder, 0o755);
    let copy = folder.join("program");
    std::fs::copy(myself(), &copy).expect("copies");
    chmod(&copy, 0o755);
    copy
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changes the mode");
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{MARK}{word}").and_then(|()| out.flush()).expect("writes");
}

fn account(name: &str) -> NewAccount {
    NewAccount {
        username: name.to_owned(),
        email: String::new(),
        password: PasswordHash("hash".to_owned()),
        first_name: String::new(),
        last_name: String::new(),
        role: Role::User,
        status: AccountStatus::Active,
        is_staff: false,
        email_verified: false,
        is_approved: true,
    }
}
