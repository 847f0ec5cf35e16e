//! The figures that Presently gives to the `metrics` facade. **No label names a user.**

use std::time::Duration;

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use presently_core::{Reason, Status, Transition};

const TRANSITIONS: &str = "presently_transitions_total";
const LATENESS: &str = "presently_offline_lateness_seconds";
const FLUSH_ROWS: &str = "presently_flush_rows";
const FLUSH_SECONDS: &str = "presently_flush_seconds";
const SWEEP_SECONDS: &str = "presently_sweep_seconds";
const MENDED: &str = "presently_mended_total";
const HISTORY_DROPPED: &str = "presently_history_dropped_total";
const PROPOSALS: &str = "presently_cluster_proposals_total";
const APPENDS: &str = "presently_cluster_appends_total";
const FOLLOWED: &str = "presently_cluster_followed_total";
const LAG: &str = "presently_cluster_decision_seconds";
const WHISPERED: &str = "presently_cluster_whispered_bytes_total";
const WHISPERS: &str = "presently_cluster_whispers_total";
const COPY: &str = "presently_cluster_copy_bytes";
const RENEWALS: &str = "presently_cluster_lease_renewals_total";
const ALONE: &str = "presently_cluster_alone_seconds_total";

/// Handles, looked up once. A recorder that is installed later hears nothing: install it before [`open`](crate::Presently::open).
pub(crate) struct Metrics {
    /// By reason, then by status.
    transitions: Vec<[Counter; 3]>,
    lateness: Histogram,
    flush_rows: Histogram,
    flush_seconds: Histogram,
    sweep_seconds: Histogram,
    pub(crate) mended: Counter,
    pub(crate) history_dropped: Counter,
    proposals: Counter,
    appends: Counter,
    followed: Counter,
    lag: Histogram,
    whispered: Counter,
    whispers: Counter,
    copy: Histogram,
    pub(crate) renewals: Counter,
    pub(crate) alone: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!(TRANSITIONS, "Changes of a user's merged status, by reason and by what is shown since.");
        describe_histogram!(LATENESS, Unit::Seconds, "From a deadline to the announcement that the user is offline.");
        describe_histogram!(FLUSH_ROWS, "Rows kept by one group commit.");
        describe_histogram!(FLUSH_SECONDS, Unit::Seconds, "How long one group commit took.");
        describe_histogram!(
            SWEEP_SECONDS,
            Unit::Seconds,
            "Work of one sweep that found something due, waits left out."
        );
        describe_counter!(MENDED, "Differences between the store and the engine that were found and mended.");
        describe_counter!(HISTORY_DROPPED, "History lines given up because the store was away for too long.");
        describe_counter!(PROPOSALS, "Entries that this node added to the log of the cluster.");
        describe_counter!(APPENDS, "Calls with which it did so.");
        describe_counter!(FOLLOWED, "Entries of the log that this node followed.");
        describe_histogram!(LAG, Unit::Seconds, "From a proposal of this node to its decision here.");
        describe_counter!(WHISPERED, Unit::Bytes, "What this node told the others of what it heard.");
        describe_counter!(WHISPERS, "Whispers with which it did so.");
        describe_histogram!(COPY, Unit::Bytes, "Copies made for nodes that joined.");
        describe_counter!(RENEWALS, "Renewals of this node's lease.");
        describe_counter!(ALONE, Unit::Seconds, "Time in which this node was cut off from the others, whole seconds.");
        let statuses = [Status::Offline, Status::Away, Status::Online];
        let transitions = Reason::ALL
            .map(|reason| statuses.map(|to| counter!(TRANSITIONS, "reason" => reason.as_str(), "to" => to.as_str())));
        Self {
            transitions: transitions.into(),
            lateness: histogram!(LATENESS),
            flush_rows: histogram!(FLUSH_ROWS),
            flush_seconds: histogram!(FLUSH_SECONDS),
            sweep_seconds: histogram!(SWEEP_SECONDS),
            mended: counter!(MENDED),
            history_dropped: counter!(HISTORY_DROPPED),
            proposals: counter!(PROPOSALS),
            appends: counter!(APPENDS),
            followed: counter!(FOLLOWED),
            lag: histogram!(LAG),
            whispered: counter!(WHISPERED),
            whispers: counter!(WHISPERS),
            copy: histogram!(COPY),
            renewals: counter!(RENEWALS),
            alone: counter!(ALONE),
        }
    }

    /// Counts a transition that is announced `waited` after it was decided.
    pub(crate) fn announced(&self, transition: &Transition, waited: Duration) {
        if let Some(counters) = self.transitions.get(transition.reason as usize) {
            counters[transition.to as usize].increment(1);
        }
        if let (Status::Offline, Some(lateness)) = (transition.to, transition.lateness) {
            self.lateness.record((lateness + waited).as_secs_f64());
        }
    }

    pub(crate) fn swept(&self, took: Duration) {
        self.sweep_seconds.record(took.as_secs_f64());
    }

    pub(crate) fn proposed(&self, entries: usize) {
        self.proposals.increment(entries as u64);
        self.appends.increment(1);
    }

    pub(crate) fn followed(&self, entries: usize) {
        self.followed.increment(entries as u64);
    }

    /// A proposal of this node was decided so long after it was made.
    pub(crate) fn settled(&self, after: Duration) {
        self.lag.record(after.as_secs_f64());
    }

    pub(crate) fn whispered(&self, bytes: usize) {
        self.whispered.increment(bytes as u64);
        self.whispers.increment(1);
    }

    pub(crate) fn copied(&self, bytes: usize) {
        self.copy.record(bytes as f64);
    }

    pub(crate) fn flushed(&self, rows: usize, took: Duration) {
        self.flush_rows.record(rows as f64);
        self.flush_seconds.record(took.as_secs_f64());
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_statuses_count_in_their_declared_order() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        assert_eq!([Status::Offline as usize, Status::Away as usize, Status::Online as usize], [0, 1, 2]);
    }
}
