//! The caller's own account.

use axum::extract::State;
use presently_accounts::{Changes, StoreError};

use super::auth::{device, message};
use crate::app::App;
use crate::extract::Json;
use crate::front::ClientAddress;
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::wire::{ChangePassword, ChangeProfile, Message, User, convert};

/// How often a password that is hashed anew at the same moment (by a login) is looked at again.
const ROUNDS_MAX: usize = 3;

/// The caller's account.
#[utoipa::path(
    get, path = "/api/auth/profile/", tag = "auth", security(("token" = [])),
    responses((status = 200, body = User), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn profile(State(app): State<App>, By(caller): By) -> Result<axum::Json<User>, Problem> {
    let account = app.accounts().store().account(caller.account).await?.ok_or_else(Problem::user_not_found)?;
    let presence = app.presently().presence(&caller.user).await?;
    Ok(axum::Json(convert::user(account, &presence)))
}

/// Changes the caller's account. Fields that are absent stay.
#[utoipa::path(
    patch, path = "/api/auth/profile/", tag = "auth", operation_id = "patch_profile", request_body = ChangeProfile, security(("token" = [])),
    responses(
        (status = 200, body = User),
        (status = 400, description = "Sentences by field in `errors`", body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn patch(
    State(app): State<App>,
    By(caller): By,
    Json(sent): Json<ChangeProfile>,
) -> Result<axum::Json<User>, Problem> {
    let changes = Changes {
        first_name: sent.first_name,
        last_name: sent.last_name,
        email: sent.email,
        bio: sent.bio,
        avatar: sent.avatar,
        ..Changes::default()
    };
    let account = app.accounts().update(caller.account, changes, app.now(), None).await?;
    let presence = app.presently().presence(&caller.user).await?;
    Ok(axum::Json(convert::user(account, &presence)))
}

/// Changes the caller's account, as PATCH does.
#[utoipa::path(
    put, path = "/api/auth/profile/", tag = "auth", operation_id = "put_profile", request_body = ChangeProfile, security(("token" = [])),
    responses(
        (status = 200, body = User),
        (status = 400, description = "Sentences by field in `errors`", body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn put(app: State<App>, by: By, sent: Json<ChangeProfile>) -> Result<axum::Json<User>, Problem> {
    patch(app, by, sent).await
}

/// Changes the caller's password. Every other session of theirs ends, at once.
#[utoipa::path(
    post, path = "/api/auth/password/", tag = "auth", request_body = ChangePassword, security(("token" = [])),
    responses(
        (status = 200, body = Message),
        (status = 400, description = "`errors.old_password`: it is wrong; `errors.new_password`: it does not do", body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
        (status = 409, description = "`password_changed`: by somebody else, at this moment", body = ProblemBody<'static>),
        (status = 429, description = "`too_many_attempts`: as at a login", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn password(
    State(app): State<App>,
    By(caller): By,
    ClientAddress(address): ClientAddress,
    headers: http::HeaderMap,
    Json(sent): Json<ChangePassword>,
) -> Result<axum::Json<Message>, Problem> {
    let (old, new) = (sent.old_password.unwrap_or_default(), sent.new_password.unwrap_or_default());
    Problem::if_blank([("old_password", old.as_str()), ("new_password", new.as_str())])?;
    let device = device(address, &headers);
    for _ in 0..ROUNDS_MAX {
        let changes = app.accounts().check_own_password(&caller, &old, &new, &device, app.now()).await?;
        match app.change(caller.account, changes, None).await {
            Err(problem) if problem.code() == Problem::PASSWORD_CHANGED => {}
            done => return done.map(|_| message("The password is changed; every other session has ended")),
        }
    }
    Err(StoreError::PasswordChanged.into())
}
