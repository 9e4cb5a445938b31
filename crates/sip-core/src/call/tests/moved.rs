//! Our address changes while a call rings: what is answered names the new one, and UPDATE tells it (RFC 3311).

use super::peer::{answer, answers, called_with, calling, heard, last, response, say};
use super::*;
use crate::call::WrongState;

const ELSEWHERE: &str = "192.0.2.9:5060";
const NEW_OFFER: &[u8] = b"v=0 from elsewhere";
const NEW_ANSWER: &[u8] = b"v=0 to elsewhere";

/// The phone is elsewhere from now on, and what it sends leaves from there.
fn moves(net: &mut Net, id: NodeId) {
    act(net, id, |phone, now| {
        phone.address = ELSEWHERE.parse().unwrap();
        let way = path(phone.address, BOB);
        phone.call().moved(now, &way);
    });
    wait(net, 10);
}

fn contact(headers: &sip_message::Headers) -> String {
    headers.get(HeaderName::Contact).unwrap().to_owned()
}

/// A provisional answer that makes an early dialog.
fn early(request: &Request, code: u16, tag: &str, takes: &str, body: &[u8]) -> Response {
    let mut early = answer(request, code, tag, &format!("sip:{tag}@192.0.2.2"), body);
    early.headers.push(HeaderName::Allow, takes);
    early
}

#[test]
fn rfc3261_13_3_1_4_the_answer_names_where_we_are_and_no_longer_where_we_were() {
    let (mut net, alice, bob, _) = called_with(OFFER, |_| {});
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 10);
    let ringing = answers(&net, bob, "INVITE").pop().unwrap();
    assert!(contact(&ringing.headers).contains(ALICE));
    moves(&mut net, alice);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let ok = answers(&net, bob, "INVITE").pop().unwrap();
    assert_eq!(ok.status.code(), 200);
    assert!(contact(&ok.headers).contains(ELSEWHERE));
}

#[test]
fn rfc3311_5_1_every_early_dialog_that_takes_update_is_told_our_contact_and_no_offer() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    for (tag, takes) in [("b", "INVITE, UPDATE"), ("c", "INVITE"), ("d", "UPDATE")] {
        let ringing = early(&request, 180, tag, takes, b"");
        say(&mut net, bob, ALICE, ringing.to_bytes());
        wait(&mut net, 10);
    }
    moves(&mut net, alice);
    let told = act(&mut net, alice, |phone, now| phone.call().tell_contact(now));
    wait(&mut net, 10);
    assert_eq!(told, 2);
    let updates = heard(&net, bob, "UPDATE");
    let to: Vec<String> = updates
        .iter()
        .map(|update| update.uri.to_string())
        .collect();
    assert_eq!(to, ["sip:b@192.0.2.2", "sip:d@192.0.2.2"]);
    for update in &updates {
        assert!(contact(&update.headers).contains(ELSEWHERE));
        assert!(update.body.is_empty());
        let via = update.headers.via_top().unwrap();
        assert_eq!(via.sent_by.to_string(), "192.0.2.9");
    }
    // Several may take the call, and none has agreed on a session yet.
    let may = act(&mut net, alice, |phone, _| phone.call().may_update());
    assert!(!may);
}

#[test]
fn rfc3311_5_1_an_offer_waits_for_the_first_answer_to_be_reliable_and_goes_out_then() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let unreliable = early(&request, 183, "b", "INVITE, PRACK, UPDATE", ANSWER);
    say(&mut net, bob, ALICE, unreliable.to_bytes());
    wait(&mut net, 10);
    moves(&mut net, alice);
    let offer = |phone: &mut Phone, now| {
        let may = phone.call().may_update();
        (may, phone.call().update(now, Some(NEW_OFFER.to_vec())))
    };
    let early_one = act(&mut net, alice, offer);
    assert_eq!(early_one, (false, Err(WrongState::Busy)));

    let mut reliable = early(&request, 183, "b", "INVITE, PRACK, UPDATE", ANSWER);
    reliable.headers.push(HeaderName::Require, "100rel");
    reliable.headers.push(HeaderName::RSeq, 1);
    say(&mut net, bob, ALICE, reliable.to_bytes());
    wait(&mut net, 10);
    let ok = response(&last(&net, bob, "PRACK"), 200, "");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(act(&mut net, alice, offer), (true, Ok(())));
    wait(&mut net, 10);
    let update = last(&net, bob, "UPDATE");
    assert_eq!(update.body, NEW_OFFER);
    assert!(contact(&update.headers).contains(ELSEWHERE));
    let ok = answer(&update, 200, "", "sip:b@192.0.2.2", NEW_ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    let told = CallEvent::Answer {
        body: NEW_ANSWER.to_vec(),
        early: true,
    };
    assert_eq!(phone(&net, alice).events.last(), Some(&told));
}

#[test]
fn who_rings_for_a_caller_without_update_tells_it_nothing_before_the_call_is_taken() {
    let (mut net, alice, bob, _) = called_with(OFFER, |_| {});
    moves(&mut net, alice);
    let told = act(&mut net, alice, |phone, now| phone.call().tell_contact(now));
    wait(&mut net, 10);
    assert_eq!(told, 0);
    assert!(heard(&net, bob, "UPDATE").is_empty());
    assert!(!act(&mut net, alice, |phone, _| phone.call().may_update()));
}
