//! What a refusal costs from the first one on. **A refusal takes as long as the slowest hash in the store**, so that its time tells of
//! no account; how long that is must be known before anybody is refused.

use crate::hashing::Hashing;
use crate::network::Network;
use crate::service::Accounts;
use crate::{PasswordHash, StoreError};

/// Kinds of hashes that are looked at: Django raised its iterations once a release.
const KINDS_MAX: usize = 64;

impl Accounts {
    /// Finds out what the most expensive hashes in the store cost here. From the call on, refusals of logins wait for its end; right
    /// passwords do not.
    pub fn warm_up(&self) -> impl Future<Output = ()> + Send + 'static {
        self.inner.hashing.set_warm(false);
        let warming = Warming(self.clone());
        async move {
            let Warming(accounts) = &warming;
            if let Err(error) = accounts.try_hashes().await {
                tracing::warn!(%error, "what old password hashes cost is not known yet");
            }
        }
    }

    /// Verifies one hash of each kind that costs more than those made today.
    async fn try_hashes(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        for _ in 0..KINDS_MAX {
            let Some(hash) = self.inner.store.old_hash_after(&after).await? else { break };
            after = end_of_kind(&hash);
            try_hash(&self.inner.hashing, &hash).await;
        }
        Ok(())
    }
}

async fn try_hash(hashing: &Hashing, hash: &PasswordHash) {
    // What it comes to does not matter, nor does it when the line is full: then others find out.
    let _ = hashing.verify(Network::NONE, "what it costs", Some(hash)).await;
}

/// Greater than every hash of the same kind as this one, and less than those of the next: the kind is all but the salt and the hash.
fn end_of_kind(hash: &PasswordHash) -> String {
    let text = hash.0.as_str();
    let kind = text
        .rmatch_indices('$')
        .nth(1)
        .map_or_else(|| text.chars().take(1).collect::<String>(), |(place, _)| text[..=place].to_owned());
    kind + "~"
}

/// Refusals go on when this goes, also when nobody waited for the end.
struct Warming(Accounts);

impl Drop for Warming {
    fn drop(&mut self) {
        self.0.inner.hashing.set_warm(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_all_but_the_salt_and_the_hash() {
        for (hash, end) in [
            ("pbkdf2_sha256$870000$salt$hash=", "pbkdf2_sha256$870000$~"),
            ("argon2$argon2id$v=19$m=102400,t=2,p=8$salt$hash", "argon2$argon2id$v=19$m=102400,t=2,p=8$~"),
            ("!unusable", "!~"),
            ("", "~"),
            ("é", "é~"),
        ] {
            let hash = PasswordHash(hash.to_owned());
            assert_eq!(end_of_kind(&hash), end);
            assert!(hash.0.as_str() < end);
        }
    }
}
