//! What other processes changed. **An account is forgotten before it is read again, so that no answer is older than the list.**

use std::collections::{HashMap, HashSet};

use crate::service::Accounts;
use crate::store::API_KEYS;
use crate::{Account, AccountId, StoreError};

impl Accounts {
    /// Reads which accounts other processes changed since the last call, forgets what was cached of them, and returns their accounts
    /// as they are now (`None`: erased). Call it every few hundred ms.
    ///
    /// The first call takes the place from which on changes are followed, forgets everything and returns nothing: make it before
    /// reading what is to be kept current (such as [`barred`](crate::store::AccountStore::barred)). Changes made by this process come
    /// back as well. On an error nothing is passed over: the next call tries again.
    pub async fn follow_changes(&self) -> Result<Vec<(AccountId, Option<Account>)>, StoreError> {
        let (store, cache) = (&self.inner.store, &self.inner.cache);
        let mut followed = self.inner.followed.lock().await;
        let Some(last) = *followed else {
            let newest = store.newest_change().await?;
            self.inner.ids.reset(store.account_ids().await?);
            *followed = Some(newest);
            cache.revoke_all();
            return Ok(Vec::new());
        };
        let (newest, mut ids) = store.changes_after(last).await?;
        if !ids.is_empty() {
            let mut seen = HashSet::new();
            ids.retain(|id| seen.insert(*id));
            cache.revoke(&ids);
            ids.retain(|id| *id != API_KEYS);
        }
        let mut accounts: HashMap<AccountId, Account> = if ids.is_empty() {
            HashMap::new()
        } else {
            store.accounts(&ids).await?.into_iter().map(|account| (account.id, account)).collect()
        };
        *followed = Some(newest);
        for id in &ids {
            if accounts.contains_key(id) { self.inner.ids.insert(*id) } else { self.inner.ids.remove(*id) }
        }
        Ok(ids.into_iter().map(|id| (id, accounts.remove(&id))).collect())
    }
}
