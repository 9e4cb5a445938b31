//! Our own network: who is inside, and by what those there reach us.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sip_message::Host;

use crate::path::Path;

/// Addresses with a common beginning (RFC 4632 §3.1, RFC 4291 §2.3): `192.168.0.0/16`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address is one of them. An IPv4 address that IPv6 carries is one of IPv4.
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(ip)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                (u32::from(ours) ^ u32::from(ip)) & mask == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(ip)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                (u128::from(ours) ^ u128::from(ip)) & mask == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    /// Reads `ADDRESS/LENGTH`; an address alone is a network of one.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let text = text.trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            None => longest,
            Some(text) => Some(text)
                .filter(is_number)
                .and_then(|text| text.parse().ok())
                .filter(|prefix| *prefix <= longest)
                .ok_or(NotANetwork)?,
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What was to be a network is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network looks like 192.168.0.0/16 or 2001:db8::/32")]
pub struct NotANetwork;

/// Our own network. Peers outside are told the public address, where there is one; those inside the local one, or a
/// name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Who is inside; nobody, where there are none.
    pub networks: Vec<Network>,
    /// What those inside are told in place of our address: a name that their name server knows.
    pub name: Option<Host>,
}

impl Inside {
    /// Whether an address is inside.
    pub fn holds(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.holds(ip))
    }

    /// The host and port to tell who is on this path; `None` for those outside.
    pub fn told(&self, path: &Path) -> Option<String> {
        self.holds(path.remote.ip()).then(|| match &self.name {
            Some(name) => format!("{name}:{}", path.local.port()),
            None => path.local.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Transport;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn a_network_holds_what_begins_like_it_and_nothing_else() {
        for (text, ip, held) in [
            ("192.168.0.0/16", "192.168.255.1", true),
            ("192.168.0.0/16", "192.169.0.1", false),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("192.0.2.0/31", "192.0.2.1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
            ("fd00::/8", "fdff::1", true),
            // As a socket of both families shows it.
            ("192.168.0.0/16", "::ffff:192.168.0.9", true),
        ] {
            let ip: IpAddr = ip.parse().expect(ip);
            assert_eq!(network(text).holds(ip), held, "{text} {ip}");
        }
        assert_eq!(network(" 10.0.0.0/8 ").to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "::/256",
            "lan",
            "10.0.0.0/8/8",
            "[::1]/128",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }

    #[test]
    fn those_inside_are_told_the_local_address_or_the_name_and_others_neither() {
        let path = |remote: &str| Path {
            transport: Transport::Udp,
            remote: remote.parse().expect(remote),
            local: "10.0.0.5:5062".parse().expect("an address"),
        };
        let mut inside = Inside {
            networks: vec![network("10.0.0.0/8")],
            name: None,
        };
        assert_eq!(
            inside.told(&path("10.9.9.9:5060")).as_deref(),
            Some("10.0.0.5:5062")
        );
        assert_eq!(inside.told(&path("203.0.113.9:5060")), None);
        inside.name = Some(Host::Name("phone.lan".into()));
        assert_eq!(
            inside.told(&path("10.9.9.9:5060")).as_deref(),
            Some("phone.lan:5062")
        );
        assert_eq!(Inside::default().told(&path("10.9.9.9:5060")), None);
    }
}
