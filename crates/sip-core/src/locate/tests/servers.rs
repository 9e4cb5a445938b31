//! RFC 3263 §4 but for NAPTR and SRV: hosts, ports, transports, addresses.

use sip_message::Uri;

use super::{Zone, all_transports, find, find_with, hop};
use crate::locate::{
    Answer, Families, Hosts, Locate, LocateConfig, LocateOutput, NextHop, Outcome, Question,
    RecordKind,
};
use crate::path::{ResolveError, Transport};
use crate::tokens::Seed;

#[test]
fn rfc3263_4_1_a_numeric_host_needs_no_question() {
    let of = |uri: &str| {
        let found = find_with(uri, &Zone::default(), all_transports(), 1);
        assert!(found.asked.is_empty(), "{uri} asked {:?}", found.asked);
        found.targets()
    };
    assert_eq!(of("sip:bob@192.0.2.1"), ["udp:192.0.2.1:5060"]);
    assert_eq!(of("sip:192.0.2.1:5080"), ["udp:192.0.2.1:5080"]);
    assert_eq!(
        of("sip:[2001:db8::1];transport=tcp"),
        ["tcp:[2001:db8::1]:5060"]
    );
    assert_eq!(of("sips:192.0.2.1"), ["tls:192.0.2.1:5061"]);
    assert_eq!(of("sips:192.0.2.1;transport=tcp"), ["tls:192.0.2.1:5061"]);
    assert_eq!(of("sip:192.0.2.1;transport=ws"), ["ws:192.0.2.1:80"]);
    assert_eq!(
        of("sip:bob@example.com;maddr=192.0.2.9"),
        ["udp:192.0.2.9:5060"]
    );
}

#[test]
fn rfc3263_4_2_a_written_port_asks_for_addresses_only() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", 1, 1, 9, "other.example.com")
        .host("example.com", "192.0.2.1");
    let found = find("sip:example.com:5070", &zone);
    assert_eq!(found.asked, ["AAAA example.com", "A example.com"]);
    assert_eq!(found.targets(), ["udp:192.0.2.1:5070"]);
    let found = find_with("sips:example.com:5070", &zone, all_transports(), 1);
    assert_eq!(found.targets(), ["tls:192.0.2.1:5070"]);
}

#[test]
fn rfc3263_4_2_a_written_transport_asks_for_its_srv_only() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.com", 1, 1, 5070, "a.example.com")
        .srv("_sip._udp.example.com", 1, 1, 5070, "b.example.com")
        .host("a.example.com", "192.0.2.1")
        .host("b.example.com", "192.0.2.2");
    let found = find("sip:example.com;transport=tcp", &zone);
    assert_eq!(
        found.asked.first().map(String::as_str),
        Some("SRV _sip._tcp.example.com")
    );
    assert_eq!(found.targets(), ["tcp:192.0.2.1:5070"]);
}

#[test]
fn rfc3263_4_2_without_srv_the_domain_has_an_address_itself() {
    let zone = Zone::default().host("example.com", "192.0.2.1");
    let found = find("sip:example.com", &zone);
    assert_eq!(
        found.asked,
        [
            "NAPTR example.com",
            "SRV _sip._udp.example.com",
            "SRV _sip._tcp.example.com",
            "AAAA example.com",
            "A example.com"
        ]
    );
    assert_eq!(found.targets(), ["udp:192.0.2.1:5060"]);
    assert_eq!(
        find("sip:example.com;transport=tcp", &zone).targets(),
        ["tcp:192.0.2.1:5060"]
    );
    let secure = find_with("sips:example.com", &zone, all_transports(), 1);
    assert_eq!(secure.targets(), ["tls:192.0.2.1:5061"]);
    assert!(
        secure
            .asked
            .contains(&"SRV _sips._tcp.example.com".to_owned())
    );
    assert!(!secure.asked.iter().any(|asked| asked.contains("_sip._")));
}

#[test]
fn without_udp_the_transport_liked_best_goes_without_saying() {
    let zone = Zone::default().host("example.com", "192.0.2.1");
    let config = LocateConfig {
        transports: vec![Transport::Tls, Transport::Tcp],
        ..LocateConfig::default()
    };
    assert_eq!(
        find_with("sip:example.com", &zone, config, 1).targets(),
        ["tls:192.0.2.1:5061"]
    );
}

#[test]
fn names_are_compared_without_case_and_final_dot() {
    let zone = Zone::default().host("example.com", "192.0.2.1");
    assert_eq!(
        find("sip:EXAMPLE.com.:5060", &zone).targets(),
        ["udp:192.0.2.1:5060"]
    );
    assert_eq!(
        hop("sip:a@Example.com", None),
        hop("sip:b@example.COM", None)
    );
    assert_ne!(
        hop("sip:example.com", None),
        hop("sip:example.com:5060", None)
    );
    assert_eq!(
        hop("sip:Example.com:5070;transport=TCP", None).to_string(),
        "sip:example.com:5070;transport=tcp"
    );
}

#[test]
fn rfc7984_4_both_families_are_asked_for_and_rfc8305_4_take_turns() {
    let zone = Zone::default()
        .host("example.com", "192.0.2.1")
        .host("example.com", "192.0.2.2")
        .host("example.com", "192.0.2.3")
        .host("example.com", "2001:db8::1");
    let with = |families| {
        let config = LocateConfig {
            families,
            ..LocateConfig::default()
        };
        find_with("sip:example.com:5060", &zone, config, 1)
    };
    let v6_first = with(Families::V6First);
    assert_eq!(
        v6_first.targets(),
        [
            "udp:[2001:db8::1]:5060",
            "udp:192.0.2.1:5060",
            "udp:192.0.2.2:5060",
            "udp:192.0.2.3:5060"
        ]
    );
    assert_eq!(
        with(Families::V4First).targets()[..2],
        ["udp:192.0.2.1:5060", "udp:[2001:db8::1]:5060"]
    );
    let v4_only = with(Families::V4Only);
    assert_eq!(
        (v4_only.targets().len(), v4_only.asked),
        (3, vec!["A example.com".to_owned()])
    );
    let v6_only = with(Families::V6Only);
    assert_eq!(
        (v6_only.targets().len(), v6_only.asked),
        (1, vec!["AAAA example.com".to_owned()])
    );
}

#[test]
fn a_host_with_one_family_is_found_when_the_other_question_fails() {
    let zone = Zone::default().host("example.com", "192.0.2.1").fails(
        RecordKind::Aaaa,
        "example.com",
        Outcome::TimedOut,
    );
    let found = find("sip:example.com:5060", &zone);
    assert_eq!(found.targets(), ["udp:192.0.2.1:5060"]);
    assert_eq!(
        found.notices,
        ["name servers do not answer: AAAA example.com"]
    );
}

#[test]
fn the_table_of_hosts_comes_before_any_question() {
    let zone = Zone::default().srv("_sip._udp.shop.example", 1, 1, 5070, "PBX.lab.");
    let mut hosts = Hosts::default();
    hosts.add("pbx.lab", "192.0.2.7".parse().unwrap());
    hosts.add("pbx.lab", "2001:db8::7".parse().unwrap());
    let config = LocateConfig {
        hosts,
        ..LocateConfig::default()
    };
    let found = find_with("sip:Pbx.Lab", &zone, config.clone(), 1);
    assert!(found.asked.is_empty());
    assert_eq!(
        found.targets(),
        ["udp:192.0.2.7:5060", "udp:[2001:db8::7]:5060"]
    );
    // A host that an SRV record names is looked for there too.
    let found = find_with("sip:shop.example", &zone, config, 1);
    assert!(!found.asked.iter().any(|asked| asked.contains("pbx")));
    assert_eq!(
        found.targets(),
        ["udp:192.0.2.7:5070", "udp:[2001:db8::7]:5070"]
    );
}

#[test]
fn addresses_that_are_nobodys_or_everybodys_or_ours_are_dropped_and_told() {
    let zone = [
        "0.0.0.0",
        "255.255.255.255",
        "224.0.1.75",
        "192.0.2.9",
        "::",
        "ff02::1",
        "192.0.2.1",
    ]
    .into_iter()
    .fold(Zone::default(), |zone, ip| zone.host("example.com", ip));
    let config = LocateConfig {
        own: vec!["192.0.2.9:5060".parse().unwrap()],
        ..LocateConfig::default()
    };
    let found = find_with("sip:example.com:5060", &zone, config.clone(), 1);
    assert_eq!(found.targets(), ["udp:192.0.2.1:5060"]);
    assert_eq!(found.notices.len(), 6, "{:?}", found.notices);
    assert!(
        found
            .notices
            .contains(&"example.com leads to ourselves, dropped: 192.0.2.9".to_owned())
    );
    // The same host on another port is somebody else.
    let found = find_with("sip:example.com:5070", &zone, config, 1);
    assert_eq!(found.targets().len(), 2);
    let found = find("sip:224.0.1.75", &Zone::default());
    assert_eq!(
        found.result,
        Err(ResolveError::Unusable("address 224.0.1.75".to_owned()))
    );
}

#[test]
fn a_name_that_is_nowhere_and_name_servers_that_are_silent_are_told_apart() {
    let found = find("sip:example.com", &Zone::default());
    assert_eq!(
        found.result,
        Err(ResolveError::NotFound("example.com".to_owned()))
    );
    let zone = Zone::default()
        .fails(RecordKind::A, "example.com", Outcome::TimedOut)
        .fails(RecordKind::Aaaa, "example.com", Outcome::ServerFailed);
    assert_eq!(
        find("sip:example.com", &zone).result,
        Err(ResolveError::NoAnswer)
    );
}

#[test]
fn a_transport_that_we_do_not_have_is_told_before_any_question() {
    let found = find("sip:example.com;transport=tls", &Zone::default());
    let unusable = Err(ResolveError::Unusable(
        "transport tls is not available".to_owned(),
    ));
    assert_eq!((found.result, found.asked.len()), (unusable, 0));
    let found = find("sips:example.com", &Zone::default());
    assert!(matches!(found.result, Err(ResolveError::Unusable(_))));
    for uri in [
        "sip:a;transport=sctp",
        "sips:a;transport=udp",
        "tel:+49301234",
    ] {
        let hop = NextHop::new(&Uri::parse(uri).unwrap(), None);
        assert!(matches!(hop, Err(ResolveError::Unusable(_))), "{uri}");
    }
}

#[test]
fn a_search_whose_time_is_over_uses_what_it_knows() {
    let mut search = Locate::new(
        hop("sip:example.com:5060", None),
        LocateConfig::default(),
        &Seed::from_number(1),
    );
    let question = Question::new(RecordKind::A, "example.com").unwrap();
    let ip = crate::locate::Record::Address("192.0.2.1".parse().unwrap());
    let answer = Answer::new(
        Outcome::Records(vec![ip]),
        std::time::Duration::from_secs(60),
    );
    search.handle_answer(&question, answer);
    assert!(!search.is_done());
    search.close();
    let last = std::iter::from_fn(|| search.poll_output()).last();
    let Some(LocateOutput::Done(Ok(located))) = last else {
        panic!("{last:?}");
    };
    assert_eq!(located.targets.len(), 1);
    // One that knows nothing ends too, and asks nothing more.
    let mut search = Locate::new(
        hop("sip:example.com", None),
        LocateConfig::default(),
        &Seed::from_number(1),
    );
    search.close();
    let last = std::iter::from_fn(|| search.poll_output()).last();
    assert_eq!(last, Some(LocateOutput::Done(Err(ResolveError::NoAnswer))));
    assert_eq!(search.questions(), 1);
}
