//! The presence store.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use presently::store::{Batch, EvidenceBlock, NetChange, Saved, Sight, Store, StoreError, TransitionRow};
use presently::{PresenceRow, SessionNumber, Timestamp, UserId};
use sqlx::Arguments as _;

use super::ladder::{Bound, Ladder, key, text};
use super::{SqliteStores, load};
use crate::failure::Failure;
use crate::rows::presence as rows;
use crate::rows::presence::{select_presence, select_transitions};

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
static PRESENCES_OF: LazyLock<Ladder> = LazyLock::new(|| Ladder::new(select_presence!("WHERE user_id IN ("), "?", ")"));

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
        const SQL: &str = concat!(
            select_presence!("WHERE online_status = 'away' AND user_id > ?1 UNION ALL "),
            select_presence!("WHERE online_status = 'online' AND user_id > ?1 ORDER BY user_id LIMIT ?2")
        );
        // No name is empty.
        let after = after.map_or("", UserId::as_str);
        Ok(self.rows(sqlx::query(SQL).bind(text(after)).bind(limit), rows::presence).await?)
    }

    async fn transitions(
        &self,
        user: &UserId,
        sight: Sight,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<TransitionRow>, StoreError> {
        const SQL: &str = select_transitions!(
            "WHERE user_id = ? AND at >= ? AND at < ? AND audience IS NOT ? ORDER BY at DESC, id DESC LIMIT ?"
        );
        let query = sqlx::query(SQL).bind(text(user)).bind(from.0).bind(to.0).bind(rows::not_for(sight)).bind(limit);
        let mut newest_first = self.rows(query, rows::transition).await?;
        newest_first.reverse();
        Ok(newest_first)
    }

    async fn transition_before(
        &self,
        user: &UserId,
        sight: Sight,
        before: Timestamp,
    ) -> Result<Option<TransitionRow>, StoreError> {
        const SQL: &str =
            select_transitions!("WHERE user_id = ? AND at < ? AND audience IS NOT ? ORDER BY at DESC, id DESC LIMIT 1");
        let query = sqlx::query(SQL).bind(text(user)).bind(before.0).bind(rows::not_for(sight));
        Ok(self.rows(query, rows::transition).await?.pop())
    }

    async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, StoreError> {
        const SQL: &str = "SELECT (at - ?1) / ?3 AS slice, \
             SUM((to_status = 'online') - (from_status = 'online')), \
             SUM((to_status = 'away') - (from_status = 'away')) \
             FROM transitions WHERE at >= ?1 AND at < ?2 AND audience IS NOT 'others' GROUP BY slice ORDER BY slice";
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
        let query = sqlx::query(SQL).bind(from.0).bind(to.0).bind(every);
        Ok(self.rows(query, rows::net_change).await?)
    }

    async fn history_begins(&self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT at FROM transitions WHERE audience IS NOT 'others' ORDER BY at LIMIT 1";
        Ok(self.rows(sqlx::query(SQL), rows::moment).await?.pop())
    }

    async fn prune_transitions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM transitions WHERE id IN \
             (SELECT id FROM transitions WHERE at < ? ORDER BY at LIMIT ?)";
        Ok(self.execute(sqlx::query(SQL).bind(before.0).bind(limit)).await?)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let written = async {
            self.execute(sqlx::query("UPDATE probe SET written = written + 1")).await?;
            Ok(())
        };
        self.shared.probe.answer(written).await
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
        arguments.add(rows::audience_word(row.audience).map(text))
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
            let row = rows::presence(&row)?;
            known.insert(row.user.clone(), row);
        }
    }
    Ok(users.iter().map(|user| known.get(user).cloned()).collect())
}
