//! Rows to keep, and what is kept.

use crate::store::{Audience, EvidenceBlock, Saved, Store, StoreError, TransitionRow, VeilRow};
use crate::{Activity, HeldRow, OverrideRow, PresenceRow, Reason, SessionRow, Source, Status, Timestamp, UserId};

pub(super) async fn loaded(store: &dyn Store) -> Result<Vec<Saved>, StoreError> {
    let mut all = Vec::new();
    store.load(&mut |saved| all.push(saved)).await?;
    Ok(all)
}

pub(super) fn rank(saved: &Saved) -> u8 {
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
pub(super) fn sorted(mut all: Vec<Saved>) -> Vec<Saved> {
    all.sort_by_cached_key(|saved| (rank(saved), format!("{saved:?}")));
    all
}

pub(super) fn id(name: &str) -> UserId {
    UserId::from(name)
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp(1_764_000_000_000_000 + second * 1_000_000)
}

pub(super) fn presence(name: &str, status: Status, second: i64) -> PresenceRow {
    PresenceRow { user: id(name), status, last_seen: Some(at(second)), since: at(second) }
}

pub(super) fn session(number: u64, name: &str, session: &str) -> SessionRow {
    SessionRow {
        number,
        user: id(name),
        session: session.into(),
        activity: Activity::Active,
        opened_at: at(1),
        last_evidence: at(2),
    }
}

pub(super) fn lasting(name: &str, source: Source, status: Status, ends: Option<i64>) -> OverrideRow {
    OverrideRow { user: id(name), source, status, set_at: at(1), ends_at: ends.map(at) }
}

pub(super) fn veil(name: &str) -> VeilRow {
    VeilRow {
        user: id(name),
        invisible: true,
        at: at(3),
        last_seen: Some(at(2)),
        since: Some(at(1)),
        since_holds: true,
    }
}

pub(super) fn held(name: &str, status: Status) -> HeldRow {
    HeldRow { user: id(name), status, set_at: at(1) }
}

pub(super) fn transition(name: &str, from: Status, to: Status, second: i64) -> TransitionRow {
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

pub(super) fn flip(name: &str, second: i64) -> TransitionRow {
    let (from, to) = if second % 2 == 0 { (Status::Online, Status::Away) } else { (Status::Away, Status::Online) };
    transition(name, from, to, second)
}

pub(super) fn block(second: i64, packed: &[u8]) -> EvidenceBlock {
    EvidenceBlock { at: at(second), packed: packed.to_vec() }
}
