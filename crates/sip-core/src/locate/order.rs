//! Orders: of services, of hosts by weight, of addresses by family.

use std::net::IpAddr;

use super::record::{Naptr, Srv};
use super::{Families, Kind, Transport};
use crate::tokens::Tokens;

/// Hosts in the order in which one client should try them: by priority, and among equals drawn by
/// weight (RFC 2782, "Usage rules" and the algorithm under "Weight").
pub(super) fn by_priority_and_weight(mut records: Vec<Srv>, tokens: &mut Tokens) -> Vec<Srv> {
    // Those of weight 0 stand first, where the draw reaches them only with a very small chance.
    records.sort_by_key(|srv| (srv.priority, srv.weight > 0));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|srv| srv.priority) {
        let equals = records.partition_point(|srv| srv.priority == priority);
        let drawn = draw(records.get(..equals).unwrap_or(&[]), tokens);
        ordered.push(records.remove(drawn));
    }
    ordered
}

/// Which one to take: the first whose running sum of weights reaches a number drawn from 0 to the
/// whole sum, both included.
fn draw(equals: &[Srv], tokens: &mut Tokens) -> usize {
    let sum: u32 = equals.iter().map(|srv| u32::from(srv.weight)).sum();
    if equals.len() < 2 {
        return 0;
    }
    if sum == 0 {
        // The running sums are all zero, and the first would always win: an even draw instead.
        return below(equals.len() as u32, tokens) as usize;
    }
    let drawn = below(sum + 1, tokens);
    let mut running = 0;
    equals
        .iter()
        .position(|srv| {
            running += u32::from(srv.weight);
            running >= drawn
        })
        .unwrap_or(0)
}

/// An even draw from 0 up to but without `end`.
fn below(end: u32, tokens: &mut Tokens) -> u32 {
    (tokens.fraction() * f64::from(end)) as u32
}

/// Services in their order, then their preference (RFC 3403 §4.1).
pub(super) fn by_order_and_preference(mut records: Vec<Naptr>) -> Vec<Naptr> {
    records.sort_by_key(|naptr| (naptr.order, naptr.preference));
    records
}

/// Addresses of one host with the families taking turns (RFC 8305 §4), each family in the order in
/// which the name servers told them: they turn it to spread the load.
pub(super) fn interleaved(
    v4: impl IntoIterator<Item = IpAddr>,
    v6: impl IntoIterator<Item = IpAddr>,
    families: Families,
) -> Vec<IpAddr> {
    let (v4, v6): (Vec<_>, Vec<_>) = (v4.into_iter().collect(), v6.into_iter().collect());
    let (first, second) = match families {
        Families::V4First | Families::V4Only => (v4, v6),
        Families::V6First | Families::V6Only => (v6, v4),
    };
    let longest = first.len().max(second.len());
    (0..longest)
        .flat_map(|i| [first.get(i), second.get(i)])
        .flatten()
        .copied()
        .collect()
}

/// The transport that a NAPTR service speaks of (RFC 3263 §4.1, RFC 7118 §6; of relays RFC 5928 §3), if we know it.
pub(super) fn naptr_transport(kind: Kind, service: &str) -> Option<Transport> {
    let known: &[(&str, Transport)] = match kind {
        Kind::Sip => &[
            ("SIP+D2U", Transport::Udp),
            ("SIP+D2T", Transport::Tcp),
            ("SIPS+D2T", Transport::Tls),
            ("SIP+D2W", Transport::Ws),
            ("SIPS+D2W", Transport::Wss),
        ],
        Kind::Stun => &[],
        Kind::Turn => &[
            ("RELAY:turn.udp", Transport::Udp),
            ("RELAY:turn.tcp", Transport::Tcp),
            ("RELAY:turn.tls", Transport::Tls),
        ],
    };
    let mut known = known.iter();
    let found = known.find(|(name, _)| name.eq_ignore_ascii_case(service));
    found.map(|(_, transport)| *transport)
}

/// What stands before the domain in the name of a transport's SRV records (RFC 3263 §4.2, RFC 8489 §8.1, RFC 5928 §3);
/// none where there is no such service.
pub(super) fn srv_prefix(kind: Kind, transport: Transport) -> Option<&'static str> {
    Some(match (kind, transport) {
        (Kind::Sip, Transport::Udp) => "_sip._udp",
        (Kind::Sip, Transport::Tcp) => "_sip._tcp",
        (Kind::Sip, Transport::Tls) => "_sips._tcp",
        (Kind::Sip, Transport::Ws) => "_sip._ws",
        (Kind::Sip, Transport::Wss) => "_sips._ws",
        (Kind::Stun, Transport::Udp) => "_stun._udp",
        (Kind::Stun, Transport::Tcp) => "_stun._tcp",
        (Kind::Stun, Transport::Tls) => "_stuns._tcp",
        (Kind::Turn, Transport::Udp) => "_turn._udp",
        (Kind::Turn, Transport::Tcp) => "_turn._tcp",
        (Kind::Turn, Transport::Tls) => "_turns._tcp",
        (Kind::Stun | Kind::Turn, Transport::Ws | Transport::Wss) => return None,
    })
}

/// Where such a server listens when nothing says so (RFC 3261 §19.1.2, RFC 8489 §8.1, RFC 8656 §3.1).
pub(super) fn usual_port(kind: Kind, transport: Transport) -> u16 {
    match (kind, transport) {
        (Kind::Sip, transport) => transport.default_port(),
        (Kind::Stun | Kind::Turn, Transport::Tls | Transport::Wss) => 5349,
        (Kind::Stun | Kind::Turn, _) => 3478,
    }
}

/// Why nothing should be sent to an address that the DNS gave, or `None` when it may.
pub(super) fn unfit(ip: IpAddr) -> Option<&'static str> {
    let mapped = match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    match mapped {
        ip if ip.is_unspecified() => Some("no host at all"),
        ip if ip.is_multicast() => Some("a group of hosts"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("all hosts"),
        // 0.0.0.0/8, RFC 1122 §3.2.1.3.
        IpAddr::V4(ip) if ip.octets().first() == Some(&0) => Some("no host at all"),
        _ => None,
    }
}
