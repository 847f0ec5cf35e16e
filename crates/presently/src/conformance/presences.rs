//! The presence of users: which row wins, and how it is asked for.

use std::sync::Arc;

use super::Outcome;
use super::samples::{at, id, presence};
use crate::store::{Batch, Store};
use crate::{PresenceRow, Status, UserId};

/// A row without `last_seen` leaves the one that is there.
pub async fn a_last_seen_of_none_keeps_the_older_one(store: Arc<dyn Store>) -> Outcome {
    store.commit(&Batch { presences: vec![presence("alice", Status::Online, 10)], ..Batch::default() }).await?;
    let later = PresenceRow { user: id("alice"), status: Status::Away, last_seen: None, since: at(20) };
    store.commit(&Batch { presences: vec![later], ..Batch::default() }).await?;
    let expected = PresenceRow { user: id("alice"), status: Status::Away, last_seen: Some(at(10)), since: at(20) };
    assert_eq!(store.presences(&[id("alice")]).await?, [Some(expected)]);
    Ok(())
}

/// A user who is known but was never heard has no `last_seen`.
pub async fn a_first_last_seen_of_none_stays_unknown(store: Arc<dyn Store>) -> Outcome {
    let row = PresenceRow { user: id("alice"), status: Status::Online, last_seen: None, since: at(20) };
    store.commit(&Batch { presences: vec![row.clone()], ..Batch::default() }).await?;
    assert_eq!(store.presences(&[id("alice")]).await?, [Some(row.clone())]);
    assert_eq!(store.present_after(None, 10).await?, [row]);
    Ok(())
}

/// A later row replaces an earlier one, also when its times are earlier: the wall clock may have stepped.
pub async fn the_newest_presence_wins(store: Arc<dyn Store>) -> Outcome {
    for row in [presence("alice", Status::Online, 20), presence("alice", Status::Offline, 10)] {
        store.commit(&Batch { presences: vec![row], ..Batch::default() }).await?;
    }
    assert_eq!(store.presences(&[id("alice")]).await?, [Some(presence("alice", Status::Offline, 10))]);
    Ok(())
}

/// One answer for each name asked, unknown and repeated ones included.
pub async fn presences_come_in_the_order_asked(store: Arc<dyn Store>) -> Outcome {
    let rows = vec![presence("alice", Status::Online, 1), presence("bob", Status::Offline, 2)];
    store.commit(&Batch { presences: rows.clone(), ..Batch::default() }).await?;
    let asked = ["bob", "nobody", "alice", "bob", "ALICE"].map(id);
    let expected = [Some(rows[1].clone()), None, Some(rows[0].clone()), Some(rows[1].clone()), None];
    assert_eq!(store.presences(&asked).await?, expected);
    Ok(())
}

/// Ten thousand names are one call.
pub async fn ten_thousand_presences_come_at_once(store: Arc<dyn Store>) -> Outcome {
    let names: Vec<UserId> = (0..10_000).map(|n| id(&format!("u{n}"))).collect();
    let rows = names.iter().step_by(2).map(|name| presence(name, Status::Offline, 1)).collect();
    store.commit(&Batch { presences: rows, ..Batch::default() }).await?;
    let asked: Vec<UserId> = names.iter().rev().cloned().collect();
    let answers = store.presences(&asked).await?;
    assert_eq!(answers.len(), 10_000);
    for (place, answer) in answers.iter().enumerate() {
        let known = (place % 2 == 1).then(|| presence(&asked[place], Status::Offline, 1));
        assert_eq!(*answer, known);
    }
    Ok(())
}

/// Pages follow the names in the order of their bytes, and end with an empty one.
pub async fn present_pages_are_ordered_and_complete(store: Arc<dyn Store>) -> Outcome {
    let mut names = ["b", "a", "B", "10", "9", "é", "z", "a b", "a-b", "ab"].map(id);
    let mut rows: Vec<PresenceRow> = names.iter().map(|name| presence(name, Status::Online, 1)).collect();
    rows.push(presence("aa-gone", Status::Offline, 1));
    store.commit(&Batch { presences: rows, ..Batch::default() }).await?;
    names.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.present_after(after.as_ref(), 3).await?;
        assert!(page.len() <= 3, "a page of {} is over the limit", page.len());
        let Some(last) = page.last() else { break };
        after = Some(last.user.clone());
        seen.extend(page.into_iter().map(|row| row.user));
    }
    assert_eq!(seen, names);
    Ok(())
}
