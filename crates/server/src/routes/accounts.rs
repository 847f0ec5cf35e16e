//! Accounts: lists, and one at a time.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use presently::{Presence, Status, UserId, Viewer};
use presently_accounts::store::{Live, Ordering, Page, PageQuery};
use presently_accounts::{Account, AccountId, AccountStatus, Changes, Draft, Role};

use super::acts::not_oneself;
use super::online::account_id;
use crate::app::App;
use crate::extract::{AccountPath, Json, Params};
use crate::front::Origin;
use crate::identify::By;
use crate::problem::{Problem, ProblemBody};
use crate::push::viewer;
use crate::routes::status::account;
use crate::slices::{self, SLICE, Slices};
use crate::wire::{AllUsers, CreateUser, ListedUser, PatchUser, User, UsersPage, convert, words};

/// Default and largest `per_page`.
const PER_PAGE: u64 = 20;
const PER_PAGE_MAX: u64 = 1000;

const ROLES: &str = "admin, moderator, user";
const STATUSES: &str = "active, pending, suspended, banned";

/// The live presences of these accounts, in their order.
async fn presences(app: &App, viewer: &Viewer, accounts: &[Account]) -> Result<Vec<Presence>, Problem> {
    let users: Vec<_> = accounts.iter().map(|account| UserId::from(account.id.to_string())).collect();
    Ok(app.presently().presences_seen_by(viewer, &users).await?)
}

/// Everybody who is live and has an account, as the store lays it over its rows.
async fn live(app: &App) -> Vec<Live> {
    let ids = app.accounts().ids();
    let live = app.presently().online_seen_by(&Viewer::Admin, |user, status, last_seen| {
        let account = account_id(user).filter(|&id| ids.contains(id))?;
        Some(Live { account, online_status: status.as_str(), last_seen_us: last_seen.map(|moment| moment.0) })
    });
    live.await
}

/// A page for which everybody who is live must be known: one such at a time, and beside the threads that serve, because the
/// store works through all of them.
async fn page_by_presence(app: &App, mut query: PageQuery) -> Result<Page, Problem> {
    let _listing = app.listing().await;
    query.live = live(app).await;
    let (store, runtime) = (app.accounts().store().clone(), tokio::runtime::Handle::current());
    let paging = tokio::task::spawn_blocking(move || runtime.block_on(store.page(&query)));
    Ok(paging.await.map_err(Problem::internal)??)
}

/// What the query string asks for.
fn query(params: &Params) -> Result<PageQuery, Problem> {
    let (name, descending) = match params.text("ordering").unwrap_or("-created_at") {
        name if name.starts_with('-') => (&name[1..], true),
        name => (name, false),
    };
    let ordering = match name {
        "created_at" => Ordering::CreatedAt,
        "username" => Ordering::Username,
        "last_seen" => Ordering::LastSeen,
        "online_status" => Ordering::OnlineStatus,
        _ => {
            let words = "Must be created_at, username, last_seen or online_status, each with or without -.";
            return Err(Problem::field("ordering", words).with_code("invalid_filter"));
        }
    };
    let deactivated = params.text("status") == Some("inactive");
    Ok(PageQuery {
        search: params.text("search").map(str::to_owned),
        status: if deactivated { None } else { params.word("status", AccountStatus::parse, STATUSES)? },
        is_active: deactivated.then_some(false),
        role: params.word("role", Role::parse, ROLES)?,
        online_status: params.word("online_status", Status::parse, "online, away, offline")?.map(Status::as_str),
        ordering,
        descending,
        ..PageQuery::default()
    })
}

/// The accounts, a page at a time, each with its live presence.
#[utoipa::path(
    get, path = "/api/users/admin/users/", tag = "admin", security(("token" = [])),
    params(
        ("page" = Option<u64>, Query, description = "From 1"),
        ("per_page" = Option<u64>, Query, description = "1 to 1000, default 20"),
        ("search" = Option<String>, Query, description = "In username, e-mail and names, in any case"),
        ("status" = Option<words::ShownState>, Query, description = "`inactive`: deactivated"),
        ("role" = Option<words::Rank>, Query),
        ("online_status" = Option<words::Shown>, Query),
        ("ordering" = Option<words::Order>, Query, description = "Default `-created_at`; never seen counts as oldest"),
    ),
    responses(
        (status = 200, body = UsersPage),
        (status = 400, description = "`invalid_filter`, `invalid_field`", body = ProblemBody<'static>),
        (status = 403, body = ProblemBody<'static>),
        (status = 404, description = "`invalid_page`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    axum::Extension(origin): axum::Extension<Origin>,
    uri: http::Uri,
    params: Params,
) -> Result<axum::Json<UsersPage>, Problem> {
    let invalid_page = || Problem::new(StatusCode::NOT_FOUND, "invalid_page", "There is no such page.");
    let per_page = params.within("per_page", 1, PER_PAGE_MAX)?.unwrap_or(PER_PAGE);
    let page = params.within("page", 1, u64::MAX / PER_PAGE_MAX).map_err(|_| invalid_page())?.unwrap_or(1);
    let mut query = query(&params)?;
    query.offset = (page - 1) * per_page;
    query.limit = per_page;
    let by_presence = matches!(query.ordering, Ordering::LastSeen | Ordering::OnlineStatus);
    let found = if by_presence || query.online_status.is_some() {
        page_by_presence(&app, query).await?
    } else {
        app.accounts().store().page(&query).await?
    };
    let last = found.count.div_ceil(per_page).max(1);
    if page > last {
        return Err(invalid_page());
    }
    let presences = presences(&app, &Viewer::Admin, &found.accounts).await?;
    let link = |page: u64| page_link(&origin, &uri, page);
    Ok(axum::Json(UsersPage {
        count: found.count,
        next: (page < last).then(|| link(page + 1)),
        previous: (page > 1).then(|| link(page - 1)),
        results: found
            .accounts
            .into_iter()
            .zip(&presences)
            .map(|(account, presence)| convert::user(account, presence))
            .collect(),
    }))
}

/// The same question for another page.
fn page_link(Origin(origin): &Origin, uri: &http::Uri, page: u64) -> String {
    let others = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("page"));
    let query: Vec<_> = others.map(str::to_owned).chain([format!("page={page}")]).collect();
    format!("{origin}{}/?{}", uri.path().trim_end_matches('/'), query.join("&"))
}

/// Makes an account.
#[utoipa::path(
    post, path = "/api/users/admin/users/", tag = "admin", security(("token" = [])), request_body = CreateUser,
    responses(
        (status = 201, body = User),
        (status = 400, description = "Sentences by field in `errors`", body = ProblemBody<'static>),
        (status = 403, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    by: By,
    Json(sent): Json<CreateUser>,
) -> Result<(StatusCode, axum::Json<User>), Problem> {
    let draft = Draft {
        role: role(sent.role.as_deref())?.unwrap_or_default(),
        status: match sent.status.as_deref() {
            Some(word) => AccountStatus::parse(word)
                .ok_or_else(|| Problem::field("status", format!("Must be one of {STATUSES}.")))?,
            None => AccountStatus::default(),
        },
        username: sent.username.unwrap_or_default(),
        email: sent.email.unwrap_or_default(),
        password: sent.password.unwrap_or_default(),
        first_name: sent.first_name.unwrap_or_default(),
        last_name: sent.last_name.unwrap_or_default(),
        is_staff: sent.is_staff.unwrap_or_default(),
    };
    let audit = by.audit(&app, "create", None, draft.username.clone());
    let account = app.accounts().create(draft, app.now(), Some(audit)).await?;
    if !account.may_be_present() {
        app.presently().bar(&account.id.to_string()).await?;
    }
    let presence = app.presently().presence(&account.id.to_string()).await?;
    Ok((StatusCode::CREATED, axum::Json(convert::user(account, &presence))))
}

fn role(word: Option<&str>) -> Result<Option<Role>, Problem> {
    word.map(|word| Role::parse(word).ok_or_else(|| Problem::field("role", format!("Must be one of {ROLES}."))))
        .transpose()
}

/// An account.
#[utoipa::path(
    get, path = "/api/users/admin/users/{id}/", tag = "admin", security(("token" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = User), (status = 404, description = "`user_not_found`", body = ProblemBody<'static>))
)]
pub(crate) async fn show(State(app): State<App>, id: AccountPath) -> Result<axum::Json<User>, Problem> {
    let account = account(&app, id).await?;
    let presence = app.presently().presence(&account.id.to_string()).await?;
    Ok(axum::Json(convert::user(account, &presence)))
}

/// Changes an account. `is_active` false deactivates it at once; `activate/` reverses that.
#[utoipa::path(
    patch, path = "/api/users/admin/users/{id}/", tag = "admin", security(("token" = [])), params(("id" = i64, Path)),
    request_body = PatchUser,
    responses(
        (status = 200, body = User),
        (status = 400, description = "Sentences by field in `errors`", body = ProblemBody<'static>),
        (status = 404, description = "`user_not_found`", body = ProblemBody<'static>),
        (status = 409, description = "`not_yourself`: nobody deactivates themselves; `last_admin`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn patch(
    State(app): State<App>,
    by: By,
    AccountPath(id): AccountPath,
    Json(sent): Json<PatchUser>,
) -> Result<axum::Json<User>, Problem> {
    let deactivates = sent.is_active == Some(false);
    if deactivates {
        not_oneself(&app, &by, id, "deactivate").await?;
    }
    let what: Vec<_> = [
        sent.username.as_ref().map(|name| format!("username={name}")),
        sent.email.as_ref().map(|_| "email".to_owned()),
        sent.first_name.as_ref().map(|_| "first_name".to_owned()),
        sent.last_name.as_ref().map(|_| "last_name".to_owned()),
        sent.bio.as_ref().map(|_| "bio".to_owned()),
        sent.role.as_ref().map(|role| format!("role={role}")),
        sent.is_staff.map(|staff| format!("is_staff={staff}")),
        sent.is_active.map(|active| format!("is_active={active}")),
        sent.password.as_ref().map(|_| "password".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let changes = Changes {
        username: sent.username,
        email: sent.email,
        first_name: sent.first_name,
        last_name: sent.last_name,
        bio: sent.bio,
        role: role(sent.role.as_deref())?,
        is_staff: sent.is_staff,
        is_active: sent.is_active,
        end_sessions: deactivates,
        ..Changes::default()
    };
    let mut changes = app.accounts().prepare(id, changes, sent.password.as_deref()).await?;
    // Who gives themselves a new password stays signed in with it.
    if by.0.account == id && !by.0.foreign {
        changes.spare = Some(by.0.session.as_ref().to_owned());
    }
    let account = app.change(id, changes, Some(by.audit(&app, "update", Some(id), what.join(", ")))).await?;
    let presence = app.presently().presence(&id.to_string()).await?;
    Ok(axum::Json(convert::user(account, &presence)))
}

/// Changes an account, as PATCH does: fields that are absent stay.
#[utoipa::path(
    put, path = "/api/users/admin/users/{id}/", tag = "admin", operation_id = "put_user", security(("token" = [])), params(("id" = i64, Path)),
    request_body = PatchUser,
    responses(
        (status = 200, body = User),
        (status = 400, description = "Sentences by field in `errors`", body = ProblemBody<'static>),
        (status = 404, description = "`user_not_found`", body = ProblemBody<'static>),
        (status = 409, description = "`not_yourself`: nobody deactivates themselves; `last_admin`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn put(
    app: State<App>,
    by: By,
    id: AccountPath,
    sent: Json<PatchUser>,
) -> Result<axum::Json<User>, Problem> {
    patch(app, by, id, sent).await
}

/// Whether the query asks for a trash, which there is not: who wants the account kept must not lose it.
fn refuse_trash(params: &Params) -> Result<(), Problem> {
    let permanent = |text: &str| match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    };
    if params.word("permanent", permanent, "true, false")? == Some(false) {
        let detail = "There is no trash: an account is erased for good, or it stays. Nothing was changed.";
        return Err(Problem::bad_request("no_trash", detail));
    }
    Ok(())
}

/// Erases an account with its presence and its history.
#[utoipa::path(
    delete, path = "/api/users/admin/users/{id}/", tag = "admin", security(("token" = [])),
    params(
        ("id" = i64, Path),
        ("permanent" = Option<bool>, Query, description = "`false` is refused: there is no trash"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "`no_trash`: nothing has changed", body = ProblemBody<'static>),
        (status = 404, description = "`user_not_found`", body = ProblemBody<'static>),
        (status = 409, description = "`not_yourself`, `last_admin`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    by: By,
    AccountPath(id): AccountPath,
    params: Params,
) -> Result<StatusCode, Problem> {
    refuse_trash(&params)?;
    not_oneself(&app, &by, id, "delete").await?;
    let audit = by.audit(&app, "delete", Some(id), "");
    app.erase(id, audit).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everybody, newest account first.
#[utoipa::path(
    get, path = "/api/users/all-users/", tag = "presence", security(("token" = [])),
    responses((status = 200, body = AllUsers), (status = 401, body = ProblemBody<'static>))
)]
pub(crate) async fn all_users(State(app): State<App>, By(caller): By) -> Result<Response, Problem> {
    let (viewer, for_admin) = (viewer(&caller), caller.admission.is_admin);
    slices::answer("users", Everybody { app, viewer, for_admin, before: None }, "").await
}

struct Everybody {
    app: App,
    viewer: Viewer,
    for_admin: bool,
    /// The last account that was listed.
    before: Option<(jiff::Timestamp, AccountId)>,
}

impl Slices for Everybody {
    type Line = ListedUser;

    async fn next(&mut self) -> Result<Vec<ListedUser>, Problem> {
        let accounts = self.app.accounts().store().accounts_before(self.before, SLICE as u32).await?;
        self.before = accounts.last().map(|last| (last.created_at, last.id)).or(self.before);
        let presences = presences(&self.app, &self.viewer, &accounts).await?;
        let users = accounts.into_iter().zip(&presences);
        Ok(users.map(|(account, presence)| convert::listed(account, presence, self.for_admin)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_the_question_and_change_the_page() {
        let uri: http::Uri = "/api/users/admin/users?page=2&search=a%26b&per_page=5".parse().unwrap();
        let link = page_link(&Origin("http://host:8000".into()), &uri, 3);
        assert_eq!(link, "http://host:8000/api/users/admin/users/?search=a%26b&per_page=5&page=3");
    }
}
