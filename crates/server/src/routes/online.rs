//! Who is online.

use std::collections::HashMap;

use axum::extract::State;
use presently::{Presence, Status, Timestamp, UserId};
use presently_accounts::{Account, AccountId};

use crate::app::App;
use crate::extract::Params;
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::push::viewer;
use crate::wire::{OnlineUsers, convert};

/// The largest page.
const LIMIT_MAX: usize = 1000;
/// Accounts asked of the store at once.
const ACCOUNTS_AT_ONCE: usize = 10_000;

/// Who is online, newest `last_seen` first. Without `limit` everybody.
///
/// A cursor says where the page before ended; somebody heard in between moves to the front and is found there.
#[utoipa::path(
    get, path = "/api/users/admin/users/online/", tag = "presence", security(("token" = [])),
    params(
        ("limit" = Option<usize>, Query, description = "1 to 1000"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, body = OnlineUsers),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn online_users(
    State(app): State<App>,
    By(caller): By,
    params: Params,
) -> Result<axum::Json<OnlineUsers>, Problem> {
    let limit = params.within("limit", 1, LIMIT_MAX)?;
    let mut after = params.text("cursor").map(parse_cursor).transpose()?;
    let (viewer, for_admin) = (viewer(&caller), caller.admission.is_admin);
    let mut found_online = Vec::new();
    // Who is away or has no account stands on no page, so a page is filled from as many as it takes; one more than asked
    // tells whether there is another page.
    loop {
        let wanted = limit.map_or(usize::MAX, |limit| limit + 1 - found_online.len());
        let found = app.presently().newest_online_seen_by(&viewer, after.take(), wanted);
        let at_end = found.len() < wanted;
        after = found.last().map(place);
        let online: Vec<_> = found.into_iter().filter(|presence| presence.status == Status::Online).collect();
        let accounts = accounts_of(&app, &online).await?;
        found_online.extend(online.iter().filter_map(|presence| {
            let account = accounts.get(&account_id(&presence.user)?)?;
            Some((place(presence), convert::online(account, presence, for_admin)))
        }));
        if at_end || limit.is_some_and(|limit| found_online.len() > limit) {
            break;
        }
    }
    let limit = limit.unwrap_or(found_online.len());
    let more = found_online.len() > limit;
    found_online.truncate(limit);
    let next_cursor = found_online.last().filter(|_| more).map(|(place, _)| cursor(place));
    let online_users: Vec<_> = found_online.into_iter().map(|(_, user)| user).collect();
    Ok(axum::Json(OnlineUsers { count: online_users.len(), online_users, next_cursor }))
}

/// The account whose number is this user's name.
pub(crate) fn account_id(user: &str) -> Option<AccountId> {
    user.parse().ok().map(AccountId)
}

async fn accounts_of(app: &App, presences: &[Presence]) -> Result<HashMap<AccountId, Account>, Problem> {
    let ids: Vec<_> = presences.iter().filter_map(|presence| account_id(&presence.user)).collect();
    let mut accounts = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(ACCOUNTS_AT_ONCE) {
        let found = app.accounts().store().accounts(ids).await?;
        accounts.extend(found.into_iter().map(|account| (account.id, account)));
    }
    Ok(accounts)
}

pub(crate) type Place = (Timestamp, UserId);

pub(crate) fn place(presence: &Presence) -> Place {
    (presence.last_seen.unwrap_or(Timestamp(i64::MIN)), presence.user.clone())
}

pub(crate) fn cursor((last_seen, user): &Place) -> String {
    format!("{}.{user}", last_seen.0)
}

pub(crate) fn parse_cursor(text: &str) -> Result<Place, Problem> {
    text.split_once('.')
        .and_then(|(micros, user)| Some((Timestamp(micros.parse().ok()?), UserId::from(user))))
        .ok_or_else(|| {
            Problem::field("cursor", "Must be the next_cursor of the page before.").with_code("invalid_cursor")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let place = (Timestamp(1_764_000_000_813_742), UserId::from("a.b"));
        assert_eq!(parse_cursor(&cursor(&place)).unwrap(), place);
        for text in ["", "5", "x.5"] {
            assert!(parse_cursor(text).is_err(), "{text}");
        }
    }
}
