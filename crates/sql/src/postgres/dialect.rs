//! How PostgreSQL is spoken to where it is not as SQLite is.

use std::borrow::Cow;

use sqlx::postgres::PgQueryResult;

use super::text;
use crate::rows::Dialect;
use crate::rows::accounts::{insert_session, select_accounts, select_sessions};

impl Dialect for sqlx::Postgres {
    const ACCOUNT_TO_CHANGE: &'static str = select_accounts!("FROM users u WHERE u.id = $1 FOR UPDATE");
    /// The key is "PRSN", then 3.
    const HOLD_ADMINS: Option<&'static str> = Some("SELECT pg_advisory_xact_lock(x'5052534e00000003'::bigint)");
    const SESSION_TO_CHANGE: &'static str = select_sessions!("WHERE id = $1 FOR UPDATE");
    const OTHER_ADMIN: &'static str = "SELECT id FROM users WHERE id <> $1 \
         AND (is_staff OR role = 'admin') AND is_active AND status = 'active' LIMIT 1";
    const REFUSED_SESSION: &'static str =
        insert_session!("FROM users WHERE id = $2 FOR SHARE ON CONFLICT (id) DO NOTHING");

    fn changed(done: &PgQueryResult) -> u64 {
        done.rows_affected()
    }

    fn kept(text: &str) -> Cow<'_, str> {
        text::kept(text)
    }

    fn read(kept: &str) -> Cow<'_, str> {
        text::read(kept)
    }
}
