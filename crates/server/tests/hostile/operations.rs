//! `--operations-listen`: figures and health on a listener of their own.

use std::fs;

use presently_testkit::free_port;
use presently_testkit::process::Place;

use crate::raw::{Raw, from, get};

async fn ask(address: &str, path: &str) -> crate::raw::Answer {
    Raw::connect(from(1), address).await.ask(get(path)).await.unwrap()
}

#[tokio::test]
async fn figures_and_health_have_an_address_of_their_own() {
    let place = Place::new();
    let operations = format!("127.0.0.1:{}", free_port());
    let server = place.serve(&["--operations-listen", &operations]).await;
    for path in ["/metrics", "/metrics/", "/healthz", "/readyz/"] {
        let answer = ask(&operations, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
    }
    assert!(ask(&operations, "/metrics").await.body.contains("presently_http_requests_total"));
    for path in ["/api/docs", "/admin", "/api/presence/count", "/nowhere"] {
        ask(&operations, path).await.problem(404, "not_found");
    }
    let beat = "POST /api/users/heartbeat/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    Raw::connect(from(1), &operations).await.ask(beat).await.unwrap().problem(404, "not_found");
    for path in ["/metrics", "/metrics/"] {
        ask(server.address(), path).await.problem(404, "not_found");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(server.address(), path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn without_it_they_are_where_everything_is() {
    let server = Place::new().serve(&[]).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(ask(server.address(), path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_environment_and_the_file_may_name_it() {
    let port = free_port();
    let server = Place::new().serve_in(("PRESENTLY_OPERATIONS_LISTEN", &port.to_string()), &[]).await;
    assert_eq!(ask(&format!("127.0.0.1:{port}"), "/metrics").await.status, 200);
    ask(server.address(), "/metrics").await.problem(404, "not_found");
    let (place, port) = (Place::new(), free_port());
    fs::write(place.path().join("presently.toml"), format!("operations_listen = \":{port}\"\n")).unwrap();
    let _server = place.serve(&[]).await;
    assert_eq!(ask(&format!("127.0.0.1:{port}"), "/metrics").await.status, 200);
}

#[tokio::test]
async fn an_address_that_is_none_or_taken_is_named() {
    let place = Place::new();
    let ran = place.run(&["serve", "--listen", "127.0.0.1:0", "--operations-listen", "nonsense"]).await;
    assert!(ran.misused().contains("operations_listen"), "{ran:?}");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let ran = place.run(&["serve", "--listen", "127.0.0.1:0", "--operations-listen", &taken]).await;
    assert!(ran.failed().contains("--operations-listen"), "{ran:?}");
}
