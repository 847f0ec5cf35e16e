//! What is asked is answered: loading, evidence, presences, pages and history.

use std::sync::Arc;

use super::Outcome;
use super::fixtures::{at, block, flip, held, id, lasting, loaded, presence, rank, session, sorted, transition};
use crate::store::{Batch, Saved, Store, TransitionRow};
use crate::{PresenceRow, Source, Status, UserId};

/// Nobody is present, known or remembered.
pub async fn an_empty_store_knows_nobody(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(loaded(&*store).await?, []);
    assert_eq!(store.presences(&[id("alice")]).await?, [None]);
    assert_eq!(store.presences(&[]).await?, []);
    assert_eq!(store.present_after(None, 10).await?, []);
    assert_eq!(store.transitions(&id("alice"), at(0), at(9), 10).await?, []);
    assert_eq!(store.transition_before(&id("alice"), at(9)).await?, None);
    assert_eq!(store.prune_transitions(at(9), 10).await?, 0);
    Ok(())
}

/// A restart does not read everybody who ever was.
pub async fn load_skips_offline_presences(store: Arc<dyn Store>) -> Outcome {
    let rows = vec![
        presence("alice", Status::Offline, 1),
        presence("bob", Status::Away, 2),
        presence("carol", Status::Online, 3),
    ];
    store.commit(&Batch { presences: rows.clone(), ..Batch::default() }).await?;
    let expected = rows[1..].iter().cloned().map(Saved::Presence).collect();
    assert_eq!(sorted(loaded(&*store).await?), sorted(expected));
    Ok(())
}

/// Presences, sessions by number, overrides, held statuses, evidence with the oldest first.
pub async fn load_hands_over_in_the_promised_order(store: Arc<dyn Store>) -> Outcome {
    store.append_evidence(&block(10, b"older"), at(0)).await?;
    for (number, name) in [(30, "alice"), (4, "carol"), (17, "bob")] {
        let batch = Batch {
            presences: vec![presence(name, Status::Online, 10)],
            sessions: vec![session(number, name, "phone"), session(number + 100, name, "tab")],
            overrides: vec![lasting(name, Source::Admin, Status::Away, None)],
            held: vec![held(name, Status::Away)],
            ..Batch::default()
        };
        store.commit(&batch).await?;
    }
    store.append_evidence(&block(20, b"newer"), at(0)).await?;
    let all = loaded(&*store).await?;
    let ranks: Vec<u8> = all.iter().map(rank).collect();
    assert!(ranks.is_sorted(), "kinds come mixed: {ranks:?}");
    let numbers: Vec<u64> =
        all.iter().filter_map(|saved| if let Saved::Session(row) = saved { Some(row.number) } else { None }).collect();
    assert_eq!(numbers, [4, 17, 30, 104, 117, 130]);
    assert_eq!(all[all.len() - 2..], [Saved::Evidence(block(10, b"older")), Saved::Evidence(block(20, b"newer"))]);
    Ok(())
}

/// Bytes are bytes; an empty block counts too.
pub async fn evidence_comes_back_as_it_was_packed(store: Arc<dyn Store>) -> Outcome {
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for block in [block(1, &every_byte), block(2, b""), block(3, b"\0")] {
        store.append_evidence(&block, at(0)).await?;
    }
    let expected = [block(1, &every_byte), block(2, b""), block(3, b"\0")].map(Saved::Evidence);
    assert!(loaded(&*store).await? == expected, "a block came back changed");
    Ok(())
}

/// Two blocks may have the same time: both are kept, in the order in which they came.
pub async fn evidence_of_one_moment_is_all_kept(store: Arc<dyn Store>) -> Outcome {
    for packed in [b"first", b"other"] {
        store.append_evidence(&block(5, packed), at(0)).await?;
    }
    assert_eq!(loaded(&*store).await?, [block(5, b"first"), block(5, b"other")].map(Saved::Evidence));
    Ok(())
}

/// `keep_from` itself stays.
pub async fn evidence_older_than_asked_is_dropped(store: Arc<dyn Store>) -> Outcome {
    for second in 1..=5 {
        store.append_evidence(&block(second, b"x"), at(second - 2)).await?;
    }
    assert_eq!(loaded(&*store).await?, [block(3, b"x"), block(4, b"x"), block(5, b"x")].map(Saved::Evidence));
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

/// `from` is inside, `to` is not.
pub async fn transitions_of_a_window_are_oldest_first(store: Arc<dyn Store>) -> Outcome {
    let rows: Vec<TransitionRow> = (1..=5).map(|second| flip("alice", second)).collect();
    let mut transitions = rows.clone();
    transitions.push(flip("bob", 3));
    store.commit(&Batch { transitions, ..Batch::default() }).await?;
    assert_eq!(store.transitions(&id("alice"), at(2), at(4), 10).await?, rows[1..3]);
    assert_eq!(store.transitions(&id("alice"), at(4), at(2), 10).await?, []);
    Ok(())
}

/// When there are more, the oldest of the window are left out.
pub async fn transitions_beyond_the_limit_are_the_newest(store: Arc<dyn Store>) -> Outcome {
    let rows: Vec<TransitionRow> = (1..=5).map(|second| flip("alice", second)).collect();
    store.commit(&Batch { transitions: rows.clone(), ..Batch::default() }).await?;
    assert_eq!(store.transitions(&id("alice"), at(0), at(5), 2).await?, rows[2..4]);
    assert_eq!(store.transitions(&id("alice"), at(0), at(5), 0).await?, []);
    Ok(())
}

/// What was decided within one microsecond stays in the order of the decisions.
pub async fn transitions_of_one_moment_keep_their_order(store: Arc<dyn Store>) -> Outcome {
    let rows = vec![
        transition("alice", Status::Offline, Status::Online, 5),
        transition("alice", Status::Online, Status::Away, 5),
        transition("alice", Status::Away, Status::Offline, 5),
    ];
    store.commit(&Batch { transitions: rows[..2].to_vec(), ..Batch::default() }).await?;
    store.commit(&Batch { transitions: rows[2..].to_vec(), ..Batch::default() }).await?;
    assert_eq!(store.transitions(&id("alice"), at(5), at(6), 10).await?, rows);
    assert_eq!(store.transition_before(&id("alice"), at(6)).await?, Some(rows[2].clone()));
    Ok(())
}

/// Strictly before, the newest, of that user.
pub async fn the_transition_before_a_moment_is_found(store: Arc<dyn Store>) -> Outcome {
    let transitions = vec![flip("alice", 1), flip("alice", 3), flip("bob", 4)];
    store.commit(&Batch { transitions, ..Batch::default() }).await?;
    assert_eq!(store.transition_before(&id("alice"), at(1)).await?, None);
    assert_eq!(store.transition_before(&id("alice"), at(3)).await?, Some(flip("alice", 1)));
    assert_eq!(store.transition_before(&id("alice"), at(9)).await?, Some(flip("alice", 3)));
    Ok(())
}

/// At most `limit` go, the count is true, `before` itself stays.
pub async fn pruning_is_bounded_and_spares_the_young(store: Arc<dyn Store>) -> Outcome {
    let transitions = (1..=10).map(|second| flip("alice", second)).collect();
    store.commit(&Batch { transitions, ..Batch::default() }).await?;
    assert_eq!(store.prune_transitions(at(6), 3).await?, 3);
    assert_eq!(store.prune_transitions(at(6), 3).await?, 2);
    assert_eq!(store.prune_transitions(at(6), 3).await?, 0);
    let left = store.transitions(&id("alice"), at(0), at(99), 99).await?;
    assert_eq!(left, (6..=10).map(|second| flip("alice", second)).collect::<Vec<_>>());
    Ok(())
}

/// A store that works says so, and probing leaves no trace.
pub async fn a_healthy_store_passes_the_probe(store: Arc<dyn Store>) -> Outcome {
    store.probe().await?;
    assert_eq!(loaded(&*store).await?, []);
    Ok(())
}
