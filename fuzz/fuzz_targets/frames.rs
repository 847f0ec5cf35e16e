//! WebSocket frames: text messages by lines, or bytes as they are. Whatever comes, the server answers a ping after it or closes.
#![no_main]

use std::cell::RefCell;
use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use presently_fuzz::{ADMIN, Connection, Server, USER, token};

/// Sessions of the sockets that went pile up until their grace is over.
const RUNS: usize = 5_000;
const MESSAGES_MAX: usize = 50;

fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match body.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length @ ..65_536 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    // A mask of zeros masks nothing.
    out.extend([0; 4]);
    out.extend_from_slice(body);
    out
}

/// Reads frames until a pong, a close, or the end of the connection.
fn drain(connection: &mut Connection) {
    let mut text = Vec::new();
    while let Ok(head) = connection.exactly(2) {
        let length = match head[1] & 0x7f {
            126 => connection.exactly(2).map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))),
            127 => connection.exactly(8).map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))),
            length => Ok(usize::from(length)),
        };
        let Ok(body) = length.and_then(|length| connection.exactly(length)) else { return };
        match head[0] & 0x0f {
            8 => return,
            0..=2 => text.extend(body),
            _ => continue,
        }
        if head[0] & 0x80 != 0 {
            let message: serde_json::Value = serde_json::from_slice(&text).expect("the server's messages are JSON");
            text.clear();
            if message["type"] == "pong" {
                return;
            }
        }
    }
}

fn run(server: &Server, input: &[u8]) {
    let [kind, rest @ ..] = input else { return };
    let caller = match kind >> 1 & 3 {
        0 => format!("Authorization: Bearer {}\r\n", token(ADMIN)),
        1 | 2 => format!("Authorization: Bearer {}\r\n", token(USER)),
        _ => String::new(),
    };
    let mut connection = server.connect();
    let head = format!(
        "GET /api/presence/ws HTTP/1.1\r\nHost: fuzz\r\n{caller}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    connection.stream.write_all(head.as_bytes()).expect("a request is taken");
    let answer = connection.until(b"\r\n\r\n").expect("an answer");
    if !answer.starts_with(b"HTTP/1.1 101") {
        // Too many sockets of one user, for the moment.
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
        return;
    }
    let mut said = Vec::new();
    if kind & 1 == 1 {
        said.extend_from_slice(rest);
    } else {
        for line in rest.split(|byte| *byte == b'\n').take(MESSAGES_MAX) {
            said.extend(frame(1, line));
        }
    }
    said.extend(frame(1, br#"{"type":"ping"}"#));
    // A half-said frame is waited for: then it is the end of the connection that the server must take well.
    if connection.stream.write_all(&said).is_ok() {
        let _ = connection.stream.shutdown(std::net::Shutdown::Write);
        drain(&mut connection);
    }
}

fuzz_target!(|input: &[u8]| {
    thread_local!(static SERVER: RefCell<(usize, Option<Server>)> = const { RefCell::new((0, None)) });
    SERVER.with_borrow_mut(|(runs, server)| {
        run(server.get_or_insert_with(Server::start), input);
        *runs += 1;
        if *runs % RUNS == 0 {
            *server = None;
        }
    });
});
