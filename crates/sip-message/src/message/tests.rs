use super::*;

const INVITE: &[u8] = b"INVITE sip:bob@example.net SIP/2.0\r\n\
Via: SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bK776asdhds;rport, SIP/2.0/TCP [2001:db8::1]\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@example.net>\r\n\
f:   \"Alice \\\"A\\\"\" <sip:alice@example.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710@pc33.example.com\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@pc33.example.com>\r\n\
X-Unknown:\tkept  as it is\r\n\
Subject: folded\r\n over two lines\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 4\r\n\
\r\n\
v=0\n";

fn invite() -> Request {
    match Message::parse(INVITE).expect("parses") {
        Message::Request(request) => request,
        Message::Response(_) => panic!("is a request"),
    }
}

#[test]
fn an_untouched_message_is_written_back_octet_for_octet() {
    assert_eq!(invite().to_bytes(), INVITE);
}

#[test]
fn the_headers_everybody_needs_are_read() {
    let headers = invite().headers;
    let via = headers.via_top().expect("Via");
    assert_eq!(via.branch(), Some("z9hG4bK776asdhds"));
    assert_eq!((via.port, via.rport()), (Some(5066), Some(None)));
    assert_eq!(headers.vias().expect("both").len(), 2);
    assert_eq!(
        headers.from().expect("From").display.as_deref(),
        Some("Alice \"A\"")
    );
    assert_eq!(headers.from().expect("From").tag(), Some("1928301774"));
    assert_eq!(headers.to().expect("To").tag(), None);
    assert_eq!(
        headers.cseq().expect("CSeq"),
        crate::CSeq {
            number: 314_159,
            method: Method::Invite
        }
    );
    assert_eq!(headers.max_forwards(), Ok(70));
    assert_eq!(
        headers.get(HeaderName::Subject),
        Some("folded over two lines")
    );
    assert_eq!(
        headers.contact().expect("Contact").uri.to_string(),
        "sip:alice@pc33.example.com"
    );
}

#[test]
fn a_changed_message_keeps_the_lines_that_were_not_changed() {
    let mut request = invite();
    request.headers.set(HeaderName::MaxForwards, 69);
    request.body.clear();
    let bytes = request.to_bytes();
    let written = text(&bytes);
    assert!(written.contains("\r\nMax-Forwards: 69\r\n"));
    assert!(written.contains("\r\nf:   \"Alice"));
    assert!(written.contains("X-Unknown:\tkept  as it is\r\n"));
    assert!(written.ends_with("Content-Length: 0\r\n\r\n"));
}

/// RFC 3261 §7.2: the status stands in the first line, so whatever else is broken does not touch it.
#[test]
fn the_status_of_a_response_that_cannot_be_read_is_known() {
    let salvaged = |line: &str| {
        let text = format!("{line}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd");
        let error = Message::parse(text.as_bytes()).expect_err("two lengths");
        let salvage = error.salvage.expect("there are headers");
        assert_eq!(
            salvage.headers.get_all(HeaderName::ContentLength).count(),
            2
        );
        (salvage.method, salvage.status.map(StatusCode::code))
    };
    assert_eq!(salvaged("SIP/2.0 200 OK"), (None, Some(200)));
    assert_eq!(salvaged("SIP/2.0 183"), (None, Some(183)));
    let request = "OPTIONS sip:200@example.com SIP/2.0";
    assert_eq!(salvaged(request), (Some(Method::Options), None));
}

#[test]
fn what_is_no_status_is_not_taken_for_one() {
    for line in [
        "SIP/2.0 20 OK",
        "SIP/2.0 2000 OK",
        "SIP/2.0 999 OK",
        "SIP/2.0 99 OK",
        "SIP/2.0 x00 OK",
        "SIP/2.0 ",
        "SIP/2.0",
        "SIP/3.0 200 OK",
        "",
    ] {
        let text = format!("{line}\r\nCSeq: 1 INVITE\r\n\r\n");
        let status = match Message::parse(text.as_bytes()) {
            Ok(message) => panic!("{line}: {message:?}"),
            Err(error) => error.salvage.and_then(|salvage| salvage.status),
        };
        assert_eq!(status, None, "{line}");
    }
}
