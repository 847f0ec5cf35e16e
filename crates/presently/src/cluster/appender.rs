//! Into the log. **Proposals are appended in their order, a batch at a time**: while one is on its way the next one gathers.

use std::time::Duration;

use super::term::{End, Term};
use crate::bus::BusError;

/// How long a batch is tried again before this node decides alone.
const RETRIED_FOR: Duration = Duration::from_secs(2);
const RETRY_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn append(term: &Term<'_>) -> End {
    let (shared, proposals) = (term.shared, &term.cluster.proposals);
    loop {
        let frames = proposals.take(term.node);
        if frames.is_empty() {
            proposals.ready().await;
            continue;
        }
        let began = shared.clock.now().tick;
        loop {
            match term.cluster.bus.append(term.me(), term.epoch, &frames).await {
                Ok(_) => break,
                // It may be in the log all the same: the counts tell.
                Err(BusError::Unavailable(_)) if shared.clock.now().tick - began < RETRIED_FOR => {
                    shared.clock.sleep(RETRY_EVERY).await;
                }
                Err(error) => return error.into(),
            }
        }
        shared.metrics.proposed(frames.len());
    }
}
