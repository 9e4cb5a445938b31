//! Finding the server behind a URI (RFC 3263), without asking anybody itself.
//!
//! ```text
//!   URI ─┬─ numeric host, host table ──────────────────────────────► Located
//!        ├─ port written ─────────────────────────────┐                 ▲
//!        ├─ transport written ──────────┐             │                 │
//!        └─► NAPTR ──services──► SRV of each ──hosts──┴─► A and AAAA ───┘
//!              └── none ──► SRV of each transport ──none──► of the domain
//! ```
//!
//! [`Locate`] gives its questions out by [`Locate::poll_output`] and takes answers in by
//! [`Locate::handle_answer`]; whoever asks keeps a [`Cache`] beside it and a deadline on each
//! question. Every question is asked once, there are at most three rounds of them, and their number
//! is limited, so every search ends. [`Targets`] then knows which of the servers found failed
//! lately and have to rest.

mod cache;
mod order;
mod record;
mod search;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sip_message::{Host, Scheme, Uri};

use crate::path::{ResolveError, Transport};

pub use cache::{Cache, CacheLimits};
pub use record::{Answer, Naptr, Outcome, Question, Record, RecordKind, Srv};
pub use search::{Locate, LocateOutput};
pub use targets::{Fault, RestTimes, Server, TargetState, TargetStatus, Targets, Tried, Why};

/// Whose servers are searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Those of SIP (RFC 3263).
    #[default]
    Sip,
    /// Those that tell where they see us (RFC 8489 §8.1). They have no NAPTR records.
    Stun,
    /// Relays (RFC 5928).
    Turn,
}

/// One place to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
    /// The name whose address this is; the address itself where there was no name.
    pub host: String,
    /// Which service of the domain: 0 is the one that the domain, or else we, like best.
    pub service: u8,
    /// SRV priority, lower is better; 0 without SRV.
    pub priority: u16,
    /// SRV weight; 0 without SRV.
    pub weight: u16,
}

impl Target {
    /// What it is known by.
    pub fn server(&self) -> Server {
        Server {
            transport: self.transport,
            addr: self.addr,
        }
    }

    /// Whether the domain wants this one tried before that one. Equals are equal: a draw by weight
    /// put them in an order, nothing more.
    pub fn is_better_than(&self, other: &Self) -> bool {
        (self.service, self.priority) < (other.service, other.priority)
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// In the order in which to try them; never empty.
    pub targets: Vec<Target>,
    /// How long the answers behind it hold; `None` when none was needed.
    pub holds: Option<Duration>,
}

/// Which families of addresses to use, and which first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Families {
    /// Both, each host's IPv6 address first (RFC 6724 §2.1).
    #[default]
    V6First,
    /// Both, each host's IPv4 address first.
    V4First,
    /// IPv4 alone.
    V4Only,
    /// IPv6 alone.
    V6Only,
}

impl Families {
    /// Whether an address may be used.
    pub fn admit(self, ip: IpAddr) -> bool {
        match self {
            Self::V6First | Self::V4First => true,
            Self::V4Only => ip.is_ipv4(),
            Self::V6Only => ip.is_ipv6(),
        }
    }
}

/// A table of names for networks without DNS. It comes before any question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// The addresses of a name, in any case.
    pub fn find(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(&key(name)).map(Vec::as_slice)
    }

    /// Adds an address to a name.
    pub fn add(&mut self, name: &str, ip: IpAddr) {
        let ips = self.0.entry(key(name)).or_default();
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
}

impl FromIterator<(String, Vec<IpAddr>)> for Hosts {
    fn from_iter<I: IntoIterator<Item = (String, Vec<IpAddr>)>>(names: I) -> Self {
        let mut hosts = Self::default();
        for (name, ips) in names {
            ips.into_iter().for_each(|ip| hosts.add(&name, ip));
        }
        hosts
    }
}

fn key(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// How to search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocateConfig {
    /// Of what the server is one.
    pub kind: Kind,
    /// The transports that we have, the one liked best first. The order counts where the domain
    /// has none (no NAPTR).
    pub transports: Vec<Transport>,
    /// Which addresses.
    pub families: Families,
    /// Names known without DNS.
    pub hosts: Hosts,
    /// Addresses on which we listen ourselves: an answer that leads there leads in a circle.
    pub own: Vec<SocketAddr>,
    /// How many questions one search may ask.
    pub questions: usize,
    /// How many targets one search may give. What is beyond is cut, with a notice.
    pub targets: usize,
}

impl Default for LocateConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Sip,
            transports: vec![Transport::Udp, Transport::Tcp],
            families: Families::default(),
            hosts: Hosts::default(),
            own: Vec::new(),
            questions: 32,
            targets: 40,
        }
    }
}

/// What is searched for: of a URI, what says where its server is. Two URIs with the same value lead
/// to the same servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Whether only secure ways will do (`sips:`).
    pub secure: bool,
    /// The host, or `maddr` in its place (RFC 3261 §19.1.1).
    pub host: Host,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The transport, if one is written or asked for.
    pub transport: Option<Transport>,
}

impl NextHop {
    /// Reads it from a URI. `transport` is what is used where the URI names none (RFC 3263 §4.1). One that is protected,
    /// or a WebSocket, is used whatever the URI names: no peer leads away from it by what it writes.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Unusable`] for a scheme without hosts, a transport that is unknown or cannot
    /// be secure, and a `maddr` that is no host.
    pub fn new(uri: &Uri, transport: Option<Transport>) -> Result<Self, ResolveError> {
        let unusable = |what: String| ResolveError::Unusable(what);
        let host = uri
            .sip_host()
            .ok_or_else(|| unusable(format!("{} addresses", uri.scheme.as_str())))?;
        let host = match uri.params.get("maddr") {
            Some(maddr) => Host::parse(maddr).map_err(|_| unusable(format!("maddr {maddr}")))?,
            None => host.clone(),
        };
        let host = match host {
            Host::Name(name) => Host::Name(key(&name)),
            numeric => numeric,
        };
        let written = match uri.params.get("transport") {
            Some(word) => {
                Some(Transport::parse(word).ok_or_else(|| unusable(format!("transport {word}")))?)
            }
            None => None,
        };
        let secure = uri.scheme == Scheme::Sips;
        let kept = transport.filter(|own| !matches!(own, Transport::Udp | Transport::Tcp));
        let transport =
            match kept.or(written).or(transport) {
                Some(transport) if secure => Some(secured(transport).ok_or_else(|| {
                    unusable(format!("transport {transport} for a secure address"))
                })?),
                transport => transport,
            };
        Ok(Self {
            secure,
            host,
            port: uri.port,
            transport,
        })
    }
}

impl fmt::Display for NextHop {
    /// `sip:example.com;transport=tcp`, without any user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "sips" } else { "sip" };
        write!(f, "{scheme}:{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if let Some(transport) = self.transport {
            write!(f, ";transport={transport}")?;
        }
        Ok(())
    }
}

/// The secure form of a transport: in a `sips:` URI, `tcp` means TLS over TCP (RFC 3261 §26.2.2).
fn secured(transport: Transport) -> Option<Transport> {
    match transport {
        Transport::Tcp | Transport::Tls => Some(Transport::Tls),
        Transport::Ws | Transport::Wss => Some(Transport::Wss),
        Transport::Udp => None,
    }
}
