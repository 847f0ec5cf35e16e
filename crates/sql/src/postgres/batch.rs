//! Batches: a statement a kind of row, with an array a column, whatever the number of rows.
//!
//! Rows go in the order of their keys: two nodes that write the same users lock them in the same order.

use std::borrow::Cow;

use presently::store::{Batch, TransitionRow};
use presently::{Source, UserId};
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};

use super::text::kept;
use crate::failure::Failure;
use crate::rows::presence::audience_word;

type Texts<'b> = Vec<Cow<'b, str>>;

/// A column of the status: the new one, unless another node's is newer.
macro_rules! newer_status {
    ($column:literal) => {
        concat!(
            $column,
            " = CASE WHEN kept.status_node = excluded.status_node OR kept.since <= excluded.since THEN excluded.",
            $column,
            " ELSE kept.",
            $column,
            " END"
        )
    };
}

/// A column of the last evidence: the old one when there is no new one, or another node's is newer.
macro_rules! newer_seen {
    ($column:literal) => {
        concat!(
            $column,
            " = CASE WHEN excluded.last_seen IS NULL OR (kept.seen_node <> excluded.seen_node ",
            "AND kept.last_seen > excluded.last_seen) THEN kept.",
            $column,
            " ELSE excluded.",
            $column,
            " END"
        )
    };
}

const ERASE: [&str; 6] = [
    "DELETE FROM presence WHERE user_id = ANY($1)",
    "DELETE FROM sessions WHERE user_id = ANY($1)",
    "DELETE FROM overrides WHERE user_id = ANY($1)",
    "DELETE FROM held WHERE user_id = ANY($1)",
    "DELETE FROM veils WHERE user_id = ANY($1)",
    "DELETE FROM transitions WHERE user_id = ANY($1)",
];
/// **Invariant:** what another node knows better is not overwritten: of two nodes the one with the newer `since` says the status, and
/// `last_seen` does not go back. What a node wrote itself it may correct: its clock may have been set back.
const PRESENCES: &str = concat!(
    "INSERT INTO presence AS kept (user_id, online_status, last_seen, since, status_node, seen_node) ",
    "SELECT new.*, $5, $5 FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS new ",
    "ON CONFLICT (user_id) DO UPDATE SET ",
    newer_status!("online_status"),
    ", ",
    newer_status!("since"),
    ", ",
    newer_status!("status_node"),
    ", ",
    newer_seen!("last_seen"),
    ", ",
    newer_seen!("seen_node"),
);
const SESSIONS: &str = "INSERT INTO sessions (number, user_id, session, activity, opened_at, last_evidence) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) \
     ON CONFLICT (number) DO UPDATE SET user_id = excluded.user_id, session = excluded.session, \
     activity = excluded.activity, opened_at = excluded.opened_at, last_evidence = excluded.last_evidence";
const ENDED_SESSIONS: &str = "DELETE FROM sessions WHERE number = ANY($1)";
const OVERRIDES: &str = "INSERT INTO overrides (user_id, source, status, set_at, ends_at) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) \
     ON CONFLICT (user_id, source) DO UPDATE SET status = excluded.status, set_at = excluded.set_at, \
     ends_at = excluded.ends_at";
const ENDED_OVERRIDES: &str = "DELETE FROM overrides USING unnest($1::text[], $2::text[]) AS ended (user_id, source) \
     WHERE overrides.user_id = ended.user_id AND overrides.source = ended.source";
const HELD: &str = "INSERT INTO held (user_id, status, set_at) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) \
     ON CONFLICT (user_id) DO UPDATE SET status = excluded.status, set_at = excluded.set_at";
const ENDED_HELD: &str = "DELETE FROM held WHERE user_id = ANY($1)";
const VEILS: &str = "INSERT INTO veils (user_id, invisible, at, last_seen, since, since_holds) \
     SELECT * FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[]) \
     ON CONFLICT (user_id) DO UPDATE SET invisible = excluded.invisible, at = excluded.at, \
     last_seen = excluded.last_seen, since = excluded.since, since_holds = excluded.since_holds";
const ENDED_VEILS: &str = "DELETE FROM veils WHERE user_id = ANY($1)";
const TRANSITIONS: &str = "INSERT INTO transitions (user_id, from_status, to_status, at, last_seen, reason, audience) \
     SELECT user_id, from_status, to_status, at, last_seen, reason, audience \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[]) \
     WITH ORDINALITY AS line (user_id, from_status, to_status, at, last_seen, reason, audience, place) ORDER BY place";
const WROTE: &str = "INSERT INTO writers (writer, batch) VALUES ($1, $2) \
     ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at";

/// Writes a batch in the order of its fields, inside a transaction.
pub(super) async fn write(connection: &mut PgConnection, statements: Vec<Statement>) -> Result<(), Failure> {
    for statement in statements {
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

/// What keeps a batch of this node.
pub(super) fn statements(batch: &Batch, node: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    if !batch.erased.is_empty() {
        let users = sorted(&batch.erased);
        statements.extend(ERASE.map(|sql| sqlx::query(sql).bind(&users)));
    }
    let rows = [
        presences(batch, node),
        sessions(batch),
        ended_sessions(batch),
        overrides(batch),
        ended_overrides(batch),
        held(batch),
        ended(&batch.ended_held, ENDED_HELD),
        veils(batch),
        ended(&batch.ended_veils, ENDED_VEILS),
        transitions(&batch.transitions),
    ];
    statements.extend(rows.into_iter().flatten());
    statements
}

/// Notes that this writer's transaction with this number is the newest that was committed.
pub(super) async fn note(connection: &mut PgConnection, writer: &str, batch: i64) -> Result<(), Failure> {
    sqlx::query(WROTE).bind(writer).bind(batch).execute(connection).await?;
    Ok(())
}

pub(super) type Statement = Query<'static, Postgres, PgArguments>;

fn presences(batch: &Batch, node: &str) -> Option<Statement> {
    let mut rows: Vec<_> = batch.presences.iter().collect();
    rows.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    (!rows.is_empty()).then(|| {
        sqlx::query(PRESENCES)
            .bind(texts(rows.iter().map(|row| row.user.as_str())))
            .bind(rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.last_seen.map(|at| at.0)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.since.0).collect::<Vec<_>>())
            .bind(node)
    })
}

fn sessions(batch: &Batch) -> Option<Statement> {
    let mut rows: Vec<_> = batch.sessions.iter().collect();
    rows.sort_unstable_by_key(|row| row.number.cast_signed());
    (!rows.is_empty()).then(|| {
        sqlx::query(SESSIONS)
            .bind(rows.iter().map(|row| row.number.cast_signed()).collect::<Vec<_>>())
            .bind(texts(rows.iter().map(|row| row.user.as_str())))
            .bind(texts(rows.iter().map(|row| row.session.as_str())))
            .bind(rows.iter().map(|row| row.activity.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.opened_at.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.last_evidence.0).collect::<Vec<_>>())
    })
}

fn ended_sessions(batch: &Batch) -> Option<Statement> {
    let mut numbers: Vec<i64> = batch.ended_sessions.iter().map(|number| number.cast_signed()).collect();
    numbers.sort_unstable();
    (!numbers.is_empty()).then(|| sqlx::query(ENDED_SESSIONS).bind(numbers))
}

fn overrides(batch: &Batch) -> Option<Statement> {
    let mut rows: Vec<_> = batch.overrides.iter().collect();
    rows.sort_unstable_by(|a, b| (&a.user, a.source.as_str()).cmp(&(&b.user, b.source.as_str())));
    (!rows.is_empty()).then(|| {
        sqlx::query(OVERRIDES)
            .bind(texts(rows.iter().map(|row| row.user.as_str())))
            .bind(rows.iter().map(|row| row.source.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.set_at.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.ends_at.map(|at| at.0)).collect::<Vec<_>>())
    })
}

fn ended_overrides(batch: &Batch) -> Option<Statement> {
    let keys = &batch.ended_overrides;
    (!keys.is_empty()).then(|| {
        sqlx::query(ENDED_OVERRIDES)
            .bind(texts(keys.iter().map(|(user, _)| user.as_str())))
            .bind(keys.iter().map(|(_, source)| Source::as_str(*source)).collect::<Vec<_>>())
    })
}

fn held(batch: &Batch) -> Option<Statement> {
    let mut rows: Vec<_> = batch.held.iter().collect();
    rows.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    (!rows.is_empty()).then(|| {
        sqlx::query(HELD)
            .bind(texts(rows.iter().map(|row| row.user.as_str())))
            .bind(rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.set_at.0).collect::<Vec<_>>())
    })
}

fn veils(batch: &Batch) -> Option<Statement> {
    let mut rows: Vec<_> = batch.veils.iter().collect();
    rows.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    (!rows.is_empty()).then(|| {
        sqlx::query(VEILS)
            .bind(texts(rows.iter().map(|row| row.user.as_str())))
            .bind(rows.iter().map(|row| row.invisible).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.at.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.last_seen.map(|at| at.0)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.since.map(|at| at.0)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.since_holds).collect::<Vec<_>>())
    })
}

fn ended(users: &[UserId], sql: &'static str) -> Option<Statement> {
    (!users.is_empty()).then(|| sqlx::query(sql).bind(sorted(users)))
}

fn transitions(rows: &[TransitionRow]) -> Option<Statement> {
    (!rows.is_empty()).then(|| {
        sqlx::query(TRANSITIONS)
            .bind(texts(rows.iter().map(|row| row.user.as_str())))
            .bind(rows.iter().map(|row| row.from.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.to.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.at.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.last_seen.map(|at| at.0)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.reason.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| audience_word(row.audience)).collect::<Vec<_>>())
    })
}

/// Names as they are kept.
pub(super) fn texts<'b>(names: impl Iterator<Item = &'b str>) -> Texts<'b> {
    names.map(kept).collect()
}

fn sorted(users: &[UserId]) -> Texts<'_> {
    let mut users = texts(users.iter().map(UserId::as_str));
    users.sort_unstable();
    users
}
