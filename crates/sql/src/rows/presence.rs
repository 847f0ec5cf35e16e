//! The rows of presence.

use futures_util::{Stream, TryStreamExt as _};
use presently::store::{Audience, EvidenceBlock, NetChange, Saved, Sight, TransitionRow, VeilRow};
use presently::{HeldRow, OverrideRow, PresenceRow, Reason, Source, Status, Timestamp};

use super::Columns;
use crate::failure::Failure;

/// Selects what [`presence`] reads.
macro_rules! select_presence {
    ($rest:literal) => {
        concat!("SELECT user_id, online_status, last_seen, since FROM presence ", $rest)
    };
}
pub(crate) use select_presence;

/// Selects what [`transition`] reads.
macro_rules! select_transitions {
    ($rest:literal) => {
        concat!("SELECT user_id, from_status, to_status, at, last_seen, reason, audience FROM transitions ", $rest)
    };
}
pub(crate) use select_transitions;

/// Selects what [`status_override`] reads.
pub(crate) const OVERRIDES: &str = "SELECT user_id, source, status, set_at, ends_at FROM overrides";
/// Selects what [`held`] reads.
pub(crate) const HELD: &str = "SELECT user_id, status, set_at FROM held";
/// Selects what [`veil`] reads.
pub(crate) const VEILS: &str = "SELECT user_id, invisible, at, last_seen, since, since_holds FROM veils";

pub(crate) fn presence(row: &impl Columns) -> Result<PresenceRow, Failure> {
    Ok(PresenceRow {
        user: row.name(0)?,
        status: row.word(1, Status::parse)?,
        last_seen: row.some_at(2)?,
        since: row.at(3)?,
    })
}

pub(crate) fn transition(row: &impl Columns) -> Result<TransitionRow, Failure> {
    Ok(TransitionRow {
        user: row.name(0)?,
        from: row.word(1, Status::parse)?,
        to: row.word(2, Status::parse)?,
        at: row.at(3)?,
        last_seen: row.some_at(4)?,
        reason: row.word(5, Reason::parse)?,
        audience: row.some_word(6, Audience::parse)?.unwrap_or(Audience::Everybody),
    })
}

/// The word that is kept of an audience: none of everybody.
pub(crate) fn audience_word(audience: Audience) -> Option<&'static str> {
    (audience != Audience::Everybody).then(|| audience.as_str())
}

/// The audience of what this sight does not see.
pub(crate) fn not_for(sight: Sight) -> &'static str {
    match sight {
        Sight::Insider => Audience::Others.as_str(),
        Sight::Other => Audience::Insiders.as_str(),
    }
}

/// A slice, and how many more were online, and away, at its end than at its beginning.
pub(crate) fn net_change(row: &impl Columns) -> Result<NetChange, Failure> {
    Ok(NetChange { slice: row.number(0)?.unsigned_abs(), online: row.number(1)?, away: row.number(2)? })
}

pub(crate) fn moment(row: &impl Columns) -> Result<Timestamp, Failure> {
    row.at(0)
}

pub(crate) fn status_override(row: &impl Columns) -> Result<OverrideRow, Failure> {
    Ok(OverrideRow {
        user: row.name(0)?,
        source: row.word(1, Source::parse)?,
        status: row.word(2, Status::parse)?,
        set_at: row.at(3)?,
        ends_at: row.some_at(4)?,
    })
}

pub(crate) fn held(row: &impl Columns) -> Result<HeldRow, Failure> {
    Ok(HeldRow { user: row.name(0)?, status: row.word(1, Status::parse)?, set_at: row.at(2)? })
}

pub(crate) fn veil(row: &impl Columns) -> Result<VeilRow, Failure> {
    Ok(VeilRow {
        user: row.name(0)?,
        invisible: row.truth(1)?,
        at: row.at(2)?,
        last_seen: row.some_at(3)?,
        since: row.some_at(4)?,
        since_holds: row.truth(5)?,
    })
}

/// A block of evidence: its moment, and the block.
pub(crate) fn evidence(row: &impl Columns) -> Result<EvidenceBlock, Failure> {
    Ok(EvidenceBlock { at: row.at(0)?, packed: row.bytes(1)?.to_vec() })
}

/// Hands over rows of one kind, one by one.
pub(crate) async fn hand_over<R, T>(
    mut rows: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
    decode: impl Fn(&R) -> Result<T, Failure>,
    kind: impl Fn(T) -> Saved,
    saved: &mut (dyn FnMut(Saved) + Send),
) -> Result<(), Failure> {
    while let Some(row) = rows.try_next().await? {
        saved(kind(decode(&row)?));
        // Rows come as fast as they are taken: without this, one thread of the runtime would do nothing else.
        tokio::task::coop::consume_budget().await;
    }
    Ok(())
}
