//! The presence store.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use presently::store::{Audience, Batch, EvidenceBlock, NetChange, Saved, Sight, Store, StoreError, TransitionRow};
use presently::{PresenceRow, Reason, SessionNumber, Status, Timestamp, UserId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments as _, Row as _};
use tokio::time::Instant;

use super::failure::Failure;
use super::ladder::{Bound, Ladder, key, text};
use super::{SqliteStores, load};

/// An answer of the probe holds this long.
const PROBE_EVERY: Duration = Duration::from_secs(1);

static ERASE: LazyLock<[Ladder; 6]> = LazyLock::new(|| {
    ["presence", "sessions", "overrides", "held", "veils", "transitions"]
        .map(|table| Ladder::new(&format!("DELETE FROM {table} WHERE user_id IN ("), "?", ")"))
});
static PRESENCES: LazyLock<Ladder> = LazyLock::new(|| {
    Ladder::new(
        "INSERT INTO presence (user_id, online_status, last_seen, since) VALUES ",
        "(?,?,?,?)",
        " ON CONFLICT (user_id) DO UPDATE SET online_status = excluded.online_status, \
          last_seen = coalesce(excluded.last_seen, last_seen), since = excluded.since",
    )
});
static SESSIONS: LazyLock<Ladder> = LazyLock::new(|| {
    Ladder::new(
        "INSERT INTO sessions (number, user_id, session, activity, opened_at, last_evidence) VALUES ",
        "(?,?,?,?,?,?)",
        " ON CONFLICT (number) DO UPDATE SET user_id = excluded.user_id, session = excluded.session, \
          activity = excluded.activity, opened_at = excluded.opened_at, last_evidence = excluded.last_evidence",
    )
});
static ENDED_SESSIONS: LazyLock<Ladder> =
    LazyLock::new(|| Ladder::new("DELETE FROM sessions WHERE number IN (", "?", ")"));
static OVERRIDES: LazyLock<Ladder> = LazyLock::new(|| {
    Ladder::new(
        "INSERT INTO overrides (user_id, source, status, set_at, ends_at) VALUES ",
        "(?,?,?,?,?)",
        " ON CONFLICT (user_id, source) DO UPDATE SET status = excluded.status, set_at = excluded.set_at, \
          ends_at = excluded.ends_at",
    )
});
static ENDED_OVERRIDES: LazyLock<Ladder> =
    LazyLock::new(|| Ladder::new("DELETE FROM overrides WHERE (user_id, source) IN (VALUES ", "(?,?)", ")"));
static HELD: LazyLock<Ladder> = LazyLock::new(|| {
    Ladder::new(
        "INSERT INTO held (user_id, status, set_at) VALUES ",
        "(?,?,?)",
        " ON CONFLICT (user_id) DO UPDATE SET status = excluded.status, set_at = excluded.set_at",
    )
});
static ENDED_HELD: LazyLock<Ladder> = LazyLock::new(|| Ladder::new("DELETE FROM held WHERE user_id IN (", "?", ")"));
static VEILS: LazyLock<Ladder> = LazyLock::new(|| {
    Ladder::new(
        "INSERT INTO veils (user_id, invisible, at, last_seen, since, since_holds) VALUES ",
        "(?,?,?,?,?,?)",
        " ON CONFLICT (user_id) DO UPDATE SET invisible = excluded.invisible, at = excluded.at, \
          last_seen = excluded.last_seen, since = excluded.since, since_holds = excluded.since_holds",
    )
});
static ENDED_VEILS: LazyLock<Ladder> = LazyLock::new(|| Ladder::new("DELETE FROM veils WHERE user_id IN (", "?", ")"));
static TRANSITIONS: LazyLock<Ladder> = LazyLock::new(|| {
    Ladder::new(
        "INSERT INTO transitions (user_id, from_status, to_status, at, last_seen, reason, audience) VALUES ",
        "(?,?,?,?,?,?,?)",
        "",
    )
});
static PRESENCES_OF: LazyLock<Ladder> = LazyLock::new(|| {
    Ladder::new("SELECT user_id, online_status, last_seen, since FROM presence WHERE user_id IN (", "?", ")")
});

#[async_trait]
impl Store for SqliteStores {
    async fn load(&self, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), StoreError> {
        Ok(load::load(&self.shared.readers, saved).await?)
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let statements = statements(batch)?;
        self.write(move |connection| {
            async move {
                for statement in statements {
                    statement.execute(connection).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn append_evidence(&self, block: &EvidenceBlock, keep_from: Timestamp) -> Result<(), StoreError> {
        let (at, packed) = (block.at.0, block.packed.clone());
        self.write(move |connection| {
            async move {
                // In this order: the new block takes the pages of the old one.
                sqlx::query("DELETE FROM evidence WHERE at < ?").bind(keep_from.0).execute(&mut *connection).await?;
                sqlx::query("INSERT INTO evidence (at, packed) VALUES (?, ?)")
                    .bind(at)
                    .bind(packed)
                    .execute(connection)
                    .await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn presences(&self, users: &[UserId]) -> Result<Vec<Option<PresenceRow>>, StoreError> {
        Ok(presences(self, users).await?)
    }

    async fn present_after(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<PresenceRow>, StoreError> {
        // Each half comes out of the index in order, and SQLite merges them: nothing is sorted.
        const SQL: &str = "SELECT user_id, online_status, last_seen, since FROM presence \
             WHERE online_status = 'away' AND user_id > ?1 \
             UNION ALL SELECT user_id, online_status, last_seen, since FROM presence \
             WHERE online_status = 'online' AND user_id > ?1 ORDER BY user_id LIMIT ?2";
        // No name is empty.
        let after = after.map_or("", UserId::as_str);
        Ok(self.rows(sqlx::query(SQL).bind(text(after)).bind(limit), presence_row).await?)
    }

    async fn transitions(
        &self,
        user: &UserId,
        sight: Sight,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<TransitionRow>, StoreError> {
        const SQL: &str = "SELECT user_id, from_status, to_status, at, last_seen, reason, audience FROM transitions \
             WHERE user_id = ? AND at >= ? AND at < ? AND audience IS NOT ? ORDER BY at DESC, id DESC LIMIT ?";
        let query = sqlx::query(SQL).bind(text(user)).bind(from.0).bind(to.0).bind(not_for(sight)).bind(limit);
        let mut newest_first = self.rows(query, transition_row).await?;
        newest_first.reverse();
        Ok(newest_first)
    }

    async fn transition_before(
        &self,
        user: &UserId,
        sight: Sight,
        before: Timestamp,
    ) -> Result<Option<TransitionRow>, StoreError> {
        const SQL: &str = "SELECT user_id, from_status, to_status, at, last_seen, reason, audience FROM transitions \
             WHERE user_id = ? AND at < ? AND audience IS NOT ? ORDER BY at DESC, id DESC LIMIT 1";
        let query = sqlx::query(SQL).bind(text(user)).bind(before.0).bind(not_for(sight));
        Ok(self.rows(query, transition_row).await?.pop())
    }

    async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, StoreError> {
        const SQL: &str = "SELECT (at - ?1) / ?3 AS slice, \
             SUM((to_status = 'online') - (from_status = 'online')) AS online, \
             SUM((to_status = 'away') - (from_status = 'away')) AS away \
             FROM transitions WHERE at >= ?1 AND at < ?2 AND audience IS NOT 'others' GROUP BY slice ORDER BY slice";
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
        let query = sqlx::query(SQL).bind(from.0).bind(to.0).bind(every);
        let change = |row: &SqliteRow| {
            let slice = row.try_get::<i64, _>("slice")?.unsigned_abs();
            Ok(NetChange { slice, online: row.try_get("online")?, away: row.try_get("away")? })
        };
        Ok(self.rows(query, change).await?)
    }

    async fn prune_transitions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM transitions WHERE id IN \
             (SELECT id FROM transitions WHERE at < ? ORDER BY at LIMIT ?)";
        self.write(move |connection| {
            async move { Ok(sqlx::query(SQL).bind(before.0).bind(limit).execute(connection).await?.rows_affected()) }
                .boxed()
        })
        .await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        // Held while it is found out: whoever asks meanwhile gets this answer too.
        let mut probed = self.shared.probed.lock().await;
        if let Some((at, answer)) = &*probed
            && at.elapsed() < PROBE_EVERY
        {
            return answer.clone();
        }
        let answer: Result<(), StoreError> = self
            .write(|connection| {
                async move {
                    sqlx::query("UPDATE probe SET written = written + 1").execute(connection).await?;
                    Ok(())
                }
                .boxed()
            })
            .await;
        *probed = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// The audience of what this sight does not see.
fn not_for(sight: Sight) -> &'static str {
    match sight {
        Sight::Insider => Audience::Others.as_str(),
        Sight::Other => Audience::Insiders.as_str(),
    }
}

fn statements(batch: &Batch) -> Result<Vec<Bound>, Failure> {
    let mut all = Vec::new();
    for erase in &*ERASE {
        all.extend(erase.bind(batch.erased.iter(), |arguments, user| key(arguments, user))?);
    }
    // Neighbours on the disk one after the other: a large batch touches each page once.
    let mut presences: Vec<&PresenceRow> = batch.presences.iter().collect();
    presences.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    all.extend(PRESENCES.bind(presences.into_iter(), |arguments, row| {
        arguments.add(text(&row.user))?;
        arguments.add(text(row.status.as_str()))?;
        arguments.add(row.last_seen.map(|at| at.0))?;
        arguments.add(row.since.0)
    })?);
    all.extend(SESSIONS.bind(batch.sessions.iter(), |arguments, row| {
        arguments.add(row.number.cast_signed())?;
        arguments.add(text(&row.user))?;
        arguments.add(text(&row.session))?;
        arguments.add(text(row.activity.as_str()))?;
        arguments.add(row.opened_at.0)?;
        arguments.add(row.last_evidence.0)
    })?);
    all.extend(
        ENDED_SESSIONS.bind(batch.ended_sessions.iter(), |arguments, number| {
            arguments.add(SessionNumber::cast_signed(*number))
        })?,
    );
    all.extend(OVERRIDES.bind(batch.overrides.iter(), |arguments, row| {
        arguments.add(text(&row.user))?;
        arguments.add(text(row.source.as_str()))?;
        arguments.add(text(row.status.as_str()))?;
        arguments.add(row.set_at.0)?;
        arguments.add(row.ends_at.map(|at| at.0))
    })?);
    all.extend(ENDED_OVERRIDES.bind(batch.ended_overrides.iter(), |arguments, (user, source)| {
        key(arguments, user)?;
        key(arguments, source.as_str())
    })?);
    all.extend(HELD.bind(batch.held.iter(), |arguments, row| {
        arguments.add(text(&row.user))?;
        arguments.add(text(row.status.as_str()))?;
        arguments.add(row.set_at.0)
    })?);
    all.extend(ENDED_HELD.bind(batch.ended_held.iter(), |arguments, user| key(arguments, user))?);
    all.extend(VEILS.bind(batch.veils.iter(), |arguments, row| {
        arguments.add(text(&row.user))?;
        arguments.add(row.invisible)?;
        arguments.add(row.at.0)?;
        arguments.add(row.last_seen.map(|at| at.0))?;
        arguments.add(row.since.map(|at| at.0))?;
        arguments.add(row.since_holds)
    })?);
    all.extend(ENDED_VEILS.bind(batch.ended_veils.iter(), |arguments, user| key(arguments, user))?);
    all.extend(TRANSITIONS.bind(batch.transitions.iter(), |arguments, row| {
        arguments.add(text(&row.user))?;
        arguments.add(text(row.from.as_str()))?;
        arguments.add(text(row.to.as_str()))?;
        arguments.add(row.at.0)?;
        arguments.add(row.last_seen.map(|at| at.0))?;
        arguments.add(text(row.reason.as_str()))?;
        arguments.add((row.audience != Audience::Everybody).then(|| text(row.audience.as_str())))
    })?);
    Ok(all)
}

async fn presences(stores: &SqliteStores, users: &[UserId]) -> Result<Vec<Option<PresenceRow>>, Failure> {
    let mut known: HashMap<UserId, PresenceRow> = HashMap::with_capacity(users.len());
    // Neighbours on the disk one after the other.
    let mut sorted: Vec<&UserId> = users.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut connection = stores.shared.readers.acquire().await?;
    for statement in PRESENCES_OF.bind(sorted.into_iter(), |arguments, user| key(arguments, user))? {
        for row in statement.query().fetch_all(&mut *connection).await? {
            let row = presence_row(&row)?;
            known.insert(row.user.clone(), row);
        }
    }
    Ok(users.iter().map(|user| known.get(user).cloned()).collect())
}

fn presence_row(row: &SqliteRow) -> Result<PresenceRow, Failure> {
    Ok(PresenceRow {
        user: user(row, 0)?,
        status: word(row, 1, Status::parse)?,
        last_seen: row.try_get::<Option<i64>, _>(2)?.map(Timestamp),
        since: Timestamp(row.try_get(3)?),
    })
}

fn transition_row(row: &SqliteRow) -> Result<TransitionRow, Failure> {
    Ok(TransitionRow {
        user: user(row, 0)?,
        from: word(row, 1, Status::parse)?,
        to: word(row, 2, Status::parse)?,
        at: Timestamp(row.try_get(3)?),
        last_seen: row.try_get::<Option<i64>, _>(4)?.map(Timestamp),
        reason: word(row, 5, Reason::parse)?,
        audience: match row.try_get::<Option<&str>, _>(6)? {
            None => Audience::Everybody,
            Some(_) => word(row, 6, Audience::parse)?,
        },
    })
}

pub(super) fn user(row: &SqliteRow, column: usize) -> Result<UserId, Failure> {
    Ok(UserId::from(row.try_get::<&str, _>(column)?))
}

pub(super) fn word<T>(row: &SqliteRow, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
    let word: &str = row.try_get(column)?;
    parse(word).ok_or_else(|| Failure::nonsense(format_args!("no such word: {word:?}")))
}
