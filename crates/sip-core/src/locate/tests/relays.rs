//! RFC 5928 and RFC 8489 §8.1: relays, and servers that tell where they see us.

use super::{Found, Zone, search_for};
use crate::locate::{Kind, LocateConfig, NextHop, Outcome, RecordKind};
use crate::path::Transport;
use sip_message::Host;

/// Searches for `turn:` (UDP and TCP) or, with TLS alone, `turns:`.
fn find(
    kind: Kind,
    host: &str,
    port: Option<u16>,
    transport: Option<Transport>,
    zone: &Zone,
) -> Found {
    let transports = match (kind, transport) {
        (Kind::Stun, _) => vec![Transport::Udp],
        (_, Some(Transport::Tls)) => vec![Transport::Tls],
        _ => vec![Transport::Udp, Transport::Tcp],
    };
    let config = LocateConfig {
        kind,
        transports,
        ..LocateConfig::default()
    };
    let hop = NextHop {
        secure: false,
        host: Host::parse(host).unwrap(),
        port,
        transport: transport.filter(|transport| *transport != Transport::Tls),
    };
    search_for(hop, zone, config, 1)
}

fn zone() -> Zone {
    Zone::default()
        .srv("_stun._udp.example.com", 0, 0, 3500, "s.example.com")
        .srv("_turn._udp.example.com", 0, 0, 3501, "a.example.com")
        .srv("_turn._udp.example.com", 1, 0, 3502, "b.example.com")
        .srv("_turn._tcp.example.com", 0, 0, 3503, "a.example.com")
        .srv("_turns._tcp.example.com", 0, 0, 3504, "b.example.com")
        .host("a.example.com", "192.0.2.1")
        .host("b.example.com", "192.0.2.2")
        .host("s.example.com", "192.0.2.3")
        .host("example.com", "192.0.2.9")
}

#[test]
fn a_domain_leads_to_its_relays_by_the_ways_that_we_have() {
    let udp = ["udp:192.0.2.1:3501", "udp:192.0.2.2:3502"];
    let both = [
        "udp:192.0.2.1:3501",
        "udp:192.0.2.2:3502",
        "tcp:192.0.2.1:3503",
    ];
    let find = |transport| find(Kind::Turn, "example.com", None, transport, &zone()).targets();
    assert_eq!(find(None), both);
    assert_eq!(find(Some(Transport::Udp)), udp);
    assert_eq!(find(Some(Transport::Tcp)), ["tcp:192.0.2.1:3503"]);
    assert_eq!(find(Some(Transport::Tls)), ["tls:192.0.2.2:3504"]);
}

#[test]
fn rfc5928_3_its_own_order_of_ways_counts_where_it_tells_one() {
    let zone = zone()
        .naptr(
            "example.com",
            1,
            1,
            "RELAY:turn.tcp",
            "_turn._tcp.example.com",
        )
        .naptr(
            "example.com",
            2,
            1,
            "RELAY:turn.udp",
            "_turn._udp.example.com",
        )
        .naptr("example.com", 0, 1, "SIP+D2U", "_sip._udp.example.com");
    let found = find(Kind::Turn, "example.com", None, None, &zone);
    let order = [
        "tcp:192.0.2.1:3503",
        "udp:192.0.2.1:3501",
        "udp:192.0.2.2:3502",
    ];
    assert_eq!(found.targets(), order);
    assert_eq!(found.asked[0], "NAPTR example.com");
}

#[test]
fn an_address_or_a_port_that_is_written_asks_for_no_services() {
    let found = find(Kind::Turn, "192.0.2.77", None, None, &zone());
    assert_eq!(found.targets(), ["udp:192.0.2.77:3478"]);
    assert!(found.asked.is_empty());
    let found = find(Kind::Turn, "example.com", Some(9), None, &zone());
    assert_eq!(found.targets(), ["udp:192.0.2.9:9"]);
    assert!(
        found
            .asked
            .iter()
            .all(|asked| !asked.contains("SRV") && !asked.contains("NAPTR"))
    );
    let found = find(Kind::Stun, "[2001:db8::1]", None, None, &zone());
    assert!(found.asked.is_empty());
    assert_eq!(found.targets(), ["udp:[2001:db8::1]:3478"]);
}

#[test]
fn a_name_without_services_is_the_server_itself_at_the_usual_port() {
    let zone = Zone::default().host("turn.example.com", "192.0.2.5");
    let find = |kind, transport| find(kind, "turn.example.com", None, transport, &zone).targets();
    assert_eq!(find(Kind::Turn, None), ["udp:192.0.2.5:3478"]);
    assert_eq!(
        find(Kind::Turn, Some(Transport::Tcp)),
        ["tcp:192.0.2.5:3478"]
    );
    assert_eq!(
        find(Kind::Turn, Some(Transport::Tls)),
        ["tls:192.0.2.5:5349"]
    );
    assert_eq!(find(Kind::Stun, None), ["udp:192.0.2.5:3478"]);
}

#[test]
fn who_tells_where_they_see_us_is_not_asked_for_by_naptr() {
    let found = find(Kind::Stun, "example.com", None, None, &zone());
    assert_eq!(found.targets(), ["udp:192.0.2.3:3500"]);
    assert!(
        found.asked.iter().all(|asked| !asked.contains("NAPTR")),
        "{:?}",
        found.asked
    );
}

#[test]
fn name_servers_that_swallow_one_question_do_not_hide_the_rest() {
    let zone = zone().fails(RecordKind::Srv, "_turn._udp.example.com", Outcome::TimedOut);
    let found = find(Kind::Turn, "example.com", None, None, &zone);
    assert_eq!(found.targets(), ["tcp:192.0.2.1:3503"]);
    // A service that is said not to exist is not guessed at.
    let zone = Zone::default()
        .srv("_turn._udp.example.org", 0, 0, 0, ".")
        .srv("_turn._tcp.example.org", 0, 0, 0, ".")
        .host("example.org", "192.0.2.9");
    assert!(
        find(Kind::Turn, "example.org", None, None, &zone)
            .result
            .is_err()
    );
}
