//! Methods: which are allowed, and that credentials come first.

use presently_testkit::http::TestServer;
use reqwest::Method;

use crate::routes::{ROUTES, Who};

#[tokio::test]
async fn a_wrong_method_is_a_405_that_lists_the_right_ones() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.account("alice").await;
    for route in ROUTES {
        let path = route.about(alice);
        for method in route.refused() {
            let answer = admin.call(method.clone(), &path).await;
            answer.problem(405, "method_not_allowed");
            let allow = answer.header("allow").unwrap().to_owned();
            let mut allowed: Vec<_> = allow.split(',').map(str::trim).collect();
            allowed.retain(|method| *method != "HEAD" && *method != "OPTIONS");
            allowed.sort_unstable();
            let mut expected = route.methods.to_vec();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_on_a_path_for_anyone_needs_no_credentials_to_be_a_405() {
    let server = TestServer::start().await;
    for route in ROUTES.iter().filter(|route| route.who == Who::Anyone) {
        for method in route.refused() {
            server.call(method, route.path).await.problem(405, "method_not_allowed");
        }
    }
}

#[tokio::test]
async fn credentials_are_checked_before_the_method() {
    let server = TestServer::start().await;
    let alice = server.account("alice").await;
    for route in ROUTES.iter().filter(|route| route.who != Who::Anyone) {
        let path = route.about(alice);
        for method in route.allowed().chain(route.refused()) {
            server.call(method.clone(), &path).await.problem(401, "not_authenticated");
            server.call(method, &path).bearer("garbage").await.problem(401, "token_not_valid");
        }
    }
}

#[tokio::test]
async fn credentials_are_checked_before_the_body() {
    let server = TestServer::start().await;
    let alice = server.account("alice").await;
    for route in ROUTES.iter().filter(|route| route.who != Who::Anyone) {
        for method in route.allowed().filter(|method| *method != Method::GET) {
            let call = server.call(method, &route.about(alice)).header("content-type", "application/json").raw("{");
            call.await.problem(401, "not_authenticated");
        }
    }
}

#[tokio::test]
async fn who_is_no_admin_may_not_administer() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let bob = server.visitor("bob").await;
    for route in ROUTES.iter().filter(|route| route.who == Who::Admin) {
        for method in route.allowed() {
            alice.call(method, &route.about(bob.id)).await.problem(403, "permission_denied");
        }
    }
    bob.beat().await;
}

#[tokio::test]
async fn permission_comes_before_whether_the_user_exists() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for route in ROUTES.iter().filter(|route| route.who == Who::Admin && route.is_about_somebody()) {
        for method in route.allowed() {
            alice.call(method, &route.about(999_999)).await.problem(403, "permission_denied");
        }
    }
}

#[tokio::test]
async fn a_moderator_is_no_admin_and_staff_is_one() {
    use presently_accounts::{Draft, Role};
    let server = TestServer::start().await;
    server.account_with(Draft { role: Role::Moderator, ..presently_testkit::http::draft("mod") }).await;
    server.account_with(Draft { is_staff: true, ..presently_testkit::http::draft("staff") }).await;
    server.login("mod").await.get("/api/users/admin/users/").await.problem(403, "permission_denied");
    server.login("staff").await.get("/api/users/admin/users/").await.ok();
}

#[tokio::test]
async fn everything_about_an_unknown_user_is_user_not_found() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for route in ROUTES.iter().filter(|route| route.is_about_somebody()) {
        for method in route.allowed() {
            let mut call = admin.call(method.clone(), &route.about(999_999));
            if method != Method::GET && method != Method::DELETE {
                call = call.json(serde_json::json!({"status": "away"}));
            }
            call.await.problem(404, "user_not_found");
        }
    }
}

#[tokio::test]
async fn a_user_that_is_no_number_is_a_404() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let strange = [
        "abc",
        "0",
        "-1",
        "1.5",
        "0x1",
        "+1",
        "%20",
        "%00",
        "%ff",
        "%F0%9F%98%80",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999999999",
        "-9223372036854775809",
        "1%2F2",
        "1e3",
        "null",
    ];
    for route in ROUTES.iter().filter(|route| route.is_about_somebody()) {
        for id in strange {
            for method in route.allowed() {
                let mut call = admin.call(method.clone(), &route.path.replace("{id}", id));
                if method != Method::GET && method != Method::DELETE {
                    call = call.json(serde_json::json!({"status": "away"}));
                }
                let answer = call.await;
                assert_eq!(answer.status, 404, "{method} {} with {id}: {}", route.path, answer.text);
            }
        }
    }
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for path in ["/api/auth/profile/", "/api/users/heartbeat/", "/api/users/all-users/"] {
        let answer = alice.call(Method::HEAD, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.text, "", "{path}");
    }
    let answer = server.call(Method::HEAD, "/healthz").await;
    assert_eq!(answer.status, 200);
}
