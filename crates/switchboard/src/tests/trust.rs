//! What a sender may say of itself and of others, and what it may ask of us.

use super::*;

/// What only servers write.
const VOUCHED: &str = "P-Asserted-Identity: <sip:boss@board.test>\r\n\
    Remote-Party-ID: <sip:boss@board.test>;party=calling\r\n\
    Diversion: <sip:boss@board.test>;reason=unconditional\r\n\
    History-Info: <sip:boss@board.test>;index=1\r\n\
    P-Preferred-Identity: <sip:boss@board.test>\r\n";

const NAMES: [HeaderName; 4] = [
    HeaderName::PAssertedIdentity,
    HeaderName::RemotePartyId,
    HeaderName::Diversion,
    HeaderName::HistoryInfo,
];

fn call_with(headers: &str, via: &str, n: u32) -> String {
    Ask {
        via,
        branch: &format!("z9hG4bKtrust{n}"),
        call_id: &format!("trust-{n}"),
        headers: &format!("Contact: <sip:alice@{via}>\r\n{headers}"),
        ..Ask::default()
    }
    .text()
}

#[test]
fn who_is_no_neighbour_vouches_for_nobody() {
    let hosts = Hosts::parse("pbx.test 10.0.0.3:5060").expect("a table");
    let mut bench = Bench::new(Users::Open, hosts);
    bench.register("bob", BOB);
    // A caller, and somebody who sends from another port of the neighbour's machine.
    for (n, from) in [ALICE, "10.0.0.3:40000"].into_iter().enumerate() {
        bench.say(from, &call_with(VOUCHED, from, n as u32));
        let copy = bench.request_to(BOB, "INVITE");
        for name in NAMES.into_iter().chain([HeaderName::PPreferredIdentity]) {
            assert!(!copy.headers.has(name.clone()), "{name:?} of {from}");
        }
        // Neither does who answers.
        let answer = reply(&copy, 180, "b", BOB)
            .replace("Content-Length", &format!("{VOUCHED}Content-Length"));
        bench.say(BOB, &answer);
        let ringing = bench.response_to(from, 180);
        assert!(!NAMES.into_iter().any(|name| ringing.headers.has(name)));
    }
    // The neighbour does (RFC 3325 §5), but for what ends at the first server (§9.2).
    bench.say(CAROL, &call_with(VOUCHED, CAROL, 9));
    let copy = bench.request_to(BOB, "INVITE");
    assert!(NAMES.into_iter().all(|name| copy.headers.has(name)));
    assert!(!copy.headers.has(HeaderName::PPreferredIdentity));
    // §7: what is to be kept within goes to no phone.
    let private = format!("{VOUCHED}Privacy: id;critical\r\n");
    bench.say(CAROL, &call_with(&private, CAROL, 10));
    let copy = bench.request_to(BOB, "INVITE");
    assert!(!copy.headers.has(HeaderName::PAssertedIdentity));
    assert!(!copy.headers.has(HeaderName::RemotePartyId));
}

#[test]
fn options_for_nobody_is_404_and_for_somebody_what_a_call_would_get() {
    // RFC 3261 §11.2: the status is that of an INVITE.
    for (users, status) in [(Users::Open, 404), (list(), 407)] {
        let mut bench = Bench::new(users, Hosts::default());
        for (n, (uri, status)) in [
            ("sip:nobody@board.test", status),
            ("sip:nobody@10.0.0.9", status),
            ("sip:10.0.0.9:5060", 200),
        ]
        .into_iter()
        .enumerate()
        {
            let ask = Ask {
                method: "OPTIONS",
                uri,
                branch: &format!("z9hG4bKo{n}"),
                headers: "",
                ..Ask::default()
            };
            bench.say(ALICE, &ask.text());
            bench.response_to(ALICE, status);
        }
    }
    let mut bench = Bench::open();
    for (n, (number, status)) in [
        ("echo", 200),
        ("busy", 486),
        ("moved", 302),
        ("overload", 503),
    ]
    .into_iter()
    .enumerate()
    {
        let ask = Ask {
            method: "OPTIONS",
            uri: &format!("sip:{number}@10.0.0.9"),
            branch: &format!("z9hG4bKn{n}"),
            headers: "",
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        bench.response_to(ALICE, status);
    }
    bench.register("bob", BOB);
    let ask = Ask {
        method: "OPTIONS",
        branch: "z9hG4bKbob",
        headers: "",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    bench.request_to(BOB, "OPTIONS");
}

#[test]
fn an_extension_that_no_proxy_here_knows_is_named() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    let base = Ask::default();
    // RFC 3261 §16.3 step 5, and §8.2.2.3 for what is for ourselves.
    let through = Ask {
        headers: "Contact: <sip:alice@10.0.0.1>\r\nProxy-Require: magic, privacy\r\nRequire: 100rel\r\n",
        ..base
    };
    bench.say(ALICE, &through.text());
    let refusal = bench.response_to(ALICE, 420);
    let named: Vec<&str> = refusal.headers.get_all(HeaderName::Unsupported).collect();
    assert_eq!(named.join(", "), "magic, privacy");
    let to_us = Ask {
        method: "OPTIONS",
        uri: "sip:10.0.0.9:5060",
        headers: "Require: magic\r\n",
        branch: "z9hG4bKus",
        ..base
    };
    bench.say(ALICE, &to_us.text());
    let refusal = bench.response_to(ALICE, 420);
    assert_eq!(refusal.headers.get(HeaderName::Unsupported), Some("magic"));
    // What the far end has to know is the far end's matter.
    let theirs = Ask {
        headers: "Contact: <sip:alice@10.0.0.1>\r\nRequire: 100rel\r\n",
        branch: "z9hG4bKtheirs",
        ..base
    };
    bench.say(ALICE, &theirs.text());
    bench.request_to(BOB, "INVITE");
}
