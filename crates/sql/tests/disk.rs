//! What the disk does to a database, and what the stores make of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp as Moment;
use presently::store::{Batch, EvidenceBlock, Saved, Store, StoreError, TransitionRow};
use presently::{Activity, PresenceRow, Reason, SessionRow, Status, Timestamp};
use presently_accounts::store::AccountStore;
use presently_accounts::{
    AccountId, AccountStatus, Changes, NewAccount, PasswordHash, Role, StoreError as AccountStoreError,
};
use presently_sql::{OpenError, OpenOptions, SqliteStores};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;

#[tokio::test]
async fn a_new_database_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let path = folder.path().join("data/deeper/presently.db");
    let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens");
    stores.commit(&present("alice")).await.expect("commits");
    let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("data")), 0o700);
    assert_eq!(mode(&folder.path().join("data/deeper")), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
}

#[tokio::test]
async fn what_was_committed_is_there_after_closing_and_opening() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    stores.commit(&present("alice")).await.expect("commits");
    stores.insert(&account("Ada"), Moment::UNIX_EPOCH, None).await.expect("inserts");
    stores.close().await;
    assert!(!path.with_extension("db-wal").exists(), "the log was not folded into the file");
    let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens again");
    assert_eq!(known(&stores, &["alice"]).await, [true]);
    assert!(stores.account_named("ADA").await.expect("answers").is_some());
}

#[tokio::test]
async fn a_load_of_many_thousands_is_complete_whatever_the_names() {
    let (_folder, _path, stores) = open(OpenOptions::default()).await;
    let name = |n: u64| {
        presently::UserId::from(format!("{n},online,\0é,{}", "x".repeat(usize::try_from(n % 50).unwrap_or(0))))
    };
    let presence = |n| PresenceRow { user: name(n), status: Status::Away, last_seen: None, since: Timestamp(-5) };
    let session = |n| SessionRow {
        number: n,
        user: name(n),
        session: name(n + 1),
        activity: Activity::Idle,
        opened_at: Timestamp(-7),
        last_evidence: Timestamp(7),
    };
    for count in [1, 3_999, 4_000, 4_001, 8_000, 9_001] {
        let batch = Batch {
            presences: (0..count).map(presence).collect(),
            sessions: (0..count).map(session).collect(),
            ..Batch::default()
        };
        stores.commit(&batch).await.expect("commits");
        let (mut presences, mut sessions) = (Vec::new(), Vec::new());
        stores
            .load(&mut |saved| match saved {
                Saved::Presence(row) => presences.push(row),
                Saved::Session(row) => sessions.push(row),
                other => panic!("{other:?}"),
            })
            .await
            .expect("loads");
        let mut expected = batch.presences;
        expected.sort_by(|a, b| a.user.cmp(&b.user));
        presences.sort_by(|a, b| a.user.cmp(&b.user));
        assert!(presences == expected, "{count} presences");
        assert!(sessions == batch.sessions, "{count} sessions");
    }
}

#[tokio::test]
async fn a_closed_database_refuses_and_forgets_nothing_that_waited() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    let blocker = block(&path).await;
    let waiting: Vec<_> = (0..50).map(|n| spawn_commit(&stores, &format!("u{n}"))).collect();
    tokio::task::yield_now().await;
    let closing = tokio::spawn({
        let stores = stores.clone();
        async move { stores.close().await }
    });
    tokio::task::yield_now().await;
    release(blocker).await;
    closing.await.expect("closes");
    for waiting in waiting {
        assert_eq!(waiting.await.expect("no panic"), Ok(()));
    }
    assert!(matches!(stores.commit(&present("late")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(stores.present_after(None, 1).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(stores.newest_change().await, Err(AccountStoreError::Unavailable(_))));
}

#[tokio::test]
async fn one_failure_in_a_group_undoes_itself_and_hurts_nobody_else() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    let audit = presently_accounts::store::AuditEntry {
        actor: None,
        action: "create".to_owned(),
        target: None,
        detail: String::new(),
        at: Moment::UNIX_EPOCH,
    };
    // While another process writes, everything that follows gathers behind the first.
    let blocker = block(&path).await;
    let first = spawn_commit(&stores, "first");
    tokio::task::yield_now().await;
    let insert = |name: &'static str| {
        let (stores, audit) = (stores.clone(), audit.clone());
        tokio::spawn(async move { stores.insert(&account(name), Moment::UNIX_EPOCH, Some(&audit)).await })
    };
    let ada = insert("Ada");
    let twin = insert("ADA");
    let nobody = tokio::spawn({
        let (stores, audit) = (stores.clone(), audit.clone());
        async move { stores.update(AccountId(999), &Changes::default(), Moment::UNIX_EPOCH, Some(&audit)).await }
    });
    let last = spawn_commit(&stores, "last");
    let bob = insert("Bob");
    tokio::task::yield_now().await;
    release(blocker).await;

    assert_eq!(first.await.expect("no panic"), Ok(()));
    assert!(ada.await.expect("no panic").is_ok());
    assert_eq!(twin.await.expect("no panic"), Err(AccountStoreError::UsernameTaken));
    assert_eq!(nobody.await.expect("no panic"), Err(AccountStoreError::NotFound));
    assert_eq!(last.await.expect("no panic"), Ok(()));
    assert!(bob.await.expect("no panic").is_ok());
    assert_eq!(known(&stores, &["first", "last"]).await, [true, true]);
    assert_eq!(stores.audit_page(None, 10).await.expect("answers").len(), 2, "a failed operation left a line");
}

#[tokio::test]
async fn a_full_disk_fails_the_whole_group_and_heals_without_a_restart() {
    let (_folder, path, stores) = open(OpenOptions { pages_max: Some(300), ..OpenOptions::default() }).await;
    stores.commit(&history("alice", 5_000)).await.expect("there is room");
    let blocker = block(&path).await;
    let first = spawn_commit(&stores, "first");
    tokio::task::yield_now().await;
    let small = spawn_commit(&stores, "small");
    let big = tokio::spawn({
        let stores = stores.clone();
        async move { stores.commit(&history("bob", 20_000)).await }
    });
    tokio::task::yield_now().await;
    release(blocker).await;
    assert_eq!(first.await.expect("no panic"), Ok(()));
    assert!(matches!(small.await.expect("no panic"), Err(StoreError::Unwritable(_))));
    assert!(matches!(big.await.expect("no panic"), Err(StoreError::Unwritable(_))));
    assert_eq!(known(&stores, &["first", "small", "bob"]).await, [true, false, false]);
    // Reading goes on, and so does what has room.
    stores.commit(&present("small")).await.expect("one row has room");
    fill(&stores).await;
    let ada = NewAccount { email: "e".repeat(50_000), ..account("Ada") };
    let refused = stores.insert(&ada, Moment::UNIX_EPOCH, None).await.expect_err("no room");
    assert!(refused.to_string().contains("cannot be written: database or disk is full"), "{refused}");
    // Somebody makes room.
    let mut person = raw(&path).await;
    sqlx::query("DELETE FROM transitions").execute(&mut person).await.expect("deletes");
    stores.commit(&present("bob")).await.expect("there is room again");
    stores.probe().await.expect("healthy");
}

#[tokio::test]
async fn a_lock_of_another_process_is_unavailable_and_passes() {
    let (_folder, path, stores) = open(impatient()).await;
    stores.commit(&present("alice")).await.expect("commits");
    let blocker = block(&path).await;
    assert!(matches!(stores.commit(&present("bob")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(stores.probe().await, Err(StoreError::Unavailable(_))));
    assert_eq!(known(&stores, &["alice", "bob"]).await, [true, false], "reading goes on meanwhile");
    let refused = SqliteStores::open(&path, impatient()).await.expect_err("locked");
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
    a_sentence(&refused, &path);
    release(blocker).await;
    stores.commit(&present("bob")).await.expect("commits");
    SqliteStores::open(&path, impatient()).await.expect("opens");
}

#[tokio::test]
async fn the_answer_of_a_probe_holds_for_a_second() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    for _ in 0..100 {
        stores.probe().await.expect("healthy");
    }
    let mut person = raw(&path).await;
    let written: i64 = sqlx::query_scalar("SELECT written FROM probe").fetch_one(&mut person).await.expect("one row");
    assert!((1..=5).contains(&written), "{written} writes");
}

#[tokio::test(start_paused = true)]
async fn callers_beyond_the_bound_are_told_after_a_while() {
    let (_folder, path, stores) =
        open(OpenOptions { busy_timeout: Duration::from_mins(1), ..OpenOptions::default() }).await;
    let blocker = block(&path).await;
    let callers: Vec<_> = (0..3_000).map(|n| spawn_commit(&stores, &format!("u{n}"))).collect();
    // Time passes only while nothing else can happen: the places are taken by then.
    tokio::time::sleep(Duration::from_secs(6)).await;
    release(blocker).await;
    let (mut kept, mut refused) = (0, 0);
    for caller in callers {
        match caller.await.expect("no panic") {
            Ok(()) => kept += 1,
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((1_024..=2_049).contains(&kept), "{kept} were kept");
    assert_eq!(kept + refused, 3_000);
}

#[tokio::test]
async fn garbage_is_no_database() {
    let folder = folder();
    let path = folder.path().join("presently.db");
    std::fs::write(&path, b"this was never a database, whatever its name says; ".repeat(200)).expect("writes");
    let refused = SqliteStores::open(&path, impatient()).await.expect_err("garbage");
    assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused:?}");
    a_sentence(&refused, &path);
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("presently.db");
    let mut person =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.expect("opens");
    sqlx::query("CREATE TABLE users (name TEXT)").execute(&mut person).await.expect("creates");
    person.close().await.expect("closes");
    let refused = SqliteStores::open(&path, impatient()).await.expect_err("not ours");
    assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused:?}");
    a_sentence(&refused, &path);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    stores.close().await;
    let mut person = raw(&path).await;
    sqlx::query("PRAGMA user_version = 99").execute(&mut person).await.expect("sets");
    person.close().await.expect("closes");
    let refused = SqliteStores::open(&path, impatient()).await.expect_err("too new");
    assert!(matches!(refused, OpenError::TooNew { found: 99, .. }), "{refused:?}");
    a_sentence(&refused, &path);
}

#[tokio::test]
async fn of_accounts_with_one_address_from_before_the_oldest_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("presently.db");
    let mut before =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.expect("a file");
    for migration in [
        include_str!("../migrations/sqlite/0001_first.sql"),
        include_str!("../migrations/sqlite/0002_veils.sql"),
        include_str!("../migrations/sqlite/0003_api_keys.sql"),
        "PRAGMA user_version = 3; PRAGMA application_id = 1347572558",
        "INSERT INTO users (username, username_key, email, password_hash, first_name, last_name, bio, role, status,
             is_active, is_staff, email_verified, is_approved, created_at, updated_at, search_key)
         SELECT column1, column1, column2, '$', '', '', '', 'user', 'active', 1, 0, 0, 1, 0, 0,
             column1 || char(10) || column3 || char(10) || char(10)
         FROM (VALUES ('a', 'Büro@example.org', 'büro@example.org'), ('b', 'BÜRO@EXAMPLE.ORG', 'büro@example.org'),
             ('c', '', ''), ('d', '', ''))",
    ] {
        sqlx::raw_sql(migration).execute(&mut before).await.expect("as the program before wrote it");
    }
    before.close().await.expect("it is closed");
    let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("it is taken over");
    let now = Moment::UNIX_EPOCH;
    let named = async |name| stores.account_named(name).await.expect("it answers").expect("it is there");
    let (first, second, third) = (named("a").await, named("b").await, named("c").await);
    let to = |email: &str| Changes { email: Some(email.to_owned()), bio: Some("x".to_owned()), ..Changes::default() };
    let refused = stores.update(third.id, &to("bÜro@example.org"), now, None).await;
    assert_eq!(refused, Err(AccountStoreError::EmailTaken));
    let kept = stores.update(second.id, &to("BÜRO@EXAMPLE.ORG"), now, None).await.expect("it stays as it was");
    assert_eq!((kept.email, kept.bio), (second.email, "x".to_owned()));
    stores.update(second.id, &to(""), now, None).await.expect("it is given up");
    assert_eq!(stores.update(second.id, &to(&first.email), now, None).await, Err(AccountStoreError::EmailTaken));
    stores.close().await;
}

#[tokio::test]
async fn a_damaged_page_is_damage_and_heals_when_it_is_restored() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    stores.commit(&history("alice", 5_000)).await.expect("commits");
    stores.close().await;
    let whole = std::fs::read(&path).expect("reads");
    let mut person = raw(&path).await;
    let roots: Vec<i64> =
        sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE tbl_name IN ('presence', 'users')")
            .fetch_all(&mut person)
            .await
            .expect("answers");
    person.close().await.expect("closes");
    let mut damaged = whole.clone();
    for root in roots.into_iter().filter(|root| *root > 0) {
        let page = usize::try_from(root).expect("a small number");
        damaged[(page - 1) * 4_096..page * 4_096].fill(0xa5);
    }
    std::fs::write(&path, damaged).expect("writes");
    let stores = SqliteStores::open(&path, impatient()).await.expect("the schema is whole");
    assert!(matches!(stores.commit(&present("bob")).await, Err(StoreError::Damaged(_))));
    assert!(matches!(stores.load(&mut |_| {}).await, Err(StoreError::Damaged(_))));
    let refused = stores.account_named("ada").await.expect_err("damaged");
    assert!(matches!(&refused, AccountStoreError::Unavailable(why) if why.starts_with("it is damaged")), "{refused}");
    stores.close().await;
    std::fs::write(&path, whole).expect("writes");
    let stores = SqliteStores::open(&path, impatient()).await.expect("opens");
    stores.commit(&present("bob")).await.expect("commits");
}

#[tokio::test]
async fn a_database_without_its_second_half_is_no_database() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    stores.close().await;
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[4_096..].fill(0);
    std::fs::write(&path, bytes).expect("writes");
    let refused = SqliteStores::open(&path, impatient()).await.expect_err("damaged");
    assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused:?}");
    a_sentence(&refused, &path);
}

#[tokio::test]
async fn a_database_cut_off_in_its_first_page_is_no_database_and_no_new_one() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    stores.close().await;
    let whole = std::fs::read(&path).expect("reads");
    for bytes in [1, 100, 512, 2_048, 4_095] {
        std::fs::write(&path, &whole[..bytes]).expect("writes");
        let refused = SqliteStores::open(&path, impatient()).await.expect_err("cut off");
        assert!(matches!(refused, OpenError::NotADatabase { .. }), "{bytes}: {refused:?}");
        a_sentence(&refused, &path);
        assert_eq!(std::fs::read(&path).expect("reads"), &whole[..bytes], "nothing is written over what is left");
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_database() {
    let folder = folder();
    let path = folder.path().join("presently.db");
    std::fs::write(&path, "").expect("writes");
    SqliteStores::open(&path, impatient()).await.expect("opens").close().await;
}

#[tokio::test]
async fn a_closed_database_is_one_file() {
    for _ in 0..20 {
        let (folder, _path, stores) = open(OpenOptions::default()).await;
        stores.account_named("nobody").await.expect("a connection that reads");
        stores.close().await;
        let files = std::fs::read_dir(folder.path()).expect("reads");
        let files: Vec<_> = files.map(|entry| entry.expect("reads").file_name()).collect();
        assert_eq!(files, ["presently.db"], "the log is in it");
    }
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_is_said_so() {
    let folder = folder();
    let path = folder.path().join("presently.db");
    std::fs::create_dir(&path).expect("creates");
    let refused = SqliteStores::open(&path, impatient()).await.expect_err("a folder");
    assert!(matches!(refused, OpenError::Io { .. }), "{refused:?}");
    a_sentence(&refused, &path);
}

#[tokio::test]
async fn what_a_person_changes_by_hand_is_a_change() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    let ada = stores.insert(&account("Ada"), Moment::UNIX_EPOCH, None).await.expect("inserts");
    let before = stores.newest_change().await.expect("answers");
    let mut person = raw(&path).await;
    sqlx::query("UPDATE users SET status = 'banned' WHERE username = 'Ada'").execute(&mut person).await.expect("bans");
    let (after, whose) = stores.changes_after(before).await.expect("answers");
    assert!(after > before);
    assert_eq!(whose, [ada.id]);
    assert_eq!(stores.barred().await.expect("answers"), [ada.id]);
}

#[tokio::test]
async fn a_password_that_is_hashed_anew_is_no_change() {
    let (_folder, _path, stores) = open(OpenOptions::default()).await;
    let ada = stores.insert(&account("Ada"), Moment::UNIX_EPOCH, None).await.expect("inserts");
    let before = stores.newest_change().await.expect("answers");
    let new = PasswordHash("stronger".to_owned());
    assert_eq!(stores.replace_password(ada.id, &ada.password, &new).await, Ok(true));
    assert_eq!(stores.newest_change().await, Ok(before));
}

#[tokio::test]
async fn other_programs_read_presence_in_words_and_times() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    stores.commit(&present("alice")).await.expect("commits");
    let mut person = raw(&path).await;
    let row: (String, String, String, String) =
        sqlx::query_as("SELECT user_id, online_status, last_seen, since FROM presence_readable")
            .fetch_one(&mut person)
            .await
            .expect("one row");
    let time = "2025-11-24T16:00:00.000001Z".to_owned();
    assert_eq!(row, ("alice".to_owned(), "online".to_owned(), time.clone(), time));
}

#[tokio::test]
async fn the_log_does_not_grow_with_time() {
    let (_folder, path, stores) = open(OpenOptions::default()).await;
    for second in 0..300 {
        let block = EvidenceBlock { at: Timestamp(second), packed: vec![7; 100_000] };
        stores.append_evidence(&block, Timestamp(second - 60)).await.expect("appends");
    }
    let log = std::fs::metadata(path.with_extension("db-wal")).expect("is there").len();
    let file = std::fs::metadata(&path).expect("is there").len();
    assert!(log < 6_000_000, "the log has {log} bytes");
    assert!(file < 9_000_000, "the file has {file} bytes");
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn impatient() -> OpenOptions {
    OpenOptions { busy_timeout: Duration::from_millis(50), ..OpenOptions::default() }
}

async fn open(options: OpenOptions) -> (TempDir, PathBuf, SqliteStores) {
    let folder = folder();
    let path = folder.path().join("presently.db");
    let stores = SqliteStores::open(&path, options).await.expect("a new database opens");
    (folder, path, stores)
}

/// A connection as another program has it.
async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.expect("opens")
}

/// Another process that has begun to write.
async fn block(path: &Path) -> SqliteConnection {
    let mut connection = raw(path).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.expect("begins");
    connection
}

async fn release(mut blocker: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut blocker).await.expect("ends");
}

fn spawn_commit(stores: &SqliteStores, user: &str) -> tokio::task::JoinHandle<Result<(), StoreError>> {
    let (stores, batch) = (stores.clone(), present(user));
    tokio::spawn(async move { stores.commit(&batch).await })
}

/// Until not even a small row has room.
async fn fill(stores: &SqliteStores) {
    for n in (0..13).rev() {
        while stores.commit(&history("filler", 1 << n)).await.is_ok() {}
    }
}

async fn known(stores: &SqliteStores, users: &[&str]) -> Vec<bool> {
    let users: Vec<presently::UserId> = users.iter().map(|user| (*user).into()).collect();
    stores.presences(&users).await.expect("answers").iter().map(Option::is_some).collect()
}

fn present(user: &str) -> Batch {
    let now = Timestamp(1_764_000_000_000_001);
    let row = PresenceRow { user: user.into(), status: Status::Online, last_seen: Some(now), since: now };
    Batch { presences: vec![row], ..Batch::default() }
}

fn history(user: &str, lines: i64) -> Batch {
    let line = |n| TransitionRow {
        user: user.into(),
        from: Status::Offline,
        to: Status::Online,
        at: Timestamp(n),
        last_seen: Some(Timestamp(n)),
        reason: Reason::Evidence,
        audience: presently::store::Audience::Everybody,
    };
    Batch { transitions: (0..lines).map(line).collect(), ..present(user) }
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

/// One line that names the file.
fn a_sentence(error: &OpenError, path: &Path) {
    let text = error.to_string();
    assert!(text.contains(&*path.to_string_lossy()), "{text}");
    assert!(!text.contains('\n') && text.len() > path.as_os_str().len() + 10, "{text}");
}
