//! How sessions go on and how they end.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use common::hooked::{Call, Hooked};
use common::*;
use presently_accounts::store::{AuditEntry, CredentialSession};
use presently_accounts::{
    AccountStatus, Accounts, AuthError, Changes, RefreshError, RefreshRotation, RefreshTokens, Settings, StoreError,
};
use serde_json::json;

const NOT_VALID: AuthError = AuthError::TokenNotValid;

#[tokio::test]
async fn a_refresh_token_is_traded_for_new_tokens_of_the_same_session() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let first = accounts.refresh(&alice.tokens.refresh, at(100)).await.expect("it is good").tokens;
    let caller = accounts.authenticate(&first.access, at(101)).await.expect("it admits");
    assert_eq!((caller.session, caller.expires_at), (alice.session.clone(), START + 100 + HOUR));
    assert!(accounts.authenticate(&alice.tokens.access, at(101)).await.is_ok(), "the old one is good until its end");
    let row = accounts.store().session(&alice.session).await.expect("the store answers").expect("it is kept");
    assert_eq!(row.expires_at.as_second(), START + 100 + WEEK);
    let second = accounts.refresh(&first.refresh, at(WEEK + 50)).await.expect("a week after the rotation").tokens;
    assert!(accounts.authenticate(&second.access, at(WEEK + 51)).await.is_ok());
    assert_eq!(accounts.refresh(&second.refresh, at(2 * WEEK + 50)).await, Err(NOT_VALID.into()), "expired");
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_session_at_once() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let other = login(&accounts, "alice", 1).await;
    let next = accounts.refresh(&alice.tokens.refresh, at(2)).await.expect("it is good").tokens;
    let caller = accounts.authenticate(&next.access, at(3)).await.expect("it admits");
    let reused = accounts.refresh(&alice.tokens.refresh, at(12)).await;
    let expected = RefreshError::Reused { account: alice.account.id, session: alice.session.clone() };
    assert_eq!(reused, Err(expected));
    assert!(!accounts.still_admits(caller.as_of));
    for token in [&next.access, &alice.tokens.access] {
        assert_eq!(accounts.authenticate(token, at(13)).await, Err(NOT_VALID));
    }
    assert_eq!(accounts.refresh(&next.refresh, at(13)).await, Err(NOT_VALID.into()));
    assert_eq!(accounts.refresh(&alice.tokens.refresh, at(13)).await, Err(NOT_VALID.into()), "told once");
    assert!(accounts.authenticate(&other.tokens.access, at(13)).await.is_ok(), "other sessions go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grace_one_of_two_refreshes_at_once_is_a_theft() {
    let accounts = service_with(|settings| settings.refresh_rotation = RefreshRotation::Strict);
    account(&accounts, "alice").await;
    for round in 0..20 {
        let alice = login(&accounts, "alice", round).await;
        let both = [alice.tokens.refresh.clone(), alice.tokens.refresh].map(|token| {
            let accounts = accounts.clone();
            tokio::spawn(async move { accounts.refresh(&token, at(round)).await })
        });
        let mut outcomes = Vec::new();
        for task in both {
            outcomes.push(task.await.expect("no panic"));
        }
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert_eq!(accounts.authenticate(&alice.tokens.access, at(round)).await, Err(NOT_VALID));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_that_refresh_at_once_stay_signed_in() {
    let accounts = service();
    account(&accounts, "alice").await;
    let alice = login(&accounts, "alice", 0).await;
    let tabs = [alice.tokens.refresh.clone(), alice.tokens.refresh.clone()].map(|token| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.refresh(&token, at(1)).await.expect("it is good").tokens })
    });
    let mut both = Vec::new();
    for tab in tabs {
        both.push(tab.await.expect("no panic"));
    }
    for (wakes_at, mut tokens) in [100, 3_000].into_iter().zip(both) {
        assert_ne!(tokens.refresh, alice.tokens.refresh, "each has a new one");
        for turn in 0..3 {
            let now = at(wakes_at + turn * HOUR);
            tokens = accounts.refresh(&tokens.refresh, now).await.expect("it goes on by itself").tokens;
            assert!(accounts.authenticate(&tokens.access, now).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_login_ends_for_good_however_often_it_was_refreshed() {
    const DAY: i64 = 24 * HOUR;
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let mut tokens = alice.tokens;
    for day in 1..30 {
        tokens = accounts.refresh(&tokens.refresh, at(day * DAY)).await.expect("it is good").tokens;
    }
    let row = accounts.store().session(&alice.session).await.expect("the store answers").expect("it is kept");
    assert_eq!(row.expires_at.as_second(), START + 30 * DAY);
    tokens = accounts.refresh(&tokens.refresh, at(30 * DAY - 60)).await.expect("it is good").tokens;
    assert_eq!(accounts.verify(&tokens.access, at(30 * DAY - 2)).await, Ok(()));
    for token in [&tokens.access, &tokens.refresh] {
        assert_eq!(accounts.verify(token, at(30 * DAY)).await, Err(NOT_VALID));
    }
    assert_eq!(accounts.refresh(&tokens.refresh, at(30 * DAY)).await, Err(NOT_VALID.into()));
    // A maximum that is shorter by now holds for logins of before.
    let bob = signed_in(&accounts, "bob").await;
    let store = accounts.store().clone();
    let shorter = Accounts::new(store, Settings { session_lifetime_max: Duration::from_secs(60), ..settings() });
    assert!(shorter.refresh(&bob.tokens.refresh, at(59)).await.is_ok());
    assert_eq!(shorter.refresh(&bob.tokens.refresh, at(60)).await, Err(NOT_VALID.into()));
}

#[tokio::test]
async fn without_rotation_the_first_refresh_token_stays_good_until_its_end() {
    let accounts = service_with(|settings| settings.refresh_rotation = RefreshRotation::Off);
    let alice = signed_in(&accounts, "alice").await;
    for seconds in [1, HOUR, WEEK - 10] {
        let pair = accounts.refresh(&alice.tokens.refresh, at(seconds)).await.expect("it is good").tokens;
        assert_eq!(pair.refresh, alice.tokens.refresh);
        let caller = accounts.authenticate(&pair.access, at(seconds)).await.expect("it admits");
        assert!(caller.expires_at <= START + WEEK, "no access outlives the login");
    }
    assert_eq!(accounts.refresh(&alice.tokens.refresh, at(WEEK)).await, Err(NOT_VALID.into()));
    let again = login(&accounts, "alice", 1).await;
    let caller = accounts.authenticate(&again.tokens.access, at(2)).await.expect("it admits");
    accounts.logout(&caller, None, at(3)).await.expect("it is ended");
    assert_eq!(accounts.refresh(&again.tokens.refresh, at(4)).await, Err(NOT_VALID.into()));
}

#[tokio::test]
async fn only_live_sessions_of_active_accounts_are_refreshed() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let refresh = async |seconds| accounts.refresh(&alice.tokens.refresh, at(seconds)).await.map(drop);
    assert_eq!(accounts.refresh(&alice.tokens.access, at(1)).await, Err(NOT_VALID.into()), "an access token");
    let no_sid = json!({"token_type": "refresh", "exp": START + WEEK, "iat": START, "jti": "x", "user_id": 1});
    assert_eq!(accounts.refresh(&signed(&no_sid), at(1)).await, Err(NOT_VALID.into()), "without a session");

    // The state is changed beneath, so that the session goes on.
    let beneath = async |changes: Changes| {
        accounts.store().update(alice.account.id, &changes, at(2), None).await.expect("it is changed");
    };
    beneath(is_active(false)).await;
    assert_eq!(refresh(3).await, Err(AuthError::UserInactive.into()));
    beneath(Changes { is_active: Some(true), ..status(AccountStatus::Suspended) }).await;
    assert_eq!(refresh(3).await, Err(RefreshError::NotActive(AccountStatus::Suspended)));
    beneath(status(AccountStatus::Active)).await;
    assert_eq!(accounts.verify(&alice.tokens.refresh, at(3)).await, Ok(()), "refusals used nothing up");

    accounts.end_sessions(alice.account.id, at(4), None).await.expect("they are ended");
    assert_eq!(refresh(5).await, Err(NOT_VALID.into()));
    accounts.delete(alice.account.id, at(6), None).await.expect("it is erased");
    assert_eq!(refresh(7).await, Err(AuthError::UserNotFound.into()));
}

#[tokio::test]
async fn verify_knows_both_kinds_and_what_was_used_or_ended() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    for token in [&alice.tokens.access, &alice.tokens.refresh] {
        assert_eq!(accounts.verify(token, at(1)).await, Ok(()));
    }
    let next = accounts.refresh(&alice.tokens.refresh, at(2)).await.expect("it is good").tokens;
    assert_eq!(accounts.verify(&alice.tokens.refresh, at(11)).await, Ok(()), "it may be used again for a moment");
    assert_eq!(accounts.verify(&alice.tokens.refresh, at(12)).await, Err(NOT_VALID), "used");
    assert_eq!(accounts.verify(&next.refresh, at(3)).await, Ok(()), "asking ended nothing");
    let caller = accounts.authenticate(&next.access, at(3)).await.expect("it admits");
    accounts.logout(&caller, None, at(4)).await.expect("it is ended");
    for token in [&next.access, &next.refresh, &alice.tokens.access] {
        assert_eq!(accounts.verify(token, at(5)).await, Err(NOT_VALID));
    }
}

#[tokio::test]
async fn logout_ends_this_session_at_once_and_no_other() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let phone = login(&accounts, "alice", 1).await;
    let bob = signed_in(&accounts, "bob").await;
    let caller = accounts.authenticate(&alice.tokens.access, at(2)).await.expect("it admits");
    assert_eq!(accounts.logout(&caller, None, at(3)).await, Ok(vec![alice.session.clone()]));
    assert!(!accounts.still_admits(caller.as_of));
    assert_eq!(accounts.authenticate(&alice.tokens.access, at(4)).await, Err(NOT_VALID));
    assert_eq!(accounts.refresh(&alice.tokens.refresh, at(4)).await, Err(NOT_VALID.into()));
    for token in [&phone.tokens.access, &bob.tokens.access] {
        assert!(accounts.authenticate(token, at(4)).await.is_ok());
    }
    assert_eq!(accounts.logout(&caller, None, at(5)).await, Ok(vec![alice.session.clone()]), "twice does no harm");
}

#[tokio::test]
async fn logout_with_a_refresh_token_ends_its_session_too_if_it_is_ones_own() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let phone = login(&accounts, "alice", 1).await;
    let bob = signed_in(&accounts, "bob").await;
    for (token, also) in [
        (&bob.tokens.refresh, None),
        (&phone.tokens.access, None),
        (&"garbage".to_owned(), None),
        (&phone.tokens.refresh, Some(&phone.session)),
    ] {
        let here = login(&accounts, "alice", 2).await;
        let caller = accounts.authenticate(&here.tokens.access, at(2)).await.expect("it admits");
        let ended = [Some(&here.session), also].into_iter().flatten().cloned().collect();
        assert_eq!(accounts.logout(&caller, Some(token), at(3)).await, Ok(ended), "{token}");
    }
    let caller = accounts.authenticate(&alice.tokens.access, at(4)).await.expect("it admits");
    let ended = accounts.logout(&caller, Some(&alice.tokens.refresh), at(4)).await;
    assert_eq!(ended, Ok(vec![alice.session]), "one session, told once");
    assert_eq!(accounts.authenticate(&phone.tokens.access, at(4)).await, Err(NOT_VALID));
    assert!(accounts.authenticate(&bob.tokens.access, at(4)).await.is_ok());
}

#[tokio::test]
async fn logout_revokes_a_foreign_token_until_its_end() {
    let accounts = service();
    let alice = account(&accounts, "alice").await;
    let (one, other) = (foreign(alice.id, "0b1c", 0), foreign(alice.id, "0b1d", 0));
    let caller = accounts.authenticate(&one, at(1)).await.expect("it admits");
    assert!(accounts.authenticate(&other, at(1)).await.is_ok());
    assert_eq!(accounts.logout(&caller, None, at(2)).await, Ok(vec!["0b1c".into()]));
    assert!(!accounts.still_admits(caller.as_of));
    accounts.tidy(at(HOUR - 1)).await.expect("the store answers");
    for seconds in [3, HOUR - 1] {
        assert_eq!(accounts.authenticate(&one, at(seconds)).await, Err(NOT_VALID));
        assert!(accounts.authenticate(&other, at(seconds)).await.is_ok());
    }
    assert_eq!(accounts.sessions(alice.id, at(3)).await, Ok(vec![]));
    accounts.tidy(at(HOUR + 1)).await.expect("the store answers");
    assert_eq!(accounts.store().session("0b1c").await, Ok(None), "nobody asks for it any more");
    assert_eq!(accounts.authenticate(&one, at(HOUR + 1)).await, Err(NOT_VALID));
}

#[tokio::test]
async fn ending_all_sessions_voids_every_token_issued_until_now() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    let phone = login(&accounts, "alice", 1).await;
    let bob = signed_in(&accounts, "bob").await;
    let id = alice.account.id;
    let foreign_before = foreign(id, "before", 5);
    let mut as_of = Vec::new();
    for token in [&alice.tokens.access, &phone.tokens.access, &foreign_before] {
        as_of.push(accounts.authenticate(token, at(6)).await.expect("it admits").as_of);
    }
    let line =
        AuditEntry { actor: None, action: "force-logout".into(), target: Some(id), detail: String::new(), at: at(9) };
    let account = accounts.end_sessions(id, at(9), Some(line.clone())).await.expect("they are ended");
    assert_eq!(account.tokens_valid_after, Some(at(9)));
    assert!(as_of.into_iter().all(|as_of| !accounts.still_admits(as_of)));
    for token in [&alice.tokens.access, &phone.tokens.access, &foreign_before, &foreign(id, "same second", 9)] {
        assert_eq!(accounts.authenticate(token, at(10)).await, Err(NOT_VALID));
    }
    assert!(accounts.authenticate(&foreign(id, "after", 10), at(11)).await.is_ok());
    assert!(accounts.authenticate(&bob.tokens.access, at(10)).await.is_ok());
    let again = login(&accounts, "alice", 9).await;
    assert!(
        accounts.authenticate(&again.tokens.access, at(9)).await.is_ok(),
        "a login of the same second is a new one"
    );
    let log = accounts.store().audit_page(None, 1).await.expect("the store answers");
    assert_eq!(log[0].1, line);
}

#[tokio::test]
async fn a_session_ended_by_the_store_alone_is_noticed_by_following() {
    let accounts = service();
    assert_eq!(accounts.follow_changes().await, Ok(vec![]));
    let alice = signed_in(&accounts, "alice").await;
    let bob = signed_in(&accounts, "bob").await;
    accounts.follow_changes().await.expect("the store answers");
    let caller = accounts.authenticate(&alice.tokens.access, at(1)).await.expect("it admits");

    // As another process does it.
    let row = accounts.store().session(&alice.session).await.expect("the store answers").expect("it is kept");
    accounts.store().end_session(&row, at(2), None).await.expect("it is ended");
    assert!(accounts.authenticate(&alice.tokens.access, at(2)).await.is_ok(), "not known yet");
    assert_eq!(accounts.follow_changes().await, Ok(vec![(alice.account.id, Some(alice.account.clone()))]));
    assert!(!accounts.still_admits(caller.as_of));
    assert_eq!(accounts.authenticate(&alice.tokens.access, at(3)).await, Err(NOT_VALID));

    let foreign_token = foreign(bob.account.id, "0b1c", 0);
    assert!(accounts.authenticate(&foreign_token, at(3)).await.is_ok());
    let row = CredentialSession { id: "0b1c".into(), refresh: RefreshTokens::none(), account: bob.account.id, ..row };
    accounts.store().end_session(&row, at(4), None).await.expect("it is ended");
    let suspend = Changes { end_sessions: true, ..status(AccountStatus::Suspended) };
    let suspended = accounts.store().update(bob.account.id, &suspend, at(4), None).await.expect("it is changed");
    accounts.store().delete(alice.account.id, at(4), None).await.expect("it is erased");
    let mut changed = accounts.follow_changes().await.expect("the store answers");
    changed.sort_by_key(|(id, _)| *id);
    assert_eq!(changed, vec![(alice.account.id, None), (bob.account.id, Some(suspended))]);
    assert_eq!(accounts.authenticate(&foreign_token, at(5)).await, Err(NOT_VALID));
    assert_eq!(accounts.authenticate(&bob.tokens.access, at(5)).await, Err(NOT_VALID));
    assert_eq!(accounts.authenticate(&alice.tokens.access, at(5)).await, Err(AuthError::UserNotFound));

    let caller = accounts.authenticate(&foreign(bob.account.id, "later", 5), at(6)).await.expect("it tells who");
    assert_eq!(caller.admission.status, AccountStatus::Suspended);
    assert_eq!(accounts.follow_changes().await, Ok(vec![]));
    assert!(accounts.still_admits(caller.as_of), "no change, no doubt");
}

#[tokio::test]
async fn what_was_cached_before_the_first_follow_is_forgotten_by_it() {
    let accounts = service();
    let alice = signed_in(&accounts, "alice").await;
    assert!(accounts.authenticate(&alice.tokens.access, at(1)).await.is_ok());
    accounts.store().update(alice.account.id, &is_active(false), at(2), None).await.expect("it is changed");
    accounts.follow_changes().await.expect("the store answers");
    assert_eq!(accounts.authenticate(&alice.tokens.access, at(3)).await, Err(AuthError::UserInactive));
}

#[tokio::test]
async fn a_store_that_fails_passes_no_change_over() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = failing.clone();
    let store = Hooked::new(move |call, _| {
        let fails = fails.load(SeqCst) && call == Call::Before("accounts");
        Box::pin(async move { if fails { Err(StoreError::Unavailable("on purpose".to_owned())) } else { Ok(()) } })
    });
    let accounts = service_over(Arc::new(store));
    accounts.follow_changes().await.expect("the store answers");
    let alice = signed_in(&accounts, "alice").await;
    failing.store(true, SeqCst);
    for _ in 0..2 {
        assert!(matches!(accounts.follow_changes().await, Err(StoreError::Unavailable(_))));
    }
    failing.store(false, SeqCst);
    let changed = accounts.follow_changes().await.expect("the store answers");
    assert_eq!(changed.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [alice.account.id]);
}
