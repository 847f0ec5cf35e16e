//! Which accounts there are. **A set of numbers, whole in memory**: who of very many users has an account is known without asking
//! the store about each.

use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringTreemap;

use crate::AccountId;

/// The numbers of all accounts, as of one moment. Numbers close together, as a database gives them, take a bit each.
#[derive(Clone, Debug, Default)]
pub struct AccountIds(Arc<RoaringTreemap>);

impl AccountIds {
    /// Whether there is an account of this number.
    #[must_use]
    pub fn contains(&self, id: AccountId) -> bool {
        u64::try_from(id.0).is_ok_and(|id| self.0.contains(id))
    }
}

/// The set that follows what becomes of accounts.
#[derive(Debug, Default)]
pub(crate) struct Ids(Mutex<AccountIds>);

impl Ids {
    pub(crate) fn now(&self) -> AccountIds {
        self.0.lock().clone()
    }

    pub(crate) fn reset(&self, ids: Vec<AccountId>) {
        let ids = ids.into_iter().filter_map(|id| u64::try_from(id.0).ok()).collect();
        *self.0.lock() = AccountIds(Arc::new(ids));
    }

    pub(crate) fn insert(&self, id: AccountId) {
        if let Ok(number) = u64::try_from(id.0)
            && !self.now().contains(id)
        {
            Arc::make_mut(&mut self.0.lock().0).insert(number);
        }
    }

    pub(crate) fn remove(&self, id: AccountId) {
        if let Ok(number) = u64::try_from(id.0)
            && self.now().contains(id)
        {
            Arc::make_mut(&mut self.0.lock().0).remove(number);
        }
    }
}
