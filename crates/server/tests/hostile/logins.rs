//! Floods of logins.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use presently_testkit::process::{Place, Way};
use presently_testkit::{PASSWORD, client};
use serde_json::json;
use tokio::time::Instant;

/// The contract's: what a login at another address may take meanwhile.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// A way to the server from this address of the loopback network.
fn from(place: u8, address: &str) -> Way {
    let own = IpAddr::from(Ipv4Addr::new(127, 0, 0, place));
    let http = client().no_proxy().local_address(own).timeout(Duration::from_secs(60)).build().unwrap();
    Way::to(address.to_owned(), http)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_connections_with_random_names_keep_nobody_else_out() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let server = place.serve(&[]).await;
    let attack: Vec<_> = (0..90)
        .map(|connection| {
            let way = from(2, server.address());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for guess in 0_u32.. {
                    let (status, told) = way.try_login(&format!("n{connection}-{guess}"), "wrong password").await;
                    answers.push(status);
                    assert!(matches!(status, 401 | 429 | 503), "{status} {told}");
                    if status == 429 {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                answers
            })
        })
        .collect();
    for other in 3..14 {
        let way = from(other, server.address());
        let began = Instant::now();
        let (status, told) = way.try_login("boss", PASSWORD).await;
        let took = began.elapsed();
        assert_eq!(status, 200, "{told}");
        assert!(took < ANSWERED_WITHIN, "a right login at another address took {took:?}");
    }
    let mut failed = 0;
    for attacker in attack {
        failed += attacker.await.unwrap().iter().filter(|status| **status == 401).count();
    }
    assert_eq!(failed, 100, "a hundred guesses of one address are enough");
    assert_eq!(from(2, server.address()).try_login("boss", PASSWORD).await.0, 429);
    let (status, told) = server.post("/api/auth/login/", "", json!({"username": "boss", "password": PASSWORD})).await;
    assert_eq!(status, 200, "{told}");
}
