//! Who may be one of several, and who is told why not.

use presently_testkit::process::Place;
use presently_testkit::{Postgres, Valkey};
use presently_testkit::{client, eventually, ms};
use serde_json::json;

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_would_not_go_with_the_others_is_refused_and_leaves_nothing_behind() {
    let (place, valkey) = (Place::on(Postgres::shared().database()), Valkey::plain());
    let url = valkey.url();
    let several = ["--valkey-url", &url, "--node-lease", "3s"];
    place.user("alice", &["--role", "admin"]).await;
    let mut server = place.serve(&[&several[..], &["--node-name", "a"]].concat()).await;
    let (_, alice) = server.login("alice").await;
    let (_, overview) = server.get("/api/users/admin/overview/", &alice).await;
    assert_eq!(overview["cluster"], json!({"node": "a", "members": 1, "cut_off": null}), "{overview}");

    let refused = async |args: &[&str]| {
        let ran = place.run(&[&["serve"], &LISTEN[..], args].concat()).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    };
    let told = refused(&[&several[..], &["--node-name", "a"]].concat()).await;
    assert!(told.contains("under the name a") && told.contains("--node-name"), "{told}");
    let other = ["--node-name", "b", "--secret-key", "another secret of more than enough bytes"];
    let told = refused(&[&several[..], &other].concat()).await;
    assert!(told.contains("secret_key is another one"), "{told}");
    let told = refused(&[]).await;
    assert!(told.contains("--valkey-url"), "{told}");

    let http = client().no_proxy().build().unwrap();
    let members = async || {
        let metrics = http.get(format!("http://{}/metrics", server.address())).send().await.unwrap();
        let text = metrics.text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with("presently_cluster_members "));
        line.unwrap_or_default().to_owned()
    };
    eventually(ms(10_000), "it is alone", async || members().await == "presently_cluster_members 1").await;
    assert!(server.end_by("TERM").await.success());
    let keys = valkey.command(&["EXISTS", "{presently:main}:log", "{presently:main}:nodes"]);
    assert_eq!(keys, ":0", "who leaves last leaves nothing of a user");

    // Nobody is left who has the old key.
    let args = [&several[..], &other].concat();
    let mut server = place.serve(&args).await;
    assert!(server.stdout().contains("as node b"), "{}", server.stdout());
    assert!(server.end_by("TERM").await.success());
}

#[tokio::test]
async fn settings_of_several_nodes_that_do_not_do_are_misuse() {
    let place = Place::new();
    let several = ["serve", "--valkey-url", "redis://127.0.0.1:1"];
    let postgres = ["--database-url", "postgres://x:secret@127.0.0.1:1/x"];
    place.run(&several).await.misused();
    for wrong in [["--node-name", "a b"], ["--node-lease", "1s"], ["--cluster-name", "{"]] {
        place.run(&[&several[..], &postgres, &wrong].concat()).await.misused();
    }
    let told = place.run(&["serve", "--valkey-url", "http://:secret@127.0.0.1:1", postgres[0], postgres[1]]).await;
    assert!(!told.stderr.contains("secret"), "{told:?}");
    told.misused();
}
