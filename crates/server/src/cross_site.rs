//! Who may sign people in. **A page of another site could otherwise fail ten times on its visitor's behalf, and lock them out.**
//!
//! A browser marks such a request, and no page can keep it from that. What no browser sent has no mark, and is judged by its password.

use axum::body::Body;
use http::header::ORIGIN;
use http::{HeaderName, Method, Request, StatusCode};

use crate::problem::Problem;
use crate::settings::CorsOrigins;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a login or a registration is refused before anything of it is looked at, or counted. The path has no trailing slash.
pub(crate) fn refusal(request: &Request<Body>, listed: &CorsOrigins) -> Option<Problem> {
    let is_marked = request.headers().get(&SEC_FETCH_SITE).is_some_and(|site| site == "cross-site");
    if !is_marked || *request.method() != Method::POST || !signs_in(request.uri().path()) {
        return None;
    }
    let is_listed = match listed {
        CorsOrigins::None => false,
        CorsOrigins::Any => true,
        CorsOrigins::Listed(origins) => request.headers().get(ORIGIN).is_some_and(|origin| origins.contains(origin)),
    };
    let detail = "Pages of this origin may not sign anybody in: it is not listed in --cors-origins.";
    (!is_listed).then(|| Problem::new(StatusCode::FORBIDDEN, "origin_refused", detail))
}

fn signs_in(path: &str) -> bool {
    let auth = path.strip_prefix("/api/auth/").or_else(|| path.strip_prefix("/api/users/"));
    matches!(auth, Some("login" | "register")) || path == "/admin/session"
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_refused(listed: &CorsOrigins, method: Method, path: &str, headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(Request::builder().method(method).uri(path), |request, (name, value)| request.header(*name, *value));
        refusal(&request.body(Body::empty()).unwrap(), listed).is_some()
    }

    #[test]
    fn only_what_a_browser_marks_as_cross_site_is_refused_and_only_where_people_sign_in() {
        let cross = ("sec-fetch-site", "cross-site");
        let refused = |method, path, headers: &[_]| is_refused(&CorsOrigins::None, method, path, headers);
        for path in
            ["/api/auth/login", "/api/users/login", "/api/auth/register", "/api/users/register", "/admin/session"]
        {
            assert!(refused(Method::POST, path, &[cross]), "{path}");
            assert!(refused(Method::POST, path, &[cross, ("origin", "null")]), "{path}");
            assert!(!refused(Method::POST, path, &[]), "{path}");
            assert!(!refused(Method::GET, path, &[cross]), "{path}");
            for site in ["same-origin", "same-site", "none"] {
                assert!(!refused(Method::POST, path, &[("sec-fetch-site", site)]), "{path} {site}");
            }
        }
        for path in ["/api/auth/refresh", "/api/auth/logout", "/api/users/heartbeat", "/admin/session/refresh"] {
            assert!(!refused(Method::POST, path, &[cross]), "{path}");
        }
    }

    #[test]
    fn a_listed_origin_may() {
        let cross = ("sec-fetch-site", "cross-site");
        let listed = CorsOrigins::Listed(vec![HeaderValue::from_static("https://app.example")]);
        let from = |origin| is_refused(&listed, Method::POST, "/api/auth/login", &[cross, ("origin", origin)]);
        assert!(!from("https://app.example"));
        for other in ["https://evil.example", "http://app.example", "https://app.example.evil.example", "null", ""] {
            assert!(from(other), "{other}");
        }
        assert!(!is_refused(&CorsOrigins::Any, Method::POST, "/api/auth/login", &[cross]));
    }
}
