//! What every [`Store`] promises, one case a promise: an implementation that passes [`run`] can carry a presence server.
//!
//! ```ignore
//! #[tokio::test]
//! async fn the_store_keeps_its_promises() {
//!     presently::conformance::run(async || Arc::new(MyStore::empty().await) as Arc<dyn Store>).await;
//! }
//! ```
//!
//! Each case gets an empty store of its own. Times have whole microseconds.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::store::{Audience, Batch, EvidenceBlock, Saved, Sight, Store, StoreError, TransitionRow, VeilRow};
use crate::{Activity, HeldRow, OverrideRow, PresenceRow, Reason, SessionRow, Source, Status, Timestamp, UserId};

/// How a case ends: `Err` is a store that refused; a broken promise panics.
pub type Outcome = Result<(), StoreError>;
type Case = fn(Arc<dyn Store>) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        /// The promises in words, with what checks them.
        pub const PROMISES: &[(&str, Case)] = &[$((stringify!($name), |store| Box::pin($name(store)))),*];
    };
}

promises![
    an_empty_store_knows_nobody,
    a_batch_is_kept_whole,
    a_large_batch_is_kept_whole,
    an_empty_batch_changes_nothing,
    a_last_seen_of_none_keeps_the_older_one,
    a_first_last_seen_of_none_stays_unknown,
    the_newest_presence_wins,
    a_session_row_is_replaced_by_its_number,
    a_session_may_open_anew_in_the_batch_that_ends_it,
    an_override_is_one_per_user_and_source,
    a_held_status_is_one_per_user,
    a_veil_is_one_per_user,
    each_sight_has_its_own_history,
    an_erased_user_leaves_nothing,
    erasing_comes_before_the_rest_of_the_batch,
    ending_what_is_not_there_is_no_error,
    load_skips_offline_presences,
    load_hands_over_in_the_promised_order,
    evidence_comes_back_as_it_was_packed,
    evidence_of_one_moment_is_all_kept,
    evidence_older_than_asked_is_dropped,
    presences_come_in_the_order_asked,
    ten_thousand_presences_come_at_once,
    present_pages_are_ordered_and_complete,
    transitions_of_a_window_are_oldest_first,
    transitions_beyond_the_limit_are_the_newest,
    transitions_of_one_moment_keep_their_order,
    the_transition_before_a_moment_is_found,
    changes_of_numbers_are_told_by_slices,
    pruning_is_bounded_and_spares_the_young,
    any_name_comes_back_as_it_was,
    any_moment_comes_back_as_it_was,
    every_word_comes_back_as_it_was,
    a_healthy_store_passes_the_probe,
];

/// Runs every case, each on a store made by `make`, and panics with the names of the promises that were broken.
///
/// # Panics
/// When a promise is broken: that is what it is for.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Store>) {
    let mut broken = Vec::new();
    for (name, case) in PROMISES {
        let store = make().await;
        match tokio::spawn(case(store)).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => broken.push(format!("{name}: {refused}")),
            Err(panicked) => broken.push(format!("{name}: {panicked}")),
        }
    }
    assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
}

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

/// Presences, sessions by number, overrides, held statuses, veils, evidence with the oldest first.
pub async fn load_hands_over_in_the_promised_order(store: Arc<dyn Store>) -> Outcome {
    store.append_evidence(&block(10, b"older"), at(0)).await?;
    for (number, name) in [(30, "alice"), (4, "carol"), (17, "bob")] {
        let batch = Batch {
            presences: vec![presence(name, Status::Online, 10)],
            sessions: vec![session(number, name, "phone"), session(number + 100, name, "tab")],
            overrides: vec![lasting(name, Source::Admin, Status::Away, None)],
            held: vec![held(name, Status::Away)],
            veils: vec![veil(name)],
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
        assert_eq!(store.transitions(&id(name), Sight::Insider, at(0), at(9), 9).await?, [flip(name, 1)]);
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
        assert_eq!(store.transitions(&id(&name), Sight::Insider, moment, to, 9).await?, [line]);
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
    assert_eq!(store.transitions(&id("alice"), Sight::Insider, at(0), at(99), 99).await?, batch.transitions);
    Ok(())
}

/// A store that works says so, and probing leaves no trace.
pub async fn a_healthy_store_passes_the_probe(store: Arc<dyn Store>) -> Outcome {
    store.probe().await?;
    assert_eq!(loaded(&*store).await?, []);
    Ok(())
}

async fn loaded(store: &dyn Store) -> Result<Vec<Saved>, StoreError> {
    let mut all = Vec::new();
    store.load(&mut |saved| all.push(saved)).await?;
    Ok(all)
}

fn rank(saved: &Saved) -> u8 {
    match saved {
        Saved::Presence(_) => 0,
        Saved::Session(_) => 1,
        Saved::Override(_) => 2,
        Saved::Held(_) => 3,
        Saved::Veil(_) => 4,
        Saved::Evidence(_) => 5,
    }
}

/// Within a kind the order is promised for sessions and evidence only.
fn sorted(mut all: Vec<Saved>) -> Vec<Saved> {
    all.sort_by_cached_key(|saved| (rank(saved), format!("{saved:?}")));
    all
}

fn id(name: &str) -> UserId {
    UserId::from(name)
}

fn at(second: i64) -> Timestamp {
    Timestamp(1_764_000_000_000_000 + second * 1_000_000)
}

fn presence(name: &str, status: Status, second: i64) -> PresenceRow {
    PresenceRow { user: id(name), status, last_seen: Some(at(second)), since: at(second) }
}

fn session(number: u64, name: &str, session: &str) -> SessionRow {
    SessionRow {
        number,
        user: id(name),
        session: session.into(),
        activity: Activity::Active,
        opened_at: at(1),
        last_evidence: at(2),
    }
}

fn lasting(name: &str, source: Source, status: Status, ends: Option<i64>) -> OverrideRow {
    OverrideRow { user: id(name), source, status, set_at: at(1), ends_at: ends.map(at) }
}

fn veil(name: &str) -> VeilRow {
    VeilRow {
        user: id(name),
        invisible: true,
        at: at(3),
        last_seen: Some(at(2)),
        since: Some(at(1)),
        since_holds: true,
    }
}

fn held(name: &str, status: Status) -> HeldRow {
    HeldRow { user: id(name), status, set_at: at(1) }
}

fn transition(name: &str, from: Status, to: Status, second: i64) -> TransitionRow {
    TransitionRow {
        user: id(name),
        from,
        to,
        at: at(second),
        last_seen: Some(at(second)),
        reason: Reason::Evidence,
        audience: Audience::Everybody,
    }
}

fn flip(name: &str, second: i64) -> TransitionRow {
    let (from, to) = if second % 2 == 0 { (Status::Online, Status::Away) } else { (Status::Away, Status::Online) };
    transition(name, from, to, second)
}

fn block(second: i64, packed: &[u8]) -> EvidenceBlock {
    EvidenceBlock { at: at(second), packed: packed.to_vec() }
}
