//! Why a user has the status they have.

use axum::extract::State;
use presently::{Explanation, Presence, Status};
use presently_accounts::Account;

use crate::app::App;
use crate::extract::UserPath;
use crate::problem::{Problem, ProblemBody};
use crate::routes::online::account_id;
use crate::routes::sessions::session_bodies;
use crate::wire::{AccountState, ExplanationBody, Moment, OverrideBody, convert};

/// Why a user has the status they have: sessions, deadlines, overrides, and the state of the account.
#[utoipa::path(
    get, path = "/api/presence/{user_id}/explain", tag = "presence", security(("token" = [])),
    params(("user_id" = String, Path, description = "1 to 128 bytes")),
    responses(
        (status = 200, body = ExplanationBody),
        (status = 401, body = ProblemBody<'static>),
        (status = 403, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn explain(
    State(app): State<App>,
    UserPath(user): UserPath,
) -> Result<axum::Json<ExplanationBody>, Problem> {
    let account = match account_id(&user) {
        Some(id) => app.accounts().store().account(id).await?.filter(|account| account.id.to_string() == *user),
        None => None,
    };
    let explained = match app.presently().explain(&user) {
        Some(explained) => explained,
        None => unexplained(app.presently().presence(&user).await?),
    };
    let invisible = app.presently().is_invisible(&user);
    let because = because(&explained, invisible, account.as_ref());
    let overrides = explained.overrides.iter().map(|standing| OverrideBody {
        source: standing.source.as_str(),
        status: standing.status.as_str(),
        set_at: Moment(standing.set_at),
        ends_at: standing.ends_at.map(Moment),
    });
    let overrides = overrides.collect();
    // The engine may know less of when they were last seen than the store does.
    let presence = app.presently().presence(&user).await?;
    Ok(axum::Json(ExplanationBody {
        because,
        presence: convert::presence(presence, app.clock().now().wall),
        merged: explained.merged.as_str(),
        sessions: session_bodies(&app, account.as_ref().map(|account| account.id), explained.sessions).await?,
        overrides,
        held: explained.held.map(Status::as_str),
        invisible,
        barred: explained.barred,
        account: account.map(state),
    }))
}

/// Of one who is not in memory there is nothing to explain but that nothing was heard.
fn unexplained(presence: Presence) -> Explanation {
    Explanation {
        presence,
        merged: Status::Offline,
        sessions: Vec::new(),
        overrides: Vec::new(),
        held: None,
        barred: false,
    }
}

fn state(account: Account) -> AccountState {
    AccountState {
        id: account.id.0,
        status: account.status.as_str(),
        is_active: account.is_active,
        may_be_present: account.may_be_present(),
        username: account.username,
    }
}

fn account_word(account: &Account) -> &'static str {
    if account.is_active { account.status.as_str() } else { "deactivated" }
}

fn because(explained: &Explanation, invisible: bool, account: Option<&Account>) -> String {
    let status = explained.presence.status.as_str();
    let state = account.filter(|account| !account.may_be_present());
    let because = match (explained.overrides.first(), explained.held) {
        _ if explained.barred || state.is_some() => match state {
            Some(account) => format!("Offline: the account is {} and may not be present.", account_word(account)),
            None => "Offline: the account may not be present.".to_owned(),
        },
        (Some(standing), _) => format!("An override by the {} says {status}.", standing.source.as_str()),
        (None, Some(_)) => format!("It was set to {status} until the user's next evidence."),
        (None, None) => match explained.sessions.len() {
            0 => "Offline: no session is live.".to_owned(),
            1 => format!("One live session says {status}."),
            sessions => format!("{sessions} live sessions together say {status}."),
        },
    };
    if invisible { format!("{because} The user is invisible: others are shown offline.") } else { because }
}

#[cfg(test)]
mod tests {
    use super::*;
    use presently::{OverrideView, Source, Timestamp};

    #[test]
    fn the_strongest_reason_is_told() {
        let nobody = Presence { user: "a".into(), status: Status::Offline, last_seen: None, since: None };
        let mut explained = unexplained(nobody);
        assert_eq!(because(&explained, false, None), "Offline: no session is live.");
        explained.held = Some(Status::Away);
        explained.presence.status = Status::Away;
        assert_eq!(because(&explained, false, None), "It was set to away until the user's next evidence.");
        let standing =
            OverrideView { source: Source::Admin, status: Status::Away, set_at: Timestamp(0), ends_at: None };
        explained.overrides.push(standing);
        assert_eq!(because(&explained, false, None), "An override by the admin says away.");
        explained.barred = true;
        assert!(because(&explained, true, None).starts_with("Offline: the account may not be present. The user"));
    }
}
