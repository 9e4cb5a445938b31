//! Candidates: which there are of ours, in which order, and what those of the peer say.

use std::net::{IpAddr, SocketAddr};

use super::{Base, Component};

/// Candidates of the peer that are tried, each component; RFC 8445 §6.1.2.5 wants a limit.
pub(super) const MOST_REMOTE: usize = 32;

/// Of how many characters a foundation may be (RFC 8839 §5.1).
const LONGEST_FOUNDATION: usize = 32;

/// How a place was learned (RFC 8445 §4), with how it is preferred (§5.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Host,
    PeerReflexive,
    ServerReflexive,
    Relayed,
}

impl Kind {
    fn preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::PeerReflexive => "prflx",
            Self::ServerReflexive => "srflx",
            Self::Relayed => "relay",
        }
    }
}

/// One of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) component: Component,
    pub(super) kind: Kind,
    pub(super) at: SocketAddr,
    /// For others to read, where it was seen from.
    related: Option<SocketAddr>,
    pub(super) socket: u8,
    /// The same for those that fare alike (RFC 8445 §5.1.1.3).
    pub(super) foundation: u32,
    pub(super) priority: u32,
    /// What a place that the peer finds for it is worth (§7.1.1).
    pub(super) priority_if_found: u32,
}

impl Local {
    fn to_value(&self) -> String {
        let Self {
            foundation,
            priority,
            at,
            ..
        } = self;
        let component = self.component.number();
        let (ip, port) = (at.ip(), at.port());
        let kind = self.kind.name();
        let mut value = format!("{foundation} {component} udp {priority} {ip} {port} typ {kind}");
        if let Some(related) = self.related {
            value.push_str(&format!(" raddr {} rport {}", related.ip(), related.port()));
        }
        value
    }
}

/// RFC 8445 §5.1.2.1. `local` is the preference among addresses, 65,535 the highest.
fn priority(kind: Kind, local: u32, component: Component) -> u32 {
    (kind.preference() << 24) + (local << 8) + 256 - u32::from(component.number())
}

/// All of ours, in the order of the sockets. What says the same twice is left out (§5.1.3).
pub(super) fn locals(bases: &[Base]) -> Vec<Local> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut foundations: Vec<(Kind, IpAddr)> = Vec::new();
    let mut found: Vec<Local> = Vec::new();
    for base in bases {
        let ip = base.at.ip();
        let rank = place(&mut addresses, ip);
        let local = 65_535_u32.saturating_sub(rank);
        let seen = base.mapped.filter(|mapped| *mapped != base.at);
        let places = [
            (Kind::Host, Some(base.at), None),
            (Kind::ServerReflexive, seen, Some(base.at)),
            // RFC 8839 §5.1: for a relay, what is seen there.
            (Kind::Relayed, base.relayed, Some(seen.unwrap_or(base.at))),
        ];
        for (kind, at, related) in places {
            let Some(at) = at else { continue };
            found.push(Local {
                component: base.component,
                kind,
                at,
                related,
                socket: base.socket,
                foundation: place(&mut foundations, (kind, ip)) + 1,
                priority: priority(kind, local, base.component),
                priority_if_found: priority(Kind::PeerReflexive, local, base.component),
            });
        }
    }
    found
}

/// Where this stands in the list, at its end if it did not.
fn place<T: PartialEq>(list: &mut Vec<T>, item: T) -> u32 {
    let place = list.iter().position(|other| *other == item);
    let place = place.unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    });
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// The values of `a=candidate` for these sockets (RFC 8839 §5.1).
#[must_use]
pub fn described(bases: &[Base]) -> Vec<String> {
    locals(bases).iter().map(Local::to_value).collect()
}

/// Addresses in the order in which they are to be preferred: both families in turn, so that the one that is broken does
/// not hold up the other, and IPv6 first (RFC 8421 §4). Within a family the order stays.
#[must_use]
pub fn in_order(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|ip| ip.is_ipv4());
    if four.is_empty() || six.is_empty() {
        return addresses.to_vec();
    }
    // The head start of IPv6: so many of them before each of IPv4.
    let head_start = (four.len() + six.len()) / four.len();
    let mut four = four.into_iter();
    let mut six = six.into_iter().peekable();
    let mut ordered = Vec::with_capacity(addresses.len());
    while six.peek().is_some() {
        ordered.extend(six.by_ref().take(head_start));
        ordered.extend(four.next());
    }
    ordered.extend(four);
    ordered
}

/// One of the peer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) component: Component,
    pub(super) at: SocketAddr,
    pub(super) foundation: String,
    pub(super) priority: u32,
}

impl Remote {
    /// Reads the value of an attribute; none for what cannot be tried from here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text
            .trim_start_matches("candidate:")
            .split_ascii_whitespace();
        let foundation = words
            .next()
            .filter(|name| name.len() <= LONGEST_FOUNDATION)?;
        let component = match words.next()?.parse::<u16>().ok()? {
            1 => Component::Media,
            2 => Component::Reports,
            _ => return None,
        };
        if !words.next()?.eq_ignore_ascii_case("udp") {
            return None;
        }
        let priority: u32 = words.next()?.parse().ok()?;
        let ip: IpAddr = words.next()?.parse().ok()?;
        let port: u16 = words.next()?.parse().ok()?;
        let kind = (words.next()?, words.next()?);
        let known = ["host", "srflx", "prflx", "relay"];
        let is_known = kind.0.eq_ignore_ascii_case("typ")
            && known.iter().any(|known| kind.1.eq_ignore_ascii_case(known));
        // RFC 8445 §5.1.2: between 1 and 2^31 - 1.
        let fits = is_known && (1..1 << 31).contains(&priority);
        let at = SocketAddr::new(ip.to_canonical(), port);
        (fits && may_be_asked(at)).then(|| Self {
            component,
            at,
            foundation: foundation.to_owned(),
            priority,
        })
    }
}

/// Whether one machine can be there: nobody is to have us write to many.
pub(super) fn may_be_asked(at: SocketAddr) -> bool {
    let crowd = match at.ip() {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    };
    !crowd && !at.ip().is_unspecified() && at.port() != 0
}
