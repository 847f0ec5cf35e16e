//! Addresses to listen on, as people write them.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use super::BadSettings;

/// `ADDR:PORT` or `HOST:PORT`; `:PORT` is every IPv4 address of the machine, and `PORT` alone this machine's own, 127.0.0.1.
pub(super) fn address(name: &str, text: &str) -> Result<SocketAddr, BadSettings> {
    let text = text.trim();
    let every = text.strip_prefix(':').and_then(port).map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let own = port(text).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    every
        .or(own)
        .or_else(|| text.to_socket_addrs().ok()?.next())
        .ok_or_else(|| BadSettings(format!("{name}: {text:?} is no address; write for example 127.0.0.1:8000")))
}

/// Digits alone: `+80` is no port.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("[::]:8000", "[::]:8000"),
            (":8000", "0.0.0.0:8000"),
            ("9000", "127.0.0.1:9000"),
            ("0", "127.0.0.1:0"),
            (" 9000 ", "127.0.0.1:9000"),
        ] {
            assert_eq!(address("listen", text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", ":", "localhost", "127.0.0.1", "70000", ":70000", "+80", ":+80", "[::1]", "a:b"] {
            let error = address("operations_listen", text).unwrap_err();
            assert!(error.0.starts_with("operations_listen: "), "{text}: {error}");
        }
    }
}
