//! API keys.

use super::{Subject, at, insert, line};
use crate::store::{API_KEYS, AuditEntry};
use crate::{ApiKey, ApiKeyId, KeyHash, NewApiKey, WhichKey};

fn new(name: &str, byte: u8) -> NewApiKey {
    NewApiKey { name: name.to_owned(), prefix: format!("presently_{byte:06}"), hash: KeyHash([byte; 32]) }
}

async fn make(store: &Subject, name: &str, byte: u8) -> ApiKey {
    let made = store.insert_api_key(&new(name, byte), at(i64::from(byte)), None).await.expect("the store answers");
    made.expect("the name is free")
}

async fn revoke(store: &Subject, which: WhichKey, seconds: i64) -> Option<ApiKey> {
    store.revoke_api_key(&which, at(seconds), None).await.expect("the store answers")
}

async fn names(store: &Subject) -> Vec<String> {
    store.api_keys().await.expect("the store answers").into_iter().map(|key| key.name).collect()
}

pub async fn a_key_comes_back_as_it_was_made(store: Subject) {
    let name = "Billing – «x» 'y' %";
    let made = make(&store, name, 7).await;
    let expected = ApiKey {
        id: made.id,
        name: name.to_owned(),
        prefix: "presently_000007".to_owned(),
        hash: KeyHash([7; 32]),
        created_at: at(7),
        last_used_at: None,
        revoked_at: None,
    };
    assert_eq!(made, expected);
    assert_eq!(store.api_key(&KeyHash([7; 32])).await, Ok(Some(expected.clone())));
    assert_eq!(store.api_keys().await, Ok(vec![expected]));
}

pub async fn a_key_is_found_by_its_whole_hash_only(store: Subject) {
    make(&store, "a", 7).await;
    let mut other = [7; 32];
    other[31] = 8;
    for hash in [other, [0; 32]] {
        assert_eq!(store.api_key(&KeyHash(hash)).await, Ok(None));
    }
}

pub async fn a_name_is_unique_among_the_keys_that_live(store: Subject) {
    let first = make(&store, "a", 1).await;
    assert_eq!(store.insert_api_key(&new("a", 2), at(2), Some(&line("x"))).await, Ok(None));
    assert_eq!(store.api_key(&KeyHash([2; 32])).await, Ok(None), "nothing was kept");
    assert_eq!(store.audit_page(None, 10).await, Ok(vec![]), "and no line written");
    make(&store, "A", 3).await;
    revoke(&store, WhichKey::Id(first.id), 4).await.expect("it lived");
    let second = make(&store, "a", 5).await;
    assert!(second.id > first.id, "numbers grow");
}

pub async fn a_key_is_revoked_once_by_name_or_number_and_stays_known(store: Subject) {
    let (a, b) = (make(&store, "a", 1).await, make(&store, "b", 2).await);
    let revoked = ApiKey { revoked_at: Some(at(10)), ..a.clone() };
    assert_eq!(revoke(&store, WhichKey::Name("a".to_owned()), 10).await, Some(revoked.clone()));
    assert_eq!(revoke(&store, WhichKey::Name("a".to_owned()), 11).await, None);
    assert_eq!(revoke(&store, WhichKey::Id(a.id), 12).await, None);
    assert_eq!(store.api_key(&a.hash).await, Ok(Some(revoked)), "with its first end");
    assert_eq!(revoke(&store, WhichKey::Id(ApiKeyId(4_711)), 13).await, None);
    assert_eq!(revoke(&store, WhichKey::Name("B".to_owned()), 14).await, None, "names are exact");
    assert_eq!(revoke(&store, WhichKey::Id(b.id), 15).await, Some(ApiKey { revoked_at: Some(at(15)), ..b }));
}

pub async fn of_two_keys_with_one_name_the_living_one_is_revoked(store: Subject) {
    let first = make(&store, "a", 1).await;
    revoke(&store, WhichKey::Id(first.id), 2).await.expect("it lived");
    let second = make(&store, "a", 3).await;
    let revoked = revoke(&store, WhichKey::Name("a".to_owned()), 4).await.expect("it lived");
    assert_eq!(revoked.id, second.id);
}

pub async fn living_keys_are_listed_first_and_newest_first(store: Subject) {
    for (name, byte) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        make(&store, name, byte).await;
    }
    for name in ["b", "d"] {
        revoke(&store, WhichKey::Name(name.to_owned()), 9).await.expect("it lived");
    }
    assert_eq!(names(&store).await, ["c", "a", "d", "b"]);
}

pub async fn a_revoked_key_is_a_change_and_nothing_else_about_keys_is(store: Subject) {
    insert(&store, "alice").await;
    let before = store.newest_change().await.expect("the store answers");
    let key = make(&store, "a", 1).await;
    store.note_api_keys_used(&[key.id], at(2)).await.expect("it is noted");
    assert_eq!(revoke(&store, WhichKey::Name("b".to_owned()), 3).await, None);
    assert_eq!(store.changes_after(before).await, Ok((before, vec![])));
    for byte in [4, 5] {
        let before = store.newest_change().await.expect("the store answers");
        make(&store, "b", byte).await;
        revoke(&store, WhichKey::Name("b".to_owned()), 6).await.expect("it lived");
        let (newest, ids) = store.changes_after(before).await.expect("the store answers");
        assert!(newest > before);
        assert_eq!(ids, [API_KEYS]);
    }
}

pub async fn a_key_and_its_line_come_together(store: Subject) {
    let silent = |action| AuditEntry { detail: String::new(), ..line(action) };
    let made = store.insert_api_key(&new("a", 1), at(1), Some(&silent("create_api_key"))).await;
    let id = made.expect("the store answers").expect("the name is free").id;
    let which = WhichKey::Id(id);
    store.revoke_api_key(&which, at(2), Some(&silent("revoke_api_key"))).await.expect("the store answers");
    store.revoke_api_key(&which, at(3), Some(&silent("again"))).await.expect("the store answers");
    store.insert_api_key(&new("b", 2), at(4), Some(&line("said"))).await.expect("the store answers");
    let log = store.audit_page(None, 10).await.expect("the store answers");
    let found: Vec<_> = log.iter().map(|(_, entry)| (entry.action.as_str(), entry.detail.as_str())).collect();
    let named = format!("a (key {id})");
    assert_eq!(found, [("said", "because"), ("revoke_api_key", &*named), ("create_api_key", &*named)]);
}

pub async fn use_is_noted_of_the_keys_named(store: Subject) {
    let (a, b, c) = (make(&store, "a", 1).await, make(&store, "b", 2).await, make(&store, "c", 3).await);
    store.note_api_keys_used(&[a.id, c.id, ApiKeyId(4_711)], at(50)).await.expect("it is noted");
    store.note_api_keys_used(&[], at(60)).await.expect("it is noted");
    let used = store.api_keys().await.expect("the store answers").into_iter().map(|key| (key.id, key.last_used_at));
    assert_eq!(used.collect::<Vec<_>>(), [(c.id, Some(at(50))), (b.id, None), (a.id, Some(at(50)))]);
}
