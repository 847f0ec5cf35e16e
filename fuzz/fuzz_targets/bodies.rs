//! Bodies and queries of every call in the OpenAPI document. No input is answered with a 5xx, and each error has the one shape.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use presently_fuzz::{ADMIN, Connection, OTHERS, Server, USER, token};
use serde_json::Value;

/// Accounts that were deleted, suspended or throttled are no good any more: after so many inputs all begins anew.
const RUNS: usize = 2_000;
/// These are answered for as long as the reader stays.
const STREAMS: [&str; 2] = ["/api/presence/events", "/api/presence/ws"];
/// Where these differ, many paths of the program do.
const BODY_MAX: usize = 64 * 1024;

struct World {
    server: Server,
    connection: Connection,
    calls: Vec<(String, String)>,
    callers: [String; 3],
    runs: usize,
}

impl World {
    fn new() -> Self {
        let server = Server::start();
        let mut connection = server.connect();
        let document = connection.ask("GET", "/api/openapi.json", "", b"").expect("the document");
        let document: Value = serde_json::from_slice(&document.body).expect("its JSON");
        let mut calls = Vec::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for method in methods.as_object().expect("methods").keys().filter(|_| !STREAMS.contains(&path.as_str())) {
                calls.push((method.to_ascii_uppercase(), path.clone()));
            }
        }
        assert!(calls.len() > 40, "{} calls", calls.len());
        let bearer = |account| format!("Authorization: Bearer {}\r\n", token(account));
        Self { server, connection, calls, callers: [bearer(ADMIN), bearer(USER), String::new()], runs: 0 }
    }

    /// `call`, `caller`, `whom`, then a query, and after a line break the body.
    fn run(&mut self, input: &[u8]) {
        let [call, caller, whom, rest @ ..] = input else { return };
        let (method, path) = &self.calls[usize::from(*call) % self.calls.len()];
        let mut target = String::new();
        for (place, part) in path.split(['{', '}']).enumerate() {
            if place % 2 == 0 {
                target.push_str(part);
            } else {
                target.push_str(&OTHERS[usize::from(*whom) % OTHERS.len()].to_string());
            }
        }
        let (query, body) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(0));
        let body = body.strip_prefix(b"\n").unwrap_or(body);
        if !query.is_empty() {
            target.push('?');
            for byte in query.iter().take(512) {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'=' | b'&' | b'_' | b'-' | b'%' => target.push(char::from(*byte)),
                    other => target.push_str(&format!("%{other:02X}")),
                }
            }
        }
        let caller = &self.callers[usize::from(*caller) % self.callers.len()];
        let headers = format!("{caller}Content-Type: application/json\r\n");
        let body = &body[..body.len().min(BODY_MAX)];
        let answer = match self.connection.ask(method, &target, &headers, body) {
            Ok(answer) => answer,
            // What is larger than is taken may be cut off after its answer, or in the middle of it.
            Err(_) => {
                self.connection = self.server.connect();
                self.connection.ask(method, &target, &headers, body).expect("an answer on a new connection")
            }
        };
        assert!(answer.status < 500, "{method} {target}: {} {}", answer.head, String::from_utf8_lossy(&answer.body));
        if answer.status >= 400 {
            let problem: Value = serde_json::from_slice(&answer.body).expect("a problem as JSON");
            for member in ["code", "detail", "error", "title"] {
                assert!(problem[member].is_string(), "{method} {target}: {problem}");
            }
            assert_eq!(problem["status"], answer.status, "{method} {target}");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });
    WORLD.with_borrow_mut(|world| {
        let current = world.get_or_insert_with(World::new);
        current.run(input);
        current.runs += 1;
        if current.runs == RUNS {
            *world = None;
        }
    });
});
