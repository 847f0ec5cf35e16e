//! What is no HTTP, or nearly none.

use presently_testkit::http::TestServer;
use presently_testkit::secs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn what_is_no_http_is_answered_with_a_problem_or_not_at_all() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let cases: [&[u8]; 16] = [
        b"GARBAGE\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /he althz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA\x00B: c\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
        b"G\x01T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefghijklmnopqrstuvwxyz",
        b"\x00\x01\x02\x03\x04\x05\x06\x07",
    ];
    for bytes in cases {
        let what = String::from_utf8_lossy(bytes);
        let answer = server.raw(bytes).await;
        if answer.status != 0 {
            answer.is_a_problem(&what);
        }
        alice.beat().await;
    }
}

#[tokio::test]
async fn a_malformed_request_line_is_a_400_in_the_one_shape() {
    let server = TestServer::start().await;
    let answer = server.raw(b"THIS IS NOT HTTP AT ALL\r\n\r\n").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    answer.is_a_problem("a malformed request line");
}

#[tokio::test]
async fn headers_that_are_too_large_are_a_431_in_the_one_shape() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let one = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(1_000_000));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: a\r\n".repeat(5_000));
    for (what, request) in [("one long header", one), ("many headers", many)] {
        let answer = server.raw(request.as_bytes()).await;
        // Who is still sending when the answer comes may lose it to a reset.
        if answer.status != 0 {
            assert!(matches!(answer.status, 400 | 431), "{what}: {answer:?}");
            answer.is_a_problem(what);
        }
        alice.beat().await;
    }
}

#[tokio::test]
async fn a_target_that_is_too_long_is_a_414_in_the_one_shape() {
    let server = TestServer::start().await;
    let request = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000));
    let answer = server.raw(request.as_bytes()).await;
    if answer.status != 0 {
        assert!(matches!(answer.status, 400 | 404 | 414 | 431), "{answer:?}");
        answer.is_a_problem("a long target");
    }
}

#[tokio::test]
async fn two_lengths_do_not_smuggle_a_request() {
    let server = TestServer::start().await;
    let request = "POST /api/auth/verify/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                   0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = tokio::time::timeout(secs(2), stream.read_to_end(&mut all)).await;
    let all = String::from_utf8_lossy(&all);
    assert!(!all.contains("HTTP/1.1 5"), "{all}");
    assert!(!all.contains("HTTP/1.1 200"), "{all}");
}

#[tokio::test]
async fn a_broken_chunk_is_a_400() {
    let server = TestServer::start().await;
    let request =
        "POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n";
    let answer = server.raw(request.as_bytes()).await;
    if answer.status != 0 {
        assert_eq!(answer.status, 400, "{answer:?}");
        answer.is_a_problem("a broken chunk");
    }
}

#[tokio::test]
async fn strange_targets_are_problems() {
    let server = TestServer::start().await;
    let targets = [
        "/%00",
        "/%ff%fe",
        "/%",
        "/%zz",
        "//",
        "///api///auth",
        "/..",
        "/../../etc/passwd",
        "/api/../api/auth",
        "/api/auth/login/%2e%2e",
        "/api/users/admin/users/%2f/",
        "/;a=b",
        "/api/auth/profile;x",
        "/\u{fc}",
        "*",
        "http://example.org/api/auth/profile/",
    ];
    for target in targets {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        if answer.status != 0 {
            answer.is_a_problem(target);
        }
    }
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let server = TestServer::start().await;
    for (request, is_good) in [
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", true),
        ("GET /healthz HTTP/1.1\r\n\r\n", false),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", false),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", false),
        ("POST /api/users/heartbeat/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n", false),
        ("GET /healthz HTTP/1.0\r\n\r\n", true),
        ("GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", true),
        ("GET /healthz HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", false),
    ] {
        let answer = server.raw(request.as_bytes()).await;
        assert_eq!(answer.status, if is_good { 200 } else { 400 }, "{request}: {answer:?}");
        if !is_good {
            answer.is_a_problem(request);
            assert!(format!("{answer:?}").contains("bad_host"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn http_1_0_is_served() {
    let server = TestServer::start().await;
    let answer = server.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_order() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let one = |path: &str, close: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{close}\r\n", alice.access)
    };
    let request = format!("{}{}", one("/api/users/heartbeat/", ""), one("/no/such/path", "Connection: close\r\n"));
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    let first = all.find("HTTP/1.1 200").expect("the first answer");
    let second = all.find("HTTP/1.1 404").expect("the second answer");
    assert!(first < second);
}

#[tokio::test]
async fn who_opens_a_connection_and_says_nothing_holds_up_nobody() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(b"GET /heal").await.unwrap();
        silent.push(stream);
    }
    alice.beat().await;
    drop(silent);
    alice.beat().await;
}

#[tokio::test]
async fn who_leaves_before_the_answer_harms_nobody() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let request =
            format!("GET /api/users/all-users/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", alice.access);
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    alice.beat().await;
}
