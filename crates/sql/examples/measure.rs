//! What the stores cost: `cargo run --release -p presently-sql --example measure [folder]`.
//!
//! Run it on the kind of disk that will carry the database. Figures are medians where several runs are made.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp as Moment;
use presently::store::{Batch, EvidenceBlock, Saved, Store, TransitionRow};
use presently::{Activity, PresenceRow, Reason, SessionRow, Status, Timestamp};
use presently_accounts::store::{AccountStore, Live, Ordering, PageQuery};
use presently_accounts::{AccountId, AccountStatus, NewAccount, PasswordHash, Role};
use presently_sql::{OpenOptions, SqliteStores};
use tokio::time::Instant;

const START: i64 = 1_764_000_000_000_000;
const SECOND: i64 = 1_000_000;
const BEATS: usize = 33_000;
const USERS: usize = 1_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let path = folder.join("measure.db");
    let stores = SqliteStores::open(&path, OpenOptions::default()).await?;

    let mut file = std::fs::File::create(folder.join("measure.sync"))?;
    let took = median(101, async || {
        std::io::Write::write_all(&mut file, &[1; 8_192])?;
        Ok(file.sync_data()?)
    });
    println!("disk");
    say("8 KiB written and synced, without a database", took.await?);
    println!("accounts");
    accounts(&stores).await?;
    println!("evidence, {BEATS} entries of 4 bytes a block, 120 blocks kept");
    evidence(&stores, &path).await?;
    println!("presence, {USERS} users");
    presence(&stores, &path).await?;
    println!("a restart");
    stores.close().await;
    restart(&path).await?;
    Ok(())
}

async fn accounts(stores: &SqliteStores) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let inserts = (0..10_000).map(|number| {
        let stores = stores.clone();
        tokio::spawn(async move { stores.insert(&new_account(number), Moment::UNIX_EPOCH, None).await })
    });
    for insert in inserts.collect::<Vec<_>>() {
        insert.await??;
    }
    say("insert of 10,000 accounts, all at once", began.elapsed());

    let live: Vec<Live> = (1..=10_000)
        .map(|id| Live {
            account: AccountId(id),
            online_status: if id % 3 == 0 { "away" } else { "online" },
            last_seen_us: Some(START + id),
        })
        .collect();
    let everybody = PageQuery { limit: 1_000, descending: true, ..PageQuery::default() };
    let found = PageQuery { search: Some("ser-77".to_owned()), ..everybody.clone() };
    let seen = PageQuery { ordering: Ordering::LastSeen, live: live.clone(), ..everybody.clone() };
    let ranked = PageQuery { ordering: Ordering::OnlineStatus, live: live.clone(), ..everybody.clone() };
    let away = PageQuery { online_status: Some("away"), live, ..everybody.clone() };
    for (what, query) in [
        ("page of 1,000 from 10,000, default order", &everybody),
        ("  with a search", &found),
        ("  by last seen, 10,000 live", &seen),
        ("  by online status, 10,000 live", &ranked),
        ("  away only, 10,000 live", &away),
    ] {
        let took = median(21, async || {
            stores.page(query).await?;
            Ok(())
        });
        say(what, took.await?);
    }
    let took = median(101, async || {
        stores.newest_change().await?;
        Ok(())
    });
    say("newest change", took.await?);
    Ok(())
}

async fn evidence(stores: &SqliteStores, path: &Path) -> Result<(), Box<dyn Error>> {
    let block = |second: i64| {
        let mut noise = second.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let packed = std::iter::repeat_with(|| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise.to_le_bytes()[3]
        });
        EvidenceBlock { at: Timestamp(START + second * SECOND), packed: packed.take(BEATS * 4).collect() }
    };
    let keep_from = |second: i64| Timestamp(START + (second - 119) * SECOND);
    for second in 0..150 {
        stores.append_evidence(&block(second), keep_from(second)).await?;
    }
    let (mut times, written) = (Vec::new(), disk_writes());
    for second in 150..450 {
        let block = block(second);
        let began = Instant::now();
        stores.append_evidence(&block, keep_from(second)).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    say("a block, median", times[times.len() / 2]);
    say("a block, the slowest of 300 (checkpoint)", times[times.len() - 1]);
    let a_block = (disk_writes() - written) / 300;
    let entry = per(a_block, BEATS);
    println!("  {:<52} {a_block:>9} B, {entry:.2} B an entry", "written a block, log and checkpoint");
    println!("  {:<52} {:>9} B", "log file", std::fs::metadata(path.with_extension("db-wal"))?.len());
    stores.append_evidence(&block(1_000), keep_from(1_000)).await?;
    Ok(())
}

async fn presence(stores: &SqliteStores, path: &Path) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    for first in (0..USERS).step_by(BEATS) {
        let numbers = first..USERS.min(first + BEATS);
        let batch = Batch {
            presences: numbers.clone().map(|number| row(number, Status::Online, 0)).collect(),
            sessions: numbers.map(session).collect(),
            ..Batch::default()
        };
        stores.commit(&batch).await?;
    }
    say("all of them, a session each, first commit", began.elapsed());
    println!("  {:<52} {:>9} B a user", "file", std::fs::metadata(path)?.len() / USERS as u64);

    let mut second = 1;
    let written = disk_writes();
    let took = median(11, async || {
        second += 1;
        let batch = Batch {
            presences: spread(second).map(|number| row(number, Status::Online, second)).collect(),
            ..Batch::default()
        };
        stores.commit(&batch).await?;
        Ok(())
    });
    say("33,000 presences, last seen moved (scattered)", took.await?);
    println!("  {:<52} {:>9} B a row", "written", per((disk_writes() - written) / 11, BEATS));
    let took = median(11, async || {
        second += 1;
        let first = BEATS * (usize::try_from(second).unwrap_or(0) % 30);
        let batch = Batch {
            presences: (first..first + BEATS).map(|number| row(number, Status::Online, second)).collect(),
            ..Batch::default()
        };
        stores.commit(&batch).await?;
        Ok(())
    });
    say("33,000 presences, last seen moved (neighbours)", took.await?);
    let took = median(11, async || {
        second += 1;
        let transitions = spread(second).map(|number| TransitionRow {
            user: name(number),
            from: Status::Online,
            to: Status::Offline,
            at: Timestamp(START + second * SECOND),
            last_seen: None,
            audience: presently::store::Audience::Everybody,
            reason: Reason::Expired,
        });
        let batch = Batch {
            presences: spread(second).map(|number| row(number, Status::Offline, second)).collect(),
            ended_sessions: spread(second).map(|number| number as u64).collect(),
            transitions: transitions.collect(),
            ..Batch::default()
        };
        stores.commit(&batch).await?;
        Ok(())
    });
    say("33,000 users go offline: row, session, history", took.await?);
    let took = median(201, async || {
        second += 1;
        stores.commit(&Batch { presences: vec![row(7, Status::Online, second)], ..Batch::default() }).await?;
        Ok(())
    });
    say("1 presence", took.await?);
    let took = median(21, async || {
        second += 1;
        let commits = (0..1_000).map(|number| {
            let stores = stores.clone();
            let batch = Batch { presences: vec![row(number * 900, Status::Online, second)], ..Batch::default() };
            tokio::spawn(async move { stores.commit(&batch).await })
        });
        for commit in commits.collect::<Vec<_>>() {
            commit.await??;
        }
        Ok(())
    });
    say("1,000 commits of 1 presence at once", took.await?);
    let users: Vec<_> = spread(3).take(10_000).map(name).collect();
    let took = median(11, async || {
        stores.presences(&users).await?;
        Ok(())
    });
    say("10,000 presences read", took.await?);
    let took = median(11, async || {
        stores.present_after(Some(&name(500_000)), 1_000).await?;
        Ok(())
    });
    say("1,000 who are present read", took.await?);
    // Back to everybody online.
    for first in (0..USERS).step_by(BEATS) {
        let numbers = first..USERS.min(first + BEATS);
        let batch = Batch {
            presences: numbers.clone().map(|number| row(number, Status::Online, second)).collect(),
            sessions: numbers.map(session).collect(),
            ..Batch::default()
        };
        stores.commit(&batch).await?;
    }
    Ok(())
}

async fn restart(path: &Path) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let stores = SqliteStores::open(path, OpenOptions::default()).await?;
    say("open", began.elapsed());
    for _ in 0..3 {
        let (began, mut presences, mut sessions) = (Instant::now(), 0, 0);
        stores
            .load(&mut |saved| match saved {
                Saved::Presence(_) => presences += 1,
                Saved::Session(_) => sessions += 1,
                Saved::Override(_) | Saved::Held(_) | Saved::Veil(_) | Saved::Evidence(_) => {}
            })
            .await?;
        say(&format!("load of {presences} presences and {sessions} sessions"), began.elapsed());
    }
    stores.close().await;
    Ok(())
}

fn name(number: usize) -> presently::UserId {
    format!("{number}").into()
}

/// 33,000 users all over the table.
fn spread(second: i64) -> impl Iterator<Item = usize> {
    let offset = usize::try_from(second).unwrap_or(0);
    (0..BEATS).map(move |place| (place * 30 + offset % 30) % USERS)
}

fn row(number: usize, status: Status, second: i64) -> PresenceRow {
    let seen = Timestamp(START + second * SECOND + (number as i64 % SECOND));
    PresenceRow { user: name(number), status, last_seen: Some(seen), since: Timestamp(START) }
}

fn session(number: usize) -> SessionRow {
    SessionRow {
        number: number as u64,
        user: name(number),
        session: format!("{number:022}").into(),
        activity: Activity::Active,
        opened_at: Timestamp(START),
        last_evidence: Timestamp(START),
    }
}

fn new_account(number: usize) -> NewAccount {
    NewAccount {
        username: format!("user-{number}"),
        email: format!("user-{number}@example.org"),
        password: PasswordHash(
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
                .to_owned(),
        ),
        first_name: "Ada".to_owned(),
        last_name: format!("Lovelace {number}"),
        role: Role::User,
        status: AccountStatus::Active,
        is_staff: false,
        email_verified: true,
        is_approved: true,
    }
}

async fn median(
    times: usize,
    mut act: impl AsyncFnMut() -> Result<(), Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut all = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        act().await?;
        all.push(began.elapsed());
    }
    all.sort_unstable();
    Ok(all[times / 2])
}

/// What this process had the disk write so far.
fn disk_writes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn per(bytes: u64, entries: usize) -> f64 {
    bytes as f64 / entries as f64
}

fn say(what: &str, took: Duration) {
    println!("  {what:<52} {:>9.2} ms", took.as_secs_f64() * 1_000.0);
}
