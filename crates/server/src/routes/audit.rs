//! What administrators did.

use std::collections::HashMap;

use axum::extract::State;
use presently_accounts::AccountId;

use crate::app::App;
use crate::extract::Params;
use crate::problem::{Problem, ProblemBody};
use crate::wire::{AuditAccount, AuditLine, AuditPage, convert};

/// Default and largest `limit`.
const LIMIT: u64 = 50;
const LIMIT_MAX: u64 = 500;

/// The audit log, newest first: who did what, when, to whom.
#[utoipa::path(
    get, path = "/api/users/admin/audit/", tag = "admin", security(("token" = [])), operation_id = "audit",
    params(
        ("limit" = Option<u64>, Query, description = "1 to 500, default 50"),
        ("before" = Option<i64>, Query, description = "`next_before` of the page before"),
    ),
    responses(
        (status = 200, body = AuditPage),
        (status = 400, body = ProblemBody<'static>),
        (status = 403, description = "`permission_denied`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn audit(State(app): State<App>, params: Params) -> Result<axum::Json<AuditPage>, Problem> {
    let limit = params.within("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT);
    let before = params.within("before", 0, i64::MAX as u64)?.map(|id| id as i64);
    let store = app.accounts().store();
    // One more than asked says whether there is more.
    let mut lines = store.audit_page(before, limit as u32 + 1).await?;
    let more = lines.len() as u64 > limit;
    lines.truncate(limit as usize);
    let named = lines.iter().flat_map(|(_, line)| [line.actor, line.target]).flatten();
    let mut ids: Vec<AccountId> = named.collect();
    ids.sort_unstable();
    ids.dedup();
    let accounts = store.accounts(&ids).await?;
    let names: HashMap<_, _> = accounts.into_iter().map(|account| (account.id, account.username)).collect();
    let account = |id: AccountId| AuditAccount { id: id.0, username: names.get(&id).cloned() };
    let next_before = lines.last().filter(|_| more).map(|(id, _)| *id);
    let entries = lines.into_iter().map(|(id, line)| AuditLine {
        id,
        at: convert::jiff_time(line.at),
        actor: line.actor.map(account),
        action: line.action,
        target: line.target.map(account),
        detail: line.detail,
    });
    Ok(axum::Json(AuditPage { entries: entries.collect(), next_before }))
}
