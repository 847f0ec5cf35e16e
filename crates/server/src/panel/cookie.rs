//! When a cookie stands for a token.
//!
//! **A cookie counts only where no other site can have sent it**: it is `SameSite=Strict`; whatever changes anything needs a header
//! that no form can send and no page of another origin is allowed to; and a browser that says from where a request came must say
//! "from here". Where a token or an API key is given, the cookie is not looked at.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use presently_accounts::{TokenPair, looks_like_api_key};

use crate::app::App;
use crate::front::OverHttps;
use crate::identify;

/// What a cookie holds. Over HTTPS its name begins with `__Host-`: no other host of the domain can set it, nor anything over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The access token.
    Session,
    /// The refresh token.
    Refresh,
}

impl Cookie {
    const fn name(self, over_https: bool) -> &'static str {
        match (self, over_https) {
            (Self::Session, false) => "presently_session",
            (Self::Session, true) => "__Host-presently_session",
            (Self::Refresh, false) => "presently_refresh",
            (Self::Refresh, true) => "__Host-presently_refresh",
        }
    }

    /// Where it is sent: the refresh token only where it is needed, but for browsers that take `__Host-` for the whole host alone.
    const fn path(self, over_https: bool) -> &'static str {
        match (self, over_https) {
            (Self::Refresh, false) => REFRESH_PATH,
            _ => "/",
        }
    }
}

/// Where the refresh token is sent.
const REFRESH_PATH: &str = "/admin/session";

static X_PRESENTLY_PANEL: HeaderName = HeaderName::from_static("x-presently-panel");
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The cookie of a request becomes the header that it stands for, where it counts.
pub(crate) fn redeem<B>(request: &mut Request<B>) {
    let headers = request.headers();
    if headers.contains_key(AUTHORIZATION) || headers.contains_key(&identify::X_API_KEY) {
        return;
    }
    // A socket may be opened by a page of any origin, so it takes no cookie.
    if request.uri().path() == identify::SOCKET || !is_of_the_panel(request.method(), headers) {
        return;
    }
    let over_https = request.extensions().get::<OverHttps>().is_some_and(|over| over.0);
    let Some(token) = value(headers, Cookie::Session, over_https).filter(|token| !looks_like_api_key(token)) else {
        return;
    };
    if let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
}

/// Whether the panel itself, and no other site, can have sent this.
pub(crate) fn is_of_the_panel(method: &Method, headers: &HeaderMap) -> bool {
    let looks = matches!(*method, Method::GET | Method::HEAD);
    let site = headers.get(&SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    let from_here = match site {
        None | Some(b"same-origin") => true,
        // Typed by the person.
        Some(b"none") => looks,
        Some(_) => false,
    };
    from_here && (looks || headers.get(&X_PRESENTLY_PANEL).is_some_and(|value| value == "1"))
}

/// The value of a cookie: the first of its name, which is that of the longest path.
pub(crate) fn value(headers: &HeaderMap, cookie: Cookie, over_https: bool) -> Option<&str> {
    named(headers, cookie.name(over_https))
}

fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// The two cookies of a login; over HTTPS they are kept off plain connections.
pub(crate) fn of(app: &App, tokens: &TokenPair, over_https: bool) -> [HeaderValue; 2] {
    let settings = app.settings();
    [
        cookie(Cookie::Session, &tokens.access, settings.access_token_lifetime.as_secs(), over_https),
        cookie(Cookie::Refresh, &tokens.refresh, settings.refresh_token_lifetime.as_secs(), over_https),
    ]
}

/// The two cookies, gone.
pub(crate) fn gone(over_https: bool) -> [HeaderValue; 2] {
    [Cookie::Session, Cookie::Refresh].map(|kind| cookie(kind, "", 0, over_https))
}

fn cookie(kind: Cookie, value: &str, seconds: u64, over_https: bool) -> HeaderValue {
    let (name, path) = (kind.name(over_https), kind.path(over_https));
    let secure = if over_https { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // Tokens are of letters, digits and dots, so this is always a header's value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(method: Method, headers: &[(&str, &str)]) -> bool {
        let mut request =
            Request::builder().method(method).uri("/api/auth/profile").header(COOKIE, "presently_session=t");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        redeem(&mut request);
        request.headers().get(AUTHORIZATION).is_some_and(|value| value == "Bearer t")
    }

    #[test]
    fn a_cookie_counts_only_in_what_the_panel_asks() {
        let panel = ("x-presently-panel", "1");
        assert!(counts(Method::GET, &[]));
        assert!(counts(Method::GET, &[("sec-fetch-site", "same-origin")]));
        assert!(counts(Method::GET, &[("sec-fetch-site", "none")]));
        assert!(counts(Method::POST, &[panel]));
        assert!(counts(Method::DELETE, &[panel, ("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "nonsense"] {
            assert!(!counts(Method::GET, &[("sec-fetch-site", site)]), "{site}");
            assert!(!counts(Method::POST, &[panel, ("sec-fetch-site", site)]), "{site}");
        }
        assert!(!counts(Method::POST, &[panel, ("sec-fetch-site", "none")]));
        assert!(!counts(Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(!counts(Method::PUT, &[("x-presently-panel", "yes")]));
        assert!(!counts(Method::GET, &[("authorization", "Bearer other")]));
        assert!(!counts(Method::GET, &[("x-api-key", "key")]));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; presently_session=x.y.z;b=2"));
        headers.append(COOKIE, HeaderValue::from_static("presently_refresh=r; presently_session=second; empty="));
        assert_eq!(value(&headers, Cookie::Session, false), Some("x.y.z"));
        assert_eq!(value(&headers, Cookie::Refresh, false), Some("r"));
        assert_eq!(named(&headers, "empty"), None);
        assert_eq!(named(&headers, "presently"), None);
    }

    #[test]
    fn over_https_only_what_the_host_itself_set_counts() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("presently_session=planted; __Host-presently_session=t"));
        assert_eq!(value(&headers, Cookie::Session, true), Some("t"));
        assert_eq!(value(&headers, Cookie::Session, false), Some("planted"));
        let set = cookie(Cookie::Refresh, "r", 60, true);
        let expected = "__Host-presently_refresh=r; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set, expected);
    }

    #[test]
    fn a_socket_takes_no_cookie() {
        let uri = identify::SOCKET;
        let mut request = Request::builder().uri(uri).header(COOKIE, "presently_session=t").body(()).unwrap();
        redeem(&mut request);
        assert!(!request.headers().contains_key(AUTHORIZATION));
    }
}
