//! PostgreSQL's errors, by their SQLSTATE.

use sqlx::postgres::PgDatabaseError;

use crate::failure::Failure;

/// What an error that PostgreSQL gave means; `None` when another gave it.
pub(crate) fn failure_of(error: &sqlx::Error) -> Option<Failure> {
    let database = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let code = database.code();
    let sentence = sentence(database);
    Some(match (code, code.get(..2).unwrap_or(code)) {
        // The server goes down, or an administrator ended the connection.
        ("57P01" | "57P02" | "57P05" | "25P03", _) | (_, "08") => Failure::Lost(sentence),
        // Disk full, an error of the disk, a standby, missing rights.
        ("53100" | "58030" | "25006" | "42501", _) => Failure::Unwritable(sentence),
        // Damaged pages, and a schema that somebody changed: no such table, no such column.
        (_, "XX" | "42" | "3F") => Failure::Damaged(sentence),
        // What the schema forbids, values that do not fit, rows that are too large.
        (_, "22" | "23" | "54") => Failure::Refused(sentence),
        // Time-outs, locks, deadlocks, too many connections, no memory, starting up, wrong password.
        _ => Failure::Unavailable(sentence),
    })
}

/// Whether another try of the same transaction may succeed at once: it was chosen as the victim of a deadlock.
pub(crate) fn is_deadlock(failure: &Failure) -> bool {
    matches!(failure, Failure::Unavailable(why) if why.ends_with("(PostgreSQL 40P01)") || why.ends_with("(PostgreSQL 40001)"))
}

fn sentence(error: &PgDatabaseError) -> String {
    format!("{} (PostgreSQL {})", error.message().replace('\n', " "), error.code())
}
