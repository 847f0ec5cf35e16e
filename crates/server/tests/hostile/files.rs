//! What others on the machine may read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use presently_testkit::process::Place;

#[tokio::test]
async fn a_data_folder_that_was_open_to_others_is_closed_at_the_start() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    place.serve(&[]).await.stop().await;
    let data = place.data();
    let set = |name: &str, mode| fs::set_permissions(data.join(name), Permissions::from_mode(mode)).unwrap();
    for name in ["presently.db", "secret-key", "presently.lock"] {
        set(name, 0o644);
    }
    set("", 0o755);
    let mut server = place.serve(&[]).await;
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    for name in ["presently.db", "secret-key", "presently.lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    assert_eq!(mode(""), 0o700);
    server.stop().await;
    assert!(server.stdout().contains("was open to others"), "{}", server.stdout());
    // A command on the database is enough.
    set("presently.db", 0o666);
    place.run(&["user", "list"]).await.succeeded();
    assert_eq!(mode("presently.db"), 0o600);
}
