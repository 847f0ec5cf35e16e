//! API keys, as the service gives and takes them.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use common::hooked::{Call, Hooked};
use common::*;
use presently_accounts::memory::MemoryStore;
use presently_accounts::store::{ApiKeyStore, AuditEntry};
use presently_accounts::{Accounts, AuthError, KeyHash, MadeKey, NewApiKey, ServiceError, WhichKey};

async fn make(accounts: &Accounts, name: &str) -> MadeKey {
    accounts.make_key(name, at(0), None).await.expect("a key is made")
}

fn named(name: &str) -> WhichKey {
    WhichKey::Name(name.to_owned())
}

#[tokio::test]
async fn a_key_opens_from_the_moment_it_is_made_until_it_is_revoked() {
    let accounts = service();
    let made = make(&accounts, "billing").await;
    assert!(made.text.starts_with(&made.key.prefix) && made.key.prefix.len() == 16);
    for _ in 0..2 {
        assert_eq!(accounts.authenticate_key(&made.text).await.expect("it is good").name, "billing");
    }
    let revoked = accounts.revoke_key(&named("billing"), at(1), None).await.expect("the store answers");
    assert_eq!(revoked.expect("it lived").revoked_at, Some(at(1)));
    assert_eq!(accounts.authenticate_key(&made.text).await, Err(AuthError::TokenNotValid));
    assert_eq!(accounts.revoke_key(&named("billing"), at(2), None).await, Ok(None));
}

#[tokio::test]
async fn what_is_decided_after_a_revocation_stands_until_the_next_one() {
    let accounts = service();
    let keep = make(&accounts, "keep").await;
    for n in 0..3 {
        let as_of = accounts.as_of();
        accounts.authenticate_key(&keep.text).await.expect("it is good");
        assert!(accounts.still_admits(as_of), "nothing was revoked meanwhile");
        let name = format!("key {n}");
        make(&accounts, &name).await;
        accounts.revoke_key(&named(&name), at(n), None).await.expect("the store answers").expect("it lived");
        assert!(!accounts.still_admits(as_of));
    }
}

#[tokio::test]
async fn what_is_no_key_of_ours_opens_nothing() {
    let accounts = service();
    let made = make(&accounts, "billing").await;
    let (head, last) = made.text.split_at(made.text.len() - 1);
    let other = format!("{head}{}", if last == "A" { "B" } else { "A" });
    for text in ["", "presently_", head, &other, &made.key.prefix] {
        assert_eq!(accounts.authenticate_key(text).await, Err(AuthError::TokenNotValid), "{text}");
    }
}

#[tokio::test]
async fn a_key_is_no_token_and_a_token_no_key() {
    let accounts = service();
    let made = make(&accounts, "billing").await;
    let signed_in = signed_in(&accounts, "alice").await;
    assert_eq!(accounts.authenticate(&made.text, at(0)).await, Err(AuthError::TokenNotValid));
    assert_eq!(accounts.authenticate_key(&signed_in.tokens.access).await, Err(AuthError::TokenNotValid));
}

#[tokio::test]
async fn a_name_is_free_again_once_its_key_is_revoked() {
    let accounts = service();
    let first = make(&accounts, "billing").await;
    for name in ["billing", ""] {
        let refused = accounts.make_key(name, at(1), None).await.expect_err("it is refused");
        assert!(matches!(refused, ServiceError::Invalid(fields) if fields.contains_key("name")), "{name:?}");
    }
    accounts.revoke_key(&WhichKey::Id(first.key.id), at(2), None).await.expect("the store answers").expect("it lived");
    let second = make(&accounts, "billing").await;
    assert_eq!(accounts.authenticate_key(&first.text).await, Err(AuthError::TokenNotValid));
    assert_eq!(accounts.authenticate_key(&second.text).await.expect("it is good").id, second.key.id);
}

#[tokio::test]
async fn a_thousand_keys_are_enough() {
    let accounts = service();
    for n in 0..1_000 {
        make(&accounts, &format!("key {n}")).await;
    }
    assert!(matches!(accounts.make_key("one more", at(1), None).await, Err(ServiceError::Invalid(_))));
    accounts.revoke_key(&named("key 5"), at(2), None).await.expect("the store answers").expect("it lived");
    make(&accounts, "one more").await;
}

#[tokio::test]
async fn a_revocation_by_another_process_is_followed() {
    let store = Arc::new(MemoryStore::new());
    let (here, there) = (service_over(store.clone()), service_over(store));
    here.follow_changes().await.expect("the store answers");
    let made = make(&there, "billing").await;
    let as_of = here.as_of();
    here.authenticate_key(&made.text).await.expect("it is good here too, at once");
    there.revoke_key(&named("billing"), at(1), None).await.expect("the store answers").expect("it lived");
    assert_eq!(here.follow_changes().await, Ok(vec![]), "no account has changed");
    assert!(!here.still_admits(as_of), "who acts on the key is told");
    assert_eq!(here.authenticate_key(&made.text).await, Err(AuthError::TokenNotValid));
}

#[tokio::test]
async fn a_key_that_is_known_is_not_asked_for_again() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = asked.clone();
    let accounts = service_over(Arc::new(Hooked::new(move |call, _| {
        counter.fetch_add(u64::from(call == Call::Before("api_key")), SeqCst);
        Box::pin(async { Ok(()) })
    })));
    let made = make(&accounts, "billing").await;
    for _ in 0..10 {
        accounts.authenticate_key(&made.text).await.expect("it is good");
    }
    assert_eq!(asked.load(SeqCst), 1);
    accounts.authenticate_key("presently_short").await.expect_err("it is none");
    assert_eq!(asked.load(SeqCst), 1, "what cannot be a key is not asked for at all");
}

/// The store answers late: what it read before the revocation arrives after.
#[tokio::test]
async fn what_was_read_before_a_revocation_is_not_kept_after_it() {
    let revoke = Arc::new(tokio::sync::Mutex::new(None::<Accounts>));
    let revoker = revoke.clone();
    let accounts = service_over(Arc::new(Hooked::new(move |call, _| {
        let revoker = revoker.clone();
        Box::pin(async move {
            if call == Call::After("api_key")
                && let Some(accounts) = revoker.lock().await.take()
            {
                accounts.revoke_key(&named("billing"), at(1), None).await?.expect("it lived");
            }
            Ok(())
        })
    })));
    let made = make(&accounts, "billing").await;
    *revoke.lock().await = Some(accounts.clone());
    let as_of = accounts.as_of();
    accounts.authenticate_key(&made.text).await.expect("it was good when it was read");
    assert!(!accounts.still_admits(as_of));
    assert_eq!(accounts.authenticate_key(&made.text).await, Err(AuthError::TokenNotValid));
}

#[tokio::test]
async fn use_is_noted_when_things_are_tidied_once_an_hour() {
    let accounts = service();
    let made = make(&accounts, "billing").await;
    let last_used = async || accounts.keys().await.expect("the store answers")[0].last_used_at;
    accounts.tidy(at(1)).await.expect("the store answers");
    assert_eq!(last_used().await, None);
    for (used, noted) in [(60, 60), (120, 60), (3_659, 60), (3_660, 3_660)] {
        accounts.authenticate_key(&made.text).await.expect("it is good");
        accounts.tidy(at(used)).await.expect("the store answers");
        assert_eq!(last_used().await, Some(at(noted)), "after {used} s");
    }
}

#[tokio::test]
async fn what_admins_do_with_keys_is_in_the_log_without_the_key() {
    let accounts = service();
    let entry = |action: &str| AuditEntry {
        actor: None,
        action: action.to_owned(),
        target: None,
        detail: String::new(),
        at: at(0),
    };
    let made = accounts.make_key("billing", at(0), Some(entry("create_api_key"))).await.expect("a key is made");
    let revoked = accounts.revoke_key(&named("billing"), at(1), Some(entry("revoke_api_key"))).await;
    revoked.expect("the store answers").expect("it lived");
    let log = accounts.store().audit_page(None, 10).await.expect("the store answers");
    let expected = format!("billing (key {})", made.key.id);
    assert!(log.iter().all(|(_, entry)| entry.detail == expected), "{log:?}");
    assert_eq!(log.len(), 2);
}

#[tokio::test]
async fn the_port_knows_no_key_by_its_text() {
    let store = Arc::new(MemoryStore::new());
    let made = make(&service_over(store.clone()), "billing").await;
    let kept = format!("{:?}", store.api_keys().await.expect("the store answers"));
    assert!(!kept.contains(&made.text[16..]), "{kept}");
}

#[tokio::test]
async fn invented_keys_cost_no_look_into_the_store() {
    let looks = Arc::new(AtomicU64::new(0));
    let counting = looks.clone();
    let hooked = Hooked::new(move |call, _| {
        if matches!(call, Call::Before("api_key" | "api_keys")) {
            counting.fetch_add(1, SeqCst);
        }
        Box::pin(async { Ok(()) })
    });
    let accounts = service_over(Arc::new(hooked));
    // One that was made before there were checksums, as its row says.
    let old = format!("presently_{}", "o".repeat(43));
    let hash = KeyHash::of(&old).expect("it looks like a key");
    let row = NewApiKey { name: "old".to_owned(), prefix: old[..16].to_owned(), hash };
    accounts.store().insert_api_key(&row, at(0), None).await.expect("the store answers");
    let made = make(&accounts, "billing").await;
    let before = looks.load(SeqCst);
    for n in 0..1_000 {
        let invented = format!("presently_{n:0>49}");
        assert_eq!(accounts.authenticate_key(&invented).await, Err(AuthError::TokenNotValid));
    }
    assert_eq!(looks.load(SeqCst), before);
    for n in 0..1_000 {
        let invented = format!("presently_{n:0>43}");
        assert_eq!(accounts.authenticate_key(&invented).await, Err(AuthError::TokenNotValid));
    }
    assert_eq!(looks.load(SeqCst), before + 1, "one look at all of them");
    assert_eq!(accounts.authenticate_key(&old).await.expect("it stays good").name, "old");
    // One that an older program made a moment ago, while several nodes are being upgraded.
    let young = format!("presently_{}", "y".repeat(43));
    let hash = KeyHash::of(&young).expect("it looks like a key");
    let row = NewApiKey { name: "young".to_owned(), prefix: young[..16].to_owned(), hash };
    accounts.store().insert_api_key(&row, at(0), None).await.expect("the store answers");
    assert_eq!(accounts.authenticate_key(&young).await, Err(AuthError::TokenNotValid), "not known yet");
    accounts.tidy(at(60)).await.expect("the store answers");
    assert_eq!(accounts.authenticate_key(&young).await.expect("known within a minute").name, "young");
    assert_eq!(accounts.authenticate_key(&made.text).await.expect("it is good").name, "billing");
}
