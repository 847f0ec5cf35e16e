//! The browser's half, as files. **They are the same for everybody, and any page may load them.**

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};

/// The SDK as one ES module: `import { connect } from "/sdk/presently.js"`.
#[utoipa::path(
    get, path = "/sdk/presently.js", tag = "sdk",
    responses((status = 200, content_type = "text/javascript", body = String))
)]
pub(crate) async fn presently_js() -> Response {
    script(include_str!("../../../../sdk/js/presently.js"))
}

/// The element `<presence-dot user="5">`: `import { PresenceDot } from "/sdk/dot.js"`.
#[utoipa::path(
    get, path = "/sdk/dot.js", tag = "sdk",
    responses((status = 200, content_type = "text/javascript", body = String))
)]
pub(crate) async fn dot_js() -> Response {
    script(include_str!("../../../../sdk/js/src/dot.js"))
}

fn script(text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    (headers, text).into_response()
}
