//! The checklist, in the order in which it is run.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use presently::clock::{Clock as _, SystemClock};
use reqwest::Method;
use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, DATE, ORIGIN};
use serde_json::json;

use super::client::{Client, Person, Shown};
use super::live;
use super::report::Report;

/// How far two clocks may be apart.
const CLOCKS_MAX: SignedDuration = SignedDuration::from_secs(5);
/// How late offline may be shown: the promised second, and one for the way.
const LATE_MAX: SignedDuration = SignedDuration::from_secs(2);
const POLL_EVERY: Duration = Duration::from_millis(200);
/// The longest timeout that is waited for.
const TIMEOUT_MAX: SignedDuration = SignedDuration::from_mins(15);

pub(super) fn now() -> Timestamp {
    Timestamp::from_microsecond(SystemClock::new().now().wall.0).unwrap_or_default()
}

/// Runs every check. An `Err` is a call that all further checks need and that failed.
pub(super) async fn run(
    client: &Client,
    admin: &Person,
    people: &[Person],
    origin: Option<&str>,
    report: &mut Report,
) -> Result<(), String> {
    let [signed_in, beating, silent, leaving, watched, crowd @ ..] = people else {
        return Err("too few users were made".to_owned());
    };
    report.result("the server is ready", ready(client).await, "Ask /readyz by hand: its detail says what is missing.");
    report.result("clocks agree", clocks(client, admin).await, "Let both machines keep time with NTP.");

    let login = client.login(&signed_in.username, &signed_in.password).await?;
    let shown = client.shown(admin, login.id).await?;
    let fresh = is_fresh(&shown);
    let advice = "Logins must reach this server, and a proxy must not cache answers.";
    report.result("login shows online", expect(shown.status == "online" && fresh, &shown), advice);

    let plain = plain_request(client, admin, &login).await;
    report.result(
        "a plain request moves last_seen",
        plain,
        "A proxy may answer in the server's place: switch its cache off.",
    );

    // Both from now on: one beats for longer than the timeout, the other is silent.
    let beating = client.login(&beating.username, &beating.password).await?;
    let silent = client.login(&silent.username, &silent.password).await?;

    let leaving = client.login(&leaving.username, &leaving.password).await?;
    let left = async {
        client.post("/api/auth/logout/", &leaving, json!({})).await?;
        let shown = client.shown(admin, leaving.id).await?;
        expect(shown.status == "offline" && is_fresh(&shown), &shown)
    };
    report.result("logout shows offline", left.await, "The logout must carry the token of the session.");
    let advice = "A proxy must pass DELETE, and not answer in the server's place.";
    report.result("one login ends alone and at once", one_of_two(client, admin, &leaving).await, advice);

    report.result(
        "the list of many users holds no stale row",
        list(client, admin, crowd).await,
        "A list that is cached, or read from a replica, is stale: ask the server itself.",
    );
    let advice = "Switch response buffering off for /api/presence/events (nginx: proxy_buffering off).";
    report.result("server-sent events are not buffered", live::events(client, admin, watched).await, advice);
    let advice = "Let the proxy pass Upgrade and Connection on /api/presence/ws, with a read timeout above a minute.";
    report.result("WebSocket passes", live::socket(client, admin, watched).await, advice);
    if let Some(origin) = origin {
        let advice = "Start the server with --cors-origins and this origin; let the proxy pass OPTIONS.";
        report.result("the origin is let in", cors(client, origin).await, advice);
    }
    silence(client, admin, &beating, &silent, report).await
}

fn expect(good: bool, shown: &Shown) -> Result<String, String> {
    if good { Ok(shown.to_string()) } else { Err(shown.to_string()) }
}

fn is_fresh(shown: &Shown) -> bool {
    shown.last_seen.is_some_and(|moment| now().duration_since(moment).abs() <= CLOCKS_MAX)
}

async fn ready(client: &Client) -> Result<String, String> {
    client.call(Method::GET, "/readyz", "", None).await.map(|_| "/readyz says so".to_owned())
}

/// The server's `Date`, its presence and this machine.
async fn clocks(client: &Client, admin: &Person) -> Result<String, String> {
    let before = now();
    let response = Client::send(client.request(Method::POST, "/api/users/heartbeat/", &admin.token)).await?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    let beat: serde_json::Value = response.json().await.map_err(|error| error.to_string())?;
    let seen: Timestamp =
        beat["last_seen"].as_str().and_then(|text| text.parse().ok()).ok_or("a beat without a time")?;
    let apart = seen.duration_since(before).abs();
    let told = format!("{:.1} s apart, Date: {}", apart.as_secs_f64(), date.as_deref().unwrap_or("none"));
    if apart <= CLOCKS_MAX { Ok(told) } else { Err(told) }
}

/// Of two logins of a user one ends the other, and goes on.
async fn one_of_two(client: &Client, admin: &Person, person: &Person) -> Result<String, String> {
    let stays = client.login(&person.username, &person.password).await?;
    let goes = client.login(&person.username, &person.password).await?;
    let logins = client.get("/api/auth/sessions/", &goes).await?;
    let current = logins["sessions"].as_array().into_iter().flatten().find(|login| login["current"] == true);
    let id = current.and_then(|login| login["id"].as_str()).ok_or("no login of theirs is the current one")?;
    client.call(Method::DELETE, &format!("/api/auth/sessions/{id}/"), &stays.token, None).await?;
    if client.get("/api/auth/profile/", &goes).await.is_ok() {
        return Err("a token of the login that ended still works".to_owned());
    }
    let shown = client.shown(admin, person.id).await?;
    let told = expect(shown.status == "online", &shown)?;
    client.post("/api/auth/logout/", &stays, json!({})).await?;
    Ok(told)
}

async fn plain_request(client: &Client, admin: &Person, person: &Person) -> Result<String, String> {
    let before = client.shown(admin, person.id).await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.get("/api/auth/profile/", person).await?;
    let after = client.shown(admin, person.id).await?;
    expect(after.last_seen > before.last_seen, &after)
}

/// Half of a crowd signs in, one leaves again; every list must say of everybody what the call about one user says.
async fn list(client: &Client, admin: &Person, crowd: &[Person]) -> Result<String, String> {
    for (place, person) in crowd.iter().enumerate().filter(|(place, _)| place % 2 == 0) {
        let person = client.login(&person.username, &person.password).await?;
        if place == 0 {
            client.post("/api/auth/logout/", &person, json!({})).await?;
        }
    }
    let everybody = client.get("/api/users/all-users/", admin).await?;
    let everybody: HashMap<_, _> = everybody["users"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|user| Some((user["id"].as_i64()?, Shown::of(user))))
        .collect();
    let online = client.get("/api/users/admin/users/online/", admin).await?;
    let online: Vec<_> =
        online["online_users"].as_array().into_iter().flatten().filter_map(|user| user["id"].as_i64()).collect();
    for person in crowd {
        let truth = client.shown(admin, person.id).await?;
        if everybody.get(&person.id) != Some(&truth) {
            return Err(format!("all-users does not say of {} what online-status says: {truth}", person.username));
        }
        if online.contains(&person.id) != (truth.status == "online") {
            return Err(format!("the online list and online-status differ about {}: {truth}", person.username));
        }
    }
    Ok(format!("{} users, three surfaces agree", crowd.len()))
}

async fn cors(client: &Client, origin: &str) -> Result<String, String> {
    let preflight = client
        .request(Method::OPTIONS, "/api/users/heartbeat/", "")
        .header(ORIGIN, origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,content-type");
    let response = Client::send(preflight).await?;
    let allowed = response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).and_then(|value| value.to_str().ok());
    match allowed {
        Some(allowed) if response.status().is_success() && (allowed == origin || allowed == "*") => {
            Ok(format!("the preflight allows {allowed}"))
        }
        allowed => {
            Err(format!("the preflight answered {} and allows {}", response.status(), allowed.unwrap_or("none")))
        }
    }
}

/// Waits one timeout: who is silent must be offline at the deadline, who beats must not.
async fn silence(
    client: &Client,
    admin: &Person,
    beating: &Person,
    silent: &Person,
    report: &mut Report,
) -> Result<(), String> {
    let path = format!("/api/users/admin/users/{}/sessions/", silent.id);
    let sessions = client.get(&path, admin).await?;
    let time = |field: &str| sessions["sessions"][0][field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let (Some(heard), Some(deadline)) = (time("last_evidence"), time("deadline")) else {
        return Err("the silent user has no live session".to_owned());
    };
    let timeout = deadline.duration_since(heard);
    if timeout > TIMEOUT_MAX {
        report.failed(
            "silence shows offline at the deadline",
            &format!("the timeout is {} s, longer than this check waits", timeout.as_secs()),
            "Nothing is wrong; look at this by hand.",
        );
        return Ok(());
    }
    let mut stayed = Ok(String::new());
    let mut beats = 0_u32;
    let mut next_beat = now();
    let shown = loop {
        let moment = now();
        if moment >= next_beat {
            next_beat = moment + timeout / 5;
            client.post("/api/users/heartbeat/", beating, json!({})).await?;
            beats += 1;
            let shown = client.shown(admin, beating.id).await?;
            if shown.status != "online" {
                stayed = Err(format!("{shown} after {beats} beats"));
            }
        }
        let shown = client.shown(admin, silent.id).await?;
        let left = deadline.duration_since(moment);
        report.progress(&format!("  silence: {} s to the deadline, {}", left.as_secs().max(0), shown.status));
        if shown.status == "offline" || -left > LATE_MAX + CLOCKS_MAX {
            break shown;
        }
        tokio::time::sleep(POLL_EVERY).await;
    };
    let late = now().duration_since(deadline);
    let told = format!("{shown}; {:.1} s after the deadline ({} s of silence)", late.as_secs_f64(), timeout.as_secs());
    let good = shown.status == "offline" && late <= LATE_MAX && late >= -CLOCKS_MAX && shown.last_seen == Some(heard);
    let advice = "Something else beats for this user, or the server's clock steps; ask \"explain\" about the user.";
    report.result("silence shows offline at the deadline", if good { Ok(told) } else { Err(told) }, advice);
    let stayed = stayed.map(|_| format!("online through {beats} beats, longer than the timeout"));
    report.result(
        "heartbeats keep an idle user online",
        stayed,
        "Heartbeats must reach the server: look at the proxy's log.",
    );
    Ok(())
}
