//! Who can reach an address.

use std::net::{IpAddr, Ipv6Addr};

/// Whether only neighbours can reach this address: loopback, link-local, private (RFC 1918), shared by a provider's
/// customers (RFC 6598), or unique to a site (RFC 4193).
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || is_unique_local(ip) || ip.is_unicast_link_local(),
    }
}

fn is_unique_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xfe00 == 0xfc00
}

/// Whether one is an address of IPv4 and the other one of IPv6: no packet goes from one to the other.
#[must_use]
pub fn is_of_another_family(theirs: IpAddr, ours: IpAddr) -> bool {
    theirs.to_canonical().is_ipv4() != ours.to_canonical().is_ipv4()
}

/// Whether an address that somebody told us leads nowhere from here: it is of another family, or it is private while we are
/// none of its neighbours, and then whoever told it is behind a NAT and does not know. `ours` is the address that we tell.
#[must_use]
pub fn is_out_of_reach(theirs: IpAddr, ours: IpAddr) -> bool {
    if is_of_another_family(theirs, ours) {
        return true;
    }
    if !is_private(theirs) || theirs.to_canonical().is_loopback() {
        return false;
    }
    match (theirs.to_canonical(), ours.to_canonical()) {
        // The same kind of network may well be the same one, by a route.
        (IpAddr::V4(theirs), IpAddr::V4(ours)) => {
            !is_private(ours.into()) || theirs.octets()[0] != ours.octets()[0]
        }
        (_, ours) => !is_private(ours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn private_addresses_of_every_kind_are_known() {
        for private in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(ip(private)), "{private}");
        }
        for public in ["192.0.2.1", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(ip(public)), "{public}");
        }
    }

    #[test]
    fn a_private_address_is_out_of_reach_for_who_is_no_neighbour() {
        assert!(is_out_of_reach(ip("192.168.1.5"), ip("203.0.113.4")));
        assert!(is_out_of_reach(ip("192.168.1.5"), ip("10.0.0.4")));
        assert!(!is_out_of_reach(ip("192.168.1.5"), ip("192.168.7.4")));
        assert!(!is_out_of_reach(ip("198.51.100.5"), ip("10.0.0.4")));
        assert!(!is_out_of_reach(ip("127.0.0.1"), ip("10.0.0.4")));
        assert!(is_out_of_reach(ip("fd00::1"), ip("2001:db8::1")));
    }

    #[test]
    fn an_address_of_the_other_family_is_out_of_reach() {
        for (theirs, ours) in [
            ("fd00::2", "127.0.0.1"),
            ("2001:db8::1", "198.51.100.4"),
            ("192.168.1.5", "2001:db8::1"),
            ("::1", "127.0.0.1"),
        ] {
            assert!(is_out_of_reach(ip(theirs), ip(ours)), "{theirs} {ours}");
        }
        // RFC 4291 §2.5.5.2: another way to write one of IPv4.
        assert!(!is_out_of_reach(ip("::ffff:10.0.0.1"), ip("10.0.0.4")));
    }
}
