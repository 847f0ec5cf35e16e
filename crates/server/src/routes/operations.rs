//! For those who run it.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::problem::{Problem, ProblemBody};

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It does: `{\"status\":\"ok\"}`; a demo adds `\"demo\":true`")))]
pub(crate) async fn healthz(State(app): State<App>) -> Response {
    let body = if app.is_demo() { r#"{"status":"ok","demo":true}"# } else { r#"{"status":"ok"}"# };
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// Whether it can serve: the store answers and can be written to, and the other nodes are in reach.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "It can: `{\"status\":\"ready\",\"store\":\"ok\"}`; a demo adds `\"demo\":true`, and one of several nodes `\"cluster\":\"ok\"`"),
        (status = 503, description = "The store or the other nodes are out of reach; `detail` says which. What can be served is served all the same", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn readyz(State(app): State<App>) -> Result<axum::Json<Value>, Problem> {
    match app.ready().await {
        Ok(()) => {
            let mut ready = json!({"status": "ready", "store": "ok"});
            if app.is_demo() {
                ready["demo"] = true.into();
            }
            if app.presently().cluster_health().is_some() {
                ready["cluster"] = "ok".into();
            }
            Ok(axum::Json(ready))
        }
        Err(error) => Err(Problem::unavailable("not_ready", format!("Not ready: {error}."), &error)),
    }
}

/// Figures for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 404, description = "`not_found`: they are at `--operations-listen` alone", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let (presently, crowd) = (app.presently(), &app.push().crowd);
    // Whoever can read these figures may be anybody, unless they have an address of their own.
    let (stats, streams) = if app.settings().figures_of_invisible() {
        (presently.stats(), crowd.len())
    } else {
        let shown = crowd.by_user().into_iter().filter(|(user, _)| !presently.is_invisible(user));
        (presently.stats_of_visible().await, shown.map(|(_, connections)| connections).sum())
    };
    let text = app.metrics().render(presently, &stats, streams);
    ([(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], text).into_response()
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operations", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn openapi_json(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], app.openapi()).into_response()
}

/// This document, readable, without anything from outside.
#[utoipa::path(get, path = "/api/docs", tag = "operations", responses((status = 200, content_type = "text/html", body = String)))]
pub(crate) async fn docs(State(app): State<App>) -> Response {
    let mut response = (StatusCode::OK, Html(app.docs())).into_response();
    response.headers_mut().insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    response
}
