//! The history: who sees which lines of it, in which order, and how it is pruned.

use std::sync::Arc;
use std::time::Duration;

use super::Outcome;
use super::samples::{at, flip, id, transition};
use crate::Status;
use crate::store::{Audience, Batch, Sight, Store, TransitionRow};

/// What insiders saw and what others saw are two histories, each with its own newest lines.
pub async fn each_sight_has_its_own_history(store: Arc<dyn Store>) -> Outcome {
    let line = |second, audience| TransitionRow { audience, ..flip("alice", second) };
    let [all, insiders, others] = [Audience::Everybody, Audience::Insiders, Audience::Others];
    let lines = [line(1, all), line(2, insiders), line(3, insiders), line(4, others), line(5, insiders), line(6, all)];
    store.commit(&Batch { transitions: lines.to_vec(), ..Batch::default() }).await?;
    for (sight, expected) in [
        (Sight::Insider, [&lines[2], &lines[4], &lines[5]].map(Clone::clone).to_vec()),
        (Sight::Other, [&lines[0], &lines[3], &lines[5]].map(Clone::clone).to_vec()),
    ] {
        assert_eq!(store.transitions(&id("alice"), sight, at(0), at(9), 3).await?, expected);
        assert_eq!(store.transitions(&id("alice"), sight, at(0), at(9), 2).await?, expected[1..]);
        assert_eq!(store.transition_before(&id("alice"), sight, at(6)).await?, Some(expected[1].clone()));
    }
    Ok(())
}

/// `from` is inside, `to` is not.
pub async fn transitions_of_a_window_are_oldest_first(store: Arc<dyn Store>) -> Outcome {
    let rows: Vec<TransitionRow> = (1..=5).map(|second| flip("alice", second)).collect();
    let mut transitions = rows.clone();
    transitions.push(flip("bob", 3));
    store.commit(&Batch { transitions, ..Batch::default() }).await?;
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(2), at(4), 10).await?, rows[1..3]);
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(4), at(2), 10).await?, []);
    Ok(())
}

/// When there are more, the oldest of the window are left out.
pub async fn transitions_beyond_the_limit_are_the_newest(store: Arc<dyn Store>) -> Outcome {
    let rows: Vec<TransitionRow> = (1..=5).map(|second| flip("alice", second)).collect();
    store.commit(&Batch { transitions: rows.clone(), ..Batch::default() }).await?;
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(0), at(5), 2).await?, rows[2..4]);
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(0), at(5), 0).await?, []);
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
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(5), at(6), 10).await?, rows);
    assert_eq!(store.transition_before(&id("alice"), Sight::Insider, at(6)).await?, Some(rows[2].clone()));
    Ok(())
}

/// Of everybody, as insiders saw it; `from` is inside, `to` is not.
pub async fn changes_of_numbers_are_told_by_slices(store: Arc<dyn Store>) -> Outcome {
    let [came, idled, left] =
        [(Status::Offline, Status::Online), (Status::Online, Status::Away), (Status::Away, Status::Offline)];
    let line = |name, (from, to), second| transition(name, from, to, second);
    let unseen = TransitionRow { audience: Audience::Others, ..line("carol", came, 11) };
    let secret = TransitionRow { audience: Audience::Insiders, ..line("carol", came, 31) };
    let transitions = vec![
        line("alice", came, 9),
        line("alice", idled, 10),
        line("bob", came, 19),
        unseen,
        line("alice", left, 30),
        secret,
        line("bob", left, 40),
    ];
    store.commit(&Batch { transitions, ..Batch::default() }).await?;
    let changes = store.net_changes(at(10), at(40), Duration::from_secs(10)).await?;
    let told: Vec<_> = changes.iter().map(|change| (change.slice, change.online, change.away)).collect();
    assert_eq!(told, [(0, 0, 1), (2, 1, -1)]);
    assert_eq!(store.net_changes(at(40), at(10), Duration::from_secs(10)).await?, []);
    Ok(())
}

/// The oldest line that insiders may know, whoever it is about.
pub async fn the_beginning_of_the_history_is_known(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.history_begins().await?, None);
    let unseen = TransitionRow { audience: Audience::Others, ..flip("carol", 1) };
    store.commit(&Batch { transitions: vec![flip("bob", 5), flip("alice", 3), unseen], ..Batch::default() }).await?;
    assert_eq!(store.history_begins().await?, Some(at(3)));
    store.prune_transitions(at(4), 10).await?;
    assert_eq!(store.history_begins().await?, Some(at(5)));
    Ok(())
}

/// Strictly before, the newest, of that user.
pub async fn the_transition_before_a_moment_is_found(store: Arc<dyn Store>) -> Outcome {
    let transitions = vec![flip("alice", 1), flip("alice", 3), flip("bob", 4)];
    store.commit(&Batch { transitions, ..Batch::default() }).await?;
    assert_eq!(store.transition_before(&id("alice"), Sight::Insider, at(1)).await?, None);
    assert_eq!(store.transition_before(&id("alice"), Sight::Insider, at(3)).await?, Some(flip("alice", 1)));
    assert_eq!(store.transition_before(&id("alice"), Sight::Insider, at(9)).await?, Some(flip("alice", 3)));
    Ok(())
}

/// At most `limit` go, the count is true, `before` itself stays.
pub async fn pruning_is_bounded_and_spares_the_young(store: Arc<dyn Store>) -> Outcome {
    let transitions = (1..=10).map(|second| flip("alice", second)).collect();
    store.commit(&Batch { transitions, ..Batch::default() }).await?;
    assert_eq!(store.prune_transitions(at(6), 3).await?, 3);
    assert_eq!(store.prune_transitions(at(6), 3).await?, 2);
    assert_eq!(store.prune_transitions(at(6), 3).await?, 0);
    let left = store.transitions(&id("alice"), Sight::Insider, at(0), at(99), 99).await?;
    assert_eq!(left, (6..=10).map(|second| flip("alice", second)).collect::<Vec<_>>());
    Ok(())
}
