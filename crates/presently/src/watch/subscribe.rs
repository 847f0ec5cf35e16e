//! Telling everybody who listens. **The order of announcements is the order of what each subscriber gets**, with gaps that are named.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use presently_core::Transition;
use tokio::sync::broadcast;

use crate::privacy::{Viewer, Visibility};
use crate::store::Audience;

/// Transitions held for slow subscribers.
const SLOTS: usize = 65_536;

/// A transition and whom it is for.
type Sent = (Arc<Transition>, Audience);

/// The receiving end of [`Presently::subscribe`](crate::Presently::subscribe).
#[derive(Debug)]
pub struct Transitions {
    receiver: Option<broadcast::Receiver<Sent>>,
    viewer: Viewer,
    visibility: Visibility,
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A transition, kept by the store.
    Transition(Arc<Transition>),
    /// This subscriber was too slow: so many were passed over. Ask for the presences again.
    Missed(u64),
}

impl Transitions {
    /// The next one; `None` after shutdown. Giving up on the wait loses nothing.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            match self.receiver.as_mut()?.recv().await {
                Ok((transition, audience)) => {
                    if self.viewer.hears(self.visibility, &transition.user, audience) {
                        return Some(Told::Transition(transition));
                    }
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => return Some(Told::Missed(missed)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The next one if it was told already: never waits.
    pub fn next_now(&mut self) -> Option<Told> {
        loop {
            match self.receiver.as_mut()?.try_recv() {
                Ok((transition, audience)) => {
                    if self.viewer.hears(self.visibility, &transition.user, audience) {
                        return Some(Told::Transition(transition));
                    }
                }
                Err(broadcast::error::TryRecvError::Lagged(missed)) => return Some(Told::Missed(missed)),
                Err(_) => return None,
            }
        }
    }
}

/// The sending end: only the writer announces.
#[derive(Debug)]
pub(crate) struct Board {
    sender: RwLock<Option<broadcast::Sender<Sent>>>,
    /// For whoever subscribes right after the start: what the restart itself decided must not pass unheard.
    opening: Mutex<Option<broadcast::Receiver<Sent>>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        let (sender, opening) = broadcast::channel(SLOTS);
        Self { sender: RwLock::new(Some(sender)), opening: Mutex::new(Some(opening)) }
    }

    pub(crate) fn subscribe(&self, viewer: Viewer, visibility: Visibility) -> Transitions {
        let opening = self.opening.lock().take();
        let receiver = opening.or_else(|| self.sender.read().as_ref().map(broadcast::Sender::subscribe));
        Transitions { receiver, viewer, visibility }
    }

    /// From now on a new subscriber hears what comes, and nothing of before.
    pub(crate) fn end_opening(&self) {
        self.opening.lock().take();
    }

    pub(crate) fn tell(&self, transition: Transition, audience: Audience) {
        if let Some(sender) = &*self.sender.read()
            && sender.receiver_count() > 0
        {
            // Nobody may be left by now, which is no loss.
            let _ = sender.send((Arc::new(transition), audience));
        }
    }

    /// Subscribers read what was told, and then the end.
    pub(crate) fn close(&self) {
        self.end_opening();
        self.sender.write().take();
    }
}
