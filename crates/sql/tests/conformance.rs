//! SQLite and PostgreSQL keep the promises of both ports.

use std::sync::{Arc, Mutex};

use presently::store::Store;
use presently_accounts::conformance::Subject;
use presently_sql::{OpenOptions, PostgresStores, SqliteStores, postgres};
use presently_testkit::Postgres;
use tempfile::TempDir;

/// Folders that outlive the stores in them: they go when the process does.
static FOLDERS: Mutex<Vec<TempDir>> = Mutex::new(Vec::new());

async fn empty_stores() -> SqliteStores {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("presently.db");
    FOLDERS.lock().expect("not poisoned").push(folder);
    SqliteStores::open(path, OpenOptions::default()).await.expect("a new database opens")
}

async fn empty_account_store() -> Subject {
    Arc::new(empty_stores().await)
}

presently_accounts::account_store_conformance!(empty_account_store);

#[tokio::test]
async fn sqlite_keeps_the_promises_of_the_presence_store() {
    presently::conformance::run(async || Arc::new(empty_stores().await) as Arc<dyn Store>).await;
}

async fn empty_postgres_stores() -> Arc<PostgresStores> {
    let url = Postgres::shared().database();
    // Few: every case has a database of its own.
    let options = postgres::OpenOptions { connections_max: 3, ..postgres::OpenOptions::default() };
    Arc::new(PostgresStores::open(&url, options).await.expect("a new database opens"))
}

// One test: a server is started for a process, and some runners start a process for each test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_promises_of_the_account_store() {
    presently_accounts::conformance::run(async || empty_postgres_stores().await as Subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_promises_of_the_presence_store() {
    presently::conformance::run(async || empty_postgres_stores().await as Arc<dyn Store>).await;
}
