//! What other processes learn of.

use std::collections::BTreeSet;

use super::{Subject, at, draft, insert, open, session};
use crate::store::{CredentialSession, Rotation, Trade};
use crate::{AccountId, AccountStatus, Changes, RefreshRotation, RefreshTokens, StoreError};

/// Follows the changes as a process does.
struct Follower {
    store: Subject,
    last: i64,
}

impl Follower {
    async fn new(store: &Subject) -> Self {
        Self { store: store.clone(), last: store.newest_change().await.expect("the store answers") }
    }
    async fn next(&mut self) -> BTreeSet<AccountId> {
        let (last, ids) = self.store.changes_after(self.last).await.expect("the store answers");
        assert!(last >= self.last, "{last} after {}", self.last);
        assert!(last > self.last || ids.is_empty(), "{ids:?} without a newer number than {last}");
        self.last = last;
        ids.into_iter().collect()
    }
}

pub async fn what_changed_is_listed_once_it_is_done(store: Subject) {
    insert(&store, "before").await;
    let mut follower = Follower::new(&store).await;
    assert_eq!(follower.next().await, [].into());

    let alice = insert(&store, "alice").await.id;
    assert_eq!(follower.next().await, [alice].into(), "made");
    assert_eq!(follower.next().await, [].into(), "told once");

    let bob = insert(&store, "bob").await.id;
    let suspend = Changes { status: Some(AccountStatus::Suspended), end_sessions: true, ..Changes::default() };
    store.update(alice, &suspend, at(1), None).await.expect("it is changed");
    store.update(alice, &Changes::default(), at(2), None).await.expect("it is changed");
    assert_eq!(follower.next().await, [alice, bob].into(), "changed");

    store.delete(bob, at(3), None).await.expect("it is erased");
    assert_eq!(follower.next().await, [bob].into(), "erased");
    let newest = store.newest_change().await.expect("the store answers");
    assert_eq!(store.changes_after(newest).await, Ok((newest, vec![])));
    let mut from_the_start = Follower { store, last: 0 };
    assert!(from_the_start.next().await.is_superset(&[alice, bob].into()));
}

pub async fn a_session_that_ends_is_a_change(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    open(&store, "s", alice).await;
    open(&store, "t", alice).await;
    let mut follower = Follower::new(&store).await;
    store.end_session(&session("s", alice), at(1), None).await.expect("it is ended");
    assert_eq!(follower.next().await, [alice].into(), "ended");
    assert_eq!(store.rotate("t", &trade("stolen", "x"), at(2)).await, Ok(Rotation::Reused));
    assert_eq!(follower.next().await, [alice].into(), "ended by a second use");
    let foreign = CredentialSession { refresh: RefreshTokens::none(), ..session("foreign", alice) };
    store.end_session(&foreign, at(3), None).await.expect("it is ended");
    assert_eq!(follower.next().await, [alice].into(), "a foreign one");
}

pub async fn what_did_not_happen_is_no_change(store: Subject) {
    let alice = insert(&store, "alice").await.id;
    let mut follower = Follower::new(&store).await;
    assert_eq!(store.insert(&draft("ALICE"), at(1), None).await, Err(StoreError::UsernameTaken));
    assert_eq!(store.update(AccountId(99), &Changes::default(), at(1), None).await, Err(StoreError::NotFound));
    assert_eq!(store.delete(AccountId(99), at(1), None).await, Err(StoreError::NotFound));
    assert_eq!(store.rotate("never", &trade("x", "y"), at(2)).await, Ok(Rotation::Gone));
    assert_eq!(follower.next().await, [].into());
    store.account(alice).await.expect("the store answers");
}

pub async fn changes_can_be_followed_beyond_one_answer(store: Subject) {
    let mut follower = Follower::new(&store).await;
    let mut made = BTreeSet::new();
    for n in 0..300 {
        made.insert(insert(&store, &format!("user{n}")).await.id);
    }
    let mut seen = BTreeSet::new();
    loop {
        let ids = follower.next().await;
        if ids.is_empty() {
            break;
        }
        assert!(ids.len() <= 10_000);
        seen.extend(ids);
    }
    assert_eq!(seen, made);
    assert_eq!(store.newest_change().await, Ok(follower.last));
}

fn trade(old_jti: &str, new_jti: &str) -> Trade {
    let (old_jti, new_jti) = (old_jti.to_owned(), new_jti.to_owned());
    Trade { old_jti, new_jti, rotation: RefreshRotation::Strict, expires_at: at(2_000) }
}
