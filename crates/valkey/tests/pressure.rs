//! Full memory, a short log, and what others do to the keys.

use std::time::Duration;

use presently::bus::{Bus, BusError, ENTRY_BYTES_MAX};
use presently_testkit::Valkey;
use presently_valkey::Settings;
use tokio::time::sleep;

use crate::{LOST, ONE, TWO, bus, open, settings};

#[tokio::test]
async fn a_full_memory_refuses_whole_batches_and_leases_go_on() {
    let server = Valkey::plain();
    let bus = bus(&server);
    let joined = bus.join(ONE, 7, b"one").await.unwrap();
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]), "+OK");
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1mb"]), "+OK");
    let full = BusError::Refused("the server's memory is full (maxmemory)".into());
    assert_eq!(bus.append(ONE, 7, &vec![vec![0; 1000]; 10]).await, Err(full.clone()));
    assert_eq!(bus.probe().await, Err(full.clone()));
    assert_eq!(bus.join(TWO, 8, b"two").await.map(|_| ()), Err(full.clone()));
    assert_eq!(bus.put_chunk(TWO, b"chunk").await, Err(full));
    assert_eq!(bus.read(7, joined.seq, 10, Duration::ZERO).await, Ok(vec![]), "part of a batch was appended");
    bus.renew(ONE, 7, LOST).await.unwrap();

    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "0"]), "+OK");
    bus.append(ONE, 7, &[b"entry".to_vec()]).await.unwrap();
}

#[tokio::test]
async fn the_dead_are_reaped_while_the_memory_is_full() {
    let server = Valkey::plain();
    let bus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    let joined = bus.join(TWO, 8, b"two").await.unwrap();
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1mb"]), "+OK");
    let mut reaped = Vec::new();
    for _ in 0..5 {
        sleep(bus.timing().renew_every).await;
        reaped.extend(bus.renew(ONE, 7, LOST).await.unwrap().reaped);
    }
    assert_eq!(reaped, [TWO]);
    assert_eq!(bus.read(7, joined.seq, 10, Duration::ZERO).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_log_that_another_deleted_or_evicted_ends_the_epoch() {
    let server = Valkey::plain();
    let bus = bus(&server);
    let joined = bus.join(ONE, 7, b"one").await.unwrap();
    for key in ["{presently:main}:log", "{presently:main}:epoch"] {
        assert_eq!(server.command(&["DEL", key]), ":1");
        assert_eq!(bus.append(ONE, 7, &[vec![]]).await, Err(BusError::Epoch));
        assert_eq!(bus.read(7, joined.seq, 10, Duration::ZERO).await, Err(BusError::Epoch));
        let again = bus.join(ONE, 7, b"one").await.unwrap();
        assert_eq!(again.peers, []);
        assert!(joined.seq < again.seq);
    }
}

#[tokio::test]
async fn a_reader_whose_entry_was_deleted_is_told() {
    let server = Valkey::plain();
    let bus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    let numbers = bus.append(ONE, 7, &[vec![1], vec![2]]).await.unwrap();
    assert_eq!(server.command(&["XDEL", "{presently:main}:log", &format!("{}-0", numbers[1])]), ":1");
    assert_eq!(bus.read(7, numbers[1], 10, Duration::ZERO).await, Err(BusError::Trimmed));
}

#[tokio::test]
async fn keys_of_another_kind_are_refused() {
    let server = Valkey::plain();
    let bus = bus(&server);
    assert_eq!(server.command(&["SET", "{presently:main}:log", "what"]), "+OK");
    let refused = bus.join(ONE, 7, b"one").await;
    assert!(matches!(refused, Err(BusError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_log_is_kept_short_and_a_page_has_a_limit_in_bytes() {
    let server = Valkey::plain();
    let bus = open(Settings { log_max: 40, ..settings(server.url()) });
    bus.join(ONE, 7, b"one").await.unwrap();
    let numbers = bus.append(ONE, 7, &vec![vec![7; ENTRY_BYTES_MAX]; 100]).await.unwrap();
    let kept: usize = server.command(&["XLEN", "{presently:main}:log"]).trim_start_matches(':').parse().unwrap();
    assert!((40..=42).contains(&kept), "{kept} entries are kept");
    let page = bus.read(7, numbers[60], 1000, Duration::ZERO).await.unwrap();
    assert!((16..39).contains(&page.len()), "{} entries at once", page.len());
    assert!(page.iter().map(|entry| entry.seq).eq(numbers[61..61 + page.len()].iter().copied()));
}

#[tokio::test]
async fn groups_of_different_names_know_nothing_of_each_other() {
    let server = Valkey::plain();
    let other = open(Settings { name: "other".into(), ..settings(server.url()) });
    let mut heard = other.whispers().await.unwrap();
    let bus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    assert_eq!(other.join(TWO, 8, b"two").await.unwrap().peers, []);
    bus.whisper(7, b"not for others").await.unwrap();
    let overheard = tokio::time::timeout(Duration::from_millis(100), heard.next()).await;
    assert!(overheard.is_err(), "{overheard:?}");
}

#[tokio::test]
async fn nothing_is_left_when_all_have_gone() {
    let server = Valkey::plain();
    let bus = bus(&server);
    bus.join(ONE, 7, b"one").await.unwrap();
    bus.join(TWO, 8, b"two").await.unwrap();
    bus.append(ONE, 7, &[b"alice".to_vec()]).await.unwrap();
    bus.put_chunk(TWO, b"alice").await.unwrap();
    bus.leave(TWO, 7, LOST).await.unwrap();
    bus.leave(ONE, 7, LOST).await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]), "*1");
    assert_eq!(server.command(&["HLEN", "{presently:main}:epoch"]), ":2");
}
