//! Evidence that the back end of an application reports, of many users at once.
//!
//! **A request is looked through before any of it is taken**; what is taken then costs no more than as many heartbeats.

use axum::extract::State;
use http::HeaderMap;
use presently::{APPLICATION, Activity, Beat, Error, Hearing, Limits};

use crate::app::App;
use crate::extract::Json;
use crate::identify::{self, ByApplication};
use crate::problem::{Problem, ProblemBody};
use crate::wire::{NotTaken, Touch, TouchBody, Touched};

/// The longest name of a session within the application, in bytes.
const SESSION_BYTES_MAX: usize = 64;
/// After as many others have their turn on this thread.
const AT_ONCE: usize = 500;
/// How often a key is looked at again because rights changed in the middle of its request.
const LOOKS_MAX: usize = 4;

/// One piece of evidence, looked through.
struct Evidence {
    user: String,
    session: Option<String>,
    activity: Activity,
}

fn looked_through(place: usize, sent: Touched) -> Result<Evidence, Problem> {
    let wrong = |field: &str, sentence: String| Problem::field(&format!("users[{place}].{field}"), sentence);
    let Some(user) = sent.user_id else {
        return Err(wrong("user_id", "This field is required.".to_owned()));
    };
    if user.is_empty() || user.len() > Limits::ID_BYTES_MAX || user.chars().any(char::is_control) {
        let sentence = format!("Must be 1 to {} bytes without control characters.", Limits::ID_BYTES_MAX);
        return Err(wrong("user_id", sentence));
    }
    let is_bad = |name: &String| {
        name.is_empty() || name.len() > SESSION_BYTES_MAX || name.chars().any(|c| c.is_control() || c == '/')
    };
    if sent.session.as_ref().is_some_and(is_bad) {
        let sentence = format!("Must be 1 to {SESSION_BYTES_MAX} bytes of printable characters without \"/\".");
        return Err(wrong("session", sentence));
    }
    let activity = match sent.activity.as_deref() {
        None => Activity::Active,
        Some(word) => Activity::parse(word).ok_or_else(|| wrong("activity", "Must be active or idle.".to_owned()))?,
    };
    Ok(Evidence { user, session: sent.session, activity })
}

/// Evidence of life of up to 10,000 users, as the application's back end saw it: what a heartbeat of each would be.
///
/// Users are accounts or any others that the application names. They are online (away when `idle`) for the inactivity timeout from
/// now, in a session of the application's own that merges with what else is heard of them. Nothing is taken when any entry is wrong.
#[utoipa::path(
    post, path = "/api/presence/touch", tag = "applications", request_body = Touch,
    security(("api_key" = []), ("api_key_bearer" = [])),
    responses(
        (status = 200, description = "Taken; `rejected` names those that were not", body = TouchBody),
        (status = 400, description = "`errors` names the place, such as `users[3].user_id`", body = ProblemBody<'static>),
        (status = 401, description = "`not_authenticated`, `token_not_valid`", body = ProblemBody<'static>),
        (status = 403, description = "`permission_denied`: not with the token of a user", body = ProblemBody<'static>),
    )
)]
pub(crate) async fn touch(
    State(app): State<App>,
    _: ByApplication,
    headers: HeaderMap,
    Json(sent): Json<Touch>,
) -> Result<axum::Json<TouchBody>, Problem> {
    let sent = sent.users.ok_or_else(|| Problem::field("users", "This field is required."))?;
    let pieces: Vec<_> =
        sent.into_iter().enumerate().map(|(place, sent)| looked_through(place, sent)).collect::<Result<_, _>>()?;
    let mut taking = Taking::begin(&app, &headers).await?;
    let (mut on_the_way, mut refused) = (Vec::new(), Vec::new());
    for (place, piece) in pieces.iter().enumerate() {
        if place > 0 && place % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
        match taking.take(piece).await? {
            Ok(hearing) if hearing.is_decided() => {}
            Ok(hearing) => on_the_way.push((place, hearing)),
            Err(code) => refused.push((place, code)),
        }
    }
    for (place, hearing) in on_the_way {
        if let Err(code) = taking.taken(&pieces[place], hearing).await? {
            refused.push((place, code));
        }
    }
    refused.sort_unstable();
    let accepted = pieces.len() - refused.len();
    let rejected = refused.into_iter().map(|(place, code)| NotTaken { user_id: pieces[place].user.clone(), code });
    Ok(axum::Json(TouchBody { accepted, rejected: rejected.collect() }))
}

/// The application whose evidence is taken, as of one moment.
struct Taking<'a> {
    app: &'a App,
    headers: &'a HeaderMap,
    as_of: u64,
    /// The name of the session; its first `own_bytes` are the application's own.
    session: String,
    own_bytes: usize,
}

impl<'a> Taking<'a> {
    async fn begin(app: &'a App, headers: &'a HeaderMap) -> Result<Self, Problem> {
        let (key, as_of) = identify::application(app, headers).await?;
        let session = format!("{APPLICATION}{}", key.id);
        Ok(Self { app, headers, as_of, own_bytes: session.len(), session })
    }

    /// Takes one piece, or says why not. A key that was revoked meanwhile is refused: nothing is taken after its end.
    async fn take(&mut self, piece: &Evidence) -> Result<Result<Hearing, &'static str>, Problem> {
        self.session.truncate(self.own_bytes);
        if let Some(name) = &piece.session {
            self.session.push('/');
            self.session.push_str(name);
        }
        for _ in 0..LOOKS_MAX {
            let still = || self.app.accounts().still_admits(self.as_of);
            match self.app.presently().hear(&piece.user, &self.session, Some(piece.activity), still) {
                Err(Error::Stale) => self.as_of = identify::application(self.app, self.headers).await?.1,
                Ok(hearing) => return Ok(Ok(hearing)),
                Err(error) => return refusal(error).map(Err),
            }
        }
        Err(Problem::unavailable("busy", "Too many rights change at once. Try again.", "evidence kept becoming stale"))
    }

    /// What became of a piece that is on its way.
    async fn taken(&mut self, piece: &Evidence, mut hearing: Hearing) -> Result<Result<Beat, &'static str>, Problem> {
        for _ in 0..LOOKS_MAX {
            match hearing.decided().await {
                Ok(beat) => return Ok(Ok(beat)),
                // The session was ended at another node before this one knew; the application may open it again.
                Err(Error::Ended) => match self.take(piece).await? {
                    Ok(again) => hearing = again,
                    Err(code) => return Ok(Err(code)),
                },
                Err(error) => return refusal(error).map(Err),
            }
        }
        Ok(Err("overloaded"))
    }
}

/// Why one piece is not taken, while the others may be.
fn refusal(error: Error) -> Result<&'static str, Problem> {
    match error {
        Error::Barred => Ok("account_not_active"),
        // There is no room for somebody new; who is there already is renewed all the same.
        Error::Full => Ok("overloaded"),
        error => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert!("app-9223372036854775807/".len() + SESSION_BYTES_MAX <= Limits::ID_BYTES_MAX);

    fn sent(user: &str, session: Option<&str>, activity: Option<&str>) -> Touched {
        Touched {
            user_id: Some(user.to_owned()),
            session: session.map(str::to_owned),
            activity: activity.map(str::to_owned),
        }
    }

    #[test]
    fn names_at_their_limits_do() {
        let (user, session) = ("é".repeat(64), "x".repeat(64));
        for sent in [
            sent(&user, Some(&session), Some("idle")),
            sent("a/b c%", None, None),
            sent("0", Some("a b"), Some("active")),
        ] {
            assert!(looked_through(0, sent).is_ok());
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let long = "x".repeat(129);
        let without = Touched { user_id: None, session: None, activity: None };
        for (sent, field) in [
            (without, "user_id"),
            (sent("", None, None), "user_id"),
            (sent(&long, None, None), "user_id"),
            (sent("a\n", None, None), "user_id"),
            (sent("a", Some(""), None), "session"),
            (sent("a", Some(&long[..65]), None), "session"),
            (sent("a", Some("a/b"), None), "session"),
            (sent("a", Some("a\0"), None), "session"),
            (sent("a", None, Some("Active")), "activity"),
            (sent("a", None, Some("")), "activity"),
        ] {
            let Err(problem) = looked_through(3, sent) else { panic!("{field} was taken") };
            let text = format!("{problem:?}");
            assert!(text.contains(&format!("errors: {{\"users[3].{field}\": [")), "{text}");
        }
    }
}
