use super::*;

fn parse(text: &str) -> Via {
    Via::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[test]
fn rport_is_asked_for_or_filled_in() {
    assert_eq!(parse("SIP/2.0/UDP a.example;branch=z9hG4bK1").rport(), None);
    assert_eq!(
        parse("SIP/2.0/UDP a.example;rport;branch=z9hG4bK1").rport(),
        Some(None)
    );
    let mut via = parse("SIP/2.0/UDP a.example;rport;branch=z9hG4bK1");
    via.set_rport(40_000);
    via.set_received([192, 0, 2, 9].into());
    assert_eq!(
        via.to_string(),
        "SIP/2.0/UDP a.example;rport=40000;branch=z9hG4bK1;received=192.0.2.9"
    );
    assert_eq!(parse(&via.to_string()), via);
}

#[test]
fn the_magic_cookie_alone_is_no_branch() {
    assert!(parse("SIP/2.0/UDP a.example;branch=z9hG4bKx").has_magic_cookie());
    assert!(!parse("SIP/2.0/UDP a.example;branch=z9hG4bK").has_magic_cookie());
    assert!(!parse("SIP/2.0/UDP a.example;branch=7").has_magic_cookie());
    assert!(!parse("SIP/2.0/UDP a.example").has_magic_cookie());
}

/// Case 25: a Via of an IPv6 address keeps its brackets.
#[test]
fn a_via_of_an_ipv6_address_is_written_in_brackets() {
    let address: IpAddr = "2001:db8::1".parse().expect("is an address");
    let via = Via::new("UDP", address.into(), Some(5060), "z9hG4bK1");
    assert_eq!(
        via.to_string(),
        "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1"
    );
    assert_eq!(
        Via::parse("SIP/2.0/UDP 2001:db8::1;branch=z9hG4bK1"),
        Err(Fault::Port)
    );
}

#[test]
fn what_is_no_via_is_told_by_its_fault() {
    let cases = [
        ("SIP/1.0/UDP a.example", Fault::Version),
        ("SIP/2.0", Fault::Separator),
        ("SIP/2.0/UDP", Fault::Separator),
        ("SIP/2.0/UDP ", Fault::Separator),
        ("SIP/2.0/UDP a.example:port", Fault::Port),
        ("SIP/2.0/UDP a.example;;branch=1", Fault::Token),
        ("SIP/2.0/UDP a.example b", Fault::Trailing),
    ];
    for (text, fault) in cases {
        let found = Via::parse(text).expect_err(text);
        assert!(
            found == fault || (text.ends_with(' ') && found == Fault::Host),
            "{text}: {found:?}"
        );
    }
}
