//! The database file that is taken away from under a running server.

use std::path::Path;

use presently_testkit::process::Place;
use presently_testkit::{PASSWORD, eventually, ms};
use serde_json::json;

async fn what_is_taken_away_is_noticed(told: &str, take: impl FnOnce(&Path)) {
    let place = Place::new();
    place.user("alice", &["--role", "admin"]).await;
    let server = place.serve(&[]).await;
    let (id, alice) = server.login("alice").await;
    take(&place.data().join("presently.db"));
    eventually(ms(2_500), "it is noticed", async || server.get("/readyz", "").await.0 == 503).await;
    let new = json!({"username": "bob", "password": PASSWORD, "email": "bob@example.org"});
    assert_eq!(server.post("/api/users/admin/users/", &alice, new).await.0, 503, "it would be lost");
    assert_eq!(server.try_login("alice", PASSWORD).await.0, 503, "it would be lost");
    assert_eq!(server.beat(&alice).await["online_status"], "online", "presence goes on");
    assert_eq!(server.get(&format!("/api/presence/{id}"), &alice).await.1["status"], "online");
    let printed = server.stdout() + &server.stderr();
    assert!(printed.contains(told) && printed.contains("Put back what was there and restart"), "{printed}");
}

#[tokio::test]
async fn a_database_that_was_deleted() {
    what_is_taken_away_is_noticed("the database file was deleted or moved", |path| {
        std::fs::remove_file(path).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_database_that_was_moved() {
    what_is_taken_away_is_noticed("the database file was deleted or moved", |path| {
        std::fs::rename(path, path.with_extension("old")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_database_that_a_backup_was_copied_over() {
    what_is_taken_away_is_noticed("the database file was overwritten", |path| {
        // A shorter one, as a backup of a database that grew is.
        let backup = path.with_extension("backup");
        std::fs::write(&backup, &std::fs::read(path).unwrap()[..4096]).unwrap();
        std::fs::copy(&backup, path).unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_log_of_a_database_that_was_deleted() {
    what_is_taken_away_is_noticed("the log of the database was deleted or moved", |path| {
        std::fs::remove_file(path.with_extension("db-wal")).unwrap();
    })
    .await;
}
