//! Whether the database can be written, asked seldom.

use std::time::Duration;

use presently::store::StoreError;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// An answer holds this long.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The newest answer.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    answered: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl Probe {
    /// What `write` came to, lately or now.
    pub(crate) async fn answer(&self, write: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
        // Held while it is found out: whoever asks meanwhile gets this answer too.
        let mut answered = self.answered.lock().await;
        if let Some((at, answer)) = &*answered
            && at.elapsed() < PROBE_EVERY
        {
            return answer.clone();
        }
        let answer = write.await;
        *answered = Some((Instant::now(), answer.clone()));
        answer
    }
}
