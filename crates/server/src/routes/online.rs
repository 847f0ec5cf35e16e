//! Who is online.

use std::cmp::Reverse;
use std::collections::HashMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use presently::{Presence, Status, Timestamp, UserId, Viewer};
use presently_accounts::{Account, AccountId};

use crate::app::App;
use crate::extract::Params;
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::push::viewer;
use crate::slices::{self, SLICE, Slices};
use crate::wire::{OnlineUser, OnlineUsers, convert};

/// The largest page.
const LIMIT_MAX: usize = 1000;
/// How often a page is filled up because accounts were erased meanwhile; then it stays shorter than asked.
const ROUNDS_MAX: usize = 3;

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
pub(crate) async fn online_users(State(app): State<App>, By(caller): By, params: Params) -> Result<Response, Problem> {
    let limit = params.within("limit", 1, LIMIT_MAX)?;
    let mut after = params.text("cursor").map(parse_cursor).transpose()?;
    let (viewer, for_admin) = (viewer(&caller), caller.admission.is_admin);
    let ids = app.accounts().ids();
    let Some(limit) = limit else { return everybody(app, &viewer, after, for_admin).await };
    let wanted = |user: &str, status| status == Status::Online && account_id(user).is_some_and(|id| ids.contains(id));
    // One more than asked tells whether there is another page.
    let mut found = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let missing = limit + 1 - found.len();
        let online = app.presently().newest_online_seen_by(&viewer, after.take(), missing, wanted).await;
        let at_end = online.len() < missing;
        after = online.last().map(place);
        // Accounts that were erased a moment ago leave gaps, which are filled from what comes after them.
        let accounts = accounts_of(&app, online.iter().filter_map(|presence| account_id(&presence.user))).await?;
        found.extend(online.iter().filter_map(|presence| {
            let account = accounts.get(&account_id(&presence.user)?)?;
            Some((place(presence), convert::online(account, presence, for_admin)))
        }));
        if at_end {
            after = None;
        }
        if at_end || found.len() > limit {
            break;
        }
    }
    if found.len() > limit {
        found.truncate(limit);
        after = found.last().map(|(place, _)| place.clone());
    }
    let next_cursor = after.as_ref().map(cursor);
    let online_users: Vec<_> = found.into_iter().map(|(_, user)| user).collect();
    Ok(axum::Json(OnlineUsers { count: online_users.len(), online_users, next_cursor }).into_response())
}

/// All of them, as of one moment: who they are and when they were seen is held, sixteen bytes each; the rest is read as it is sent.
async fn everybody(app: App, viewer: &Viewer, after: Option<Place>, for_admin: bool) -> Result<Response, Problem> {
    let ids = app.accounts().ids();
    let after = after.map(|(last_seen, user)| (Reverse(last_seen), user));
    let mut online = app
        .presently()
        .online_seen_by(viewer, |user, status, last_seen| {
            let id = account_id(user).filter(|&id| status == Status::Online && ids.contains(id))?;
            let seen = Reverse(last_seen.unwrap_or(Timestamp(i64::MIN)));
            let lies_after = |bound: &(_, UserId)| (seen, user) > (bound.0, bound.1.as_str());
            after.as_ref().is_none_or(lies_after).then_some((seen, id))
        })
        .await;
    // A million take a while to sort: not on a thread that serves.
    let sorting = tokio::task::spawn_blocking(move || {
        online.sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| in_digits(one.1, other.1)));
        online
    });
    let online = sorting.await.map_err(Problem::internal)?.into_iter();
    slices::answer("online_users", Everybody { app, online, for_admin }, r#","next_cursor":null"#).await
}

/// The order of the names of users, which are digits.
fn in_digits(one: AccountId, other: AccountId) -> std::cmp::Ordering {
    if one == other { std::cmp::Ordering::Equal } else { one.to_string().cmp(&other.to_string()) }
}

struct Everybody {
    app: App,
    online: std::vec::IntoIter<(Reverse<Timestamp>, AccountId)>,
    for_admin: bool,
}

impl Slices for Everybody {
    type Line = OnlineUser;

    async fn next(&mut self) -> Result<Vec<OnlineUser>, Problem> {
        loop {
            let mut slice: Vec<_> = self.online.by_ref().take(SLICE).collect();
            // Who left and returned while they were looked for.
            slice.dedup_by_key(|(_, id)| *id);
            let accounts = accounts_of(&self.app, slice.iter().map(|(_, id)| *id)).await?;
            let lines: Vec<_> = slice
                .iter()
                .filter_map(|(Reverse(seen), id)| {
                    let last_seen = Some(*seen).filter(|seen| *seen != Timestamp(i64::MIN));
                    let presence = Presence { user: UserId::default(), status: Status::Online, last_seen, since: None };
                    Some(convert::online(accounts.get(id)?, &presence, self.for_admin))
                })
                .collect();
            if !lines.is_empty() || self.online.len() == 0 {
                return Ok(lines);
            }
        }
    }
}

/// The account whose number is this user's name: digits as a number is written, so that no two names are one account.
pub(crate) fn account_id(user: &str) -> Option<AccountId> {
    let is_number = user.bytes().all(|byte| byte.is_ascii_digit()) && !user.starts_with('0');
    is_number.then(|| user.parse().ok().map(AccountId)).flatten()
}

async fn accounts_of(app: &App, ids: impl Iterator<Item = AccountId>) -> Result<HashMap<AccountId, Account>, Problem> {
    let ids: Vec<_> = ids.collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found = app.accounts().store().accounts(&ids).await?;
    Ok(found.into_iter().map(|account| (account.id, account)).collect())
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
