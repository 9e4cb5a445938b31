//! Calls to the numbers that the switchboard answers itself.

use super::*;

fn dial(number: &str, n: usize, body: &str) -> String {
    Ask {
        uri: &format!("sip:{number}@10.0.0.9"),
        to: &format!("<sip:{number}@10.0.0.9>"),
        call_id: &format!("number-{n}"),
        branch: &format!("z9hG4bKnumber{n}"),
        body,
        ..Ask::default()
    }
    .text()
}

/// A request inside the dialog that this 200 made.
fn within(ok: &Response, method: &str, cseq: u32, body: &str) -> String {
    let contact = ok.headers.contact().expect("a Contact").uri.to_string();
    Ask {
        method,
        uri: &contact,
        to: ok.headers.get(HeaderName::To).expect("a To"),
        call_id: ok.headers.get(HeaderName::CallId).expect("a Call-ID"),
        cseq,
        branch: &format!("z9hG4bK{method}{cseq}"),
        body,
        ..Ask::default()
    }
    .text()
}

fn body(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

#[test]
fn a_status_is_dialled_and_answered() {
    let mut bench = Bench::open();
    for (n, number) in ["404", "486", "busy", "503", "603", "decline", "699"]
        .into_iter()
        .enumerate()
    {
        bench.say(ALICE, &dial(number, n, "v=0"));
        let expected = match number {
            "busy" => 486,
            "decline" => 603,
            digits => digits.parse().expect("digits"),
        };
        bench.response_to(ALICE, expected);
    }
    bench.say(ALICE, &dial("401", 100, "v=0"));
    let refusal = bench.response_to(ALICE, 401);
    assert!(refusal.headers.has(HeaderName::WwwAuthenticate));
    bench.assert_forgets();
}

#[test]
fn an_echo_answers_holds_and_hangs_up() {
    for number in ["echo", "600", "9196"] {
        let mut bench = Bench::open();
        bench.say(ALICE, &dial(number, 1, "v=0 offer"));
        let ok = bench.response_to(ALICE, 200);
        assert_eq!(body(&ok), "v=0 answer");
        assert_eq!(bench.opened.len(), 1);
        assert_eq!(bench.opened[0].1, Number::Echo);
        bench.say(ALICE, &within(&ok, "ACK", 1, ""));
        bench.sent.clear();
        bench.say(ALICE, &within(&ok, "INVITE", 2, "v=0 hold"));
        let held = bench.response_to(ALICE, 200);
        assert_eq!((body(&held).as_str(), bench.changed), ("v=0 answer", 1));
        bench.say(ALICE, &within(&ok, "ACK", 2, ""));
        bench.say(ALICE, &within(&ok, "BYE", 3, ""));
        bench.response_to(ALICE, 200);
        assert_eq!(bench.closed.len(), 1);
        bench.wait_s(PATIENCE * 4);
        bench.assert_forgets();
    }
}

#[test]
fn a_caller_without_an_offer_gets_ours() {
    let mut bench = Bench::open();
    bench.say(ALICE, &dial("tone", 1, ""));
    let ok = bench.response_to(ALICE, 200);
    assert_eq!(body(&ok), "v=0 offer");
    assert_eq!(bench.opened[0].1, Number::Tone);
    bench.say(ALICE, &within(&ok, "ACK", 1, "v=0 late answer"));
    assert_eq!(bench.line_answers, [b"v=0 late answer".to_vec()]);
    bench.say(ALICE, &within(&ok, "INVITE", 2, ""));
    assert_eq!(body(&bench.response_to(ALICE, 200)), "v=0 offer");
    bench.say(ALICE, &within(&ok, "ACK", 2, "v=0 again"));
    assert_eq!(bench.line_answers.len(), 2);
    bench.say(ALICE, &within(&ok, "BYE", 3, ""));
    bench.wait_s(PATIENCE * 4);
    bench.assert_forgets();
}

#[test]
fn nobody_answers_the_number_that_rings_until_the_caller_gives_up() {
    let mut bench = Bench::open();
    bench.say(ALICE, &dial("ring", 1, "v=0"));
    bench.response_to(ALICE, 180);
    bench.wait_s(600);
    assert!(bench.opened.is_empty());
    bench.sent.clear();
    let cancel = Ask {
        method: "CANCEL",
        uri: "sip:ring@10.0.0.9",
        to: "<sip:ring@10.0.0.9>",
        call_id: "number-1",
        branch: "z9hG4bKnumber1",
        headers: "",
        ..Ask::default()
    };
    bench.say(ALICE, &cancel.text());
    bench.response_to(ALICE, 200);
    bench.response_to(ALICE, 487);
    bench.wait_s(PATIENCE * 4);
    bench.assert_forgets();
}

#[test]
fn a_caller_that_died_does_not_ring_or_talk_for_ever() {
    let mut bench = Bench::open();
    bench.say(ALICE, &dial("ring", 1, "v=0"));
    bench.wait_s(2 * 3_600);
    bench.assert_forgets();
    bench.say(ALICE, &dial("echo", 2, "v=0"));
    bench.wait_s(PATIENCE * 5);
    assert_eq!(bench.closed.len(), 2, "a 200 that nobody acknowledges");
    bench.assert_forgets();
    bench.say(ALICE, &dial("echo", 3, "v=0"));
    let (line, ..) = bench.opened[1];
    let place = bench.sent.iter().rposition(|sent| code(sent) == Some(200));
    let Message::Response(ok) = &bench.sent[place.expect("a 200")].message else {
        panic!("a response");
    };
    let ack = within(&ok.clone(), "ACK", 1, "");
    bench.say(ALICE, &ack);
    bench.wait_s(3_600);
    assert_eq!(bench.exchange.counts().lines, 1);
    bench.exchange.hang_up_line(bench.now, line);
    bench.act();
    bench.request_to(ALICE, "BYE");
    bench.wait_s(PATIENCE * 5);
    bench.assert_forgets();
}

#[test]
fn a_number_speaks_only_calls() {
    let mut bench = Bench::open();
    for (method, status) in [("OPTIONS", 200), ("INFO", 405), ("SUBSCRIBE", 405)] {
        let branch = format!("z9hG4bK{method}");
        let ask = Ask {
            method,
            uri: "sip:echo@10.0.0.9",
            branch: &branch,
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        let answer = bench.response_to(ALICE, status);
        assert!(answer.headers.has(HeaderName::Allow));
    }
    bench.assert_forgets();
}

#[test]
fn lines_are_bounded_for_each_source_and_in_all() {
    let mut bench = Bench::open();
    for n in 0..1_100 {
        bench.say(ALICE, &dial("ring", n, "v=0"));
        bench.wait(Duration::from_millis(20));
    }
    assert_eq!(bench.exchange.counts().lines, 1_024);
    bench.response_to(ALICE, 503);
    let other = dial("ring", 5_000, "v=0").replace("10.0.0.1", "10.0.0.2");
    bench.say(BOB, &other);
    bench.response_to(BOB, 180);
    assert!(bench.exchange.counts().refused_full > 0);
}

/// Dials a number and acknowledges its 200.
fn talk(bench: &mut Bench, number: &str) -> Response {
    bench.say(ALICE, &dial(number, 1, "v=0"));
    let ok = bench.response_to(ALICE, 200);
    bench.say(ALICE, &within(&ok, "ACK", 1, ""));
    bench.sent.clear();
    ok
}

#[test]
fn an_early_tone_comes_before_the_answer_and_with_the_same_description() {
    let mut bench = Bench::open();
    bench.say(ALICE, &dial("early", 1, "v=0"));
    let early = bench.response_to(ALICE, 183);
    assert_eq!(body(&early), "v=0 answer");
    bench.wait_s(4);
    assert!(!bench.sent.iter().any(|sent| code(sent) == Some(200)));
    bench.wait_s(2);
    assert_eq!(body(&bench.response_to(ALICE, 200)), "v=0 answer");
}

#[test]
fn digits_in_an_info_are_played_back() {
    let mut bench = Bench::open();
    let ok = talk(&mut bench, "digits");
    let info = within(&ok, "INFO", 2, "Signal=5\r\nDuration=160\r\n")
        .replace("application/sdp", "application/dtmf-relay");
    bench.say(ALICE, &info);
    bench.response_to(ALICE, 200);
    assert_eq!(bench.played, ['5']);
}

#[test]
fn each_broken_number_is_broken_as_it_says() {
    let mut bench = Bench::open();
    bench.say(ALICE, &dial("silent", 1, "v=0"));
    bench.wait_s(PATIENCE);
    assert_eq!(bench.heard(), [""; 0], "not even a 100");
    for (number, says) in [("no-codec", "G729"), ("bad-sdp", "no session")] {
        let mut bench = Bench::open();
        bench.say(ALICE, &dial(number, 1, "v=0"));
        let ok = bench.response_to(ALICE, 200);
        assert!(body(&ok).contains(says), "{number}");
    }
    for (number, reason) in [("drop", None), ("drop-reason", Some("Q.850"))] {
        let mut bench = Bench::open();
        talk(&mut bench, number);
        bench.wait_s(2);
        assert_eq!(bench.heard(), [""; 0], "{number}");
        bench.wait_s(2);
        let bye = bench.request_to(ALICE, "BYE");
        let told = bye.headers.get(HeaderName::Reason);
        assert_eq!(told.and_then(|r| r.split(';').next()), reason);
    }
    for (n, (number, status, header, value)) in [
        ("overload", 503, HeaderName::RetryAfter, "30"),
        ("moved", 302, HeaderName::Contact, "<sip:echo@10.0.0.9>"),
        ("circle", 302, HeaderName::Contact, "<sip:circle@10.0.0.9>"),
        ("420", 420, HeaderName::Unsupported, "100rel, timer"),
        ("421", 421, HeaderName::Require, "no-such-extension"),
        ("422", 422, HeaderName::MinSe, "3600"),
        ("423", 423, HeaderName::MinExpires, "7200"),
        (
            "488",
            488,
            HeaderName::Warning,
            "399 switchboard \"This is what was dialled\"",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        bench.say(ALICE, &dial(number, 10 + n, "v=0"));
        let refusal = bench.response_to(ALICE, status);
        assert_eq!(refusal.headers.get(header), Some(value), "{number}");
    }
    bench.assert_forgets();
}

#[test]
fn one_forgets_its_call_one_wants_no_ack_and_one_answers_too_late() {
    let mut bench = Bench::open();
    let ok = talk(&mut bench, "forgets");
    bench.say(ALICE, &within(&ok, "INFO", 2, ""));
    bench.response_to(ALICE, 481);
    bench.say(ALICE, &within(&ok, "BYE", 3, ""));
    bench.response_to(ALICE, 481);
    bench.wait_s(PATIENCE * 4);
    bench.sent.clear();
    bench.assert_forgets();

    let mut bench = Bench::open();
    talk(&mut bench, "no-ack");
    bench.wait_s(PATIENCE - 1);
    let again = bench.sent.iter().filter(|sent| code(sent) == Some(200));
    assert!(again.count() >= 7);
    bench.wait_s(PATIENCE * 4);
    bench.assert_forgets();

    let mut bench = Bench::open();
    bench.say(ALICE, &dial("late", 1, "v=0"));
    bench.response_to(ALICE, 180);
    bench.wait_s(3);
    bench.sent.clear();
    let cancel = Ask {
        method: "CANCEL",
        uri: "sip:late@10.0.0.9",
        to: "<sip:late@10.0.0.9>",
        call_id: "number-1",
        branch: "z9hG4bKnumber1",
        headers: "",
        ..Ask::default()
    };
    bench.say(ALICE, &cancel.text());
    let heard = bench.heard();
    assert_eq!(heard, ["10.0.0.1 200 CANCEL", "10.0.0.1 200 INVITE"]);
}

#[test]
fn messages_go_to_phones_come_back_from_the_echo_and_are_refused_for_nobody() {
    let mut bench = Bench::open();
    bench.register("alice", ALICE);
    bench.register("bob", BOB);
    let message = |to: &str, n: usize| {
        Ask {
            method: "MESSAGE",
            uri: &format!("sip:{to}@board.test"),
            branch: &format!("z9hG4bKmessage{n}"),
            call_id: &format!("message-{n}"),
            headers: "",
            body: "hello",
            ..Ask::default()
        }
        .text()
        .replace("application/sdp", "text/plain")
    };
    bench.say(ALICE, &message("bob", 1));
    let there = bench.request_to(BOB, "MESSAGE");
    assert_eq!(there.body, b"hello");
    bench.say(BOB, &reply(&there, 200, "b", ""));
    bench.response_to(ALICE, 200);
    bench.say(ALICE, &message("nobody", 2));
    bench.response_to(ALICE, 404);
    bench.say(ALICE, &message("echo", 3));
    bench.response_to(ALICE, 200);
    let back = bench.request_to(ALICE, "MESSAGE");
    assert_eq!(back.body, b"hello");
    assert_eq!(back.uri.to_string(), format!("sip:alice@{ALICE}"));
    bench.say(ALICE, &message("480", 4));
    bench.response_to(ALICE, 480);
}

#[test]
fn numbers_that_have_moved_say_where_to() {
    // RFC 3261 §21.3.3: to where nobody is reached, in one way or another.
    for (number, contact) in [
        ("moved", "<sip:echo@10.0.0.9>"),
        ("circle", "<sip:circle@10.0.0.9>"),
        ("refused", "<sip:nobody@127.0.0.1:9>"),
        ("no-name", "<sip:nobody@no-such-name.invalid>"),
        ("nowhere", "<sip:nobody@192.0.2.1;transport=tcp>"),
        ("no-tls", "<sip:echo@10.0.0.9:5060;transport=tls>"),
        ("no-websocket", "<sip:echo@10.0.0.9:5060;transport=ws>"),
        ("hangs-up", "<sip:hangs-up-now@10.0.0.9:5060;transport=tcp>"),
    ] {
        let mut bench = Bench::open();
        let ask = Ask {
            uri: &format!("sip:{number}@10.0.0.9"),
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        let moved = bench.response_to(ALICE, 302);
        assert_eq!(moved.headers.get(HeaderName::Contact), Some(contact));
        bench.assert_forgets();
    }
}

#[test]
fn the_weak_login_is_asked_for_as_rfc_2069_has_it() {
    let mut bench = Bench::open();
    let ask = Ask {
        uri: "sip:weak-login@10.0.0.9",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    let asked = bench.response_to(ALICE, 401);
    let challenge = asked.headers.get(HeaderName::WwwAuthenticate);
    let challenge = challenge.expect("a challenge");
    assert!(challenge.starts_with("Digest realm="), "{challenge}");
    assert!(!challenge.contains("qop") && !challenge.contains("algorithm"));
    bench.assert_forgets();
}

#[test]
fn a_connection_is_closed_by_who_asks_for_that_and_a_datagram_gets_silence() {
    let mut bench = Bench::open();
    let ask = Ask {
        uri: "sip:hangs-up-now@10.0.0.9",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    assert!(bench.closed_flows.is_empty());
    bench.say_by(Transport::Tcp, ALICE, &ask.text());
    assert_eq!(bench.closed_flows.len(), 1);
    assert_eq!(bench.heard(), Vec::<String>::new());
    bench.assert_forgets();
}
