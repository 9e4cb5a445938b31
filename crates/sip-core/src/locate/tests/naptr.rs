//! RFC 3263 §4.1: which transport the domain likes best.

use super::{Zone, all_transports, find, find_with};
use crate::locate::{LocateConfig, Outcome, RecordKind};

/// RFC 3263 §4.1, the example: TLS first, then TCP, then UDP.
fn example() -> Zone {
    Zone::default()
        .naptr("example.com", 50, 50, "SIPS+D2T", "_sips._tcp.example.com")
        .naptr("example.com", 90, 50, "SIP+D2T", "_sip._tcp.example.com")
        .naptr("example.com", 100, 50, "SIP+D2U", "_sip._udp.example.com")
        .srv("_sips._tcp.example.com", 0, 1, 5061, "server1.example.com")
        .srv("_sip._tcp.example.com", 0, 1, 5060, "server1.example.com")
        .srv("_sip._tcp.example.com", 1, 1, 5060, "server2.example.com")
        .srv("_sip._udp.example.com", 0, 1, 5060, "server2.example.com")
        .host("server1.example.com", "192.0.2.1")
        .host("server2.example.com", "192.0.2.2")
}

#[test]
fn rfc3263_4_1_services_are_taken_in_the_domains_order() {
    let found = find_with("sip:example.com", &example(), all_transports(), 1);
    let expected = [
        "tls:192.0.2.1:5061",
        "tcp:192.0.2.1:5060",
        "tcp:192.0.2.2:5060",
        "udp:192.0.2.2:5060",
    ];
    assert_eq!(found.targets(), expected);
    let located = found.result.unwrap();
    let ranks: Vec<_> = located
        .targets
        .iter()
        .map(|t| (t.service, t.priority))
        .collect();
    assert_eq!(ranks, [(0, 0), (1, 0), (1, 1), (2, 0)]);
    assert_eq!(located.targets[3].host, "server2.example.com");
}

#[test]
fn rfc3263_4_1_what_we_do_not_have_is_discarded() {
    let found = find("sip:example.com", &example());
    assert_eq!(
        found.targets(),
        [
            "tcp:192.0.2.1:5060",
            "tcp:192.0.2.2:5060",
            "udp:192.0.2.2:5060"
        ]
    );
    assert!(
        !found
            .asked
            .contains(&"SRV _sips._tcp.example.com".to_owned())
    );
}

#[test]
fn rfc3263_4_1_a_sips_uri_discards_all_that_is_not_secure() {
    let found = find_with("sips:example.com", &example(), all_transports(), 1);
    assert_eq!(found.targets(), ["tls:192.0.2.1:5061"]);
}

#[test]
fn among_equal_orders_the_preference_decides() {
    let zone = Zone::default()
        .naptr("example.com", 10, 20, "sip+d2u", "u.example.com")
        .naptr("example.com", 10, 10, "SIP+D2T", "t.example.com")
        .srv("u.example.com", 0, 0, 1, "a.example.com")
        .srv("t.example.com", 0, 0, 2, "a.example.com")
        .host("a.example.com", "192.0.2.1");
    assert_eq!(
        find("sip:example.com", &zone).targets(),
        ["tcp:192.0.2.1:2", "udp:192.0.2.1:1"]
    );
}

#[test]
fn rfc7118_websocket_services_are_known() {
    let zone = Zone::default()
        .naptr("example.com", 10, 10, "SIPS+D2W", "_sips._ws.example.com")
        .naptr("example.com", 20, 10, "SIP+D2W", "_sip._ws.example.com")
        .srv("_sips._ws.example.com", 0, 0, 443, "a.example.com")
        .srv("_sip._ws.example.com", 0, 0, 80, "a.example.com")
        .host("a.example.com", "192.0.2.1");
    let found = find_with("sip:example.com", &zone, all_transports(), 1);
    assert_eq!(found.targets(), ["wss:192.0.2.1:443", "ws:192.0.2.1:80"]);
}

#[test]
fn only_the_flag_s_is_followed_so_no_chain_is() {
    let zone = Zone::default()
        .naptr_with_flags("example.com", 1, 1, "", "SIP+D2U", "next.example.com")
        .naptr_with_flags("example.com", 2, 1, "u", "SIP+D2T", ".")
        .naptr_with_flags("example.com", 3, 1, "S", "SIP+D2T", ".")
        .naptr_with_flags("example.com", 4, 1, "u", "E2U+sip", ".")
        .naptr_with_flags("example.com", 5, 1, "S", "SIP+D2T", "_sip._tcp.example.com")
        .srv("_sip._tcp.example.com", 0, 0, 5060, "a.example.com")
        .host("a.example.com", "192.0.2.1");
    let found = find("sip:example.com", &zone);
    assert_eq!(found.targets(), ["tcp:192.0.2.1:5060"]);
    assert!(!found.asked.iter().any(|asked| asked.contains("next")));
    assert_eq!(found.notices.len(), 2, "{:?}", found.notices);
}

#[test]
fn services_that_we_know_nothing_of_leave_the_srv_records() {
    let zone = Zone::default()
        .naptr("example.com", 1, 1, "SIP+D2S", "_sip._sctp.example.com")
        .srv("_sip._udp.example.com", 0, 0, 5062, "a.example.com")
        .host("a.example.com", "192.0.2.1");
    assert_eq!(
        find("sip:example.com", &zone).targets(),
        ["udp:192.0.2.1:5062"]
    );
}

#[test]
fn a_service_without_hosts_falls_back_to_the_domain_with_its_transport() {
    let zone = Zone::default()
        .naptr("example.com", 1, 1, "SIP+D2T", "_sip._tcp.example.com")
        .host("example.com", "192.0.2.1");
    assert_eq!(
        find("sip:example.com", &zone).targets(),
        ["tcp:192.0.2.1:5060"]
    );
}

#[test]
fn name_servers_that_swallow_naptr_do_not_end_the_search() {
    let zone = Zone::default()
        .fails(RecordKind::Naptr, "example.com", Outcome::TimedOut)
        .srv("_sip._udp.example.com", 0, 0, 5062, "a.example.com")
        .host("a.example.com", "192.0.2.1");
    let found = find("sip:example.com", &zone);
    assert_eq!(found.targets(), ["udp:192.0.2.1:5062"]);
    assert_eq!(
        found.notices,
        ["name servers do not answer: NAPTR example.com"]
    );
}

#[test]
fn a_domain_with_a_thousand_services_is_answered_within_the_limit() {
    let zone = (0..1000).fold(Zone::default(), |zone, n| {
        zone.naptr("example.com", n, 1, "SIP+D2U", &format!("s{n}.example.com"))
    });
    let found = find_with("sip:example.com", &zone, LocateConfig::default(), 1);
    assert_eq!(found.asked.len(), 32);
    assert!(
        found
            .notices
            .iter()
            .any(|text| text.contains("after 32 questions")),
        "{:?}",
        found.notices
    );
    assert!(found.notices.len() <= 16);
}
