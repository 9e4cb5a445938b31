//! One MESSAGE each way (RFC 3428).

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sip_message::{HeaderName, Message, Method, NameAddr, Request, StatusCode};

use super::incoming::Broken;
use super::{
    InstantMessage, MessageConfig, MessageEvent, MessageRefusal, answer_message, read_message,
};
use crate::auth::{Credentials, Home};
use crate::client::RequestFailure;
use crate::events::Fault;
use crate::output::Output;
use crate::path::{Destination, FlowId, Inbound, Path, ResolveError, ResolveId, Transport};
use crate::stateless::{self, Capabilities, StatusLine};
use crate::tokens::{Seed, Tokens};

struct Bench {
    now: Instant,
    message: InstantMessage,
    paths: Result<Vec<Path>, ResolveError>,
    sent: Vec<(Destination, Request)>,
    events: Vec<MessageEvent>,
    deadline: Option<Instant>,
}

fn path(last: u8) -> Path {
    Path {
        transport: Transport::Udp,
        remote: format!("192.0.2.{last}:5060").parse().unwrap(),
        local: "10.0.0.5:40000".parse().unwrap(),
    }
}

fn address(text: &str) -> NameAddr {
    NameAddr::parse(text).unwrap()
}

impl Bench {
    fn said(text: &str) -> Self {
        let mut config = MessageConfig::text(
            address("<sip:bob@example.com>"),
            address("<sip:alice@example.com>"),
            text,
        );
        config.credentials = vec![Credentials::new("alice", "wonder")];
        config.home = Home::new(vec![sip_message::Uri::parse("sip:example.com").unwrap()]);
        Self {
            now: Instant::now(),
            message: InstantMessage::new(config, &Seed::from_number(1)),
            paths: Ok(vec![path(1), path(2)]),
            sent: Vec::new(),
            events: Vec::new(),
            deadline: None,
        }
    }

    fn sent(text: &str) -> Self {
        let mut bench = Self::said(text);
        bench.message.send(bench.now);
        bench.settle();
        bench
    }

    fn settle(&mut self) {
        let mut asked: Option<ResolveId> = None;
        loop {
            match self.message.poll_output() {
                Output::Transmit(transmit) => match Message::parse(&transmit.bytes).unwrap() {
                    Message::Request(request) => self.sent.push((transmit.destination, request)),
                    Message::Response(_) => unreachable!("nobody asked"),
                },
                Output::Resolve { id, .. } => asked = Some(id),
                Output::Event(event) => self.events.push(event),
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    let Some(id) = asked.take() else { return };
                    let paths = self.paths.clone();
                    self.message.handle_resolved(self.now, id, paths);
                }
            }
        }
    }

    fn answer(&mut self, code: u16, header: Option<(HeaderName, &str)>) {
        let (destination, request) = self.sent.last().unwrap();
        let mut response =
            stateless::response(request, StatusCode::new(code).unwrap(), Some("bob"));
        if let Some((name, value)) = header {
            response.headers.push(name, value);
        }
        let inbound = Inbound {
            flow: FlowId(1),
            path: *destination.path(),
        };
        self.message.handle_response(self.now, &response, &inbound);
        self.settle();
    }
}

// ---- RFC 3428 §4 UAC processing ----

#[test]
fn a_message_has_a_body_and_no_contact() {
    let bench = Bench::sent("hello, world\r\nsecond line");
    let (_, request) = &bench.sent[0];
    assert_eq!(request.method, Method::Message);
    assert_eq!(
        request.headers.get(HeaderName::ContentType),
        Some("text/plain;charset=UTF-8")
    );
    assert_eq!(request.body, b"hello, world\r\nsecond line");
    assert!(!request.headers.has(HeaderName::Contact));
}

#[test]
fn delivered_stored_and_refused_are_told_apart() {
    let told = |code| {
        let mut bench = Bench::sent("x");
        bench.answer(code, None);
        assert!(bench.message.is_drained());
        assert_eq!(bench.events.len(), 1);
        bench.events.pop().unwrap()
    };
    assert!(matches!(told(200), MessageEvent::Delivered { .. }));
    assert!(matches!(told(202), MessageEvent::Stored { .. }));
    let MessageEvent::Failed(Fault::Status {
        status, path: by, ..
    }) = told(404)
    else {
        panic!("refused");
    };
    assert_eq!((status.code(), by), (404, path(1)));
}

#[test]
fn a_challenge_is_answered_and_the_next_server_tried() {
    let mut bench = Bench::sent("x");
    bench.answer(
        401,
        Some((
            HeaderName::WwwAuthenticate,
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"",
        )),
    );
    assert!(bench.sent[1].1.headers.has(HeaderName::Authorization));
    bench.answer(503, None);
    assert_eq!(*bench.sent[2].0.path(), path(2));
    bench.answer(200, None);
    assert!(matches!(
        bench.events.last(),
        Some(MessageEvent::Delivered { .. })
    ));
}

#[test]
fn silence_and_a_name_not_found_are_told() {
    let mut bench = Bench::sent("x");
    while let Some(next) = bench.deadline {
        bench.now = next;
        bench.message.handle_timeout(next);
        bench.settle();
    }
    assert!(matches!(
        bench.events.last(),
        Some(MessageEvent::Failed(Fault::Request(
            RequestFailure::Silent { .. }
        )))
    ));
    assert!(bench.message.is_drained());
    let mut lost = Bench::said("x");
    lost.paths = Err(ResolveError::NoAnswer);
    lost.message.send(lost.now);
    lost.settle();
    assert!(matches!(
        lost.events.last(),
        Some(MessageEvent::Failed(Fault::Unresolved(_)))
    ));
}

// ---- RFC 3428 §8 Congestion control ----

#[test]
fn a_large_one_goes_over_tcp_and_that_is_told() {
    let mut bench = Bench::sent(&"x".repeat(1300));
    assert_eq!(bench.sent[0].0.transport(), Transport::Tcp);
    assert!(matches!(bench.events[0], MessageEvent::Notice(_)));
    bench.now += Duration::from_secs(1);
    bench.answer(200, None);
    assert!(bench.message.is_drained());
}

#[test]
fn sending_twice_sends_once() {
    let mut bench = Bench::sent("x");
    bench.message.send(bench.now);
    bench.settle();
    assert_eq!(bench.sent.len(), 1);
}

// ---- RFC 3428 §7 UAS processing ----

fn incoming(kind: &str, body: &[u8]) -> Request {
    let text = format!(
        "MESSAGE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n\
         From: Alice <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\n\
         CSeq: 1 MESSAGE\r\nSubject: greeting\r\nContent-Type: {kind}\r\n\r\n"
    );
    let bytes = [text.as_bytes(), body].concat();
    match Message::parse(&bytes).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("it is a request"),
    }
}

#[test]
fn plain_text_is_read_in_the_character_sets_of_the_field() {
    for (kind, body, text, repaired) in [
        ("text/plain", "grüß".as_bytes(), "grüß", false),
        ("text/plain;charset=UTF-8", "grüß".as_bytes(), "grüß", false),
        ("Text/Plain; charset=\"utf-8\"", b"a", "a", false),
        (
            "text/plain;charset=iso-8859-1",
            b"gr\xfc\xdf",
            "grüß",
            false,
        ),
        ("text/plain", b"a\xffb", "a\u{fffd}b", true),
    ] {
        let message = read_message(&incoming(kind, body), 4096).expect(kind);
        assert_eq!((message.text.as_str(), message.repaired), (text, repaired));
        assert_eq!(message.from.display.as_deref(), Some("Alice"));
        assert_eq!(message.subject.as_deref(), Some("greeting"));
    }
}

#[test]
fn a_cpim_wrapper_is_taken_off() {
    let body = "From: MR SANDERS <im:piglet@100akerwood.com>\r\nTo: Depressed Donkey <im:eeyore@x>\r\n\
                DateTime: 2000-12-13T13:40:00-08:00\r\nSubject: the weather will be fine today\r\n\r\n\
                Content-type: text/plain; charset=utf-8\r\nContent-ID: <1@x>\r\n\r\nHere is the text.";
    let message = read_message(&incoming("message/cpim", body.as_bytes()), 4096).unwrap();
    assert_eq!(message.text, "Here is the text.");
    assert_eq!(message.from.display.as_deref(), Some("MR SANDERS"));
    assert_eq!(message.date.as_deref(), Some("2000-12-13T13:40:00-08:00"));
    assert_eq!(
        message.subject.as_deref(),
        Some("the weather will be fine today")
    );
    let bare = body.replace("\r\n", "\n");
    assert_eq!(
        read_message(&incoming("message/cpim", bare.as_bytes()), 4096).unwrap(),
        message
    );
}

#[test]
fn what_we_cannot_show_is_refused_with_what_we_can() {
    let cases = [
        (incoming("text/html", b"<b>"), MessageRefusal::UnknownKind),
        (
            incoming("text/plain;charset=utf-16", b"x"),
            MessageRefusal::UnknownKind,
        ),
        (
            incoming("nonsense", b"x"),
            MessageRefusal::Broken(Broken::Kind),
        ),
        (
            incoming("message/cpim", b"From: x"),
            MessageRefusal::Broken(Broken::Wrapper),
        ),
        (
            incoming(
                "message/cpim",
                b"a: b\r\n\r\nContent-Type: text/html\r\n\r\nx",
            ),
            MessageRefusal::UnknownKind,
        ),
        (
            incoming("text/plain", &[b'x'; 4097]),
            MessageRefusal::TooLarge,
        ),
    ];
    let tokens = Tokens::new(&Seed::from_number(1));
    for (request, refusal) in cases {
        assert_eq!(read_message(&request, 4096), Err(refusal));
        let response = answer_message(&request, Err(refusal), &Capabilities::default(), &tokens);
        assert_eq!(StatusLine::of(&response), refusal.status());
        if refusal == MessageRefusal::UnknownKind {
            assert_eq!(
                response.headers.get(HeaderName::Accept),
                Some("text/plain, message/cpim")
            );
        }
    }
    let mut packed = incoming("text/plain", b"x");
    packed.headers.push(HeaderName::ContentEncoding, "gzip");
    assert_eq!(
        read_message(&packed, 4096),
        Err(MessageRefusal::UnknownKind)
    );
    let ok = answer_message(&packed, Ok(()), &Capabilities::default(), &tokens);
    assert_eq!(ok.status, StatusCode::OK);
    assert!(!ok.headers.has(HeaderName::Contact));
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(
        kind in prop_oneof!["text/plain", "message/cpim", "[ -~]{0,40}"],
        body in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut request = incoming("text/plain", b"");
        request.set_body(&kind, body);
        let _ = read_message(&request, 300);
    }
}
