//! How SQLite is spoken to where it is not as PostgreSQL is. Its texts are kept as they are, and it has one writer at a time.

use std::borrow::Cow;

use sqlx::sqlite::SqliteQueryResult;

use crate::rows::Dialect;
use crate::rows::accounts::{insert_session, select_accounts, select_sessions};

impl Dialect for sqlx::Sqlite {
    const ACCOUNT_TO_CHANGE: &'static str = select_accounts!("FROM users u WHERE u.id = $1");
    const HOLD_ADMINS: Option<&'static str> = None;
    const SESSION_TO_CHANGE: &'static str = select_sessions!("WHERE id = $1");
    const OTHER_ADMIN: &'static str = "SELECT id FROM users WHERE id <> $1 \
         AND (is_staff = 1 OR role = 'admin') AND is_active = 1 AND status = 'active' LIMIT 1";
    const REFUSED_SESSION: &'static str = insert_session!("FROM users WHERE id = $2 ON CONFLICT (id) DO NOTHING");

    fn changed(done: &SqliteQueryResult) -> u64 {
        done.rows_affected()
    }

    fn kept(text: &str) -> Cow<'_, str> {
        Cow::Borrowed(text)
    }

    fn read(kept: &str) -> Cow<'_, str> {
        Cow::Borrowed(kept)
    }
}
