//! What a token opens, and which do not.

use presently_accounts::{AccountStatus, Role};
use presently_testkit::http::{SECRET, Shown, TestServer, Visitor, signed, signed_by};
use presently_testkit::secs;
use serde_json::{Value, json};

#[tokio::test]
async fn no_credentials_are_not_authenticated() {
    let server = TestServer::start().await;
    server.get("/api/auth/profile/").await.problem(401, "not_authenticated");
}

#[tokio::test]
async fn garbage_is_not_valid() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let (head, _) = alice.access.rsplit_once('.').unwrap();
    let flipped = {
        let mut bytes = alice.access.clone().into_bytes();
        let middle = bytes.len() / 2;
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let bad = ["garbage", "a.b.c", "..", head, &format!("{head}."), &flipped, &format!("{}.x", alice.access)];
    for token in bad {
        server.get("/api/auth/profile/").bearer(token).await.problem(401, "token_not_valid");
    }
    alice.beat().await;
}

#[tokio::test]
async fn a_token_of_another_secret_is_not_valid() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let claims = server.foreign_claims(alice.id);
    refused(&server, &signed_by("another secret that is also long enough", &claims)).await;
    refused(&server, &signed_by("", &claims)).await;
    refused(&server, &signed_by(&SECRET.to_uppercase(), &claims)).await;
}

#[tokio::test]
async fn alg_none_is_not_valid() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let (_, middle, signature) = parts(&alice.access);
    for none in ["none", "None", "NONE", "nOnE"] {
        let head = base64url(json!({"alg": none, "typ": "JWT"}).to_string().as_bytes());
        for token in [format!("{head}.{middle}."), format!("{head}.{middle}"), format!("{head}.{middle}.{signature}")] {
            refused(&server, &token).await;
        }
    }
}

#[tokio::test]
async fn only_the_servers_own_algorithm_is_taken() {
    let server = TestServer::start().await;
    let id = server.account("alice").await;
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    for algorithm in [jsonwebtoken::Algorithm::HS384, jsonwebtoken::Algorithm::HS512] {
        let header = jsonwebtoken::Header::new(algorithm);
        let token = jsonwebtoken::encode(&header, &server.foreign_claims(id), &key).unwrap();
        refused(&server, &token).await;
    }
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    refused(&server, &alice.refresh).await;
    let mut claims = server.foreign_claims(alice.id);
    for wrong in [json!("refresh"), json!("sliding"), json!("Access"), json!(""), json!(null), json!(5)] {
        claims["token_type"] = wrong;
        refused(&server, &signed(&claims)).await;
    }
    claims.as_object_mut().unwrap().remove("token_type");
    refused(&server, &signed(&claims)).await;
}

#[tokio::test]
async fn a_token_ends_when_it_says() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(alice.id, "alice");
    server.advance(secs(3_599)).await;
    alice.beat().await;
    foreign.beat().await;
    server.advance(secs(2)).await;
    alice.post("/api/users/heartbeat/").await.problem(401, "token_not_valid");
    foreign.post("/api/users/heartbeat/").await.problem(401, "token_not_valid");
    alice.post("/api/auth/logout/").await.problem(401, "token_not_valid");
}

#[tokio::test]
async fn an_expired_token_is_no_evidence() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    server.advance(secs(3_600 - 60)).await;
    alice.beat().await;
    let last = server.now();
    server.advance(secs(61)).await;
    alice.get("/api/auth/profile/").await.problem(401, "token_not_valid");
    server.advance(secs(59)).await;
    let admin = server.admin().await;
    assert_eq!(server.shown(&admin, alice.id).await, Shown::at("offline", &last));
}

#[tokio::test]
async fn a_token_without_an_end_is_not_valid() {
    let server = TestServer::start().await;
    let id = server.account("alice").await;
    let mut claims = server.foreign_claims(id);
    for wrong in [json!(null), json!("tomorrow"), json!(-1), json!(0)] {
        claims["exp"] = wrong;
        refused(&server, &signed(&claims)).await;
    }
    claims.as_object_mut().unwrap().remove("exp");
    refused(&server, &signed(&claims)).await;
}

#[tokio::test]
async fn a_token_made_by_simplejwt_is_accepted_with_a_number_or_digits() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.account("alice").await;
    let bob = server.account("bob").await;
    for (id, claim) in [(alice, json!(alice)), (bob, json!(bob.to_string()))] {
        let visitor = server.bearing(id, "", server.foreign_token(claim));
        let profile = visitor.get("/api/auth/profile/").await.ok();
        assert_eq!(profile["id"], id);
        assert_eq!(profile["online_status"], "online");
        assert_eq!(server.shown(&admin, id).await, Shown::at("online", &server.now()));
        visitor.beat_with(json!({"activity": "idle"})).await;
        assert_eq!(server.shown(&admin, id).await.status, "away");
    }
}

#[tokio::test]
async fn a_token_made_by_simplejwt_administers_for_an_admin() {
    let server = TestServer::start().await;
    let id = server.admin().await.id;
    let alice = server.visitor("alice").await;
    let admin = server.foreign(id, "boss");
    admin.act(alice.id, "force-logout").await;
    alice.is_shut_out().await;
}

#[tokio::test]
async fn a_user_id_that_is_none_is_a_401() {
    let server = TestServer::start().await;
    server.account("alice").await;
    let strange = [
        json!("alice"),
        json!(""),
        json!("1x"),
        json!(" 1"),
        json!("-1"),
        json!("+1"),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(null),
        json!(true),
        json!([1]),
        json!({"id": 1}),
        json!("99999999999999999999999"),
        json!(u64::MAX),
        json!("\u{661}"),
    ];
    for user_id in strange {
        let token = server.foreign_token(user_id.clone());
        let code = server.get("/api/auth/profile/").bearer(&token).await.is(401)["code"].clone();
        assert!(code == "token_not_valid" || code == "user_not_found", "{user_id}: {code}");
    }
    let mut claims = server.foreign_claims(1);
    claims.as_object_mut().unwrap().remove("user_id");
    refused(&server, &signed(&claims)).await;
}

#[tokio::test]
async fn claims_of_strange_types_are_a_401() {
    let server = TestServer::start().await;
    let id = server.account("alice").await;
    for (claim, value) in [
        ("jti", json!(5)),
        ("jti", json!({})),
        ("jti", json!("x".repeat(9_000))),
        ("iat", json!("now")),
        ("sid", json!(5)),
        ("sid", json!("made-up")),
        ("sid", json!("")),
        ("sid", json!("x".repeat(9_000))),
    ] {
        let mut claims = server.foreign_claims(id);
        claims[claim] = value;
        refused(&server, &signed(&claims)).await;
    }
    for claim in ["jti"] {
        let mut claims = server.foreign_claims(id);
        claims.as_object_mut().unwrap().remove(claim);
        refused(&server, &signed(&claims)).await;
    }
}

#[tokio::test]
async fn a_session_id_of_somebody_else_opens_nothing() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mallory = server.account("mallory").await;
    let mut claims = server.foreign_claims(mallory);
    claims["sid"] = presently_testkit::http::claims(&alice.access)["sid"].clone();
    refused(&server, &signed(&claims)).await;
    alice.beat().await;
}

#[tokio::test]
async fn the_user_of_a_token_must_exist() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(999_999, "nobody");
    foreign.get("/api/auth/profile/").await.problem(401, "user_not_found");
    foreign.post("/api/users/heartbeat/").await.problem(401, "user_not_found");
    admin.delete(&format!("/api/users/admin/users/{}/", alice.id)).await.is(204);
    server.foreign(alice.id, "alice").get("/api/auth/profile/").await.problem(401, "user_not_found");
}

#[tokio::test]
async fn what_was_issued_before_a_suspension_is_not_valid_and_what_was_issued_after_meets_the_account() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for act in ["suspend", "ban"] {
        let user = server.visitor(act).await;
        let before = server.foreign(user.id, act);
        before.beat().await;
        admin.act(user.id, act).await;
        user.is_shut_out().await;
        before.is_shut_out().await;
        server.advance(secs(2)).await;
        let after = server.foreign(user.id, act);
        is_not_active(&after).await;
        assert_eq!(server.shown(&admin, user.id).await.status, "offline");
        admin.act(user.id, "activate").await;
        user.is_shut_out().await;
        before.is_shut_out().await;
        after.beat().await;
        server.login(act).await.beat().await;
    }
}

#[tokio::test]
async fn what_was_issued_after_a_deactivation_is_user_inactive() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    let before = server.foreign(alice.id, "alice");
    before.beat().await;
    let path = format!("/api/users/admin/users/{}/", alice.id);
    admin.patch(&path).json(json!({"is_active": false})).await.ok();
    alice.is_shut_out().await;
    before.is_shut_out().await;
    server.advance(secs(2)).await;
    let after = server.foreign(alice.id, "alice");
    after.get("/api/auth/profile/").await.problem(401, "user_inactive");
    after.post("/api/users/heartbeat/").await.problem(401, "user_inactive");
    after.get("/api/users/heartbeat/").await.problem(401, "user_inactive");
    after.get("/api/users/all-users/").await.problem(401, "user_inactive");
    assert_eq!(server.shown(&admin, alice.id).await.status, "offline");
    admin.act(alice.id, "activate").await;
    server.advance(secs(2)).await;
    server.foreign(alice.id, "alice").beat().await;
    alice.is_shut_out().await;
}

#[tokio::test]
async fn a_pending_account_is_not_active() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let id = server.account_in("alice", AccountStatus::Pending).await;
    let token = server.foreign(id, "alice");
    is_not_active(&token).await;
    assert_eq!(server.shown(&admin, id).await, Shown::never("offline"));
    admin.act(id, "approve").await;
    token.beat().await;
}

#[tokio::test]
async fn a_suspended_admin_administers_nothing() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let second = {
        let draft = presently_accounts::Draft { role: Role::Admin, ..presently_testkit::http::draft("second") };
        server.account_with(draft).await
    };
    admin.act(second, "suspend").await;
    server.advance(secs(2)).await;
    let token = server.foreign(second, "second");
    token.get("/api/users/admin/users/").await.problem(403, "account_not_active");
    token.post(&format!("/api/users/admin/users/{}/suspend/", admin.id)).await.problem(403, "account_not_active");
    admin.beat().await;
}

#[tokio::test]
async fn a_wall_clock_that_steps_back_does_not_shut_anybody_out() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let foreign = server.foreign(alice.id, "alice");
    // What was made elsewhere may be ahead by the leeway; what was made here ends with its session, whatever the clock says.
    server.step_wall(-20).await;
    alice.beat().await;
    foreign.beat().await;
    server.step_wall(-300).await;
    alice.beat().await;
    server.login("alice").await.beat().await;
}

async fn refused(server: &TestServer, token: &str) {
    server.get("/api/auth/profile/").bearer(token).await.problem(401, "token_not_valid");
    server.post("/api/users/heartbeat/").bearer(token).await.problem(401, "token_not_valid");
}

/// Refused on every call but logout.
async fn is_not_active(visitor: &Visitor) {
    for path in
        ["/api/auth/profile/", "/api/users/heartbeat/", "/api/users/all-users/", "/api/users/admin/users/online/"]
    {
        visitor.get(path).await.problem(403, "account_not_active");
    }
    visitor.get("/api/users/admin/users/").await.problem(403, "account_not_active");
    visitor.post("/api/auth/logout-all/").await.problem(403, "account_not_active");
    let beat = visitor.post("/api/users/heartbeat/").await.problem(403, "account_not_active");
    assert_eq!(beat["online_status"], "offline");
    let idle: Value = json!({"activity": "idle", "session": "tab"});
    let beat = visitor.post("/api/users/heartbeat/").json(idle).await.problem(403, "account_not_active");
    assert_eq!(beat["online_status"], "offline");
}

fn parts(token: &str) -> (&str, &str, &str) {
    let mut parts = token.split('.');
    (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}
