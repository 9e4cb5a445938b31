//! Provisional answers with PRACK (RFC 3262).

use sip_message::StatusCode;

use super::peer::{answer, answers, calling, follow, heard, invite, last, response, say};
use super::*;

const EARLY: &[u8] = b"v=0 early";

/// A reliable provisional answer.
fn reliable(request: &Request, code: u16, tag: &str, rseq: u32, body: &[u8]) -> Vec<u8> {
    let mut response = answer(request, code, tag, &format!("sip:{tag}@192.0.2.2"), body);
    response.headers.push(HeaderName::Require, "100rel");
    response.headers.push(HeaderName::RSeq, rseq);
    response.to_bytes()
}

/// Says yes to all PRACKs heard so far.
fn accept_pracks(net: &mut Net, bob: NodeId) {
    for prack in heard(net, bob, "PRACK") {
        say(net, bob, ALICE, response(&prack, 200, "").to_bytes());
    }
    wait(net, 10);
}

fn racks(net: &Net, bob: NodeId) -> Vec<(String, String)> {
    let of = |prack: &Request| {
        let tag = prack
            .headers
            .to()
            .unwrap()
            .tag()
            .unwrap_or_default()
            .to_owned();
        (tag, prack.headers.get(HeaderName::RAck).unwrap().to_owned())
    };
    heard(net, bob, "PRACK").iter().map(of).collect()
}

fn progress_told(net: &Net, id: NodeId) -> Vec<u16> {
    let code = |event: &CallEvent| match event {
        CallEvent::Progress { status, .. } => Some(status.code()),
        _ => None,
    };
    phone(net, id).events.iter().filter_map(code).collect()
}

/// A script calls ALICE with this Require or Supported.
fn called(name: HeaderName, body: &[u8]) -> (Net, NodeId, NodeId, Request) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let mut request = invite(&net, bob, ALICE, "first", 7, body);
    request.headers.push(name, "100rel");
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    (net, alice, bob, request)
}

/// The PRACK of the script for the last reliable answer it heard.
fn prack(net: &Net, bob: NodeId, request: &Request, branch: &str, cseq: u32) -> Request {
    let heard = answers(net, bob, "INVITE");
    let reliable = heard
        .iter()
        .rfind(|response| response.headers.has(HeaderName::RSeq))
        .unwrap();
    let rseq = reliable.headers.get(HeaderName::RSeq).unwrap();
    let to = reliable.headers.get(HeaderName::To).unwrap();
    let mut prack = follow(request, to, "PRACK", branch, cseq);
    prack.headers.remove(HeaderName::Require);
    prack
        .headers
        .push(HeaderName::RAck, format!("{rseq} 7 INVITE"));
    prack
}

#[test]
fn each_fork_has_its_own_order_of_reliable_answers() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let cseq = request.headers.cseq().unwrap().number;
    // The third one of a fork, and a 180 after a 183, are acknowledged like the first.
    for (code, tag, rseq) in [
        (183, "desk", 10),
        (183, "cell", 500),
        (180, "desk", 11),
        (180, "cell", 501),
        (183, "desk", 12),
    ] {
        say(
            &mut net,
            bob,
            ALICE,
            reliable(&request, code, tag, rseq, b""),
        );
        wait(&mut net, 10);
        accept_pracks(&mut net, bob);
    }
    let expected = [
        ("desk", 10),
        ("cell", 500),
        ("desk", 11),
        ("cell", 501),
        ("desk", 12),
    ]
    .map(|(tag, rseq)| (tag.to_owned(), format!("{rseq} {cseq} INVITE")));
    assert_eq!(racks(&net, bob), expected);
    for prack in heard(&net, bob, "PRACK") {
        let tag = prack.headers.to().unwrap().tag().unwrap().to_owned();
        assert_eq!(prack.uri.to_string(), format!("sip:{tag}@192.0.2.2"));
    }
    assert_eq!(progress_told(&net, alice), [183, 183, 180, 180, 183]);
}

#[test]
fn case_8_gaps_are_dropped_and_repeats_are_acknowledged_again_without_an_event() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(&mut net, bob, ALICE, reliable(&request, 183, "b", 10, b""));
    wait(&mut net, 10);
    // A repeat while the PRACK is still under way: the transaction repeats that by itself.
    say(&mut net, bob, ALICE, reliable(&request, 183, "b", 10, b""));
    wait(&mut net, 10);
    assert_eq!(racks(&net, bob).len(), 1);
    accept_pracks(&mut net, bob);
    say(&mut net, bob, ALICE, reliable(&request, 183, "b", 10, b""));
    wait(&mut net, 10);
    assert_eq!(racks(&net, bob).len(), 2, "the PRACK seems lost");
    accept_pracks(&mut net, bob);
    say(&mut net, bob, ALICE, reliable(&request, 180, "b", 12, b""));
    wait(&mut net, 10);
    assert_eq!(racks(&net, bob).len(), 2, "number 11 is missing");
    assert_eq!(progress_told(&net, alice), [183]);
    say(&mut net, bob, ALICE, reliable(&request, 180, "b", 11, b""));
    wait(&mut net, 10);
    assert_eq!(racks(&net, bob).len(), 3);
    assert_eq!(progress_told(&net, alice), [183, 180]);
}

#[test]
fn an_offer_in_a_reliable_answer_is_answered_in_its_prack() {
    let (mut net, alice, bob, request) = calling(None);
    say(&mut net, bob, ALICE, reliable(&request, 183, "b", 1, OFFER));
    wait(&mut net, 500);
    assert_eq!(
        phone(&net, alice).events.last(),
        Some(&CallEvent::Offer {
            body: OFFER.to_vec()
        })
    );
    assert!(heard(&net, bob, "PRACK").is_empty(), "our user thinks");
    act(&mut net, alice, |phone, now| {
        phone.call().accept_offer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(last(&net, bob, "PRACK").body, ANSWER);
    accept_pracks(&mut net, bob);
    say(
        &mut net,
        bob,
        ALICE,
        answer(&request, 200, "b", "sip:b@192.0.2.2", b"").to_bytes(),
    );
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    assert!(last(&net, bob, "ACK").body.is_empty());
    let number = |method| last(&net, bob, method).headers.cseq().unwrap().number;
    assert_eq!(number("PRACK"), number("INVITE") + 1);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    let bye = last(&net, bob, "BYE").headers.cseq().unwrap().number;
    assert_eq!(bye, number_of(&request) + 2, "the dialog counts on");
    assert_all_gone(&mut net, &[alice]);
}

fn number_of(request: &Request) -> u32 {
    request.headers.cseq().unwrap().number
}

#[test]
fn a_2xx_before_our_answer_to_an_early_offer_gets_it_in_the_ack() {
    let (mut net, alice, bob, request) = calling(None);
    say(&mut net, bob, ALICE, reliable(&request, 183, "b", 1, OFFER));
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        answer(&request, 200, "b", "sip:b@192.0.2.2", b"").to_bytes(),
    );
    wait(&mut net, 10);
    assert!(heard(&net, bob, "ACK").is_empty());
    act(&mut net, alice, |phone, now| {
        phone.call().accept_offer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(last(&net, bob, "ACK").body, ANSWER);
    assert!(phone(&net, alice).established());
}

#[test]
fn a_caller_that_insists_gets_its_180_reliably_until_the_prack() {
    let (mut net, alice, bob, request) = called(HeaderName::Require, OFFER);
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    // At 0, 0.5, 1.5, 3.5 and 7.5 s.
    wait(&mut net, 8000);
    let ringing = answers(&net, bob, "INVITE");
    assert_eq!(ringing.len(), 5);
    assert!(ringing.iter().all(|response| response == &ringing[0]));
    assert_eq!(ringing[0].headers.get(HeaderName::Require), Some("100rel"));
    let mut wrong = prack(&net, bob, &request, "wrong", 8);
    wrong.headers.set(HeaderName::RAck, "999999 7 INVITE");
    say(&mut net, bob, ALICE, wrong.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "PRACK")[0].status.code(), 481);
    let acknowledged = prack(&net, bob, &request, "right", 9);
    say(&mut net, bob, ALICE, acknowledged.to_bytes());
    wait(&mut net, 30_000);
    assert_eq!(answers(&net, bob, "PRACK")[1].status, StatusCode::OK);
    assert_eq!(answers(&net, bob, "INVITE").len(), 5, "the PRACK stops it");
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(
        answers(&net, bob, "INVITE").pop().unwrap().status,
        StatusCode::OK
    );
}

#[test]
fn a_reliable_answer_that_nobody_acknowledges_ends_the_call_with_504() {
    let (mut net, alice, bob, _) = called(HeaderName::Require, OFFER);
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 31_900);
    assert_eq!(phone(&net, alice).ended(), None);
    wait(&mut net, 200);
    assert_eq!(
        answers(&net, bob, "INVITE").pop().unwrap().status,
        StatusCode::SERVER_TIMEOUT
    );
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::NotAcknowledged));
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn the_final_answer_waits_until_early_media_is_acknowledged() {
    let (mut net, alice, bob, request) = called(HeaderName::Supported, OFFER);
    let status = StatusCode::SESSION_PROGRESS;
    act(&mut net, alice, |phone, now| {
        phone.call().progress(now, status, Some(EARLY.to_vec()))
    })
    .unwrap();
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, EARLY.to_vec())
    })
    .unwrap();
    wait(&mut net, 1000);
    assert!(
        answers(&net, bob, "INVITE")
            .iter()
            .all(|response| response.status == status)
    );
    let acknowledged = prack(&net, bob, &request, "p", 8);
    say(&mut net, bob, ALICE, acknowledged.to_bytes());
    wait(&mut net, 10);
    let codes: Vec<_> = wire(&net).into_iter().rev().take(2).collect();
    assert_eq!(
        codes,
        [".1>.2 200 INVITE", ".1>.2 200 PRACK"],
        "last one first"
    );
}

#[test]
fn a_second_reliable_answer_waits_for_the_prack_of_the_first() {
    let (mut net, alice, bob, request) = called(HeaderName::Require, OFFER);
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    let status = StatusCode::SESSION_PROGRESS;
    act(&mut net, alice, |phone, now| {
        phone.call().progress(now, status, Some(EARLY.to_vec()))
    })
    .unwrap();
    wait(&mut net, 100);
    assert_eq!(answers(&net, bob, "INVITE").len(), 1);
    let acknowledged = prack(&net, bob, &request, "p", 8);
    say(&mut net, bob, ALICE, acknowledged.to_bytes());
    wait(&mut net, 100);
    let told = answers(&net, bob, "INVITE");
    assert_eq!(told.len(), 2);
    assert_eq!((told[1].status, told[1].body.as_slice()), (status, EARLY));
    let rseq = |response: &Response| {
        response
            .headers
            .get(HeaderName::RSeq)
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert_eq!(rseq(&told[1]), rseq(&told[0]) + 1);
}

#[test]
fn a_caller_that_only_could_gets_a_plain_180() {
    let (mut net, alice, bob, _) = called(HeaderName::Supported, OFFER);
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 5000);
    let ringing = answers(&net, bob, "INVITE");
    assert_eq!(ringing.len(), 1);
    assert!(!ringing[0].headers.has(HeaderName::RSeq));
}

#[test]
fn early_media_between_two_phones_survives_a_lost_prack() {
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    let mut lost = false;
    net.set_rule(move |_, packet| {
        let drop = packet.payload.starts_with(b"PRACK") && !std::mem::replace(&mut lost, true);
        if drop {
            testkit::Verdict::Drop
        } else {
            testkit::Verdict::Pass
        }
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let status = StatusCode::SESSION_PROGRESS;
    act(&mut net, bob, |phone, now| {
        phone.call().progress(now, status, Some(EARLY.to_vec()))
    })
    .unwrap();
    wait(&mut net, 10);
    act(&mut net, bob, |phone, now| {
        phone.call().answer(now, EARLY.to_vec())
    })
    .unwrap();
    wait(&mut net, 3000);
    assert!(phone(&net, alice).established() && phone(&net, bob).established());
    let early = CallEvent::Answer {
        body: EARLY.to_vec(),
        early: true,
    };
    assert_eq!(
        phone(&net, alice)
            .events
            .iter()
            .filter(|event| **event == early)
            .count(),
        1
    );
    assert_eq!(responses(&net, "PRACK").len(), 1);
    act(&mut net, bob, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn a_flood_of_reliable_answers_does_not_grow_the_call() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    for rseq in 1..500 {
        say(
            &mut net,
            bob,
            ALICE,
            reliable(&request, 183, "b", rseq, b""),
        );
    }
    wait(&mut net, 10);
    let counts = phone(&net, alice).call.as_ref().unwrap().counts();
    assert_eq!(counts[0], Call::CLIENT_LIMIT);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice]);
}

/// RFC 3262 §3: a call that is taken at once is taken before the PRACK for its ringing can have come.
#[test]
fn a_prack_that_crosses_with_the_2xx_is_taken_once() {
    let (mut net, alice, bob, request) = called(HeaderName::Require, OFFER);
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 10);
    let late = prack(&net, bob, &request, "late", 8);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    say(&mut net, bob, ALICE, late.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "PRACK")[0].status, StatusCode::OK);
    let again = prack(&net, bob, &request, "again", 9);
    say(&mut net, bob, ALICE, again.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "PRACK")[1].status.code(), 481);
}
