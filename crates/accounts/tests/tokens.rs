//! Which tokens admit whom.

mod common;

use std::sync::Arc;

use common::*;
use jsonwebtoken::{Algorithm, Header};
use presently_accounts::memory::MemoryStore;
use presently_accounts::store::AccountStore;
use presently_accounts::{AccountId, AccountStatus, AuthError, Changes, Role, SecretKey, WeakSecret};
use proptest::prelude::*;
use serde_json::{Value, json};

// Made with the secret of these tests by djangorestframework-simplejwt 5.5 over PyJWT 2.15; the second as older ones write it, with a
// number for the user.
const SIMPLE_JWT_STRING_ID: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjoxNzk1NDg4ODg2LCJpYXQiOjE3OTU0ODUyODYsImp0aSI6IjUxZTk3OWUzZTY5YjQwZmJhNGVkYWU2N2M5YTdmOWExIiwidXNlcl9pZCI6IjEifQ.6Pi7z4icxE7Vj4SyccOZmNbRQTvqi-gDMwKgaiDaoCw";
const SIMPLE_JWT_NUMBER_ID: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjoxNzk1NDg4ODg2LCJpYXQiOjE3OTU0ODUyODYsImp0aSI6IjJmNmRkZDBiMmY3YzRhMGY5YjBhNmY1YjVhMWYzYzEyIiwidXNlcl9pZCI6MX0.EZAO761-AafGU_gFE3TmGv9d0Il3y-Zqbf_DIaARBtw";
const SIMPLE_JWT_REFRESH: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6MTc5NjA5MDA4NiwiaWF0IjoxNzk1NDg1Mjg2LCJqdGkiOiJlNWFjNmRiMTRmYzE0YTRlYmM3MGEzMzJjOGJiYjAxNCIsInVzZXJfaWQiOiIxIn0._W2koSd6Dgx4th_Y09c71I8qgiTnIE3WnM_6w5yYuGY";

/// What an access token of account 1 says, with these claims instead or in addition; `null` leaves one out.
fn claims(changes: &Value) -> Value {
    let mut claims =
        json!({"token_type": "access", "exp": START + HOUR, "iat": START, "jti": "0b1c", "user_id": 1, "other": [1]});
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[test]
fn a_secret_has_at_least_32_bytes_not_all_the_same_and_is_never_shown() {
    let long = "0123456789abcdef0123456789abcdef";
    for short in ["", &long[1..], "x"] {
        assert_eq!(SecretKey::new(short).err(), Some(WeakSecret::TooShort), "{short}");
    }
    for repeated in ["x".repeat(32), "0".repeat(100)] {
        assert_eq!(SecretKey::new(repeated).err(), Some(WeakSecret::OneByte));
    }
    assert_eq!(SecretKey::new([0_u8; 64]).err(), Some(WeakSecret::OneByte));
    let secret = SecretKey::new(long).expect("it is long enough");
    assert_eq!(format!("{secret:?} {:?}", SecretKey::random()), "SecretKey(…) SecretKey(…)");
    assert_ne!(SecretKey::random().bytes(), SecretKey::random().bytes());
}

#[test]
fn a_secret_is_told_from_others_by_a_mark_that_does_not_tell_it() {
    let (one, other) = (SecretKey::new(SECRET).expect("long enough"), SecretKey::random());
    assert_eq!(one.mark(), SecretKey::new(SECRET).expect("long enough").mark());
    assert!(one.mark() != other.mark() && one.mark().len() == 43, "{}", one.mark());
    assert!(!one.mark().contains(SECRET) && one.bytes() == SECRET.as_bytes());
}

#[tokio::test]
async fn a_foreign_token_from_the_future_counts_as_issued_now_or_is_refused() {
    let store: Arc<dyn AccountStore> = Arc::new(MemoryStore::new());
    let (accounts, other_node) = (service_over(store.clone()), service_over(store));
    let alice = account(&accounts, "alice").await.id;
    let far = foreign(alice, "far", 31);
    assert_eq!(accounts.authenticate(&far, at(0)).await, Err(AuthError::TokenNotValid), "ahead by more than 30 s");
    assert_eq!(accounts.verify(&far, at(0)).await, Err(AuthError::TokenNotValid));
    assert!(accounts.authenticate(&far, at(1)).await.is_ok());
    let near = foreign(alice, "near", 30);
    for _ in 0..2 {
        assert!(accounts.authenticate(&near, at(0)).await.is_ok());
    }
    accounts.end_sessions(alice, at(5), None).await.expect("they end");
    for seconds in [5, 6, 29, 31, 100] {
        for token in [&near, &far] {
            assert_eq!(accounts.authenticate(token, at(seconds)).await, Err(AuthError::TokenNotValid), "{seconds}");
            let there = other_node.authenticate(token, at(seconds)).await;
            assert_eq!(there, Err(AuthError::TokenNotValid), "{seconds}, where it was never seen");
        }
    }
    let new = foreign(alice, "new", 20);
    assert!(accounts.authenticate(&new, at(6)).await.is_ok(), "issued after the end");
}

#[tokio::test]
async fn a_clock_that_was_set_back_voids_no_token_of_our_own() {
    let accounts = service();
    account(&accounts, "alice").await;
    let alice = login(&accounts, "alice", HOUR).await;
    assert!(accounts.authenticate(&alice.tokens.access, at(0)).await.is_ok());
    accounts.end_sessions(alice.account.id, at(1), None).await.expect("they end");
    assert_eq!(accounts.authenticate(&alice.tokens.access, at(2)).await, Err(AuthError::TokenNotValid));
}

#[tokio::test]
async fn our_tokens_say_what_the_contract_says() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let claims_of = |token: &str| jsonwebtoken::dangerous::insecure_decode::<Value>(token).expect("it is a token");
    let (access, refresh) = (claims_of(&alice.tokens.access), claims_of(&alice.tokens.refresh));
    assert_eq!(access.header, Header::new(Algorithm::HS256));
    for (token, kind, lifetime) in [(&access, "access", HOUR), (&refresh, "refresh", WEEK)] {
        assert_eq!(token.claims["token_type"], kind);
        assert_eq!(token.claims["iat"], START);
        assert_eq!(token.claims["exp"], START + lifetime);
        assert_eq!(token.claims["user_id"], alice.account.id.0);
        assert_eq!(token.claims["sid"], *alice.session);
        assert_eq!(token.claims["jti"].as_str().map(str::len), Some(22));
    }
    assert_ne!(access.claims["jti"], refresh.claims["jti"]);
    assert_eq!(alice.session.len(), 22);

    let caller = accounts.authenticate(&alice.tokens.access, at(1)).await.expect("it admits");
    assert_eq!((caller.account, &*caller.user), (alice.account.id, &*alice.account.id.to_string()));
    assert_eq!((&caller.session, caller.foreign, caller.expires_at), (&alice.session, false, START + HOUR));
    assert_eq!((caller.admission.is_admin, caller.admission.status), (false, AccountStatus::Active));
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let caller = accounts.authenticate(&alice.tokens.access, at(1)).await.expect("it admits");
    let shown = format!("{accounts:?} {alice:?} {caller:?}");
    for secret in [&alice.tokens.access, &alice.tokens.refresh, &alice.account.password.0, SECRET, PASSWORD] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn tokens_of_simplejwt_admit_with_their_jti_as_session() {
    let accounts = service();
    let alice = account(&accounts, "alice").await;
    assert_eq!(alice.id, AccountId(1));
    for (token, jti) in [
        (SIMPLE_JWT_STRING_ID, "51e979e3e69b40fba4edae67c9a7f9a1"),
        (SIMPLE_JWT_NUMBER_ID, "2f6ddd0b2f7c4a0f9b0a6f5b5a1f3c12"),
    ] {
        let caller = accounts.authenticate(token, at(10)).await.expect("it admits");
        assert_eq!((caller.account, &*caller.session, caller.foreign), (alice.id, jti, true));
        assert_eq!(caller.expires_at, START + HOUR);
        assert_eq!(accounts.authenticate_cached(token, at(11)), Some(Ok(caller)));
        assert_eq!(accounts.verify(token, at(11)).await, Ok(()));
        assert_eq!(accounts.authenticate(token, at(HOUR)).await, Err(AuthError::TokenNotValid), "expired");
    }
    let not_valid = Err(AuthError::TokenNotValid);
    assert_eq!(accounts.authenticate(SIMPLE_JWT_REFRESH, at(10)).await.map(drop), not_valid);
    assert_eq!(accounts.refresh(SIMPLE_JWT_REFRESH, at(10)).await.map(drop), Err(AuthError::TokenNotValid.into()));
    assert_eq!(accounts.verify(SIMPLE_JWT_REFRESH, at(10)).await, not_valid);
}

#[tokio::test]
async fn claims_that_simplejwt_may_send_are_understood() {
    let accounts = service();
    account(&accounts, "alice").await;
    for changes in [
        json!({}),
        json!({"user_id": "1"}),
        json!({"user_id": "001"}),
        json!({"iat": null}),
        json!({"iat": START as f64 + 0.75}),
        json!({"exp": (START + HOUR) as f64 + 0.5}),
        json!({"nbf": START}),
        json!({"aud": "somebody", "iss": "somebody else", "sub": 5}),
        json!({"jti": "x".repeat(128)}),
    ] {
        let token = signed(&claims(&changes));
        let caller = accounts.authenticate(&token, at(1)).await;
        assert_eq!(caller.map(|caller| (caller.account, caller.user)), Ok((AccountId(1), "1".into())), "{changes}");
    }
}

#[tokio::test]
async fn other_claims_are_refused() {
    let accounts = service();
    account(&accounts, "alice").await;
    for changes in [
        json!({"token_type": "refresh"}),
        json!({"token_type": "sliding"}),
        json!({"token_type": null}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"exp": START}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": i64::MAX}),
        json!({"iat": "now"}),
        json!({"nbf": START + 2}),
        json!({"nbf": "later"}),
        json!({"jti": null}),
        json!({"jti": ""}),
        json!({"jti": 5}),
        json!({"jti": "x".repeat(129)}),
        json!({"jti": "a\nb"}),
        json!({"user_id": null}),
        json!({"user_id": ""}),
        json!({"user_id": "one"}),
        json!({"user_id": " 1"}),
        json!({"user_id": "+1"}),
        json!({"user_id": -1}),
        json!({"user_id": 1.5}),
        json!({"user_id": true}),
        json!({"user_id": "99999999999999999999"}),
        json!({"user_id": u64::MAX}),
        json!({"user_id": [1]}),
        json!({"sid": ""}),
        json!({"sid": 5}),
        json!({"sid": "never opened"}),
    ] {
        let token = signed(&claims(&changes));
        assert_eq!(accounts.authenticate(&token, at(1)).await, Err(AuthError::TokenNotValid), "{changes}");
    }
    for nobody in [99, 0] {
        let token = signed(&claims(&json!({"user_id": nobody})));
        assert_eq!(accounts.authenticate(&token, at(1)).await, Err(AuthError::UserNotFound), "{nobody}");
    }
}

#[tokio::test]
async fn only_our_signature_and_only_hs256_count() {
    let accounts = service();
    account(&accounts, "alice").await;
    let good = signed(&claims(&json!({})));
    assert!(accounts.authenticate(&good, at(1)).await.is_ok());
    let (body, signature) = good.rsplit_once('.').expect("a signature");
    let (header, payload) = body.split_once('.').expect("a payload");
    // {"alg":"none","typ":"JWT"} and the same without a type, and one that demands what nobody here understands.
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let critical = {
        let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::HS256) };
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&header, &claims(&json!({})), &key).expect("it is signed")
    };
    for bad in [
        signed_with(Algorithm::HS256, "another secret of some length", &claims(&json!({}))),
        signed_with(Algorithm::HS256, "", &claims(&json!({}))),
        signed_with(Algorithm::HS512, SECRET, &claims(&json!({}))),
        signed_with(Algorithm::HS384, SECRET, &claims(&json!({}))),
        critical,
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{none}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{}", &signature[1..]),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{signature}."),
        format!(" {good}"),
        format!("{good}\n"),
        format!("Bearer {good}"),
        good.to_uppercase(),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
    ] {
        assert_eq!(accounts.authenticate(&bad, at(1)).await, Err(AuthError::TokenNotValid), "{bad}");
        assert_eq!(accounts.verify(&bad, at(1)).await, Err(AuthError::TokenNotValid), "{bad}");
    }
}

#[tokio::test]
async fn a_token_of_more_than_four_kibibytes_is_refused() {
    let accounts = service();
    account(&accounts, "alice").await;
    let padded = |length: usize| signed(&claims(&json!({"other": "x".repeat(length)})));
    assert!(padded(2_800).len() < 4_096);
    assert!(accounts.authenticate(&padded(2_800), at(1)).await.is_ok());
    assert!(padded(3_000).len() > 4_096);
    assert_eq!(accounts.authenticate(&padded(3_000), at(1)).await, Err(AuthError::TokenNotValid));
}

#[tokio::test]
async fn a_token_ends_in_its_second_also_when_it_is_remembered() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let token = &alice.tokens.access;
    for seconds in [1, HOUR - 1] {
        assert!(accounts.authenticate(token, at(seconds)).await.is_ok());
        assert!(matches!(accounts.authenticate_cached(token, at(seconds)), Some(Ok(_))));
    }
    assert_eq!(accounts.authenticate_cached(token, at(HOUR)), Some(Err(AuthError::TokenNotValid)));
    assert_eq!(accounts.authenticate(token, at(HOUR)).await, Err(AuthError::TokenNotValid));
    accounts.tidy(at(HOUR)).await.expect("the store answers");
    assert_eq!(accounts.authenticate(token, at(HOUR + 1)).await, Err(AuthError::TokenNotValid));
}

#[tokio::test]
async fn a_session_admits_its_own_account_only() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let bob = signed_in(&accounts, "bob").await;
    let crossed = signed(&claims(&json!({"user_id": bob.account.id.0, "sid": *alice.session})));
    assert_eq!(accounts.authenticate(&crossed, at(1)).await, Err(AuthError::TokenNotValid));
    let as_jti = signed(&claims(&json!({"user_id": bob.account.id.0, "jti": *alice.session})));
    assert_eq!(accounts.authenticate(&as_jti, at(1)).await, Err(AuthError::TokenNotValid));
    assert!(accounts.authenticate(&alice.tokens.access, at(1)).await.is_ok());
    assert_eq!(accounts.authenticate(&crossed, at(1)).await, Err(AuthError::TokenNotValid), "remembered or not");
}

#[tokio::test]
async fn refusals_come_in_their_order() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let (id, token) = (alice.account.id, &alice.tokens.access);
    let later = |issued| foreign(id, "later", issued);

    update(&accounts, id, is_active(false), 10).await;
    assert_eq!(accounts.authenticate(token, at(11)).await, Err(AuthError::TokenNotValid), "voided before inactive");
    assert_eq!(accounts.authenticate(&later(10), at(11)).await, Err(AuthError::TokenNotValid), "the same second");
    assert_eq!(accounts.authenticate(&later(11), at(12)).await, Err(AuthError::UserInactive));
    assert_eq!(accounts.authenticate(&later(11), at(11 + HOUR)).await, Err(AuthError::TokenNotValid), "expired first");
    assert_eq!(accounts.verify(&later(11), at(12)).await, Err(AuthError::UserInactive));

    update(&accounts, id, is_active(true), 20).await;
    assert!(accounts.authenticate(&later(11), at(21)).await.is_ok(), "issued after what voided the others");
    assert_eq!(accounts.authenticate(token, at(21)).await, Err(AuthError::TokenNotValid), "ended for good");
    for state in [AccountStatus::Suspended, AccountStatus::Banned, AccountStatus::Pending] {
        update(&accounts, id, status(state), 30).await;
        assert_eq!(accounts.authenticate(&later(30), at(31)).await, Err(AuthError::TokenNotValid));
        let caller = accounts.authenticate(&later(31), at(32)).await.expect("who it is can be told");
        assert_eq!(caller.admission.status, state);
    }

    accounts.delete(id, at(40), None).await.expect("it is erased");
    for token in [token.clone(), later(11), later(41)] {
        assert_eq!(accounts.authenticate(&token, at(41)).await, Err(AuthError::UserNotFound));
    }
}

#[tokio::test]
async fn what_an_account_may_is_known_as_soon_as_it_changes() {
    let accounts = service();
    // There is another one: the last admin stays one.
    let boss = account(&accounts, "boss").await.id;
    update(&accounts, boss, Changes { role: Some(Role::Admin), ..Changes::default() }, 0).await;
    let alice = signed_in(&accounts, "alice").await;
    let id = alice.account.id;
    let admin = async |seconds| {
        let caller = accounts.authenticate(&alice.tokens.access, at(seconds)).await.expect("it admits");
        (caller.admission.is_admin, caller.as_of)
    };
    let (is_admin, as_of) = admin(1).await;
    assert!(!is_admin && accounts.still_admits(as_of));
    for (changes, expected) in [
        (Changes { role: Some(Role::Admin), ..Changes::default() }, true),
        (Changes { is_staff: Some(true), ..Changes::default() }, true),
        (Changes { role: Some(Role::User), ..Changes::default() }, true),
        (Changes { is_staff: Some(false), ..Changes::default() }, false),
    ] {
        let (_, as_of) = admin(2).await;
        update(&accounts, id, changes.clone(), 3).await;
        assert!(!accounts.still_admits(as_of), "{changes:?}");
        assert_eq!(admin(4).await.0, expected, "{changes:?}");
    }
    let (_, as_of) = admin(5).await;
    update(&accounts, id, Changes { bio: Some("Hello".to_owned()), ..Changes::default() }, 6).await;
    assert!(accounts.still_admits(as_of), "a word about oneself changes no right");
}

#[tokio::test]
async fn an_approval_is_known_as_soon_as_it_is_given() {
    let accounts = service();
    let id = account(&accounts, "alice").await.id;
    update(&accounts, id, status(AccountStatus::Pending), 0).await;
    let token = foreign(id, "0b1c", 2);
    let of = async |seconds| accounts.authenticate(&token, at(seconds)).await.expect("it tells who").admission.status;
    assert_eq!(of(3).await, AccountStatus::Pending);
    update(&accounts, id, Changes { approve: true, ..Changes::default() }, 4).await;
    assert_eq!(of(5).await, AccountStatus::Active);
}

fn accounts_in_a_runtime() -> (tokio::runtime::Runtime, presently_accounts::Accounts) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let accounts = service();
    runtime.block_on(account(&accounts, "alice"));
    (runtime, accounts)
}

#[test]
fn garbage_is_refused_and_never_panics() {
    let (runtime, accounts) = accounts_in_a_runtime();
    proptest!(|(token in prop_oneof![any::<String>(), "[a-zA-Z0-9_.-]{0,300}", "eyJ[a-zA-Z0-9_-]{0,90}\\.eyJ[a-zA-Z0-9_-]{0,90}\\.[a-zA-Z0-9_-]{43}"])| {
        prop_assert_eq!(accounts.authenticate_cached(&token, at(1)), Some(Err(AuthError::TokenNotValid)));
        prop_assert_eq!(runtime.block_on(accounts.verify(&token, at(1))), Err(AuthError::TokenNotValid));
    });
}

#[test]
fn claims_of_any_shape_with_a_good_signature_never_panic() {
    let (runtime, accounts) = accounts_in_a_runtime();
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9]{1,25}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("token_type"),
        Just("exp"),
        Just("iat"),
        Just("nbf"),
        Just("jti"),
        Just("user_id"),
        Just("sid"),
        Just("aud"),
    ];
    proptest!(|(changes in proptest::collection::btree_map(name, value, 0..4), now in any::<i32>())| {
        let token = signed(&claims(&json!(changes)));
        let now = jiff::Timestamp::from_second(i64::from(now)).expect("a time");
        let _ = runtime.block_on(accounts.authenticate(&token, now));
        let _ = runtime.block_on(accounts.verify(&token, now));
        let _ = runtime.block_on(accounts.refresh(&token, now));
    });
}

#[test]
fn a_token_with_one_character_changed_is_another_token() {
    let (runtime, accounts) = accounts_in_a_runtime();
    let good = signed(&claims(&json!({})));
    assert!(runtime.block_on(accounts.authenticate(&good, at(1))).is_ok());
    proptest!(|(place in 0..good.len(), letter in "[a-zA-Z0-9_-]")| {
        let mut changed = good.clone();
        changed.replace_range(place..=place, &letter);
        if changed != good {
            prop_assert_eq!(accounts.authenticate_cached(&changed, at(1)), Some(Err(AuthError::TokenNotValid)));
        }
    });
}
