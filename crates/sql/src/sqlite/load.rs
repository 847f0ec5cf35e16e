//! Everything that a restart needs, out of one snapshot.
//!
//! Presences and sessions come by the million, and each as a row of its own costs the driver several allocations and, at bad times,
//! a switch of threads: 1.4 to 4.4 s for a million of both (measured). SQLite packs a few thousand into one text instead: 0.85 s.

use presently::store::Saved;
use presently::{Activity, PresenceRow, SessionRow, Status, Timestamp, UserId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};

use crate::failure::Failure;
use crate::rows::presence as rows;

/// Rows in one text: some hundred kilobytes.
const PACKED_ROWS: u32 = 4_000;

/// A text of presences: for each the lengths and the numbers, a comma behind every one, then the name.
const PRESENCES: &str = "SELECT count(*), max(user_id), group_concat(packed, '') FROM ( \
     SELECT user_id, octet_length(user_id) || ',' || online_status || ',' || coalesce(last_seen, '') || ',' || since \
         || ',' || user_id AS packed \
     FROM presence WHERE user_id > ? AND online_status <> 'offline' ORDER BY user_id LIMIT ?)";
/// The same of sessions, with two names.
const SESSIONS: &str = "SELECT count(*), max(number), group_concat(packed, '') FROM ( \
     SELECT number, number || ',' || octet_length(user_id) || ',' || octet_length(session) || ',' || activity || ',' \
         || opened_at || ',' || last_evidence || ',' || user_id || session AS packed \
     FROM sessions WHERE number > ? ORDER BY number LIMIT ?)";
const EVIDENCE: &str = "SELECT at, packed FROM evidence ORDER BY id";

pub(super) async fn load(readers: &SqlitePool, saved: &mut (dyn FnMut(Saved) + Send)) -> Result<(), Failure> {
    let mut snapshot = readers.begin().await?;
    // No name is empty, and no session has a number below all numbers.
    let mut after = Some(String::new());
    while let Some(last) = after {
        let row = sqlx::query(PRESENCES).bind(last).bind(PACKED_ROWS).fetch_one(&mut *snapshot).await?;
        after = unpack(&row, |packed| Ok(Saved::Presence(packed.presence()?)), saved)?;
    }
    let mut after = Some(i64::MIN);
    while let Some(last) = after {
        let row = sqlx::query(SESSIONS).bind(last).bind(PACKED_ROWS).fetch_one(&mut *snapshot).await?;
        after = unpack(&row, |packed| Ok(Saved::Session(packed.session()?)), saved)?;
    }
    rows::hand_over(sqlx::query(rows::OVERRIDES).fetch(&mut *snapshot), rows::status_override, Saved::Override, saved)
        .await?;
    rows::hand_over(sqlx::query(rows::HELD).fetch(&mut *snapshot), rows::held, Saved::Held, saved).await?;
    rows::hand_over(sqlx::query(rows::VEILS).fetch(&mut *snapshot), rows::veil, Saved::Veil, saved).await?;
    rows::hand_over(sqlx::query(EVIDENCE).fetch(&mut *snapshot), rows::evidence, Saved::Evidence, saved).await?;
    snapshot.rollback().await?;
    Ok(())
}

/// Hands over what one text holds; returns the last key when there may be more.
fn unpack<'r, K>(
    row: &'r SqliteRow,
    decode: impl Fn(&mut Packed<'r>) -> Result<Saved, Failure>,
    saved: &mut (dyn FnMut(Saved) + Send),
) -> Result<Option<K>, Failure>
where
    K: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let count: u32 = row.try_get(0)?;
    if count == 0 {
        return Ok(None);
    }
    let mut packed = Packed { rest: row.try_get(2)? };
    for _ in 0..count {
        saved(decode(&mut packed)?);
    }
    if !packed.rest.is_empty() {
        return Err(packed.nonsense());
    }
    if count < PACKED_ROWS { Ok(None) } else { Ok(Some(row.try_get(1)?)) }
}

/// What is left of a text.
struct Packed<'t> {
    rest: &'t str,
}

impl<'t> Packed<'t> {
    fn presence(&mut self) -> Result<PresenceRow, Failure> {
        let length = self.number()?;
        let status = self.word(Status::parse)?;
        let last_seen = match self.field()? {
            "" => None,
            digits => Some(Timestamp(digits.parse().map_err(|_| self.nonsense())?)),
        };
        let since = Timestamp(self.number()?);
        Ok(PresenceRow { user: self.name(length)?, status, last_seen, since })
    }

    fn session(&mut self) -> Result<SessionRow, Failure> {
        let number: i64 = self.number()?;
        let (user_length, session_length) = (self.number()?, self.number()?);
        let activity = self.word(Activity::parse)?;
        let (opened_at, last_evidence) = (Timestamp(self.number()?), Timestamp(self.number()?));
        Ok(SessionRow {
            number: number.cast_unsigned(),
            user: self.name(user_length)?,
            session: self.name(session_length)?,
            activity,
            opened_at,
            last_evidence,
        })
    }

    fn field(&mut self) -> Result<&'t str, Failure> {
        let (field, rest) = self.rest.split_once(',').ok_or_else(|| self.nonsense())?;
        self.rest = rest;
        Ok(field)
    }

    fn number<N: std::str::FromStr>(&mut self) -> Result<N, Failure> {
        self.field()?.parse().map_err(|_| self.nonsense())
    }

    fn word<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
        parse(self.field()?).ok_or_else(|| self.nonsense())
    }

    fn name(&mut self, bytes: usize) -> Result<UserId, Failure> {
        let (name, rest) = self.rest.split_at_checked(bytes).ok_or_else(|| self.nonsense())?;
        self.rest = rest;
        Ok(UserId::from(name))
    }

    fn nonsense(&self) -> Failure {
        Failure::nonsense("a saved presence or session makes no sense")
    }
}
