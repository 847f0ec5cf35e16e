//! When a user came and went.

use std::time::Duration;

use axum::extract::State;
use presently::store::TransitionRow;
use presently::{Presence, Status, Timestamp};

use super::Eyes;
use crate::app::App;
use crate::extract::{Params, UserPath};
use crate::problem::{Problem, ProblemBody};
use crate::wire::{History, convert};

/// Transitions in one answer.
const TRANSITIONS_MAX: u32 = 10_000;
/// The window when `from` is not given.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The transitions of a user with `from` <= `at` < `to`, and how long they were online.
#[utoipa::path(
    get, path = "/api/presence/{user_id}/history", tag = "presence", security(("token" = []), ("api_key" = [])),
    params(
        ("user_id" = String, Path, description = "1 to 128 bytes"),
        ("from" = Option<String>, Query, description = "RFC 3339; default: a day before `to`"),
        ("to" = Option<String>, Query, description = "RFC 3339; default: now"),
    ),
    responses(
        (status = 200, body = History),
        (status = 400, body = ProblemBody<'static>),
        (status = 401, body = ProblemBody<'static>),
    )
)]
pub(crate) async fn history(
    State(app): State<App>,
    Eyes(viewer): Eyes,
    UserPath(user): UserPath,
    params: Params,
) -> Result<axum::Json<History>, Problem> {
    let presently = app.presently();
    // What was decided before the question is part of the answer.
    presently.settled().await?;
    let now = app.clock().now().wall;
    // A transition of this very moment is before it.
    let to = time(&params, "to")?.unwrap_or(Timestamp(now.0 + 1));
    let from = time(&params, "from")?.unwrap_or_else(|| earlier(to, WINDOW));
    if from > to {
        return Err(Problem::field("from", "Must not be after to."));
    }
    let rows = presently.transitions_seen_by(&viewer, &user, from, to, TRANSITIONS_MAX).await?;
    let before = presently.transition_before_seen_by(&viewer, &user, from).await?.map(|before| before.to);
    let held_before = match before {
        Some(before) => before,
        // Nobody begins online: where the first line says so, the wall clock stepped back, or the lines before it are not kept any more.
        None if !rows.is_empty() => Status::Offline,
        None => held_since(&presently.presence_seen_by(&viewer, &user).await?, from),
    };
    // Of a longer history than is shown only the part that is shown is counted.
    let counted_from = rows.first().filter(|_| rows.len() >= TRANSITIONS_MAX as usize).map_or(from, |row| row.at);
    let online = online_for(&rows, held_before, counted_from, to.min(now));
    let transitions = rows.iter().map(convert::transition).collect();
    Ok(axum::Json(History { transitions, online_seconds: online.as_secs_f64() }))
}

fn time(params: &Params, name: &str) -> Result<Option<Timestamp>, Problem> {
    let bad = || Problem::field(name, "Must be a time as RFC 3339 has it, for example 2026-11-24T01:54:46Z.");
    // A `+` that was not escaped came in as a blank.
    params
        .text(name)
        .map(|text| text.replace(' ', "+").parse::<jiff::Timestamp>().map_err(|_| bad()))
        .map(|parsed| parsed.map(|at| Timestamp(at.as_microsecond())))
        .transpose()
}

fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    Timestamp(moment.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

/// What held at `moment`, when the history does not say.
fn held_since(presence: &Presence, moment: Timestamp) -> Status {
    let held = presence.since.is_some_and(|since| since <= moment);
    if held { presence.status } else { Status::Offline }
}

fn online_for(rows: &[TransitionRow], held_before: Status, from: Timestamp, to: Timestamp) -> Duration {
    let mut micros = 0;
    let (mut status, mut since) = (held_before, from);
    let end = [(status, Status::Offline, to)];
    let lines = rows.iter().map(|row| (row.from, row.to, row.at));
    for (place, (from, next, at)) in lines.chain(end).enumerate() {
        // Lines that do not follow each other were decided in another order than that of the wall clock, which stepped back.
        let follows = place == rows.len() || from == status;
        if follows && status == Status::Online {
            micros += at.min(to).0.saturating_sub(since.0).max(0);
        }
        // Where the wall clock stepped back, no time is counted twice.
        (status, since) = (next, at.max(since));
    }
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use presently::Reason;
    use presently::store::Audience;

    fn row(from: Status, to: Status, at: i64) -> TransitionRow {
        let at = Timestamp(at * 1_000_000);
        TransitionRow {
            user: "alice".into(),
            from,
            to,
            at,
            last_seen: None,
            reason: Reason::Evidence,
            audience: Audience::Everybody,
        }
    }

    fn seconds(rows: &[TransitionRow], held_before: Status, from: i64, to: i64) -> u64 {
        online_for(rows, held_before, Timestamp(from * 1_000_000), Timestamp(to * 1_000_000)).as_secs()
    }

    #[test]
    fn time_online_is_counted_within_the_window() {
        use Status::{Away, Offline, Online};
        let rows = [row(Offline, Online, 10), row(Online, Away, 15), row(Away, Online, 20), row(Online, Offline, 30)];
        assert_eq!(seconds(&rows, Offline, 0, 100), 15);
        assert_eq!(seconds(&rows[..3], Offline, 0, 25), 10);
        assert_eq!(seconds(&[], Online, 0, 25), 25);
        assert_eq!(seconds(&[], Away, 0, 25), 0);
        assert_eq!(seconds(&rows[3..], Online, 22, 100), 8);
        assert_eq!(seconds(&[], Online, 30, 25), 0);
        assert_eq!(seconds(&[row(Online, Offline, 5), row(Offline, Online, 3)], Online, 0, 10), 10);
    }

    #[test]
    fn a_clock_that_stepped_back_a_day_makes_no_day_online() {
        use Status::{Offline, Online};
        // Online at the second 86,400, then a step back of a day, and offline five seconds later: by time the last line comes first.
        let rows = [row(Online, Offline, 5), row(Offline, Online, 86_400)];
        assert_eq!(seconds(&rows[..1], Offline, -86_400, 10), 0);
        assert_eq!(seconds(&rows, Offline, -86_400, 86_400), 0);
        assert_eq!(
            seconds(&[row(Offline, Online, 0), row(Offline, Online, 8), row(Online, Offline, 10)], Offline, 0, 20),
            2
        );
    }
}
