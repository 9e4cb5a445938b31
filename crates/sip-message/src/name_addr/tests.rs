use super::*;
use crate::value::Elements;

fn parse(text: &str) -> NameAddr {
    NameAddr::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn list(text: &str) -> Vec<NameAddr> {
    Elements::new(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[test]
fn parameters_behind_a_bare_uri_are_the_headers() {
    let bare = parse("sip:ada@lab.example;tag=x");
    assert_eq!((bare.tag(), bare.uri.params.is_empty()), (Some("x"), true));
    let bracketed = parse("<sip:ada@lab.example;tag=x>");
    assert_eq!(
        (bracketed.tag(), bracketed.uri.params.get("tag")),
        (None, Some("x"))
    );
}

/// Case 43: a comma in quotes ends no element.
#[test]
fn a_comma_in_quotes_ends_no_element() {
    let contacts = list(r#""Dewdney, Ada" <sip:ada@lab.example>;q=0.5, sip:ben@lab.example"#);
    assert_eq!(contacts.len(), 2);
    assert_eq!(contacts[0].display.as_deref(), Some("Dewdney, Ada"));
}

/// Case 43: angle brackets inside a quoted parameter or display name delimit nothing.
#[test]
fn brackets_in_quotes_delimit_nothing() {
    let contact = parse(
        r#"<sip:ada@lab.example>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";expires=60"#,
    );
    assert_eq!(
        contact.params.get("+sip.instance"),
        Some("<urn:uuid:00000000-0000-1000-8000-000A95A0E128>")
    );
    assert_eq!(contact.params.get("expires"), Some("60"));
    assert_eq!(
        parse(r#""a <sip:x@y> b" <sip:ada@lab.example>"#)
            .uri
            .user
            .as_deref(),
        Some("ada")
    );
}

/// Case 43: a semicolon in a user part begins no parameter.
#[test]
fn a_semicolon_in_a_user_part_begins_no_parameter() {
    let address = parse("<sip:ben;via=1@lab.example>;tag=t");
    assert_eq!(address.uri.user.as_deref(), Some("ben;via=1"));
    assert_eq!(address.params.len(), 1);
}

/// Case 43: white space before the angle bracket may be missing.
#[test]
fn no_space_is_needed_before_the_bracket() {
    assert_eq!(
        parse("Ada<sip:ada@lab.example>").display.as_deref(),
        Some("Ada")
    );
    assert_eq!(
        parse("\"Ada\"<sip:ada@lab.example>").display.as_deref(),
        Some("Ada")
    );
}

/// Case 43: routes keep their order, within a line and over lines.
#[test]
fn routes_keep_their_order() {
    let mut headers = crate::Headers::new();
    headers.push(
        crate::HeaderName::Route,
        "<sip:a.lab.example;lr>, <sip:b.lab.example;lr>",
    );
    headers.push(crate::HeaderName::Route, "<sip:c.lab.example;lr>");
    let hosts: Vec<_> = headers
        .routes()
        .expect("Route")
        .iter()
        .map(|route| route.uri.host.to_string())
        .collect();
    assert_eq!(hosts, ["a.lab.example", "b.lab.example", "c.lab.example"]);
    assert_eq!(
        headers.remove_first(crate::HeaderName::Route).as_deref(),
        Some("<sip:a.lab.example;lr>")
    );
    assert_eq!(
        headers.get(crate::HeaderName::Route),
        Some("<sip:b.lab.example;lr>")
    );
}

#[test]
fn written_addresses_read_back_the_same() {
    for display in [
        None,
        Some("Ada"),
        Some("a \"b\" \\c, <d>"),
        Some("Jürgen"),
        Some(""),
    ] {
        let mut address = parse("<sip:ada@lab.example;lr>;tag=1;text=\"a;b\"");
        address.display = display.map(str::to_owned);
        assert_eq!(parse(&address.to_string()), address, "{address}");
    }
}

#[test]
fn what_is_no_address_is_told_by_its_fault() {
    let cases = [
        ("", Fault::Empty),
        ("\"Ada <sip:ada@lab.example>", Fault::Quote),
        ("<sip:ada@lab.example", Fault::Bracket),
        ("Ada, Dewdney <sip:ada@lab.example>", Fault::Scheme),
        ("< sip:ada@lab.example>", Fault::Scheme),
        ("sip:ada@lab.example?Subject=x", Fault::BareUri),
        ("<sip:ada@lab.example>;;", Fault::Token),
        ("<sip:ada@lab.example>;tag=", Fault::Param),
        ("<sip:ada@lab.example> x", Fault::Trailing),
        ("a \"b\" <sip:ada@lab.example>", Fault::DisplayName),
    ];
    for (text, fault) in cases {
        assert_eq!(NameAddr::parse(text), Err(fault), "{text}");
    }
}
