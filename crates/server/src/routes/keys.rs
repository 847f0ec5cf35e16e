//! The API keys of applications: made, listed and revoked by admins.

use axum::extract::State;
use http::StatusCode;
use presently_accounts::{ApiKeyId, WhichKey};

use crate::app::App;
use crate::extract::{AccountPath, Json};
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::wire::{CreateKey, Keys, MadeKeyBody, convert};

/// The keys: those that live, then the revoked, each newest first.
#[utoipa::path(
    get, path = "/api/users/admin/api-keys/", tag = "admin", security(("token" = [])), operation_id = "list_api_keys",
    responses(
        (status = 200, description = "The keys, as far as they can be shown", body = Keys),
        (status = 403, description = "`permission_denied`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn list(State(app): State<App>) -> Result<axum::Json<Keys>, Problem> {
    let api_keys: Vec<_> = app.accounts().keys().await?.into_iter().map(convert::key).collect();
    Ok(axum::Json(Keys { count: api_keys.len(), api_keys }))
}

/// Makes a key. The answer is the only one that ever shows it.
#[utoipa::path(
    post, path = "/api/users/admin/api-keys/", tag = "admin", security(("token" = [])), operation_id = "create_api_key",
    request_body = CreateKey,
    responses(
        (status = 201, description = "Made; `key` is shown this once", body = MadeKeyBody),
        (status = 400, description = "Sentences by field in `errors`", body = ProblemBody<'static>),
        (status = 403, description = "`permission_denied`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    by: By,
    Json(sent): Json<CreateKey>,
) -> Result<(StatusCode, axum::Json<MadeKeyBody>), Problem> {
    let name = sent.name.ok_or_else(|| Problem::field("name", "This field is required."))?;
    let audit = by.audit(&app, "create_api_key", None, "");
    let made = app.accounts().make_key(&name, app.now(), Some(audit)).await?;
    Ok((StatusCode::CREATED, axum::Json(MadeKeyBody { made: convert::key(made.key), key: made.text })))
}

/// Revokes a key: it opens nothing from this answer on. It stays in the list.
#[utoipa::path(
    delete, path = "/api/users/admin/api-keys/{id}/", tag = "admin", security(("token" = [])),
    operation_id = "revoke_api_key", params(("id" = i64, Path)),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 403, description = "`permission_denied`", body = ProblemBody<'static>),
        (status = 404, description = "`api_key_not_found`: there is none, or it was revoked before", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    by: By,
    id: Result<AccountPath, Problem>,
) -> Result<StatusCode, Problem> {
    let not_found =
        || Problem::new(StatusCode::NOT_FOUND, "api_key_not_found", "There is no such key, or it is revoked.");
    let AccountPath(id) = id.map_err(|_| not_found())?;
    let audit = by.audit(&app, "revoke_api_key", None, "");
    let revoked = app.accounts().revoke_key(&WhichKey::Id(ApiKeyId(id.0)), app.now(), Some(audit)).await?;
    revoked.map(|_| StatusCode::NO_CONTENT).ok_or_else(not_found)
}
