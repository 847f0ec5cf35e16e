//! Offline comes at the deadline, at most one second after it, in real time too.

use presently_testkit::ms;
use presently_testkit::process::{Place, history};
use tokio::time::Instant;

#[tokio::test]
async fn offline_comes_at_the_deadline_and_not_a_second_later() {
    let place = Place::new();
    for name in ["alice", "watcher"] {
        place.user(name, &[]).await;
    }
    let args = ["--inactivity-timeout", "2s", "--heartbeat-interval", "1s", "--reconnect-grace", "1s"];
    let mut server = place.serve(&args).await;
    let (_, watcher) = server.login("watcher").await;
    let (alice, token) = server.login("alice").await;
    for _ in 0..3 {
        tokio::time::sleep(ms(1_000)).await;
        server.beat(&token).await;
    }
    let last = server.beat(&token).await["last_seen"].as_str().unwrap().to_owned();
    let beat = Instant::now();
    loop {
        let asked = beat.elapsed();
        let (status, last_seen) = server.shown(&watcher, alice).await;
        let answered = beat.elapsed();
        assert_eq!(last_seen.as_deref(), Some(&*last));
        if status == "offline" {
            assert!(answered >= ms(1_990), "not before: {answered:?}");
            break;
        }
        assert!(asked <= ms(3_000), "still {status} after {asked:?}");
        tokio::time::sleep(ms(20)).await;
    }
    server.stop().await;
    assert_eq!(history(&place, alice).await, ["offline->online", "online->offline"]);
}
