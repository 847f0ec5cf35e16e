//! Addresses, as far as they count as one. **The half of an IPv6 address that a site can choose freely makes it no other one.**

use std::net::IpAddr;

/// An IPv4 address, or the /64 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(u128);

impl Network {
    /// What the command line and administrators do, who come from nowhere in particular.
    pub(crate) const NONE: Self = Self(1 << 126);

    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => (1 << 127) | (address.to_bits() >> 64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_64_are_one_and_others_are_not() {
        let of = |text: &str| Network::of(text.parse().expect("an address"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        // The last two would be the first two if it were not told from which kind of address the bits are.
        let addresses = ["192.0.2.1", "0.0.0.0", "192.0.2.2", "2001:db8:1:3::1", "::192.0.2.1", "0:0:c000:201::1"];
        let all: Vec<Network> = addresses.into_iter().map(of).chain([Network::NONE]).collect();
        for (place, one) in all.iter().enumerate() {
            assert!(!all[place + 1..].contains(one), "{one:?}");
        }
    }
}
