//! Pages of other origins.

use presently_server::CorsOrigins;
use presently_testkit::http::{Answer, TestServer};
use reqwest::Method;

const PAGE: &str = "http://localhost:5173";
const OTHER: &str = "https://app.example.org";

#[tokio::test]
async fn a_page_of_a_listed_origin_may_read_the_answer() {
    let server = listing(&format!("{PAGE},{OTHER}")).await;
    let alice = server.visitor("alice").await;
    for origin in [PAGE, OTHER] {
        let answer = alice.get("/api/auth/profile/").header("origin", origin).await;
        answer.ok();
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert!(varies_by_origin(&answer), "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn spaces_in_the_list_of_origins_mean_nothing() {
    let server = listing(&format!(" {OTHER} , {PAGE} ")).await;
    let answer = server.get("/healthz").header("origin", PAGE).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
}

#[tokio::test]
async fn a_page_of_any_other_origin_may_not() {
    let server = listing(PAGE).await;
    let alice = server.visitor("alice").await;
    let strangers = [
        "http://evil.example",
        "http://localhost:5174",
        "https://localhost:5173",
        "http://localhost:5173.evil.example",
        "http://LOCALHOST:5173x",
        "null",
        "http://localhost",
        "",
    ];
    for origin in strangers {
        let answer = alice.get("/api/auth/profile/").header("origin", origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        let answer = preflight(&server, "/api/users/heartbeat/", origin, "POST").await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "preflight of {origin}");
    }
}

#[tokio::test]
async fn without_a_list_no_origin_may() {
    let server = TestServer::start().await;
    let answer = server.get("/healthz").header("origin", PAGE).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let answer = preflight(&server, "/api/auth/login/", PAGE, "POST").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_star_lets_every_origin_in() {
    let server = listing("*").await;
    let alice = server.visitor("alice").await;
    for origin in [PAGE, OTHER, "http://anything.example:99"] {
        let answer = alice.get("/api/auth/profile/").header("origin", origin).await;
        let allowed = answer.header("access-control-allow-origin").unwrap();
        assert!(allowed == "*" || allowed == origin, "{allowed}");
        let answer = preflight(&server, "/api/users/heartbeat/", origin, "POST").await;
        assert!(answer.header("access-control-allow-origin").is_some());
    }
}

#[tokio::test]
async fn a_preflight_allows_each_method_that_the_api_has_and_the_headers_it_reads() {
    let server = listing(PAGE).await;
    let paths = [
        ("/api/auth/login/", "POST"),
        ("/api/auth/logout/", "POST"),
        ("/api/auth/profile/", "GET"),
        ("/api/users/heartbeat/", "POST"),
        ("/api/users/heartbeat", "POST"),
        ("/api/users/admin/users/", "POST"),
        ("/api/users/admin/users/1/", "PATCH"),
        ("/api/users/admin/users/1/", "DELETE"),
        ("/api/users/admin/users/1/set-online-status/", "POST"),
        ("/api/users/all-users/", "GET"),
    ];
    for (path, method) in paths {
        let answer = preflight(&server, path, PAGE, method).await;
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{path}");
        let methods = answer.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.split(',').any(|allowed| allowed.trim() == method), "{path}: {methods}");
        let headers = answer.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
        for header in ["authorization", "content-type"] {
            assert!(headers.split(',').any(|allowed| allowed.trim() == header), "{path}: {headers}");
        }
    }
}

#[tokio::test]
async fn a_preflight_needs_no_credentials_and_is_no_evidence() {
    let server = listing(PAGE).await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    let answer = preflight(&server, "/api/users/heartbeat/", PAGE, "POST").await;
    assert!(matches!(answer.status, 200 | 204));
    assert_eq!(server.shown(&admin, id).await.status, "offline");
}

#[tokio::test]
async fn errors_can_be_read_by_the_page_too() {
    let server = listing(PAGE).await;
    let alice = server.visitor("alice").await;
    let from_page = |answer: &Answer, status: u16| {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "a {status}");
        assert!(varies_by_origin(answer), "a {status}");
    };
    let origin = |call: presently_testkit::http::Call| call.header("origin", PAGE);
    from_page(&origin(server.post("/api/auth/login/").raw("{")).await, 400);
    from_page(&origin(server.get("/api/auth/profile/")).await, 401);
    from_page(&origin(server.get("/api/auth/profile/").bearer("garbage")).await, 401);
    from_page(&origin(alice.get("/api/users/admin/users/")).await, 403);
    from_page(&origin(alice.get("/no/such/path")).await, 404);
    from_page(&origin(server.get("/no/such/path")).await, 404);
    from_page(&origin(server.get("/api/auth/login/")).await, 405);
    let head =
        format!("POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nContent-Length: 2000000000\r\n\r\n");
    let answer = server.raw(head.as_bytes()).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:?}");
}

#[tokio::test]
async fn a_page_may_read_the_headers_it_needs() {
    let server = listing(PAGE).await;
    let answer = server.get("/api/auth/profile/").header("origin", PAGE).await;
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
    for header in ["x-request-id", "retry-after"] {
        assert!(exposed.split(',').any(|shown| shown.trim() == header), "{header} in {exposed:?}");
    }
}

#[tokio::test]
async fn an_options_that_is_no_preflight_does_nothing_bad() {
    let server = listing(PAGE).await;
    let answer = server.call(Method::OPTIONS, "/api/auth/login/").await;
    assert!(matches!(answer.status, 200 | 204 | 405), "{}", answer.status);
}

async fn listing(origins: &str) -> TestServer {
    let origins = origins.to_owned();
    TestServer::start_with(move |settings| {
        settings.cors_origins = CorsOrigins::parse(&origins).expect("origins");
    })
    .await
}

async fn preflight(server: &TestServer, path: &str, origin: &str, method: &str) -> Answer {
    let call = server.call(Method::OPTIONS, path).header("origin", origin);
    let call = call.header("access-control-request-method", method);
    call.header("access-control-request-headers", "authorization,content-type").await
}

fn varies_by_origin(answer: &Answer) -> bool {
    let vary = answer.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok());
    vary.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("origin"))
}
