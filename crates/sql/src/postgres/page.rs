//! Pages of accounts, with what is live laid over what is kept.

use presently_accounts::store::{Ordering, Page, PageQuery};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::pool::{Pool, in_time};
use crate::failure::Failure;
use crate::page;
use crate::rows::accounts::select_accounts;

pub(super) async fn page(pool: &Pool, query: &PageQuery) -> Result<Page, Failure> {
    // One snapshot: the count is that of the list.
    let mut held = pool.begin_call("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let (connection, limit) = held.parts()?;
    let page = in_time(limit, read_page(connection, query)).await;
    held.end(page).await
}

async fn read_page(snapshot: &mut PgConnection, query: &PageQuery) -> Result<Page, Failure> {
    let mut counting = QueryBuilder::<Postgres>::new("SELECT count(*) FROM users u WHERE TRUE");
    push_filters(&mut counting, query);
    let count = counting.build().fetch_one(&mut *snapshot).await?;

    // The sort carries numbers only; whole rows are fetched for those that are on the page.
    let mut listing = QueryBuilder::<Postgres>::new(select_accounts!("FROM (SELECT u.id AS id, "));
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
            listing.push("coalesce(live.place, 0)");
        }
    }
    listing.push(" AS place FROM users u");
    match query.ordering {
        Ordering::CreatedAt | Ordering::Username => {}
        Ordering::LastSeen => {
            let seen: Vec<(i64, i64)> =
                query.live.iter().filter_map(|live| Some((live.account.0, live.last_seen_us?))).collect();
            push_live(&mut listing, "seen", &seen);
            listing.push(" LEFT JOIN presence p ON p.user_id = u.id::text");
        }
        Ordering::OnlineStatus => {
            let place = |status| match status {
                "online" => 2,
                "away" => 1,
                _ => 0,
            };
            let places: Vec<(i64, i64)> =
                query.live.iter().map(|live| (live.account.0, place(live.online_status))).collect();
            push_live(&mut listing, "place", &places);
        }
    }
    listing.push(" WHERE TRUE");
    push_filters(&mut listing, query);
    page::push_choice(&mut listing, query);
    if query.limit > 0 {
        listing.push(" LIMIT ").push_bind(i64::try_from(query.limit).unwrap_or(i64::MAX));
    }
    page::push_chosen(&mut listing, query);
    let rows = listing.build().fetch_all(&mut *snapshot).await?;
    page::read(&count, &rows)
}

/// Joins what is live as a table of two columns.
fn push_live(sql: &mut QueryBuilder<Postgres>, column: &str, live: &[(i64, i64)]) {
    let (ids, values): (Vec<i64>, Vec<i64>) = live.iter().copied().unzip();
    sql.push(" LEFT JOIN unnest(").push_bind(ids).push(", ").push_bind(values);
    sql.push(") AS live (id, ").push(column).push(") ON live.id = u.id");
}

fn push_filters(sql: &mut QueryBuilder<Postgres>, query: &PageQuery) {
    page::push_filters(sql, query);
    match query.online_status {
        None => {}
        // Who is not live is offline.
        Some("offline") => {
            sql.push(" AND u.id <> ALL(")
                .push_bind(page::with_status(&query.live, |live| live != "offline").collect::<Vec<_>>())
                .push(")");
        }
        Some(status) => {
            sql.push(" AND u.id = ANY(")
                .push_bind(page::with_status(&query.live, |live| live == status).collect::<Vec<_>>())
                .push(")");
        }
    }
}
