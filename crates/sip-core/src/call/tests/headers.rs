//! What calls carry beside their purpose: Session-ID, Reason, privacy, identities, headers of one's own, 199.

use sip_message::Reason;

use super::peer::{
    answer, answers, called_by_script, called_by_script_with, called_with, calling, calls_script,
    follow, heard, last, response, say, within,
};
use super::*;

const NIL: &str = "00000000000000000000000000000000";
const PEER: &str = "a2f5c3d4e5f60718293a4b5c6d7e8f90";

fn session_id(headers: &sip_message::Headers) -> (String, String) {
    let id = headers.session_id().expect("each message has one");
    (id.local, id.remote.unwrap_or_default())
}

#[test]
fn a_call_has_one_session_id_on_all_its_messages_and_learns_the_peers_half() {
    // RFC 7989 §6.
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let (ours, remote) = session_id(&request.headers);
    assert_eq!(remote, NIL);
    assert_eq!((ours.len(), &ours[12..13]), (32, "4"), "a random UUID");
    let mut ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    ok.headers
        .push(HeaderName::SessionId, format!("{PEER};remote={ours}"));
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    let first = last(&net, bob, "INVITE");
    say(
        &mut net,
        bob,
        ALICE,
        within(&first, "b", "OPTIONS", "o", 1).to_bytes(),
    );
    user(&mut net, alice, |call, now| {
        call.info(now, "text/plain", b"x".to_vec())
    });
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    let both = (ours, PEER.to_owned());
    for method in ["ACK", "INFO", "BYE"] {
        assert_eq!(
            session_id(&last(&net, bob, method).headers),
            both,
            "{method}"
        );
    }
    assert_eq!(session_id(&answers(&net, bob, "OPTIONS")[0].headers), both);
    let known = phone(&net, alice).call.as_ref().unwrap().session_id();
    assert_eq!((known.local, known.remote.unwrap()), both);
}

#[test]
fn cancel_and_the_ack_to_a_refusal_have_the_session_id_of_their_invite() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(
        &mut net,
        bob,
        ALICE,
        response(&request, 180, "b").to_bytes(),
    );
    wait(&mut net, 10);
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    say(
        &mut net,
        bob,
        ALICE,
        response(&request, 487, "b").to_bytes(),
    );
    wait(&mut net, 10);
    for method in ["CANCEL", "ACK"] {
        assert_eq!(
            session_id(&last(&net, bob, method).headers),
            session_id(&request.headers)
        );
    }
}

#[test]
fn a_callee_answers_with_its_own_half_and_a_card_keeps_both() {
    let (mut net, alice, bob, _, _) = called_by_script_with(|request| {
        request
            .headers
            .push(HeaderName::SessionId, format!("{PEER};remote={NIL}"));
    });
    let (ours, remote) = session_id(&answers(&net, bob, "INVITE").pop().unwrap().headers);
    assert_eq!(remote, PEER);
    assert_ne!(ours, PEER);
    let info = phone(&net, alice)
        .call
        .as_ref()
        .unwrap()
        .caller_info()
        .unwrap();
    assert_eq!(info.session_id.unwrap().local, PEER);
    act(&mut net, alice, |phone, now| {
        let card = phone.call().bye_card().unwrap();
        let bye = card.into_bye(now, phone.config.clone(), &Seed::from_number(7));
        phone.begin(bye, true);
        phone.events.clear();
    });
    wait(&mut net, 10);
    assert_eq!(
        session_id(&last(&net, bob, "BYE").headers),
        (ours, PEER.to_owned())
    );
}

#[test]
fn a_nil_or_broken_session_id_is_not_learned_and_a_given_one_is_used() {
    for bad in [format!("{NIL};remote={PEER}"), "xyz".to_owned()] {
        let (net, alice, _, _) = called_with(OFFER, |request| {
            request.headers.push(HeaderName::SessionId, &bad);
        });
        assert_eq!(
            phone(&net, alice)
                .call
                .as_ref()
                .unwrap()
                .session_id()
                .remote,
            None
        );
    }
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    act(&mut net, alice, |phone, _| {
        phone.config.session_id = Some(PEER.to_owned());
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    assert_eq!(
        session_id(&last(&net, bob, "INVITE").headers),
        (PEER.to_owned(), NIL.to_owned())
    );
}

#[test]
fn a_reason_goes_with_cancel_and_with_bye() {
    // RFC 3326.
    let elsewhere = || Reason::new("SIP", 200, "Call completed elsewhere");
    let text = "SIP;cause=200;text=\"Call completed elsewhere\"";
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(
        &mut net,
        bob,
        ALICE,
        response(&request, 180, "b").to_bytes(),
    );
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.hang_up_because(now, elsewhere())
    });
    wait(&mut net, 10);
    assert_eq!(
        last(&net, bob, "CANCEL").headers.get(HeaderName::Reason),
        Some(text)
    );
    let (mut net, alice, bob) = calls_script();
    user(&mut net, alice, |call, now| {
        call.hang_up_because(now, elsewhere())
    });
    wait(&mut net, 10);
    assert_eq!(
        last(&net, bob, "BYE").headers.get(HeaderName::Reason),
        Some(text)
    );
    let (mut net, alice, bob) = calls_script();
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    assert_eq!(last(&net, bob, "BYE").headers.get(HeaderName::Reason), None);
}

#[test]
fn the_peers_reason_is_told() {
    let reason = "Q.850;cause=16;text=\"normal\"";
    let (mut net, alice, bob, request, to) = called_by_script();
    let mut bye = follow(&request, &to, "BYE", "bye", 8);
    bye.headers.push(HeaderName::Reason, reason);
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    let expected = EndKind::PeerHungUp {
        reason: Some(reason.into()),
    };
    assert_eq!(phone(&net, alice).ended(), Some(&expected));
}

#[test]
fn an_anonymous_call_names_nobody_but_to_the_proxy_that_asserts() {
    // RFC 3323 §4.1 and RFC 3325 §9.2.
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    act(&mut net, alice, |phone, _| {
        phone.config.anonymous = true;
        phone.config.preferred_identity = Some(phone.config.local.clone());
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, bob, "INVITE");
    let from = request.headers.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("Anonymous"));
    assert_eq!(from.uri.to_string(), "sip:anonymous@anonymous.invalid");
    assert_eq!(request.headers.get(HeaderName::Privacy), Some("id"));
    let preferred = request.headers.preferred_identities().unwrap();
    assert_eq!(preferred[0].uri.to_string(), "sip:alice@192.0.2.1");
    let ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    let bye = last(&net, bob, "BYE");
    assert_eq!(
        bye.headers.get(HeaderName::From),
        request.headers.get(HeaderName::From)
    );
}

#[test]
fn what_an_invite_says_beside_the_call_is_read() {
    let said = |request: &mut Request| {
        for (name, value) in [
            (
                HeaderName::PAssertedIdentity,
                "\"Bob\" <sip:bob@example.com>",
            ),
            (HeaderName::Privacy, "id;header"),
            (
                HeaderName::HistoryInfo,
                "<sip:first@example.com>;index=1, <sip:second@example.com>;index=1.1",
            ),
            (
                HeaderName::Diversion,
                "<sip:office@example.com>;reason=unconditional",
            ),
            (
                HeaderName::AlertInfo,
                "<http://example.com/ring>;info=internal",
            ),
            (HeaderName::CallInfo, "<sip:x@example.com>;answer-after=0"),
            (HeaderName::AnswerMode, "Auto;require"),
            (HeaderName::UserToUser, "56a390f3;encoding=hex"),
            (HeaderName::ReferredBy, "<sip:carol@example.com>"),
            (HeaderName::Subject, "lunch"),
        ] {
            request.headers.push(name, value);
        }
        request.headers.push("X-Room", "42");
    };
    let (mut net, alice, _, _) = called_with(OFFER, said);
    let info = phone(&net, alice)
        .call
        .as_ref()
        .unwrap()
        .caller_info()
        .unwrap();
    assert!(info.asserted.is_empty(), "anybody can write it");
    assert_eq!(info.privacy, ["id", "header"]);
    assert_eq!(info.history[1].uri.user.as_deref(), Some("second"));
    assert_eq!(
        info.diversions[0].params.get("reason"),
        Some("unconditional")
    );
    assert_eq!(info.alert_info[0].params.get("info"), Some("internal"));
    assert_eq!(info.call_info[0].params.get("answer-after"), Some("0"));
    assert_eq!(info.answer_mode.unwrap().mode, "Auto");
    assert_eq!(info.priv_answer_mode, None);
    assert_eq!(info.user_to_user[0].data, "56a390f3");
    assert_eq!(info.referred_by.unwrap().uri.user.as_deref(), Some("carol"));
    assert_eq!(info.subject.as_deref(), Some("lunch"));
    assert_eq!(info.own_headers, [("X-Room".to_owned(), "42".to_owned())]);
    act(&mut net, alice, |phone, _| {
        phone.call().config.trusts_first_hop = true;
    });
    let info = phone(&net, alice)
        .call
        .as_ref()
        .unwrap()
        .caller_info()
        .unwrap();
    assert_eq!(info.asserted[0].display.as_deref(), Some("Bob"));

    let (net, alice, _, _) = called_with(OFFER, |request| {
        request.headers.push(HeaderName::Diversion, "<<<");
        request.headers.push(HeaderName::AnswerMode, "");
    });
    let info = phone(&net, alice)
        .call
        .as_ref()
        .unwrap()
        .caller_info()
        .unwrap();
    assert!(
        info.diversions.is_empty() && info.answer_mode.is_none(),
        "and what cannot be read is not there"
    );
}

#[test]
fn headers_of_ones_own_go_with_each_request_and_the_peers_are_told() {
    let (mut net, alice, bob) = calls_script();
    act(&mut net, alice, |phone, _| {
        phone.call().config.extra_headers = vec![
            ("X-Ticket".to_owned(), "7".to_owned()),
            ("Call-Info".to_owned(), "<sip:x@y>".to_owned()),
        ];
    });
    let first = last(&net, bob, "INVITE");
    user(&mut net, alice, |call, now| {
        call.info(now, "text/plain", b"x".to_vec())
    });
    user(&mut net, alice, |call, now| {
        call.reoffer(now, OFFER.to_vec())
    });
    wait(&mut net, 10);
    let mut bye = within(&first, "b", "BYE", "bye", 1);
    bye.headers.push("X-Cause", "lunch");
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    for method in ["INFO", "INVITE", "BYE"] {
        let request = last(&net, bob, method);
        let own: Vec<_> = request
            .headers
            .get_all(HeaderName::from("X-Ticket"))
            .collect();
        assert_eq!(own, ["7"], "{method}");
        assert!(
            !request.headers.has(HeaderName::CallInfo),
            "what means something is for the first INVITE"
        );
    }
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    let told = phone(&net, alice)
        .call
        .as_ref()
        .unwrap()
        .peer_headers()
        .to_vec();
    assert_eq!(told, [("X-Cause".to_owned(), "lunch".to_owned())]);
}

#[test]
fn a_199_ends_its_fork_and_not_the_call() {
    // RFC 6228.
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let early = answer(&request, 183, "x", "sip:x@192.0.2.2", b"v=0 gone");
    say(&mut net, bob, ALICE, early.to_bytes());
    wait(&mut net, 10);
    let mut gone = response(&request, 199, "x");
    gone.headers.push(HeaderName::Require, "100rel");
    gone.headers.push(HeaderName::RSeq, 5);
    gone.headers.push(HeaderName::Reason, "SIP;cause=486");
    say(&mut net, bob, ALICE, gone.to_bytes());
    say(&mut net, bob, ALICE, response(&request, 199, "").to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        heard(&net, bob, "PRACK").len(),
        1,
        "a reliable one is acknowledged"
    );
    let none = act(&mut net, alice, |phone, now| {
        phone.call().info(now, "text/plain", b"x".to_vec())
    });
    assert!(none.is_err(), "no dialog to talk in");
    let ok = answer(&request, 200, "y", "sip:y@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    assert_eq!(
        phone(&net, alice).answers_told(),
        ["v=0 gone", "v=0 answer"]
    );
}

#[test]
fn who_says_how_it_wants_to_be_taken_hears_how_it_was() {
    for (unasked, mode) in [(false, "Manual"), (true, "Auto")] {
        let mut net = Net::new(1);
        let alice = add_phone(&mut net, ALICE, "alice");
        let bob = super::add_script(&mut net, BOB);
        let mut request = super::peer::invite(&net, bob, ALICE, "first", 7, OFFER);
        request.headers.push(HeaderName::PrivAnswerMode, "Auto");
        super::peer::say(&mut net, bob, ALICE, request.to_bytes());
        wait(&mut net, 10);
        act(&mut net, alice, |phone, now| match unasked {
            true => phone.call().answer_unasked(now, ANSWER.to_vec()),
            false => phone.call().answer(now, ANSWER.to_vec()),
        })
        .unwrap();
        wait(&mut net, 10);
        let ok = super::peer::answers(&net, bob, "INVITE").pop().unwrap();
        assert_eq!(
            ok.headers.get(HeaderName::PrivAnswerMode),
            Some(mode),
            "RFC 5373 §4.3"
        );
        assert!(!ok.headers.has(HeaderName::AnswerMode), "nobody said that");
    }
}

#[test]
fn from_and_to_come_back_as_they_were_written() {
    let from = "\"B\\\"ob, Jr.\"  <sip:b%6fb@Example.COM;x=1> ; TAG=scripttag;y";
    let to = "Alice <sip:%61lice@192.0.2.1>";
    let (mut net, alice, bob, request) = called_with(OFFER, |request| {
        request.headers.set(HeaderName::From, from);
        request.headers.set(HeaderName::To, to);
    });
    user(&mut net, alice, |call, now| call.ring(now, None));
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.answer(now, ANSWER.to_vec())
    });
    wait(&mut net, 10);
    let said = answers(&net, bob, "INVITE");
    assert!(said.len() >= 2);
    for answer in said.iter().filter(|answer| answer.status.code() > 100) {
        assert_eq!(answer.headers.get(HeaderName::From), Some(from));
        let own = answer.headers.get(HeaderName::To).unwrap();
        let tag = own.strip_prefix(to).unwrap();
        assert!(tag.starts_with(";tag=") && tag.len() > 12, "{own}");
        let via =
            |headers: &sip_message::Headers| headers.via_top().unwrap().branch().map(str::to_owned);
        assert_eq!(via(&answer.headers), via(&request.headers));
    }
}

#[test]
fn a_contact_says_how_to_reach_us_and_whether_securely() {
    use crate::call::send::contact_value;
    let config = config("sip:alice@example.com", "alice-1");
    for (sips, transport, expected) in [
        (false, Transport::Udp, "<sip:alice-1@192.0.2.1:5060>"),
        (
            false,
            Transport::Tcp,
            "<sip:alice-1@192.0.2.1:5060;transport=tcp>",
        ),
        (
            false,
            Transport::Tls,
            "<sip:alice-1@192.0.2.1:5060;transport=tls>",
        ),
        (
            false,
            Transport::Ws,
            "<sip:alice-1@192.0.2.1:5060;transport=ws>",
        ),
        // RFC 5630 §5.1: where sips was asked for, sips is said, and TLS goes without saying.
        (true, Transport::Tls, "<sips:alice-1@192.0.2.1:5060>"),
    ] {
        let path = Path {
            transport,
            remote: BOB.parse().unwrap(),
            local: ALICE.parse().unwrap(),
        };
        assert_eq!(contact_value(&config, &path, sips), expected);
    }
}
