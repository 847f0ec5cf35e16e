//! The presence store.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use presently::store::{Batch, EvidenceBlock, NetChange, Saved, Sight, Store, StoreError, TransitionRow};
use presently::{PresenceRow, Timestamp, UserId};
use tokio::time::Instant;

use super::failure::is_deadlock;
use super::pool::in_time;
use super::text::kept;
use super::{PostgresStores, Shared, batch, load};
use crate::failure::Failure;
use crate::rows::Columns as _;
use crate::rows::presence as rows;
use crate::rows::presence::{select_presence, select_transitions};

/// How often a batch is tried that fell victim to a deadlock.
const DEADLOCKS_MAX: u32 = 5;
/// How long, and how often, it is asked what became of a commit in the middle of which the connection broke.
const ASK_FOR: Duration = Duration::from_mins(1);
const ASK_EVERY: Duration = Duration::from_millis(100);

#[async_trait]
impl Store for PostgresStores {
    async fn load(&self, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), StoreError> {
        Ok(load::load(&self.shared.pool, saved).await?)
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
        const SQL: &str = select_presence!("WHERE user_id = ANY($1)");
        let query = sqlx::query(SQL).bind(batch::texts(users.iter().map(UserId::as_str)));
        let rows = self.shared.pool.rows(query, rows::presence).await?;
        let known: HashMap<UserId, PresenceRow> = rows.into_iter().map(|row| (row.user.clone(), row)).collect();
        Ok(users.iter().map(|user| known.get(user).cloned()).collect())
    }

    async fn present_after(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<PresenceRow>, StoreError> {
        const SQL: &str =
            select_presence!("WHERE online_status <> 'offline' AND user_id > $1 ORDER BY user_id LIMIT $2");
        // No name is empty.
        let after = after.map_or("", UserId::as_str);
        let query = sqlx::query(SQL).bind(kept(after)).bind(i64::from(limit));
        Ok(self.shared.pool.rows(query, rows::presence).await?)
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
            "WHERE user_id = $1 AND at >= $2 AND at < $3 AND audience IS DISTINCT FROM $4 \
             ORDER BY at DESC, id DESC LIMIT $5"
        );
        let query =
            sqlx::query(SQL).bind(kept(user)).bind(from.0).bind(to.0).bind(rows::not_for(sight)).bind(i64::from(limit));
        let mut newest_first = self.shared.pool.rows(query, rows::transition).await?;
        newest_first.reverse();
        Ok(newest_first)
    }

    async fn transition_before(
        &self,
        user: &UserId,
        sight: Sight,
        before: Timestamp,
    ) -> Result<Option<TransitionRow>, StoreError> {
        const SQL: &str = select_transitions!(
            "WHERE user_id = $1 AND at < $2 AND audience IS DISTINCT FROM $3 ORDER BY at DESC, id DESC LIMIT 1"
        );
        let query = sqlx::query(SQL).bind(kept(user)).bind(before.0).bind(rows::not_for(sight));
        Ok(self.shared.pool.rows(query, rows::transition).await?.pop())
    }

    async fn net_changes(&self, from: Timestamp, to: Timestamp, every: Duration) -> Result<Vec<NetChange>, StoreError> {
        const SQL: &str = "SELECT (at - $1) / $3 AS slice, \
             sum((to_status = 'online')::int - (from_status = 'online')::int), \
             sum((to_status = 'away')::int - (from_status = 'away')::int) \
             FROM transitions WHERE at >= $1 AND at < $2 AND audience IS DISTINCT FROM 'others' \
             GROUP BY slice ORDER BY slice";
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
        let query = sqlx::query(SQL).bind(from.0).bind(to.0).bind(every);
        Ok(self.shared.pool.rows(query, rows::net_change).await?)
    }

    async fn history_begins(&self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT at FROM transitions WHERE audience IS DISTINCT FROM 'others' ORDER BY at LIMIT 1";
        Ok(self.shared.pool.rows(sqlx::query(SQL), rows::moment).await?.pop())
    }

    async fn prune_transitions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // Several nodes prune: what another one is at is passed over.
        const SQL: &str = "DELETE FROM transitions WHERE id IN \
             (SELECT id FROM transitions WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(self.execute(sqlx::query(SQL).bind(before.0).bind(i64::from(limit))).await?)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let written = async {
            self.shared.pool.execute(sqlx::query("UPDATE probe SET written = written + 1")).await?;
            Ok(())
        };
        self.shared.probe.answer(written).await
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
        let newest = shared.pool.rows(sqlx::query(SQL).bind(&shared.writer), |row| row.number(0)).await;
        match newest.as_deref() {
            Ok([newest]) if *newest >= number => return Ok(()),
            Ok(_) => return Err(Failure::Unavailable(why)),
            Err(_) => tokio::time::sleep(ASK_EVERY).await,
        }
    }
    Err(Failure::Unavailable(format!("{why}, and it is not known what became of the last batch")))
}
