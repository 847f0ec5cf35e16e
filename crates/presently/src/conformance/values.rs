//! Whatever went in comes back as it was.

use std::sync::Arc;

use super::Outcome;
use super::samples::{at, flip, held, id, lasting, loaded, presence, session, sorted};
use crate::store::{Batch, EvidenceBlock, Saved, Sight, Store, TransitionRow};
use crate::{Activity, HeldRow, OverrideRow, PresenceRow, Reason, SessionRow, Source, Status, Timestamp};

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
