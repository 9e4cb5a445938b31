//! The basic call flows of RFC 3665, between two phones or a phone and a scripted server.

use super::peer::{
    answer, answered, called_by_script, called_with, calling, calls_script, follow, last, response,
    say,
};
use super::*;
use sip_message::StatusCode;

#[test]
fn a_call_is_made_answered_and_ended_by_the_caller() {
    // RFC 3665 §3.1, with the BYE from the caller.
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 100);
    assert_eq!(
        phone(&net, bob).events,
        [CallEvent::Offer {
            body: OFFER.to_vec()
        }]
    );
    act(&mut net, bob, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 3000);
    act(&mut net, bob, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 3000);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 100);
    assert_wire(
        &net,
        &[
            ".1>.2 INVITE",
            ".2>.1 180 INVITE",
            ".2>.1 200 INVITE",
            ".1>.2 ACK",
            ".1>.2 BYE",
            ".2>.1 200 BYE",
        ],
    );
    let events = &phone(&net, alice).events;
    assert!(
        matches!(
            events.as_slice(),
            [
                CallEvent::Trying,
                CallEvent::Progress {
                    dialog: Some(_),
                    ..
                },
                CallEvent::Answer { early: false, .. },
                CallEvent::Established,
                CallEvent::Ended(_),
            ]
        ),
        "{events:?}"
    );
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::WeHungUp));
    assert_eq!(
        phone(&net, bob).ended(),
        Some(&EndKind::PeerHungUp { reason: None })
    );
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn a_call_is_ended_by_the_callee() {
    let (mut net, alice, bob) = talking(2);
    act(&mut net, bob, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 100);
    assert_eq!(phone(&net, bob).ended(), Some(&EndKind::WeHungUp));
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PeerHungUp { reason: None })
    );
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn an_unanswered_invite_is_called_trying_after_200_ms() {
    let mut net = Net::new(3);
    let (alice, _) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 400);
    assert_wire(&net, &[".1>.2 INVITE", ".2>.1 100 INVITE"]);
    assert_eq!(phone(&net, alice).events, [CallEvent::Trying]);
}

#[test]
fn the_callee_is_busy() {
    // RFC 3665 §3.8.
    let mut net = Net::new(4);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 100);
    act(&mut net, bob, |phone, now| {
        phone.call().reject(now, sip_message::StatusCode::BUSY_HERE)
    })
    .unwrap();
    wait(&mut net, 100);
    assert_wire(&net, &[".1>.2 INVITE", ".2>.1 486 INVITE", ".1>.2 ACK"]);
    let end = phone(&net, alice).ended().unwrap();
    assert!(
        matches!(end, EndKind::Status { code: 486, server: Some(server), address: Some(_), .. }
        if server == "Tipring"),
        "{end:?}"
    );
    assert_eq!(
        phone(&net, bob).ended(),
        Some(&EndKind::WeRejected { code: 486 })
    );
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn the_caller_gives_up_while_it_rings() {
    // RFC 3665 §3.8 with CANCEL.
    let mut net = Net::new(5);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 100);
    act(&mut net, bob, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 2000);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 100);
    assert_wire(
        &net,
        &[
            ".1>.2 INVITE",
            ".2>.1 180 INVITE",
            ".1>.2 CANCEL",
            ".2>.1 200 CANCEL",
            ".2>.1 487 INVITE",
            ".1>.2 ACK",
        ],
    );
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::WeHungUp));
    assert_eq!(
        phone(&net, bob).ended(),
        Some(&EndKind::Cancelled { reason: None })
    );
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn a_call_passes_two_proxies() {
    // RFC 3665 §3.2: the 200 comes with the Record-Route of two proxies; ACK and BYE pass both.
    let mut net = Net::new(6);
    let (alice, proxy) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, proxy, "INVITE");
    let mut ok = answer(&request, 200, "b", "sip:bob@203.0.113.9:5070", ANSWER);
    ok.headers.push(
        HeaderName::RecordRoute,
        "<sip:far.example.com;lr>, <sip:192.0.2.2;lr>",
    );
    say(&mut net, proxy, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    for method in ["ACK", "BYE"] {
        let request = last(&net, proxy, method);
        assert_eq!(request.uri.to_string(), "sip:bob@203.0.113.9:5070");
        let routes: Vec<_> = request.headers.get_all(HeaderName::Route).collect();
        assert_eq!(
            routes,
            ["<sip:192.0.2.2;lr>", "<sip:far.example.com;lr>"],
            "{method}"
        );
    }
}

#[test]
fn a_redirection_tells_where_else_best_first() {
    // RFC 3665 §3.6.
    let mut net = Net::new(7);
    let (alice, proxy) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, proxy, "INVITE");
    let mut moved = response(&request, 302, "b");
    moved.headers.push(
        HeaderName::Contact,
        "<sip:desk@example.com>;q=0.2, <sip:cell@example.com>;q=0.9",
    );
    say(&mut net, proxy, ALICE, moved.to_bytes());
    wait(&mut net, 10);
    let events = &phone(&net, alice).events;
    let contacts = events.iter().find_map(|event| match event {
        CallEvent::Redirected { contacts } => Some(contacts),
        _ => None,
    });
    let contacts: Vec<_> = contacts
        .unwrap()
        .iter()
        .map(|contact| contact.uri.to_string())
        .collect();
    assert_eq!(contacts, ["sip:cell@example.com", "sip:desk@example.com"]);
    assert!(matches!(
        phone(&net, alice).ended(),
        Some(EndKind::Status { code: 302, .. })
    ));
    assert_eq!(wire(&net).last().unwrap(), ".1>.2 ACK");
}

#[test]
fn the_callee_sends_the_caller_elsewhere() {
    let mut net = Net::new(8);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let elsewhere = NameAddr::new(Uri::parse("sip:carol@192.0.2.3").unwrap());
    act(&mut net, bob, |phone, now| {
        phone.call().redirect(now, &elsewhere)
    })
    .unwrap();
    wait(&mut net, 10);
    assert!(phone(&net, alice).events.contains(&CallEvent::Redirected {
        contacts: vec![elsewhere]
    }));
    assert_eq!(
        phone(&net, bob).ended(),
        Some(&EndKind::WeRejected { code: 302 })
    );
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn early_media_is_heard_before_the_answer() {
    // RFC 3665 §3.3's kind of 183 with a session description.
    let mut net = Net::new(9);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let status = sip_message::StatusCode::SESSION_PROGRESS;
    act(&mut net, bob, |phone, now| {
        phone.call().progress(now, status, Some(ANSWER.to_vec()))
    })
    .unwrap();
    wait(&mut net, 10);
    let early = CallEvent::Answer {
        body: ANSWER.to_vec(),
        early: true,
    };
    assert!(phone(&net, alice).events.contains(&early));
    act(&mut net, bob, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    let answers = phone(&net, alice)
        .events
        .iter()
        .filter(|event| matches!(event, CallEvent::Answer { .. }));
    assert_eq!(answers.count(), 1, "the early answer is the answer");
}

#[test]
fn nobody_there_ends_in_silence_after_64_t1() {
    // RFC 3665 §3.10's unsuccessful call without any answer.
    let mut net = Net::new(10);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 31_999);
    assert_eq!(phone(&net, alice).ended(), None);
    wait(&mut net, 1);
    let address = Some(BOB.parse().unwrap());
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::Silence { address })
    );
    // At 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
    assert_eq!(peer::heard(&net, bob, "INVITE").len(), 7);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn it_rings_for_three_minutes_and_not_longer() {
    let mut net = Net::new(11);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    act(&mut net, bob, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 179_000);
    assert_eq!(phone(&net, alice).ended(), None);
    let ringing = responses(&net, "INVITE")
        .iter()
        .filter(|response| response.status.code() == 180)
        .count();
    assert_eq!(ringing, 3, "once, and again each minute");
    let progress = phone(&net, alice)
        .events
        .iter()
        .filter(|event| matches!(event, CallEvent::Progress { .. }));
    assert_eq!(progress.count(), 1, "the repeats are not told");
    wait(&mut net, 2_000);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::NoAnswer));
    assert!(phone(&net, bob).ended().is_some());
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn an_unknown_name_is_a_network_fault() {
    let mut net = Net::new(12);
    let alice = add_phone(&mut net, ALICE, "alice");
    dial(&mut net, alice, "sip:bob@nowhere.example", Some(OFFER));
    let end = phone(&net, alice).ended().unwrap();
    assert!(
        matches!(
            end,
            EndKind::Network {
                fault: crate::call::NetworkFault::Unresolved(ResolveError::NotFound(_))
            }
        ),
        "{end:?}"
    );
    assert!(phone(&net, alice).call.as_ref().unwrap().is_drained());
}

#[test]
fn verbs_that_do_not_fit_change_nothing() {
    let (mut net, alice, bob) = talking(13);
    let before = wire(&net).len();
    act(&mut net, alice, |phone, now| {
        let call = phone.call();
        assert!(call.ring(now, None).is_err());
        assert!(call.answer(now, ANSWER.to_vec()).is_err());
        assert!(
            call.reject(now, sip_message::StatusCode::BUSY_HERE)
                .is_err()
        );
        assert!(call.accept_offer(now, ANSWER.to_vec()).is_err());
        assert!(
            call.reject_offer(now, sip_message::StatusCode::NOT_ACCEPTABLE_HERE)
                .is_err()
        );
    });
    wait(&mut net, 100);
    assert_eq!(wire(&net).len(), before);
    act(&mut net, bob, |phone, now| phone.call().hang_up(now)).unwrap();
    act(&mut net, bob, |phone, now| {
        assert!(phone.call().hang_up(now).is_err());
        assert!(phone.call().info(now, "text/plain", Vec::new()).is_err());
        assert!(phone.call().reoffer(now, OFFER.to_vec()).is_err());
    });
    wait(&mut net, 100);
    assert_eq!(phone(&net, bob).ended(), Some(&EndKind::WeHungUp));
}

#[test]
fn headers_stand_in_the_usual_order() {
    let mut net = Net::new(14);
    let (alice, proxy) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    act(&mut net, alice, |phone, _| {
        phone.config.route = vec![Uri::parse("sip:192.0.2.2;lr").unwrap()];
        phone.config.extra_headers = vec![("X-Room".to_owned(), "12\r\nX-Forged: 1".to_owned())];
    });
    dial(&mut net, alice, "sip:bob@example.com", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, proxy, "INVITE");
    let names: Vec<_> = request
        .headers
        .iter()
        .map(|field| field.name().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Contact",
            "Max-Forwards",
            "Route",
            "Allow",
            "Supported",
            "User-Agent",
            "Session-Expires",
            "X-Room",
            "Content-Type",
            "Session-ID",
            "Content-Length",
        ],
        "and no header can be forged by a value"
    );
    let contact = request.headers.get(HeaderName::Contact);
    assert_eq!(contact, Some("<sip:alice@192.0.2.1:5060>"));
    let allow = request.headers.get(HeaderName::Allow);
    assert_eq!(
        allow,
        Some("INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE")
    );
}

// ---- What a call waits for once it has ended ----

fn settled(net: &Net, id: NodeId) -> bool {
    phone(net, id).call.as_ref().unwrap().is_settled()
}

fn drained(net: &Net, id: NodeId) -> bool {
    phone(net, id).call.as_ref().unwrap().is_drained()
}

#[test]
fn whoever_hangs_up_is_settled_once_its_bye_is_answered_or_given_up() {
    for answered in [true, false] {
        let (mut net, alice, bob) = calls_script();
        assert!(!settled(&net, alice), "it has not ended");
        user(&mut net, alice, Call::hang_up);
        wait(&mut net, 10);
        assert!(!settled(&net, alice), "the BYE may be lost");
        if answered {
            let ok = response(&last(&net, bob, "BYE"), 200, "");
            say(&mut net, bob, ALICE, ok.to_bytes());
            wait(&mut net, 10);
        } else {
            // RFC 3261 §17.1.2.2: Timer F.
            wait(&mut net, 31_900);
            assert!(!settled(&net, alice));
            wait(&mut net, 200);
        }
        assert!(settled(&net, alice));
    }
}

#[test]
fn whoever_is_hung_up_on_is_settled_and_still_answers_a_repeated_bye() {
    let (mut net, alice, bob, request, to) = called_by_script();
    let bye = follow(&request, &to, "BYE", "bye", 8);
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    assert!(settled(&net, alice));
    // RFC 3261 §17.2.2: until Timer J.
    assert!(!drained(&net, alice), "what runs on absorbs repeats");
    let from = net.elapsed();
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    assert_eq!(wire_since(&net, from), [".2>.1 BYE", ".1>.2 200 BYE"]);
    assert!(settled(&net, alice));
}

#[test]
fn whoever_gives_up_is_settled_once_invite_and_cancel_are_answered() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let ringing = response(&request, 180, "b");
    say(&mut net, bob, ALICE, ringing.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    assert!(phone(&net, alice).ended().is_some());
    let cancel = last(&net, bob, "CANCEL");
    for (request, code) in [(&cancel, 200), (&request, 487)] {
        assert!(!settled(&net, alice), "{code} is still to come");
        let answer = response(request, code, "b");
        say(&mut net, bob, ALICE, answer.to_bytes());
        wait(&mut net, 10);
    }
    last(&net, bob, "ACK");
    assert!(settled(&net, alice));
}

#[test]
fn whoever_refuses_a_call_is_settled_once_that_is_acknowledged() {
    let (mut net, alice, bob, request) = called_with(OFFER, |_| {});
    user(&mut net, alice, |call, now| {
        call.reject(now, StatusCode::BUSY_HERE)
    });
    wait(&mut net, 10);
    assert!(phone(&net, alice).ended().is_some());
    assert!(!settled(&net, alice), "the refusal may be lost");
    let refusal = super::peer::answers(&net, bob, "INVITE").pop().unwrap();
    let mut ack = follow(
        &request,
        refusal.headers.get(HeaderName::To).unwrap(),
        "ACK",
        "first",
        7,
    );
    ack.headers.remove(HeaderName::Contact);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    assert!(settled(&net, alice));
}

/// RFC 3261 §15: the callee's BYE waits for the ACK to its 2xx.
#[test]
fn whoever_hangs_up_before_the_ack_is_settled_once_its_bye_was_said_and_answered() {
    let (mut net, alice, bob, request, to) = answered(OFFER);
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    assert!(!settled(&net, alice), "nothing is acknowledged");
    let ack = follow(&request, &to, "ACK", "ack", 7);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    assert!(!settled(&net, alice), "the BYE follows");
    let ok = response(&last(&net, bob, "BYE"), 200, "");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert!(settled(&net, alice));
}
