//! The life of one WebSocket. **An open socket is a session of its own**: opened, renewed by whatever is heard of it, ended at
//! once by a goodbye, and given the grace when it drops.
//!
//! What a socket does now and then is in boxes, so that what waits is small.
//!
//! A session whose socket has gone (dropped a moment ago, or before a restart) is taken over by the next socket of its login at this node,
//! so that nothing of a socket that came back stays behind.

use std::fmt::Write as _;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use presently::{Activity, Diff, EndReason, Position, Resumed, Snapshot, Tick, Timestamp, Watcher};
use presently_accounts::AccountStatus;
use tokio::sync::Notify;

use super::close::Why;
use super::crowd::Place;
use super::pass::{Ended, Pass};
use super::rate::Allowance;
use super::wire::{Heard, Unsent, Wire};
use crate::app::App;
use crate::identify::{self, Identity};
use crate::problem::Problem;
use crate::serve::Seat;
use crate::wire::{ClientFrame, PresenceBody, ServerFrame, convert};

/// How long a connection may take to say who it is.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// What is sent at once, about.
const WRITE_BYTES: usize = 32 * 1024;

/// Presences of one part of a message.
const WRITTEN_AT_ONCE: usize = 1_000;

/// What a socket is made of before anybody spoke.
pub(crate) struct Newcomer {
    pub(crate) app: App,
    pub(crate) place: Place,
    /// Who it is, when the request said so.
    pub(crate) pass: Option<Pass>,
    /// Its seat among the server's connections.
    pub(crate) seat: Option<Seat>,
    /// Tells that it has to leave, before it said who it is.
    pub(crate) leave: Option<Arc<Notify>>,
}

/// How a socket ended.
enum End {
    /// The client said goodbye.
    Goodbye,
    /// The connection dropped.
    Dropped,
    /// The server ends it.
    Because(Why),
}

impl From<Unsent> for End {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Gone => Self::Dropped,
            Unsent::Because(why) => Self::Because(why),
        }
    }
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        Self::Because(Why::Pass(ended))
    }
}

/// Serves the socket until it ends.
pub(crate) async fn run(newcomer: Newcomer, upgraded: hyper::upgrade::Upgraded) {
    let Newcomer { app, mut place, pass, seat, leave } = newcomer;
    let mut wire = Wire::new(&app, upgraded).await;
    let mut allowance = Allowance::new(app.clock().now().tick);
    let pass = match pass {
        Some(pass) => Ok(pass),
        None => {
            let leave = leave.unwrap_or_default();
            let introduced = Box::pin(introduce(&app, &mut wire, &mut place, &mut allowance));
            tokio::select! {
                pass = introduced => pass,
                () = leave.notified() => Err(End::Because(Why::TooManyConnections)),
            }
        }
    };
    let pass = match pass {
        Ok(pass) => pass,
        Err(end) => return Box::pin(say_goodbye(wire, end)).await,
    };
    wire.is_known();
    if let Some(seat) = &seat {
        seat.is_of(&pass.caller.user);
    }
    let session = session_name(&app, &mut place, &pass);
    let watcher = app.presently().watcher(pass.viewer());
    let mut socket = Socket { wire, pass, session, watcher, allowance, silent: 0, ping_at: Tick(0), app };
    let end = socket.live().await;
    Box::pin(socket.leave(end)).await;
    // The name of the session is free only now that nothing more is done to it.
    drop((place, seat));
}

async fn say_goodbye(wire: Wire, end: End) {
    match end {
        End::Goodbye => wire.answer_close().await,
        End::Dropped => {}
        End::Because(why) => wire.close(why).await,
    }
}

/// Waits for the first frame, which must say who this is.
async fn introduce(app: &App, wire: &mut Wire, place: &mut Place, allowance: &mut Allowance) -> Result<Pass, End> {
    let mut patience = app.clock().sleep(AUTH_TIMEOUT);
    loop {
        if wire.is_closing() {
            return Err(Ended::Stopping.into());
        }
        let heard = tokio::select! {
            heard = wire.hear() => heard,
            () = &mut patience => return Err(End::Because(Why::NotAuthenticated)),
        };
        let text = match heard {
            Heard::Close => return Err(End::Goodbye),
            Heard::Gone => return Err(End::Dropped),
            Heard::Broken(why) => return Err(End::Because(why)),
            Heard::Woken => continue,
            heard => {
                if !allowance.take(app.clock().now().tick) {
                    return Err(End::Because(Why::TooManyMessages));
                }
                match heard {
                    Heard::Text(text) => text,
                    _ => continue,
                }
            }
        };
        let (problem, why) = match ClientFrame::parse(&text) {
            Ok(ClientFrame::Auth(token)) => match admit(app, &token).await {
                Ok(pass) => match place.belongs_to(&pass.caller.user) {
                    Ok(()) => return Ok(pass),
                    Err(problem) => (problem, Some(Why::TooManyConnections)),
                },
                Err(problem) => {
                    let why = match problem.code() {
                        "account_not_active" | "user_inactive" => Why::NotActive,
                        _ if problem.status().is_server_error() => Why::Pass(Ended::Unknown),
                        _ => Why::Refused,
                    };
                    (problem, Some(why))
                }
            },
            Ok(_) => (Problem::not_authenticated().with_detail("The first frame must be auth with a token."), None),
            Err(problem) => (problem, None),
        };
        wire.send(app, None, [error(&problem)]).await?;
        if let Some(why) = why {
            return Err(End::Because(why));
        }
    }
}

/// Whose token this is, if they may be present.
async fn admit(app: &App, token: &str) -> Result<Pass, Problem> {
    match identify::by_text(app, token).await {
        Identity::Nobody => Err(Problem::not_authenticated()),
        Identity::Refused(problem) => Err(problem),
        // A socket is a session of somebody.
        Identity::Application(_) => Err(Problem::permission_denied()
            .with_detail("A socket is a session of a user; applications use events, query and touch.")),
        Identity::Known(caller) if caller.admission.status != AccountStatus::Active => {
            Err(Problem::account_not_active())
        }
        Identity::Known(caller) => Ok(Pass::new(token, caller)),
    }
}

/// `login/ws-…`: one that lost its socket, or a new one. Of what another node hears it is not known here whether the socket is open: that
/// is left to end by itself, which takes nobody offline who has come here.
fn session_name(app: &App, place: &mut Place, pass: &Pass) -> String {
    let mut name = format!("{}/ws-", pass.caller.session);
    let sessions = app.presently().explain(&pass.caller.user).map(|why| why.sessions).unwrap_or_default();
    let orphans = sessions.iter().filter(|view| !view.elsewhere).filter_map(|view| {
        let number = view.session.strip_prefix(&name)?;
        u64::from_str_radix(number, 16).ok().filter(|_| number.len() == 16)
    });
    let number = place.number(orphans, getrandom::u64().unwrap_or_default());
    // Writing to a string does not fail.
    let _ = write!(name, "{number:016x}");
    name
}

fn error(problem: &Problem) -> String {
    ServerFrame::Error { code: problem.code(), detail: problem.detail() }.text()
}

/// A socket of somebody.
struct Socket {
    app: App,
    wire: Wire,
    pass: Pass,
    session: String,
    watcher: Watcher,
    allowance: Allowance,
    /// Intervals in which nothing was heard.
    silent: u8,
    ping_at: Tick,
}

impl Socket {
    /// Until it ends.
    async fn live(&mut self) -> End {
        match self.talk().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        Box::pin(self.begin()).await?;
        let interval = self.app.settings().heartbeat_interval;
        self.ping_at = self.app.clock().now().tick + interval;
        let mut timer = self.timer();
        Box::pin(self.ready()).await?;
        loop {
            // 1. Nothing goes on for one who may not be here any more.
            self.may_go_on().await?;
            tokio::select! {
                // 2. What the client says is evidence, whatever it says; or rights changed somewhere.
                heard = self.wire.hear() => Box::pin(self.hear(heard)).await?,
                // 3. What is told of those it watches.
                diff = self.watcher.next() => match diff {
                    Some(diff) => Box::pin(self.tell(diff)).await?,
                    None => return Err(self.nothing_more()),
                },
                // 4. An interval is over (or the token): whoever is silent for two of them has gone.
                () = &mut timer => {
                    if self.app.clock().now().tick >= self.ping_at {
                        self.silent += 1;
                        if self.silent >= 2 {
                            return Err(End::Because(Why::Silent));
                        }
                        self.ping_at = self.app.clock().now().tick + interval;
                        Box::pin(self.wire.ping(&self.app, &mut self.pass)).await?;
                    }
                    timer = self.timer();
                }
            }
        }
    }

    /// Opens the session that the socket is.
    async fn begin(&mut self) -> Result<(), End> {
        match self.pass.heard(&self.app, &self.session, Some(Activity::Active)).await? {
            None => Ok(()),
            Some(problem) => {
                self.send(error(&problem)).await?;
                Err(End::Because(Why::TooManyChanges))
            }
        }
    }

    fn timer(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let until_ping = self.ping_at - self.app.clock().now().tick;
        self.app.clock().sleep(until_ping.min(self.pass.expires_in(&self.app)))
    }

    async fn may_go_on(&mut self) -> Result<(), End> {
        if self.wire.is_closing() {
            return Err(Ended::Stopping.into());
        }
        Ok(self.pass.check(&self.app).await?)
    }

    fn nothing_more(&self) -> End {
        let stopping = self.wire.is_closing();
        End::Because(if stopping { Why::Pass(Ended::Stopping) } else { Why::NoMore })
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        Ok(self.wire.send(&self.app, Some(&mut self.pass), [text]).await?)
    }

    async fn ready(&mut self) -> Result<(), End> {
        let interval = self.app.settings().heartbeat_interval.as_millis();
        let ready = ServerFrame::Ready {
            user_id: Some(&self.pass.caller.user),
            session: Some(&self.session),
            heartbeat_interval_ms: u64::try_from(interval).unwrap_or(u64::MAX),
        };
        let text = ready.text();
        self.send(text).await
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), End> {
        let text = match heard {
            Heard::Close => return Err(End::Goodbye),
            Heard::Gone => return Err(End::Dropped),
            Heard::Broken(why) => return Err(End::Because(why)),
            Heard::Woken => return Ok(()),
            Heard::Text(text) => Some(text),
            Heard::Control => None,
        };
        self.silent = 0;
        if !self.allowance.take(self.app.clock().now().tick) {
            let detail = "At most 20 messages a second, 100 at once.";
            self.send(ServerFrame::Error { code: "too_many_messages", detail }.text()).await?;
            return Err(End::Because(Why::TooManyMessages));
        }
        let frame = text.map(|text| ClientFrame::parse(&text));
        let activity = match &frame {
            Some(Ok(ClientFrame::Activity(activity))) => Some(*activity),
            _ => None,
        };
        if let Some(problem) = self.pass.heard(&self.app, &self.session, activity).await? {
            // The activity stays as it was; that something was heard counts all the same.
            self.pass.heard(&self.app, &self.session, None).await?;
            self.send(error(&problem)).await?;
        }
        match frame {
            None | Some(Ok(ClientFrame::Activity(_))) => Ok(()),
            Some(Ok(frame)) => match Box::pin(self.act(frame)).await {
                Ok(Answers::Texts(texts)) => Ok(self.wire.send(&self.app, Some(&mut self.pass), texts).await?),
                Ok(Answers::Snapshot(snapshot)) => self.send_snapshot(snapshot).await,
                Err(problem) => self.send(error(&problem)).await,
            },
            Some(Err(problem)) => self.send(error(&problem)).await,
        }
    }

    /// Does what a frame asks; returns the answers.
    async fn act(&mut self, frame: ClientFrame) -> Result<Answers, Problem> {
        match frame {
            ClientFrame::Ping => Ok(Answers::Texts(vec![ServerFrame::Pong.text()])),
            ClientFrame::Activity(_) => Ok(Answers::NONE),
            ClientFrame::Unwatch(users) => {
                self.allowance.charge(users.len());
                self.watcher.unwatch(&users);
                Ok(Answers::NONE)
            }
            ClientFrame::Auth(token) => Ok(Answers::Texts(self.renew(&token).await?)),
            ClientFrame::Watch(users, from) => {
                self.allowance.charge(users.as_ref().map_or(10_000, Vec::len));
                let resumed = match (&users, from) {
                    (Some(users), Some(from)) => self.watcher.resume(users, from).await?,
                    (Some(users), None) => Resumed::Snapshot(self.watcher.watch(users).await?),
                    (None, Some(from)) => self.watcher.resume_everybody(from).await?,
                    (None, None) => Resumed::Snapshot(self.watcher.watch_everybody().await?),
                };
                Ok(match resumed {
                    Resumed::Snapshot(snapshot) => Answers::Snapshot(snapshot),
                    Resumed::Diffs(diffs) => {
                        let seq = diffs.last().map(|diff| diff.seq).or(from.map(|from| from.seq)).unwrap_or_default();
                        let missed = diffs.into_iter().flat_map(|diff| diff.presences).collect();
                        Answers::Texts(vec![ServerFrame::Diff { seq, presences: self.bodies(missed) }.text()])
                    }
                })
            }
        }
    }

    /// A newer token of the same login.
    async fn renew(&mut self, token: &str) -> Result<Vec<String>, Problem> {
        let pass = admit(&self.app, token).await?;
        let (old, new) = (&self.pass.caller, &pass.caller);
        let same =
            (old.account, &old.session, old.admission.is_admin) == (new.account, &new.session, new.admission.is_admin);
        if !same {
            return Err(Problem::bad_request("another_login", "A connection stays with its login; open another one."));
        }
        self.pass = pass;
        let ready = ServerFrame::Ready {
            user_id: Some(&self.pass.caller.user),
            session: Some(&self.session),
            heartbeat_interval_ms: u64::try_from(self.app.settings().heartbeat_interval.as_millis())
                .unwrap_or(u64::MAX),
        };
        Ok(vec![ready.text()])
    }

    /// Sends a diff and those that wait behind it.
    async fn tell(&mut self, diff: Diff) -> Result<(), End> {
        self.may_go_on().await?;
        let (mut texts, mut bytes, mut next) = (Vec::new(), 0, Some(diff));
        while let Some(diff) = next.take_if(|diff| !diff.renewed) {
            let text = ServerFrame::Diff { seq: diff.seq, presences: self.bodies(diff.presences) }.text();
            bytes += text.len();
            texts.push(text);
            next = if bytes < WRITE_BYTES { self.watcher.next_now() } else { None };
        }
        self.wire.send(&self.app, Some(&mut self.pass), texts).await?;
        let Some(Diff { epoch, seq, presences, .. }) = next else { return Ok(()) };
        self.send_snapshot(Snapshot { position: Position { epoch, seq }, presences }).await
    }

    /// Everybody may be a million: what is sent is made a part at a time.
    async fn send_snapshot(&mut self, snapshot: Snapshot) -> Result<(), End> {
        let parts = parts(snapshot, self.app.clock().now().wall);
        Ok(self.wire.send_in_parts(&self.app, &mut self.pass, parts).await?)
    }

    fn bodies(&self, presences: Vec<presently::Presence>) -> Vec<PresenceBody> {
        let as_of = self.app.clock().now().wall;
        presences.into_iter().map(|presence| convert::presence(presence, as_of)).collect()
    }

    /// Presence first, then manners.
    async fn leave(self, end: End) {
        let Self { app, wire, pass, session, watcher, .. } = self;
        drop(watcher);
        let user = Arc::clone(&pass.caller.user);
        let reason = match &end {
            End::Goodbye => Some(EndReason::Disconnected),
            End::Because(why) if why.ends_session() => Some(EndReason::ForcedLogout),
            End::Because(_) | End::Dropped => None,
        };
        match reason {
            Some(reason) => {
                let ending = app.presently().end_session(&user, &session, reason);
                let (ended, ()) = tokio::join!(ending, say_goodbye(wire, end));
                if let Err(error) = ended {
                    tracing::debug!(%error, "the end of a socket's session was not kept");
                }
            }
            None => {
                app.presently().drop_session(&user, &session);
                say_goodbye(wire, end).await;
            }
        }
    }
}

/// What is sent for a frame.
enum Answers {
    Texts(Vec<String>),
    Snapshot(Snapshot),
}

impl Answers {
    const NONE: Self = Self::Texts(Vec::new());
}

/// A snapshot as text, [`WRITTEN_AT_ONCE`] presences a part.
fn parts(snapshot: Snapshot, as_of: Timestamp) -> impl Iterator<Item = String> {
    let Snapshot { position, presences } = snapshot;
    let frame = ServerFrame::Snapshot { epoch: position.epoch.to_string(), seq: position.seq, presences: Vec::new() };
    let mut begin = frame.text();
    let end = begin.split_off(begin.len() - "]}".len());
    let (mut presences, mut comma) = (presences.into_iter(), "");
    let middle = iter::from_fn(move || {
        let part: Vec<_> = presences.by_ref().take(WRITTEN_AT_ONCE).map(|one| convert::presence(one, as_of)).collect();
        let text = serde_json::to_string(&part).unwrap_or_default();
        let list = text.trim_start_matches('[').trim_end_matches(']');
        (!part.is_empty()).then(|| format!("{}{list}", std::mem::replace(&mut comma, ",")))
    });
    iter::once(begin).chain(middle).chain(iter::once(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_waits_is_small() {
        fn size<A, B, F: Future>(_: impl FnOnce(A, B) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(run) <= 2_048, "{} bytes", size(run));
    }
}
