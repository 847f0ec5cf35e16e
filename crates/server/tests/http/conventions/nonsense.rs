//! No input gives a 5xx: that each answer is none is checked in the harness, so these only have to send.

use presently_testkit::PASSWORD;
use presently_testkit::http::TestServer;
use serde_json::json;

use crate::routes::ROUTES;

/// Values as they are written in JSON, or nearly.
fn values() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e999",
        "-1e999",
        "1e-999",
        "123456789012345678901234567890",
        "-0",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "NaN",
        "Infinity",
        "\"\"",
        "\" \"",
        r#""\u0000""#,
        r#""a\u0000b""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "\"\u{1F600}\"",
        "\"\u{202e}evil\"",
        "\"e\u{301}\"",
        "\"\u{feff}\"",
        "\"<script>alert(1)</script>\"",
        "\"' OR 1=1 --\"",
        "\"%00\"",
        "\"../../etc\"",
        "\"online\\u0000\"",
        "[]",
        "[null]",
        "{}",
        "{\"a\":{\"b\":[]}}",
        "\"2026-01-01T00:00:00Z\"",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    values.push(format!("\"{}\"", "a".repeat(10_000)));
    values.push(format!("\"{}\"", "\u{1F600}".repeat(3_000)));
    values.push(format!("{}1{}", "[".repeat(3_000), "]".repeat(3_000)));
    values.push("9".repeat(5_000));
    values
}

const FIELDS: &[&str] = &[
    "username",
    "password",
    "email",
    "refresh",
    "token",
    "refresh_token",
    "activity",
    "session",
    "status",
    "expires_in",
    "reason",
    "role",
    "first_name",
    "last_name",
    "is_active",
    "is_staff",
    "avatar",
    "bio",
];

#[tokio::test]
async fn no_value_in_any_field_of_any_path_is_too_much() {
    let server = TestServer::start_with(|settings| settings.registration = presently_server::Registration::Open).await;
    let admin = server.admin().await;
    let victim = server.account("victim").await;
    for route in ROUTES {
        for method in route.allowed().filter(|method| !matches!(method.as_str(), "GET" | "DELETE")) {
            for value in values() {
                // A token of its own for each: some of these calls end it.
                let token = server.foreign_token(admin.id);
                let fields = if value.len() > 1_000 { &FIELDS[..3] } else { FIELDS };
                let fields: Vec<_> = fields.iter().map(|field| format!("\"{field}\":{value}")).collect();
                let path = route.about(victim);
                let call = || server.call(method.clone(), &path).bearer(&token);
                call().json_text(&value).await;
                call().json_text(&format!("{{{}}}", fields.join(","))).await;
            }
            server.advance(presently_testkit::secs(2)).await;
        }
    }
    server.login("boss").await.beat().await;
}

#[tokio::test]
async fn one_strange_field_among_good_ones_is_not_too_much() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let victim = server.account("victim").await;
    let user = format!("/api/users/admin/users/{victim}/");
    for value in values() {
        for field in ["username", "email", "first_name", "last_name", "role", "is_staff"] {
            let body = format!(r#"{{"{field}":{value}}}"#);
            let answer = admin.patch(&user).json_text(&body).await;
            assert!(matches!(answer.status, 200 | 400), "{body}: {}", answer.text);
        }
        for field in ["activity", "session"] {
            let body = format!(r#"{{"{field}":{value}}}"#);
            let answer = admin.post("/api/users/heartbeat/").json_text(&body).await;
            assert!(matches!(answer.status, 200 | 400), "{body}: {}", answer.text);
        }
        for body in [format!(r#"{{"status":{value}}}"#), format!(r#"{{"status":"away","expires_in":{value}}}"#)] {
            let answer = admin.post(&format!("{user}set-online-status/")).json_text(&body).await;
            assert!(matches!(answer.status, 200 | 400), "{body}: {}", answer.text);
        }
        let body = format!(r#"{{"username":{value},"password":"wrong password"}}"#);
        let answer = server.post("/api/auth/login/").json_text(&body).await;
        assert!(matches!(answer.status, 400 | 401 | 429), "{body}: {}", answer.text);
    }
    admin.beat().await;
}

#[tokio::test]
async fn a_nul_in_a_name_makes_no_account() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for field in ["username", "email", "first_name", "last_name"] {
        let mut draft = json!({"username": "new", "email": "new@example.org", "password": PASSWORD});
        draft[field] = json!("a\u{0}b");
        admin.post("/api/users/admin/users/").json(draft).await.names_field(field);
    }
}

#[tokio::test]
async fn a_key_that_comes_twice_is_no_trouble() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let body = format!(r#"{{"username":"alice","username":"bob","password":"{PASSWORD}"}}"#);
    let answer = server.post("/api/auth/login/").json_text(&body).await;
    assert!(matches!(answer.status, 200 | 400 | 401), "{}", answer.text);
}

#[tokio::test]
async fn no_query_is_too_much() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("victim").await;
    let long = "a".repeat(8_000);
    let strange = [
        "",
        "0",
        "-1",
        "1.5",
        "1e9",
        "abc",
        "%00",
        "a%00b",
        "%ff",
        "%",
        "%zz",
        "+",
        "%20",
        "%F0%9F%98%80",
        "null",
        "[]",
        "99999999999999999999999999",
        "18446744073709551615",
        "9223372036854775807",
        "4294967296",
        "' OR 1=1 --",
        "%25_",
        "*",
        "%5C",
        "a&a=b",
        "=",
        "==",
        &long,
    ];
    let keys = ["page", "per_page", "search", "status", "role", "online_status", "ordering", "limit", "cursor"];
    for path in ["/api/users/admin/users/", "/api/users/admin/users/online/", "/api/users/all-users/"] {
        for key in keys {
            for value in strange {
                let target = format!("{path}?{key}={}", value.replace(' ', "%20").replace('\'', "%27"));
                let answer = admin.get(&target).await;
                assert!(matches!(answer.status, 200 | 400 | 404 | 414), "{target}: {}", answer.text);
            }
            admin.get(&format!("{path}?{key}")).await;
            admin.get(&format!("{path}?{key}=1&{key}=2")).await;
            admin.get(&format!("{path}?{key}[]=1&&&=&{key}[a]=2")).await;
        }
    }
    admin.beat().await;
}

#[tokio::test]
async fn no_authorization_header_is_too_much() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let long = format!("Bearer {}", "a".repeat(7_000));
    let dots = format!("Bearer {}", ".".repeat(2_000));
    let twice = format!("Bearer {} {}", alice.access, alice.access);
    let comma = format!("Bearer {}, Bearer {}", alice.access, alice.access);
    let basic = "Basic YWxpY2U6cGFzc3dvcmQ=";
    let strange = [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer null",
        "Bearer undefined",
        "Bearer a.b.c",
        "Bearer ..",
        basic,
        "Token abc",
        "Bearer\ta.b.c",
        &alice.access,
        &long,
        &dots,
        &twice,
        &comma,
    ];
    for value in strange {
        for path in ["/api/auth/profile/", "/api/users/admin/users/online/"] {
            let answer = server.get(path).header("authorization", value).await;
            assert_eq!(answer.status, 401, "{value:?}: {}", answer.text);
        }
        let answer = server.post("/api/users/heartbeat/").header("authorization", value).await;
        assert_eq!(answer.status, 401, "{value:?}: {}", answer.text);
    }
    let answer = server.get("/api/auth/profile/").header_bytes("authorization", b"Bearer \xff\xfe").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn two_authorization_headers_are_no_trouble() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let answer = alice.get("/api/auth/profile/").header("authorization", "Bearer garbage").await;
    assert!(matches!(answer.status, 200 | 400 | 401), "{}", answer.text);
    let answer = server.get("/api/auth/profile/").bearer("garbage").bearer(&alice.access).await;
    assert!(matches!(answer.status, 200 | 400 | 401), "{}", answer.text);
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for scheme in ["bearer", "BEARER", "Bearer"] {
        let value = format!("{scheme} {}", alice.access);
        server.get("/api/auth/profile/").header("authorization", &value).await.ok();
        server.post("/api/users/heartbeat/").header("authorization", &value).await.ok();
    }
}

#[tokio::test]
async fn headers_of_some_length_are_read_and_longer_ones_are_a_431() {
    let server = TestServer::start().await;
    let answer = server.get("/healthz").header("x-long", &"a".repeat(4_000)).await;
    assert_eq!(answer.status, 200);
    for length in [20_000, 30_000] {
        let answer = server.get("/healthz").header("x-long", &"a".repeat(length)).await;
        assert_eq!(answer.status, 431, "{length}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_very_long_path_is_a_404_or_a_414() {
    let server = TestServer::start().await;
    for length in [1_000, 10_000, 30_000] {
        let path = format!("/api/{}", "a".repeat(length));
        let answer = server.get(&path).await;
        assert!(matches!(answer.status, 404 | 414 | 431), "{length}: {}", answer.status);
        let path = format!("/{}", "a/".repeat(length / 2));
        let answer = server.get(&path).await;
        assert!(matches!(answer.status, 404 | 414 | 431), "{length}: {}", answer.status);
    }
}
