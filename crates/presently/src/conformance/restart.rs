//! What a restart is given: rows in the promised order, and the evidence.

use std::sync::Arc;

use super::Outcome;
use super::samples::{at, block, held, lasting, loaded, presence, rank, session, sorted, veil};
use crate::store::{Batch, Saved, Store};
use crate::{Source, Status};

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
