//! The presence store.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use presently::store::{Audience, Batch, EvidenceBlock, NetChange, Saved, Sight, Store, StoreError, TransitionRow};
use presently::{PresenceRow, Reason, Status, Timestamp, UserId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::failure::is_deadlock;
use super::pool::in_time;
use super::text::{kept, read};
use super::{PostgresStores, Shared, batch, load};
use crate::failure::Failure;

/// An answer of the probe holds this long.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How often a batch is tried that fell victim to a deadlock.
const DEADLOCKS_MAX: u32 = 5;
/// How long, and how often, it is asked what became of a commit in the middle of which the connection broke.
const ASK_FOR: Duration = Duration::from_mins(1);
const ASK_EVERY: Duration = Duration::from_millis(100);

#[async_trait]
impl Store for PostgresStores {
    async fn load(&self, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), StoreError> {
        Ok(load::load(&self.shared.pool, &self.shared.node, saved).await?)
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut deadlocks = 0;
        loop {
            match commit(&self.shared, batch).await {
                Err(failure) if is_deadlock(&failure) && deadlocks < DEADLOCKS_MAX => deadlocks += 1,
                outcome => return Ok(outcome?),
            }
        }
    }

    async fn append_evidence(&self, block: &EvidenceBlock, keep_from: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "WITH gone AS (DELETE FROM evidence WHERE node = $4 AND at < $3) \
             INSERT INTO evidence (at, packed, node) VALUES ($1, $2, $4)";
        let query = sqlx::query(SQL)
            .bind(block.at.0)
            .bind(block.packed.as_slice())
            .bind(keep_from.0)
            .bind(self.shared.node.as_str());
        self.shared.pool.execute(query).await?;
        Ok(())
    }

    async fn presences(&self, users: &[UserId]) -> Result<Vec<Option<PresenceRow>>, StoreError> {
        const SQL: &str = "SELECT user_id, online_status, last_seen, since FROM presence WHERE user_id = ANY($1)";
        let query = sqlx::query(SQL).bind(batch::texts(users.iter().map(UserId::as_str)));
        let rows = self.shared.pool.rows(query, presence_row).await?;
        let known: HashMap<UserId, PresenceRow> = rows.into_iter().map(|row| (row.user.clone(), row)).collect();
        Ok(users.iter().map(|user| known.get(user).cloned()).collect())
    }

    async fn present_after(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<PresenceRow>, StoreError> {
        const SQL: &str = "SELECT user_id, online_status, last_seen, since FROM presence \
             WHERE online_status <> 'offline' AND user_id > $1 ORDER BY user_id LIMIT $2";
        // No name is empty.
        let after = after.map_or("", UserId::as_str);
        let query = sqlx::query(SQL).bind(kept(after)).bind(i64::from(limit));
        Ok(self.shared.pool.rows(query, presence_row).await?)
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
             WHERE user_id = $1 AND at >= $2 AND at < $3 AND audience IS DISTINCT FROM $4 \
             ORDER BY at DESC, id DESC LIMIT $5";
        let query =
            sqlx::query(SQL).bind(kept(user)).bind(from.0).bind(to.0).bind(not_for(sight)).bind(i64::from(limit));
        let mut newest_first = self.shared.pool.rows(query, transition_row).await?;
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
             WHERE user_id = $1 AND at < $2 AND audience IS DISTINCT FROM $3 ORDER BY at DESC, id DESC LIMIT 1";
        let query = sqlx::query(SQL).bind(kept(user)).bind(before.0).bind(not_for(sight));
        Ok(self.shared.pool.rows(query, transition_row).await?.pop())
    }

    async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, StoreError> {
        const SQL: &str = "SELECT (at - $1) / $3 AS slice, \
             sum((to_status = 'online')::int - (from_status = 'online')::int), \
             sum((to_status = 'away')::int - (from_status = 'away')::int) \
             FROM transitions WHERE at >= $1 AND at < $2 AND audience IS DISTINCT FROM 'others' \
             GROUP BY slice ORDER BY slice";
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
        let query = sqlx::query(SQL).bind(from.0).bind(to.0).bind(every);
        let change = |row: &PgRow| {
            let slice = row.try_get::<i64, _>(0)?.unsigned_abs();
            Ok(NetChange { slice, online: row.try_get(1)?, away: row.try_get(2)? })
        };
        Ok(self.shared.pool.rows(query, change).await?)
    }

    async fn prune_transitions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // Several nodes prune: what another one is at is passed over.
        const SQL: &str = "DELETE FROM transitions WHERE id IN \
             (SELECT id FROM transitions WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(self.execute(sqlx::query(SQL).bind(before.0).bind(i64::from(limit))).await?)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        // Held while it is found out: whoever asks meanwhile gets this answer too.
        let mut probed = self.shared.probed.lock().await;
        if let Some((at, answer)) = &*probed
            && at.elapsed() < PROBE_EVERY
        {
            return answer.clone();
        }
        let written = self.shared.pool.execute(sqlx::query("UPDATE probe SET written = written + 1")).await;
        let answer = match written {
            Ok(_) => Ok(()),
            Err(failure) => Err(StoreError::from(failure)),
        };
        *probed = Some((Instant::now(), answer.clone()));
        answer
    }
}

async fn commit(shared: &Shared, batch: &Batch) -> Result<(), Failure> {
    // Written twice, everything but the history is as if written once.
    let is_noted = !batch.transitions.is_empty();
    let number = shared.batch.fetch_add(1, Ordering::Relaxed) + 1;
    let statements = batch::statements(batch, shared.node.as_str());
    let mut held = shared.pool.begin("BEGIN").await?;
    let (connection, limit) = held.parts()?;
    let outcome = in_time(limit, async {
        batch::write(connection, statements).await?;
        if is_noted {
            batch::note(connection, &shared.writer, number).await?;
        }
        Ok(())
    })
    .await;
    let was_ready = outcome.is_ok();
    match held.end(outcome).await {
        Err(Failure::Lost(why)) if was_ready && is_noted => what_became_of(shared, number, why).await,
        outcome => outcome,
    }
}

/// Asks until it is known whether the batch was committed. Batches with a history come one at a time, so the note is not overwritten.
async fn what_became_of(shared: &Shared, number: i64, why: String) -> Result<(), Failure> {
    // The lost transaction wrote this row too: as long as the server has not found out that we are gone, this waits for its end.
    const SQL: &str = "INSERT INTO writers (writer, batch) VALUES ($1, 0) \
         ON CONFLICT (writer) DO UPDATE SET at = excluded.at RETURNING batch";
    let give_up_at = Instant::now() + ASK_FOR;
    while Instant::now() < give_up_at && !shared.pool.is_closed() {
        let newest = shared.pool.rows(sqlx::query(SQL).bind(&shared.writer), |row| Ok(row.try_get::<i64, _>(0)?)).await;
        match newest.as_deref() {
            Ok([newest]) if *newest >= number => return Ok(()),
            Ok(_) => return Err(Failure::Unavailable(why)),
            Err(_) => tokio::time::sleep(ASK_EVERY).await,
        }
    }
    Err(Failure::Unavailable(format!("{why}, and it is not known what became of the last batch")))
}

/// The audience of what this sight does not see.
fn not_for(sight: Sight) -> &'static str {
    match sight {
        Sight::Insider => Audience::Others.as_str(),
        Sight::Other => Audience::Insiders.as_str(),
    }
}

fn presence_row(row: &PgRow) -> Result<PresenceRow, Failure> {
    Ok(PresenceRow {
        user: user(row, 0)?,
        status: word(row, 1, Status::parse)?,
        last_seen: row.try_get::<Option<i64>, _>(2)?.map(Timestamp),
        since: Timestamp(row.try_get(3)?),
    })
}

fn transition_row(row: &PgRow) -> Result<TransitionRow, Failure> {
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

pub(super) fn user(row: &PgRow, column: usize) -> Result<UserId, Failure> {
    Ok(UserId::from(&*read(row.try_get::<&str, _>(column)?)))
}

pub(super) fn word<T>(row: &PgRow, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
    let word: &str = row.try_get(column)?;
    parse(word).ok_or_else(|| Failure::nonsense(format_args!("no such word: {word:?}")))
}
