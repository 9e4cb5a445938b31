//! INVITEs that make no call, and those that make one for a while only.

use sip_message::StatusCode;

use super::peer::{answers, called_by_script, follow, invite, say};
use super::*;

/// A script's INVITE with something changed rings at a phone.
fn rings_with(change: impl FnOnce(&mut Request)) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let mut request = invite(&net, bob, ALICE, "first", 7, OFFER);
    change(&mut request);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 10);
    (net, alice, bob)
}

fn finals(net: &Net, bob: NodeId) -> Vec<u16> {
    let answers = answers(net, bob, "INVITE").into_iter();
    let codes = answers.map(|answer| answer.status.code());
    codes.filter(|code| *code >= 200).collect()
}

#[test]
fn an_invitation_ends_with_487_when_its_expires_is_over() {
    let expires = |request: &mut Request| request.headers.push(HeaderName::Expires, 20);
    let (mut net, alice, bob) = rings_with(expires);
    wait(&mut net, 19_900);
    assert_eq!(finals(&net, bob), [], "it holds until then");
    wait(&mut net, 200);
    assert_eq!(finals(&net, bob).first(), Some(&487), "RFC 3261 §13.3.1");
    let end = phone(&net, alice).ended();
    assert_eq!(end, Some(&EndKind::Cancelled { reason: None }));
    assert!(phone(&net, alice).notices()[0].contains("Expires"));
    let late = act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    });
    assert!(late.is_err(), "there is nothing to answer any more");
}

#[test]
fn an_expires_that_is_over_long_after_the_answer_means_nothing() {
    let expires = |request: &mut Request| request.headers.push(HeaderName::Expires, 20);
    let (mut net, alice, bob) = rings_with(expires);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 21_000);
    assert!(finals(&net, bob).iter().all(|code| *code == 200));
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn an_expires_of_nothing_of_too_much_and_of_nonsense_is_survived() {
    for (value, ends) in [
        ("0", true),
        ("4294967295", false),
        ("99999999999", false),
        ("soon", false),
    ] {
        let mut net = Net::new(1);
        let alice = add_phone(&mut net, ALICE, "alice");
        let bob = add_script(&mut net, BOB);
        let mut request = invite(&net, bob, ALICE, "first", 7, OFFER);
        request.headers.push(HeaderName::Expires, value);
        say(&mut net, bob, ALICE, request.to_bytes());
        wait(&mut net, 1_000);
        assert_eq!(phone(&net, alice).ended().is_some(), ends, "{value}");
        assert_eq!(finals(&net, bob).contains(&487), ends, "{value}");
    }
}

#[test]
fn a_change_with_a_body_that_has_to_be_understood_and_is_not_gets_415() {
    for method in ["INVITE", "UPDATE"] {
        let (mut net, alice, bob, request, to) = called_by_script();
        let mut change = follow(&request, &to, method, "c", 8);
        change
            .headers
            .set(HeaderName::Contact, "<sip:script@192.0.2.2>");
        change.set_body("application/sdp", OFFER.to_vec());
        change.headers.set(
            HeaderName::ContentDisposition,
            "early-session;handling=required",
        );
        say(&mut net, bob, ALICE, change.to_bytes());
        wait(&mut net, 10);
        let refusal = answers(&net, bob, method).pop().unwrap();
        assert_eq!(refusal.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(
            refusal.headers.get(HeaderName::Accept),
            Some("application/sdp")
        );
        assert_eq!(
            phone(&net, alice).ended(),
            None,
            "the call goes on as it was"
        );
    }
}

#[test]
fn invites_that_make_no_call_are_refused_with_what_is_missing() {
    type Spoil = fn(&mut Request);
    let cases: [(&str, Spoil, u16); 8] = [
        (
            "an extension",
            |invite| invite.headers.push(HeaderName::Require, "100rel, teleport"),
            420,
        ),
        (
            "a body",
            |invite| invite.set_body("text/html", b"<p>".to_vec()),
            415,
        ),
        (
            "a To tag",
            |invite| invite.headers.set(HeaderName::To, "<sip:a@b>;tag=gone"),
            481,
        ),
        (
            "the CSeq's method",
            |invite| invite.headers.set(HeaderName::CSeq, "7 BYE"),
            400,
        ),
        // RFC 3261 §8.1.1.8.
        (
            "no Contact",
            |invite| {
                invite.headers.remove(HeaderName::Contact);
            },
            400,
        ),
        (
            "a Contact that SIP cannot reach",
            |invite| {
                invite
                    .headers
                    .set(HeaderName::Contact, "<tel:+1-201-555-0123>");
            },
            400,
        ),
        (
            "a Contact of everybody",
            |invite| invite.headers.set(HeaderName::Contact, "*"),
            400,
        ),
        // RFC 3261 §20.11: what is to be done with a body is to be understood, unless it says otherwise.
        (
            "a disposition",
            |invite| {
                invite
                    .headers
                    .set(HeaderName::ContentDisposition, "hologram");
            },
            415,
        ),
    ];
    for (what, spoil, status) in cases {
        let mut net = Net::new(1);
        let alice = add_phone(&mut net, ALICE, "alice");
        let bob = add_script(&mut net, BOB);
        let mut request = invite(&net, bob, ALICE, "first", 7, OFFER);
        spoil(&mut request);
        say(&mut net, bob, ALICE, request.to_bytes());
        wait(&mut net, 10);
        let refusal = net.trace().last().unwrap().packet.payload.clone();
        let Ok(Message::Response(refusal)) = Message::parse(&refusal) else {
            panic!("{what}: no answer")
        };
        assert_eq!(refusal.status.code(), status, "{what}");
        if status == 420 {
            assert_eq!(
                refusal.headers.get(HeaderName::Unsupported),
                Some("teleport")
            );
        }
        if status == 415 {
            assert_eq!(
                refusal.headers.get(HeaderName::Accept),
                Some("application/sdp"),
                "RFC 3261 §8.2.3"
            );
        }
        assert!(phone(&net, alice).call.is_none());
    }
}
