//! Where a request comes from, also behind proxies.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What a proxy calls somebody has at most so many characters.
const NAME: usize = 64;

/// Where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// An address.
    Address(IpAddr),
    /// What a trusted proxy called it, where that is no address. Printable ASCII.
    Named(String),
}

impl Peer {
    /// The sender of a request that came over this connection. `forwarded` are the lines of
    /// `X-Forwarded-For`, in their order: where the connection is a trusted proxy's, the last hop
    /// that is none counts. Earlier hops can be made up. A hop that is no address counts as itself.
    pub(crate) fn of<'a>(
        direct: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
        trusted: &[IpAddr],
    ) -> Self {
        let direct = direct.to_canonical();
        let is_trusted =
            |address: &IpAddr| trusted.iter().any(|one| one.to_canonical() == *address);
        if !is_trusted(&direct) {
            return Self::Address(direct);
        }
        let hops = forwarded.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let named = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()).map(Self::parse);
        let mut strangers =
            named.filter(|hop| !matches!(hop, Self::Address(address) if is_trusted(address)));
        strangers.next().unwrap_or(Self::Address(direct))
    }

    /// An address, with a port or without.
    fn parse(hop: &[u8]) -> Self {
        let text = String::from_utf8_lossy(hop);
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = bare.unwrap_or(&text).parse::<IpAddr>().ok();
        let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|pair| pair.ip()));
        match address {
            Some(address) => Self::Address(address.to_canonical()),
            None => Self::Named(text.chars().filter(char::is_ascii_graphic).take(NAME).collect()),
        }
    }

    /// Whom tries are counted for: of IPv6, the network that one customer gets (a /64).
    pub(crate) fn counted(&self) -> Self {
        match self {
            Self::Address(IpAddr::V6(address)) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self::Address(IpAddr::V6(network.into()))
            }
            Self::Address(IpAddr::V4(_)) | Self::Named(_) => self.clone(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn peer(direct: &str, lines: &[&str]) -> String {
        let lines = lines.iter().map(|line| line.as_bytes());
        Peer::of(direct.parse().unwrap(), lines, &[PROXY]).to_string()
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_of_ours_counts_and_an_odd_one_counts_as_itself_6() {
        for (direct, lines, expected) in [
            ("192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
            // A second line is what a proxy appends that does not join them.
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1:5555"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, [2001:db8::1]:5555"], "2001:db8::1"),
            ("10.0.0.1", &["1.1.1.1, [2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["1.1.1.1, unknown"], "unknown"),
            ("10.0.0.1", &["1.1.1.1, _hid\u{1b}den"], "_hidden"),
            ("10.0.0.1", &["1.1.1.1,,"], "1.1.1.1"),
            ("10.0.0.1", &["10.0.0.1"], "10.0.0.1"),
        ] {
            assert_eq!(peer(direct, lines), expected, "{direct} {lines:?}");
        }
    }

    #[test]
    fn one_customer_of_ipv6_is_one() {
        let at = |text: &str| Peer::Address(text.parse().unwrap()).counted();
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }

    proptest! {
        #[test]
        fn whatever_the_hops_before_say_the_last_one_counts(made_up in proptest::collection::vec("\\PC{0,30}", 0..4)) {
            let mut lines: Vec<&str> = made_up.iter().map(String::as_str).collect();
            lines.push("198.51.100.1");
            prop_assert_eq!(peer("10.0.0.1", &lines), "198.51.100.1");
        }
    }
}
