//! Everything that a restart needs, out of one snapshot.
//!
//! Presences and sessions come by the million: they are copied out in PostgreSQL's binary format and read where they lie.

use futures_util::TryStreamExt as _;
use presently::store::Saved;
use presently::{Activity, PresenceRow, SessionRow, Status, Timestamp, UserId};
use sqlx::PgConnection;

use super::pool::Pool;
use super::text::read;
use crate::failure::Failure;
use crate::rows::presence as rows;
use crate::rows::presence::select_presence;

const PRESENCES: &str =
    concat!("COPY (", select_presence!("WHERE online_status <> 'offline'"), ") TO STDOUT (FORMAT binary)");
const SESSIONS: &str = "COPY (SELECT number, user_id, session, activity, opened_at, last_evidence FROM sessions ORDER BY number) \
     TO STDOUT (FORMAT binary)";
const EVIDENCE: &str = "SELECT at, packed FROM evidence ORDER BY id";
/// What every binary copy begins with; eleven bytes of flags and extensions follow in eight.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const HEADER_BYTES: usize = SIGNATURE.len() + 8;

/// Hands over everything, whichever node wrote it: whoever comes first goes on with what all of them knew.
pub(super) async fn load(pool: &Pool, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), Failure> {
    // A million rows may take longer than a statement may.
    let mut held =
        pool.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0").await?;
    let (connection, _) = held.parts()?;
    let outcome = everything(connection, saved).await;
    held.end(outcome).await
}

async fn everything(connection: &mut PgConnection, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), Failure> {
    copied(connection, PRESENCES, |row| Ok(Saved::Presence(presence(row)?)), saved).await?;
    copied(connection, SESSIONS, |row| Ok(Saved::Session(session(row)?)), saved).await?;
    rows::hand_over(
        sqlx::query(rows::OVERRIDES).fetch(&mut *connection),
        rows::status_override,
        Saved::Override,
        saved,
    )
    .await?;
    rows::hand_over(sqlx::query(rows::HELD).fetch(&mut *connection), rows::held, Saved::Held, saved).await?;
    rows::hand_over(sqlx::query(rows::VEILS).fetch(&mut *connection), rows::veil, Saved::Veil, saved).await?;
    rows::hand_over(sqlx::query(EVIDENCE).fetch(connection), rows::evidence, Saved::Evidence, saved).await
}

async fn copied(
    connection: &mut PgConnection,
    sql: &str,
    decode: fn(&mut Fields<'_>) -> Result<Saved, Failure>,
    saved: &mut (dyn FnMut(Saved) + Send),
) -> Result<(), Failure> {
    let mut chunks = connection.copy_out_raw(sql).await?;
    let (mut begun, mut rest) = (false, Vec::new());
    while let Some(chunk) = chunks.try_next().await? {
        // PostgreSQL sends a row a message, the header with the first; nothing depends on it.
        let joined;
        let mut bytes: &[u8] = if rest.is_empty() {
            &chunk
        } else {
            rest.extend_from_slice(&chunk);
            joined = std::mem::take(&mut rest);
            &joined
        };
        if !begun && bytes.len() >= HEADER_BYTES {
            bytes = bytes.strip_prefix(SIGNATURE).and_then(|rest| rest.get(8..)).ok_or_else(nonsense)?;
            begun = true;
        }
        while begun && let Some(length) = row_bytes(bytes) {
            let (row, further) = bytes.split_at(length);
            bytes = further;
            // A row of -1 fields is the end.
            if length > 2 {
                saved(decode(&mut Fields { rest: &row[2..] })?);
            }
        }
        rest = bytes.to_vec();
        // Rows come as fast as they are taken: without this, one thread of the runtime would do nothing else.
        tokio::task::coop::consume_budget().await;
    }
    if rest.is_empty() { Ok(()) } else { Err(nonsense()) }
}

/// How many bytes the first row has, when all of it is there.
fn row_bytes(bytes: &[u8]) -> Option<usize> {
    let fields = i16::from_be_bytes(bytes.first_chunk().copied()?);
    let mut length = 2;
    for _ in 0..fields {
        let field = i32::from_be_bytes(bytes.get(length..)?.first_chunk().copied()?);
        length += 4 + usize::try_from(field).unwrap_or(0);
    }
    (bytes.len() >= length).then_some(length)
}

fn nonsense() -> Failure {
    Failure::nonsense("a saved presence or session makes no sense")
}

/// What is left of a row.
struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    fn next(&mut self) -> Result<Option<&'b [u8]>, Failure> {
        let (length, rest) = self.rest.split_first_chunk().ok_or_else(nonsense)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Ok(None);
        };
        let (field, rest) = rest.split_at_checked(length).ok_or_else(nonsense)?;
        self.rest = rest;
        Ok(Some(field))
    }

    fn text(&mut self) -> Result<&'b str, Failure> {
        std::str::from_utf8(self.next()?.ok_or_else(nonsense)?).map_err(|_| nonsense())
    }

    fn name(&mut self) -> Result<UserId, Failure> {
        Ok(UserId::from(&*read(self.text()?)))
    }

    fn word<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
        parse(self.text()?).ok_or_else(nonsense)
    }

    fn some_number(&mut self) -> Result<Option<i64>, Failure> {
        let number = self.next()?.map(|field| field.try_into().map(i64::from_be_bytes).map_err(|_| nonsense()));
        number.transpose()
    }

    fn number(&mut self) -> Result<i64, Failure> {
        self.some_number()?.ok_or_else(nonsense)
    }
}

fn presence(row: &mut Fields<'_>) -> Result<PresenceRow, Failure> {
    Ok(PresenceRow {
        user: row.name()?,
        status: row.word(Status::parse)?,
        last_seen: row.some_number()?.map(Timestamp),
        since: Timestamp(row.number()?),
    })
}

fn session(row: &mut Fields<'_>) -> Result<SessionRow, Failure> {
    Ok(SessionRow {
        number: row.number()?.cast_unsigned(),
        user: row.name()?,
        session: row.name()?,
        activity: row.word(Activity::parse)?,
        opened_at: Timestamp(row.number()?),
        last_evidence: Timestamp(row.number()?),
    })
}
