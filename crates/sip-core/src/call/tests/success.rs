//! 2xx, ACK and their repeats.

use sip_message::StatusCode;
use testkit::Verdict;

use super::peer::{answer, answers, follow, heard, invite, last, response, say};
use super::*;

/// Is this packet a message whose start line begins so?
fn starts(packet: &Packet<Vec<u8>>, start: &str) -> bool {
    packet.payload.starts_with(start.as_bytes())
}

/// A script calls the phone at ALICE, which answers: (net, alice, script, its INVITE, the 200).
fn script_calls(body: &[u8]) -> (Net, NodeId, NodeId, Request, Response) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, body);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let ok = answers(&net, bob, "INVITE").pop().unwrap();
    (net, alice, bob, request, ok)
}

fn ack_of(request: &Request, ok: &Response, branch: &str) -> Request {
    let number = request.headers.cseq().unwrap().number;
    follow(
        request,
        ok.headers.get(HeaderName::To).unwrap(),
        "ACK",
        branch,
        number,
    )
}

#[test]
fn ack_is_resent_for_each_2xx() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let ok = answer(
        &last(&net, bob, "INVITE"),
        200,
        "b",
        "sip:bob@192.0.2.2",
        ANSWER,
    );
    for _ in 0..5 {
        say(&mut net, bob, ALICE, ok.to_bytes());
        wait(&mut net, 4000);
    }
    let acks = heard(&net, bob, "ACK");
    assert_eq!(acks.len(), 5);
    assert!(
        acks.iter().all(|ack| ack == &acks[0]),
        "the same ACK each time"
    );
    let number = last(&net, bob, "INVITE").headers.cseq().unwrap().number;
    assert_eq!(acks[0].headers.cseq().unwrap().number, number);
    let established = phone(&net, alice)
        .events
        .iter()
        .filter(|event| **event == CallEvent::Established);
    assert_eq!(established.count(), 1);
}

/// Bob takes the call of a phone, says that again at these times, in ms, and hangs up after 64·T1 with these words.
fn answered_again_at(times: &[u64], reason: Option<&str>) -> EndKind {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, bob, "INVITE");
    let ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    let mut passed = 0;
    for at in std::iter::once(&0).chain(times) {
        wait(&mut net, at - passed);
        passed = *at;
        say(&mut net, bob, ALICE, ok.to_bytes());
    }
    wait(&mut net, 32_000 - passed);
    let of = |name| ok.headers.get(name).unwrap();
    let mut bye = follow(&request, of(HeaderName::From), "BYE", "bye", 1);
    bye.headers.set(HeaderName::From, of(HeaderName::To));
    if let Some(reason) = reason {
        bye.headers.push(HeaderName::Reason, reason);
    }
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    phone(&net, alice).ended().unwrap().clone()
}

/// RFC 3261 §13.3.1.4 and §15: a callee without an ACK repeats its 2xx for 64·T1, and sends its BYE no sooner.
#[test]
fn a_peer_that_has_missed_each_ack_did_not_just_hang_up() {
    let all = [
        500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    let lost = EndKind::AckLost { repeats: 10 };
    assert_eq!(answered_again_at(&all, None), lost);
    // Some of them may be lost as well.
    let some = [1500, 3500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    let lost = EndKind::AckLost { repeats: 8 };
    assert_eq!(answered_again_at(&some, None), lost);
    // An ACK came in the end, and somebody hung up.
    let hung_up = EndKind::PeerHungUp { reason: None };
    assert_eq!(answered_again_at(&all[..6], None), hung_up);
    assert_eq!(answered_again_at(&[], None), hung_up);
    // Who says why is believed.
    let words = "SIP;cause=200;text=\"done\"";
    let said = EndKind::PeerHungUp {
        reason: Some(words.into()),
    };
    assert_eq!(answered_again_at(&all, Some(words)), said);
}

#[test]
fn case_2_a_repeated_2xx_gets_the_ack_of_its_own_invite_after_a_reoffer() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let first = answer(
        &last(&net, bob, "INVITE"),
        200,
        "b",
        "sip:bob@192.0.2.2",
        ANSWER,
    );
    say(&mut net, bob, ALICE, first.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, b"v=0 hold".to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let second = answer(
        &last(&net, bob, "INVITE"),
        200,
        "b",
        "sip:bob@192.0.2.2",
        ANSWER,
    );
    say(&mut net, bob, ALICE, second.to_bytes());
    wait(&mut net, 10);
    say(&mut net, bob, ALICE, first.to_bytes());
    wait(&mut net, 10);
    say(&mut net, bob, ALICE, second.to_bytes());
    wait(&mut net, 10);
    let numbers: Vec<_> = heard(&net, bob, "ACK")
        .iter()
        .map(|ack| ack.headers.cseq().unwrap().number)
        .collect();
    let base = first.headers.cseq().unwrap().number;
    assert_eq!(numbers, [base, base + 1, base, base + 1]);
}

#[test]
fn case_3_a_2xx_is_repeated_from_t1_to_t2_until_64_t1_and_then_ended_by_bye() {
    let (mut net, alice, bob, ..) = script_calls(OFFER);
    let began = net.elapsed();
    wait(&mut net, 32_000);
    let times: Vec<_> = net
        .trace()
        .iter()
        .filter(|traced| starts(&traced.packet, "SIP/2.0 200"))
        .map(|traced| traced.at.as_millis() + 10 - began.as_millis())
        .collect();
    assert_eq!(
        times,
        [
            0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500
        ]
    );
    assert_eq!(heard(&net, bob, "BYE").len(), 1);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::NotAcknowledged));
    assert!(!phone(&net, alice).established());
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn case_4_an_ack_that_comes_at_once_stops_the_2xx() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    // Answer and ACK within the same instant, before any deadline was waited for.
    net.with(alice, |peer, now, out| {
        let Peer::Phone(phone) = peer else {
            panic!("a phone")
        };
        let remote = phone.call().dialog().unwrap().id().local_tag.clone();
        phone.call().answer(now, ANSWER.to_vec()).unwrap();
        phone.drain(now, out);
        let ack = follow(
            &request,
            &format!("<sip:alice@{ALICE}>;tag={remote}"),
            "ACK",
            "ack",
            7,
        );
        let from = BOB.parse().unwrap();
        let inbound = inbound(phone.address, from);
        phone.call().handle_request(now, ack, inbound);
        phone.drain(now, out);
    });
    wait(&mut net, 33_000);
    let oks = responses(&net, "INVITE")
        .iter()
        .filter(|response| response.status == StatusCode::OK)
        .count();
    assert_eq!(oks, 1);
    assert!(phone(&net, alice).established());
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn the_2xx_stops_with_its_ack_also_when_acks_are_lost_first() {
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    let mut lost = 0;
    net.set_rule(move |_, packet| {
        if starts(packet, "ACK") && lost < 2 {
            lost += 1;
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    act(&mut net, bob, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 33_000);
    assert_wire(
        &net,
        &[
            ".1>.2 INVITE",
            ".2>.1 200 INVITE",
            ".1>.2 ACK",
            ".2>.1 200 INVITE",
            ".1>.2 ACK",
            ".2>.1 200 INVITE",
            ".1>.2 ACK",
        ],
    );
    assert!(phone(&net, bob).established());
    assert_eq!(phone(&net, bob).ended(), None);
}

#[test]
fn case_5_swapped_acks_of_two_quick_reinvites_stop_each_its_own_2xx() {
    let (mut net, alice, bob, request, ok) = script_calls(OFFER);
    say(
        &mut net,
        bob,
        ALICE,
        ack_of(&request, &ok, "ack").to_bytes(),
    );
    wait(&mut net, 10);
    let to = ok.headers.get(HeaderName::To).unwrap().to_owned();
    let mut seconds = Vec::new();
    for (branch, number) in [("two", 8), ("three", 9)] {
        let mut again = follow(&request, &to, "INVITE", branch, number);
        again.set_body("application/sdp", OFFER.to_vec());
        say(&mut net, bob, ALICE, again.to_bytes());
        wait(&mut net, 10);
        act(&mut net, alice, |phone, now| {
            phone.call().accept_offer(now, ANSWER.to_vec())
        })
        .unwrap();
        wait(&mut net, 10);
        seconds.push(again);
    }
    let sent = |net: &Net, number| {
        let oks = answers(net, bob, "INVITE");
        oks.iter()
            .filter(|ok| ok.headers.cseq().unwrap().number == number)
            .count()
    };
    say(
        &mut net,
        bob,
        ALICE,
        ack_of(&seconds[1], &ok, "ack3").to_bytes(),
    );
    wait(&mut net, 2000);
    assert_eq!(sent(&net, 9), 1, "the second one is acknowledged");
    assert!(sent(&net, 8) > 2, "the first one is not");
    say(
        &mut net,
        bob,
        ALICE,
        ack_of(&seconds[0], &ok, "ack2").to_bytes(),
    );
    wait(&mut net, 10);
    let before = sent(&net, 8);
    wait(&mut net, 40_000);
    assert_eq!(sent(&net, 8), before);
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn case_6_an_invite_repeated_after_its_2xx_is_absorbed() {
    let (mut net, alice, bob, request, ok) = script_calls(OFFER);
    say(
        &mut net,
        bob,
        ALICE,
        ack_of(&request, &ok, "ack").to_bytes(),
    );
    wait(&mut net, 10);
    let before = (wire(&net).len(), phone(&net, alice).events.len());
    for _ in 0..4 {
        say(&mut net, bob, ALICE, request.to_bytes());
        wait(&mut net, 5000);
    }
    assert_eq!(
        wire(&net).len(),
        before.0 + 4,
        "nothing but the repeats themselves"
    );
    assert_eq!(phone(&net, alice).events.len(), before.1);
}

#[test]
fn case_7_the_last_provisional_answer_is_sent_again_for_a_repeated_invite() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 10);
    let events = phone(&net, alice).events.clone();
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    let ringing = answers(&net, bob, "INVITE");
    assert_eq!(ringing.len(), 2);
    assert_eq!(ringing[0], ringing[1]);
    assert_eq!(ringing[0].status, StatusCode::RINGING);
    assert_eq!(phone(&net, alice).events, events);
}

#[test]
fn case_9_the_ack_goes_where_its_own_2xx_says_and_not_where_the_180_said() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, bob, "INVITE");
    let mut ringing = answer(&request, 180, "b", "sip:early@192.0.2.2", b"");
    ringing
        .headers
        .push(HeaderName::RecordRoute, "<sip:192.0.2.2:5090;lr>");
    let mut ok = answer(&request, 200, "b", "sip:final@192.0.2.77", ANSWER);
    ok.headers
        .push(HeaderName::RecordRoute, "<sip:p2.example.com;lr>");
    ok.headers
        .push(HeaderName::RecordRoute, "<sip:192.0.2.2;lr;transport=udp>");
    say(&mut net, bob, ALICE, ringing.to_bytes());
    wait(&mut net, 10);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    let ack = last(&net, bob, "ACK");
    assert_eq!(ack.uri.to_string(), "sip:final@192.0.2.77");
    let routes: Vec<_> = ack.headers.get_all(HeaderName::Route).collect();
    assert_eq!(
        routes,
        [
            "<sip:192.0.2.2;lr;transport=udp>",
            "<sip:p2.example.com;lr>"
        ]
    );
    assert_eq!(ack.headers.to().unwrap().tag(), Some("b"));
    let branch = |request: &Request| {
        request
            .headers
            .via_top()
            .unwrap()
            .branch()
            .map(str::to_owned)
    };
    assert_ne!(
        branch(&ack),
        branch(&request),
        "the ACK to a 2xx is on its own"
    );
}

#[test]
fn a_strict_router_becomes_the_request_uri_and_the_target_comes_last() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let mut ok = answer(
        &last(&net, bob, "INVITE"),
        200,
        "b",
        "sip:bob@192.0.2.77",
        ANSWER,
    );
    ok.headers.push(
        HeaderName::RecordRoute,
        "<sip:loose.example.com;lr>, <sip:192.0.2.2;method=INVITE>",
    );
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    let ack = last(&net, bob, "ACK");
    assert_eq!(
        ack.uri.to_string(),
        "sip:192.0.2.2",
        "without what no request line may hold"
    );
    let routes: Vec<_> = ack.headers.get_all(HeaderName::Route).collect();
    assert_eq!(
        routes,
        ["<sip:loose.example.com;lr>", "<sip:bob@192.0.2.77>"]
    );
}

#[test]
fn the_callee_hangs_up_before_the_ack_and_its_bye_waits_for_it() {
    // RFC 3261 §15.
    let (mut net, alice, bob, request, ok) = script_calls(OFFER);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 5000);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::WeHungUp));
    assert!(heard(&net, bob, "BYE").is_empty());
    say(
        &mut net,
        bob,
        ALICE,
        ack_of(&request, &ok, "ack").to_bytes(),
    );
    wait(&mut net, 10);
    let bye = last(&net, bob, "BYE");
    say(&mut net, bob, ALICE, response(&bye, 200, "").to_bytes());
    assert_all_gone(&mut net, &[alice]);
    assert_eq!(heard(&net, bob, "BYE").len(), 1);
}
