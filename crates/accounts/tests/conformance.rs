//! The store in memory keeps the promises.
#![cfg(feature = "conformance")]

use std::sync::Arc;

use presently_accounts::conformance::{self, Subject};
use presently_accounts::memory::MemoryStore;

async fn empty_store() -> Subject {
    Arc::new(MemoryStore::new())
}

presently_accounts::account_store_conformance!(empty_store);

#[tokio::test]
async fn all_in_one_run() {
    conformance::run(empty_store).await;
}
