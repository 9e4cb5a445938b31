//! RFC 3261 §10.3.

use sip_core::Tokens;
use sip_core::auth::{Authenticator, Credentials};

use super::*;

fn register(headers: &str, cseq: u32) -> String {
    Ask {
        method: "REGISTER",
        uri: "sip:board.test",
        to: "<sip:alice@board.test>",
        cseq,
        branch: &format!("z9hG4bKreg{cseq}"),
        headers,
        ..Ask::default()
    }
    .text()
}

fn contacts(response: &Response) -> Vec<(String, String)> {
    let contacts = response.headers.contacts().unwrap_or_default();
    let pairs = contacts.iter().map(|contact| {
        let expires = contact.params.get("expires").expect("an expiry");
        (contact.uri.to_string(), expires.to_owned())
    });
    pairs.collect()
}

fn answer(bench: &mut Bench, text: &str, status: u16) -> Response {
    bench.say(ALICE, text);
    bench.response_to(ALICE, status)
}

#[test]
fn all_bindings_are_listed_with_what_is_left_of_them() {
    let mut bench = Bench::open();
    let two = "Contact: <sip:a@10.0.0.1>;expires=60, <sip:a@10.0.0.2>\r\nExpires: 300\r\n";
    let ok = answer(&mut bench, &register(two, 1), 200);
    assert!(ok.headers.to().expect("a To").tag().is_some());
    bench.wait_s(10);
    let listed = contacts(&answer(&mut bench, &register("", 2), 200));
    let expected = [("sip:a@10.0.0.1", "50"), ("sip:a@10.0.0.2", "290")];
    let expected = expected.map(|(c, e)| (c.to_owned(), e.to_owned()));
    assert_eq!(listed, expected);
    bench.wait_s(51);
    assert_eq!(
        contacts(&answer(&mut bench, &register("", 3), 200)).len(),
        1
    );
    bench.wait_s(300);
    assert_eq!(
        bench.exchange.counts().bindings,
        0,
        "the end comes by itself"
    );
    bench.assert_forgets();
}

#[test]
fn one_binding_or_all_are_removed() {
    let mut bench = Bench::open();
    let three = "Contact: <sip:a@10.0.0.1>, <sip:a@10.0.0.2>\r\nContact: <sip:a@10.0.0.3>\r\n";
    let all = contacts(&answer(&mut bench, &register(three, 1), 200));
    assert!(all.iter().all(|(_, expires)| expires == "600"), "{all:?}");
    let one = register("Contact: <sip:a@10.0.0.2>;expires=0\r\n", 2);
    assert_eq!(contacts(&answer(&mut bench, &one, 200)).len(), 2);
    let star = register("Contact: *\r\nExpires: 0\r\n", 3);
    assert_eq!(contacts(&answer(&mut bench, &star, 200)).len(), 0);
    assert_eq!(bench.exchange.counts().bindings, 0);
}

#[test]
fn a_star_that_breaks_the_rules_removes_nothing() {
    let mut bench = Bench::open();
    answer(
        &mut bench,
        &register("Contact: <sip:a@10.0.0.1>\r\n", 5),
        200,
    );
    let bad = [
        "Contact: *\r\n",
        "Contact: *\r\nExpires: 60\r\n",
        "Contact: *\r\nContact: <sip:a@10.0.0.4>\r\nExpires: 0\r\n",
        "Contact: *, <sip:a@10.0.0.4>\r\nExpires: 0\r\n",
    ];
    for (n, headers) in bad.into_iter().enumerate() {
        answer(&mut bench, &register(headers, 10 + n as u32), 400);
    }
    answer(
        &mut bench,
        &register("Contact: *\r\nExpires: 0\r\n", 4),
        500,
    );
    assert_eq!(bench.exchange.counts().bindings, 1);
}

#[test]
fn too_short_a_time_is_refused_and_too_long_a_one_cut() {
    let mut bench = Bench::open();
    let brief = answer(
        &mut bench,
        &register("Contact: <sip:a@h>;expires=2\r\n", 1),
        423,
    );
    assert_eq!(brief.headers.min_expires(), Ok(5));
    let long = register("Contact: <sip:a@h>\r\nExpires: 86400\r\n", 2);
    assert_eq!(contacts(&answer(&mut bench, &long, 200))[0].1, "3600");
}

#[test]
fn a_repeat_is_answered_the_same_and_changes_nothing() {
    let mut bench = Bench::open();
    let text = register("Contact: <sip:a@10.0.0.1>\r\n", 1);
    let first = answer(&mut bench, &text, 200).to_bytes();
    bench.wait_s(1);
    assert_eq!(answer(&mut bench, &text, 200).to_bytes(), first);
    assert_eq!(bench.exchange.counts().requests, 1);
}

#[test]
fn an_extension_that_is_asked_for_is_not_pretended() {
    let mut bench = Bench::open();
    let text = register("Contact: <sip:a@10.0.0.1>\r\nRequire: magic\r\n", 1);
    let refusal = answer(&mut bench, &text, 420);
    assert_eq!(refusal.headers.get(HeaderName::Unsupported), Some("magic"));
    assert_eq!(bench.exchange.counts().bindings, 0);
}

/// Answers a challenge as a phone does.
pub(super) fn with_login(challenge: &Response, text: &str, user: &str, password: &str) -> String {
    let Ok(Message::Request(mut request)) = Message::parse(text.as_bytes()) else {
        panic!("a request");
    };
    let mut authenticator = Authenticator::new(vec![Credentials::new(user, password)]);
    let mut exchange = sip_core::auth::Exchange::default();
    authenticator
        .handle_challenge(challenge, &mut exchange)
        .expect("a challenge that can be answered");
    let mut tokens = Tokens::new(&Seed::from_number(3));
    authenticator.authorize(&mut request, &mut exchange, &mut tokens);
    String::from_utf8(request.to_bytes()).expect("text")
}

#[test]
fn a_list_of_users_asks_for_the_password() {
    let mut bench = Bench::new(list(), Hosts::default());
    let contact = "Contact: <sip:alice@10.0.0.1>\r\n";
    let challenge = answer(&mut bench, &register(contact, 1), 401);
    assert_eq!(bench.exchange.counts().bindings, 0);
    let wrong = with_login(&challenge, &register(contact, 2), "alice", "guess");
    answer(&mut bench, &wrong, 401);
    let stranger = with_login(&challenge, &register(contact, 3), "bob", "two");
    answer(&mut bench, &stranger, 403);
    let challenge = answer(&mut bench, &register(contact, 4), 401);
    let right = with_login(&challenge, &register(contact, 5), "alice", "one");
    answer(&mut bench, &right, 200);
    assert_eq!(bench.exchange.counts().bindings, 1);
    // The same answer in another request is a replay.
    let replay = right
        .replace("z9hG4bKreg5", "z9hG4bKreg6")
        .replace("CSeq: 5", "CSeq: 6");
    let stale = answer(&mut bench, &replay, 401);
    let again = stale.headers.get(HeaderName::WwwAuthenticate);
    assert!(again.is_some_and(|v| v.contains("stale=true")), "{again:?}");
}

#[test]
fn calls_need_the_password_too_and_it_stays_here() {
    let mut bench = Bench::new(list(), Hosts::default());
    let contact = "Contact: <sip:alice@10.0.0.1>\r\n";
    let challenge = answer(&mut bench, &register(contact, 1), 401);
    let right = with_login(&challenge, &register(contact, 2), "alice", "one");
    answer(&mut bench, &right, 200);
    let call = |cseq| {
        let branch = format!("z9hG4bKcall{cseq}");
        Ask {
            uri: "sip:alice@board.test",
            from: "<sip:bob@board.test>;tag=bob",
            via: BOB,
            cseq,
            branch: &branch,
            headers: "P-Asserted-Identity: <sip:boss@board.test>\r\n",
            ..Ask::default()
        }
        .text()
    };
    bench.say(BOB, &call(1));
    let challenge = bench.response_to(BOB, 407);
    assert!(bench.sent.is_empty(), "nobody rings before");
    // RFC 3261 §22.3: who proves to be bob calls as bob, or as nobody (RFC 3323 §4.1).
    let as_another = call(1).replace("From: <sip:bob@", "From: <sip:boss@");
    assert_ne!(as_another, call(1));
    let as_another = as_another.replace("z9hG4bKcall1", "z9hG4bKcall9");
    bench.say(BOB, &with_login(&challenge, &as_another, "bob", "two"));
    bench.response_to(BOB, 403);
    assert!(bench.sent.is_empty(), "nobody rings for a forged caller");
    bench.say(BOB, &call(1).replace("z9hG4bKcall1", "z9hG4bKcall8"));
    let challenge = bench.response_to(BOB, 407);
    bench.say(BOB, &with_login(&challenge, &call(2), "bob", "two"));
    let forwarded = bench.request_to(ALICE, "INVITE");
    assert!(!forwarded.headers.has(HeaderName::ProxyAuthorization));
    assert!(
        !forwarded.headers.has(HeaderName::PAssertedIdentity),
        "RFC 3325 §5"
    );
    // Somebody who is on the list and not at home.
    let absent = |cseq| call(cseq).replace("INVITE sip:alice", "INVITE sip:bob");
    bench.say(BOB, &absent(3));
    let challenge = bench.response_to(BOB, 407);
    bench.say(BOB, &with_login(&challenge, &absent(4), "bob", "two"));
    bench.response_to(BOB, 480);
}

/// A REGISTER of a phone that keeps several ways open.
fn with_ways(reg_id: u32, at: &str, cseq: u32) -> String {
    let headers = format!(
        "Contact: <sip:alice@{at};transport=tcp;ob>;reg-id={reg_id};+sip.instance=\"<urn:uuid:a>\"\r\n\
         Supported: path, outbound, gruu\r\nExpires: 600\r\n"
    );
    register(&headers, cseq).replace("SIP/2.0/UDP 10.0.0.1:5060", &format!("SIP/2.0/TCP {at}"))
}

#[test]
fn a_phone_keeps_two_ways_and_is_called_by_one_until_that_is_gone() {
    let mut bench = Bench::open();
    let (first, second) = ("10.0.0.1:6001", "10.0.0.1:6002");
    for (n, at) in [first, second].into_iter().enumerate() {
        let n = n as u32 + 1;
        bench.say_by(Transport::Tcp, at, &with_ways(n, at, n));
        let ok = bench.response_to(at, 200);
        assert_eq!(ok.headers.get(HeaderName::Require), Some("outbound"));
        assert_eq!(ok.headers.flow_timer(), Ok(120));
        assert_eq!(ok.headers.service_routes().map(|r| r.len()), Ok(1));
        let listed = ok.headers.contacts().expect("Contacts");
        assert_eq!(listed.len(), n as usize);
        let ids: Vec<_> = listed
            .iter()
            .filter_map(|c| c.params.get("reg-id"))
            .collect();
        assert!(ids.contains(&n.to_string().as_str()), "{ids:?}");
        bench.wait_s(1);
    }
    let call = |n: u32| {
        Ask {
            uri: "sip:alice@board.test",
            via: BOB,
            call_id: &format!("ways-{n}"),
            branch: &format!("z9hG4bKways{n}"),
            ..Ask::default()
        }
        .text()
    };
    // By the newest way, and by it alone.
    bench.say(BOB, &call(1));
    let copy = bench.request_to(second, "INVITE");
    assert!(
        !bench
            .heard()
            .iter()
            .any(|line| line.ends_with("INVITE") && line.starts_with("10.0.0.1 I"))
    );
    // It turns out to be gone: by the other, and the caller hears nothing of it.
    let via = copy.headers.via_top().expect("a Via");
    let error = sip_core::TransportError::Closed;
    let branch = via.branch().expect("a branch");
    bench
        .exchange
        .handle_transport_error(bench.now, branch, &error);
    bench.wait_s(0);
    bench.act();
    let copy = bench.request_to(first, "INVITE");
    bench.say_by(Transport::Tcp, first, &reply(&copy, 200, "a", first));
    bench.response_to(BOB, 200);
    // Known to be gone, it is not tried at all.
    bench
        .exchange
        .handle_flow_closed(inbound(Transport::Tcp, second).flow);
    bench.say(BOB, &call(2));
    bench.request_to(first, "INVITE");
    // A renewal of one way replaces that way alone.
    let third = "10.0.0.1:6003";
    bench.say_by(Transport::Tcp, third, &with_ways(2, third, 7));
    let ok = bench.response_to(third, 200);
    assert_eq!(ok.headers.contacts().map(|c| c.len()), Ok(2));
}

#[test]
fn a_gruu_reaches_one_phone_and_a_temporary_one_tells_nobody_who_it_is() {
    let mut bench = Bench::open();
    bench.say_by(Transport::Tcp, ALICE, &with_ways(1, ALICE, 1));
    let ok = bench.response_to(ALICE, 200);
    let contact = ok.headers.contact().expect("a Contact");
    let public = contact.params.get("pub-gruu").expect("one").to_owned();
    let temporary = contact.params.get("temp-gruu").expect("one").to_owned();
    assert_eq!(public, "sip:alice@board.test;gr=urn:uuid:a");
    assert!(
        !temporary.contains("alice") && temporary.ends_with(";gr"),
        "{temporary}"
    );
    bench.register_contact(
        Transport::Udp,
        "alice",
        DAVE,
        &format!("<sip:alice@{DAVE}>"),
    );
    for (n, uri) in [&public, &temporary].into_iter().enumerate() {
        let ask = Ask {
            uri,
            via: BOB,
            call_id: &format!("gruu-{n}"),
            branch: &format!("z9hG4bKgruu{n}"),
            ..Ask::default()
        };
        bench.say(BOB, &ask.text());
        let copy = bench.request_to(ALICE, "INVITE");
        assert_eq!(copy.uri.host.to_string(), "10.0.0.1");
        assert!(!bench.sent.iter().any(|sent| sent.to == addr(DAVE)));
    }
    for (n, (uri, status)) in [
        ("sip:alice@board.test;gr=urn:uuid:other", 480),
        ("sip:tgruu.0000@board.test;gr", 404),
    ]
    .into_iter()
    .enumerate()
    {
        let ask = Ask {
            uri,
            via: BOB,
            branch: &format!("z9hG4bKnogruu{n}"),
            ..Ask::default()
        };
        bench.say(BOB, &ask.text());
        bench.response_to(BOB, status);
    }
}

#[test]
fn a_path_is_kept_and_gone_by() {
    let mut bench = Bench::open();
    let edge = "<sip:edge@10.0.0.3:5060;lr;ob>";
    let headers = format!(
        "Contact: <sip:alice@192.168.0.7>\r\nPath: {edge}\r\nSupported: path\r\nExpires: 600\r\n"
    );
    bench.say(
        CAROL,
        &register(&headers, 1).replace("10.0.0.1:5060;branch", "10.0.0.3:5060;branch"),
    );
    let ok = bench.response_to(CAROL, 200);
    assert_eq!(ok.headers.get(HeaderName::Path), Some(edge));
    let ask = Ask {
        uri: "sip:alice@board.test",
        via: BOB,
        ..Ask::default()
    };
    bench.say(BOB, &ask.text());
    let copy = bench.request_to(CAROL, "INVITE");
    assert_eq!(copy.headers.get(HeaderName::Route), Some(edge));
    assert_eq!(copy.uri.to_string(), "sip:alice@192.168.0.7");
}

#[test]
fn ways_through_a_proxy_that_does_not_keep_them_are_refused_or_plain() {
    let mut bench = Bench::open();
    let through = |text: &str| {
        text.replacen(
            "Max-Forwards",
            "Via: SIP/2.0/TCP 192.168.0.7;branch=z9hG4bKin\r\nMax-Forwards",
            1,
        )
    };
    let required =
        with_ways(1, ALICE, 1).replace("Supported: path", "Require: outbound\r\nSupported: path");
    bench.say_by(Transport::Tcp, ALICE, &through(&required));
    bench.response_to(ALICE, 439);
    bench.say_by(Transport::Tcp, ALICE, &through(&with_ways(1, ALICE, 2)));
    let ok = bench.response_to(ALICE, 200);
    assert!(!ok.headers.has(HeaderName::Require));
}

#[test]
fn in_an_open_house_nobody_takes_a_test_number() {
    let mut bench = Bench::open();
    for user in ["600", "echo", "7001", "404"] {
        let register = Ask {
            method: "REGISTER",
            uri: "sip:board.test",
            from: &format!("<sip:{user}@board.test>;tag=r"),
            to: &format!("<sip:{user}@board.test>"),
            call_id: &format!("takes-{user}"),
            branch: &format!("z9hG4bK-{user}"),
            via: BOB,
            headers: &format!("Contact: <sip:{user}@{BOB}>\r\n"),
            ..Ask::default()
        };
        bench.say(BOB, &register.text());
        bench.response_to(BOB, 403);
    }
}
