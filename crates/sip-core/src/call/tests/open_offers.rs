//! Offers of ours in the answers to INVITEs that had none: what comes meanwhile, and an ACK that leaves them open.

use super::peer::{answer, answers, called_by_script, follow, last, offer_from, say};
use super::*;

/// An INVITE without an offer within the call, taken with our offer, its 2xx not acknowledged.
fn asked_for_an_offer() -> (Net, NodeId, NodeId, Request, String) {
    let (mut net, alice, bob, request, to) = called_by_script();
    let empty = offer_from(&request, &to, "empty", 8, b"");
    say(&mut net, bob, ALICE, empty.to_bytes());
    wait(&mut net, 10);
    let events = &phone(&net, alice).events;
    assert_eq!(events.last(), Some(&CallEvent::OfferWanted));
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, b"v=0 ours".to_vec())
    });
    wait(&mut net, 10);
    (net, alice, bob, request, to)
}

fn last_code(net: &Net, id: NodeId, method: &str) -> (u16, bool) {
    let last = answers(net, id, method).pop().unwrap();
    let retry = last.headers.has(HeaderName::RetryAfter);
    (last.status.code(), retry)
}

#[test]
fn an_offer_that_the_ack_leaves_open_is_withdrawn_and_both_ends_can_change_the_session_again() {
    let (mut net, alice, bob, request, to) = asked_for_an_offer();
    let ack = follow(&request, &to, "ACK", "ack8", 8);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    let events = &phone(&net, alice).events;
    assert_eq!(events.last(), Some(&CallEvent::OfferUnanswered));
    assert!(
        phone(&net, alice)
            .notices()
            .contains(&"an ACK came without the answer it owes; the session stays as it was")
    );
    // The peer's next change is offered to the owner as any other.
    let change = offer_from(&request, &to, "change", 9, b"v=0 change");
    say(&mut net, bob, ALICE, change.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, b"v=0 changed".to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(last_code(&net, bob, "INVITE").0, 200);
    let ack = follow(&request, &to, "ACK", "ack9", 9);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    // And so is ours to the peer.
    user(&mut net, alice, |call, now| {
        call.reoffer(now, b"v=0 hold".to_vec())
    });
    wait(&mut net, 10);
    let ours = last(&net, bob, "INVITE");
    assert_eq!(ours.body, b"v=0 hold");
    let ok = answer(&ours, 200, "", "sip:script@192.0.2.2", b"v=0 held");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(phone(&net, alice).answers_told(), ["v=0 held"]);
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn while_an_offer_in_our_2xx_is_open_invites_and_updates_with_offers_get_491() {
    // RFC 3261 §14.2, RFC 3311 §5.2: our offer is out, so it is for both to try again.
    let (mut net, alice, bob, request, to) = asked_for_an_offer();
    for (method, cseq) in [("INVITE", 9), ("UPDATE", 10)] {
        let mut change = follow(&request, &to, method, &format!("m{cseq}"), cseq);
        change.set_body("application/sdp", b"v=0 change".to_vec());
        say(&mut net, bob, ALICE, change.to_bytes());
        wait(&mut net, 10);
        assert_eq!(last_code(&net, bob, method), (491, false), "{method}");
    }
    // An INVITE that wants yet another offer is no better.
    let empty = offer_from(&request, &to, "more", 11, b"");
    say(&mut net, bob, ALICE, empty.to_bytes());
    wait(&mut net, 10);
    assert_eq!(last_code(&net, bob, "INVITE").0, 491);
    // An UPDATE without an offer changes nothing of the session, and is taken.
    let target = follow(&request, &to, "UPDATE", "target", 12);
    say(&mut net, bob, ALICE, target.to_bytes());
    wait(&mut net, 10);
    assert_eq!(last_code(&net, bob, "UPDATE").0, 200);
    // The answer in the ACK settles it.
    let mut ack = follow(&request, &to, "ACK", "ack8", 8);
    ack.set_body("application/sdp", b"v=0 theirs".to_vec());
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    assert_eq!(phone(&net, alice).answers_told(), ["v=0 theirs"]);
    let change = offer_from(&request, &to, "last", 13, b"v=0 change");
    say(&mut net, bob, ALICE, change.to_bytes());
    wait(&mut net, 10);
    let events = &phone(&net, alice).events;
    assert!(matches!(events.last(), Some(CallEvent::Offer { .. })));
}

#[test]
fn while_an_offer_of_the_peer_is_open_another_one_gets_500_and_a_time_to_wait() {
    let (mut net, alice, bob, request, to) = called_by_script();
    let first = offer_from(&request, &to, "theirs", 8, b"v=0 first");
    say(&mut net, bob, ALICE, first.to_bytes());
    wait(&mut net, 10);
    for (method, cseq) in [("INVITE", 9), ("UPDATE", 10)] {
        let mut change = follow(&request, &to, method, &format!("m{cseq}"), cseq);
        change.set_body("application/sdp", b"v=0 change".to_vec());
        say(&mut net, bob, ALICE, change.to_bytes());
        wait(&mut net, 10);
        assert_eq!(last_code(&net, bob, method), (500, true), "{method}");
    }
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, b"v=0 taken".to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(last_code(&net, bob, "INVITE").0, 200);
}
