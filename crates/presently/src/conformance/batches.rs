//! What a batch does as a whole, and what is gone for good.

use std::sync::Arc;

use super::Outcome;
use super::samples::{at, held, id, lasting, loaded, presence, session, sorted, transition, veil};
use crate::store::{Batch, Saved, Sight, Store};
use crate::{PresenceRow, Source, Status};

/// Nobody is present, known or remembered.
pub async fn an_empty_store_knows_nobody(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(loaded(&*store).await?, []);
    assert_eq!(store.presences(&[id("alice")]).await?, [None]);
    assert_eq!(store.presences(&[]).await?, []);
    assert_eq!(store.present_after(None, 10).await?, []);
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(0), at(9), 10).await?, []);
    assert_eq!(store.transition_before(&id("alice"), Sight::Insider, at(9)).await?, None);
    assert_eq!(store.prune_transitions(at(9), 10).await?, 0);
    Ok(())
}

/// Every field of a batch is there afterwards.
pub async fn a_batch_is_kept_whole(store: Arc<dyn Store>) -> Outcome {
    let batch = Batch {
        presences: vec![presence("alice", Status::Online, 10)],
        sessions: vec![session(1, "alice", "phone")],
        overrides: vec![lasting("alice", Source::Admin, Status::Away, Some(99))],
        held: vec![held("alice", Status::Online)],
        transitions: vec![transition("alice", Status::Offline, Status::Online, 10)],
        ..Batch::default()
    };
    store.commit(&batch).await?;
    assert_eq!(
        loaded(&*store).await?,
        [
            Saved::Presence(presence("alice", Status::Online, 10)),
            Saved::Session(session(1, "alice", "phone")),
            Saved::Override(lasting("alice", Source::Admin, Status::Away, Some(99))),
            Saved::Held(held("alice", Status::Online)),
        ]
    );
    assert_eq!(store.presences(&[id("alice")]).await?, [Some(presence("alice", Status::Online, 10))]);
    assert_eq!(
        store.transitions(&id("alice"), Sight::Insider, at(0), at(99), 10).await?,
        [transition("alice", Status::Offline, Status::Online, 10)]
    );
    Ok(())
}

/// A batch has no size at which part of it is lost.
pub async fn a_large_batch_is_kept_whole(store: Arc<dyn Store>) -> Outcome {
    let names: Vec<String> = (0..5_003).map(|n| format!("user-{n:05}")).collect();
    let mut batch = Batch::default();
    for (number, name) in (0_i64..).zip(&names) {
        batch.presences.push(presence(name, Status::Online, number));
        batch.sessions.push(session(number.unsigned_abs(), name, "tab"));
        batch.overrides.push(lasting(name, Source::User, Status::Away, None));
        batch.held.push(held(name, Status::Away));
        batch.transitions.push(transition(name, Status::Offline, Status::Online, number));
    }
    store.commit(&batch).await?;
    let expected = batch.presences.iter().cloned().map(Saved::Presence);
    let expected = expected.chain(batch.sessions.iter().cloned().map(Saved::Session));
    let expected = expected.chain(batch.overrides.iter().cloned().map(Saved::Override));
    let expected: Vec<Saved> = expected.chain(batch.held.iter().cloned().map(Saved::Held)).collect();
    assert!(sorted(loaded(&*store).await?) == sorted(expected), "what was loaded is not what was kept");

    let gone = Batch {
        presences: names.iter().map(|name| presence(name, Status::Offline, 9_999)).collect(),
        ended_sessions: (0..5_003).collect(),
        ended_overrides: names.iter().map(|name| (id(name), Source::User)).collect(),
        ended_held: names.iter().map(|name| id(name)).collect(),
        ..Batch::default()
    };
    store.commit(&gone).await?;
    assert_eq!(loaded(&*store).await?, []);
    assert_eq!(store.prune_transitions(at(9_999), 10_000).await?, 5_003);
    Ok(())
}

/// Nothing in, nothing changed.
pub async fn an_empty_batch_changes_nothing(store: Arc<dyn Store>) -> Outcome {
    store.commit(&Batch { presences: vec![presence("alice", Status::Online, 1)], ..Batch::default() }).await?;
    store.commit(&Batch::default()).await?;
    assert_eq!(loaded(&*store).await?, [Saved::Presence(presence("alice", Status::Online, 1))]);
    Ok(())
}

/// Not the presence, not the sessions, not the veil, not the history; and nobody else is touched.
pub async fn an_erased_user_leaves_nothing(store: Arc<dyn Store>) -> Outcome {
    let mut batch = Batch::default();
    for (number, name) in [(1, "alice"), (2, "bob")] {
        batch.presences.push(presence(name, Status::Online, 10));
        batch.sessions.push(session(number, name, "phone"));
        batch.overrides.push(lasting(name, Source::Admin, Status::Away, None));
        batch.held.push(held(name, Status::Away));
        batch.veils.push(veil(name));
        batch.transitions.push(transition(name, Status::Offline, Status::Online, 10));
    }
    store.commit(&batch).await?;
    store.commit(&Batch { erased: vec![id("alice"), id("nobody")], ..Batch::default() }).await?;
    assert_eq!(
        loaded(&*store).await?,
        [
            Saved::Presence(presence("bob", Status::Online, 10)),
            Saved::Session(session(2, "bob", "phone")),
            Saved::Override(lasting("bob", Source::Admin, Status::Away, None)),
            Saved::Held(held("bob", Status::Away)),
            Saved::Veil(veil("bob")),
        ]
    );
    assert_eq!(store.presences(&[id("alice")]).await?, [None]);
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(0), at(99), 10).await?, []);
    assert_eq!(store.transitions(&id("bob"), Sight::Insider, at(0), at(99), 10).await?.len(), 1);
    Ok(())
}

/// Who is erased and comes back in one batch is there, without a past.
pub async fn erasing_comes_before_the_rest_of_the_batch(store: Arc<dyn Store>) -> Outcome {
    let before = Batch {
        presences: vec![presence("alice", Status::Offline, 10)],
        transitions: vec![transition("alice", Status::Online, Status::Offline, 10)],
        ..Batch::default()
    };
    store.commit(&before).await?;
    let fresh = PresenceRow { last_seen: None, ..presence("alice", Status::Online, 20) };
    let batch = Batch {
        erased: vec![id("alice")],
        presences: vec![fresh.clone()],
        sessions: vec![session(5, "alice", "phone")],
        transitions: vec![transition("alice", Status::Offline, Status::Online, 20)],
        ..Batch::default()
    };
    store.commit(&batch).await?;
    assert_eq!(store.presences(&[id("alice")]).await?, [Some(fresh)]);
    let kept = store.transitions(&id("alice"), Sight::Insider, at(0), at(99), 10).await?;
    assert_eq!(kept, [transition("alice", Status::Offline, Status::Online, 20)]);
    assert_eq!(loaded(&*store).await?.len(), 2);
    Ok(())
}

/// Unknown numbers, sources and users end without a word.
pub async fn ending_what_is_not_there_is_no_error(store: Arc<dyn Store>) -> Outcome {
    let batch = Batch {
        erased: vec![id("nobody")],
        ended_sessions: vec![41, 42],
        ended_overrides: vec![(id("nobody"), Source::Admin)],
        ended_held: vec![id("nobody")],
        ..Batch::default()
    };
    store.commit(&batch).await?;
    assert_eq!(loaded(&*store).await?, []);
    Ok(())
}

/// A store that works says so, and probing leaves no trace.
pub async fn a_healthy_store_passes_the_probe(store: Arc<dyn Store>) -> Outcome {
    store.probe().await?;
    assert_eq!(loaded(&*store).await?, []);
    Ok(())
}
