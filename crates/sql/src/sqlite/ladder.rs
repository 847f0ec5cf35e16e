//! Statements for many rows at once, in few fixed sizes, so that each is prepared once.

use std::sync::Arc;

use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection};

use crate::failure::Failure;

/// 500 rows a statement cost a twentieth of single rows (measured); the rest goes down the steps.
const STEPS: [usize; 4] = [500, 100, 10, 1];

/// One statement for any number of rows.
pub(crate) struct Ladder {
    steps: [(usize, Arc<str>); STEPS.len()],
}

/// A statement with what is bound to it, ready to execute.
pub(crate) struct Bound {
    sql: Arc<str>,
    arguments: SqliteArguments,
}

impl Ladder {
    /// `head`, then `row` once a row with commas between, then `tail`.
    pub(crate) fn new(head: &str, row: &str, tail: &str) -> Self {
        let steps = STEPS.map(|rows| {
            let rows_text = vec![row; rows].join(",");
            (rows, Arc::from(format!("{head}{rows_text}{tail}")))
        });
        Self { steps }
    }

    /// The statements for `rows`; `bind` adds the values of one row.
    pub(crate) fn bind<T>(
        &self,
        rows: impl ExactSizeIterator<Item = T>,
        mut bind: impl FnMut(&mut SqliteArguments, T) -> Result<(), BoxDynError>,
    ) -> Result<Vec<Bound>, Failure> {
        let mut rows = rows;
        let mut statements = Vec::with_capacity(rows.len() / STEPS[0] + STEPS.len());
        for (size, sql) in &self.steps {
            while rows.len() >= *size {
                let mut arguments = SqliteArguments::default();
                for row in rows.by_ref().take(*size) {
                    bind(&mut arguments, row).map_err(|error| Failure::Refused(error.to_string()))?;
                }
                statements.push(Bound { sql: Arc::clone(sql), arguments });
            }
        }
        Ok(statements)
    }
}

impl Bound {
    /// As a query, to execute or to fetch from.
    pub(crate) fn query(self) -> sqlx::query::Query<'static, sqlx::Sqlite, SqliteArguments> {
        sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
    }

    pub(crate) async fn execute(self, connection: &mut SqliteConnection) -> Result<u64, Failure> {
        Ok(self.query().execute(connection).await?.rows_affected())
    }
}

/// A text to bind, with one allocation.
pub(crate) fn text(text: &str) -> Arc<str> {
    Arc::from(text)
}

/// Binds one key.
pub(crate) fn key(arguments: &mut SqliteArguments, key: &str) -> Result<(), BoxDynError> {
    arguments.add(text(key))
}
