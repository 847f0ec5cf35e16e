//! A process that was stopped and goes on throws nobody offline at once: silence counts while somebody listens.

use presently_testkit::process::{Place, history};
use presently_testkit::{eventually, ms};

const SHORT: [&str; 6] = ["--inactivity-timeout", "2s", "--heartbeat-interval", "1s", "--reconnect-grace", "1s"];

#[tokio::test]
async fn who_beats_again_after_a_long_stop_was_never_seen_to_leave() {
    let place = Place::new();
    for name in ["alice", "bob", "watcher"] {
        place.user(name, &[]).await;
    }
    let mut server = place.serve(&SHORT).await;
    let (_, watcher) = server.login("watcher").await;
    let (alice, alice_token) = server.login("alice").await;
    let (bob, bob_token) = server.login("bob").await;
    server.beat(&alice_token).await;
    let last = server.beat(&bob_token).await["last_seen"].as_str().unwrap().to_owned();
    server.signal("STOP");
    tokio::time::sleep(ms(5_000)).await;
    server.signal("CONT");
    assert_eq!(server.shown(&watcher, alice).await.0, "online");
    assert_eq!(server.shown(&watcher, bob).await.0, "online");
    for _ in 0..8 {
        tokio::time::sleep(ms(400)).await;
        server.beat(&alice_token).await;
    }
    eventually(ms(2_000), "bob is offline", async || server.shown(&watcher, bob).await.0 == "offline").await;
    assert_eq!(server.shown(&watcher, bob).await.1, Some(last));
    assert_eq!(server.shown(&watcher, alice).await.0, "online");
    server.stop().await;
    assert_eq!(history(&place, alice).await, ["offline->online"]);
    assert_eq!(history(&place, bob).await, ["offline->online", "online->offline"]);
}
