//! What stays open: event streams and sockets.
//!
//! **Whoever loses the right to watch is told nothing more**: each connection holds a [`Pass`](pass::Pass), which is looked at
//! before anything is sent, and every connection is woken when rights change anywhere or the server stops.
//!
//! - `pass`: whether a connection may still be there
//! - `crowd`: how many there are, and of whom
//! - `tickets`: credentials for pages that cannot send a header
//! - `stream`, `handoff`: Server-Sent Events
//! - `socket`, `wire`, `bounded`, `rate`, `close`: WebSockets

use std::sync::Arc;
use std::time::Duration;

use presently::Viewer;
use presently_accounts::{Accounts, Caller};
use tokio::sync::watch;

mod bounded;
pub(crate) mod close;
pub(crate) mod crowd;
pub(crate) mod handoff;
pub(crate) mod pass;
mod rate;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tickets;
mod wire;

use crowd::Crowd;
use tickets::Tickets;

/// How often it is looked whether rights changed: a connection that lost them is gone this much later.
pub(crate) const NOTICE_EVERY: Duration = Duration::from_millis(50);

/// What connections wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signal {
    /// As in [`Accounts::still_admits`].
    rights: u64,
    /// The server stops.
    pub(crate) closing: bool,
}

/// What all connections share.
pub(crate) struct Push {
    pub(crate) tickets: Tickets,
    pub(crate) crowd: Arc<Crowd>,
    signal: watch::Sender<Signal>,
    /// For connections that hold nothing open: rights are no matter of theirs.
    stop: watch::Sender<()>,
}

impl Push {
    pub(crate) fn new(tickets: Tickets, connections_max: usize, per_user_max: usize) -> Self {
        Self {
            tickets,
            crowd: Arc::new(Crowd::new(connections_max, per_user_max)),
            signal: watch::Sender::new(Signal::default()),
            stop: watch::Sender::new(()),
        }
    }

    /// Changes whenever a connection has to look at its pass.
    pub(crate) fn signal(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    /// Ends when every connection is to end.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // An error says that nobody is left who could stop anything.
            let _ = stop.changed().await;
        }
    }

    /// Wakes every connection if rights were taken from anybody since the last call.
    pub(crate) fn notice(&self, accounts: &Accounts) {
        let mut rights = self.signal.borrow().rights;
        // The number is not told, only whether it is another one; it goes up by one at a time.
        while !accounts.still_admits(rights) {
            rights += 1;
        }
        self.signal.send_if_modified(|signal| std::mem::replace(&mut signal.rights, rights) != rights);
    }

    /// Every connection ends now.
    pub(crate) fn close(&self) {
        self.signal.send_modify(|signal| signal.closing = true);
        self.stop.send_replace(());
    }
}

/// Through whose eyes a signed-in user looks.
pub(crate) fn viewer(caller: &Caller) -> Viewer {
    if caller.admission.is_admin { Viewer::Admin } else { Viewer::User(caller.user.as_ref().into()) }
}
