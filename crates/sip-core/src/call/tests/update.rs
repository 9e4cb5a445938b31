//! UPDATE (RFC 3311) and offers in PRACK (RFC 3262 §5): the session changed before and after the call is taken.

use super::peer::{
    answer, answers, called_by_script_with, called_with, calling, calls_script_that, follow, heard,
    last, response, say, within,
};
use super::*;
use crate::call::WrongState;

const OTHER: &[u8] = b"v=0 other";
const AGREED: &[u8] = b"v=0 agreed";

/// A reliable 183 with an answer, from a peer that takes UPDATE.
fn early_answer(request: &Request, tag: &str, rseq: u32) -> Response {
    let mut early = answer(request, 183, tag, &format!("sip:{tag}@192.0.2.2"), ANSWER);
    early.headers.push(HeaderName::Require, "100rel");
    early.headers.push(HeaderName::RSeq, rseq);
    early
        .headers
        .push(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE");
    early
}

/// ALICE called, and has an early answer that she acknowledged.
fn early_call() -> (Net, NodeId, NodeId, Request) {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(
        &mut net,
        bob,
        ALICE,
        early_answer(&request, "b", 1).to_bytes(),
    );
    wait(&mut net, 10);
    let ok = response(&last(&net, bob, "PRACK"), 200, "");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    (net, alice, bob, request)
}

fn with_offer(mut update: Request, body: &[u8]) -> Vec<u8> {
    update.set_body("application/sdp", body.to_vec());
    update.to_bytes()
}

fn codes(net: &Net, id: NodeId, method: &str) -> Vec<u16> {
    answers(net, id, method)
        .iter()
        .map(|answer| answer.status.code())
        .collect()
}

/// A phone that rings for a script which takes reliable answers and UPDATE.
fn ringing(body: &[u8]) -> (Net, NodeId, NodeId, Request) {
    called_with(body, |request| {
        request.headers.push(HeaderName::Supported, "100rel");
        request
            .headers
            .push(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE");
    })
}

/// The script's PRACK for the last reliable answer.
fn prack(net: &Net, bob: NodeId, request: &Request, branch: &str, cseq: u32) -> Request {
    let heard = answers(net, bob, "INVITE");
    let reliable = heard
        .iter()
        .rfind(|answer| answer.headers.has(HeaderName::RSeq))
        .unwrap();
    let to = reliable.headers.get(HeaderName::To).unwrap();
    let mut prack = follow(request, to, "PRACK", branch, cseq);
    let rseq = reliable.headers.get(HeaderName::RSeq).unwrap();
    prack
        .headers
        .push(HeaderName::RAck, format!("{rseq} 7 INVITE"));
    prack
}

#[test]
fn an_early_update_changes_the_session_once_its_first_answer_was_acknowledged() {
    // RFC 3311 §5.1.
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let update = |call: &mut Call, now| call.update(now, Some(OTHER.to_vec()));
    let early = act(&mut net, alice, |phone, now| update(phone.call(), now));
    assert!(matches!(early, Err(WrongState::Phase(_))), "no dialog yet");
    say(
        &mut net,
        bob,
        ALICE,
        early_answer(&request, "b", 1).to_bytes(),
    );
    wait(&mut net, 10);
    let early = act(&mut net, alice, |phone, now| update(phone.call(), now));
    assert_eq!(early, Err(WrongState::Busy), "its PRACK has no answer yet");
    let ok = response(&last(&net, bob, "PRACK"), 200, "");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, update);
    wait(&mut net, 10);
    let sent = last(&net, bob, "UPDATE");
    assert_eq!(sent.uri.to_string(), "sip:b@192.0.2.2");
    assert_eq!(sent.body, OTHER);
    assert!(sent.headers.has(HeaderName::Contact), "a target refresh");
    assert!(
        !sent.headers.has(HeaderName::SessionExpires),
        "no session to time yet"
    );
    let again = act(&mut net, alice, |phone, now| update(phone.call(), now));
    assert_eq!(again, Err(WrongState::Busy), "one at a time");
    let ok = answer(&sent, 200, "", "sip:moved@192.0.2.2", AGREED);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    let told = CallEvent::Answer {
        body: AGREED.to_vec(),
        early: true,
    };
    assert_eq!(phone(&net, alice).events.last(), Some(&told));
    // The 2xx to the INVITE has nothing to add.
    let ok = answer(&request, 200, "b", "sip:final@192.0.2.2", b"");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    assert_eq!(
        phone(&net, alice).answers_told(),
        ["v=0 answer", "v=0 agreed"]
    );
    assert_eq!(
        last(&net, bob, "ACK").uri.to_string(),
        "sip:final@192.0.2.2"
    );
}

#[test]
fn a_peer_that_does_not_allow_update_is_not_sent_one() {
    let (mut net, alice, bob) =
        calls_script_that(|ok| ok.headers.push(HeaderName::Allow, "INVITE, ACK, BYE"));
    let sent = act(&mut net, alice, |phone, now| phone.call().update(now, None));
    assert_eq!(sent, Err(WrongState::NotTaken));
    wait(&mut net, 10);
    assert!(heard(&net, bob, "UPDATE").is_empty());
}

#[test]
fn an_early_update_of_the_peer_is_answered_and_moves_the_target() {
    let (mut net, alice, bob, request) = early_call();
    let mut update = within(&request, "b", "UPDATE", "u1", 1);
    update
        .headers
        .set(HeaderName::Contact, "<sip:elsewhere@192.0.2.2>");
    say(&mut net, bob, ALICE, with_offer(update, OTHER));
    wait(&mut net, 10);
    let told = CallEvent::Offer {
        body: OTHER.to_vec(),
    };
    assert_eq!(phone(&net, alice).events.last(), Some(&told));
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, AGREED.to_vec())
    });
    wait(&mut net, 10);
    let ok = answers(&net, bob, "UPDATE").pop().unwrap();
    assert_eq!((ok.status.code(), ok.body.as_slice()), (200, AGREED));
    user(&mut net, alice, |call, now| {
        call.info(now, "text/plain", b"x".to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(
        last(&net, bob, "INFO").uri.to_string(),
        "sip:elsewhere@192.0.2.2"
    );
}

#[test]
fn case_33_an_update_meets_491_while_our_offer_is_out_and_500_while_the_peers_is() {
    // RFC 3311 §5.2, early: our INVITE has no answer in this dialog.
    let (mut net, _, bob, request) = calling(Some(OFFER));
    let ringing = answer(&request, 180, "b", "sip:b@192.0.2.2", b"");
    say(&mut net, bob, ALICE, ringing.to_bytes());
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(within(&request, "b", "UPDATE", "u1", 1), OTHER),
    );
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "UPDATE"), [491]);

    // Our UPDATE with an offer is out; then the peer's offer waits for our user.
    let (mut net, alice, bob, request) = early_call();
    user(&mut net, alice, |call, now| {
        call.update(now, Some(OTHER.to_vec()))
    });
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(within(&request, "b", "UPDATE", "u1", 1), OTHER),
    );
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "UPDATE"), [491]);
    let ok = answer(
        &last(&net, bob, "UPDATE"),
        200,
        "",
        "sip:b@192.0.2.2",
        AGREED,
    );
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(within(&request, "b", "UPDATE", "u2", 2), OTHER),
    );
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(within(&request, "b", "UPDATE", "u3", 3), OTHER),
    );
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "UPDATE"), [491, 500]);
    let refusal = answers(&net, bob, "UPDATE").pop().unwrap();
    let seconds: u32 = refusal
        .headers
        .get(HeaderName::RetryAfter)
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds <= 10);

    // Confirmed, and our re-INVITE is out.
    let (mut net, alice, bob, request, to) = called_by_script_with(|_| {});
    user(&mut net, alice, |call, now| {
        call.reoffer(now, OTHER.to_vec())
    });
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(follow(&request, &to, "UPDATE", "u1", 8), OTHER),
    );
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "UPDATE"), [491]);
}

#[test]
fn case_33_our_update_is_tried_again_after_491_within_the_interval_of_the_rfc() {
    let allow = |ok: &mut Response| ok.headers.push(HeaderName::Allow, "INVITE, UPDATE");
    let (mut net, alice, bob) = calls_script_that(allow);
    user(&mut net, alice, |call, now| {
        call.update(now, Some(OTHER.to_vec()))
    });
    wait(&mut net, 10);
    let bytes = response(&last(&net, bob, "UPDATE"), 491, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 2000);
    assert_eq!(
        heard(&net, bob, "UPDATE").len(),
        1,
        "the Call-ID is ours: not before 2.1 s"
    );
    wait(&mut net, 2100);
    let again = last(&net, bob, "UPDATE");
    let mut numbers: Vec<_> = heard(&net, bob, "UPDATE")
        .iter()
        .map(|update| update.headers.cseq().unwrap().number)
        .collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 2, "and its repeats");
    assert_eq!(again.body, OTHER);
    let ok = answer(&again, 200, "", "sip:bob@192.0.2.2", AGREED);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).answers_told(),
        ["v=0 answer", "v=0 agreed"]
    );
}

#[test]
fn case_40_our_update_moves_the_target_by_its_2xx_and_not_by_a_refusal() {
    let allow = |ok: &mut Response| ok.headers.push(HeaderName::Allow, "INVITE, UPDATE");
    let (mut net, alice, bob) = calls_script_that(allow);
    for (code, target) in [(488, "sip:bob@192.0.2.2"), (200, "sip:new@192.0.2.2")] {
        user(&mut net, alice, |call, now| call.update(now, None));
        wait(&mut net, 10);
        let reply = answer(
            &last(&net, bob, "UPDATE"),
            code,
            "",
            "sip:new@192.0.2.2",
            b"",
        );
        say(&mut net, bob, ALICE, reply.to_bytes());
        wait(&mut net, 10);
        let call = phone(&net, alice).call.as_ref().unwrap();
        assert_eq!(call.dialog().unwrap().target().to_string(), target);
    }
}

#[test]
fn a_refused_update_leaves_the_session_and_is_told() {
    let allow = |ok: &mut Response| ok.headers.push(HeaderName::Allow, "INVITE, UPDATE");
    let (mut net, alice, bob) = calls_script_that(allow);
    user(&mut net, alice, |call, now| {
        call.update(now, Some(OTHER.to_vec()))
    });
    wait(&mut net, 10);
    let bytes = response(&last(&net, bob, "UPDATE"), 488, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 10);
    let status = sip_message::StatusCode::new(488);
    assert_eq!(
        phone(&net, alice).events.last(),
        Some(&CallEvent::ReofferFailed { status })
    );
}

#[test]
fn case_34_an_offer_in_the_first_reliable_answer_is_answered_in_the_prack() {
    let (mut net, alice, bob, request) = ringing(b"");
    user(&mut net, alice, |call, now| {
        call.ring(now, Some(OFFER.to_vec()))
    });
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "INVITE").pop().unwrap().body, OFFER);
    let bytes = with_offer(prack(&net, bob, &request, "p1", 8), ANSWER);
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "PRACK"), [200]);
    let told = CallEvent::Answer {
        body: ANSWER.to_vec(),
        early: true,
    };
    assert_eq!(phone(&net, alice).events.last(), Some(&told));
    user(&mut net, alice, |call, now| {
        call.answer(now, OFFER.to_vec())
    });
    wait(&mut net, 10);
    let ok = answers(&net, bob, "INVITE").pop().unwrap();
    assert_eq!(ok.status.code(), 200);
    assert!(
        ok.body.is_empty(),
        "offer and answer are known at both ends"
    );
    let to = ok.headers.get(HeaderName::To).unwrap();
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, to, "ACK", "a", 7).to_bytes(),
    );
    wait(&mut net, 10);
    assert!(phone(&net, alice).established() && phone(&net, alice).ended().is_none());
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_2xx_and_the_call_waits_for_that() {
    // RFC 3262 §5.
    let (mut net, alice, bob, request) = ringing(OFFER);
    user(&mut net, alice, |call, now| {
        call.ring(now, Some(ANSWER.to_vec()))
    });
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.answer(now, ANSWER.to_vec())
    });
    wait(&mut net, 10);
    let bytes = with_offer(prack(&net, bob, &request, "p1", 8), OTHER);
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).events.last(),
        Some(&CallEvent::Offer {
            body: OTHER.to_vec()
        })
    );
    assert!(codes(&net, bob, "PRACK").is_empty());
    assert_eq!(codes(&net, bob, "INVITE").last(), Some(&180));
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, AGREED.to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "PRACK")[0].body, AGREED);
    let ok = answers(&net, bob, "INVITE").pop().unwrap();
    assert_eq!((ok.status.code(), ok.body.len()), (200, 0));
}

#[test]
fn an_update_while_it_rings_waits_for_the_first_answer_and_is_taken_after_its_prack() {
    let (mut net, alice, bob, request) = ringing(OFFER);
    user(&mut net, alice, |call, now| {
        call.ring(now, Some(ANSWER.to_vec()))
    });
    wait(&mut net, 10);
    let to = answers(&net, bob, "INVITE")
        .pop()
        .unwrap()
        .headers
        .get(HeaderName::To)
        .unwrap()
        .to_owned();
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(follow(&request, &to, "UPDATE", "u1", 8), OTHER),
    );
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "UPDATE"), [500]);
    let own = act(&mut net, alice, |phone, now| {
        phone.call().update(now, Some(OTHER.to_vec()))
    });
    assert_eq!(own, Err(WrongState::Busy));
    let bytes = prack(&net, bob, &request, "p1", 9).to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(follow(&request, &to, "UPDATE", "u2", 10), OTHER),
    );
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, AGREED.to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "UPDATE"), [500, 200]);
    // And one of ours.
    user(&mut net, alice, |call, now| {
        call.update(now, Some(OTHER.to_vec()))
    });
    wait(&mut net, 10);
    let ok = answer(
        &last(&net, bob, "UPDATE"),
        200,
        "",
        "sip:script@192.0.2.2",
        AGREED,
    );
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(phone(&net, alice).answers_told(), ["v=0 agreed"]);
    user(&mut net, alice, |call, now| {
        call.answer(now, ANSWER.to_vec())
    });
    wait(&mut net, 10);
    let ok = answers(&net, bob, "INVITE").pop().unwrap();
    assert_eq!((ok.status.code(), ok.body.len()), (200, 0), "RFC 6337 §3.1");
}

#[test]
fn a_call_taken_while_an_early_update_waits_refuses_that_for_now() {
    let (mut net, alice, bob, request) = ringing(OFFER);
    user(&mut net, alice, |call, now| {
        call.ring(now, Some(ANSWER.to_vec()))
    });
    wait(&mut net, 10);
    let bytes = prack(&net, bob, &request, "p1", 8).to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 10);
    let to = answers(&net, bob, "INVITE")
        .pop()
        .unwrap()
        .headers
        .get(HeaderName::To)
        .unwrap()
        .to_owned();
    say(
        &mut net,
        bob,
        ALICE,
        with_offer(follow(&request, &to, "UPDATE", "u1", 9), OTHER),
    );
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.answer(now, ANSWER.to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(codes(&net, bob, "UPDATE"), [500]);
    assert_eq!(codes(&net, bob, "INVITE").last(), Some(&200));
}

#[test]
fn case_8_a_prack_goes_in_the_dialog_of_each_fork_with_its_own_numbers() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    for (tag, rseq) in [("x", 100), ("y", 7), ("x", 101), ("y", 8), ("x", 102)] {
        let mut early = early_answer(&request, tag, rseq);
        early.body.clear();
        early.headers.remove(HeaderName::ContentType);
        say(&mut net, bob, ALICE, early.to_bytes());
        wait(&mut net, 10);
        let ok = response(&last(&net, bob, "PRACK"), 200, "");
        say(&mut net, bob, ALICE, ok.to_bytes());
        wait(&mut net, 10);
    }
    let first = request.headers.cseq().unwrap().number;
    let of = |tag: &str| -> Vec<(u32, String)> {
        let pracks = heard(&net, bob, "PRACK").into_iter();
        let own = pracks.filter(|prack| prack.headers.to().unwrap().tag() == Some(tag));
        own.map(|prack| {
            let rack = prack.headers.get(HeaderName::RAck).unwrap().to_owned();
            (prack.headers.cseq().unwrap().number - first, rack)
        })
        .collect()
    };
    let rack = |rseq: u32| format!("{rseq} {first} INVITE");
    assert_eq!(of("x"), [(1, rack(100)), (2, rack(101)), (3, rack(102))]);
    assert_eq!(of("y"), [(1, rack(7)), (2, rack(8))]);
    assert!(phone(&net, alice).ended().is_none());
}
