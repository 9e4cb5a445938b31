//! Hold, late offers, glare, INFO, order of numbers.

use sip_message::StatusCode;

use super::peer::{
    answer, answers, called_by_script, calls_script, follow, heard, invite, last, offer_from,
    response, say,
};
use super::*;
use crate::call::{MediaWarning, Owed};

const HOLD: &[u8] = b"v=0 hold";
const HELD: &[u8] = b"v=0 held";

#[test]
fn hold_and_resume_from_the_caller_and_from_the_callee() {
    let (mut net, alice, bob) = talking(1);
    for (holder, other) in [(alice, bob), (bob, alice), (bob, alice)] {
        let from = net.elapsed();
        act(&mut net, holder, |phone, now| {
            phone.call().reoffer(now, HOLD.to_vec())
        })
        .unwrap();
        wait(&mut net, 50);
        assert_eq!(
            phone(&net, other).events.last(),
            Some(&CallEvent::Offer {
                body: HOLD.to_vec()
            })
        );
        act(&mut net, other, |phone, now| {
            phone.call().accept_offer(now, HELD.to_vec())
        })
        .unwrap();
        wait(&mut net, 3000);
        assert_eq!(
            phone(&net, holder).answers_told().last().unwrap(),
            "v=0 held"
        );
        let lines: Vec<_> = wire_since(&net, from)
            .iter()
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect();
        assert_eq!(lines, ["INVITE", "200 INVITE", "ACK"]);
    }
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn a_refused_change_leaves_the_call_as_it_was() {
    let (mut net, alice, bob) = talking(2);
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, HOLD.to_vec())
    })
    .unwrap();
    wait(&mut net, 50);
    let status = StatusCode::NOT_ACCEPTABLE_HERE;
    act(&mut net, bob, |phone, now| {
        phone.call().reject_offer(now, status)
    })
    .unwrap();
    wait(&mut net, 50);
    assert_eq!(
        phone(&net, alice).events.last(),
        Some(&CallEvent::ReofferFailed {
            status: Some(status)
        })
    );
    assert_eq!(phone(&net, alice).ended(), None);
}

/// RFC 3261 §13.3.1.3, §21.4.26.
#[test]
fn a_refused_change_says_why_once_and_by_the_name_of_our_contact() {
    let (mut net, alice, bob) = talking(2);
    let status = StatusCode::NOT_ACCEPTABLE_HERE;
    for (warning, why, says) in [
        (Some(MediaWarning::Format), "", "Incompatible media format"),
        (
            Some(MediaWarning::Transport),
            "\"keys\" \\ none",
            "Incompatible transport protocol: \\\"keys\\\" \\\\ none",
        ),
        (None, "", ""),
    ] {
        act(&mut net, alice, |phone, now| {
            phone.call().reoffer(now, HOLD.to_vec())
        })
        .unwrap();
        wait(&mut net, 50);
        act(&mut net, bob, |phone, now| {
            if let Some(warning) = warning {
                match why {
                    "" => phone.call().warn(warning),
                    why => phone.call().warn_because(warning, why),
                }
            }
            phone.call().reject_offer(now, status)
        })
        .unwrap();
        wait(&mut net, 50);
        let events = &phone(&net, alice).events;
        assert!(matches!(
            events.last(),
            Some(CallEvent::ReofferFailed { status: Some(code) }) if *code == status
        ));
        let sent = net.trace().iter();
        let refusals = sent.map(|traced| String::from_utf8_lossy(&traced.packet.payload));
        let mut newest = refusals.rev();
        let said = newest.find(|text| text.starts_with("SIP/2.0 488")).unwrap();
        let line = said.lines().find(|line| line.starts_with("Warning:"));
        let expected = warning.map(|w| format!("Warning: {} 192.0.2.2:5060 \"{says}\"", w.code()));
        assert_eq!(line, expected.as_deref(), "{said}");
    }
}

#[test]
fn case_33_both_ends_change_at_once_and_both_get_there() {
    // RFC 3665 has no such flow; RFC 3261 §14.1 and §14.2.
    let (mut net, alice, bob) = talking(3);
    let began = net.elapsed();
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, b"v=0 of alice".to_vec())
    })
    .unwrap();
    act(&mut net, bob, |phone, now| {
        phone.call().reoffer(now, b"v=0 of bob".to_vec())
    })
    .unwrap();
    let mut answered = Vec::new();
    // Each takes the other's offer as it comes.
    for _ in 0..500 {
        wait(&mut net, 10);
        for id in [alice, bob] {
            if matches!(phone(&net, id).events.last(), Some(CallEvent::Offer { .. })) {
                let taken = act(&mut net, id, |phone, now| {
                    phone.call().accept_offer(now, HELD.to_vec())
                });
                // The offer stays the last event when there is nothing else to tell.
                if taken.is_ok() {
                    answered.push((id, net.elapsed() - began));
                }
            }
        }
    }
    let refusals = responses(&net, "INVITE")
        .iter()
        .filter(|response| response.status.code() == 491)
        .count();
    assert_eq!(refusals, 2, "each refused the other's");
    assert_eq!(
        phone(&net, alice).answers_told().last().unwrap(),
        "v=0 held"
    );
    assert_eq!(phone(&net, bob).answers_told().last().unwrap(), "v=0 held");
    // Bob does not own the Call-ID: his retry comes within 2 s. Alice's comes after 2.1 to 4 s.
    let at = |id| {
        answered
            .iter()
            .find(|(who, _)| *who == id)
            .unwrap()
            .1
            .as_millis()
    };
    assert!(
        at(alice) <= 2_050,
        "Alice answers Bob's retry at {}",
        at(alice)
    );
    assert!(
        (2_100..=4_050).contains(&at(bob)),
        "Bob answers Alice's retry at {}",
        at(bob)
    );
}

#[test]
fn case_33_the_waits_after_a_491_keep_to_the_intervals_of_the_rfc() {
    for seed in 0..40 {
        let mut net = Net::new(seed);
        let alice = add_phone(&mut net, ALICE, "alice");
        act(&mut net, alice, |phone, _| phone.seed = seed * 7919);
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
        say(&mut net, bob, ALICE, ok.to_bytes());
        wait(&mut net, 10);
        act(&mut net, alice, |phone, now| {
            phone.call().reoffer(now, HOLD.to_vec())
        })
        .unwrap();
        wait(&mut net, 10);
        let request = last(&net, bob, "INVITE");
        say(
            &mut net,
            bob,
            ALICE,
            response(&request, 491, "b").to_bytes(),
        );
        wait(&mut net, 1);
        let refused = net.elapsed();
        assert!(net.run_until(
            Duration::from_secs(9),
            |net| heard(net, bob, "INVITE").len() == 3
        ));
        let waited = (net.elapsed() - refused).as_millis();
        assert!(
            (2_100..=4_001).contains(&waited),
            "{waited} ms with seed {seed}"
        );
    }
}

#[test]
fn case_33_an_invite_while_ours_is_out_gets_491() {
    let (mut net, alice, bob) = calls_script();
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, HOLD.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let ours = last(&net, bob, "INVITE");
    let mut theirs = offer_from(
        &ours,
        ours.headers.get(HeaderName::From).unwrap(),
        "theirs",
        1,
        HOLD,
    );
    theirs
        .headers
        .set(HeaderName::From, ours.headers.get(HeaderName::To).unwrap());
    theirs.headers.set(
        HeaderName::Via,
        format!("SIP/2.0/UDP {BOB};branch=z9hG4bKtheirs"),
    );
    say(&mut net, bob, ALICE, theirs.to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        answers(&net, bob, "INVITE")[0].status,
        StatusCode::REQUEST_PENDING
    );
}

#[test]
fn case_33_a_second_invite_before_the_answer_to_the_first_gets_500_and_retry_after() {
    let (mut net, alice, bob, request, to) = called_by_script();
    say(
        &mut net,
        bob,
        ALICE,
        offer_from(&request, &to, "two", 8, HOLD).to_bytes(),
    );
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        offer_from(&request, &to, "three", 9, HOLD).to_bytes(),
    );
    wait(&mut net, 10);
    let refusal = answers(&net, bob, "INVITE").pop().unwrap();
    assert_eq!(refusal.status.code(), 500);
    let seconds: u32 = refusal
        .headers
        .get(HeaderName::RetryAfter)
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds <= 10);
    let offers = phone(&net, alice)
        .events
        .iter()
        .filter(|event| matches!(event, CallEvent::Offer { .. }));
    assert_eq!(offers.count(), 2, "the first INVITE's and the re-INVITE's");
}

#[test]
fn case_33_no_reinvite_goes_out_before_the_ack_of_the_invite_before() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, HOLD.to_vec())
    })
    .unwrap();
    wait(&mut net, 3000);
    assert!(heard(&net, bob, "INVITE").is_empty());
    let to = answers(&net, bob, "INVITE")[0]
        .headers
        .get(HeaderName::To)
        .unwrap()
        .to_owned();
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "ACK", "ack", 7).to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "INVITE").len(), 1);
}

#[test]
fn a_reoffer_that_still_waits_is_replaced() {
    let (mut net, alice, bob) = calls_script();
    for body in ["v=0 one", "v=0 two", "v=0 three"] {
        act(&mut net, alice, |phone, now| {
            phone.call().reoffer(now, body.into())
        })
        .unwrap();
    }
    wait(&mut net, 10);
    for _ in 0..2 {
        let ok = answer(
            &last(&net, bob, "INVITE"),
            200,
            "b",
            "sip:bob@192.0.2.2",
            HELD,
        );
        say(&mut net, bob, ALICE, ok.to_bytes());
        wait(&mut net, 10);
    }
    let bodies: Vec<_> = heard(&net, bob, "INVITE")
        .iter()
        .skip(1)
        .map(|request| request.body.clone())
        .collect();
    assert_eq!(bodies, [b"v=0 one".to_vec(), b"v=0 three".to_vec()]);
}

#[test]
fn case_34_a_caller_without_offer_takes_ours_and_answers_in_the_ack() {
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    act(&mut net, alice, |phone, _| {
        let tags = &mut phone.config.capabilities.supported;
        tags.retain(|tag| tag != "100rel");
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", None);
    wait(&mut net, 10);
    assert_eq!(phone(&net, bob).events, [CallEvent::OfferWanted]);
    let early = act(&mut net, bob, |phone, now| {
        phone.call().ring(now, Some(OFFER.to_vec()))
    });
    assert!(early.is_err(), "no offer in what is not reliable");
    act(&mut net, bob, |phone, now| {
        phone.call().answer(now, OFFER.to_vec())
    })
    .unwrap();
    wait(&mut net, 2000);
    assert_eq!(
        phone(&net, alice).events.last(),
        Some(&CallEvent::Offer {
            body: OFFER.to_vec()
        })
    );
    assert!(
        requests(&net, "ACK").is_empty(),
        "the ACK waits for the answer"
    );
    act(&mut net, alice, |phone, now| {
        phone.call().accept_offer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 2000);
    assert_eq!(requests(&net, "ACK")[0].body, ANSWER);
    assert_eq!(phone(&net, bob).answers_told(), ["v=0 answer"]);
    assert!(phone(&net, alice).established() && phone(&net, bob).established());
    act(&mut net, bob, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn case_34_an_ack_that_owes_an_answer_and_has_none_ends_the_call_with_bye() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, b"");
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, OFFER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let to = answers(&net, bob, "INVITE")[0]
        .headers
        .get(HeaderName::To)
        .unwrap()
        .to_owned();
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "ACK", "ack", 7).to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "BYE").len(), 1);
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::NoSessionDescription {
            owed: Owed::AnswerInAck
        })
    );
}

#[test]
fn a_2xx_without_the_answer_it_owes_is_acknowledged_and_ended() {
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
        b"",
    );
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_wire(
        &net,
        &[".1>.2 INVITE", ".2>.1 200 INVITE", ".1>.2 ACK", ".1>.2 BYE"],
    );
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::NoSessionDescription { owed: Owed::Answer })
    );
}

#[test]
fn a_2xx_without_the_offer_it_owes_is_acknowledged_and_ended() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", None);
    wait(&mut net, 10);
    let request = last(&net, bob, "INVITE");
    let ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", b"");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_wire(
        &net,
        &[".1>.2 INVITE", ".2>.1 200 INVITE", ".1>.2 ACK", ".1>.2 BYE"],
    );
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::NoSessionDescription { owed: Owed::Offer })
    );
}

#[test]
fn case_36_the_first_answer_of_an_early_dialog_wins() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, bob, "INVITE");
    let messages: [(u16, &[u8]); 4] = [
        (183, b"v=0 one"),
        (180, b""),
        (183, b"v=0 two"),
        (200, b"v=0 three"),
    ];
    for (code, body) in messages {
        say(
            &mut net,
            bob,
            ALICE,
            answer(&request, code, "b", "sip:bob@192.0.2.2", body).to_bytes(),
        );
        wait(&mut net, 10);
    }
    assert_eq!(phone(&net, alice).answers_told(), ["v=0 one"]);
    assert_eq!(
        phone(&net, alice).notices(),
        [
            "a later session description of the same early dialog was ignored",
            "another session description in the 2xx was ignored: the early one was the answer",
        ]
    );
    assert!(phone(&net, alice).established());
}

#[test]
fn case_40_only_an_accepted_change_moves_the_target() {
    let (mut net, alice, bob, request, to) = called_by_script();
    let mut refused = offer_from(&request, &to, "two", 8, HOLD);
    refused
        .headers
        .set(HeaderName::Contact, "<sip:wrong@192.0.2.2>");
    say(&mut net, bob, ALICE, refused.to_bytes());
    wait(&mut net, 10);
    let status = StatusCode::NOT_ACCEPTABLE_HERE;
    act(&mut net, alice, |phone, now| {
        phone.call().reject_offer(now, status)
    })
    .unwrap();
    wait(&mut net, 10);
    let target = |net: &Net| {
        phone(net, alice)
            .call
            .as_ref()
            .unwrap()
            .dialog()
            .unwrap()
            .target()
            .to_string()
    };
    assert_eq!(target(&net), format!("sip:script@{BOB}"));
    let mut accepted = offer_from(&request, &to, "three", 9, HOLD);
    accepted
        .headers
        .set(HeaderName::Contact, "<sip:right@192.0.2.2>");
    say(&mut net, bob, ALICE, accepted.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| {
        phone.call().accept_offer(now, HELD.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(target(&net), "sip:right@192.0.2.2");
}

#[test]
fn case_40_the_2xx_to_our_change_moves_the_target_and_a_refusal_does_not() {
    let (mut net, alice, bob) = calls_script();
    for (code, contact) in [(488, "sip:wrong@192.0.2.2"), (200, "sip:right@192.0.2.2")] {
        act(&mut net, alice, |phone, now| {
            phone.call().reoffer(now, HOLD.to_vec())
        })
        .unwrap();
        wait(&mut net, 10);
        let reply = answer(&last(&net, bob, "INVITE"), code, "b", contact, HELD);
        say(&mut net, bob, ALICE, reply.to_bytes());
        wait(&mut net, 10);
    }
    assert_eq!(
        last(&net, bob, "ACK").uri.to_string(),
        "sip:right@192.0.2.2"
    );
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    assert_eq!(
        last(&net, bob, "BYE").uri.to_string(),
        "sip:right@192.0.2.2"
    );
}

#[test]
fn an_update_without_offer_moves_the_target_and_one_with_offer_is_answered() {
    let (mut net, alice, bob, request, to) = called_by_script();
    let mut update = follow(&request, &to, "UPDATE", "u1", 8);
    update
        .headers
        .set(HeaderName::Contact, "<sip:moved@192.0.2.2>");
    say(&mut net, bob, ALICE, update.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "UPDATE")[0].status, StatusCode::OK);
    let target = |net: &Net| {
        phone(net, alice)
            .call
            .as_ref()
            .unwrap()
            .dialog()
            .unwrap()
            .target()
            .to_string()
    };
    assert_eq!(target(&net), "sip:moved@192.0.2.2");
    let mut update = follow(&request, &to, "UPDATE", "u2", 9);
    update.set_body("application/sdp", HOLD.to_vec());
    say(&mut net, bob, ALICE, update.to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).events.last(),
        Some(&CallEvent::Offer {
            body: HOLD.to_vec()
        })
    );
    act(&mut net, alice, |phone, now| {
        phone.call().accept_offer(now, HELD.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let ok = answers(&net, bob, "UPDATE").pop().unwrap();
    assert_eq!((ok.status, ok.body), (StatusCode::OK, HELD.to_vec()));
}

#[test]
fn case_41_an_info_and_a_bye_before_the_ack_are_taken() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let to = answers(&net, bob, "INVITE")[0]
        .headers
        .get(HeaderName::To)
        .unwrap()
        .to_owned();
    let mut info = follow(&request, &to, "INFO", "info", 8);
    info.headers
        .push(HeaderName::ContentType, "application/dtmf-relay");
    info.body = b"Signal=5\r\nDuration=250\r\n".to_vec();
    say(&mut net, bob, ALICE, info.to_bytes());
    wait(&mut net, 10);
    let told = CallEvent::Info {
        package: None,
        content_type: "application/dtmf-relay".to_owned(),
        body: info.body.clone(),
    };
    assert_eq!(phone(&net, alice).events.last(), Some(&told));
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "BYE", "bye", 9).to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PeerHungUp { reason: None })
    );
    let before = answers(&net, bob, "INVITE").len();
    wait(&mut net, 40_000);
    assert_eq!(
        answers(&net, bob, "INVITE").len(),
        before,
        "the 2xx is not repeated after the BYE"
    );
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn case_41_a_lower_number_gets_500_and_a_jump_is_legal() {
    let (mut net, alice, bob, request, to) = called_by_script();
    for (branch, number, expected) in [("a", 4000, 200), ("b", 3999, 500), ("c", 4001, 200)] {
        let mut info = follow(&request, &to, "INFO", branch, number);
        info.body = b"x".to_vec();
        say(&mut net, bob, ALICE, info.to_bytes());
        wait(&mut net, 10);
        assert_eq!(
            answers(&net, bob, "INFO").pop().unwrap().status.code(),
            expected,
            "CSeq {number}"
        );
    }
    let infos = phone(&net, alice)
        .events
        .iter()
        .filter(|event| matches!(event, CallEvent::Info { .. }));
    assert_eq!(infos.count(), 2);
}

#[test]
fn options_and_unknown_methods_within_the_call_are_answered_truthfully() {
    let (mut net, alice, bob, request, to) = called_by_script();
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "OPTIONS", "o", 8).to_bytes(),
    );
    wait(&mut net, 10);
    let ok = answers(&net, bob, "OPTIONS").pop().unwrap();
    assert_eq!(ok.status, StatusCode::OK);
    assert_eq!(ok.headers.get_all(HeaderName::Allow).count(), 1);
    assert!(
        ok.headers
            .get(HeaderName::Accept)
            .unwrap()
            .contains("application/sdp")
    );
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "REFER", "r", 9).to_bytes(),
    );
    wait(&mut net, 10);
    let refusal = answers(&net, bob, "REFER").pop().unwrap();
    assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED);
    let allow = refusal.headers.get(HeaderName::Allow).unwrap();
    assert!(
        allow.contains("INVITE") && !allow.contains("REFER"),
        "{allow}"
    );
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn case_30_a_transport_error_on_a_reinvite_keeps_the_call() {
    let (mut net, alice, bob) = talking(9);
    act(&mut net, alice, |phone, _| {
        phone.closed.push(BOB.parse().unwrap());
    });
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, HOLD.to_vec())
    })
    .unwrap();
    assert_eq!(
        phone(&net, alice).events.last(),
        Some(&CallEvent::ReofferFailed { status: None })
    );
    assert_eq!(phone(&net, alice).ended(), None);
    act(&mut net, alice, |phone, _| phone.closed.clear());
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, HOLD.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, bob).events.last(),
        Some(&CallEvent::Offer {
            body: HOLD.to_vec()
        })
    );
}

#[test]
fn after_a_move_a_change_on_its_way_has_failed_and_the_next_one_names_the_new_address() {
    let (mut net, alice, bob) = calls_script();
    user(&mut net, alice, |call, now| {
        call.reoffer(now, HOLD.to_vec())
    });
    wait(&mut net, 10);
    // The phone's network is another one, and it has the same peer.
    act(&mut net, alice, |phone, now| {
        let way = path(phone.address, BOB);
        phone.call().moved(now, &way);
    });
    wait(&mut net, 10);
    let events = &phone(&net, alice).events;
    assert_eq!(
        events.last(),
        Some(&CallEvent::ReofferFailed { status: None })
    );
    let before = heard(&net, bob, "INVITE").len();
    user(&mut net, alice, |call, now| {
        call.reoffer(now, b"v=0 moved".to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "INVITE").len(), before + 1);
    let moved = last(&net, bob, "INVITE");
    assert_eq!(moved.body, b"v=0 moved");
    let ok = answer(&moved, 200, "", "sip:bob@192.0.2.2", HELD);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).answers_told().last().unwrap(),
        "v=0 held"
    );
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn a_481_or_408_to_a_change_ends_the_call_and_a_bye_tells_whoever_still_holds_it() {
    for code in [481, 408] {
        let (mut net, alice, bob) = calls_script();
        act(&mut net, alice, |phone, now| {
            phone.call().reoffer(now, HOLD.to_vec())
        })
        .unwrap();
        wait(&mut net, 10);
        let request = last(&net, bob, "INVITE");
        say(
            &mut net,
            bob,
            ALICE,
            response(&request, code, "b").to_bytes(),
        );
        wait(&mut net, 10);
        let end = phone(&net, alice).ended().unwrap();
        assert!(
            matches!(end, EndKind::Status { code: told, .. } if *told == code),
            "{end:?}"
        );
        assert_eq!(heard(&net, bob, "BYE").len(), 1);
        assert_all_gone(&mut net, &[alice]);
    }
}

#[test]
fn a_change_taken_back_by_its_peer_is_answered_487() {
    let (mut net, alice, bob, request, to) = called_by_script();
    say(
        &mut net,
        bob,
        ALICE,
        offer_from(&request, &to, "two", 8, HOLD).to_bytes(),
    );
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "CANCEL", "two", 8).to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(
        answers(&net, bob, "INVITE").pop().unwrap().status,
        StatusCode::REQUEST_TERMINATED
    );
    let late = act(&mut net, alice, |phone, now| {
        phone.call().accept_offer(now, HELD.to_vec())
    });
    assert!(late.is_err());
    assert_eq!(phone(&net, alice).ended(), None);
}

/// RFC 3261 §14.1 and §14.2: a peer that changes the session again and again and acknowledges nothing gets a few
/// answers, which are repeated, and then to wait; the call ends as one whose ACK never came.
#[test]
fn a_peer_that_acknowledges_nothing_does_not_make_answers_pile_up() {
    let (mut net, alice, bob, request, to) = called_by_script();
    for cseq in 10..40 {
        let again = offer_from(&request, &to, &format!("again{cseq}"), cseq, OFFER);
        say(&mut net, bob, ALICE, again.to_bytes());
        wait(&mut net, 10);
        let _ = act(&mut net, alice, |phone, now| {
            phone.call().accept_offer(now, ANSWER.to_vec())
        });
        wait(&mut net, 10);
    }
    let accepted = |cseq: u32| {
        let all = answers(&net, bob, "INVITE");
        let mut all = all
            .iter()
            .filter(|a| a.headers.cseq().is_ok_and(|c| c.number == cseq));
        all.any(|a| a.status == StatusCode::OK)
    };
    let taken = (10..40).filter(|cseq| accepted(*cseq)).count();
    assert_eq!(taken, 4);
    let refused = answers(&net, bob, "INVITE");
    let refused = refused
        .iter()
        .filter(|a| a.status == StatusCode::SERVER_INTERNAL_ERROR);
    assert!(refused.clone().count() >= 26);
    assert!(
        refused
            .clone()
            .all(|a| a.headers.has(HeaderName::RetryAfter))
    );
    wait(&mut net, 40_000);
    assert!(phone(&net, alice).ended().is_some());
    assert_all_gone(&mut net, &[alice]);
}

/// RFC 3261 §14.1: no INVITE goes out before the one before it is over at its sender's end. So whoever has one acknowledged is
/// there, and waits for no answer to those before: their ACKs went astray, as those of a peer do that has moved meanwhile.
#[test]
fn rfc3261_14_1_a_change_whose_ack_went_astray_ends_no_call_in_which_a_later_one_was_acknowledged()
{
    let (mut net, alice, bob, request, to) = called_by_script();
    for (branch, cseq) in [("second", 8), ("third", 9)] {
        let change = offer_from(&request, &to, branch, cseq, OFFER);
        say(&mut net, bob, ALICE, change.to_bytes());
        wait(&mut net, 10);
        act(&mut net, alice, |phone, now| {
            phone.call().accept_offer(now, ANSWER.to_vec())
        })
        .unwrap();
        wait(&mut net, 10);
    }
    let ack = follow(&request, &to, "ACK", "ack-of-third", 9);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    wait(&mut net, 60_000);
    assert_eq!(phone(&net, alice).ended(), None);
    assert_eq!(phone(&net, alice).call.as_ref().unwrap().counts()[3], 0);
}
