//! Tickets that are good at every server on this database. **Whoever takes one has it alone.**

use std::sync::Arc;

use futures_util::FutureExt as _;
use presently::Timestamp;
use presently::store::StoreError;
use sqlx::Row as _;

use super::PostgresStores;
use crate::failure::Failure;

/// The first half of the key of the advisory lock under which the tickets of a user are counted: "PRST".
const TICKETS_LOCK: i32 = 0x5052_5354;

/// A ticket to keep.
#[derive(Debug)]
pub struct NewTicket {
    /// Under which it is found.
    pub digest: [u8; 32],
    /// What it stands for, sealed.
    pub sealed: Vec<u8>,
    /// Until when it is good.
    pub ends_at: Timestamp,
    /// Whose it is; empty for the back end of an application.
    pub user: String,
}

impl PostgresStores {
    /// Keeps a ticket; false when its user has `unused_max` that were not used and are good after `now`. Those of nobody in particular
    /// (an empty `user`) are not counted.
    ///
    /// # Errors
    /// When the database does not answer. One that may have been kept all the same ends by itself.
    pub async fn keep_ticket(&self, ticket: NewTicket, now: Timestamp, unused_max: u32) -> Result<bool, StoreError> {
        // Held by one of the user's at a time, so that none of several servers counts without the other's.
        const ALONE: &str = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
        const SQL: &str = "INSERT INTO tickets (digest, sealed, ends_at, user_id) SELECT $1, $2, $3, $4 \
             WHERE $4 = '' OR (SELECT count(*) FROM tickets WHERE user_id = $4 AND ends_at > $5) < $6";
        let NewTicket { digest, sealed, ends_at, user } = ticket;
        let shared = Arc::clone(&self.shared);
        // Whoever gives up waiting leaves nothing half done.
        let keeping = tokio::spawn(async move {
            let kept = shared.pool.transact(move |connection| {
                async move {
                    if !user.is_empty() {
                        sqlx::query(ALONE).bind(TICKETS_LOCK).bind(user.clone()).execute(&mut *connection).await?;
                    }
                    let query = sqlx::query(SQL).bind(digest.to_vec()).bind(sealed).bind(ends_at.0).bind(user);
                    let kept = query.bind(now.0).bind(i64::from(unused_max)).execute(connection).await?;
                    Ok(kept.rows_affected() == 1)
                }
                .boxed()
            });
            kept.await
        });
        let kept = keeping.await.unwrap_or_else(|_| Err(Failure::Unavailable("the database is closed".to_owned())));
        Ok(kept?)
    }

    /// What was kept under this digest, to the first who asks before its end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_ticket(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        const SQL: &str = "DELETE FROM tickets WHERE digest = $1 RETURNING sealed, ends_at";
        let query = sqlx::query(SQL).bind(digest.to_vec());
        let ticket = |row: &sqlx::postgres::PgRow| Ok((row.try_get::<Vec<u8>, _>(0)?, row.try_get::<i64, _>(1)?));
        let found = self.shared.pool.rows(query, ticket).await?.pop();
        Ok(found.filter(|&(_, ends_at)| ends_at > now.0).map(|(sealed, _)| sealed))
    }

    /// Drops those that ended before `now`.
    ///
    /// # Errors
    /// When the database does not answer; it is no harm.
    pub async fn drop_tickets(&self, now: Timestamp) -> Result<(), StoreError> {
        self.execute(sqlx::query("DELETE FROM tickets WHERE ends_at <= $1").bind(now.0)).await?;
        Ok(())
    }
}
