//! Accounts one by one.

use super::{Subject, at, draft, insert, open};
use crate::{Account, AccountId, AccountStatus, Changes, NewAccount, PasswordHash, Role, StoreError};

pub async fn an_account_comes_back_as_it_was_made(store: Subject) {
    let new = NewAccount {
        username: "Zoë".to_owned(),
        email: "zoe@example.org".to_owned(),
        password: PasswordHash("$argon2id$v=19$something".to_owned()),
        first_name: "Zoë \"Z\"".to_owned(),
        last_name: "O'Hara".to_owned(),
        role: Role::Moderator,
        status: AccountStatus::Pending,
        is_staff: true,
        email_verified: true,
        is_approved: false,
    };
    let made = store.insert(&new, at(5), None).await.expect("an account is made");
    assert_eq!(made.username, new.username);
    assert_eq!(made.email, new.email);
    assert_eq!(made.password, new.password);
    assert_eq!((&made.first_name, &made.last_name), (&new.first_name, &new.last_name));
    assert_eq!((made.role, made.status), (new.role, new.status));
    assert_eq!((made.is_staff, made.email_verified, made.is_approved), (true, true, false));
    assert_eq!((made.created_at, made.updated_at), (at(5), at(5)));
    assert_eq!((made.avatar.as_deref(), made.bio.as_str(), made.is_active), (None, "", true));
    assert_eq!((made.message_count, made.report_count, made.tokens_valid_after), (0, 0, None));
    assert_eq!(store.account(made.id).await, Ok(Some(made.clone())));
    assert_eq!(store.account_named("Zoë").await, Ok(Some(made)));
    assert_eq!(store.account(AccountId(4_711)).await, Ok(None));
    assert_eq!(store.account_named("nobody").await, Ok(None));
}

pub async fn ids_grow_and_are_never_used_twice(store: Subject) {
    let first = insert(&store, "first").await.id;
    let second = insert(&store, "second").await.id;
    assert!(AccountId(0) < first && first < second, "{first} then {second}");
    store.delete(second, at(1), None).await.expect("it is erased");
    let third = insert(&store, "third").await.id;
    assert!(third > second, "{third} after {second} was erased");
}

pub async fn a_username_is_unique_in_any_case_of_letters(store: Subject) {
    for (one, other) in [("Alice", "aLICE"), ("ÄRGER", "ärger"), ("Мария", "мАРИЯ"), ("a.b+c@D-e_f", "A.B+C@d-E_F")]
    {
        let made = insert(&store, one).await;
        assert_eq!(store.insert(&draft(other), at(1), None).await, Err(StoreError::UsernameTaken), "{other}");
        assert_eq!(store.account_named(other).await, Ok(Some(made)), "{other}");
    }
    assert_eq!(store.account_named(" Alice").await, Ok(None), "nothing is trimmed");
    assert_eq!(store.account_named("Alic_").await, Ok(None), "`_` is a letter like others");
    assert_eq!(store.account_named("%").await, Ok(None), "`%` is a letter like others");
}

pub async fn a_username_of_someone_erased_is_free_again(store: Subject) {
    let made = insert(&store, "alice").await;
    store.delete(made.id, at(1), None).await.expect("it is erased");
    let again = insert(&store, "Alice").await;
    assert_ne!(again.id, made.id);
}

pub async fn names_that_look_alike_are_one_too_many(store: Subject) {
    let made = insert(&store, "paypal").await;
    for other in ["paypa1", "PAYPA1", "pаypаl"] {
        assert_eq!(store.insert(&draft(other), at(1), None).await, Err(StoreError::UsernameTaken), "{other}");
        assert_eq!(store.account_named(other).await, Ok(None), "it is no other spelling of the name");
    }
    insert(&store, "payal").await;
    store.delete(made.id, at(2), None).await.expect("it is erased");
    insert(&store, "paypa1").await;
}

pub async fn old_hashes_are_found_one_kind_after_the_other(store: Subject) {
    let hashes = ["pbkdf2_sha256$20000$salt$hash", "pbkdf2_sha256$1000$salt$hash", "!unusable", PasswordHash::TODAY];
    for (number, hash) in hashes.iter().enumerate() {
        let new = NewAccount { password: PasswordHash((*hash).to_owned()), ..draft(&format!("user-{number}")) };
        store.insert(&new, at(0), None).await.expect("an account is made");
    }
    for (after, expected) in [
        ("", Some("!unusable")),
        ("!unusable", Some("pbkdf2_sha256$1000$salt$hash")),
        ("pbkdf2_sha256$1000$~", Some("pbkdf2_sha256$20000$salt$hash")),
        ("pbkdf2_sha256$20000$~", None),
    ] {
        let found = store.old_hash_after(after).await.expect("the store answers");
        assert_eq!(found.map(|hash| hash.0).as_deref(), expected, "after {after}");
    }
}

pub async fn update_changes_what_it_names_and_nothing_else(store: Subject) {
    let made = insert(&store, "alice").await;
    let other = insert(&store, "bob").await;
    let session = open(&store, "s", made.id).await;

    let same = store.update(made.id, &Changes::default(), at(1), None).await.expect("it is changed");
    let mut expected = made.clone();
    expected.updated_at = at(1);
    assert_eq!(same, expected);

    let changes = Changes {
        username: Some("Alicia".to_owned()),
        email: Some("new@example.org".to_owned()),
        password: Some(PasswordHash("$other".to_owned())),
        first_name: Some("Alice".to_owned()),
        last_name: Some("Li".to_owned()),
        avatar: Some(Some("https://example.org/a.png".to_owned())),
        bio: Some("Hello".to_owned()),
        role: Some(Role::Admin),
        status: Some(AccountStatus::Suspended),
        is_active: Some(false),
        is_staff: Some(true),
        email_verified: Some(true),
        is_approved: Some(false),
        password_was: Some(made.password.clone()),
        approve: false,
        end_sessions: false,
        spare: None,
    };
    let changed = store.update(made.id, &changes, at(2), None).await.expect("it is changed");
    assert_eq!((changed.id, changed.username.as_str(), changed.created_at), (made.id, "Alicia", made.created_at));
    assert_eq!(changed.email, "new@example.org");
    assert_eq!(changed.password, PasswordHash("$other".to_owned()));
    assert_eq!((changed.first_name.as_str(), changed.last_name.as_str()), ("Alice", "Li"));
    assert_eq!((changed.avatar.as_deref(), changed.bio.as_str()), (Some("https://example.org/a.png"), "Hello"));
    assert_eq!((changed.role, changed.status), (Role::Admin, AccountStatus::Suspended));
    assert_eq!(
        (changed.is_active, changed.is_staff, changed.email_verified, changed.is_approved),
        (false, true, true, false)
    );
    assert_eq!((changed.updated_at, changed.tokens_valid_after), (at(2), None));
    assert_eq!(store.account(made.id).await, Ok(Some(changed)));
    assert_eq!(store.session("s").await, Ok(Some(session)), "sessions end when it is asked for");

    let changes = Changes { avatar: Some(None), ..Changes::default() };
    let changed = store.update(made.id, &changes, at(3), None).await.expect("it is changed");
    assert_eq!((changed.avatar, changed.bio.as_str()), (None, "Hello"));
    assert_eq!(store.account(other.id).await, Ok(Some(other)));
}

pub async fn a_hash_is_replaced_only_while_it_is_the_old_one(store: Subject) {
    let made = insert(&store, "alice").await;
    let (new, newer) = (PasswordHash("$new".to_owned()), PasswordHash("$newer".to_owned()));
    assert_eq!(store.replace_password(made.id, &made.password, &new).await, Ok(true));
    assert_eq!(store.replace_password(made.id, &made.password, &newer).await, Ok(false));
    let expected = Account { password: new.clone(), ..made };
    assert_eq!(store.account(expected.id).await, Ok(Some(expected)), "nothing else changes");
    assert_eq!(store.replace_password(AccountId(4_711), &new, &newer).await, Ok(false));
}

pub async fn update_and_delete_of_nobody_are_not_found(store: Subject) {
    let nobody = AccountId(4_711);
    let changes = Changes { end_sessions: true, ..Changes::default() };
    assert_eq!(store.update(nobody, &changes, at(1), None).await, Err(StoreError::NotFound));
    assert_eq!(store.delete(nobody, at(1), None).await, Err(StoreError::NotFound));
}

pub async fn delete_erases_the_account_and_its_sessions(store: Subject) {
    let made = insert(&store, "alice").await;
    let other = insert(&store, "bob").await;
    open(&store, "s", made.id).await;
    let kept = open(&store, "t", other.id).await;
    store.delete(made.id, at(1), None).await.expect("it is erased");
    assert_eq!(store.account(made.id).await, Ok(None));
    assert_eq!(store.account_named("alice").await, Ok(None));
    assert_eq!(store.session("s").await, Ok(None));
    assert_eq!(store.sessions(made.id, at(1)).await, Ok(vec![]));
    assert_eq!(store.session("t").await, Ok(Some(kept)));
    assert_eq!(store.delete(made.id, at(2), None).await, Err(StoreError::NotFound));
}

pub async fn ten_thousand_accounts_are_asked_for_in_one_call(store: Subject) {
    let alice = insert(&store, "alice").await;
    let bob = insert(&store, "bob").await;
    let mut ids: Vec<AccountId> = (1..=9_998).map(|n| AccountId(1_000_000 + n)).collect();
    ids.push(bob.id);
    ids.push(alice.id);
    let mut found = store.accounts(&ids).await.expect("the store answers");
    found.sort_by_key(|account| account.id);
    assert_eq!(found, vec![alice, bob]);
    assert_eq!(store.accounts(&[]).await, Ok(vec![]));
}

pub async fn only_admins_who_may_sign_in_are_counted(store: Subject) {
    assert_eq!(store.admin_count().await, Ok(0));
    let new = |name: &str, role, is_staff, status| NewAccount { role, is_staff, status, ..draft(name) };
    let active = AccountStatus::Active;
    let mut made = Vec::new();
    for new in [
        new("role", Role::Admin, false, active),
        new("staff", Role::User, true, active),
        new("suspended", Role::Admin, true, AccountStatus::Suspended),
        new("pending", Role::Admin, false, AccountStatus::Pending),
        new("moderator", Role::Moderator, false, active),
        new("both", Role::Admin, true, active),
    ] {
        made.push(store.insert(&new, at(0), None).await.expect("an account is made"));
    }
    assert_eq!(store.admin_count().await, Ok(3));
    let deactivated = Changes { is_active: Some(false), ..Changes::default() };
    store.update(made[5].id, &deactivated, at(1), None).await.expect("it is changed");
    assert_eq!(store.admin_count().await, Ok(2));
}

pub async fn all_numbers_are_told_and_none_of_the_erased(store: Subject) {
    let mut expected = Vec::new();
    for name in ["one", "two", "three"] {
        expected.push(insert(&store, name).await.id);
    }
    store.delete(expected.remove(1), at(1), None).await.expect("it is erased");
    let mut told = store.account_ids().await.expect("the store answers");
    told.sort();
    assert_eq!(told, expected);
}

pub async fn slices_of_all_accounts_come_newest_first_without_a_gap(store: Subject) {
    let mut made = Vec::new();
    // Some of the same moment, on both sides of the edges of slices.
    for (name, moment) in [("a", 5), ("b", 5), ("c", 5), ("d", 1), ("e", 9), ("f", 9), ("g", 5)] {
        made.push(store.insert(&draft(name), at(moment), None).await.expect("an account is made"));
    }
    made.sort_by_key(|account| std::cmp::Reverse((account.created_at, account.id)));
    let (mut walked, mut before) = (Vec::new(), None);
    loop {
        let slice = store.accounts_before(before, 2).await.expect("the store answers");
        let Some(last) = slice.last() else { break };
        before = Some((last.created_at, last.id));
        walked.extend(slice);
    }
    assert_eq!(walked, made);
}

pub async fn barred_are_those_who_may_not_be_present(store: Subject) {
    insert(&store, "active").await;
    let mut expected = Vec::new();
    for (name, status) in [
        ("pending", AccountStatus::Pending),
        ("suspended", AccountStatus::Suspended),
        ("banned", AccountStatus::Banned),
    ] {
        let new = NewAccount { status, ..draft(name) };
        expected.push(store.insert(&new, at(0), None).await.expect("an account is made").id);
    }
    let deactivated = insert(&store, "deactivated").await.id;
    let changes = Changes { is_active: Some(false), ..Changes::default() };
    store.update(deactivated, &changes, at(1), None).await.expect("it is changed");
    expected.push(deactivated);
    let mut barred = store.barred().await.expect("the store answers");
    barred.sort();
    assert_eq!(barred, expected);
}

pub async fn two_inserts_of_one_name_at_once_make_one_account(store: Subject) {
    for round in 0..8 {
        let one = tokio::spawn({
            let store = store.clone();
            async move { store.insert(&draft(&format!("alice{round}")), at(0), None).await }
        });
        let other = tokio::spawn({
            let store = store.clone();
            async move { store.insert(&draft(&format!("ALICE{round}")), at(0), None).await }
        });
        let results = [one.await.expect("no panic"), other.await.expect("no panic")];
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert!(results.contains(&Err(StoreError::UsernameTaken)), "{results:?}");
    }
}
