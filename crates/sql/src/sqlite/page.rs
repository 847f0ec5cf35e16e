//! Pages of accounts, with what is live laid over what is kept.

use std::fmt::Write as _;

use presently_accounts::store::{Live, Ordering, Page, PageQuery};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use crate::failure::Failure;
use crate::page;
use crate::rows::accounts::select_accounts;

pub(super) async fn page(readers: &SqlitePool, query: &PageQuery) -> Result<Page, Failure> {
    // One snapshot: the count is that of the list.
    let mut snapshot = readers.begin().await?;
    let mut counting = QueryBuilder::<Sqlite>::new("SELECT count(*) FROM users u WHERE 1");
    push_filters(&mut counting, query);
    let count = counting.build().fetch_one(&mut *snapshot).await?;

    // The sort carries numbers only; whole rows are fetched for those that are on the page.
    let mut listing = QueryBuilder::<Sqlite>::new("");
    match query.ordering {
        Ordering::LastSeen => {
            listing.push("WITH live (id, seen) AS MATERIALIZED (SELECT CAST(key AS INTEGER), atom FROM json_each(");
            listing.push_bind(seen_by_id(&query.live));
            listing.push(")) ");
        }
        Ordering::CreatedAt | Ordering::Username | Ordering::OnlineStatus => {}
    }
    listing.push(select_accounts!("FROM (SELECT u.id AS id, "));
    match query.ordering {
        Ordering::CreatedAt => {
            listing.push("u.created_at");
        }
        Ordering::Username => {
            listing.push("u.username_key");
        }
        // The smallest integer: never seen is older than everything.
        Ordering::LastSeen => {
            listing.push("coalesce(live.seen, p.last_seen, -9223372036854775808)");
        }
        Ordering::OnlineStatus => {
            for (rank, status) in [(2, "online"), (1, "away")] {
                listing.push("CASE WHEN u.id IN (SELECT value FROM json_each(");
                listing.push_bind(list(page::with_status(&query.live, |live| live == status)));
                listing.push(")) THEN ").push(rank).push(" ELSE ");
            }
            listing.push("0 END END");
        }
    }
    listing.push(" AS place FROM users u");
    if query.ordering == Ordering::LastSeen {
        listing.push(" LEFT JOIN live ON live.id = u.id LEFT JOIN presence p ON p.user_id = CAST(u.id AS TEXT)");
    }
    listing.push(" WHERE 1");
    push_filters(&mut listing, query);
    page::push_choice(&mut listing, query);
    let limit = if query.limit == 0 { -1 } else { i64::try_from(query.limit).unwrap_or(i64::MAX) };
    listing.push(" LIMIT ").push_bind(limit);
    page::push_chosen(&mut listing, query);
    let rows = listing.build().fetch_all(&mut *snapshot).await?;
    snapshot.rollback().await?;
    page::read(&count, &rows)
}

fn push_filters(sql: &mut QueryBuilder<Sqlite>, query: &PageQuery) {
    page::push_filters(sql, query);
    match query.online_status {
        None => {}
        // Who is not live is offline.
        Some("offline") => {
            sql.push(" AND u.id NOT IN (SELECT value FROM json_each(");
            sql.push_bind(list(page::with_status(&query.live, |live| live != "offline"))).push("))");
        }
        Some(status) => {
            sql.push(" AND u.id IN (SELECT value FROM json_each(");
            sql.push_bind(list(page::with_status(&query.live, |live| live == status))).push("))");
        }
    }
}

/// A JSON array, for `json_each`.
pub(super) fn list(ids: impl Iterator<Item = i64>) -> String {
    let mut json = String::from("[");
    for (place, id) in ids.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(json, "{comma}{id}");
    }
    json.push(']');
    json
}

/// A JSON object from ids to times, of those who have one.
fn seen_by_id(live: &[Live]) -> String {
    let mut json = String::from("{");
    for live in live {
        if let Some(seen) = live.last_seen_us {
            let comma = if json.len() == 1 { "" } else { "," };
            let _ = write!(json, "{comma}\"{}\":{seen}", live.account.0);
        }
    }
    json.push('}');
    json
}
