//! Staying a member. **A node that could not renew its lease for as long as it lasts, by its own clock, does not count itself in**: the others
//! may have given its sessions to somebody else. Who renews also finds out who is gone, which is the bus's to put into the log.

use std::time::Duration;

use presently_core::cluster::Act;
use presently_replication::LOST;

use super::term::{End, Term};
use crate::bus::BusError;

/// How often the log moves on by itself, so that a position which was given is never too old.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// What was given to the log and is not followed for so long may be lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

pub(super) async fn keep(term: &Term<'_>) -> End {
    let (shared, cluster, bus) = (term.shared, term.cluster, &term.cluster.bus);
    let timing = bus.timing();
    let mut tried = *term.renewed.lock();
    loop {
        if !shared.pause(EVERY).await {
            // The program ends, and says so itself.
            std::future::pending::<()>().await;
        }
        let now = shared.clock.now().tick;
        let late = cluster.proposals.in_flight_since().is_some_and(|at| now - at >= LOST_AFTER);
        if cluster.leads() || late && cluster.is_member() {
            // Where the log has lost what it was given, this tells.
            cluster.propose(shared, Act::Tick);
        }
        if now - tried < timing.renew_every {
            continue;
        }
        tried = now;
        let renewed = tokio::select! {
            biased;
            renewed = bus.renew(term.me(), term.epoch, LOST) => renewed,
            () = shared.clock.sleep(timing.renew_every) => Err(BusError::Unavailable("it does not answer".into())),
        };
        match renewed {
            Ok(lease) => {
                shared.metrics.renewals.increment(1);
                *term.renewed.lock() = now;
                for node in lease.reaped {
                    tracing::warn!(node = node.0, "a node is gone; its sessions are another's");
                }
            }
            Err(error @ BusError::Unavailable(_)) => {
                if shared.clock.now().tick - *term.renewed.lock() >= timing.lease {
                    return error.into();
                }
            }
            Err(error) => return error.into(),
        }
    }
}
