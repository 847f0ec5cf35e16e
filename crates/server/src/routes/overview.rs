//! How the server is, for administrators.

use std::time::Duration;

use axum::extract::State;
use presently::Timestamp;

use crate::app::App;
use crate::extract::Params;
use crate::panel::figures::Sample;
use crate::problem::{Problem, ProblemBody};
use crate::wire::{ClusterBody, LatenessBody, Moment, OverviewBody, SampleBody, SamplesBody, words};

/// The promise: at most a second.
const PROMISED_SECONDS: f64 = 1.0;

/// How the server is, at a glance.
#[utoipa::path(
    get, path = "/api/users/admin/overview/", tag = "admin", security(("token" = [])), operation_id = "overview",
    responses(
        (status = 200, body = OverviewBody),
        (status = 403, description = "`permission_denied`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn overview(State(app): State<App>) -> axum::Json<OverviewBody> {
    let stats = app.presently().stats();
    let now = app.clock().now();
    let tally = app.metrics().tally(app.presently());
    let pace = app.figures().pace(now.tick, &tally);
    axum::Json(OverviewBody {
        as_of: Moment(now.wall),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: (now.tick - app.started().tick).as_secs_f64(),
        online: stats.counts.online,
        away: stats.counts.away,
        sessions: stats.counts.sessions,
        streams: app.push().crowd.len() as u64,
        observed_seconds: pace.observed.as_secs_f64(),
        transitions_per_minute: pace.transitions_per_minute,
        heartbeats_per_second: pace.evidence_per_second,
        lateness: LatenessBody {
            count: tally.lateness.count,
            mean_seconds: tally.lateness.mean(),
            p99_seconds: tally.lateness.at_most(0.99),
            within_a_second: tally.lateness.share_within(PROMISED_SECONDS),
        },
        resident_bytes: crate::metrics::resident_bytes(),
        pending: stats.pending,
        store_healthy: app.presently().health().is_ok(),
        cluster: app.settings().cluster.as_ref().map(|cluster| ClusterBody {
            node: cluster.node_name.clone(),
            members: app.presently().members() as u64,
            cut_off: app.presently().cluster_health().and_then(Result::err).map(|error| error.to_string()),
        }),
    })
}

/// How many were online and away over the last hour, by minutes, or the last day, by five minutes; the last one is of now.
///
/// There are fewer when the history does not reach back so far.
#[utoipa::path(
    get, path = "/api/users/admin/overview/samples/", tag = "admin", security(("token" = [])), operation_id = "overview_samples",
    params(("window" = Option<words::Window>, Query, description = "Default `hour`")),
    responses(
        (status = 200, body = SamplesBody),
        (status = 400, body = ProblemBody<'static>),
        (status = 403, description = "`permission_denied`", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn samples(State(app): State<App>, params: Params) -> Result<axum::Json<SamplesBody>, Problem> {
    let (length, step) = match params.text("window").unwrap_or("hour") {
        "hour" => (Duration::from_secs(3600), 1),
        "day" => (Duration::from_secs(24 * 3600), 5),
        _ => return Err(Problem::field("window", "Must be hour or day.")),
    };
    let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    let (now, counts) = (app.clock().now().wall, app.presently().counts());
    let from = Timestamp(now.0.saturating_sub(micros));
    let newest = Sample { at: now, online: counts.online, away: counts.away };
    let told = app.figures().since(from, step).into_iter().filter(|sample| sample.at < now).chain([newest]);
    let samples = told.map(|sample| SampleBody { at: Moment(sample.at), online: sample.online, away: sample.away });
    Ok(axum::Json(SamplesBody { samples: samples.collect(), sampled_since: Moment(app.started().wall) }))
}
