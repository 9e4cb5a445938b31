//! Hosts: names, IPv4 addresses and IPv6 references (RFC 3261 §25.1, RFC 5118, RFC 5954).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Fault;
use crate::scan::{HOST, Scan, ascii};

/// A host as a URI or a Via names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name, as sent.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; written in brackets.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host: a name, an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    /// What is none of these, and an IPv6 address without its brackets.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut scan = Scan::new(text.as_bytes());
        let host = HostView::read(&mut scan)?;
        if scan.peek().is_some() {
            return Err(Fault::Host);
        }
        Ok(host.into())
    }

    /// The address, where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Whether two hosts are the same: addresses by value, names without regard to case.
    pub fn equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(two)) => one.eq_ignore_ascii_case(two),
            _ => self == other,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl From<HostView<'_>> for Host {
    fn from(view: HostView<'_>) -> Self {
        match view {
            HostView::Name(name) => Self::Name(name.to_owned()),
            HostView::V4(address) => Self::V4(address),
            HostView::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// A host as borrowed from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostView<'a> {
    /// A domain name, as sent.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

impl<'a> HostView<'a> {
    pub(crate) fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        if scan.eat(b'[') {
            let inner = scan.take_while(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
            let address = read_ipv6(ascii(inner))?;
            return if scan.eat(b']') {
                Ok(Self::V6(address))
            } else {
                Err(Fault::Host)
            };
        }
        let name = ascii(scan.take(HOST));
        let last_label = name
            .trim_end_matches('.')
            .rsplit('.')
            .next()
            .unwrap_or_default();
        // A name's last label begins with a letter, so a digit there announces an address.
        if last_label.is_empty() {
            Err(Fault::Host)
        } else if last_label
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit)
            && name.contains('.')
        {
            name.parse().map(Self::V4).map_err(|_| Fault::Host)
        } else {
            Ok(Self::Name(name))
        }
    }
}

impl fmt::Display for HostView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// An IPv6 address. The rule of RFC 3261 generated three colons before an embedded IPv4 address;
/// such addresses are sent, so the spare colon is taken (RFC 5118 §4.10).
pub(crate) fn read_ipv6(text: &str) -> Result<Ipv6Addr, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (head, tail) = text.split_once(":::").ok_or(Fault::Host)?;
    let mut buffer = [0u8; 48];
    let mut length = 0;
    for part in [head, "::", tail] {
        let target = buffer
            .get_mut(length..length + part.len())
            .ok_or(Fault::Host)?;
        target.copy_from_slice(part.as_bytes());
        length += part.len();
    }
    if tail.parse::<Ipv4Addr>().is_err() {
        return Err(Fault::Host);
    }
    ascii(buffer.get(..length).unwrap_or_default())
        .parse()
        .map_err(|_| Fault::Host)
}

/// `[":" port]`, without white space, as URIs have it.
pub(crate) fn read_port(scan: &mut Scan<'_>) -> Result<u16, Fault> {
    let port = scan
        .number_up_to(u64::from(u16::MAX))
        .map_err(|_| Fault::Port)?;
    u16::try_from(port).map_err(|_| Fault::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_of_host_are_told_apart() {
        assert_eq!(
            Host::parse("example.org"),
            Ok(Host::Name("example.org".into()))
        );
        assert_eq!(
            Host::parse("192.0.2.1"),
            Ok(Host::V4([192, 0, 2, 1].into()))
        );
        assert!(matches!(Host::parse("[2001:db8::1]"), Ok(Host::V6(_))));
    }

    #[test]
    fn an_ipv6_address_needs_its_brackets() {
        for text in [
            "2001:db8::1",
            "[2001:db8::1",
            "[]",
            "[192.0.2.1]",
            "192.0.2.256",
            "a b",
            "",
        ] {
            assert_eq!(Host::parse(text), Err(Fault::Host), "{text}");
        }
    }

    #[test]
    fn the_spare_colon_of_the_old_grammar_is_taken() {
        assert_eq!(
            Host::parse("[2001:db8:::192.0.2.1]"),
            Host::parse("[2001:db8::192.0.2.1]")
        );
        assert_eq!(Host::parse("[2001:db8:::1]"), Err(Fault::Host));
    }
}
