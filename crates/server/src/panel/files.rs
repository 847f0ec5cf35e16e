//! What the panel is made of: plain files inside the program, so that it needs nothing from anywhere.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::guide;
use crate::problem::Problem;

/// Nothing from outside, nothing inline, no frame, and no text that becomes markup or a program.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

struct File {
    content_type: &'static str,
    content: Bytes,
    tag: HeaderValue,
}

impl File {
    fn new(content_type: &'static str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let tag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()));
        Self { content_type, content, tag: tag.unwrap_or(HeaderValue::from_static("\"\"")) }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get(IF_NONE_MATCH).is_some_and(|known| *known == self.tag);
        let mut response = match known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => self.content.clone().into_response(),
        };
        let answer = response.headers_mut();
        answer.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        answer.insert(ETAG, self.tag.clone());
        // Asked for anew each time, sent again only when it is another.
        answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        answer.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }
}

const HTML: &str = "text/html; charset=utf-8";

static PAGE: LazyLock<File> = LazyLock::new(|| File::new(HTML, include_str!("../../panel/index.html")));
static GUIDE: LazyLock<File> = LazyLock::new(|| File::new(HTML, guide::page()));
static HOME: LazyLock<File> = LazyLock::new(|| File::new(HTML, guide::home()));
static FIRST_STEPS: LazyLock<File> = LazyLock::new(|| File::new(HTML, guide::first_steps()));

macro_rules! files {
    ($($name:literal as $content_type:literal),* $(,)?) => {
        vec![$(($name, File::new($content_type, include_str!(concat!("../../panel/", $name))))),*]
    };
}

static FILES: LazyLock<Vec<(&'static str, File)>> = LazyLock::new(|| {
    files![
        "style.css" as "text/css; charset=utf-8",
        "icon.svg" as "image/svg+xml",
        "app.js" as "text/javascript; charset=utf-8",
        "api.js" as "text/javascript; charset=utf-8",
        "dom.js" as "text/javascript; charset=utf-8",
        "time.js" as "text/javascript; charset=utf-8",
        "live.js" as "text/javascript; charset=utf-8",
        "dialogs.js" as "text/javascript; charset=utf-8",
        "signin.js" as "text/javascript; charset=utf-8",
        "overview.js" as "text/javascript; charset=utf-8",
        "chart.js" as "text/javascript; charset=utf-8",
        "users.js" as "text/javascript; charset=utf-8",
        "user.js" as "text/javascript; charset=utf-8",
        "actions.js" as "text/javascript; charset=utf-8",
        "timeline.js" as "text/javascript; charset=utf-8",
        "keys.js" as "text/javascript; charset=utf-8",
        "audit.js" as "text/javascript; charset=utf-8",
    ]
});

/// What this is, and where to go from here.
#[utoipa::path(
    get, path = "/", tag = "operations", operation_id = "home",
    responses((status = 200, content_type = "text/html", body = String))
)]
pub(crate) async fn home(headers: HeaderMap) -> Response {
    HOME.answer(&headers)
}

/// The first steps of the README.
#[utoipa::path(
    get, path = "/first-steps", tag = "operations", operation_id = "first_steps",
    responses((status = 200, content_type = "text/html", body = String))
)]
pub(crate) async fn first_steps(headers: HeaderMap) -> Response {
    FIRST_STEPS.answer(&headers)
}

/// The admin panel: a page that needs nothing from outside.
#[utoipa::path(
    get, path = "/admin", tag = "panel", operation_id = "panel",
    responses(
        (status = 200, content_type = "text/html", body = String),
        (status = 304, description = "`If-None-Match` names what is there"),
    )
)]
pub(crate) async fn page(headers: HeaderMap) -> Response {
    PAGE.answer(&headers)
}

/// What to do when somebody shows the wrong status.
#[utoipa::path(
    get, path = "/admin/troubleshooting", tag = "panel", operation_id = "troubleshooting",
    responses(
        (status = 200, content_type = "text/html", body = String),
        (status = 304, description = "`If-None-Match` names what is there"),
    )
)]
pub(crate) async fn troubleshooting(headers: HeaderMap) -> Response {
    GUIDE.answer(&headers)
}

/// A file of the panel.
pub(crate) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found.map(|(_, file)| file.answer(&headers)).ok_or_else(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_a_file_asks_for_is_there() {
        let texts = FILES.iter().map(|(name, file)| (*name, &file.content)).chain([("index.html", &PAGE.content)]);
        for (name, content) in texts {
            let text = std::str::from_utf8(content).unwrap();
            for asked in
                text.split(['"', '\'']).filter_map(|part| part.strip_prefix("./").or(part.strip_prefix("/admin/")))
            {
                let known = FILES.iter().any(|(known, _)| *known == asked);
                assert!(
                    known || asked.starts_with("session") || asked.starts_with("troubleshooting"),
                    "{name} asks for {asked}"
                );
            }
            for outside in
                ["http://", "https://", "style=\"", "onclick=", "innerHTML", "localStorage", "sessionStorage"]
            {
                let allowed = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!allowed.contains(outside), "{name} has {outside}");
            }
        }
    }
}
