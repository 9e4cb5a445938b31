//! CANCEL in all its crossings.

use sip_message::StatusCode;

use super::peer::{answer, answers, calling, follow, heard, invite, last, response, say};
use super::*;

#[test]
fn case_10_a_cancel_is_held_until_a_provisional_answer_and_the_invite_goes_on_repeating() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::WeHungUp));
    wait(&mut net, 4000);
    assert!(heard(&net, proxy, "CANCEL").is_empty());
    assert_eq!(heard(&net, proxy, "INVITE").len(), 4);
    say(
        &mut net,
        proxy,
        ALICE,
        response(&request, 100, "").to_bytes(),
    );
    wait(&mut net, 10);
    let cancel = last(&net, proxy, "CANCEL");
    say(
        &mut net,
        proxy,
        ALICE,
        response(&cancel, 200, "b").to_bytes(),
    );
    say(
        &mut net,
        proxy,
        ALICE,
        response(&request, 487, "b").to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(wire(&net).last().unwrap(), ".1>.2 ACK");
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_held_cancel_that_never_gets_an_answer_ends_with_timer_b() {
    let (mut net, alice, proxy, _) = calling(Some(OFFER));
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 32_000);
    assert!(phone(&net, alice).call.as_ref().unwrap().is_drained());
    assert!(heard(&net, proxy, "CANCEL").is_empty());
}

#[test]
fn case_10_a_held_cancel_that_meets_a_2xx_becomes_ack_and_bye() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    say(
        &mut net,
        proxy,
        ALICE,
        answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    assert_wire(
        &net,
        &[".1>.2 INVITE", ".2>.1 200 INVITE", ".1>.2 ACK", ".1>.2 BYE"],
    );
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn case_11_a_cancel_that_crosses_the_2xx_ends_with_ack_and_bye() {
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    act(&mut net, bob, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 1000);
    act(&mut net, bob, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    // The callee keeps the call until the BYE: its 200 to the CANCEL changes nothing.
    assert!(net.run_until(Duration::from_secs(1), |net| {
        phone(net, bob).ended().is_some()
    }));
    wait(&mut net, 100);
    let mut lines = wire(&net);
    assert_eq!(
        lines.drain(..4).collect::<Vec<_>>(),
        [
            ".1>.2 INVITE",
            ".2>.1 180 INVITE",
            ".2>.1 200 INVITE",
            ".1>.2 CANCEL",
        ]
    );
    lines.sort();
    assert_eq!(
        lines,
        [
            ".1>.2 ACK",
            ".1>.2 BYE",
            ".2>.1 200 BYE",
            ".2>.1 200 CANCEL"
        ]
    );
    assert!(
        phone(&net, bob).established(),
        "the ACK came before the BYE"
    );
    assert_eq!(
        phone(&net, bob).ended(),
        Some(&EndKind::PeerHungUp { reason: None })
    );
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn case_12_a_200_to_cancel_without_a_487_is_given_up_after_64_t1() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    say(
        &mut net,
        proxy,
        ALICE,
        response(&request, 180, "b").to_bytes(),
    );
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    let cancel = last(&net, proxy, "CANCEL");
    say(
        &mut net,
        proxy,
        ALICE,
        response(&cancel, 200, "b").to_bytes(),
    );
    wait(&mut net, 31_900);
    assert!(!phone(&net, alice).call.as_ref().unwrap().is_drained());
    wait(&mut net, 200);
    assert!(phone(&net, alice).call.as_ref().unwrap().is_drained());
}

#[test]
fn case_13_a_cancel_has_the_via_the_uri_and_the_route_of_its_invite() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let proxy = add_script(&mut net, BOB);
    act(&mut net, alice, |phone, _| {
        phone.config.route = vec![Uri::parse("sip:192.0.2.2;lr").unwrap()];
        phone.config.extra_headers = vec![("X-Room".to_owned(), "12".to_owned())];
    });
    dial(&mut net, alice, "sip:bob@example.com", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, proxy, "INVITE");
    assert_eq!(request.headers.get(HeaderName::from("X-Room")), Some("12"));
    say(
        &mut net,
        proxy,
        ALICE,
        response(&request, 180, "b").to_bytes(),
    );
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    let cancel = last(&net, proxy, "CANCEL");
    let all = |request: &Request, name: HeaderName| {
        request
            .headers
            .get_all(name)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(cancel.uri, request.uri);
    for name in [
        HeaderName::Via,
        HeaderName::Route,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
    ] {
        assert_eq!(
            all(&cancel, name.clone()),
            all(&request, name.clone()),
            "{name}"
        );
    }
    assert_eq!(all(&cancel, HeaderName::Via).len(), 1);
    let (ours, theirs) = (
        cancel.headers.cseq().unwrap(),
        request.headers.cseq().unwrap(),
    );
    assert_eq!(ours.number, theirs.number);
    assert!(!cancel.headers.has(HeaderName::Require), "RFC 3261 §9.1");
}

#[test]
fn case_14_a_repeated_cancel_gets_the_same_200() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    let mut cancel = follow(
        &request,
        request.headers.get(HeaderName::To).unwrap(),
        "CANCEL",
        "first",
        7,
    );
    cancel.headers.push(
        HeaderName::Reason,
        "SIP;cause=200;text=\"Call completed elsewhere\"",
    );
    for _ in 0..3 {
        say(&mut net, bob, ALICE, cancel.to_bytes());
        wait(&mut net, 10);
    }
    let oks = answers(&net, bob, "CANCEL");
    assert_eq!(oks.len(), 3);
    assert!(
        oks.iter()
            .all(|ok| ok == &oks[0] && ok.status == StatusCode::OK)
    );
    let refusals = answers(&net, bob, "INVITE");
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].status, StatusCode::REQUEST_TERMINATED);
    assert_eq!(
        refusals[0].headers.to(),
        oks[0].headers.to(),
        "one To tag for the call"
    );
    let reason = Some("SIP;cause=200;text=\"Call completed elsewhere\"".into());
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::Cancelled { reason })
    );
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_cancel_of_nothing_is_told_so() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    let stray = follow(
        &request,
        request.headers.get(HeaderName::To).unwrap(),
        "CANCEL",
        "other",
        99,
    );
    say(&mut net, bob, ALICE, stray.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "CANCEL")[0].status.code(), 481);
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn a_cancel_with_a_branch_of_its_own_from_elsewhere_ends_nothing() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let carol = add_script(&mut net, CAROL);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    let to = request.headers.get(HeaderName::To).unwrap();
    let cancel = follow(&request, to, "CANCEL", "other", 7);
    say(&mut net, carol, ALICE, cancel.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, carol, "CANCEL")[0].status.code(), 481);
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn a_cancel_with_a_branch_of_its_own_is_taken_when_all_else_fits() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let request = invite(&net, bob, ALICE, "first", 7, OFFER);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    let cancel = follow(
        &request,
        request.headers.get(HeaderName::To).unwrap(),
        "CANCEL",
        "other",
        7,
    );
    say(&mut net, bob, ALICE, cancel.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "CANCEL")[0].status, StatusCode::OK);
    assert_eq!(
        answers(&net, bob, "INVITE")[0].status,
        StatusCode::REQUEST_TERMINATED
    );
    assert!(phone(&net, alice).notices()[0].contains("CANCEL with another branch"));
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::Cancelled { reason: None })
    );
}
