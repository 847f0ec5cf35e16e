//! E-mail addresses: one account each.

use super::{Subject, at, draft};
use crate::{Changes, NewAccount, StoreError};

const ROUNDS: usize = 8;

fn with_email(username: &str, email: &str) -> NewAccount {
    NewAccount { email: email.to_owned(), ..draft(username) }
}

fn to(email: &str) -> Changes {
    Changes { email: Some(email.to_owned()), ..Changes::default() }
}

pub async fn an_email_address_is_unique_in_any_case_of_letters(store: Subject) {
    let alice = store.insert(&with_email("alice", "Alice@Example.org"), at(0), None).await.expect("it is made");
    let bob = store.insert(&with_email("bob", "b\u{fc}ro@example.org"), at(0), None).await.expect("it is made");
    for taken in ["Alice@Example.org", "alice@example.org", "ALICE@EXAMPLE.ORG"] {
        let refused = store.insert(&with_email("carol", taken), at(1), None).await;
        assert_eq!(refused, Err(StoreError::EmailTaken), "{taken}");
        assert_eq!(store.update(bob.id, &to(taken), at(1), None).await, Err(StoreError::EmailTaken), "{taken}");
    }
    let refused = store.insert(&with_email("carol", "B\u{dc}RO@example.org"), at(1), None).await;
    assert_eq!(refused, Err(StoreError::EmailTaken));
    let refused = store.insert(&with_email("ALICE", "alice@example.org"), at(1), None).await;
    assert_eq!(refused, Err(StoreError::UsernameTaken), "the name comes first");
    assert_eq!(store.account(bob.id).await, Ok(Some(bob.clone())), "nothing is changed");

    let own = store.update(alice.id, &to("alice@EXAMPLE.org"), at(2), None).await.expect("it is one's own");
    assert_eq!(own.email, "alice@EXAMPLE.org");
    store.update(alice.id, &to("new@example.org"), at(3), None).await.expect("it is free");
    store.update(bob.id, &to("alice@example.org"), at(4), None).await.expect("and this one is free again");
    store.delete(bob.id, at(5), None).await.expect("it is erased");
    store.insert(&with_email("carol", "Alice@example.org"), at(6), None).await.expect("it is made");
}

pub async fn no_address_is_no_address(store: Subject) {
    let alice = store.insert(&with_email("alice", ""), at(0), None).await.expect("it is made");
    store.insert(&with_email("bob", ""), at(0), None).await.expect("it is made");
    let verified = Changes { email_verified: Some(true), ..to("alice@example.org") };
    assert!(store.update(alice.id, &verified, at(1), None).await.expect("it is changed").email_verified);
    let same = store.update(alice.id, &to("ALICE@example.org"), at(1), None).await.expect("it is changed");
    assert!(same.email_verified, "it is the same address");
    let gone = store.update(alice.id, &to(""), at(1), None).await.expect("it is changed");
    assert!(!gone.email_verified, "another address was confirmed");
}

pub async fn two_who_take_one_address_at_once_are_one(store: Subject) {
    for round in 0..ROUNDS {
        let email = format!("one-{round}@example.org");
        let insert = |name: String| {
            let (store, new) = (store.clone(), with_email(&name, &email));
            tokio::spawn(async move { store.insert(&new, at(0), None).await.map(drop) })
        };
        let (one, other) = (insert(format!("one-{round}")), insert(format!("other-{round}")));
        let outcomes = [one.await.expect("no panic"), other.await.expect("no panic")];
        assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(StoreError::EmailTaken)), "{outcomes:?}");

        let email = format!("two-{round}@example.org");
        let mut tasks = Vec::new();
        for name in ["three", "four"] {
            let new = with_email(&format!("{name}-{round}"), "");
            let id = store.insert(&new, at(0), None).await.expect("it is made").id;
            let (store, changes) = (store.clone(), to(&email));
            tasks.push(tokio::spawn(async move { store.update(id, &changes, at(1), None).await.map(drop) }));
        }
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.expect("no panic"));
        }
        assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(StoreError::EmailTaken)), "{outcomes:?}");
    }
}
