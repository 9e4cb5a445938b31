//! RFC 3261 §16, message by message.

use super::*;

const CALLEES: [(&str, &str); 3] = [("b1", BOB), ("b2", CAROL), ("b3", DAVE)];

/// Bob is registered with one phone.
fn one() -> Bench {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    bench
}

/// Bob is registered with three phones, and Alice calls: the bench and the three copies.
fn three() -> (Bench, Vec<Request>) {
    let mut bench = Bench::open();
    let contacts = CALLEES
        .map(|(user, at)| format!("<sip:{user}@{at}>"))
        .join(", ");
    bench.register_contact(Transport::Udp, "bob", BOB, &contacts);
    bench.say(ALICE, &Ask::default().text());
    let mut copies = Vec::new();
    while bench.sent.iter().any(|sent| sent.to == addr(BOB)) {
        copies.push(bench.request_to(BOB, "INVITE"));
    }
    assert_eq!(copies.len(), 3);
    (bench, copies)
}

/// The ACK of a failure, as Alice sends it.
fn ack() -> String {
    Ask {
        method: "ACK",
        to: "<sip:bob@board.test>;tag=x",
        headers: "",
        ..Ask::default()
    }
    .text()
}

fn cancel() -> String {
    let method = "CANCEL";
    Ask {
        method,
        headers: "",
        ..Ask::default()
    }
    .text()
}

#[test]
fn a_copy_has_our_via_one_hop_less_and_our_record_route() {
    let mut bench = one();
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    assert_eq!(copy.uri.to_string(), format!("sip:bob@{BOB}"));
    assert_eq!(copy.headers.max_forwards(), Ok(69));
    let vias = copy.headers.vias().expect("Vias");
    assert_eq!(vias.len(), 2);
    assert_eq!(vias[0].sent_by.to_string(), "10.0.0.9");
    assert_eq!(vias[1].branch(), Some("z9hG4bKone"));
    assert_eq!(vias[1].received(), Some(addr(ALICE).ip()));
    assert_eq!(vias[1].rport(), Some(Some(5060)));
    let routes = copy.headers.record_routes().expect("a Record-Route");
    assert_eq!(routes.len(), 1);
    assert!(routes[0].uri.is_loose_router());
}

#[test]
fn the_caller_is_told_within_200_ms_and_repeats_stop_here() {
    let mut bench = one();
    bench.say(ALICE, &Ask::default().text());
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.heard(), ["10.0.0.2 INVITE", "10.0.0.1 100 INVITE"]);
    bench.say(ALICE, &Ask::default().text());
    assert_eq!(bench.heard(), ["10.0.0.1 100 INVITE"]);
}

#[test]
fn answers_go_up_with_the_vias_of_the_request_and_nothing_of_ours() {
    let mut bench = one();
    let two = Ask::default().text().replace(
        "Max-Forwards",
        "Via: SIP/2.0/TCP far.test:99;branch=z9hG4bKfar;x=y\r\nMax-Forwards",
    );
    bench.say(ALICE, &two);
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 100, "", ""));
    assert!(bench.sent.is_empty(), "100 is for one hop");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    let ringing = bench.response_to(ALICE, 180);
    let vias: Vec<&str> = ringing.headers.get_all(HeaderName::Via).collect();
    assert_eq!(vias.len(), 2);
    assert!(vias[0].contains("z9hG4bKone") && vias[0].contains("rport=5060"));
    assert_eq!(vias[1], "SIP/2.0/TCP far.test:99;branch=z9hG4bKfar;x=y");
    assert!(ringing.headers.has(HeaderName::RecordRoute));
}

#[test]
fn without_rport_the_answer_goes_where_the_via_says() {
    let mut bench = one();
    let ask = Ask {
        uri: "sip:nobody@board.test",
        via: "10.0.0.1:7000",
        ..Ask::default()
    };
    bench.say("10.0.0.1:40000", &ask.text().replace(";rport", ""));
    bench.response_to("10.0.0.1:7000", 404);
    let ask = Ask {
        branch: "z9hG4bKtwo",
        ..ask
    };
    bench.say("10.0.0.1:40000", &ask.text());
    bench.response_to("10.0.0.1:40000", 404);
}

#[test]
fn the_first_2xx_wins_and_the_others_are_cancelled() {
    let (mut bench, copies) = three();
    for copy in &copies {
        bench.say(BOB, &reply(copy, 180, &copy.uri.to_string()[4..6], BOB));
    }
    assert_eq!(bench.heard(), ["10.0.0.1 180 INVITE"; 3]);
    bench.say(BOB, &reply(&copies[1], 200, "b2", BOB));
    bench.response_to(ALICE, 200);
    for _ in 0..2 {
        let cancel = bench.request_to(BOB, "CANCEL");
        let others = [&copies[0], &copies[2]];
        let other = others.into_iter().find(|copy| copy.uri == cancel.uri);
        let other = other.expect("the CANCEL of another branch");
        let (via, whole) = (cancel.headers.vias(), other.headers.vias());
        assert_eq!(via.expect("a Via"), whole.expect("Vias")[..1]);
        bench.say(BOB, &reply(&cancel, 200, "b", ""));
        bench.say(BOB, &reply(other, 487, "b", ""));
        bench.request_to(BOB, "ACK");
    }
    assert_eq!(
        bench.heard(),
        [""; 0],
        "a 487 after the 200 goes no further"
    );
    bench.assert_forgets();
}

#[test]
fn a_second_2xx_and_repeats_of_a_2xx_go_up_as_well() {
    let (mut bench, copies) = three();
    bench.say(BOB, &reply(&copies[0], 200, "b1", BOB));
    bench.say(BOB, &reply(&copies[1], 200, "b2", BOB));
    bench.say(BOB, &reply(&copies[0], 200, "b1", BOB));
    let tags: Vec<String> = bench
        .sent
        .iter()
        .filter_map(|sent| match &sent.message {
            Message::Response(r) => r.headers.to().ok()?.tag().map(str::to_owned),
            Message::Request(_) => None,
        })
        .collect();
    assert_eq!(tags, ["b1", "b2", "b1"]);
    bench.say(BOB, &reply(&copies[2], 487, "b3", ""));
    bench.assert_forgets();
}

#[test]
fn a_branch_without_any_answer_is_cancelled_only_when_it_has_spoken() {
    let (mut bench, copies) = three();
    bench.say(BOB, &reply(&copies[0], 200, "b1", BOB));
    assert_eq!(bench.heard(), ["10.0.0.1 200 INVITE"]);
    bench.say(BOB, &reply(&copies[1], 180, "b2", BOB));
    bench.request_to(BOB, "CANCEL");
    bench.assert_forgets();
}

#[test]
fn the_best_of_all_failures_goes_up_when_the_last_has_spoken() {
    for (codes, best) in [
        ([486, 404, 500], 404),
        ([486, 302, 407], 302),
        ([486, 415, 500], 415),
        ([503, 503, 503], 500),
        ([503, 486, 500], 486),
        ([480, 404, 603], 603),
    ] {
        let (mut bench, copies) = three();
        for (copy, code) in copies.iter().zip(codes) {
            assert!(bench.sent.is_empty(), "{codes:?}: too early");
            bench.say(BOB, &reply(copy, code, "b", ""));
            bench.request_to(BOB, "ACK");
        }
        let up = bench.response_to(ALICE, best);
        assert!(up.headers.to().expect("a To").tag().is_some());
        bench.say(ALICE, &ack());
        assert_eq!(bench.heard(), [""; 0], "the ACK ends here");
        bench.assert_forgets();
    }
}

#[test]
fn a_6xx_ends_the_search_at_once() {
    let (mut bench, copies) = three();
    bench.say(BOB, &reply(&copies[0], 180, "b1", BOB));
    bench.say(BOB, &reply(&copies[1], 180, "b2", BOB));
    bench.say(BOB, &reply(&copies[2], 603, "b3", ""));
    bench.request_to(BOB, "ACK");
    for copy in &copies[..2] {
        bench.request_to(BOB, "CANCEL");
        bench.say(BOB, &reply(copy, 487, "b", ""));
    }
    bench.response_to(ALICE, 603);
    bench.assert_forgets();
}

#[test]
fn all_challenges_go_up_together() {
    let (mut bench, copies) = three();
    for (copy, realm) in copies.iter().zip(["one", "two", "three"]) {
        let challenge =
            format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n\"\r\nContent-Length");
        let text = reply(copy, 401, "b", "").replace("Content-Length", &challenge);
        bench.say(BOB, &text);
    }
    let up = bench.response_to(ALICE, 401);
    let asked = up.headers.get_all(HeaderName::WwwAuthenticate).count();
    assert_eq!(asked, 3);
}

#[test]
fn failures_are_repeated_until_the_caller_acknowledges() {
    let mut bench = one();
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 486, "x", ""));
    bench.say(BOB, &reply(&copy, 486, "x", ""));
    assert_eq!(
        bench.heard(),
        ["10.0.0.2 ACK", "10.0.0.1 486 INVITE", "10.0.0.2 ACK"]
    );
    bench.wait_s(1);
    assert_eq!(bench.heard(), ["10.0.0.1 486 INVITE"]);
    bench.say(ALICE, &ack());
    bench.wait_s(PATIENCE);
    assert_eq!(bench.heard(), [""; 0]);
    bench.assert_forgets();
}

#[test]
fn a_caller_who_gives_up_hears_487_from_the_far_end() {
    let mut bench = one();
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    bench.response_to(ALICE, 180);
    bench.say(ALICE, &cancel());
    let first = bench.response_to(ALICE, 200).to_bytes();
    bench.say(ALICE, &cancel());
    assert_eq!(bench.response_to(ALICE, 200).to_bytes(), first);
    let there = bench.request_to(BOB, "CANCEL");
    assert!(bench.sent.is_empty(), "one CANCEL is enough");
    bench.say(BOB, &reply(&there, 200, "b", ""));
    bench.say(BOB, &reply(&copy, 487, "b", ""));
    assert_eq!(bench.heard(), ["10.0.0.2 ACK", "10.0.0.1 487 INVITE"]);
    bench.say(ALICE, &ack());
    bench.assert_forgets();
}

/// RFC 3326 §1: why a call was given up is for the phones that ring.
#[test]
fn the_reason_of_a_cancel_is_passed_on_and_losers_hear_of_the_winner() {
    let reasons =
        "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\nReason: Q.850;cause=26\r\n";
    let long = format!("Reason: SIP;cause=200;text=\"{}\"\r\n", "x".repeat(600));
    for (given, passed) in [
        (
            reasons,
            Some("SIP;cause=200;text=\"Call completed elsewhere\", Q.850;cause=26"),
        ),
        ("", None),
        (long.as_str(), None),
    ] {
        let mut bench = one();
        bench.say(ALICE, &Ask::default().text());
        let copy = bench.request_to(BOB, "INVITE");
        // Before the phone has said anything (RFC 3261 §9.1), so that the CANCEL waits.
        let given = Ask {
            method: "CANCEL",
            headers: given,
            ..Ask::default()
        };
        bench.say(ALICE, &given.text());
        bench.say(BOB, &reply(&copy, 180, "b", BOB));
        let there = bench.request_to(BOB, "CANCEL");
        assert_eq!(there.headers.get(HeaderName::Reason), passed);
        assert_eq!(
            there.headers.get_all(HeaderName::Reason).count(),
            usize::from(passed.is_some())
        );
    }
    let (mut bench, copies) = three();
    for copy in &copies {
        bench.say(BOB, &reply(copy, 180, &copy.uri.to_string()[4..6], BOB));
    }
    bench.say(BOB, &reply(&copies[1], 200, "b2", BOB));
    for _ in 0..2 {
        let cancel = bench.request_to(BOB, "CANCEL");
        assert_eq!(
            cancel.headers.get(HeaderName::Reason),
            Some("SIP;cause=200;text=\"Call completed elsewhere\"")
        );
    }
}

#[test]
fn a_cancel_of_nothing_is_told_so() {
    let mut bench = one();
    bench.say(ALICE, &cancel());
    bench.response_to(ALICE, 481);
    bench.assert_forgets();
}

#[test]
fn a_phone_that_dies_while_ringing_does_not_keep_a_cancelled_call() {
    let mut bench = one();
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    bench.say(ALICE, &cancel());
    bench.wait_s(PATIENCE);
    bench.response_to(ALICE, 408);
    bench.say(ALICE, &ack());
    bench.assert_forgets();
}

#[test]
fn one_that_rings_for_ever_ends_with_timer_c() {
    let mut bench = one();
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    bench.wait_s(120);
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    bench.wait_s(180);
    assert!(
        !bench.heard().contains(&"10.0.0.2 CANCEL".to_owned()),
        "each 180 begins it anew"
    );
    bench.wait_s(2);
    bench.request_to(BOB, "CANCEL");
    bench.wait_s(PATIENCE);
    bench.response_to(ALICE, 408);
    bench.say(ALICE, &ack());
    bench.assert_forgets();
}

#[test]
fn a_branch_that_failed_long_ago_does_not_wake_us_while_another_rings() {
    let (mut bench, copies) = three();
    let branch = copies[0].headers.via_top().expect("a Via");
    let branch = branch.branch().expect("a branch").to_owned();
    let error = sip_core::TransportError::Refused;
    bench
        .exchange
        .handle_transport_error(bench.now, &branch, &error);
    for _ in 0..5 {
        bench.say(BOB, &reply(&copies[1], 180, "b2", BOB));
        bench.wait_s(60);
    }
    bench.say(BOB, &reply(&copies[1], 486, "b2", ""));
    // The third never said a word: Timer B has ended it long ago.
    bench.response_to(ALICE, 486);
    bench.say(ALICE, &ack());
    bench.assert_forgets();
}

#[test]
fn silence_is_a_408_and_a_dead_port_a_500() {
    let mut bench = one();
    bench.say(ALICE, &Ask::default().text());
    bench.wait_s(PATIENCE);
    bench.response_to(ALICE, 408);
    bench.say(ALICE, &ack());
    bench.sent.clear();
    let second = Ask {
        branch: "z9hG4bKtwo",
        call_id: "second",
        ..Ask::default()
    };
    bench.say(ALICE, &second.text());
    let copy = bench.request_to(BOB, "INVITE");
    let via = copy.headers.via_top().expect("a Via");
    let (branch, error) = (
        via.branch().expect("one"),
        sip_core::TransportError::Refused,
    );
    bench
        .exchange
        .handle_transport_error(bench.now, branch, &error);
    bench.wait_s(0);
    bench.act();
    let failed = bench.response_to(ALICE, 500);
    assert!(failed.headers.to().expect("a To").tag().is_some());
    bench.wait_s(PATIENCE);
    bench.assert_forgets();
}

#[test]
fn a_request_that_is_no_invite_ends_in_silence_not_in_408() {
    let mut bench = one();
    let message = Ask {
        method: "MESSAGE",
        headers: "",
        ..Ask::default()
    };
    bench.say(ALICE, &message.text());
    bench.wait_s(PATIENCE + 1);
    let heard = bench.heard();
    assert!(heard.contains(&"10.0.0.2 MESSAGE".to_owned()));
    assert!(
        !heard.iter().any(|line| line.contains(" 408 ")),
        "{heard:?}"
    );
    bench.assert_forgets();
}

#[test]
fn what_may_not_be_forwarded_is_refused() {
    let mut bench = one();
    let base = Ask::default();
    let hops = Ask { hops: 0, ..base };
    let scheme = Ask {
        uri: "mailto:bob@board.test",
        ..base
    };
    let extension = Ask {
        headers: "Contact: <sip:alice@10.0.0.1>\r\nProxy-Require: magic\r\n",
        ..base
    };
    let asks = [(hops, 483), (scheme, 416), (extension, 420)];
    for (n, (it, status)) in asks.into_iter().enumerate() {
        let branch = format!("z9hG4bKn{n}");
        let it = Ask {
            branch: &branch,
            ..it
        };
        bench.say(ALICE, &it.text());
        let refusal = bench.response_to(ALICE, status);
        assert!(bench.sent.is_empty());
        if status == 420 {
            assert_eq!(refusal.headers.get(HeaderName::Unsupported), Some("magic"));
        }
        let ack = Ask {
            method: "ACK",
            branch: &branch,
            headers: "",
            ..base
        };
        bench.say(ALICE, &ack.text());
    }
    bench.assert_forgets();
}

#[test]
fn nobody_there_is_404_and_somebody_absent_480() {
    let mut bench = one();
    let ask = Ask {
        uri: "sip:nobody@board.test",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    bench.response_to(ALICE, 404);
    let mut bench = Bench::open();
    bench.register_contact(Transport::Udp, "bob", BOB, "<mailto:bob@board.test>");
    bench.say(ALICE, &Ask::default().text());
    bench.response_to(ALICE, 480);
}

#[test]
fn a_name_at_our_own_address_is_whoever_has_that_name() {
    let mut bench = one();
    let ask = Ask {
        uri: "sip:bob@10.0.0.9",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    bench.request_to(BOB, "INVITE");
}

#[test]
fn the_host_table_leads_elsewhere_even_for_our_numbers() {
    let hosts = Hosts::parse("pbx.test 10.0.0.3:5070").expect("a table");
    let mut bench = Bench::new(Users::Open, hosts);
    let ask = Ask {
        uri: "sip:echo@pbx.test",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    let copy = bench.request_to("10.0.0.3:5070", "INVITE");
    assert_eq!(copy.uri.to_string(), "sip:echo@pbx.test");
    let register = Ask {
        method: "REGISTER",
        uri: "sip:pbx.test",
        branch: "z9hG4bKreg",
        ..Ask::default()
    };
    bench.say(ALICE, &register.text());
    bench.request_to("10.0.0.3:5070", "REGISTER");
    assert_eq!(bench.exchange.counts().bindings, 0);
}

/// A call between Alice and Bob is up: Alice's route set.
fn talking(bench: &mut Bench) -> String {
    talking_by(bench, Transport::Udp)
}

/// The same with Bob by another transport.
fn talking_by(bench: &mut Bench, transport: Transport) -> String {
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say_by(transport, BOB, &reply(&copy, 200, "b", BOB));
    let ok = bench.response_to(ALICE, 200);
    let routes = routes_of(&ok);
    let routes: Vec<String> = routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
    routes.concat()
}

fn within(method: &'static str, cseq: u32, uri: &str, routes: &str) -> String {
    Ask {
        method,
        uri,
        to: "<sip:bob@board.test>;tag=b",
        cseq,
        branch: &format!("z9hG4bK{method}{cseq}"),
        headers: routes,
        ..Ask::default()
    }
    .text()
}

#[test]
fn a_dialog_goes_both_ways_through_us() {
    let mut bench = one();
    let routes = talking(&mut bench);
    let bob = format!("sip:bob@{BOB}");
    bench.say(ALICE, &within("ACK", 1, &bob, &routes));
    let ack = bench.request_to(BOB, "ACK");
    assert!(!ack.headers.has(HeaderName::Route) && !ack.headers.has(HeaderName::RecordRoute));
    assert!(bench.sent.is_empty());
    bench.say(ALICE, &within("BYE", 2, &bob, &routes));
    let bye = bench.request_to(BOB, "BYE");
    assert_eq!(bye.headers.max_forwards(), Ok(69));
    bench.say(BOB, &reply(&bye, 200, "b", ""));
    bench.response_to(ALICE, 200);
    let back = Ask {
        method: "INFO",
        uri: "sip:alice@10.0.0.1:5060",
        from: "<sip:bob@board.test>;tag=b",
        to: "<sip:alice@board.test>;tag=alice",
        via: BOB,
        branch: "z9hG4bKback",
        headers: &routes,
        ..Ask::default()
    };
    bench.say(BOB, &back.text());
    bench.request_to(ALICE, "INFO");
    bench.wait_s(PATIENCE);
    bench.assert_forgets();
}

#[test]
fn only_our_own_routes_are_taken_out() {
    let mut bench = one();
    let ours = talking(&mut bench);
    let bob = format!("sip:bob@{BOB}");
    let routes = format!("{ours}Route: <sip:edge.example.com;lr>\r\n");
    bench.say(ALICE, &within("INFO", 2, &bob, &routes));
    let copy = bench.request_to(BOB, "INFO");
    let left = copy.headers.routes().expect("Routes");
    assert_eq!(left.len(), 1, "the other proxy's Route stays");
    assert_eq!(left[0].uri.to_string(), "sip:edge.example.com;lr");
    // Found by a name that the table does not know, it is us who are meant.
    let found = "Route: <sip:board.example.com;lr>\r\n";
    let branch = "z9hG4bKfound";
    bench.say(
        ALICE,
        &Ask {
            branch,
            headers: found,
            ..Ask::default()
        }
        .text(),
    );
    let copy = bench.request_to(BOB, "INVITE");
    assert!(!copy.headers.has(HeaderName::Route));
}

#[test]
fn an_ack_of_a_2xx_with_the_branch_of_the_invite_is_forwarded() {
    let mut bench = one();
    let routes = talking(&mut bench);
    let ack = within("ACK", 1, &format!("sip:bob@{BOB}"), &routes);
    bench.say(ALICE, &ack.replace("z9hG4bKACK1", "z9hG4bKone"));
    bench.request_to(BOB, "ACK");
}

#[test]
fn we_are_no_open_relay() {
    let mut bench = one();
    let routes = talking(&mut bench);
    let far = "sip:victim@203.0.113.5";
    // Outside of a dialog.
    let out = Ask {
        uri: far,
        branch: "z9hG4bKout",
        ..Ask::default()
    };
    bench.say(ALICE, &out.text());
    bench.response_to(ALICE, 404);
    // With a Route of our own making, for a dialog that never came through us.
    let forged = within(
        "BYE",
        2,
        far,
        "Route: <sip:10.0.0.9:5060;transport=udp;lr>\r\n",
    );
    bench.say(ALICE, &forged);
    bench.response_to(ALICE, 481);
    let stolen = within("BYE", 3, far, &routes).replace("Call-ID: call", "Call-ID: another");
    bench.say(ALICE, &stolen);
    bench.response_to(ALICE, 481);
    let ack = within("ACK", 4, far, "Route: <sip:10.0.0.9:5060;lr>\r\n");
    bench.say(ALICE, &ack);
    assert_eq!(bench.heard(), [""; 0]);
    // A phone that is registered is reached within a dialog only by those who are in it.
    let registered = format!("sip:bob@{BOB}");
    for (n, route) in ["", "Route: <sip:10.0.0.9:5060;lr>\r\n"].iter().enumerate() {
        bench.say(ALICE, &within("BYE", 5 + n as u32, &registered, route));
        bench.response_to(ALICE, 481);
    }
    assert_eq!(bench.heard(), [""; 0]);
    // Neither a Route behind ours nor one that claims to be sealed leads a new request anywhere.
    for (n, route) in [
        "<sip:10.0.0.9:5060;lr>, <sip:203.0.113.5;lr>",
        "<sip:203.0.113.5;lr>",
        "<sip:AAAA@10.0.0.9:5060;lr>",
    ]
    .iter()
    .enumerate()
    {
        let ask = Ask {
            method: "MESSAGE",
            headers: &format!("Route: {route}\r\n"),
            branch: &format!("z9hG4bKroute{n}"),
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        bench.response_to(ALICE, 403);
    }
    assert_eq!(bench.heard(), [""; 0]);
    assert_eq!(bench.exchange.counts().not_relayed, 7);
}

#[test]
fn a_seal_of_ones_own_leads_to_ones_own_phones_only() {
    let mut bench = one();
    // Mallory calls herself, and has what the switchboard seals.
    bench.register("mallory", CAROL);
    let invite = Ask {
        uri: "sip:mallory@board.test",
        from: "<sip:mallory@board.test>;tag=m",
        to: "<sip:mallory@board.test>",
        via: CAROL,
        headers: "Contact: <sip:mallory@10.0.0.3:5060>\r\n",
        ..Ask::default()
    };
    bench.say(CAROL, &invite.text());
    let copy = bench.request_to(CAROL, "INVITE");
    let route = copy.headers.get(HeaderName::RecordRoute).expect("one");
    let own = format!("Route: {route}\r\n");
    for (n, (from, to)) in [("m", "zz"), ("zz", "m")].into_iter().enumerate() {
        let message = Ask {
            method: "MESSAGE",
            uri: "sip:victim@203.0.113.5",
            from: &format!("<sip:boss@board.test>;tag={from}"),
            to: &format!("<sip:victim@203.0.113.5>;tag={to}"),
            via: CAROL,
            branch: &format!("z9hG4bKm{n}"),
            cseq: 9,
            headers: &own,
            ..Ask::default()
        };
        bench.say(CAROL, &message.text());
        let back = bench.request_to(CAROL, "MESSAGE");
        assert!(bench.sent.is_empty(), "{back:?}");
    }
    // With other tags than those of the dialog it is nothing.
    let stolen = Ask {
        method: "BYE",
        from: "<sip:mallory@board.test>;tag=x",
        to: "<sip:bob@board.test>;tag=y",
        branch: "z9hG4bKx",
        headers: &own,
        ..invite
    };
    bench.say(CAROL, &stolen.text());
    bench.response_to(CAROL, 481);
}

#[test]
fn who_registers_the_contact_of_another_gets_none_of_its_calls() {
    let mut bench = Bench::open();
    bench.register("alice", ALICE);
    bench.register("bob", BOB);
    let routes = talking(&mut bench);
    // Mallory says that she is to be reached where Alice and Bob are.
    for (user, at) in [("mallory", ALICE), ("mallory", BOB)] {
        let contact = format!("<sip:{}@{at}>", if at == ALICE { "alice" } else { "bob" });
        bench.register_contact(Transport::Udp, user, CAROL, &contact);
    }
    let back = Ask {
        method: "INFO",
        uri: "sip:alice@10.0.0.1:5060",
        from: "<sip:bob@board.test>;tag=b",
        to: "<sip:alice@board.test>;tag=alice",
        via: BOB,
        branch: "z9hG4bKback",
        headers: &routes,
        ..Ask::default()
    };
    bench.say(BOB, &back.text());
    bench.request_to(ALICE, "INFO");
    bench.say(ALICE, &within("BYE", 2, &format!("sip:bob@{BOB}"), &routes));
    bench.request_to(BOB, "BYE");
    // A new call to the very Contact goes to who has it, too.
    let direct = Ask {
        uri: &format!("sip:bob@{BOB}"),
        branch: "z9hG4bKdirect",
        call_id: "direct",
        ..Ask::default()
    };
    bench.say(ALICE, &direct.text());
    bench.request_to(BOB, "INVITE");
    assert_eq!(bench.heard(), [""; 0]);
}

#[test]
fn a_phone_that_moved_and_registered_again_is_reached_where_it_is() {
    let mut bench = Bench::open();
    let contact = |at: &str| format!("<sip:bob@{at};transport=tcp>;+sip.instance=\"<urn:uuid:b>\"");
    bench.register_contact(Transport::Tcp, "bob", BOB, &contact(BOB));
    let routes = talking_by(&mut bench, Transport::Tcp);
    // Its connection is gone, and it comes back from another address, with another Contact.
    let flow = inbound(Transport::Tcp, BOB).flow;
    bench.exchange.handle_flow_closed(flow);
    let old = format!("sip:bob@{BOB};transport=tcp");
    bench.say(ALICE, &within("INFO", 2, &old, &routes));
    bench.response_to(ALICE, 430);
    bench.register_contact(Transport::Tcp, "bob", DAVE, &contact(DAVE));
    bench.say(
        ALICE,
        &within("INFO", 3, &format!("sip:bob@{DAVE};transport=tcp"), &routes),
    );
    bench.request_to(DAVE, "INFO");
}

#[test]
fn two_transports_make_two_record_routes() {
    let mut bench = Bench::open();
    let contact = format!("<sip:bob@{BOB};transport=tcp>");
    bench.register_contact(Transport::Tcp, "bob", BOB, &contact);
    bench.say(ALICE, &Ask::default().text());
    let place = bench.sent.iter().position(|sent| sent.to == addr(BOB));
    assert_eq!(bench.sent[place.expect("a copy")].transport, Transport::Tcp);
    let copy = bench.request_to(BOB, "INVITE");
    let routes = copy.headers.record_routes().expect("Record-Routes");
    let transports: Vec<_> = routes
        .iter()
        .map(|r| r.uri.params.get("transport"))
        .collect();
    assert_eq!(transports, [Some("tcp"), Some("udp")]);
    assert!(
        copy.headers
            .get(HeaderName::Via)
            .is_some_and(|v| v.contains("TCP"))
    );
    bench.say_by(
        Transport::Tcp,
        BOB,
        &reply(&copy, 200, "b", &format!("bob@{BOB};transport=tcp")),
    );
    let ok = bench.response_to(ALICE, 200);
    let routes: Vec<String> = routes_of(&ok)
        .iter()
        .map(|r| format!("Route: {r}\r\n"))
        .collect();
    let bye = within(
        "BYE",
        2,
        &format!("sip:bob@{BOB};transport=tcp"),
        &routes.concat(),
    );
    bench.say(ALICE, &bye);
    assert_eq!(bench.sent[0].transport, Transport::Tcp);
    assert!(!bench.request_to(BOB, "BYE").headers.has(HeaderName::Route));
    bench.wait_s(PATIENCE);
    bench.assert_forgets();
}

#[test]
fn a_phone_behind_a_router_is_reached_within_the_dialog_as_well() {
    let mut bench = Bench::open();
    let outside = "198.51.100.7:61000";
    let contact = "<sip:bob@192.168.1.5:5060>";
    bench.register_contact(Transport::Udp, "bob", outside, contact);
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(outside, "INVITE");
    bench.say(outside, &reply(&copy, 200, "b", "bob@192.168.1.5:5060"));
    let ok = bench.response_to(ALICE, 200);
    let routes: Vec<String> = routes_of(&ok)
        .iter()
        .map(|r| format!("Route: {r}\r\n"))
        .collect();
    bench.say(
        ALICE,
        &within("BYE", 2, "sip:bob@192.168.1.5:5060", &routes.concat()),
    );
    bench.request_to(outside, "BYE");
}

#[test]
fn a_phone_whose_connection_is_gone_is_tried_at_its_contact() {
    for (contact, reached) in [("10.0.0.2:5090", true), (CAROL, false)] {
        let mut bench = Bench::open();
        let header = format!("<sip:bob@{contact};transport=tcp>");
        bench.register_contact(Transport::Tcp, "bob", BOB, &header);
        let flow = inbound(Transport::Tcp, BOB).flow;
        bench.exchange.handle_flow_closed(flow);
        bench.say(ALICE, &Ask::default().text());
        if reached {
            bench.request_to(contact, "INVITE");
        } else {
            // Another machine than the one that registered is not called for it.
            bench.response_to(ALICE, 480);
            assert_eq!(bench.heard(), [""; 0]);
        }
    }
}

#[test]
fn strict_routers_before_and_after_us_are_understood() {
    let mut bench = one();
    let routes = talking(&mut bench);
    let ours = routes
        .trim()
        .trim_start_matches("Route: <")
        .trim_end_matches('>');
    // §16.4: our Route in the request URI, the true one at the end.
    let before = within("BYE", 2, ours, &format!("Route: <sip:bob@{BOB}>\r\n"));
    bench.say(ALICE, &before);
    let bye = bench.request_to(BOB, "BYE");
    assert_eq!(bye.uri.to_string(), format!("sip:bob@{BOB}"));
    assert!(!bye.headers.has(HeaderName::Route));
    // §16.6 step 6: the next one is strict.
    let hosts = Hosts::parse("pbx.test 10.0.0.3:5060").expect("a table");
    let mut bench = Bench::new(Users::Open, hosts);
    let ask = Ask {
        uri: "sip:bob@pbx.test",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    let copy = bench.request_to(CAROL, "INVITE");
    bench.say(CAROL, &reply(&copy, 200, "b", BOB));
    let routes = routes_of(&bench.response_to(ALICE, 200));
    let after = within(
        "BYE",
        3,
        &format!("sip:bob@{BOB}"),
        &format!("Route: {}\r\nRoute: <sip:{CAROL}>\r\n", routes[0]),
    );
    bench.say(ALICE, &after);
    let bye = bench.request_to(CAROL, "BYE");
    assert_eq!(bye.uri.to_string(), format!("sip:{CAROL}"));
    assert_eq!(
        bye.headers.get(HeaderName::Route),
        Some(format!("<sip:bob@{BOB}>").as_str())
    );
}

#[test]
fn what_comes_back_to_us_is_a_loop() {
    let hosts = Hosts::parse("pbx.test 10.0.0.3:5070").expect("a table");
    let mut bench = Bench::new(Users::Open, hosts);
    let ask = Ask {
        uri: "sip:bob@pbx.test",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    let mut copy = bench.request_to("10.0.0.3:5070", "INVITE");
    // The other machine has us in its table.
    let via = "SIP/2.0/UDP 10.0.0.3:5070;branch=z9hG4bKthere;rport";
    copy.headers.insert_first(HeaderName::Via, via);
    bench.say(
        "10.0.0.3:5070",
        &String::from_utf8(copy.to_bytes()).expect("text"),
    );
    bench.response_to("10.0.0.3:5070", 482);
    assert_eq!(bench.heard(), [""; 0]);
    // Another request URI is a spiral, and may pass.
    copy.uri = sip_message::Uri::parse("sip:carol@pbx.test").expect("a URI");
    copy.headers
        .replace_first(HeaderName::Via, via.replace("there", "again"));
    bench.say(
        "10.0.0.3:5070",
        &String::from_utf8(copy.to_bytes()).expect("text"),
    );
    bench.request_to("10.0.0.3:5070", "INVITE");
}

#[test]
fn nobody_can_register_ourselves_as_a_phone() {
    let mut bench = Bench::open();
    bench.register("bob", BOARD);
    bench.say(ALICE, &Ask::default().text());
    bench.response_to(ALICE, 480);
    assert_eq!(bench.heard(), [""; 0]);
}
