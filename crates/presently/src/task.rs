//! Background tasks that do not die of a panic. **What stops by itself has finished; what panics is started again.**

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use crate::shared::Shared;

/// Runs `work`, again and again while it panics. Aborting the handle ends it at its next await.
pub(crate) fn supervise<W, F>(name: &'static str, shared: &Arc<Shared>, work: W) -> JoinHandle<()>
where
    W: Fn(Arc<Shared>) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        loop {
            // The set ends the work when this task is aborted.
            let mut running = JoinSet::new();
            running.spawn(work(Arc::clone(&shared)));
            match running.join_next().await {
                Some(Err(failed)) if failed.is_panic() => {
                    tracing::error!(task = name, "a background task panicked; it is started again");
                    shared.clock.sleep(Duration::from_millis(100)).await;
                }
                _ => return,
            }
        }
    })
}
