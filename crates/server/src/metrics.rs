//! Figures for Prometheus. Labels never name a user.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use presently::{Presently, Stats};

use crate::refusals::Refusals;
pub(crate) use crate::tally::Tally;

/// Seconds: fine around the promise of "at most one second".
const LATENESS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 30.0];
/// Seconds.
const DURATIONS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// Rows.
const ROWS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0, 50_000.0];

/// Bytes.
const BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The recorder of this process, and the handles that requests use.
pub(crate) struct Metrics {
    recorder: PrometheusHandle,
    by_class: [Counter; 5],
    request_seconds: Histogram,
    refusals: Refusals,
}

impl Metrics {
    /// Installs the recorder at the first call; later ones share it.
    pub(crate) fn install() -> Self {
        static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
        let recorder = RECORDER.get_or_init(|| {
            let builder = [
                ("presently_offline_lateness_seconds", LATENESS),
                ("presently_flush_seconds", DURATIONS),
                ("presently_sweep_seconds", DURATIONS),
                ("presently_flush_rows", ROWS),
                ("presently_http_request_seconds", DURATIONS),
                ("presently_cluster_decision_seconds", DURATIONS),
                ("presently_cluster_copy_bytes", BYTES),
            ]
            .into_iter()
            .try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
            })
            .unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            // Another recorder of an embedding program wins; this one then shows what is set at scrape time.
            let _ = metrics::set_global_recorder(recorder);
            describe();
            handle
        });
        Self {
            recorder: recorder.clone(),
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| counter!("presently_http_requests_total", "status" => class)),
            request_seconds: histogram!("presently_http_request_seconds"),
            refusals: Refusals::new(),
        }
    }

    /// Who was refused.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, status: http::StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.by_class.get(class) {
            counter.increment(1);
        }
        self.request_seconds.record(took.as_secs_f64());
    }

    /// The text of `/metrics`.
    pub(crate) fn render(&self, presently: &Presently, stats: &Stats, streams: usize) -> String {
        gauge!("presently_users", "status" => "online").set(stats.counts.online as f64);
        gauge!("presently_users", "status" => "away").set(stats.counts.away as f64);
        gauge!("presently_sessions").set(stats.counts.sessions as f64);
        gauge!("presently_pending_effects").set(stats.pending as f64);
        counter!("presently_evidence_total").absolute(stats.evidence);
        gauge!("presently_store_healthy").set(if presently.health().is_ok() { 1.0 } else { 0.0 });
        if let Some(health) = presently.cluster_health() {
            gauge!("presently_cluster_connected").set(if health.is_ok() { 1.0 } else { 0.0 });
            gauge!("presently_cluster_members").set(presently.members() as f64);
        }
        gauge!("presently_streams").set(streams as f64);
        gauge!("presently_resident_bytes").set(resident_bytes() as f64);
        self.recorder.render()
    }

    /// What the overview counts.
    pub(crate) fn tally(&self, presently: &Presently) -> Tally {
        Tally { evidence: presently.stats().evidence, ..Tally::read(&self.recorder.render()) }
    }

    /// Folds what histograms gathered; without it they would grow when nobody scrapes.
    pub(crate) fn tidy(&self) {
        self.recorder.run_upkeep();
    }
}

/// Why a connection was not taken, or not kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    /// Its address holds its share of those without credentials.
    Address,
    /// All seats are taken.
    Full,
    /// It made room for a newcomer.
    Evicted,
    /// No request came in time.
    SlowHead,
    /// It did not take what was sent.
    SlowReader,
    /// It made room for another socket that has not said who it is.
    Socket,
}

impl Refused {
    const ALL: [Self; 6] = [Self::Address, Self::Full, Self::Evicted, Self::SlowHead, Self::SlowReader, Self::Socket];

    fn counter(self) -> Counter {
        let reason = match self {
            Self::Address => "address",
            Self::Full => "full",
            Self::Evicted => "evicted",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
            Self::Socket => "socket",
        };
        counter!("presently_connections_refused_total", "reason" => reason)
    }
}

/// Counts a connection that was not taken, or not kept.
pub(crate) fn refused(why: Refused) {
    why.counter().increment(1);
}

fn describe() {
    describe_counter!("presently_connections_refused_total", "Connections that were not taken, or not kept, by why.");
    // Shown from the start, so that the first refusal is an increase.
    Refused::ALL.iter().for_each(|why| why.counter().increment(0));
    describe_gauge!("presently_users", "Users by status shown.");
    describe_gauge!("presently_sessions", "Live sessions.");
    describe_gauge!("presently_pending_effects", "Decisions that the store has not kept yet.");
    describe_gauge!("presently_store_healthy", "1 while the store takes what is decided.");
    describe_gauge!(
        "presently_cluster_connected",
        "1 while this node hears the others; 0 while it is cut off and decides alone."
    );
    describe_gauge!(
        "presently_cluster_members",
        "Nodes that take part, this one included, as this one knows; 0 while it is cut off."
    );
    describe_gauge!("presently_streams", "Open event streams and WebSockets.");
    describe_gauge!("presently_resident_bytes", "Resident memory of the process.");
    describe_counter!("presently_evidence_total", "Evidence of life taken.");
    describe_counter!("presently_http_requests_total", "Answered requests by class of status.");
    describe_histogram!("presently_http_request_seconds", "From the request's head to its answer.");
}

/// Resident memory, or 0 where the system does not tell.
pub(crate) fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
