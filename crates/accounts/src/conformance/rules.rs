//! What may become of an account, decided while nobody else changes it.

use super::{Subject, at, draft, insert, line};
use crate::{Account, AccountId, AccountStatus, Changes, NewAccount, PasswordHash, Role, StoreError};

const ROUNDS: usize = 8;

pub async fn a_username_is_changed_unless_it_is_taken(store: Subject) {
    let alice = insert(&store, "alice").await;
    insert(&store, "bob").await;
    let to = |username: &str| Changes { username: Some(username.to_owned()), ..Changes::default() };
    assert_eq!(store.update(alice.id, &to("BOB"), at(1), None).await, Err(StoreError::UsernameTaken));
    assert_eq!(store.account(alice.id).await, Ok(Some(alice.clone())), "nothing is changed");
    let cased = store.update(alice.id, &to("ALICE"), at(1), None).await.expect("it is one's own");
    assert_eq!(cased.username, "ALICE");
    let carol = store.update(alice.id, &to("Carol"), at(2), None).await.expect("it is free");
    assert_eq!(store.account_named("carol").await, Ok(Some(carol)));
    assert_eq!(store.account_named("alice").await, Ok(None));
    store.insert(&NewAccount { email: String::new(), ..draft("alice") }, at(3), None).await.expect("it is free again");
}

pub async fn a_password_is_set_only_while_it_is_the_one_that_was_known(store: Subject) {
    let alice = insert(&store, "alice").await;
    let set = |was: &str, new: &str| Changes {
        password: Some(PasswordHash(new.to_owned())),
        password_was: Some(PasswordHash(was.to_owned())),
        ..Changes::default()
    };
    let old = alice.password.0.clone();
    assert_eq!(store.update(alice.id, &set("$other", "$new"), at(1), None).await, Err(StoreError::PasswordChanged));
    assert_eq!(store.account(alice.id).await, Ok(Some(alice.clone())), "nothing is changed");
    store.update(alice.id, &set(&old, "$new"), at(2), None).await.expect("it is changed");
    assert_eq!(store.update(alice.id, &set(&old, "$newer"), at(3), None).await, Err(StoreError::PasswordChanged));
}

pub async fn only_a_pending_account_is_approved(store: Subject) {
    let approve = Changes { approve: true, ..Changes::default() };
    let pending = in_state(&store, "pending", AccountStatus::Pending).await;
    let approved = store.update(pending.id, &approve, at(1), None).await.expect("it is approved");
    let expected = Account { status: AccountStatus::Active, is_approved: true, updated_at: at(1), ..pending };
    assert_eq!(approved, expected);
    let again = store.update(approved.id, &approve, at(2), None).await.expect("it does no harm");
    assert_eq!(again, Account { updated_at: at(2), ..expected });
    for state in [AccountStatus::Suspended, AccountStatus::Banned] {
        let account = in_state(&store, state.as_str(), state).await;
        let refused = store.update(account.id, &approve, at(3), Some(&line("approve"))).await;
        assert_eq!(refused, Err(StoreError::NotPending(state)));
        assert_eq!(store.account(account.id).await, Ok(Some(account)), "nothing is changed");
    }
    assert_eq!(store.audit_page(None, 10).await, Ok(vec![]), "and nothing is logged");
}

pub async fn a_ban_beside_an_approval_holds(store: Subject) {
    for round in 0..ROUNDS {
        let account = in_state(&store, &format!("alice{round}"), AccountStatus::Pending).await;
        let approve = Changes { approve: true, ..Changes::default() };
        let ban = Changes { status: Some(AccountStatus::Banned), end_sessions: true, ..Changes::default() };
        let (approved, banned) = at_once(&store, (account.id, approve), (account.id, ban)).await;
        banned.expect("it is banned");
        assert!(matches!(approved, Ok(_) | Err(StoreError::NotPending(AccountStatus::Banned))), "{approved:?}");
        let left = store.account(account.id).await.expect("the store answers").expect("it is there");
        assert_eq!(left.status, AccountStatus::Banned, "round {round}");
    }
}

pub async fn the_last_active_admin_stays_one(store: Subject) {
    let boss = admin(&store, "boss").await;
    let idle = in_state(&store, "idle", AccountStatus::Suspended).await;
    let promote = Changes { role: Some(Role::Admin), ..Changes::default() };
    store.update(idle.id, &promote, at(1), None).await.expect("a suspended admin is none to count on");
    let user = insert(&store, "user").await;
    for taking in takings() {
        let refused = store.update(boss.id, &taking, at(2), Some(&line("take"))).await;
        assert_eq!(refused, Err(StoreError::LastAdmin), "{taking:?}");
    }
    assert_eq!(store.delete(boss.id, at(2), Some(&line("delete"))).await, Err(StoreError::LastAdmin));
    assert_eq!(store.account(boss.id).await, Ok(Some(boss.clone())), "nothing is changed");
    assert_eq!(store.audit_page(None, 10).await, Ok(vec![]), "and nothing is logged");

    let harmless = Changes { role: Some(Role::Admin), is_active: Some(true), ..Changes::default() };
    store.update(boss.id, &harmless, at(3), None).await.expect("they stay an admin");
    let staff = Changes { is_staff: Some(true), role: Some(Role::User), ..Changes::default() };
    store.update(boss.id, &staff, at(4), None).await.expect("staff is an admin too");
    store.update(user.id, &promote, at(5), None).await.expect("it is changed");
    store.delete(boss.id, at(6), None).await.expect("there is another one");
    assert_eq!(store.delete(user.id, at(7), None).await, Err(StoreError::LastAdmin));
    store.delete(idle.id, at(8), None).await.expect("who is suspended administers nothing");
}

pub async fn two_admins_who_try_it_on_each_other_at_once_leave_one(store: Subject) {
    let mut one = admin(&store, "first").await.id;
    for round in 0..ROUNDS {
        for (kind, taking) in takings().into_iter().map(Some).chain([None]).enumerate() {
            let other = admin(&store, &format!("other-{round}-{kind}")).await.id;
            let outcomes = match taking {
                Some(taking) => {
                    let (first, second) = at_once(&store, (other, taking.clone()), (one, taking)).await;
                    [first.map(drop), second.map(drop)]
                }
                None => {
                    let [first, second] = [other, one].map(|id| {
                        let store = store.clone();
                        tokio::spawn(async move { store.delete(id, at(1), None).await })
                    });
                    [first.await.expect("no panic"), second.await.expect("no panic")]
                }
            };
            assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(StoreError::LastAdmin)), "{outcomes:?}");
            assert_eq!(store.admin_count().await, Ok(1), "{outcomes:?}");
            // Whoever is left meets the next one.
            let left = store.account(one).await.expect("the store answers");
            one = if left.is_some_and(|left| left.is_active_admin()) { one } else { other };
        }
    }
}

/// Everything that makes an admin none.
fn takings() -> [Changes; 4] {
    let of = |status| Changes { status: Some(status), end_sessions: true, ..Changes::default() };
    [
        Changes { role: Some(Role::User), ..Changes::default() },
        Changes { is_active: Some(false), end_sessions: true, ..Changes::default() },
        of(AccountStatus::Suspended),
        of(AccountStatus::Banned),
    ]
}

async fn at_once(
    store: &Subject,
    one: (AccountId, Changes),
    other: (AccountId, Changes),
) -> (Result<Account, StoreError>, Result<Account, StoreError>) {
    let [one, other] = [one, other].map(|(id, changes)| {
        let store = store.clone();
        tokio::spawn(async move { store.update(id, &changes, at(1), None).await })
    });
    (one.await.expect("no panic"), other.await.expect("no panic"))
}

async fn in_state(store: &Subject, username: &str, status: AccountStatus) -> Account {
    let new = NewAccount { status, is_approved: false, ..draft(username) };
    store.insert(&new, at(0), None).await.expect("an account is made")
}

async fn admin(store: &Subject, username: &str) -> Account {
    let new = NewAccount { role: Role::Admin, ..draft(username) };
    store.insert(&new, at(0), None).await.expect("an account is made")
}
