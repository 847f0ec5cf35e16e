//! Signing in.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use common::hooked::{Call, Hooked};
use common::*;
use presently_accounts::store::{AccountStore, AuditEntry};
use presently_accounts::{
    AccountId, AccountStatus, Accounts, AuthError, Changes, Device, Draft, LoginError, PasswordHash, Role,
    ServiceError, StoreError,
};

const INVALID: Option<LoginError> = Some(LoginError::InvalidCredentials);

#[tokio::test]
async fn the_right_password_signs_in_under_a_name_in_any_case() {
    let accounts = service();
    let alice = account(&accounts, "Älice").await;
    for name in ["Älice", "älice", "ÄLICE"] {
        let device = Device { user_agent: "Fire\nfox".to_owned(), ..device_at("::ffff:192.0.2.9") };
        let signed_in = accounts.login(name, PASSWORD, &device, at(0)).await.expect("it is right");
        assert_eq!(signed_in.account.id, alice.id);
        assert!(accounts.still_admits(signed_in.as_of));
        let row = accounts.store().session(&signed_in.session).await.expect("the store answers").expect("it is kept");
        assert_eq!((row.address.as_str(), row.device.as_str()), ("192.0.2.9", "Firefox"));
        assert_eq!((row.created_at, row.ended_at), (at(0), None));
        assert_eq!(row.expires_at.as_second(), START + WEEK);
        let cached = accounts.authenticate_cached(&signed_in.tokens.access, at(1));
        assert!(matches!(cached, Some(Ok(_))), "the store need not be asked");
    }
    assert_eq!(accounts.sessions(alice.id, at(1)).await.map(|sessions| sessions.len()), Ok(3));
}

#[tokio::test]
async fn unknown_wrong_and_deactivated_are_one_answer() {
    let accounts = service();
    account(&accounts, "alice").await;
    let gone = account(&accounts, "gone").await;
    update(&accounts, gone.id, is_active(false), 0).await;
    account_with(&accounts, "broken", "!unusable").await;
    let long = "x".repeat(151);
    let huge = "x".repeat(1_025);
    for (name, password) in [
        ("alice", "wrong horse"),
        ("alice", " correct horse"),
        ("alice", ""),
        ("alice", &huge),
        ("alice ", PASSWORD),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        (&long, PASSWORD),
        ("gone", PASSWORD),
        ("gone", "wrong horse"),
        ("broken", PASSWORD),
        ("broken", "!unusable"),
    ] {
        assert_eq!(accounts.login(name, password, &device(), at(1)).await.err(), INVALID, "{name}, {password}");
    }
}

#[tokio::test]
async fn the_state_of_an_account_is_told_after_the_right_password_only() {
    let accounts = service();
    let alice = account(&accounts, "alice").await;
    for state in [AccountStatus::Suspended, AccountStatus::Banned, AccountStatus::Pending] {
        update(&accounts, alice.id, status(state), 0).await;
        assert_eq!(accounts.login("alice", "wrong horse", &device(), at(1)).await.err(), INVALID);
        let answer = accounts.login("alice", PASSWORD, &device(), at(1)).await.err();
        assert_eq!(answer, Some(LoginError::NotActive(state)));
    }
    update(&accounts, alice.id, status(AccountStatus::Active), 2).await;
    login(&accounts, "alice", 3).await;
}

#[tokio::test]
async fn ten_failures_in_a_minute_are_answered_and_then_not_even_the_right_password_is_tried() {
    let accounts = service();
    account(&accounts, "alice").await;
    for name in ["alice", "nobody"] {
        for second in 0..10 {
            assert_eq!(accounts.login(name, "wrong horse", &device(), at(second)).await.err(), INVALID, "{second}");
        }
        for password in [PASSWORD, "wrong horse"] {
            let refused = accounts.login(&name.to_uppercase(), password, &device(), at(20)).await.err();
            assert_eq!(refused, Some(LoginError::Throttled { retry_after: Duration::from_secs(40) }), "{name}");
        }
    }
    let elsewhere = device_at("198.51.100.3");
    assert!(accounts.login("alice", PASSWORD, &elsewhere, at(20)).await.is_ok(), "the owner at home");
    login(&accounts, "alice", 60).await;
}

#[tokio::test]
async fn a_success_and_a_told_state_clear_the_failures() {
    let accounts = service();
    let alice = account(&accounts, "alice").await;
    for _ in 0..3 {
        for _ in 0..9 {
            assert_eq!(accounts.login("alice", "wrong horse", &device(), at(0)).await.err(), INVALID);
        }
        login(&accounts, "alice", 0).await;
    }
    update(&accounts, alice.id, status(AccountStatus::Banned), 1).await;
    for _ in 0..15 {
        let answer = accounts.login("alice", PASSWORD, &device(), at(2)).await.err();
        assert_eq!(answer, Some(LoginError::NotActive(AccountStatus::Banned)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_guesses_at_once_are_ten_guesses() {
    let accounts = service();
    account(&accounts, "alice").await;
    let mut guesses = Vec::new();
    for n in 0..100 {
        let accounts = accounts.clone();
        guesses.push(tokio::spawn(async move {
            accounts.login("alice", &format!("wrong {n}"), &device(), at(0)).await.expect_err("it is wrong")
        }));
    }
    let mut tried = 0;
    for guess in guesses {
        match guess.await.expect("no panic") {
            LoginError::InvalidCredentials => tried += 1,
            LoginError::Throttled { .. } | LoginError::Busy => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(tried, 10);
    let refused = accounts.login("alice", PASSWORD, &device(), at(1)).await.err();
    assert!(matches!(refused, Some(LoginError::Throttled { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_right_logins_at_once_all_succeed() {
    let accounts = service();
    account(&accounts, "alice").await;
    let logins: Vec<_> = (0..30)
        .map(|_| {
            let accounts = accounts.clone();
            tokio::spawn(async move { accounts.login("alice", PASSWORD, &device(), at(0)).await.map(drop) })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.expect("no panic"), Ok(()));
    }
}

#[tokio::test]
async fn an_old_hash_is_renewed_at_a_login_and_only_then() {
    let accounts = service();
    let alice = account(&accounts, "alice").await;
    accounts.login("alice", "wrong horse", &device(), at(0)).await.expect_err("it is wrong");
    let stored = async || accounts.store().account(alice.id).await.expect("the store answers").expect("she is there");
    assert_eq!(stored().await.password, alice.password);
    let signed_in = login(&accounts, "alice", 1).await;
    let renewed = stored().await;
    assert!(renewed.password.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_eq!((renewed.updated_at, &renewed), (alice.updated_at, &signed_in.account));
    login(&accounts, "alice", 2).await;
    assert_eq!(stored().await.password, renewed.password, "once is enough");
    assert_eq!(accounts.login("alice", "wrong horse", &device(), at(3)).await.err(), INVALID);
    assert!(accounts.authenticate(&signed_in.tokens.access, at(3)).await.is_ok());
}

/// A service whose store does `meanwhile` to the account (once) when a session is about to be opened.
fn service_with_a_change_before_opening(meanwhile: Changes) -> Accounts {
    let times = AtomicU32::new(0);
    let store = Hooked::new(move |call, store| {
        let meanwhile = meanwhile.clone();
        let first = call == Call::Before("open_session") && times.fetch_add(1, SeqCst) == 0;
        Box::pin(async move {
            if first {
                store.update(AccountId(1), &meanwhile, at(0), None).await?;
            }
            Ok(())
        })
    });
    service_over(Arc::new(store))
}

#[tokio::test]
async fn an_account_that_changes_during_a_login_is_answered_as_it_is_now() {
    let state = |state| LoginError::NotActive(state);
    for (meanwhile, expected) in [
        (status(AccountStatus::Suspended), Some(state(AccountStatus::Suspended))),
        (Changes { end_sessions: true, ..status(AccountStatus::Banned) }, Some(state(AccountStatus::Banned))),
        (is_active(false), INVALID),
        (Changes { password: Some(PasswordHash("$other".to_owned())), ..Changes::default() }, INVALID),
        (Changes { end_sessions: true, ..Changes::default() }, None),
        (Changes { bio: Some("Hello".to_owned()), ..Changes::default() }, None),
    ] {
        let accounts = service_with_a_change_before_opening(meanwhile.clone());
        let alice = account(&accounts, "alice").await;
        let answer = accounts.login("alice", PASSWORD, &device(), at(0)).await;
        assert_eq!(answer.as_ref().err(), expected.as_ref(), "{meanwhile:?}");
        let live = accounts.sessions(alice.id, at(1)).await.expect("the store answers");
        assert_eq!(live.len(), usize::from(expected.is_none()), "{meanwhile:?}");
        if let Ok(signed_in) = answer {
            assert_eq!(live[0].id, *signed_in.session);
            assert!(accounts.authenticate(&signed_in.tokens.access, at(1)).await.is_ok());
        }
    }
}

#[tokio::test]
async fn an_account_that_changes_all_the_time_is_not_signed_in() {
    let store = Hooked::new(move |call, store| {
        Box::pin(async move {
            if call == Call::Before("open_session") {
                let found = store.account(AccountId(1)).await?.ok_or(StoreError::NotFound)?;
                let after = found.tokens_valid_after.map_or(0, |after| after.as_second() - START + 1);
                let changes = Changes { end_sessions: true, ..Changes::default() };
                store.update(AccountId(1), &changes, at(after), None).await?;
            }
            Ok(())
        })
    });
    let accounts = service_over(Arc::new(store));
    let alice = account(&accounts, "alice").await;
    let answer = accounts.login("alice", PASSWORD, &device(), at(0)).await.err();
    assert!(matches!(answer, Some(LoginError::Store(StoreError::Unavailable(_)))), "{answer:?}");
    assert_eq!(accounts.sessions(alice.id, at(1)).await, Ok(vec![]));
}

fn typed(username: &str, password: &str) -> Draft {
    Draft { username: username.to_owned(), password: password.to_owned(), ..Draft::default() }
}

fn fields(error: ServiceError) -> Vec<&'static str> {
    match error {
        ServiceError::Invalid(errors) => errors.into_keys().collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn who_registers_is_an_active_user_and_signed_in() {
    let accounts = service();
    let made = accounts.register("Alice", "alice@example.org", PASSWORD, &device(), at(0)).await.expect("it is free");
    assert_eq!((made.account.username.as_str(), made.account.email.as_str()), ("Alice", "alice@example.org"));
    assert_eq!((made.account.role, made.account.status), (Role::User, AccountStatus::Active));
    assert!(!made.account.is_admin() && !made.account.email_verified);
    assert!(accounts.authenticate(&made.tokens.access, at(1)).await.is_ok());
    login(&accounts, "alice", 2).await;

    let refused = accounts.register("aLICE", "", PASSWORD, &device(), at(3)).await.expect_err("it is taken");
    let sentences = [("username", vec!["A user with that username already exists.".to_owned()])];
    assert_eq!(refused, ServiceError::Invalid(sentences.into()));
    let refused = accounts.register("b b", "x", "bb", &device(), at(3)).await.expect_err("it does not do");
    assert_eq!(fields(refused), ["email", "password", "username"]);
}

#[tokio::test]
async fn an_admin_makes_accounts_and_the_log_says_so() {
    let accounts = service();
    let line = AuditEntry { actor: None, action: "create".into(), target: None, detail: String::new(), at: at(0) };
    let draft = Draft {
        email: "m@example.org".to_owned(),
        first_name: "Mo".to_owned(),
        role: Role::Moderator,
        status: AccountStatus::Pending,
        is_staff: true,
        ..typed("mo", PASSWORD)
    };
    assert!(!format!("{draft:?}").contains(PASSWORD));
    let made = accounts.create(draft, at(0), Some(line.clone())).await.expect("it is made");
    assert_eq!(
        (made.role, made.status, made.is_staff, made.is_approved),
        (Role::Moderator, AccountStatus::Pending, true, false)
    );
    assert!(made.password.0.starts_with("$argon2id$"));
    let refused = accounts.create(typed("MO", PASSWORD), at(1), Some(line)).await.expect_err("it is taken");
    assert_eq!(fields(refused), ["username"]);
    assert_eq!(fields(accounts.create(typed("x", "x"), at(1), None).await.expect_err("too short")), ["password"]);
    let log = accounts.store().audit_page(None, 10).await.expect("the store answers");
    assert_eq!(log.iter().map(|(_, entry)| entry.target).collect::<Vec<_>>(), [Some(made.id)]);
}

#[tokio::test]
async fn a_name_taken_between_the_look_and_the_insert_is_a_taken_name() {
    let store = Hooked::new(|call, store| {
        Box::pin(async move {
            if call == Call::Before("insert") {
                let accounts = service_over(store);
                account(&accounts, "ALICE").await;
            }
            Ok(())
        })
    });
    let accounts = service_over(Arc::new(store));
    assert_eq!(fields(accounts.create(typed("alice", PASSWORD), at(0), None).await.expect_err("taken")), ["username"]);
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_its_sessions() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let id = alice.account.id;
    for bad in ["short", "ALICE", &"x".repeat(1_025)] {
        assert_eq!(
            fields(accounts.set_password(id, bad, at(1), None).await.expect_err("it does not do")),
            ["password"]
        );
    }
    assert!(accounts.authenticate(&alice.tokens.access, at(1)).await.is_ok());
    accounts.set_password(id, "battery staple", at(2), None).await.expect("it is set");
    assert_eq!(accounts.authenticate(&alice.tokens.access, at(3)).await, Err(AuthError::TokenNotValid));
    assert_eq!(accounts.login("alice", PASSWORD, &device(), at(3)).await.err(), INVALID);
    assert!(accounts.login("alice", "battery staple", &device(), at(3)).await.is_ok());
    let nobody = accounts.set_password(AccountId(99), "battery staple", at(4), None).await;
    assert_eq!(nobody, Err(ServiceError::Store(StoreError::NotFound)));
}

#[tokio::test]
async fn changes_are_checked_and_what_takes_away_ends_the_sessions() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let id = alice.account.id;
    let bad = Changes { email: Some("x".to_owned()), avatar: Some(Some("x".to_owned())), ..Changes::default() };
    assert_eq!(fields(accounts.update(id, bad, at(1), None).await.expect_err("it does not do")), ["avatar", "email"]);
    let changed = update(&accounts, id, Changes { email: Some("a@b.org".to_owned()), ..Changes::default() }, 2).await;
    assert_eq!((changed.email.as_str(), changed.tokens_valid_after), ("a@b.org", None));
    assert!(accounts.authenticate(&alice.tokens.access, at(3)).await.is_ok());
    let changed = update(&accounts, id, status(AccountStatus::Banned), 4).await;
    assert_eq!(changed.tokens_valid_after, Some(at(4)), "asked for or not");
    assert_eq!(accounts.sessions(id, at(5)).await, Ok(vec![]));
    let nobody = AccountId(99);
    assert_eq!(
        accounts.update(nobody, Changes::default(), at(5), None).await,
        Err(ServiceError::Store(StoreError::NotFound))
    );
    assert_eq!(accounts.delete(nobody, at(5), None).await, Err(ServiceError::Store(StoreError::NotFound)));
    assert_eq!(accounts.end_sessions(nobody, at(5), None).await, Err(StoreError::NotFound));
}

#[tokio::test]
async fn one_name_in_several_spellings_signs_in_and_is_made_once() {
    let accounts = service();
    let draft =
        |username: &str| Draft { username: username.to_owned(), password: PASSWORD.to_owned(), ..Draft::default() };
    let made = accounts.create(draft("Zoe\u{308}"), at(0), None).await.expect("it is made");
    assert_eq!(made.username, "Zoë");
    for spelling in ["Zoë", "zoe\u{308}", "\u{ff3a}oë"] {
        let signed_in = accounts.login(spelling, PASSWORD, &device(), at(1)).await.expect("it is right");
        assert_eq!(signed_in.account.id, made.id);
        let again = accounts.create(draft(spelling), at(1), None).await;
        assert!(matches!(again, Err(ServiceError::Invalid(fields)) if fields.contains_key("username")), "{spelling}");
    }
    // One that is older than the rule signs in as it stands.
    let old = account(&accounts, "Ele\u{301}ne\u{430}").await;
    let signed_in = accounts.login("ele\u{301}ne\u{430}", PASSWORD, &device(), at(1)).await.expect("it is right");
    assert_eq!(signed_in.account.id, old.id);
}

#[tokio::test]
async fn the_first_refusal_after_a_start_takes_as_long_for_every_name() {
    let accounts = service();
    account_with(&accounts, "old", "pbkdf2_sha256$400000$salt$GjMazcomIJmFhSFeCz09TZumH490n3gBSdXGIsLYpa0=").await;
    let draft = Draft { username: "new".to_owned(), password: PASSWORD.to_owned(), ..Draft::default() };
    accounts.create(draft, at(0), None).await.expect("it is made");
    let again = service_over(accounts.store().clone());
    tokio::spawn(again.warm_up());
    let mut took = Vec::new();
    for name in ["nobody", "new", "old", "nobody"] {
        let began = tokio::time::Instant::now();
        assert_eq!(again.login(name, "wrong password", &device(), at(1)).await.err(), INVALID);
        took.push(began.elapsed());
    }
    let least = took.iter().min().expect("some");
    // What one of Django's costs here; the machine may be busy meanwhile, but never faster.
    assert!(took[0] >= took[2].mul_f64(0.5) && *least > Duration::from_millis(20), "{took:?}");
}
