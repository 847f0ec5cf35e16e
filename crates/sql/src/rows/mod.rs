//! What the rows of both databases hold. **What a column means is said here once**; how it is asked for is the databases' own.

pub(crate) mod accounts;
pub(crate) mod presence;

use std::borrow::Cow;

use jiff::Timestamp as Moment;
use presently::{Timestamp, UserId};
use sqlx::{ColumnIndex, Database, Decode, Row, Type};

use crate::failure::Failure;
use crate::moment::moment;

/// What is rightly different between the databases.
pub(crate) trait Dialect: Database {
    /// Selects an account that is about to be changed, by its id.
    const ACCOUNT_TO_CHANGE: &'static str;
    /// Selects a session that is about to be changed, by its id.
    const SESSION_TO_CHANGE: &'static str;
    /// Keeps everybody else from taking an admin away, for as long as the transaction lasts; `None` where nobody else writes meanwhile.
    const HOLD_ADMINS: Option<&'static str>;
    /// Selects an active admin other than this account.
    const OTHER_ADMIN: &'static str;
    /// Keeps a session as ended that was never opened here, unless it is there or its account is not.
    const REFUSED_SESSION: &'static str;

    /// How many rows a statement changed.
    fn changed(done: &Self::QueryResult) -> u64;
    /// `text` as it is kept.
    fn kept(text: &str) -> Cow<'_, str>;
    /// The text that was kept as `kept`.
    fn read(kept: &str) -> Cow<'_, str>;
}

/// The values of a row, by the places of its columns.
pub(crate) trait Columns {
    fn number(&self, column: usize) -> Result<i64, Failure>;
    fn some_number(&self, column: usize) -> Result<Option<i64>, Failure>;
    fn truth(&self, column: usize) -> Result<bool, Failure>;
    fn bytes(&self, column: usize) -> Result<&[u8], Failure>;
    fn text(&self, column: usize) -> Result<Cow<'_, str>, Failure>;
    fn some_text(&self, column: usize) -> Result<Option<Cow<'_, str>>, Failure>;

    /// The name of a user, or of a session.
    fn name(&self, column: usize) -> Result<UserId, Failure> {
        Ok(UserId::from(&*self.text(column)?))
    }

    /// One of a few words.
    fn word<T>(&self, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
        known_word(&self.text(column)?, parse)
    }

    /// One of a few words, or none.
    fn some_word<T>(&self, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        self.some_text(column)?.map(|word| known_word(&word, parse)).transpose()
    }

    /// A moment of presence.
    fn at(&self, column: usize) -> Result<Timestamp, Failure> {
        Ok(Timestamp(self.number(column)?))
    }

    /// A moment of presence, or none.
    fn some_at(&self, column: usize) -> Result<Option<Timestamp>, Failure> {
        Ok(self.some_number(column)?.map(Timestamp))
    }

    /// A moment of an account.
    fn moment(&self, column: usize) -> Result<Moment, Failure> {
        known_moment(self.number(column)?)
    }

    /// A moment of an account, or none.
    fn some_moment(&self, column: usize) -> Result<Option<Moment>, Failure> {
        self.some_number(column)?.map(known_moment).transpose()
    }
}

impl<R> Columns for R
where
    R: Row<Database: Dialect>,
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    bool: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r str: Decode<'r, R::Database> + Type<R::Database>,
{
    fn number(&self, column: usize) -> Result<i64, Failure> {
        Ok(self.try_get(column)?)
    }

    fn some_number(&self, column: usize) -> Result<Option<i64>, Failure> {
        Ok(self.try_get(column)?)
    }

    fn truth(&self, column: usize) -> Result<bool, Failure> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: usize) -> Result<&[u8], Failure> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: usize) -> Result<Cow<'_, str>, Failure> {
        Ok(R::Database::read(self.try_get(column)?))
    }

    fn some_text(&self, column: usize) -> Result<Option<Cow<'_, str>>, Failure> {
        Ok(self.try_get::<Option<&str>, _>(column)?.map(R::Database::read))
    }
}

fn known_word<T>(word: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
    parse(word).ok_or_else(|| Failure::nonsense(format_args!("no such word: {word:?}")))
}

fn known_moment(micros: i64) -> Result<Moment, Failure> {
    moment(micros).ok_or_else(|| Failure::nonsense(format_args!("no such time: {micros}")))
}
