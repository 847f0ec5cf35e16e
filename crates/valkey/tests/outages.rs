//! A server that crashes, hangs or is not there.

use std::time::Duration;

use presently::bus::{Bus, BusError};
use presently_testkit::{Valkey, ValkeyOptions};
use presently_valkey::{Settings, ValkeyBus};
use tokio::time::{Instant, sleep, timeout};

use crate::{LOST, ONE, TWO, bus, open, settings};

#[tokio::test]
async fn a_server_killed_and_started_empty_ends_the_epoch_and_numbers_go_on() {
    let server = Valkey::plain();
    let first = bus(&server);
    first.join(ONE, 7, b"one").await.unwrap();
    let last = first.append(ONE, 7, &[b"entry".to_vec()]).await.unwrap()[0];

    server.kill();
    let failed = first.append(ONE, 7, &[b"entry".to_vec()]).await;
    assert!(matches!(failed, Err(BusError::Unavailable(_))), "{failed:?}");
    server.restart();

    assert_eq!(once_back(async || first.append(ONE, 7, &[b"entry".to_vec()]).await).await, Err(BusError::Epoch));
    assert_eq!(once_back(async || first.read(7, last, 10, Duration::ZERO).await).await, Err(BusError::Epoch));
    assert_eq!(first.renew(ONE, 7, LOST).await, Err(BusError::Epoch));
    let founded = first.join(TWO, 8, b"two").await.unwrap();
    assert_eq!((founded.epoch, founded.peers), (8, vec![]));
    assert!(last < founded.seq);
}

#[tokio::test]
async fn a_listener_finds_its_way_back_to_a_server_that_was_killed() {
    for cluster in [false, true] {
        let server = Valkey::start(ValkeyOptions { cluster, ..ValkeyOptions::default() });
        let end = || open(settings(format!("{}?cluster={cluster}", server.url())));
        let (first, second) = (end(), end());
        let mut heard = second.whispers().await.unwrap();
        server.kill();
        server.restart();
        let until = Instant::now() + Duration::from_secs(20);
        let whisper = loop {
            once_back(async || first.whisper(8, b"again").await).await.unwrap();
            if let Ok(whisper) = timeout(Duration::from_millis(100), heard.next()).await {
                break whisper;
            }
            assert!(Instant::now() < until, "nothing was heard again (cluster: {cluster})");
        };
        assert_eq!(whisper.unwrap().packed, b"again");
    }
}

#[tokio::test]
async fn a_reader_that_waits_is_told_when_the_server_dies_and_comes_back() {
    for cluster in [false, true] {
        let server = Valkey::start(ValkeyOptions { cluster, ..ValkeyOptions::default() });
        let bus = open(settings(format!("{}?cluster={cluster}", server.url())));
        let joined = bus.join(ONE, 7, b"one").await.unwrap();
        let wait = Duration::from_secs(30);
        let read = async { timeout(wait, bus.read(7, joined.seq, 10, wait)).await.expect("told in time") };
        let crash = async {
            sleep(Duration::from_millis(100)).await;
            server.kill();
        };
        let (failed, ()) = tokio::join!(read, crash);
        assert!(matches!(failed, Err(BusError::Unavailable(_))), "{failed:?}");
        server.restart();
        assert_eq!(once_back(async || bus.read(7, joined.seq, 10, wait).await).await, Err(BusError::Epoch));
    }
}

#[tokio::test]
async fn a_server_that_hangs_for_three_seconds_is_told_in_time_and_loses_no_lease() {
    let server = Valkey::plain();
    let quick = || open(Settings { response_timeout: Duration::from_millis(400), ..settings(server.url()) });
    let (first, second) = (quick(), quick());
    let joined = first.join(ONE, 7, b"one").await.unwrap();
    second.join(TWO, 8, b"two").await.unwrap();

    server.pause();
    let began = Instant::now();
    for _ in 0..2 {
        let attempt = Instant::now();
        let failed = first.append(ONE, 7, &[b"entry".to_vec()]).await;
        assert!(matches!(failed, Err(BusError::Unavailable(_))), "{failed:?}");
        // A time-out for the connection and one for the answer, with the back-off between.
        assert!(attempt.elapsed() < Duration::from_millis(2000 + 400 + 300), "{:?}", attempt.elapsed());
    }
    sleep(Duration::from_secs(3).saturating_sub(began.elapsed())).await;
    server.resume();

    // Their leases are shorter, yet the silence was the server's.
    let held = once_back(async || first.renew(ONE, 7, LOST).await).await.unwrap();
    assert_eq!((held.peers, held.reaped), (vec![TWO], vec![]));
    once_back(async || second.renew(TWO, 7, LOST).await).await.unwrap();
    once_back(async || first.append(ONE, 7, &[b"after".to_vec()]).await).await.unwrap();
    let entries = once_back(async || second.read(7, joined.seq, 100, Duration::from_secs(1)).await).await.unwrap();
    assert!(entries.iter().any(|entry| entry.bytes == b"after"), "{entries:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_and_not_stormed() {
    let server = Valkey::plain();
    let bus = bus(&server);
    server.kill();
    let until = Instant::now() + Duration::from_secs(2);
    let mut rounds = 0;
    while Instant::now() < until {
        // Many callers share one attempt.
        let (one, two, three) = tokio::join!(bus.probe(), bus.whisper(7, b""), bus.renew(ONE, 7, LOST));
        for failed in [one, two, three.map(|_| ())] {
            assert!(matches!(failed, Err(BusError::Unavailable(_))), "{failed:?}");
        }
        rounds += 1;
    }
    // 25, 50, 100, 200, 400, 800 ms at least between them.
    assert!((2..=8).contains(&rounds), "{rounds} attempts in 2 s");
    server.restart();
    once_back(async || bus.probe().await).await.unwrap();
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = Valkey::plain();
    let bus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    bus.append(ONE, 7, &[b"entry".to_vec()]).await.unwrap();
    assert_eq!(server.command(&["SCRIPT", "FLUSH"]), "+OK");
    bus.append(ONE, 7, &[b"entry".to_vec()]).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_the_server_cut_is_made_anew() {
    let server = Valkey::plain();
    let bus: ValkeyBus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    for kind in ["normal", "pubsub"] {
        server.command(&["CLIENT", "KILL", "TYPE", kind]);
    }
    once_back(async || bus.append(ONE, 7, &[b"entry".to_vec()]).await).await.unwrap();
}

/// Tries until the bus can be reached.
async fn once_back<T>(call: impl AsyncFn() -> Result<T, BusError>) -> Result<T, BusError> {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        match call().await {
            Err(BusError::Unavailable(_)) if Instant::now() < until => {
                sleep(Duration::from_millis(50)).await;
            }
            done => return done,
        }
    }
}
