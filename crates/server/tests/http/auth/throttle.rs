//! Who guesses passwords is slowed down; who knows theirs is not.

use presently_testkit::http::{Answer, OneNode, TestServer};
use presently_testkit::{PASSWORD, secs};
use serde_json::json;

#[tokio::test]
async fn nine_wrong_passwords_in_a_minute_are_nine_401s() {
    let server = TestServer::start().await;
    server.account("alice").await;
    for _ in 0..9 {
        server.try_login("alice", "wrong password").await.problem(401, "invalid_credentials");
        server.advance(secs(5)).await;
    }
    server.try_login("alice", PASSWORD).await.ok();
}

#[tokio::test]
async fn repeated_failures_end_in_a_429_that_says_when_to_come_back() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let refused = guess_until_throttled(&server, "alice", None).await;
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    server.try_login("alice", PASSWORD).await.is(429);
    server.advance(secs(wait)).await;
    server.try_login("alice", PASSWORD).await.ok();
}

#[tokio::test]
async fn an_unknown_name_is_throttled_alike() {
    let server = TestServer::start().await;
    for _ in 0..9 {
        server.try_login("nobody", "wrong password").await.problem(401, "invalid_credentials");
    }
    guess_until_throttled(&server, "nobody", None).await;
}

#[tokio::test]
async fn other_accounts_are_not_hit() {
    let server = TestServer::start().await;
    server.account("alice").await;
    server.account("bob").await;
    guess_until_throttled(&server, "alice", None).await;
    server.try_login("bob", PASSWORD).await.ok();
    server.try_login("bob", "wrong password").await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn the_right_owner_at_an_address_of_their_own_is_not_hit() {
    let server = behind_a_proxy().await;
    server.account("alice").await;
    guess_until_throttled(&server, "alice", Some("203.0.113.9")).await;
    login_from(&server, "alice", PASSWORD, "203.0.113.9").await.is(429);
    login_from(&server, "alice", PASSWORD, "198.51.100.7").await.ok();
    login_from(&server, "alice", PASSWORD, "2001:db8::7").await.ok();
}

#[tokio::test]
async fn many_addresses_that_guess_do_not_lock_the_owner_out() {
    let server = behind_a_proxy().await;
    server.account("alice").await;
    for attacker in 0..40 {
        login_from(&server, "alice", "wrong password", &format!("203.0.113.{attacker}")).await.is(401);
    }
    login_from(&server, "alice", PASSWORD, "198.51.100.7").await.ok();
}

#[tokio::test]
async fn forwarded_for_is_ignored_from_who_is_no_trusted_proxy() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let mut throttled = false;
    for guess in 0..60 {
        let answer = login_from(&server, "alice", "wrong password", &format!("203.0.113.{guess}")).await;
        throttled |= answer.status == 429;
    }
    assert!(throttled, "a header that anybody can write opened the door");
}

#[tokio::test]
async fn behind_a_proxy_only_the_address_that_the_proxy_saw_counts() {
    let server = behind_a_proxy().await;
    server.account("alice").await;
    let mut throttled = false;
    for guess in 0..60 {
        let forwarded = format!("198.51.100.{guess}, 203.0.113.9");
        throttled |= login_from(&server, "alice", "wrong password", &forwarded).await.status == 429;
    }
    assert!(throttled, "the part of the header that the client wrote opened the door");
}

#[tokio::test]
async fn a_broken_forwarded_for_is_no_trouble() {
    let server = behind_a_proxy().await;
    server.account("alice").await;
    for forwarded in
        ["", ",", "garbage", "1.2.3.4.5", "[::1]:99", "198.51.100.7:1234", "unknown, , x", &"1,".repeat(500)]
    {
        login_from(&server, "alice", PASSWORD, forwarded).await.ok();
    }
}

#[tokio::test]
async fn the_failures_of_a_minute_ago_are_forgotten() {
    let server = TestServer::start().await;
    server.account("alice").await;
    for _ in 0..5 {
        for _ in 0..4 {
            server.try_login("alice", "wrong password").await.problem(401, "invalid_credentials");
        }
        server.advance(secs(61)).await;
    }
    server.try_login("alice", PASSWORD).await.ok();
}

#[tokio::test]
async fn who_sends_the_right_password_is_never_throttled_by_it() {
    let server = TestServer::start().await;
    server.account("alice").await;
    for _ in 0..25 {
        server.try_login("alice", PASSWORD).await.ok();
    }
}

#[tokio::test]
async fn a_429_tells_nothing_of_the_password() {
    let server = TestServer::start().await;
    server.account("alice").await;
    guess_until_throttled(&server, "alice", None).await;
    let right = server.try_login("alice", PASSWORD).await;
    let wrong = server.try_login("alice", "wrong password").await;
    assert_eq!(right.is(429), wrong.is(429));
}

#[tokio::test]
async fn a_hundred_failures_of_one_address_are_too_many_whatever_the_names() {
    let server = behind_a_proxy().await;
    server.account("alice").await;
    server.speak_to(OneNode::CountsFailedLogins);
    for guess in 0..100 {
        login_from(&server, &format!("name{guess}"), "wrong password", "203.0.113.9").await.is(401);
    }
    let refused = login_from(&server, "alice", PASSWORD, "203.0.113.9").await;
    assert_eq!(refused.header("retry-after"), Some("300"));
    refused.problem(429, "too_many_attempts");
    login_from(&server, "alice", PASSWORD, "198.51.100.7").await.ok();
    server.advance(secs(300)).await;
    login_from(&server, "alice", PASSWORD, "203.0.113.9").await.ok();
}

#[tokio::test]
async fn names_that_nobody_can_have_count_for_the_address_too() {
    let server = behind_a_proxy().await;
    server.speak_to(OneNode::CountsFailedLogins);
    for guess in 0..100 {
        let name = format!("{guess}{}", "x".repeat(200));
        login_from(&server, &name, "wrong password", "2001:db8:0:9::1").await.is(401);
    }
    login_from(&server, "alice", PASSWORD, "2001:db8:0:9:ffff::2").await.problem(429, "too_many_attempts");
    login_from(&server, "alice", PASSWORD, "2001:db8:0:a::1").await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_page_of_another_site_fails_nothing_on_its_visitors_behalf() {
    let server = TestServer::start_with(|settings| {
        settings.cors_origins = presently_server::CorsOrigins::parse("https://app.example").expect("an origin");
    })
    .await;
    server.account("alice").await;
    let from = |path: &str, origin: &str, password: &str| {
        let call = server.post(path).header("sec-fetch-site", "cross-site").header("origin", origin);
        call.json(json!({"username": "alice", "password": password}))
    };
    for path in
        ["/api/auth/login/", "/api/users/login", "/api/auth/register/", "/api/users/register/", "/admin/session"]
    {
        for _ in 0..12 {
            from(path, "https://evil.example", "wrong password").await.problem(403, "origin_refused");
        }
    }
    from("/api/auth/login/", "null", PASSWORD).await.problem(403, "origin_refused");
    server.try_login("alice", PASSWORD).await.ok();
    from("/api/auth/login/", "https://app.example", PASSWORD).await.ok();
}

async fn behind_a_proxy() -> TestServer {
    TestServer::start_with(|settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a net")];
    })
    .await
}

async fn login_from(server: &TestServer, username: &str, password: &str, forwarded_for: &str) -> Answer {
    let call = server.post("/api/auth/login/").header("x-forwarded-for", forwarded_for);
    call.json(json!({"username": username, "password": password})).await
}

async fn guess_until_throttled(server: &TestServer, username: &str, from: Option<&str>) -> Answer {
    server.speak_to(OneNode::CountsFailedLogins);
    for guess in 0..60 {
        let password = format!("guess number {guess}");
        let answer = match from {
            Some(from) => login_from(server, username, &password, from).await,
            None => server.try_login(username, &password).await,
        };
        if answer.status == 429 {
            return answer;
        }
        answer.problem(401, "invalid_credentials");
    }
    panic!("sixty wrong passwords in no time were not too many");
}
