//! The file of a database, or its log, that is taken away from under the stores.
#![cfg(unix)]

use std::path::{Path, PathBuf};

use presently::store::{Batch, Store as _, StoreError};
use presently::{PresenceRow, Status, Timestamp};
use presently_sql::{OpenOptions, SqliteStores};
use tempfile::TempDir;

async fn open() -> (TempDir, PathBuf, SqliteStores) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("presently.db");
    let stores = SqliteStores::open(&path, OpenOptions::default()).await.expect("opens");
    stores.commit(&present("alice")).await.expect("commits");
    (folder, path, stores)
}

fn present(user: &str) -> Batch {
    let (status, last_seen, since) = (Status::Online, Some(Timestamp(1)), Timestamp(1));
    Batch { presences: vec![PresenceRow { user: user.into(), status, last_seen, since }], ..Batch::default() }
}

fn log(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

async fn refused(stores: &SqliteStores, what: &str) {
    for _ in 0..2 {
        let refused = stores.commit(&present("bob")).await.expect_err("it would be lost");
        assert!(matches!(&refused, StoreError::Unwritable(why) if why.contains(what)), "{refused}");
    }
    assert!(stores.probe().await.is_err());
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_was_deleted() {
    let (_folder, path, stores) = open().await;
    std::fs::remove_file(&path).expect("is there");
    refused(&stores, "file was deleted or moved").await;
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_was_moved_until_it_is_back() {
    let (folder, path, stores) = open().await;
    let elsewhere = folder.path().join("elsewhere.db");
    std::fs::rename(&path, &elsewhere).expect("moves");
    refused(&stores, "file was deleted or moved").await;
    std::fs::rename(&elsewhere, &path).expect("moves back");
    stores.commit(&present("carol")).await.expect("it is the same file");
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_another_took_the_place_of() {
    let (folder, path, stores) = open().await;
    let other = folder.path().join("other.db");
    SqliteStores::open(&other, OpenOptions::default()).await.expect("opens").close().await;
    std::fs::rename(&other, &path).expect("moves");
    refused(&stores, "file was replaced").await;
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_a_shorter_one_was_written_over() {
    let (folder, path, stores) = open().await;
    let other = folder.path().join("other.db");
    std::fs::write(&other, "SQLite format 3").expect("writes");
    std::fs::copy(&other, &path).expect("copies");
    refused(&stores, "file was overwritten").await;
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_log_that_was_deleted_or_moved() {
    let (_folder, path, stores) = open().await;
    std::fs::remove_file(log(&path)).expect("is there");
    refused(&stores, "log of the database was deleted").await;

    let (folder, path, stores) = open().await;
    std::fs::rename(log(&path), folder.path().join("elsewhere")).expect("moves");
    std::fs::write(log(&path), "").expect("writes");
    refused(&stores, "log of the database was replaced").await;
}

#[tokio::test]
async fn a_log_that_the_stores_make_anew_themselves_is_no_alarm() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("presently.db");
    let options = OpenOptions { pages_max: Some(60), ..OpenOptions::default() };
    let stores = SqliteStores::open(&path, options).await.expect("opens");
    let many = |from: u32, to| Batch {
        presences: (from..to).flat_map(|user| present(&format!("user-{user}")).presences).collect(),
        ..Batch::default()
    };
    let full = stores.commit(&many(0, 20_000)).await.expect_err("no room");
    assert!(matches!(full, StoreError::Unwritable(_)), "{full}");
    // The writer's connection was opened anew, and with nobody else there its log as well.
    stores.commit(&many(0, 10)).await.expect("commits");
}
