//! What lies beneath and upon a presence: one row a key, and the newest is the one.

use std::sync::Arc;

use super::Outcome;
use super::samples::{at, held, id, lasting, loaded, session, sorted, veil};
use crate::store::{Batch, Saved, Store, VeilRow};
use crate::{Activity, SessionRow, Source, Status};

/// The number is the key of a session.
pub async fn a_session_row_is_replaced_by_its_number(store: Arc<dyn Store>) -> Outcome {
    store.commit(&Batch { sessions: vec![session(7, "alice", "phone")], ..Batch::default() }).await?;
    let idle = SessionRow { activity: Activity::Idle, last_evidence: at(70), ..session(7, "alice", "phone") };
    store.commit(&Batch { sessions: vec![idle.clone()], ..Batch::default() }).await?;
    assert_eq!(loaded(&*store).await?, [Saved::Session(idle)]);
    Ok(())
}

/// Sessions are inserted before others end: for a moment two numbers have one name.
pub async fn a_session_may_open_anew_in_the_batch_that_ends_it(store: Arc<dyn Store>) -> Outcome {
    store.commit(&Batch { sessions: vec![session(7, "alice", "phone")], ..Batch::default() }).await?;
    let again = Batch { sessions: vec![session(8, "alice", "phone")], ended_sessions: vec![7], ..Batch::default() };
    store.commit(&again).await?;
    assert_eq!(loaded(&*store).await?, [Saved::Session(session(8, "alice", "phone"))]);
    Ok(())
}

/// A new override replaces the one of the same source and leaves the others.
pub async fn an_override_is_one_per_user_and_source(store: Arc<dyn Store>) -> Outcome {
    let admin = lasting("alice", Source::Admin, Status::Offline, None);
    let user = lasting("alice", Source::User, Status::Away, Some(50));
    store.commit(&Batch { overrides: vec![admin.clone(), user], ..Batch::default() }).await?;
    let user = lasting("alice", Source::User, Status::Online, None);
    store.commit(&Batch { overrides: vec![user.clone()], ..Batch::default() }).await?;
    let expected = vec![Saved::Override(admin.clone()), Saved::Override(user)];
    assert_eq!(sorted(loaded(&*store).await?), sorted(expected));
    store.commit(&Batch { ended_overrides: vec![(id("alice"), Source::User)], ..Batch::default() }).await?;
    assert_eq!(loaded(&*store).await?, [Saved::Override(admin)]);
    Ok(())
}

/// A new held status replaces the old one.
pub async fn a_held_status_is_one_per_user(store: Arc<dyn Store>) -> Outcome {
    for status in [Status::Online, Status::Away] {
        store.commit(&Batch { held: vec![held("alice", status)], ..Batch::default() }).await?;
    }
    assert_eq!(loaded(&*store).await?, [Saved::Held(held("alice", Status::Away))]);
    store.commit(&Batch { ended_held: vec![id("alice")], ..Batch::default() }).await?;
    assert_eq!(loaded(&*store).await?, []);
    Ok(())
}

/// A new veil replaces the old one, with or without times.
pub async fn a_veil_is_one_per_user(store: Arc<dyn Store>) -> Outcome {
    let lifted =
        VeilRow { invisible: false, at: at(9), last_seen: None, since: None, since_holds: false, ..veil("alice") };
    store.commit(&Batch { veils: vec![veil("alice"), veil("bob")], ..Batch::default() }).await?;
    store.commit(&Batch { veils: vec![lifted.clone()], ..Batch::default() }).await?;
    assert_eq!(sorted(loaded(&*store).await?), sorted(vec![Saved::Veil(lifted), Saved::Veil(veil("bob"))]));
    let ended_veils = vec![id("alice"), id("bob"), id("nobody")];
    store.commit(&Batch { ended_veils, ..Batch::default() }).await?;
    assert_eq!(loaded(&*store).await?, []);
    Ok(())
}
