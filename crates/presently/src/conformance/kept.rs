//! What goes in comes out: batches, their order, and every name, moment and word.

use std::sync::Arc;

use super::Outcome;
use super::fixtures::{at, flip, held, id, lasting, loaded, presence, session, sorted, transition};
use crate::store::{Batch, EvidenceBlock, Saved, Store, TransitionRow};
use crate::{Activity, HeldRow, OverrideRow, PresenceRow, Reason, SessionRow, Source, Status, Timestamp};

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
        store.transitions(&id("alice"), at(0), at(99), 10).await?,
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

/// Not the presence, not the sessions, not the history; and nobody else is touched.
pub async fn an_erased_user_leaves_nothing(store: Arc<dyn Store>) -> Outcome {
    let mut batch = Batch::default();
    for (number, name) in [(1, "alice"), (2, "bob")] {
        batch.presences.push(presence(name, Status::Online, 10));
        batch.sessions.push(session(number, name, "phone"));
        batch.overrides.push(lasting(name, Source::Admin, Status::Away, None));
        batch.held.push(held(name, Status::Away));
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
        ]
    );
    assert_eq!(store.presences(&[id("alice")]).await?, [None]);
    assert_eq!(store.transitions(&id("alice"), at(0), at(99), 10).await?, []);
    assert_eq!(store.transitions(&id("bob"), at(0), at(99), 10).await?.len(), 1);
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
    let kept = store.transitions(&id("alice"), at(0), at(99), 10).await?;
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

/// Names are opaque: quotes, other scripts, control characters, and the longest.
pub async fn any_name_comes_back_as_it_was(store: Arc<dyn Store>) -> Outcome {
    let longest = "n".repeat(crate::Limits::ID_BYTES_MAX);
    let names = [
        "'; DROP TABLE presence; --",
        "\"quoted\" `ticks` \\back\\",
        "Zoë 李 🙂 e\u{301}",
        "\u{1}\t\r\n\u{1b}[31m\u{7f}",
        " spaces  around ",
        "percent % under_score",
        "{\"json\": [1]}",
        "0",
        &longest,
    ];
    let mut batch = Batch::default();
    for (number, name) in (1_u64..).zip(names) {
        batch.presences.push(presence(name, Status::Online, 1));
        batch.sessions.push(session(number, name, name));
        batch.overrides.push(lasting(name, Source::User, Status::Away, None));
        batch.held.push(held(name, Status::Away));
        batch.transitions.push(flip(name, 1));
    }
    store.commit(&batch).await?;
    let expected = batch.presences.iter().cloned().map(Saved::Presence);
    let expected = expected.chain(batch.sessions.iter().cloned().map(Saved::Session));
    let expected = expected.chain(batch.overrides.iter().cloned().map(Saved::Override));
    let expected: Vec<Saved> = expected.chain(batch.held.iter().cloned().map(Saved::Held)).collect();
    assert_eq!(sorted(loaded(&*store).await?), sorted(expected));
    let known = store.presences(&names.map(id)).await?;
    assert_eq!(known, batch.presences.iter().cloned().map(Some).collect::<Vec<_>>());
    for name in names {
        assert_eq!(store.transitions(&id(name), at(0), at(9), 9).await?, [flip(name, 1)]);
    }
    store.commit(&Batch { erased: names.map(id).to_vec(), ..Batch::default() }).await?;
    assert_eq!(loaded(&*store).await?, []);
    Ok(())
}

/// From the year 1 to the year 9999, to the microsecond.
pub async fn any_moment_comes_back_as_it_was(store: Arc<dyn Store>) -> Outcome {
    let moments = [-62_135_596_800_000_000, -1, 0, 1, 1_764_000_000_123_457, 253_402_300_799_999_999].map(Timestamp);
    for (number, moment) in (1_u64..).zip(moments) {
        let name = format!("user-{number}");
        let row = PresenceRow { user: id(&name), status: Status::Online, last_seen: Some(moment), since: moment };
        let opened = SessionRow { opened_at: moment, last_evidence: moment, ..session(number, &name, "phone") };
        let over =
            OverrideRow { set_at: moment, ends_at: Some(moment), ..lasting(&name, Source::Admin, Status::Away, None) };
        let kept = HeldRow { set_at: moment, ..held(&name, Status::Away) };
        let line = TransitionRow { at: moment, last_seen: Some(moment), ..flip(&name, 1) };
        let batch = Batch {
            presences: vec![row.clone()],
            sessions: vec![opened.clone()],
            overrides: vec![over.clone()],
            held: vec![kept.clone()],
            transitions: vec![line.clone()],
            ..Batch::default()
        };
        store.commit(&batch).await?;
        let all = loaded(&*store).await?;
        for saved in [Saved::Presence(row), Saved::Session(opened), Saved::Override(over), Saved::Held(kept)] {
            assert!(all.contains(&saved), "{saved:?} did not come back");
        }
        let to = Timestamp(moment.0 + 1);
        assert_eq!(store.transitions(&id(&name), moment, to, 9).await?, [line]);
    }
    for moment in moments {
        store.append_evidence(&EvidenceBlock { at: moment, packed: vec![1] }, moments[0]).await?;
    }
    let all = loaded(&*store).await?;
    let blocks = all.iter().filter_map(|saved| if let Saved::Evidence(block) = saved { Some(block.at) } else { None });
    assert_eq!(blocks.collect::<Vec<_>>(), moments);
    Ok(())
}

/// Every status, source, activity and reason survives.
pub async fn every_word_comes_back_as_it_was(store: Arc<dyn Store>) -> Outcome {
    let mut batch = Batch::default();
    for source in Source::ALL {
        for status in [Status::Offline, Status::Away, Status::Online] {
            let name = format!("{}-{}", source.as_str(), status.as_str());
            batch.presences.push(presence(&name, status, 1));
            batch.overrides.push(lasting(&name, source, status, None));
            batch.held.push(held(&name, status));
        }
    }
    for (number, activity) in [(1, Activity::Idle), (2, Activity::Active)] {
        batch.sessions.push(SessionRow { activity, ..session(number, "alice", "phone") });
    }
    for (second, reason) in (1..).zip(Reason::ALL) {
        let last_seen = (second % 2 == 0).then(|| at(0));
        batch.transitions.push(TransitionRow { reason, last_seen, ..flip("alice", second) });
    }
    store.commit(&batch).await?;
    let present = batch.presences.iter().filter(|row| row.status != Status::Offline);
    let expected = present.cloned().map(Saved::Presence);
    let expected = expected.chain(batch.sessions.iter().cloned().map(Saved::Session));
    let expected = expected.chain(batch.overrides.iter().cloned().map(Saved::Override));
    let expected: Vec<Saved> = expected.chain(batch.held.iter().cloned().map(Saved::Held)).collect();
    assert_eq!(sorted(loaded(&*store).await?), sorted(expected));
    assert_eq!(store.transitions(&id("alice"), at(0), at(99), 99).await?, batch.transitions);
    Ok(())
}
