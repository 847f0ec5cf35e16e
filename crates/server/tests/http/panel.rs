//! What the panel is served and asks: its files, its cookies, and the figures and the log that it shows.

use std::collections::{BTreeMap, BTreeSet};

use presently_accounts::{Draft, Role};
use presently_server::CorsOrigins;
use presently_testkit::http::{Answer, Call, OneNode, TestServer, assert_time, keys};
use presently_testkit::{PASSWORD, secs};
use reqwest::Method;
use serde_json::{Value, json};

const OWN: (&str, &str) = ("x-presently-panel", "1");

/// The two cookies that an answer sets, as a browser sends them back: the access token's, and the refresh token's.
fn cookies(answer: &Answer) -> (String, String) {
    let set: Vec<&str> = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let of = |name: &str| {
        let cookie = set.iter().find(|cookie| cookie.starts_with(name)).unwrap_or_else(|| panic!("{name}: {set:?}"));
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(attribute), "{attribute}: {cookie}");
        }
        cookie.split(';').next().unwrap().to_owned()
    };
    (of("presently_session="), of("presently_refresh="))
}

fn sign_in(server: &TestServer, username: &str, password: &str) -> Call {
    server.post("/admin/session").header(OWN.0, OWN.1).json(json!({"username": username, "password": password}))
}

/// An admin with cookies in the place of tokens.
struct Seat {
    session: String,
    refresh: String,
    id: i64,
}

impl Seat {
    async fn take(server: &TestServer) -> Self {
        let admin = server.admin().await;
        let answer = sign_in(server, &admin.username, PASSWORD).await;
        let (session, refresh) = cookies(&answer);
        Self { session, refresh, id: answer.ok()["user"]["id"].as_i64().unwrap() }
    }

    fn call(&self, server: &TestServer, method: Method, path: &str) -> Call {
        server.call(method, path).header("cookie", &format!("{}; {}", self.session, self.refresh))
    }
}

#[tokio::test]
async fn every_page_and_file_is_local_and_under_a_strict_policy() {
    let server = TestServer::start().await;
    for path in ["/admin", "/admin/", "/admin/troubleshooting", "/admin/app.js", "/admin/style.css", "/admin/icon.svg"]
    {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for rule in ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(policy.contains("require-trusted-types-for 'script'"), "{path}: {policy}");
        for lax in ["unsafe", "*", "data:", "http"] {
            assert!(!policy.contains(lax), "{path}: {policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        let tag = answer.header("etag").unwrap().to_owned();
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        let again = server.get(path).header("if-none-match", &tag).status().await;
        assert_eq!(again, 304, "{path}");
    }
    for path in ["/admin/nothing.js", "/admin/%2e%2e%2fCargo.toml", "/admin/session.js"] {
        server.get(path).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_admin_signs_in_by_cookie_and_is_online() {
    let server = TestServer::start().await;
    let watcher = server.visitor("watcher").await;
    let seat = Seat::take(&server).await;
    assert_eq!(server.shown(&watcher, seat.id).await.status, "online");
    seat.call(&server, Method::GET, "/api/users/admin/overview/").await.ok();
    let made = seat.call(&server, Method::POST, "/api/users/admin/users/").header(OWN.0, OWN.1);
    made.json(json!({"username": "made", "password": PASSWORD})).await.is(201);
}

#[tokio::test]
async fn who_is_no_admin_gets_no_cookie_and_is_not_shown_online() {
    let server = TestServer::start().await;
    let watcher = server.visitor("watcher").await;
    let id = server.account("plain").await;
    let answer = sign_in(&server, "plain", PASSWORD).await;
    answer.problem(403, "not_an_admin");
    assert!(answer.header("set-cookie").is_none());
    assert_eq!(server.shown(&watcher, id).await.status, "offline");
    let refused = sign_in(&server, "plain", "wrong").await;
    refused.problem(401, "invalid_credentials");
    assert!(refused.header("set-cookie").is_none());
    sign_in(&server, "", "").await.problem(400, "credentials_required");
}

#[tokio::test]
async fn a_page_of_another_site_can_do_nothing_with_the_cookie() {
    let server = TestServer::start().await;
    let seat = Seat::take(&server).await;
    let path = format!("/api/users/admin/users/{}/", server.account("victim").await);
    // A form sends no header of its own; a browser says from where a request came.
    seat.call(&server, Method::DELETE, &path).await.problem(401, "not_authenticated");
    for site in ["cross-site", "same-site"] {
        let call = seat.call(&server, Method::DELETE, &path).header(OWN.0, OWN.1).header("sec-fetch-site", site);
        call.await.problem(401, "not_authenticated");
        let call = seat.call(&server, Method::GET, &path).header("sec-fetch-site", site);
        call.await.problem(401, "not_authenticated");
    }
    seat.call(&server, Method::GET, &path).header("sec-fetch-site", "same-origin").await.ok();
    // Nor sign its reader in or out.
    let forged = server.post("/admin/session").json(json!({"username": "boss", "password": PASSWORD}));
    forged.await.problem(403, "not_from_the_panel");
    seat.call(&server, Method::DELETE, "/admin/session").await.problem(403, "not_from_the_panel");
    seat.call(&server, Method::POST, "/admin/session/refresh").await.problem(403, "not_from_the_panel");
    seat.call(&server, Method::GET, &path).await.ok();
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_say_that_it_is_the_panel() {
    let server = TestServer::start_with(|settings| settings.cors_origins = CorsOrigins::Any).await;
    let origin = "https://elsewhere.example";
    let preflight = server.call(Method::OPTIONS, "/api/users/admin/users/").header("origin", origin);
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-presently-panel")
        .await;
    let allowed = preflight.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    assert!(!allowed.contains('*') && !allowed.contains("x-presently-panel"), "{allowed}");
    // And what is allowed is allowed without cookies.
    for answer in [preflight, server.get("/admin/session").header("origin", origin).await] {
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn who_is_signed_in_is_told_to_everybody_and_is_never_an_error() {
    let server = TestServer::start_with(|settings| settings.access_token_lifetime = secs(60)).await;
    let nobody = |renewable: bool| json!({"user": null, "expires_in": null, "renewable": renewable});
    let answer = server.get("/admin/session").await;
    assert_eq!(answer.ok(), nobody(false));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let seat = Seat::take(&server).await;
    server.advance(secs(20)).await;
    let told = seat.call(&server, Method::GET, "/admin/session").await.ok();
    assert_eq!((&told["user"]["id"], &told["renewable"]), (&json!(seat.id), &json!(true)), "{told}");
    assert_eq!((&told["user"]["online_status"], &told["expires_in"]), (&json!("online"), &json!(40)), "{told}");
    let elsewhere = seat.call(&server, Method::GET, "/admin/session").header("sec-fetch-site", "cross-site");
    assert_eq!(elsewhere.await.ok(), nobody(false));
    server.advance(secs(41)).await;
    assert_eq!(seat.call(&server, Method::GET, "/admin/session").await.ok(), nobody(true));
    let plain = server.visitor("plain").await;
    let told = server.get("/admin/session").header("cookie", &format!("presently_session={}", plain.access));
    assert_eq!(told.await.ok(), nobody(false));
}

#[tokio::test]
async fn the_cookie_of_who_is_no_admin_any_more_opens_nothing() {
    let server = TestServer::start().await;
    let other = server.admin().await;
    let draft = Draft { username: "second".into(), password: PASSWORD.into(), role: Role::Admin, ..Draft::default() };
    server.account_with(draft).await;
    let answer = sign_in(&server, "second", PASSWORD).await;
    let (session, refresh) = cookies(&answer);
    let seat = Seat { session, refresh, id: answer.ok()["user"]["id"].as_i64().unwrap() };
    seat.call(&server, Method::GET, "/api/users/admin/audit/").await.ok();
    let path = format!("/api/users/admin/users/{}/", seat.id);
    other.patch(&path).json(json!({"role": "user", "is_staff": false})).await.ok();
    seat.call(&server, Method::GET, "/api/users/admin/audit/").await.problem(403, "permission_denied");
    assert_eq!(seat.call(&server, Method::GET, "/admin/session").await.ok()["user"], Value::Null);
    other.act(seat.id, "suspend").await;
    seat.call(&server, Method::GET, "/api/users/admin/audit/").await.problem(401, "token_not_valid");
    let refused = seat.call(&server, Method::POST, "/admin/session/refresh").header(OWN.0, OWN.1).await;
    refused.problem(401, "token_not_valid");
    assert_eq!(cookies(&refused), ("presently_session=".to_owned(), "presently_refresh=".to_owned()));
}

#[tokio::test]
async fn passwords_cannot_be_guessed_through_the_panel() {
    let server = TestServer::start().await;
    server.speak_to(OneNode::CountsFailedLogins);
    let admin = server.admin().await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(sign_in(&server, &admin.username, "a guess").status().await);
    }
    assert!(statuses.starts_with(&[401; 9]), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_token_that_is_given_counts_and_not_the_cookie() {
    let server = TestServer::start().await;
    let seat = Seat::take(&server).await;
    let plain = server.visitor("plain").await;
    let call = seat.call(&server, Method::GET, "/api/users/admin/users/").bearer(&plain.access);
    call.await.problem(403, "permission_denied");
    let call = seat.call(&server, Method::GET, "/api/users/admin/users/").header("authorization", "Bearer garbage");
    call.await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn signing_out_ends_the_session_and_takes_the_cookies_back() {
    let server = TestServer::start().await;
    let seat = Seat::take(&server).await;
    let answer = seat.call(&server, Method::DELETE, "/admin/session").header(OWN.0, OWN.1).await;
    answer.is(204);
    assert_eq!(cookies(&answer), ("presently_session=".to_owned(), "presently_refresh=".to_owned()));
    seat.call(&server, Method::GET, "/api/users/profile/").await.problem(401, "token_not_valid");
    let again = seat.call(&server, Method::POST, "/admin/session/refresh").header(OWN.0, OWN.1);
    again.await.problem(401, "token_not_valid");
    // Twice is no error: the cookies go all the same.
    seat.call(&server, Method::DELETE, "/admin/session").header(OWN.0, OWN.1).await.is(204);
}

#[tokio::test]
async fn signing_out_brings_nobody_online() {
    let server = TestServer::start().await;
    let seat = Seat::take(&server).await;
    server.advance(secs(300)).await;
    let before = server.history(seat.id).await;
    seat.call(&server, Method::POST, "/admin/session/refresh").header(OWN.0, OWN.1).await.ok();
    seat.call(&server, Method::DELETE, "/admin/session").header(OWN.0, OWN.1).await.is(204);
    assert_eq!(server.history(seat.id).await, before);
}

#[tokio::test]
async fn a_panel_that_stays_open_outlives_its_access_token() {
    let server = TestServer::start_with(|settings| settings.access_token_lifetime = secs(60)).await;
    let mut seat = Seat::take(&server).await;
    server.advance(secs(61)).await;
    seat.call(&server, Method::GET, "/api/users/profile/").await.problem(401, "token_not_valid");
    let refreshed = seat.call(&server, Method::POST, "/admin/session/refresh").header(OWN.0, OWN.1).await;
    assert_eq!(refreshed.ok()["expires_in"], 60);
    let old = std::mem::replace(&mut seat.refresh, cookies(&refreshed).1);
    seat.session = cookies(&refreshed).0;
    seat.call(&server, Method::GET, "/api/users/profile/").await.ok();
    // The old one again is theft: the session ends.
    server.advance(secs(60)).await;
    let stolen = server.post("/admin/session/refresh").header("cookie", &old).header(OWN.0, OWN.1).await;
    stolen.problem(401, "token_not_valid");
    let next = seat.call(&server, Method::POST, "/admin/session/refresh").header(OWN.0, OWN.1);
    next.await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn cookies_of_an_encrypted_connection_are_for_encrypted_connections() {
    let server =
        TestServer::start_with(|settings| settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await;
    let admin = server.admin().await;
    for (scheme, secure) in [("https", true), ("http", false)] {
        let answer = sign_in(&server, &admin.username, PASSWORD).header("x-forwarded-proto", scheme).await;
        let all = answer.headers.get_all("set-cookie").iter().all(|value| value.to_str().unwrap().contains("; Secure"));
        assert_eq!(all, secure, "{scheme}");
    }
    let https = |call: Call| call.header("x-forwarded-proto", "https");
    let answer = https(sign_in(&server, &admin.username, PASSWORD)).await;
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(
        set.iter().all(|cookie| cookie.starts_with("__Host-presently_") && cookie.contains("; Path=/;")),
        "{set:?}"
    );
    let cookies = set.iter().map(|cookie| cookie.split(';').next().unwrap()).collect::<Vec<_>>().join("; ");
    let asked = async |cookies: &str| https(server.get("/admin/session").header("cookie", cookies)).await.ok();
    assert_eq!(asked(&cookies).await["user"]["username"], *admin.username);
    // What anybody on the way could have set is not looked at.
    assert!(asked(&cookies.replace("__Host-", "")).await["user"].is_null());
    let renewed = https(server.post("/admin/session/refresh").header("cookie", &cookies).header(OWN.0, OWN.1)).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text);
}

#[tokio::test]
async fn over_https_browsers_are_told_to_stay_with_it() {
    let server =
        TestServer::start_with(|settings| settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await;
    let alice = server.visitor("alice").await;
    for path in ["/admin", "/healthz", "/nowhere"] {
        let answer = server.get(path).header("x-forwarded-proto", "https").await;
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        let plain = server.get(path).await;
        assert_eq!(plain.header("strict-transport-security"), None, "{path}");
    }
    let beat = server.post("/api/users/heartbeat/").bearer(&alice.access).header("x-forwarded-proto", "https").await;
    assert!(beat.header("strict-transport-security").is_some());
    // Only a trusted proxy is believed.
    let elsewhere = TestServer::start().await;
    let answer = elsewhere.get("/admin").header("x-forwarded-proto", "https").await;
    assert_eq!(answer.header("strict-transport-security"), None);
}

#[tokio::test]
async fn the_overview_counts_what_is() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let (ada, bob) = (server.visitor("ada").await, server.visitor("bob").await);
    ada.beat_with(json!({"activity": "idle"})).await;
    let told = admin.get("/api/users/admin/overview/").await.ok();
    assert_eq!((&told["online"], &told["away"], &told["sessions"]), (&json!(2), &json!(1), &json!(3)), "{told}");
    assert_eq!(told["store_healthy"], true);
    // Tests that share a process share its counters.
    let late = told["lateness"]["count"].as_u64().unwrap();
    assert_time(&told["as_of"]);
    server.advance(secs(125)).await;
    let told = admin.get("/api/users/admin/overview/").await.ok();
    assert_eq!((&told["online"], &told["away"]), (&json!(1), &json!(0)), "{told}");
    assert!(told["lateness"]["count"].as_u64() >= Some(late + 3), "the admin's own login fell silent too: {told}");
    assert!(told["lateness"]["within_a_second"].as_f64() > Some(0.5), "{told}");
    bob.get("/api/users/admin/overview/").await.problem(403, "permission_denied");
}

#[tokio::test]
async fn the_samples_end_now_and_outlive_a_restart() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let samples = async |server: &TestServer, window: &str| -> Vec<Value> {
        let path = format!("/api/users/admin/overview/samples/?window={window}");
        let told = server.get(&path).bearer(&server.foreign_token(admin.id)).await.ok();
        told["samples"].as_array().unwrap().clone()
    };
    let ada = server.visitor("ada").await;
    for _ in 0..5 {
        server.advance(secs(60)).await;
        ada.beat().await;
    }
    let told = samples(&server, "hour").await;
    assert_eq!(keys(&told[0]), ["at", "away", "online"]);
    assert!(told.last().unwrap()["online"].as_u64() >= Some(1), "{told:?}");
    assert!(told.windows(2).all(|two| two[0]["at"].as_str() < two[1]["at"].as_str()), "in the order of time");
    ada.logout().await;
    server.restart().await;
    let told = samples(&server, "hour").await;
    assert!((5..=8).contains(&told.len()), "the history is reckoned back to where it begins: {}", told.len());
    let there = told.iter().filter(|sample| sample["online"].as_u64() >= Some(1)).count();
    assert!((4..=8).contains(&there), "ada was there for five minutes: {there}");
    let day = samples(&server, "day").await;
    assert!((1..=3).contains(&day.len()), "{day:?}");
    let bad = admin.get("/api/users/admin/overview/samples/?window=year").await;
    bad.names_field("window");
}

#[tokio::test]
async fn a_fresh_server_invents_no_figures() {
    let server = TestServer::start().await;
    let began = server.now();
    let admin = server.admin().await;
    server.visitor("ada").await;
    server.advance(secs(5)).await;
    for window in ["hour", "day"] {
        let told = admin.get(&format!("/api/users/admin/overview/samples/?window={window}")).await.ok();
        let samples = told["samples"].as_array().unwrap();
        assert!(samples.iter().all(|sample| sample["at"].as_str() >= Some(began.as_str())), "{told}");
        assert_eq!(samples.last().unwrap()["online"], 2, "{told}");
    }
    let told = admin.get("/api/users/admin/overview/").await.ok();
    assert_eq!((&told["observed_seconds"], &told["transitions_per_minute"]), (&json!(5.0), &Value::Null), "{told}");
    assert!(
        told["heartbeats_per_second"].is_f64(),
        "five seconds are enough for what is counted by the second: {told}"
    );
    server.advance(secs(60)).await;
    let told = admin.get("/api/users/admin/overview/").await.ok();
    assert!(told["observed_seconds"].as_f64() >= Some(60.0) && told["transitions_per_minute"].is_f64(), "{told}");
}

#[tokio::test]
async fn what_is_reckoned_back_is_what_was_counted() {
    let mut server = TestServer::start().await;
    let admin = server
        .account_with(Draft {
            username: "root".into(),
            password: PASSWORD.into(),
            role: Role::Admin,
            ..Draft::default()
        })
        .await;
    let samples = async |server: &TestServer| -> BTreeMap<String, (u64, u64)> {
        let token = server.foreign_token(admin);
        let told = server.get("/api/users/admin/overview/samples/").bearer(&token).await.ok();
        let sample = |sample: &Value| {
            let number = |name: &str| sample[name].as_u64().unwrap();
            (sample["at"].as_str().unwrap().to_owned(), (number("online"), number("away")))
        };
        told["samples"].as_array().unwrap().iter().map(sample).collect()
    };
    // Half a minute from every sample somebody comes, falls idle, falls silent or goes.
    server.advance(secs(7)).await;
    let (ada, bob) = (server.visitor("ada").await, server.visitor("bob").await);
    for minute in 0..10 {
        server.advance(secs(30)).await;
        if minute < 6 {
            ada.beat_with(json!({"activity": if minute % 3 == 2 { "idle" } else { "active" }})).await;
        }
        if minute == 1 {
            bob.beat_with(json!({"activity": "idle"})).await;
        }
        if minute == 3 {
            bob.logout().await;
        }
        server.advance(secs(30)).await;
    }
    server.advance(secs(53)).await;
    let mut counted = samples(&server).await;
    // The newest is of the moment of the question.
    counted.pop_last();
    server.restart().await;
    let reckoned = samples(&server).await;
    let both: Vec<_> = counted.iter().filter_map(|(at, then)| Some((at, then, reckoned.get(at)?))).collect();
    assert!(both.len() >= 7, "the same moments: {counted:?} {reckoned:?}");
    assert!(both.iter().all(|(_, then, now)| then == now), "{both:?}");
    let seen: BTreeSet<_> = both.iter().map(|(_, then, _)| **then).collect();
    assert!(seen.len() >= 4, "it was not always the same: {seen:?}");
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_to_whom() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account("victim").await;
    let suspend = admin.post(&format!("/api/users/admin/users/{id}/suspend/")).json(json!({"reason": "too loud"}));
    suspend.await.ok();
    admin.delete(&format!("/api/users/admin/users/{id}/")).await.is(204);
    let told = admin.get("/api/users/admin/audit/").await.ok();
    let lines = told["entries"].as_array().unwrap();
    let of =
        |action: &str| lines.iter().find(|line| line["action"] == action).unwrap_or_else(|| panic!("{action}: {told}"));
    let suspended = of("suspend");
    assert_eq!(suspended["actor"], json!({"id": admin.id, "username": admin.username}));
    assert_eq!(suspended["target"], json!({"id": id, "username": null}), "an erased account has no name left");
    assert!(suspended["detail"].as_str().unwrap().contains("too loud"), "{suspended}");
    assert_time(&suspended["at"]);
    assert!(of("delete")["id"].as_i64() > suspended["id"].as_i64());
    // In pages, newest first.
    let page = admin.get("/api/users/admin/audit/?limit=1").await.ok();
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
    let next = admin.get(&format!("/api/users/admin/audit/?limit=1&before={}", page["next_before"])).await.ok();
    assert!(next["entries"][0]["id"].as_i64() < page["entries"][0]["id"].as_i64());
    for bad in ["limit=0", "limit=501", "limit=x", "before=x"] {
        let field = bad.split('=').next().unwrap();
        admin.get(&format!("/api/users/admin/audit/?{bad}")).await.names_field(field);
    }
}
