//! What is the same of a page of accounts on both databases: which accounts are meant, and in which order they come.

use presently_accounts::store::{Live, Page, PageQuery};
use sqlx::{Database, Encode, QueryBuilder, Type};

use crate::failure::Failure;
use crate::rows::{Columns, Dialect, accounts};
use crate::search::pattern;

/// Adds what the accounts themselves must fulfil.
pub(crate) fn push_filters<DB>(sql: &mut QueryBuilder<DB>, query: &PageQuery)
where
    DB: Dialect,
    bool: for<'t> Encode<'t, DB> + Type<DB>,
    String: for<'t> Encode<'t, DB> + Type<DB>,
    &'static str: for<'t> Encode<'t, DB> + Type<DB>,
{
    if let Some(search) = query.search.as_deref().filter(|text| !text.is_empty()) {
        sql.push(" AND u.search_key LIKE ").push_bind(DB::kept(&pattern(search)).into_owned()).push(r" ESCAPE '\'");
    }
    if let Some(status) = query.status {
        sql.push(" AND u.status = ").push_bind(status.as_str());
    }
    if let Some(is_active) = query.is_active {
        sql.push(" AND u.is_active = ").push_bind(is_active);
    }
    if let Some(role) = query.role {
        sql.push(" AND u.role = ").push_bind(role.as_str());
    }
}

/// Adds the order of those that are chosen, by their `place`.
pub(crate) fn push_choice<DB: Database>(sql: &mut QueryBuilder<DB>, query: &PageQuery) {
    sql.push(if query.descending { " ORDER BY place DESC, u.id DESC" } else { " ORDER BY place, u.id" });
}

/// Adds the rest of the choice, and fetches the whole rows of those chosen, in the same order.
pub(crate) fn push_chosen<DB>(sql: &mut QueryBuilder<DB>, query: &PageQuery)
where
    DB: Database,
    i64: for<'t> Encode<'t, DB> + Type<DB>,
{
    sql.push(" OFFSET ").push_bind(i64::try_from(query.offset).unwrap_or(i64::MAX));
    sql.push(") AS chosen JOIN users u ON u.id = chosen.id");
    sql.push(if query.descending {
        " ORDER BY chosen.place DESC, chosen.id DESC"
    } else {
        " ORDER BY chosen.place, chosen.id"
    });
}

/// Those who are live with a status like this.
pub(crate) fn with_status(live: &[Live], is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = i64> {
    live.iter().filter(move |live| is_wanted(live.online_status)).map(|live| live.account.0)
}

/// The page that was read.
pub(crate) fn read(count: &impl Columns, rows: &[impl Columns]) -> Result<Page, Failure> {
    let accounts = rows.iter().map(accounts::account).collect::<Result<_, _>>()?;
    Ok(Page { count: count.number(0)?.unsigned_abs(), accounts })
}
