//! The audit log.

use super::{Subject, at, draft, insert, line};
use crate::store::AuditEntry;
use crate::{AccountId, Changes, StoreError};

async fn actions(store: &Subject) -> Vec<String> {
    let page = store.audit_page(None, 1_000).await.expect("the store answers");
    page.into_iter().map(|(_, entry)| entry.action).collect()
}

pub async fn the_log_comes_newest_first_in_pages(store: Subject) {
    assert_eq!(store.audit_page(None, 10).await, Ok(vec![]));
    let actor = insert(&store, "admin").await.id;
    for n in 0..7 {
        let entry = AuditEntry {
            actor: Some(actor).filter(|_| n % 2 == 0),
            action: format!("act-{n}"),
            target: Some(AccountId(n)),
            detail: "ünquoted 'text'".to_owned(),
            at: at(n),
        };
        store.audit(&entry).await.expect("it is written");
    }
    let first = store.audit_page(None, 3).await.expect("the store answers");
    let words = |page: &[(i64, AuditEntry)]| page.iter().map(|(_, entry)| entry.action.clone()).collect::<Vec<_>>();
    assert_eq!(words(&first), ["act-6", "act-5", "act-4"]);
    assert_eq!(
        first[0].1,
        AuditEntry {
            actor: Some(actor),
            action: "act-6".to_owned(),
            target: Some(AccountId(6)),
            detail: "ünquoted 'text'".to_owned(),
            at: at(6),
        }
    );
    assert_eq!(first[1].1.actor, None);
    assert!(first.windows(2).all(|pair| pair[0].0 > pair[1].0), "ids fall");
    let second = store.audit_page(Some(first[2].0), 3).await.expect("the store answers");
    assert_eq!(words(&second), ["act-3", "act-2", "act-1"]);
    let third = store.audit_page(Some(second[2].0), 3).await.expect("the store answers");
    assert_eq!(words(&third), ["act-0"]);
    assert_eq!(store.audit_page(Some(third[0].0), 3).await, Ok(vec![]));
}

pub async fn a_change_and_its_line_come_together(store: Subject) {
    let made = store.insert(&draft("alice"), at(0), Some(&line("create"))).await.expect("an account is made").id;
    let target = AuditEntry { target: Some(made), ..line("suspend") };
    store.update(made, &Changes::default(), at(1), Some(&target)).await.expect("it is changed");
    let target = AuditEntry { target: Some(made), ..line("delete") };
    store.delete(made, at(2), Some(&target)).await.expect("it is erased");
    let log = store.audit_page(None, 10).await.expect("the store answers");
    let found: Vec<_> = log.iter().map(|(_, entry)| (entry.action.as_str(), entry.target)).collect();
    let expected = [("delete", Some(made)), ("suspend", Some(made)), ("create", Some(made))];
    assert_eq!(found, expected, "the line of a new account names it; what was erased stays in the log");
}

pub async fn what_failed_leaves_no_line(store: Subject) {
    insert(&store, "alice").await;
    let nobody = AccountId(4_711);
    assert_eq!(store.insert(&draft("ALICE"), at(1), Some(&line("x"))).await, Err(StoreError::UsernameTaken));
    assert_eq!(store.update(nobody, &Changes::default(), at(1), Some(&line("x"))).await, Err(StoreError::NotFound));
    assert_eq!(store.delete(nobody, at(1), Some(&line("x"))).await, Err(StoreError::NotFound));
    assert_eq!(actions(&store).await, [""; 0]);
}
