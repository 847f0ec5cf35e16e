//! Credential sessions and the rotation of refresh tokens.

use jiff::Timestamp;

use super::{Subject, at, draft, insert, line, open, session};
use crate::RefreshRotation::{Grace, Off, Strict};
use crate::store::{CredentialSession, Rotation, Trade};
use crate::{AccountId, AccountStatus, Changes, NewAccount, RefreshRotation, RefreshTokens, StoreError};

async fn live_ids(store: &Subject, account: AccountId, seconds: i64) -> Vec<String> {
    let live = store.sessions(account, at(seconds)).await.expect("the store answers");
    live.into_iter().map(|session| session.id).collect()
}

async fn ended_at(store: &Subject, id: &str) -> Option<Timestamp> {
    let session = store.session(id).await.expect("the store answers");
    session.unwrap_or_else(|| panic!("the session {id} is kept")).ended_at
}

pub async fn a_session_comes_back_as_it_was_opened(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let opened = open(&store, "s", alice).await;
    assert_eq!(store.session("s").await, Ok(Some(opened.clone())));
    assert_eq!(store.session("S").await, Ok(None), "ids are exact");
    assert_eq!(store.sessions(alice, at(1)).await, Ok(vec![opened]));
}

pub async fn a_session_opens_for_active_accounts_only(store: Subject) {
    for status in [AccountStatus::Pending, AccountStatus::Suspended, AccountStatus::Banned] {
        let new = NewAccount { status, ..draft(status.as_str()) };
        let id = store.insert(&new, at(0), None).await.expect("an account is made").id;
        assert_eq!(store.open_session(&session(status.as_str(), id)).await, Ok(false), "{status:?}");
        assert_eq!(store.session(status.as_str()).await, Ok(None), "nothing is kept");
    }
    let id = insert(&store, "deactivated").await.id;
    let deactivate = Changes { is_active: Some(false), ..Changes::default() };
    store.update(id, &deactivate, at(1), None).await.expect("it is changed");
    assert_eq!(store.open_session(&session("d", id)).await, Ok(false));
    assert_eq!(store.open_session(&session("n", AccountId(4_711))).await, Ok(false), "nobody");
    let activate = Changes { is_active: Some(true), ..Changes::default() };
    store.update(id, &activate, at(2), None).await.expect("it is changed");
    assert_eq!(store.open_session(&session("d", id)).await, Ok(true));
}

pub async fn live_sessions_come_oldest_first_without_the_ended_and_expired(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let bob = insert(&store, "bob").await.id;
    for (id, from, until) in [("young", 30, 900), ("old", 10, 900), ("short", 20, 100), ("ended", 5, 900)] {
        let opened = CredentialSession { created_at: at(from), expires_at: at(until), ..session(id, alice) };
        assert_eq!(store.open_session(&opened).await, Ok(true));
    }
    open(&store, "of bob", bob).await;
    store.end_session(&session("ended", alice), at(40), None).await.expect("it is ended");
    assert_eq!(live_ids(&store, alice, 50).await, ["old", "short", "young"]);
    assert_eq!(live_ids(&store, alice, 100).await, ["old", "young"], "a session ends as it expires");
    assert_eq!(live_ids(&store, AccountId(4_711), 50).await, [""; 0]);
}

pub async fn an_ended_session_stays_to_be_found_and_keeps_its_first_end(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let opened = open(&store, "s", alice).await;
    store.end_session(&opened, at(7), None).await.expect("it is ended");
    store.end_session(&opened, at(9), None).await.expect("ending it again does no harm");
    let expected = CredentialSession { ended_at: Some(at(7)), ..opened };
    assert_eq!(store.session("s").await, Ok(Some(expected)));
    assert_eq!(live_ids(&store, alice, 8).await, [""; 0]);
}

pub async fn a_session_of_another_account_is_not_ended(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let bob = insert(&store, "bob").await.id;
    let opened = open(&store, "s", alice).await;
    store.end_session(&session("s", bob), at(5), None).await.expect("the store answers");
    let foreign = CredentialSession { refresh: RefreshTokens::none(), ..session("s", bob) };
    store.end_session(&foreign, at(5), None).await.expect("the store answers");
    assert_eq!(store.session("s").await, Ok(Some(opened)));
}

pub async fn a_foreign_token_is_ended_without_having_been_opened(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let foreign = CredentialSession { refresh: RefreshTokens::none(), ..session("0b1c", alice) };
    store.end_session(&foreign, at(5), None).await.expect("it is ended");
    let expected = CredentialSession { ended_at: Some(at(5)), ..foreign.clone() };
    assert_eq!(store.session("0b1c").await, Ok(Some(expected)));
    store.end_session(&foreign, at(6), None).await.expect("ending it again does no harm");
    assert_eq!(ended_at(&store, "0b1c").await, Some(at(5)));
    assert_eq!(live_ids(&store, alice, 6).await, [""; 0]);
    assert_eq!(rotate(&store, "0b1c", "", "x", at(900), at(7)).await, Ok(Rotation::Gone));
}

pub async fn an_unknown_session_of_our_own_is_not_made_by_ending_it(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    store.end_session(&session("s", alice), at(5), None).await.expect("the store answers");
    assert_eq!(store.session("s").await, Ok(None));
}

pub async fn a_refresh_token_rotates_once(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let opened = open(&store, "s", alice).await;
    let other = open(&store, "t", alice).await;
    assert_eq!(rotate(&store, "s", "s-jti-1", "s-jti-2", at(2_000), at(5)).await, Ok(Rotation::Rotated));
    let row = store.session("s").await.expect("the store answers").expect("it is there");
    assert_eq!(row.refresh.newest(), "s-jti-2");
    let expected = CredentialSession { refresh: row.refresh, refreshed_at: at(5), expires_at: at(2_000), ..opened };
    assert_eq!(store.session("s").await, Ok(Some(expected)));
    assert_eq!(rotate(&store, "s", "s-jti-2", "s-jti-3", at(3_000), at(6)).await, Ok(Rotation::Rotated));
    assert_eq!(store.session("t").await, Ok(Some(other)));
}

pub async fn a_refresh_token_used_twice_ends_its_session(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    open(&store, "s", alice).await;
    let other = open(&store, "t", alice).await;
    assert_eq!(rotate(&store, "s", "s-jti-1", "s-jti-2", at(2_000), at(5)).await, Ok(Rotation::Rotated));
    assert_eq!(rotate(&store, "s", "s-jti-1", "s-jti-3", at(2_000), at(6)).await, Ok(Rotation::Reused));
    assert_eq!(ended_at(&store, "s").await, Some(at(6)));
    assert_eq!(rotate(&store, "s", "s-jti-2", "s-jti-4", at(2_000), at(7)).await, Ok(Rotation::Gone));
    assert_eq!(store.session("t").await, Ok(Some(other)), "other sessions go on");
}

pub async fn what_has_ended_or_expired_or_never_was_does_not_rotate(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let opened = open(&store, "ended", alice).await;
    store.end_session(&opened, at(5), None).await.expect("it is ended");
    assert_eq!(rotate(&store, "ended", "ended-jti-1", "x", at(2_000), at(6)).await, Ok(Rotation::Gone));
    open(&store, "expired", alice).await;
    assert_eq!(rotate(&store, "expired", "expired-jti-1", "x", at(3_000), at(1_000)).await, Ok(Rotation::Gone));
    assert_eq!(rotate(&store, "expired", "other", "x", at(3_000), at(1_001)).await, Ok(Rotation::Gone));
    assert_eq!(rotate(&store, "never", "x", "y", at(2_000), at(6)).await, Ok(Rotation::Gone));
}

pub async fn of_two_rotations_at_once_one_rotates_and_the_other_ends_the_session(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    for round in 0..8 {
        let id = format!("s{round}");
        let opened = open(&store, &id, alice).await;
        let mut tasks = Vec::new();
        for task in 0..2 {
            let (store, opened) = (store.clone(), opened.clone());
            tasks.push(tokio::spawn(async move {
                let new_jti = format!("new-{task}");
                store.rotate(&opened.id, &trade(opened.refresh.newest(), &new_jti, Strict), at(5)).await
            }));
        }
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.expect("no panic").expect("the store answers"));
        }
        let rotated = outcomes.iter().filter(|outcome| **outcome == Rotation::Rotated).count();
        assert!(rotated == 1 && outcomes.contains(&Rotation::Reused), "{outcomes:?}");
        assert_eq!(ended_at(&store, &id).await, Some(at(5)));
    }
}

pub async fn ending_all_sessions_voids_them_and_the_tokens_until_now(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let bob = insert(&store, "bob").await.id;
    open(&store, "s", alice).await;
    let ended = open(&store, "t", alice).await;
    let other = open(&store, "u", bob).await;
    store.end_session(&ended, at(3), None).await.expect("it is ended");
    let changes = Changes { status: Some(AccountStatus::Suspended), end_sessions: true, ..Changes::default() };
    let changed = store.update(alice, &changes, at(9), None).await.expect("it is changed");
    assert_eq!(changed.tokens_valid_after, Some(at(9)));
    assert_eq!(store.account(alice).await, Ok(Some(changed)));
    assert_eq!((ended_at(&store, "s").await, ended_at(&store, "t").await), (Some(at(9)), Some(at(3))));
    assert_eq!(live_ids(&store, alice, 10).await, [""; 0]);
    assert_eq!(store.session("u").await, Ok(Some(other)));
    let activate = Changes { status: Some(AccountStatus::Active), ..Changes::default() };
    let changed = store.update(alice, &activate, at(20), None).await.expect("it is changed");
    assert_eq!(changed.tokens_valid_after, Some(at(9)), "it stays");
    assert_eq!(ended_at(&store, "s").await, Some(at(9)), "what has ended does not come back");
}

pub async fn expired_sessions_are_pruned_up_to_the_limit(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    for n in 0..5 {
        let expired = CredentialSession { expires_at: at(100 + n), ..session(&format!("s{n}"), alice) };
        assert_eq!(store.open_session(&expired).await, Ok(true));
    }
    let ended = open(&store, "ended", alice).await;
    store.end_session(&ended, at(1), None).await.expect("it is ended");
    let foreign = CredentialSession { refresh: RefreshTokens::none(), ..session("foreign", alice) };
    store.end_session(&foreign, at(1), None).await.expect("it is ended");
    assert_eq!(store.prune_sessions(at(100), 10).await, Ok(0), "it goes after its end, not at it");
    assert_eq!(store.prune_sessions(at(500), 3).await, Ok(3));
    assert_eq!(store.prune_sessions(at(500), 3).await, Ok(2));
    assert_eq!(store.prune_sessions(at(500), 3).await, Ok(0));
    assert!(ended_at(&store, "ended").await.is_some(), "an ended session stays until its tokens expire");
    assert!(ended_at(&store, "foreign").await.is_some(), "and so does a foreign one");
    assert_eq!(store.prune_sessions(at(1_001), 10).await, Ok(2));
}

pub async fn with_grace_all_that_rotate_at_once_go_on_by_themselves(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    open(&store, "s", alice).await;
    let tabs: Vec<_> = (0..8)
        .map(|tab| {
            let store = store.clone();
            tokio::spawn(async move { store.rotate("s", &trade("s-jti-1", &format!("tab-{tab}"), Grace), at(5)).await })
        })
        .collect();
    for tab in tabs {
        assert_eq!(tab.await.expect("no panic"), Ok(Rotation::Rotated));
    }
    for tab in 0..8 {
        let next = trade(&format!("tab-{tab}"), &format!("next-{tab}"), Grace);
        assert_eq!(store.rotate("s", &next, at(500 + tab)).await, Ok(Rotation::Rotated), "tab {tab}");
    }
    assert_eq!(ended_at(&store, "s").await, None);
    assert_eq!(store.rotate("s", &trade("s-jti-1", "x", Grace), at(600)).await, Ok(Rotation::Reused));
    assert_eq!(ended_at(&store, "s").await, Some(at(600)));
    assert_eq!(store.rotate("s", &trade("next-1", "x", Grace), at(601)).await, Ok(Rotation::Gone));
}

pub async fn without_rotation_the_same_token_stays_good_until_its_end(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let opened = open(&store, "s", alice).await;
    let again = Trade { expires_at: opened.expires_at, ..trade("s-jti-1", "s-jti-1", Off) };
    for seconds in [5, 900] {
        assert_eq!(store.rotate("s", &again, at(seconds)).await, Ok(Rotation::Rotated));
    }
    assert_eq!(store.rotate("s", &trade("other", "other", Off), at(900)).await, Ok(Rotation::Gone));
    let expected = CredentialSession { refreshed_at: at(900), ..opened };
    assert_eq!(store.session("s").await, Ok(Some(expected)));
    assert_eq!(store.rotate("s", &again, at(1_000)).await, Ok(Rotation::Gone));
}

pub async fn a_session_that_an_admin_ended_says_so_and_its_line_comes_with_it(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let opened = open(&store, "s", alice).await;
    let by_admin = CredentialSession { ended_by_admin: true, ..opened.clone() };
    store.end_session(&by_admin, at(7), Some(&line("end_session"))).await.expect("it is ended");
    store.end_session(&opened, at(9), None).await.expect("ending it again does no harm");
    let expected = CredentialSession { ended_at: Some(at(7)), ..by_admin };
    assert_eq!(store.session("s").await, Ok(Some(expected)));
    let log = store.audit_page(None, 10).await.expect("the store answers");
    assert_eq!(log.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), [line("end_session")]);
}

pub async fn the_session_that_is_spared_goes_on(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    for id in ["s", "t", "u"] {
        open(&store, id, alice).await;
    }
    let changes = Changes { end_sessions: true, spare: Some("t".to_owned()), ..Changes::default() };
    let changed = store.update(alice, &changes, at(9), None).await.expect("it is changed");
    assert_eq!(changed.tokens_valid_after, Some(at(9)));
    assert_eq!(live_ids(&store, alice, 10).await, ["t"]);
}

/// A use of a refresh token where none may be used twice.
async fn rotate(
    store: &Subject,
    id: &str,
    old_jti: &str,
    new_jti: &str,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Rotation, StoreError> {
    store.rotate(id, &Trade { expires_at, ..trade(old_jti, new_jti, Strict) }, now).await
}

fn trade(old_jti: &str, new_jti: &str, rotation: RefreshRotation) -> Trade {
    Trade { old_jti: old_jti.to_owned(), new_jti: new_jti.to_owned(), rotation, expires_at: at(2_000) }
}
