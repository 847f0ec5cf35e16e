//! The routes, by what a caller must be. One list makes the router and the OpenAPI document.

mod accounts;
mod acts;
mod audit;
pub(crate) mod auth;
mod document;
pub(crate) mod heartbeat;
mod keys;
mod online;
mod operations;
mod overview;
mod presence;
mod profile;
mod sdk;
mod sessions;
mod status;
mod touch;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use http::{HeaderName, Method, StatusCode, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use self::document::Kind;
use crate::app::App;
use crate::front::X_PRESENTLY_DEMO;
use crate::panel::{files, session};
use crate::problem::Problem;
use crate::settings::CorsOrigins;
use crate::{identify, large};

/// A handler's methods with their documentation.
type Documented = UtoipaMethodRouter<App>;

/// Routes for anyone.
fn open() -> Vec<Documented> {
    vec![
        routes!(auth::login),
        routes!(auth::register),
        routes!(auth::refresh),
        routes!(auth::verify),
        routes!(operations::openapi_json),
        routes!(operations::docs),
        routes!(files::home),
        routes!(files::first_steps),
        routes!(files::page),
        routes!(files::troubleshooting),
        routes!(session::session, session::sign_in, session::sign_out),
        routes!(session::refresh),
        routes!(sdk::presently_js),
        routes!(sdk::dot_js),
    ]
}

/// Routes that tell whether it lives and can serve: on every listener.
fn health() -> Vec<Documented> {
    vec![routes!(operations::healthz), routes!(operations::readyz)]
}

/// The figures: on the listener of those who run it, when it has one.
fn figures() -> Vec<Documented> {
    vec![routes!(operations::metrics)]
}

/// Routes for whoever has a good token, whatever their account's state.
fn token() -> Vec<Documented> {
    vec![routes!(auth::logout)]
}

/// Routes for signed-in users.
fn active() -> Vec<Documented> {
    vec![
        routes!(auth::logout_all),
        routes!(profile::profile, profile::put, profile::patch),
        routes!(profile::password),
        routes!(sessions::own),
        routes!(sessions::end_own),
        routes!(heartbeat::heartbeat, heartbeat::own_status),
        routes!(online::online_users),
        routes!(status::online_status),
        routes!(accounts::all_users),
    ]
    .into_iter()
    .chain(presence::active())
    .collect()
}

/// Routes for signed-in users and for applications.
fn caller() -> Vec<Documented> {
    [routes!(touch::touch)].into_iter().chain(presence::caller()).collect()
}

/// Routes for admins.
fn admin() -> Vec<Documented> {
    vec![
        routes!(accounts::list, accounts::create),
        routes!(accounts::show, accounts::put, accounts::patch, accounts::delete),
        routes!(status::set_online_status),
        routes!(sessions::sessions),
        routes!(sessions::end),
        routes!(acts::force_logout),
        routes!(acts::suspend),
        routes!(acts::ban),
        routes!(acts::activate),
        routes!(acts::approve),
        routes!(keys::list, keys::create),
        routes!(keys::revoke),
        routes!(audit::audit),
        routes!(overview::overview),
        routes!(overview::samples),
    ]
    .into_iter()
    .chain(presence::admin())
    .collect()
}

/// What is there under `/api/users/` as well as under `/api/auth/`: existing front ends use both.
const TWINS: &[&str] = &["login/", "logout/", "logout-all/", "refresh/", "verify/", "register/", "profile/"];

/// The same path under `/api/users/` for one under `/api/auth/`, where there is one.
fn other_name(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/api/auth/")?;
    TWINS.contains(&rest).then(|| format!("/api/users/{rest}"))
}

/// A documented path for the router: without its trailing slash, and with a session's name to the end, whatever is in it.
fn routed(path: &str) -> String {
    bare(path).replace("{session}", "{*session}")
}

/// Paths as in the document but without their trailing slash, which the front strips from requests.
fn plain(documented: Vec<Documented>) -> Router<App> {
    documented.into_iter().fold(Router::new(), |router, (_, paths, methods)| {
        paths.paths.into_keys().fold(router, |router, path| {
            let router = match other_name(&path) {
                Some(other) => router.route(&routed(&other), methods.clone()),
                None => router,
            };
            router.route(&routed(&path), methods.clone())
        })
    })
}

fn bare(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        bare => bare,
    }
}

/// The router of the listener for those who run it: nobody is asked who they are, and nothing here is evidence.
pub(crate) fn operations_router(app: &App) -> Router {
    plain(health()).merge(plain(figures())).fallback(async || Problem::not_found()).with_state(app.clone())
}

/// The router.
pub(crate) fn router(app: &App) -> Router {
    let figures = if app.settings().operations_listen.is_some() { Vec::new() } else { figures() };
    let router = Router::new()
        .merge(plain(open()))
        .merge(plain(health()))
        .merge(plain(figures))
        .route("/admin/{file}", get(files::file))
        .merge(plain(token()).layer(from_fn(identify::require_token)))
        .merge(plain(active()).layer(from_fn(identify::require_active)))
        .merge(plain(caller()).layer(from_fn(identify::require_caller)))
        .merge(plain(admin()).layer(from_fn(identify::require_admin)))
        .merge(plain(presence::socket()).layer(from_fn(identify::require_active_or_upgrade)))
        .fallback(async || Problem::not_found())
        .layer(from_fn_with_state(app.clone(), large::layer))
        .layer(from_fn_with_state(app.clone(), identify::layer));
    let router = match cors(&app.settings().cors_origins, app.is_demo()) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.with_state(app.clone())
}

/// The document.
pub(crate) fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Presently")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Who is online, who is away, who is offline, and when they were last seen. \
             Every path works with and without its trailing slash. Errors are application/problem+json (RFC 9457).",
        ))
        .build();
    let kinds = [
        (Kind::Open, open()),
        (Kind::Open, health()),
        (Kind::Open, figures()),
        (Kind::Known, token()),
        (Kind::Known, active()),
        (Kind::Known, caller()),
        (Kind::Known, admin()),
        (Kind::Known, presence::socket()),
    ];
    let documented = kinds.into_iter().flat_map(|(kind, routes)| {
        routes.into_iter().map(move |(schemas, mut paths, methods)| {
            document::add_answers(&mut paths, kind);
            (schemas, paths, methods)
        })
    });
    let mut api = documented
        .fold(OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build()), OpenApiRouter::routes)
        .into_openapi();
    let others: Vec<_> = api
        .paths
        .paths
        .iter()
        .filter_map(|(path, item)| other_name(path).map(|other| (other, under_other_name(item.clone()))))
        .collect();
    api.paths.paths.extend(others);
    describe_answers(&mut api);
    document::complete(&mut api);
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build()),
    );
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    components.add_security_scheme(
        "api_key_bearer",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("API key").build()),
    );
    api
}

/// Says in the document that it is the one of a demo.
pub(crate) fn mark_as_demo(api: &mut OpenApi) {
    api.info.title.push_str(" (demo)");
    let described = api.info.description.take().unwrap_or_default();
    api.info.description = Some(format!("This is a demo: its users are made up, and nothing is kept. {described}"));
}

/// Errors have the one shape; answers that need no words of their own are described by their status.
fn describe_answers(api: &mut OpenApi) {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    for item in api.paths.paths.values_mut() {
        for (operation, _) in document::operations(item) {
            for (status, answer) in &mut operation.responses.responses {
                let RefOr::T(answer) = answer else { continue };
                let Some(status) = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok()) else {
                    continue;
                };
                if answer.description.is_empty() {
                    status.canonical_reason().unwrap_or("Done").clone_into(&mut answer.description);
                }
                if status.is_client_error() || status.is_server_error() {
                    answer.content = [("application/problem+json".to_owned(), RefOr::T(problem.clone()))].into();
                }
            }
        }
    }
}

fn under_other_name(mut item: PathItem) -> PathItem {
    for (operation, _) in document::operations(&mut item) {
        if let Some(id) = &mut operation.operation_id {
            id.push_str("_under_users");
        }
    }
    item
}

fn cors(origins: &CorsOrigins, is_demo: bool) -> Option<CorsLayer> {
    let allowed = match origins {
        CorsOrigins::None => return None,
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::Listed(listed) => AllowOrigin::list(listed.iter().cloned()),
    };
    let request_id = HeaderName::from_static("x-request-id");
    let exposed = [request_id.clone(), header::RETRY_AFTER, header::WWW_AUTHENTICATE];
    let marked = is_demo.then(|| X_PRESENTLY_DEMO.clone());
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("x-api-key"),
                HeaderName::from_static("last-event-id"),
                request_id,
            ])
            .expose_headers(exposed.into_iter().chain(marked).collect::<Vec<_>>())
            .max_age(std::time::Duration::from_secs(3600)),
    )
}
