use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_part_of_a_sip_uri_is_found() {
    let uri =
        uri("sips:ada:secret@[2001:db8::1]:5061;transport=TCP;lr?Subject=a%20b&Priority=urgent");
    assert_eq!(uri.scheme, Scheme::Sips);
    assert_eq!(
        (uri.user.as_deref(), uri.password.as_deref()),
        (Some("ada"), Some("secret"))
    );
    assert_eq!(
        (uri.host.to_string().as_str(), uri.port),
        ("[2001:db8::1]", Some(5061))
    );
    assert_eq!(uri.params.get("Transport"), Some("TCP"));
    assert!(uri.is_loose_router());
    assert_eq!(uri.headers[0], ("Subject".to_owned(), "a%20b".to_owned()));
}

#[test]
fn uris_are_written_as_they_were_read() {
    for text in [
        "sip:lab.example",
        "sip:ada@lab.example;user=phone",
        "sip:*21%23@lab.example:5060",
        "sip:ben;via=y%40far@lab.example?Replaces=a%3Bto-tag%3Db",
        "tel:+1-201-555-0123;phone-context=example.com",
        "urn:service:sos",
        "mailto:ada@lab.example",
    ] {
        assert_eq!(uri(text).to_string(), text);
    }
}

#[test]
fn what_is_no_uri_is_told_by_its_fault() {
    let cases = [
        ("", Fault::Scheme),
        ("lab.example", Fault::Scheme),
        ("1sip:lab.example", Fault::Scheme),
        ("sip:", Fault::Host),
        ("sip:@lab.example", Fault::User),
        ("sip:ada@", Fault::Host),
        ("sip:ada@lab.example:99999", Fault::Port),
        ("sip:ada@lab.example:", Fault::Port),
        ("sip:a%4@lab.example", Fault::Escape),
        ("sip:2001:db8::1", Fault::Port),
        ("sip:ada@lab.example x", Fault::UriCharacter),
        ("sip:ada@lab.example\r\nEvil: 1", Fault::UriCharacter),
        ("tel:", Fault::User),
    ];
    for (text, fault) in cases {
        assert_eq!(Uri::parse(text), Err(UriError(fault)), "{text:?}");
    }
}

#[test]
fn a_user_part_is_escaped_where_it_has_to_be() {
    let uri = Uri::sip(Host::Name("lab.example".into())).with_user("a b@c%41\r\n");
    assert_eq!(uri.to_string(), "sip:a%20b%40c%41%0D%0A@lab.example");
}

/// RFC 3261 §19.1.4, both lists of examples and the rules behind them.
#[test]
fn equivalence_is_that_of_the_rfc() {
    let same = [
        (
            "sip:%61da@lab.example;transport=TCP",
            "sip:ada@LAB.example;Transport=tcp",
        ),
        ("sip:carol@lab.example", "sip:carol@lab.example;newparam=5"),
        (
            "sip:carol@lab.example;security=on",
            "sip:carol@lab.example;newparam=5",
        ),
        (
            "sip:lab.example;transport=tcp;method=REGISTER?to=sip:ada%40lab.example",
            "sip:lab.example;method=REGISTER;transport=tcp?to=sip:ada%40lab.example",
        ),
        (
            "sip:ada@lab.example?subject=project%20x&priority=urgent",
            "sip:ada@lab.example?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("tel:+1201;o{d=1", "tel:+1201;o%7bd=1"),
        ("sip:lab.example;x=1;x=2", "sip:lab.example;x=1;x=2"),
    ];
    let different = [
        ("SIP:ADA@lab.example", "sip:ada@lab.example"),
        ("sip:ben@lab.example", "sip:ben@lab.example:5060"),
        ("sip:ben@lab.example", "sip:ben@lab.example;transport=udp"),
        ("sip:ben@lab.example", "sips:ben@lab.example"),
        (
            "sip:carol@lab.example",
            "sip:carol@lab.example?Subject=next%20meeting",
        ),
        (
            "sip:carol@lab.example;security=off",
            "sip:carol@lab.example;security=on",
        ),
        (
            "sip:carol@lab.example;securit%79=off",
            "sip:carol@lab.example;security=on",
        ),
        ("sip:ada@lab.example", "sip:lab.example"),
        ("sip:ada@lab.example;maddr=192.0.2.1", "sip:ada@lab.example"),
    ];
    for (one, two) in same {
        assert!(
            uri(one).equivalent(&uri(two)) && uri(two).equivalent(&uri(one)),
            "{one} {two}"
        );
    }
    for (one, two) in different {
        assert!(
            !uri(one).equivalent(&uri(two)) && !uri(two).equivalent(&uri(one)),
            "{one} {two}"
        );
    }
}

/// Case 43: `;lrx` is another parameter than `;lr`, and `;lr=on` is `;lr`.
#[test]
fn lr_is_not_confused_with_what_begins_like_it() {
    assert!(uri("sip:edge.lab.example;lr").is_loose_router());
    assert!(uri("sip:edge.lab.example;LR=on").is_loose_router());
    assert!(!uri("sip:edge.lab.example;lrx").is_loose_router());
}

#[test]
fn parameters_are_read_freely_and_written_strictly() {
    let uri = uri("sip:lab.example:5060;a=b@c;d={e}");
    assert_eq!(
        (uri.user.as_deref(), uri.params.get("a")),
        (None, Some("b@c"))
    );
    assert_eq!(uri.to_string(), "sip:lab.example:5060;a=b%40c;d=%7Be%7D");
}

/// RFC 3261 §19.1.6: a number is the user of an address at whom the numbers are known, without visual separators and with
/// `user=phone`; RFC 3966 §5.1.5: a local number means something only together with its context.
#[test]
fn a_number_is_an_address_where_the_numbers_of_home_are() {
    let home = uri("sip:ada:secret@lab.example:5070;transport=tcp?Subject=x");
    for (number, at_home) in [
        ("tel:+49-(30).123", "+4930123"),
        ("tel:123;phone-context=+49-30", "+4930123"),
        ("tel:123;phone-context=lab.example", "123"),
        ("tel:+4930123;phone-context=+1", "+4930123"),
        ("tel:*21;phone-context=lab.example", "*21"),
    ] {
        assert_eq!(
            uri(number).number_at(&home).map(|uri| uri.to_string()),
            Some(format!(
                "sip:{at_home}@lab.example:5070;transport=tcp;user=phone"
            )),
            "{number}"
        );
    }
    for other in [
        "sip:+4930123@lab.example",
        "mailto:ada@lab.example",
        "tel:-",
        "tel:+.-",
    ] {
        assert_eq!(uri(other).number_at(&home), None, "{other}");
    }
}
