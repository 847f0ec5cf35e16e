//! Server-Sent Events: one snapshot, then an event for each transition. **An `id` is given only when everything before it was
//! sent**, so that whoever comes back with it misses nothing.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use presently::{Diff, Position, Presence, Resumed, Snapshot, Timestamp, Watcher};
use tokio::sync::watch;

use super::Signal;
use super::crowd::Place;
use super::pass::{Ended, Holder};
use crate::app::App;
use crate::wire::convert;

/// A comment line at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Presences in one `snapshot` event; more come in several.
const EVENT_PRESENCES_MAX: usize = 10_000;
/// What is written at once, about.
const WRITE_BYTES: usize = 8 * 1024;

/// Everything that one stream is.
pub(crate) struct Events {
    pub(crate) app: App,
    pub(crate) holder: Holder,
    pub(crate) watcher: Watcher,
    signal: watch::Receiver<Signal>,
    _place: Place,
    snapshot: Option<Unsent>,
    /// Everything up to here was sent, when nothing of a snapshot is unsent.
    at: Position,
    opening: String,
    keep_alive: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What was not sent of a snapshot.
struct Unsent {
    presences: std::vec::IntoIter<Presence>,
    as_of: Timestamp,
    /// How many the open event still takes.
    in_event: usize,
}

impl Events {
    pub(crate) fn new(app: App, holder: Holder, watcher: Watcher, place: Place, begun: Begun) -> Self {
        let signal = app.push().signal();
        // Whoever loses the connection comes back after a while of their own: not all of them at once.
        let retry = 1_000 + getrandom::u32().unwrap_or_default() % 2_000;
        let mut events = Self {
            app,
            holder,
            watcher,
            signal,
            _place: place,
            snapshot: None,
            at: begun.position,
            opening: format!("retry: {retry}\n\n"),
            keep_alive: None,
        };
        match begun.first {
            First::Snapshot(presences) => events.snapshot = Some(events.unsent(presences)),
            First::Diffs(diffs) => {
                let mut text = std::mem::take(&mut events.opening);
                for diff in diffs {
                    events.write_diff(diff, &mut text);
                }
                events.opening = text;
            }
        }
        events
    }

    /// The body of the answer.
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, async |mut events| {
            let text = events.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(text)), events))
        }))
    }

    /// What to write next; `None` ends the stream.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            // 1. Nothing is sent to one who may not have it any more.
            if let Err(ended) = self.may_go_on().await {
                tracing::debug!(?ended, "an event stream ends");
                return None;
            }
            // 2. What is there already.
            if !self.opening.is_empty() {
                return Some(std::mem::take(&mut self.opening));
            }
            if self.snapshot.is_some() {
                return Some(self.write_snapshot());
            }
            // 3. What comes: a transition, a change of rights, or the time for a sign of life.
            let app = &self.app;
            let patience = KEEP_ALIVE.min(self.holder.expires_in(app));
            let keep_alive = self.keep_alive.get_or_insert_with(|| app.clock().sleep(patience));
            tokio::select! {
                changed = self.signal.changed() => {
                    changed.ok()?;
                }
                diff = self.watcher.next() => {
                    let diff = diff?;
                    // Looked at once more: rights may have gone while this was waited for.
                    self.may_go_on().await.ok()?;
                    self.keep_alive = None;
                    let text = self.write_diffs(diff);
                    if !text.is_empty() {
                        return Some(text);
                    }
                }
                () = keep_alive => {
                    self.keep_alive = None;
                    self.may_go_on().await.ok()?;
                    return Some(":\n\n".to_owned());
                }
            }
        }
    }

    async fn may_go_on(&mut self) -> Result<(), Ended> {
        if self.signal.borrow().closing {
            return Err(Ended::Stopping);
        }
        self.holder.check(&self.app).await
    }

    fn unsent(&self, presences: Vec<Presence>) -> Unsent {
        Unsent { presences: presences.into_iter(), as_of: self.app.clock().now().wall, in_event: 0 }
    }

    /// This one, and those that wait behind it, until it is worth a write.
    fn write_diffs(&mut self, diff: Diff) -> String {
        let mut text = String::new();
        let mut next = Some(diff);
        while let Some(diff) = next {
            self.write_diff(diff, &mut text);
            next = if text.len() < WRITE_BYTES && self.snapshot.is_none() { self.watcher.next_now() } else { None };
        }
        text
    }

    fn write_diff(&mut self, diff: Diff, text: &mut String) {
        self.at.epoch = diff.epoch;
        if diff.renewed {
            self.at.seq = diff.seq;
            self.snapshot = Some(self.unsent(diff.presences));
            return;
        }
        let as_of = self.app.clock().now().wall;
        for (seq, presence) in diff.events() {
            self.at.seq = seq;
            let body = convert::presence(presence.clone(), as_of);
            let json = serde_json::to_string(&body).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(text, "event: presence\nid: {}\ndata: {json}\n\n", self.at);
        }
        self.at.seq = diff.seq;
    }

    /// The next part of the snapshot.
    fn write_snapshot(&mut self) -> String {
        let mut text = String::with_capacity(WRITE_BYTES + 1024);
        let Some(unsent) = &mut self.snapshot else { return text };
        loop {
            if unsent.in_event == 0 {
                // Only the last event of a snapshot says where the stream is: who comes back before it begins anew.
                let part = if unsent.presences.len() > EVENT_PRESENCES_MAX { "-part" } else { "" };
                let _ = write!(text, "event: snapshot\nid: {}{part}\ndata: {{\"presences\":[", self.at);
                unsent.in_event = unsent.presences.len().min(EVENT_PRESENCES_MAX) + 1;
            }
            while unsent.in_event > 1 && text.len() < WRITE_BYTES {
                let Some(presence) = unsent.presences.next() else { break };
                let body = convert::presence(presence, unsent.as_of);
                text.push_str(&serde_json::to_string(&body).unwrap_or_default());
                unsent.in_event -= 1;
                if unsent.in_event > 1 {
                    text.push(',');
                }
            }
            if unsent.in_event > 1 {
                return text;
            }
            text.push_str("]}\n\n");
            unsent.in_event = 0;
            if unsent.presences.len() == 0 {
                self.snapshot = None;
                return text;
            }
        }
    }
}

/// How a stream begins.
pub(crate) struct Begun {
    position: Position,
    first: First,
}

enum First {
    Snapshot(Vec<Presence>),
    Diffs(Vec<Diff>),
}

impl Begun {
    pub(crate) fn anew(snapshot: Snapshot) -> Self {
        Self { position: snapshot.position, first: First::Snapshot(snapshot.presences) }
    }

    pub(crate) fn again(from: Position, resumed: Resumed) -> Self {
        match resumed {
            Resumed::Snapshot(snapshot) => Self::anew(snapshot),
            Resumed::Diffs(diffs) => Self { position: from, first: First::Diffs(diffs) },
        }
    }
}
