//! Tokens: in the header, to be verified, and to be refreshed. What this server did not sign opens nothing.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use presently_fuzz::{Connection, Server, signed};

struct World {
    server: Server,
    connection: Connection,
}

fuzz_target!(|input: &[u8]| {
    thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });
    let [kind, rest @ ..] = input else { return };
    // With a right signature over whatever, or as it is.
    let is_signed = kind & 1 == 1;
    let token = if is_signed {
        let (header, claims) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(0));
        let header = if header.is_empty() { br#"{"alg":"HS256","typ":"JWT"}"# } else { header };
        signed(header, claims.strip_prefix(b"\n").unwrap_or(claims))
    } else {
        String::from_utf8_lossy(rest).chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(8_000).collect()
    };
    WORLD.with_borrow_mut(|world| {
        let world = world.get_or_insert_with(|| {
            let server = Server::start();
            let connection = server.connect();
            World { server, connection }
        });
        let text = serde_json::to_string(&token).expect("text");
        let (method, path, headers, body) = match kind >> 1 & 3 {
            0 => ("POST", "/api/auth/verify/", String::new(), format!(r#"{{"token":{text}}}"#)),
            1 => ("POST", "/api/auth/refresh/", String::new(), format!(r#"{{"refresh":{text}}}"#)),
            2 => ("GET", "/api/users/heartbeat/", format!("Authorization: Bearer {token}\r\n"), String::new()),
            _ => ("GET", "/api/auth/profile/", format!("Authorization: Bearer {token}\r\n"), String::new()),
        };
        let answer = world.connection.ask(method, path, &headers, body.as_bytes()).or_else(|_| {
            world.connection = world.server.connect();
            world.connection.ask(method, path, &headers, body.as_bytes())
        });
        let answer = answer.expect("an answer");
        assert!(answer.status < 500, "{path}: {} {}", answer.head, String::from_utf8_lossy(&answer.body));
        assert!(is_signed || answer.status != 200, "{path} was opened by {token:?}");
    });
});
