//! Faults that were reported of SIP stacks in the field, as far as they are about syntax. The
//! numbers are those of our list of cases.

use proptest::prelude::*;
use sip_message::framer::{Frame, StreamFramer};
use sip_message::{
    Challenge, Fault, HeaderError, HeaderName, Limits, Message, MessageView, Method, NameAddr,
    Request, Response, SerializeError, StatusCode, Uri, Via, facts, validate_request,
    validate_response,
};

fn response(text: &str) -> Response {
    match Message::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")) {
        Message::Response(response) => response,
        Message::Request(_) => panic!("{text} is a response"),
    }
}

fn answer(status: &str, to: &str, more: &str) -> Response {
    response(&format!(
        "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: {to}\r\n\
         Call-ID: 1\r\nCSeq: 1 INVITE\r\n{more}Content-Length: 0\r\n\r\n"
    ))
}

/// Case 25: addresses of IPv6 in Contact and Via are written in brackets, whatever made them.
#[test]
fn case_25_ipv6_literals_are_written_in_brackets() {
    let address: std::net::IpAddr = "2001:db8::7".parse().expect("is an address");
    let uri = Uri::sip(address.into()).with_user("ada").with_port(5080);
    assert_eq!(uri.to_string(), "sip:ada@[2001:db8::7]:5080");
    assert_eq!(Uri::parse(&uri.to_string()), Ok(uri.clone()));
    assert_eq!(
        NameAddr::new(uri).to_string(),
        "<sip:ada@[2001:db8::7]:5080>"
    );
    let mut via = Via::new("TCP", address.into(), None, "z9hG4bK1");
    via.set_received(address);
    assert_eq!(Via::parse(&via.to_string()), Ok(via.clone()));
    assert_eq!(via.received(), Some(address));
    let mut request = Request::new(Method::Register, Uri::sip(address.into()));
    request.headers.push(HeaderName::Via, &via);
    let contact = NameAddr::new(Uri::sip(address.into()).with_user("ada").with_port(5080));
    request.headers.push(HeaderName::Contact, contact);
    let written = String::from_utf8(request.to_bytes()).expect("is text");
    assert!(written.starts_with("REGISTER sip:[2001:db8::7] SIP/2.0\r\n"));
    assert!(
        written.contains("\r\nVia: SIP/2.0/TCP [2001:db8::7];"),
        "{written}"
    );
    assert!(written.contains("\r\nContact: <sip:ada@[2001:db8::7]:5080>\r\n"));
    for bare in [
        "sip:ada@2001:db8::7",
        "sip:2001:db8::7",
        "sip:ada@[2001:db8::7",
    ] {
        assert!(Uri::parse(bare).is_err(), "{bare}");
    }
    assert!(Via::parse("SIP/2.0/UDP 2001:db8::7;branch=z9hG4bK1").is_err());
    // A received address stands without brackets with many peers; both are read.
    for received in ["2001:db8::7", "[2001:db8::7]"] {
        let text = format!("SIP/2.0/UDP a.example;branch=z9hG4bK1;received={received}");
        assert_eq!(
            Via::parse(&text).expect("is a Via").received(),
            Some(address)
        );
    }
}

/// A stream that has everything a careless framer trips over: a body of line ends, a fold, a compact
/// length, an empty body, and keepalives between the messages.
const STREAM: [&[u8]; 6] = [
    b"MESSAGE sip:b@lab.example SIP/2.0\r\nSubject: a\r\n b\r\nContent-Length: 12\r\n\r\n\r\n\r\n\r\r\n\nhi\r\n",
    b"\r\n\r\n",
    b"OPTIONS sip:b@lab.example SIP/2.0\r\nl: 0\r\n\r\n",
    b"SIP/2.0 200 OK\r\nl : 4\r\n\r\n\r\n\r\n",
    b"\r\n",
    b"BYE sip:b@lab.example SIP/2.0\r\nl: 0\r\n\r\n",
];

/// What comes out of [`STREAM`] when it arrives in these parts.
fn framed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut framer = StreamFramer::new();
    let mut frames = Vec::new();
    for part in parts {
        framer.push(part);
        while let Some(frame) = framer.poll().expect("can be framed") {
            frames.push(match frame {
                Frame::Message(octets) => octets,
                Frame::Ping => b"\r\n\r\n".to_vec(),
                Frame::Pong => b"\r\n".to_vec(),
            });
        }
    }
    assert_eq!(framer.buffered(), 0, "nothing is left behind");
    frames
}

/// Case 26: a message split at CR, at LF, within its body of line ends, octet for octet.
#[test]
fn case_26_a_stream_is_framed_alike_octet_by_octet_and_at_each_split() {
    let stream = STREAM.concat();
    assert_eq!(framed([stream.as_slice()]), STREAM);
    assert_eq!(framed(stream.chunks(1)), STREAM);
    for split in 0..=stream.len() {
        let (one, two) = stream.split_at(split);
        assert_eq!(framed([one, two]), STREAM, "split at {split}");
    }
    for message in STREAM.iter().filter(|part| part.len() > 4) {
        let parsed = Message::parse(message).expect("what was framed is a message");
        assert_eq!(parsed.to_bytes(), *message);
    }
}

/// Case 27: several messages in a segment, pings split, a line end too many behind a body.
#[test]
fn case_27_segments_hold_what_they_hold_wherever_a_ping_is_cut() {
    let [message, ping, options, ok, spare, bye] = STREAM;
    let mixed = [
        options, ping, bye, spare, message, spare, ok, ping, ping, options,
    ];
    let stream = mixed.concat();
    for (split, _) in stream.iter().enumerate() {
        let (one, two) = stream.split_at(split);
        let (half, rest) = two.split_at(two.len() / 2);
        assert_eq!(framed([one, half, rest]), mixed, "split at {split}");
    }
}

/// Case 43: commas and brackets in quotes, semicolons in the user part, no space before `<`, `;lrx`, and
/// the order of routes, all in one message.
#[test]
fn case_43_quotes_brackets_and_semicolons_delimit_only_where_they_do() {
    let text = "INVITE sip:ben;day=tue@lab.example;lr SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n\
        Route: <sip:p1.example;lrx>,<sip:p2.example;lr>\r\nFrom: \"Dewdney, Ada <sip:x@y>\"<sip:ada@lab.example>;tag=1\r\n\
        Route: \"a,b\" <sip:p3.example;lr=on>\r\nTo: Ben<sip:ben;day=tue@lab.example>\r\n\
        Contact: <sip:ada@192.0.2.1>;+sip.instance=\"<urn:uuid:1>\";q=0.5 , \"\\\"<\" <sip:b@192.0.2.2;x=1>;q=0.1\r\n\
        Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
    let Message::Request(request) = Message::parse(text.as_bytes()).expect("parses") else {
        panic!("is a request");
    };
    assert_eq!(validate_request(&request), Ok(()));
    assert_eq!(request.uri.user.as_deref(), Some("ben;day=tue"));
    let headers = &request.headers;
    let from = headers.from().expect("From");
    assert_eq!(from.display.as_deref(), Some("Dewdney, Ada <sip:x@y>"));
    assert_eq!(
        (from.uri.to_string().as_str(), from.tag()),
        ("sip:ada@lab.example", Some("1"))
    );
    let to = headers.to().expect("To");
    assert_eq!(to.display.as_deref(), Some("Ben"));
    assert_eq!(
        (to.uri.user.as_deref(), to.params.len()),
        (Some("ben;day=tue"), 0)
    );
    let routes = headers.routes().expect("Route");
    let hops: Vec<_> = routes
        .iter()
        .map(|route| (route.uri.host.to_string(), route.uri.is_loose_router()))
        .collect();
    let hop = |host: &str, loose| (host.to_owned(), loose);
    assert_eq!(
        hops,
        [
            hop("p1.example", false),
            hop("p2.example", true),
            hop("p3.example", true)
        ]
    );
    assert_eq!(routes[2].display.as_deref(), Some("a,b"));
    let contacts = headers.contacts().expect("Contact");
    let found: Vec<_> = contacts
        .iter()
        .map(|contact| (contact.display.as_deref(), contact.params.get("q")))
        .collect();
    assert_eq!(found, [(None, Some("0.5")), (Some("\"<"), Some("0.1"))]);
    assert_eq!(
        contacts[0].params.get("+sip.instance"),
        Some("<urn:uuid:1>")
    );
    assert_eq!(request.to_bytes(), text.as_bytes());
}

/// Case 42: what a peer leaves out in a provisional or final answer is missing, and no more.
#[test]
fn case_42_answers_without_tag_or_contact_are_still_messages() {
    let untagged = answer("200 OK", "<sip:b@c>", "");
    assert_eq!(validate_response(&untagged), Ok(()));
    assert_eq!(untagged.headers.to().expect("To").tag(), None);
    let trying = answer("100 Trying", "<sip:b@c>;tag=early", "");
    assert_eq!(validate_response(&trying), Ok(()));
    assert_eq!(trying.headers.to().expect("To").tag(), Some("early"));
    let ringing = answer("180 Ringing", "<sip:b@c>;tag=2", "");
    assert_eq!(
        ringing.headers.contact(),
        Err(HeaderError::Missing(HeaderName::Contact))
    );
    assert_eq!(validate_response(&ringing), Ok(()));
    assert_eq!(
        answer("183", "<sip:b@c>", "").status,
        StatusCode::SESSION_PROGRESS
    );
}

/// Case 44: no branch, a CSeq that overflows, zero octets, a multipart body that ends early.
#[test]
fn case_44_hostile_values_are_faults_of_one_header() {
    let text = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a.example\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
                Call-ID: 1\r\nCSeq: 4294967296 OPTIONS\r\nContent-Type: multipart/mixed;boundary=x\r\n\
                Content-Length: 5\r\n\r\n--x\0\r";
    let Message::Request(request) = Message::parse(text.as_bytes()).expect("can be framed") else {
        panic!("is a request");
    };
    assert_eq!(request.headers.via_top().expect("Via").branch(), None);
    let fault = HeaderError::Malformed {
        name: HeaderName::CSeq,
        fault: Fault::Range,
    };
    assert_eq!(request.headers.cseq(), Err(fault));
    let refused = validate_request(&request).expect_err("CSeq overflows");
    assert_eq!(
        (refused.status, refused.phrase().as_str()),
        (StatusCode::BAD_REQUEST, "Malformed CSeq Header")
    );
    assert_eq!(request.body, b"--x\0\r");
    assert_eq!(request.to_bytes(), text.as_bytes());
}

/// Case 44: each of them cut off at each octet, and with each octet made NUL, is an answer or an error.
#[test]
fn case_44_a_message_cut_anywhere_or_with_nul_anywhere_harms_nothing() {
    let text = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060\r\nFrom: \"a\\\"b\" <sip:a@b>;tag=1\r\n\
        To: <sip:a@b?x=%41>\r\nCall-ID: 1\r\nCSeq: 4294967295 INVITE\r\nContact: <sip:a@b>;q=0.5\r\n\
        WWW-Authenticate: Digest realm=\"b\", nonce=\"n\"\r\nContent-Type: multipart/mixed;boundary=\"x\"\r\n\
        Content-Length: 29\r\n\r\n--x\r\n\r\nv=0\r\ns=\0-\r\n--x\r\nhalf";
    let whole = facts(text, true);
    assert_eq!(whole.method.as_deref(), Some("INVITE"));
    for end in 0..text.len() {
        let (cut, _) = text.split_at(end);
        assert!(
            facts(cut, true).layer.is_some(),
            "cut at {end} it is not whole"
        );
        facts(cut, false);
    }
    for at in 0..text.len() {
        let mut bytes = text.to_vec();
        bytes[at] = 0;
        facts(&bytes, true);
        if let Ok(message) = Message::parse(&bytes) {
            let written = message.to_bytes();
            let again = Message::parse(&written).expect("what was written can be read");
            assert_eq!(again.to_bytes(), written, "NUL at {at}");
        }
    }
}

fn options() -> Request {
    let mut request = Request::new(
        Method::Options,
        Uri::parse("sip:b@lab.example").expect("is a URI"),
    );
    request
        .headers
        .push(HeaderName::Via, "SIP/2.0/UDP a.example;branch=z9hG4bK1");
    request.headers.push(HeaderName::From, "<sip:a@b>;tag=1");
    request.headers.push(HeaderName::To, "<sip:a@b>");
    request.headers.push(HeaderName::CallId, "1@a.example");
    request.headers.push(HeaderName::CSeq, "1 OPTIONS");
    request
}

#[test]
fn line_ends_in_values_forge_no_header() {
    let evil = "x\r\nRoute: <sip:evil.example;lr>\r\n\r\nbody";
    let requests = [
        {
            let mut request = options();
            request.headers.push(HeaderName::Subject, evil);
            ("a value", request)
        },
        {
            let mut request = options();
            request.headers.push(HeaderName::Other(evil.into()), 1);
            ("a name", request)
        },
        {
            let mut request = options();
            request.method = Method::Other(evil.into());
            ("a method", request)
        },
        {
            let mut request = options();
            let mut address = NameAddr::parse("<sip:a@b>").expect("is an address");
            address.params.set(evil, "1");
            request.headers.push(HeaderName::Contact, address);
            ("a parameter", request)
        },
    ];
    assert!(options().try_to_bytes().is_ok());
    for (place, request) in requests {
        assert!(request.try_to_bytes().is_err(), "{place}");
        let bytes = request.to_bytes();
        let lines = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!lines.contains("\r\nRoute:"), "{place}: {lines}");
        assert!(
            lines.ends_with("\r\nContent-Length: 0\r\n\r\n"),
            "{place}: {lines}"
        );
    }
    let mut response = Response::to_request(&options(), StatusCode::OK);
    response.reason = evil.to_owned();
    assert_eq!(response.try_to_bytes(), Err(SerializeError::StartLine));
    assert!(!String::from_utf8_lossy(&response.to_bytes()).contains("\r\nRoute:"));
}

#[test]
fn quoted_strings_and_uris_hold_no_line_end() {
    let uri = Uri::parse("sip:b@lab.example")
        .expect("is a URI")
        .with_user("b\r\nX: 1");
    let address = NameAddr::new(uri).with_display("a\r\nX: 1");
    assert_eq!(
        address.to_string(),
        "\"a  X: 1\" <sip:b%0D%0AX%3A%201@lab.example>"
    );
}

#[test]
fn content_length_is_always_right() {
    let mut request = options();
    assert!(request.to_bytes().ends_with(b"Content-Length: 0\r\n\r\n"));
    request.set_body("text/plain", b"hello".to_vec());
    request.headers.push(HeaderName::ContentLength, 99);
    request.headers.push(HeaderName::ContentLength, 98);
    let bytes = request.to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert_eq!(text.matches("Content-Length").count(), 1, "{text}");
    assert_eq!(Message::parse(&bytes).expect("reads back").body(), b"hello");
}

#[test]
fn a_datagram_without_length_gets_one_when_it_is_relayed() {
    let text = b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a.example\r\n\r\nhello";
    let mut message = Message::parse(text).expect("parses");
    assert_eq!(message.to_bytes(), text);
    message
        .headers_mut()
        .insert_first(HeaderName::Via, "SIP/2.0/TCP b.example");
    let relayed = message.to_bytes();
    assert!(String::from_utf8_lossy(&relayed).contains("\r\nContent-Length: 5\r\n"));
}

#[test]
fn bare_line_feeds_are_written_back_and_made_good_on_a_change() {
    let text = b"BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP a.example\nX: 1\n  2\nl: 2\n\nhi";
    let mut message = Message::parse(text).expect("parses");
    assert_eq!(message.to_bytes(), text);
    message.headers_mut().push(HeaderName::Subject, "new");
    let bytes = message.to_bytes();
    let parsed = Message::parse(&bytes).expect("reads back");
    assert_eq!(parsed, message);
    assert!(bytes.starts_with(b"BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a.example\r\n"));
}

#[test]
fn a_stray_carriage_return_does_not_travel_on() {
    let text = b"BYE sip:a@b SIP/2.0\r\nX: 1\rRoute: <sip:evil>\r\nl: 0\r\n\r\n";
    let message = Message::parse(text).expect("parses");
    assert_eq!(
        message.headers().get(HeaderName::from("X")),
        Some("1 Route: <sip:evil>")
    );
    assert!(!String::from_utf8_lossy(&message.to_bytes()).contains("\rRoute"));
}

#[test]
fn compact_forms_say_the_same() {
    let mut request = options();
    request.set_body("text/plain", b"hello".to_vec());
    let compact = request.to_bytes_compact();
    assert!(compact.len() < request.to_bytes().len());
    assert!(String::from_utf8_lossy(&compact).contains("\r\nv: SIP/2.0/UDP"));
    let long = Message::parse(&request.to_bytes()).expect("reads back");
    assert_eq!(Message::parse(&compact).expect("reads back"), long);
}

#[test]
fn what_the_headers_were_forgiven_is_told() {
    use sip_message::Repair;
    let cases: [(&[u8], Repair); 4] = [
        (
            b"BYE sip:a@b SIP/2.0\r\nRoute: <sip:p;lr=on>\r\nl: 0\r\n\r\n",
            Repair::ValuedLr,
        ),
        (
            b"BYE sip:a@b SIP/2.0\r\nTo: Ada (x) <sip:a@b>\r\nl: 0\r\n\r\n",
            Repair::SloppyDisplayName,
        ),
        (
            b"BYE sip:a@b SIP/2.0\r\nSubject: \xfc\r\nl: 0\r\n\r\n",
            Repair::NotUtf8,
        ),
        (
            b"BYE sip:a@b SIP/2.0\r\nCSeq: 1 BYE\r\nCSeq: 1 BYE\r\nl: 0\r\n\r\n",
            Repair::RepeatedHeader,
        ),
    ];
    for (bytes, repair) in cases {
        let message = Message::parse(bytes).expect("parses");
        assert_eq!(message.repairs().iter().collect::<Vec<_>>(), [repair]);
        assert_eq!(message.to_bytes(), bytes, "{repair}");
    }
}

#[test]
fn a_line_that_is_no_header_is_not_relayed_as_a_fold() {
    let text = b"BYE sip:a@b SIP/2.0\r\n ;lr>, <sip:evil>\r\nl: 0\r\n\r\n";
    let mut message = Message::parse(text).expect("parses");
    assert_eq!(message.to_bytes(), text);
    message
        .headers_mut()
        .insert_first(HeaderName::Route, "<sip:p;lr>");
    assert!(!String::from_utf8_lossy(&message.to_bytes()).contains("evil"));
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9.!%*_+`'~-]{1,12}"
}

fn uri() -> impl Strategy<Value = Uri> {
    let host = prop_oneof![
        "[a-z]{1,8}\\.example",
        Just("192.0.2.1".to_owned()),
        Just("[2001:db8::1]".to_owned())
    ];
    let params = proptest::collection::vec((token(), proptest::option::of(".{1,8}")), 0..3);
    (
        proptest::option::of(".{1,10}"),
        host,
        proptest::option::of(any::<u16>()),
        params,
    )
        .prop_map(|(user, host, port, params)| {
            let mut uri = Uri::parse(&format!("sip:{host}")).expect("is a URI");
            uri.user = user;
            uri.port = port;
            for (name, value) in params {
                match value {
                    Some(value) => uri.params.set(name, value),
                    None => uri.params.set_flag(name),
                }
            }
            // Escapes are added on writing, so the written form is the one to compare.
            Uri::parse(&uri.to_string()).unwrap_or_else(|error| panic!("{uri}: {error}"))
        })
}

fn name_addr() -> impl Strategy<Value = NameAddr> {
    let params =
        proptest::collection::vec((token(), proptest::option::of("[^\r\n\0]{0,12}")), 0..3);
    (proptest::option::of("[^\r\n\0]{0,12}"), uri(), params).prop_map(|(display, uri, params)| {
        let mut address = NameAddr::new(uri);
        address.display = display;
        for (name, value) in params {
            match value {
                Some(value) => address.params.set(name, value),
                None => address.params.set_flag(name),
            }
        }
        address
    })
}

proptest! {
    #[test]
    fn no_octets_make_a_parser_panic(bytes in any::<Vec<u8>>(), text in "\\PC*") {
        drop(Message::parse(&bytes));
        drop(MessageView::parse(&bytes, &Limits::default()));
        drop(Uri::parse(&text));
        drop(NameAddr::parse(&text));
        drop(Via::parse(&text));
        drop(Challenge::parse(&text));
        facts(&bytes, false);
    }

    /// Octets that look like a message reach deeper than arbitrary ones.
    #[test]
    fn no_header_value_makes_a_reader_panic(
        name in prop::sample::select(vec!["Via", "Contact", "m", "To", "CSeq", "WWW-Authenticate", "Date", "Retry-After",
            "Warning", "Replaces", "Session-Expires", "Privacy", "Route", "Content-Type", "Authorization", "Reason"]),
        value in "[\"<>;,=:@%\\\\/ a0z().\\[\\]*\r\n\t?&-]{0,40}",
    ) {
        let text = format!("BYE sip:a@b SIP/2.0\r\n{name}: {value}\r\nl: 0\r\n\r\n");
        facts(text.as_bytes(), false);
    }

    #[test]
    fn an_untouched_message_comes_back_octet_for_octet(
        lines in proptest::collection::vec("[A-Za-z-]{1,14}[ \t]{0,2}:[ \t]{0,2}[^\r\n\0]{0,30}(\r\n[ \t][^\r\n\0]{0,10})?", 0..10),
        body in any::<Vec<u8>>(),
    ) {
        let lines: Vec<_> = lines.into_iter().filter(|line| !line.to_ascii_lowercase().starts_with("l")
            && !line.to_ascii_lowercase().starts_with("content-length")).collect();
        let mut head = format!("INFO  sip:a@b SIP/2.0\r\n{}\r\n", lines.join("\r\n")).replacen("  ", " ", 1);
        if lines.is_empty() {
            head.truncate(head.len() - 2);
        }
        let bytes = [head.as_bytes(), format!("l:{}\r\n\r\n", body.len()).as_bytes(), &body].concat();
        let message = Message::parse(&bytes).expect("is in order");
        prop_assert_eq!(message.to_bytes(), bytes);
    }

    #[test]
    fn built_addresses_read_back_the_same(address in name_addr()) {
        let written = address.to_string();
        prop_assert_eq!(NameAddr::parse(&written), Ok(address), "{}", written);
    }

    #[test]
    fn built_messages_read_back_the_same(
        from in name_addr(),
        uri in uri(),
        number in 0u32..1 << 31,
        subject in "[^\r\n\0]{0,20}",
        body in any::<Vec<u8>>(),
    ) {
        let mut request = Request::new(Method::Message, uri);
        request.headers.push(HeaderName::From, from);
        request.headers.push(HeaderName::CSeq, sip_message::CSeq { number, method: Method::Message });
        request.headers.push(HeaderName::Subject, subject.trim());
        request.headers.push(HeaderName::ContentLength, body.len());
        request.body = body;
        let bytes = request.try_to_bytes().expect("holds no line end");
        let parsed = Message::parse(&bytes).expect("reads back");
        prop_assert_eq!(&parsed, &Message::Request(request));
        prop_assert_eq!(parsed.to_bytes(), bytes);
    }
}
