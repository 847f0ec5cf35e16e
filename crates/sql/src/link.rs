//! What a statement is given, and who executes it inside a transaction: the same words for both databases.

use futures_util::FutureExt as _;
use jiff::Timestamp;
use sqlx::query::Query;
use sqlx::{Connection, Encode, Executor, IntoArguments, Type};

use crate::failure::Failure;
use crate::moment::micros;
use crate::rows::{Columns, Dialect};

/// A statement that is given its values one after the other.
pub(crate) trait Values: Send + Sized {
    fn number(self, value: i64) -> Self;
    fn some_number(self, value: Option<i64>) -> Self;
    fn truth(self, value: bool) -> Self;
    fn bytes(self, value: &[u8]) -> Self;
    fn text(self, value: &str) -> Self;
    fn some_text(self, value: Option<&str>) -> Self;

    fn moment(self, value: Timestamp) -> Self {
        self.number(micros(value))
    }

    fn some_moment(self, value: Option<Timestamp>) -> Self {
        self.some_number(value.map(micros))
    }
}

impl<DB> Values for Query<'static, DB, DB::Arguments>
where
    DB: Dialect<Arguments: Send>,
    i64: for<'t> Encode<'t, DB> + Type<DB>,
    bool: for<'t> Encode<'t, DB> + Type<DB>,
    Vec<u8>: for<'t> Encode<'t, DB> + Type<DB>,
    String: for<'t> Encode<'t, DB> + Type<DB>,
    Option<i64>: for<'t> Encode<'t, DB>,
    Option<String>: for<'t> Encode<'t, DB>,
{
    fn number(self, value: i64) -> Self {
        self.bind(value)
    }

    fn some_number(self, value: Option<i64>) -> Self {
        self.bind(value)
    }

    fn truth(self, value: bool) -> Self {
        self.bind(value)
    }

    fn bytes(self, value: &[u8]) -> Self {
        self.bind(value.to_vec())
    }

    fn text(self, value: &str) -> Self {
        self.bind(DB::kept(value).into_owned())
    }

    fn some_text(self, value: Option<&str>) -> Self {
        self.bind(value.map(|text| DB::kept(text).into_owned()))
    }
}

/// A connection inside a transaction.
pub(crate) trait Link: Send {
    type Row: Columns;
    type Query: Values;
    type Dialect: Dialect;

    fn query(sql: &'static str) -> Self::Query;

    /// How many rows the statement changed.
    fn execute(&mut self, query: Self::Query) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// All rows of it: one that is fetched before the end leaves a statement half done on SQLite.
    fn rows(&mut self, query: Self::Query) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;
}

impl<C, DB> Link for C
where
    C: Connection<Database = DB>,
    for<'c> &'c mut C: Executor<'c, Database = DB>,
    DB: Dialect,
    DB::Row: Columns,
    DB::Arguments: IntoArguments<DB>,
    Query<'static, DB, DB::Arguments>: Values,
{
    type Row = DB::Row;
    type Query = Query<'static, DB, DB::Arguments>;
    type Dialect = DB;

    fn query(sql: &'static str) -> Self::Query {
        sqlx::query(sql)
    }

    fn execute(&mut self, query: Self::Query) -> impl Future<Output = Result<u64, Failure>> + Send {
        Executor::execute(self, query).map(|done| Ok(DB::changed(&done?)))
    }

    fn rows(&mut self, query: Self::Query) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send {
        Executor::fetch_all(self, query).map(|rows| Ok(rows?))
    }
}
