//! What ends in exit code 1, with one clear line on stderr.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;

use presently_testkit::PASSWORD;
use presently_testkit::process::{Place, finish};

const FREE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

#[tokio::test]
async fn a_second_server_on_the_same_folder() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let ran = place.run(&FREE).await;
    let why = ran.failed();
    assert!(why.contains("data"), "{why}");
    assert!(!ran.stdout.contains("password"), "nothing was made");
    assert_eq!(server.get("/readyz", "").await.0, 200, "the first one goes on");
}

#[tokio::test]
async fn a_second_server_by_another_spelling_of_the_folder() {
    let place = Place::new();
    let _server = place.serve(&[]).await;
    let absolute = format!("sqlite:{}", place.data().join("presently.db").display());
    for url in [absolute.as_str(), "sqlite:./data/../data/presently.db", "sqlite:data/presently.db"] {
        place.run(&[&FREE[..], &["--database-url", url]].concat()).await.failed();
    }
}

#[tokio::test]
async fn a_server_may_follow_one_that_was_killed() {
    let place = Place::new();
    let mut server = place.serve(&[]).await;
    server.end_by("KILL").await;
    place.serve(&[]).await;
}

#[tokio::test]
async fn a_port_in_use() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ran = place.run(&["serve", "--listen", &address]).await;
    let why = ran.failed();
    assert!(why.contains(&address), "{why}");
    assert!(!ran.stdout.contains("password"), "no password is lost with a start that failed");
}

#[tokio::test]
async fn a_database_file_that_is_none() {
    for content in [b"this is not a database, it only says so".repeat(200), vec![0; 8_192], vec![0xff; 100]] {
        let place = Place::new();
        fs::create_dir(place.data()).unwrap();
        let file = place.data().join("presently.db");
        fs::write(&file, &content).unwrap();
        let ran = place.run(&FREE).await;
        assert!(ran.failed().contains("presently.db"), "{ran:?}");
        place.run(&["user", "list"]).await.failed();
        assert_eq!(fs::read(&file).unwrap(), content, "nothing of it was overwritten");
    }
}

#[tokio::test]
async fn a_database_that_was_damaged() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let mut server = place.serve(&[]).await;
    server.stop().await;
    let file = place.data().join("presently.db");
    let mut bytes = fs::read(&file).unwrap();
    let from = 100.min(bytes.len());
    bytes[from..].fill(0xa5);
    fs::write(&file, bytes).unwrap();
    for more in ["presently.db-wal", "presently.db-shm"] {
        let _ = fs::remove_file(place.data().join(more));
    }
    place.run(&FREE).await.failed();
}

#[tokio::test]
async fn a_database_of_another_program() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    fs::create_dir(place.path().join("other")).unwrap();
    fs::copy(place.data().join("presently.db"), place.path().join("other/presently.db")).unwrap();
    let file = place.path().join("other/presently.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&file, bytes).unwrap();
    place.run(&[&FREE[..], &["--database-url", "sqlite:other/presently.db"]].concat()).await.failed();
}

#[tokio::test]
async fn a_folder_that_cannot_be() {
    let place = Place::new();
    fs::write(place.path().join("file"), "not a folder").unwrap();
    let url = "sqlite:file/below/presently.db";
    place.run(&[&FREE[..], &["--database-url", url]].concat()).await.failed();
    place.run(&["user", "list", "--database-url", url]).await.failed();
    fs::create_dir_all(place.path().join("folder/presently.db")).unwrap();
    place.run(&[&FREE[..], &["--database-url", "sqlite:folder/presently.db"]].concat()).await.failed();
}

#[tokio::test]
async fn a_folder_that_may_only_be_read() {
    let place = Place::new();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.data()).unwrap();
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = place.command(&FREE);
    if fs::metadata(place.path()).unwrap().uid() == 0 {
        // Permissions do not bind the superuser: somebody else must try.
        command.uid(65_534).gid(65_534);
    }
    finish(command, "").await.failed();
}

#[tokio::test]
async fn a_database_that_may_only_be_read() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let root = fs::metadata(place.path()).unwrap().uid() == 0;
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o777)).unwrap();
    for entry in fs::read_dir(place.data()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    for args in [&FREE[..], &["user", "create", "x", "--password-stdin"]] {
        let mut command = place.command(args);
        if root {
            command.uid(65_534).gid(65_534);
        }
        finish(command, PASSWORD).await.failed();
    }
}

#[tokio::test]
async fn a_secret_that_was_emptied() {
    let place = Place::new();
    let mut server = place.serve(&[]).await;
    server.stop().await;
    for entry in fs::read_dir(place.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("secret") {
            fs::write(&path, "").unwrap();
        }
    }
    let ran = place.run(&FREE).await;
    assert!(matches!(ran.code, Some(1 | 2)), "an empty key signs nothing: {ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}
