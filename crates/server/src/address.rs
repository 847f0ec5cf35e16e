//! Where requests come from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether this is one of the proxies whose word counts.
pub(crate) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|net| net.contains(&address))
}

/// What limits for one address count by: IPv6 by /64, of which one customer has all addresses (RFC 6177).
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The last address in `X-Forwarded-For` that no trusted proxy has; the peer's own when it is not trusted itself.
pub(crate) fn of_client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, proxies) {
        return peer;
    }
    let mut nearest = peer;
    let values: Vec<_> = headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for entry in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(address) = forwarded(entry.trim()) else { break };
        nearest = address.to_canonical();
        if !is_trusted(nearest, proxies) {
            break;
        }
    }
    nearest
}

/// `address`, `address:port`, `[v6]` or `[v6]:port`: proxies write all of them.
fn forwarded(entry: &str) -> Option<IpAddr> {
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    entry.parse().ok().or_else(|| entry.parse().map(|address: SocketAddr| address.ip()).ok()).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(peer: &str, forwarded: &'static str, proxies: &[IpNet]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR.clone(), HeaderValue::from_static(forwarded));
        of_client(peer.parse().unwrap(), &headers, proxies).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let forwarded = "6.6.6.6, 203.0.113.9, 10.1.2.3";
        assert_eq!(of("127.0.0.1", forwarded, &proxies), "203.0.113.9");
        assert_eq!(of("::ffff:127.0.0.1", forwarded, &proxies), "203.0.113.9");
        assert_eq!(of("127.0.0.1", forwarded, &[]), "127.0.0.1");
        assert_eq!(of("192.0.2.1", forwarded, &proxies), "192.0.2.1");
    }

    #[test]
    fn proxies_write_addresses_in_many_ways() {
        let proxies = vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        for (forwarded, address) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:51234", "203.0.113.9"),
            ("2001:db8::9", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("[2001:db8::9]:51234", "2001:db8::9"),
            ("203.0.113.9:51234, 10.1.2.3:80", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("unknown", "127.0.0.1"),
            ("203.0.113.9, _hidden", "127.0.0.1"),
            ("203.0.113.9:", "127.0.0.1"),
            ("[203.0.113.9]", "127.0.0.1"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(of("127.0.0.1", forwarded, &proxies), address, "{forwarded}");
        }
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let counted = |text: &str| counted(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(counted("192.0.2.1"), "192.0.2.1");
    }
}
