use super::*;

fn view(bytes: &[u8]) -> MessageView<'_> {
    MessageView::parse(bytes, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn repairs(bytes: &[u8]) -> Vec<Repair> {
    view(bytes).repairs().iter().collect()
}

#[test]
fn what_was_forgiven_is_told() {
    let cases: [(&[u8], &[Repair]); 9] = [
        (b"BYE sip:a@b SIP/2.0\r\nl: 0\r\n\r\n", &[]),
        (
            b"\r\n\r\nBYE sip:a@b SIP/2.0\r\nl: 0\r\n\r\n",
            &[Repair::LeadingBlankLines],
        ),
        (b"BYE sip:a@b SIP/2.0\nl: 0\n\n", &[Repair::BareLineFeed]),
        (
            b"BYE sip:a@b SIP/2.0\r\n\r\n",
            &[Repair::MissingContentLength],
        ),
        (
            b"BYE sip:a@b SIP/2.0\r\nl: 0\r\nContent-Length: 0\r\n\r\n",
            &[Repair::RepeatedContentLength],
        ),
        (
            b"BYE sip:a@b SIP/2.0\r\nl: 0\r\n\r\nabc",
            &[Repair::TrailingOctets],
        ),
        (
            b"BYE sip:a@b SIP/2.0\r\nl: 0\r\n\r\n\r\n",
            &[Repair::TrailingBlankLines],
        ),
        (
            b"BYE sip:a@b SIP/2.0\r\nno colon here\r\nl: 0\r\n\r\n",
            &[Repair::NotAField],
        ),
        (
            b"SIP/2.0 200\r\nl: 0\r\n\r\n",
            &[Repair::MissingReasonSpace],
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            repairs(bytes),
            expected,
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
    assert_eq!(
        repairs(b"BYE sip:a@b SIP/2.0\r\nX: a\rb\r\nl: 0\r\n\r\n"),
        [Repair::LoneCarriageReturn]
    );
    assert_eq!(
        repairs(b"BYE sip:a@b SIP/2.0\r\n x\r\nl: 0\r\n\r\n"),
        [Repair::StrayFold]
    );
}

#[test]
fn a_bad_header_nobody_needs_spoils_nothing() {
    let view = view(
        b"BYE sip:a@b SIP/2.0\r\nDate: yesterday\r\nCSeq: 5 BYE\r\nContact: <<>>\r\nl: 0\r\n\r\n",
    );
    assert_eq!(view.cseq().map(|cseq| cseq.number), Ok(5));
    assert!(matches!(
        view.contact(),
        Err(HeaderError::Malformed {
            name: HeaderName::Contact,
            ..
        })
    ));
    assert_eq!(view.via_top(), Err(HeaderError::Missing(HeaderName::Via)));
}

#[test]
fn unknown_headers_are_found_by_name_in_any_case() {
    let view = view(b"BYE sip:a@b SIP/2.0\r\nX-Lab: 1\r\nx-other: 2\r\nX-LAB:3\r\nl: 0\r\n\r\n");
    let values: Vec<_> = view.values(&HeaderName::from("x-lab")).collect();
    assert_eq!(values, [b"1", b"3"]);
}

#[test]
fn limits_hold() {
    let limits = Limits {
        message: 400,
        headers: 5,
        value: 50,
        start_line: 60,
    };
    let head = "BYE sip:a@b SIP/2.0\r\nl: 0\r\n";
    let cases = [
        (format!("{head}{}\r\n", "A: 1\r\n".repeat(4)), None),
        (
            format!("{head}{}\r\n", "A: 1\r\n".repeat(5)),
            Some(ParseErrorKind::TooManyHeaders),
        ),
        (
            format!("{head}A: {}\r\n\r\n", "x".repeat(60)),
            Some(ParseErrorKind::LineTooLong),
        ),
        (
            format!("BYE sip:{}@b SIP/2.0\r\nl: 0\r\n\r\n", "x".repeat(60)),
            Some(ParseErrorKind::LineTooLong),
        ),
        (
            format!("{head}\r\n{}", "x".repeat(400)),
            Some(ParseErrorKind::MessageTooLarge),
        ),
    ];
    for (text, kind) in cases {
        let outcome = MessageView::parse(text.as_bytes(), &limits);
        assert_eq!(outcome.err().map(|error| error.kind), kind, "{text}");
    }
}

#[test]
fn no_setting_allows_more_headers_than_the_index_holds() {
    let limits = Limits {
        headers: 100_000,
        ..Limits::default()
    };
    let text = format!("BYE sip:a@b SIP/2.0\r\n{}\r\n", "A: 1\r\n".repeat(129));
    let outcome = MessageView::parse(text.as_bytes(), &limits);
    assert_eq!(
        outcome.err().map(|error| error.kind),
        Some(ParseErrorKind::TooManyHeaders)
    );
}

#[test]
fn line_ends_are_found_wherever_they_are() {
    for length in 0..40 {
        for position in 0..length {
            for end in [b'\r', b'\n'] {
                let mut line = vec![b'x'; length];
                line[position] = end;
                assert_eq!(find_line_end(&line), Some(position));
            }
        }
        // Octets that differ from a line end by one bit or by a carry.
        assert_eq!(
            find_line_end(&[0x0b, 0x0c, 0x0e, 0x8a, 0x8d, 0x09][..length.min(6)]),
            None
        );
    }
}
