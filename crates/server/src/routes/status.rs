//! The status of one user, read and set.

use std::time::Duration;

use axum::extract::State;
use presently::{Source, Status};
use presently_accounts::Account;

use crate::app::App;
use crate::extract::{AccountPath, Json};
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::push::viewer;
use crate::wire::{OnlineStatusBody, SetOnlineStatus, StatusSet, convert};

/// The longest override: a year.
const EXPIRES_IN_MAX: f64 = 366.0 * 86_400.0;

pub(crate) async fn account(app: &App, AccountPath(id): AccountPath) -> Result<Account, Problem> {
    app.accounts().store().account(id).await?.ok_or_else(Problem::user_not_found)
}

/// The presence of a user.
#[utoipa::path(
    get, path = "/api/users/admin/users/{id}/online-status/", tag = "presence", security(("token" = [])),
    params(("id" = i64, Path)),
    responses(
        (status = 200, body = OnlineStatusBody),
        (status = 401, body = ProblemBody<'static>),
        (status = 404, description = "`user_not_found`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn online_status(
    State(app): State<App>,
    By(caller): By,
    id: AccountPath,
) -> Result<axum::Json<OnlineStatusBody>, Problem> {
    let account = account(&app, id).await?;
    let presence = app.presently().presence_seen_by(&viewer(&caller), &account.id.to_string()).await?;
    Ok(axum::Json(convert::online_status(account, &presence)))
}

/// What is asked of a status.
enum Wish {
    Hold(Status),
    Override(Status, Duration),
    Clear,
}

fn wish(sent: SetOnlineStatus) -> Result<Wish, Problem> {
    let words = "Must be online, away, offline, or null to clear an override.";
    let Some(status) = sent.status else {
        return Err(Problem::field("status", format!("This field is required. {words}")).with_code("invalid_status"));
    };
    let Some(word) = status else { return Ok(Wish::Clear) };
    let status = Status::parse(&word).ok_or_else(|| Problem::field("status", words).with_code("invalid_status"))?;
    match sent.expires_in {
        None => Ok(Wish::Hold(status)),
        Some(seconds) if seconds > 0.0 && seconds <= EXPIRES_IN_MAX => {
            Ok(Wish::Override(status, Duration::from_secs_f64(seconds)))
        }
        Some(_) => Err(Problem::field("expires_in", "Must be a number of seconds above 0 and at most 31,622,400.")),
    }
}

/// Sets a status: until the user's next evidence, or with `expires_in` as an override on top of what their sessions say.
#[utoipa::path(
    post, path = "/api/users/admin/users/{id}/set-online-status/", tag = "admin", request_body = SetOnlineStatus,
    security(("token" = [])), params(("id" = i64, Path)),
    responses(
        (status = 200, body = StatusSet),
        (status = 400, description = "`invalid_status`", body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
        (status = 403, description = "`permission_denied`, `account_not_active`", body = ProblemBody<'static>),
        (status = 404, description = "`user_not_found`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn set_online_status(
    State(app): State<App>,
    by: By,
    id: AccountPath,
    Json(sent): Json<SetOnlineStatus>,
) -> Result<axum::Json<StatusSet>, Problem> {
    let wish = wish(sent)?;
    let _acting = app.acting().await;
    let account = account(&app, id).await?;
    let user = account.id.to_string();
    let may_be_present = account.may_be_present();
    let (presence, what) = match wish {
        Wish::Hold(status) if status != Status::Offline && !may_be_present => return Err(Problem::account_not_active()),
        Wish::Hold(status) => (app.presently().set(&user, status).await?, status.as_str().to_owned()),
        Wish::Override(status, length) => (
            app.presently().override_status(&user, Source::Admin, status, Some(length)).await?,
            format!("{} for {} s", status.as_str(), length.as_secs_f64()),
        ),
        Wish::Clear => (app.presently().clear_override(&user, Source::Admin).await?, "override cleared".to_owned()),
    };
    app.accounts().store().audit(&by.audit(&app, "set_online_status", Some(account.id), what.clone())).await?;
    Ok(axum::Json(StatusSet {
        message: format!("Online status of {}: {what}", account.username),
        user_id: account.id.0,
        online_status: presence.status.as_str(),
        last_seen: presence.last_seen.map(convert::time),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::parse;

    #[test]
    fn a_status_must_be_given_and_known() {
        let of = |text: &str| parse::<SetOnlineStatus>(text.as_bytes()).and_then(wish);
        assert!(matches!(of(r#"{"status":"away"}"#), Ok(Wish::Hold(Status::Away))));
        assert!(matches!(of(r#"{"status":null}"#), Ok(Wish::Clear)));
        assert!(matches!(of(r#"{"status":"online","expires_in":1.5}"#), Ok(Wish::Override(..))));
        for text in [
            "{}",
            r#"{"status":"asleep"}"#,
            r#"{"status":5}"#,
            r#"{"status":"online","expires_in":0}"#,
            r#"{"status":"online","expires_in":1e300}"#,
            r#"{"status":"online","expires_in":"5"}"#,
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
