//! Tickets that are good at every server on this database. **Whoever takes one has it alone.**

use presently::Timestamp;
use presently::store::StoreError;
use sqlx::Row as _;

use super::PostgresStores;

impl PostgresStores {
    /// Keeps a ticket until `ends_at`.
    ///
    /// # Errors
    /// When the database does not answer. One that may have been kept all the same ends by itself.
    pub async fn keep_ticket(&self, digest: [u8; 32], sealed: Vec<u8>, ends_at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO tickets (digest, sealed, ends_at) VALUES ($1, $2, $3)";
        self.execute(sqlx::query(SQL).bind(digest.to_vec()).bind(sealed).bind(ends_at.0)).await?;
        Ok(())
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
