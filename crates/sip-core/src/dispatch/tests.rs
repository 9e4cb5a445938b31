//! Who messages are for, and what strays are told.

use std::net::SocketAddr;

use sip_message::{HeaderName, Message, Method, Request, StatusCode, Via};

use super::{
    OwnerKey, RequestClass, ServerKey, answer_address, mark_received, request_owner, response_owner,
};
use crate::path::{FlowId, Inbound, Path, Transport};
use crate::stateless::{Capabilities, Strays, respond_statelessly, response, verdict_for_stray};
use crate::tokens::{Seed, Tokens};

fn request(method: &str, via: &str, to_tag: &str) -> Request {
    let text = format!(
        "{method} sip:bob@192.0.2.1 SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@x>;tag=from\r\n\
         To: <sip:b@x>{to_tag}\r\nCall-ID: c\r\nCSeq: 3 {method}\r\n\r\n"
    );
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

const VIA: &str = "SIP/2.0/UDP host.example:5070;branch=z9hG4bKabc";
const OLD_VIA: &str = "SIP/2.0/UDP host.example:5070;branch=1";

fn key(method: &str, via: &str) -> ServerKey {
    ServerKey::of(&request(method, via, "")).expect("readable")
}

#[test]
fn ack_and_cancel_find_the_invite_and_other_methods_do_not() {
    assert_eq!(key("ACK", VIA), key("INVITE", VIA));
    assert_eq!(key("CANCEL", VIA), key("INVITE", VIA));
    assert_ne!(key("BYE", VIA), key("INVITE", VIA));
}

#[test]
fn a_cancel_has_a_transaction_of_its_own_for_its_repeats() {
    let cancel = request("CANCEL", VIA, "");
    assert_ne!(ServerKey::of_cancel(&cancel), ServerKey::of(&cancel));
    assert_eq!(ServerKey::of_cancel(&cancel), ServerKey::of_cancel(&cancel));
}

#[test]
fn the_same_branch_from_another_sender_is_another_transaction() {
    let other = VIA.replace("5070", "5071");
    assert_ne!(key("INVITE", VIA), key("INVITE", &other));
    let shouted = VIA.replace("host.example", "HOST.example");
    assert_eq!(key("INVITE", VIA), key("INVITE", &shouted));
}

#[test]
fn rfc_2543_elements_are_matched_by_what_does_not_change() {
    assert!(matches!(key("INVITE", OLD_VIA), ServerKey::Legacy { .. }));
    let ack = request("ACK", OLD_VIA, ";tag=ours");
    assert_eq!(ServerKey::of(&ack), Some(key("INVITE", OLD_VIA)));
    let bare = "SIP/2.0/UDP host.example:5070;branch=z9hG4bK";
    assert!(matches!(key("INVITE", bare), ServerKey::Legacy { .. }));
    let mut marked = request("INVITE", OLD_VIA, "");
    mark_received(&mut marked, &inbound("198.51.100.7:1024"));
    assert_eq!(ServerKey::of(&marked), Some(key("INVITE", OLD_VIA)));
}

#[test]
fn requests_are_sorted_by_via_and_to_tag() {
    let owner = OwnerKey {
        call_id: "c".to_owned(),
        local_tag: "t".to_owned(),
    };
    let of = |method: &str, tag: &str| RequestClass::of(&request(method, VIA, tag));
    assert_eq!(of("INVITE", ""), RequestClass::Initial(key("INVITE", VIA)));
    assert_eq!(
        of("BYE", ";tag=t"),
        RequestClass::InDialog(owner.clone(), key("BYE", VIA))
    );
    assert_eq!(
        of("ACK", ";tag=t"),
        RequestClass::Ack(Some(owner), key("INVITE", VIA))
    );
    assert_eq!(of("CANCEL", ""), RequestClass::Cancel(key("INVITE", VIA)));
    assert_eq!(
        RequestClass::of(&request("INVITE", "nonsense", "")),
        RequestClass::Hopeless
    );
}

#[test]
fn responses_belong_to_the_from_tag_and_requests_to_the_to_tag() {
    let bye = request("BYE", VIA, ";tag=ours");
    assert_eq!(request_owner(&bye).unwrap().local_tag, "ours");
    assert_eq!(request_owner(&request("INVITE", VIA, "")), None);
    let ok = response(&bye, StatusCode::OK, None);
    assert_eq!(response_owner(&ok).unwrap().local_tag, "from");
    assert_eq!(response_owner(&ok).unwrap().call_id, "c");
}

fn inbound(source: &str) -> Inbound {
    Inbound {
        flow: FlowId(1),
        path: Path {
            transport: Transport::Udp,
            remote: source.parse().unwrap(),
            local: "192.0.2.1:5060".parse().unwrap(),
        },
    }
}

fn marked(via: &str, source: &str) -> String {
    let mut request = request("OPTIONS", via, "");
    mark_received(&mut request, &inbound(source));
    mark_received(&mut request, &inbound(source));
    request.headers.get(HeaderName::Via).unwrap().to_owned()
}

#[test]
fn the_top_via_tells_where_a_request_really_came_from() {
    assert_eq!(
        marked(
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport",
            "198.51.100.7:1024"
        ),
        "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=1024;received=198.51.100.7"
    );
    assert_eq!(
        marked("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", "198.51.100.7:1024"),
        "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;received=198.51.100.7"
    );
    let same = "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa";
    assert_eq!(marked(same, "198.51.100.7:1024"), same);
}

#[test]
fn the_other_vias_of_a_joined_header_are_left_alone() {
    let two = "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa, SIP/2.0/TCP 10.0.0.2;branch=z9hG4bKb";
    let marked = marked(two, "198.51.100.7:1024");
    assert!(marked.contains("received=198.51.100.7"), "{marked}");
    assert!(
        marked.ends_with(", SIP/2.0/TCP 10.0.0.2;branch=z9hG4bKb"),
        "{marked}"
    );
}

#[test]
fn strays_get_the_answer_that_rfc_3261_8_2_gives() {
    let capabilities = Capabilities::default();
    let verdict = |method: &str, tag: &str| {
        verdict_for_stray(&request(method, VIA, tag), &capabilities).map(StatusCode::code)
    };
    assert_eq!(verdict("ACK", ""), None);
    assert_eq!(verdict("ACK", ";tag=x"), None);
    assert_eq!(verdict("BYE", ";tag=x"), Some(481));
    assert_eq!(verdict("CANCEL", ""), Some(481));
    assert_eq!(
        verdict("OPTIONS", ""),
        Some(404),
        "RFC 3261 §11.2: as to INVITE"
    );
    let mut to_the_phone = request("OPTIONS", VIA, "");
    to_the_phone.uri.user = None;
    let verdict_of_phone = verdict_for_stray(&to_the_phone, &capabilities);
    assert_eq!(verdict_of_phone, Some(StatusCode::OK));
    assert_eq!(verdict("INVITE", ""), Some(404));
    assert_eq!(verdict("BREW", ""), Some(405));
    assert_eq!(verdict("SUBSCRIBE", ""), Some(405));
    let told = Capabilities::default().with_events(&[]);
    let subscribe = request("SUBSCRIBE", VIA, "");
    let verdict_of_told = verdict_for_stray(&subscribe, &told);
    assert_eq!(verdict_of_told, Some(StatusCode::BAD_EVENT));
    let mut demanding = request("OPTIONS", VIA, "");
    demanding.headers.push(HeaderName::Require, "100rel, moon");
    assert_eq!(
        verdict_for_stray(&demanding, &capabilities).map(StatusCode::code),
        Some(420)
    );
    assert_eq!(capabilities.unsupported(&demanding), ["100rel", "moon"]);
}

#[test]
fn stateless_answers_carry_what_their_status_calls_for() {
    let capabilities = Capabilities::default();
    let tokens = Tokens::new(&Seed::from_number(1));
    let answer = |method: &str, code: u16| {
        let mut request = request(method, VIA, "");
        request.headers.push(HeaderName::Require, "moon");
        let status = StatusCode::new(code).unwrap();
        respond_statelessly(&request, status, &capabilities, &tokens)
    };
    let options = answer("OPTIONS", 200);
    let allow = options.headers.get(HeaderName::Allow).unwrap();
    assert_eq!(allow, "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO");
    assert_eq!(
        options.headers.get(HeaderName::Accept),
        Some("application/sdp")
    );
    assert!(options.headers.to().unwrap().tag().is_some());
    assert!(answer("BREW", 405).headers.has(HeaderName::Allow));
    assert_eq!(
        answer("INVITE", 420).headers.get(HeaderName::Unsupported),
        Some("moon")
    );
}

#[test]
fn a_repeated_request_gets_the_same_to_tag_and_another_one_another() {
    let capabilities = Capabilities::default();
    let tag = |seed: u64, method: &str, via: &str| {
        let response = respond_statelessly(
            &request(method, via, ""),
            StatusCode::NOT_FOUND,
            &capabilities,
            &Tokens::new(&Seed::from_number(seed)),
        );
        let to = response.headers.to().unwrap();
        to.tag().expect("RFC 3261 §8.2.6.2").to_owned()
    };
    let first = tag(1, "INVITE", VIA);
    assert_eq!(first.len(), 16);
    assert_eq!(tag(1, "INVITE", VIA), first, "RFC 3261 §8.2.7");
    assert_ne!(tag(1, "OPTIONS", VIA), first, "another CSeq");
    let other = VIA.replace("z9hG4bK", "z9hG4bKx");
    assert_ne!(tag(1, "INVITE", &other), first, "another branch");
    assert_ne!(tag(2, "INVITE", VIA), first, "another process");
}

#[test]
fn a_100_has_no_to_tag_and_an_existing_tag_stays() {
    let invite = request("INVITE", VIA, "");
    let trying = response(&invite, StatusCode::TRYING, Some("new"));
    assert_eq!(trying.headers.to().unwrap().tag(), None);
    let bye = request("BYE", VIA, ";tag=old");
    let ok = response(&bye, StatusCode::OK, Some("new"));
    assert_eq!(ok.headers.to().unwrap().tag(), Some("old"));
    assert_eq!(ok.headers.cseq().unwrap().method, Method::Bye);
}

#[test]
fn a_notify_finds_its_subscription_by_the_tag_of_the_subscribe() {
    let subscribed = OwnerKey {
        call_id: "c".to_owned(),
        local_tag: "ours".to_owned(),
    };
    let notify = request("NOTIFY", VIA, ";tag=ours");
    assert_eq!(
        RequestClass::of(&notify),
        RequestClass::InDialog(subscribed, key("NOTIFY", VIA))
    );
    for method in ["MESSAGE", "PUBLISH", "SUBSCRIBE"] {
        assert_eq!(
            RequestClass::of(&request(method, VIA, "")),
            RequestClass::Initial(key(method, VIA))
        );
    }
}

#[test]
fn ten_thousand_notifies_without_a_subscription_leave_nothing_but_their_number() {
    let tokens = Tokens::new(&Seed::from_number(1));
    let phone = Capabilities::default();
    let mut strays = Strays::default();
    for number in 0..10_000 {
        let tag = if number % 2 == 0 { ";tag=x" } else { "" };
        let via = format!("{VIA}{number}");
        let answer = strays
            .answer(&request("NOTIFY", &via, tag), &phone, &tokens)
            .expect("an answer");
        assert_eq!(answer.status.code(), 481);
    }
    assert_eq!(
        strays,
        Strays {
            notifies: 10_000,
            ..Strays::default()
        }
    );
    let _ = strays.answer(&request("BYE", VIA, ";tag=x"), &phone, &tokens);
    let _ = strays.answer(&request("OPTIONS", VIA, ""), &phone, &tokens);
    assert_eq!((strays.in_dialogs, strays.others), (1, 1));
    assert_eq!(
        strays.answer(&request("ACK", VIA, ""), &phone, &tokens),
        None
    );
}

/// RFC 3261 §11.2, RFC 6665 §8.2.2.
#[test]
fn only_what_is_built_in_is_said() {
    let tokens = Tokens::new(&Seed::from_number(1));
    let options = request("OPTIONS", VIA, "");
    let said = |capabilities: &Capabilities, name: HeaderName| {
        let answer = respond_statelessly(&options, StatusCode::OK, capabilities, &tokens);
        answer.headers.get(name).map(str::to_owned)
    };
    let plain = Capabilities::default();
    assert_eq!(said(&plain, HeaderName::AllowEvents), None);
    assert!(!said(&plain, HeaderName::Allow).unwrap().contains("MESSAGE"));
    let whole = Capabilities::default()
        .with_messages()
        .with_events(&["application/dialog-info+xml"])
        .with_notifier(&["dialog"])
        .with_messages();
    assert_eq!(
        said(&whole, HeaderName::AllowEvents).as_deref(),
        Some("refer, dialog")
    );
    assert_eq!(
        said(&whole, HeaderName::Accept).as_deref(),
        Some("application/sdp, text/plain, message/cpim, application/dialog-info+xml")
    );
    let allow = said(&whole, HeaderName::Allow).unwrap();
    assert!(
        allow.ends_with("INFO, MESSAGE, NOTIFY, SUBSCRIBE"),
        "{allow}"
    );
    let bad = respond_statelessly(&options, StatusCode::BAD_EVENT, &whole, &tokens);
    assert_eq!(
        bad.headers.get(HeaderName::AllowEvents),
        Some("refer, dialog")
    );
}

#[test]
fn answers_go_to_the_port_of_the_via_unless_the_source_port_was_asked_for() {
    let source: SocketAddr = "192.0.2.7:40000".parse().unwrap();
    let to = |via: &str, heeds_maddr| {
        let via = Via::parse(&format!("SIP/2.0/UDP {via};branch=z9hG4bKx")).unwrap();
        answer_address(&via, source, heeds_maddr).to_string()
    };
    for (via, address) in [
        ("192.0.2.7:5070", "192.0.2.7:5070"),
        ("192.0.2.7", "192.0.2.7:5060"),
        // RFC 3261 §18.2.2: `received` says where it came from, and so does the socket.
        ("10.0.0.1:5070;received=192.0.2.7", "192.0.2.7:5070"),
        ("phone.example.com", "192.0.2.7:5060"),
        // RFC 3581 §4.
        ("10.0.0.1:5070;rport", "192.0.2.7:40000"),
        (
            "10.0.0.1:5070;rport=40000;received=192.0.2.7",
            "192.0.2.7:40000",
        ),
        ("192.0.2.7:0", "192.0.2.7:5060"),
        // Somebody else's address, or everybody's.
        ("192.0.2.7:5070;maddr=198.51.100.1", "192.0.2.7:5070"),
    ] {
        assert_eq!(to(via, false), address, "{via}");
    }
    for (via, address) in [
        ("192.0.2.7:5070;maddr=198.51.100.1", "198.51.100.1:5070"),
        ("192.0.2.7;maddr=198.51.100.1;rport", "198.51.100.1:5060"),
        ("192.0.2.7:5070;maddr=224.0.1.75", "192.0.2.7:5070"),
        ("192.0.2.7:5070;maddr=[2001:db8::1]", "192.0.2.7:5070"),
        ("192.0.2.7:5070;maddr=phone.example.com", "192.0.2.7:5070"),
    ] {
        assert_eq!(to(via, true), address, "{via}");
    }
}
