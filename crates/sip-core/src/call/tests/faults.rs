//! Peers' faults, dead paths, lost owners.

use sip_message::StatusCode;

use super::peer::{answer, answered, answers, calling, follow, heard, invite, last, response, say};
use super::*;
use crate::locate;
use crate::path::TransportError;

fn dialogs(net: &Net, id: NodeId) -> usize {
    phone(net, id).call.as_ref().unwrap().counts()[2]
}

#[test]
fn case_42_a_100_with_a_tag_makes_no_dialog() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(
        &mut net,
        bob,
        ALICE,
        response(&request, 100, "odd").to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(dialogs(&net, alice), 0);
    assert_eq!(
        phone(&net, alice).notices(),
        ["a 100 with a To tag: the tag was ignored"]
    );
    assert!(
        !phone(&net, alice)
            .events
            .iter()
            .any(|event| matches!(event, CallEvent::Progress { .. }))
    );
}

#[test]
fn case_42_an_18x_without_tag_makes_no_dialog_and_is_told() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(&mut net, bob, ALICE, response(&request, 180, "").to_bytes());
    wait(&mut net, 10);
    assert_eq!(dialogs(&net, alice), 0);
    let told = phone(&net, alice)
        .events
        .iter()
        .find(|event| matches!(event, CallEvent::Progress { .. }));
    assert!(matches!(
        told,
        Some(CallEvent::Progress { dialog: None, .. })
    ));
}

#[test]
fn case_42_an_18x_without_contact_makes_a_dialog() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(
        &mut net,
        bob,
        ALICE,
        response(&request, 180, "b").to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(dialogs(&net, alice), 1);
    assert_eq!(
        phone(&net, alice).notices(),
        ["a provisional answer without Contact"]
    );
}

#[test]
fn case_42_a_2xx_without_to_tag_is_handled_once() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let ok = answer(&request, 200, "", "sip:bob@192.0.2.2", ANSWER);
    for _ in 0..3 {
        say(&mut net, bob, ALICE, ok.to_bytes());
        wait(&mut net, 500);
    }
    assert_eq!(heard(&net, bob, "ACK").len(), 3, "each repeat gets its ACK");
    assert!(heard(&net, bob, "BYE").is_empty());
    assert!(phone(&net, alice).established());
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    assert_eq!(
        last(&net, bob, "BYE").headers.to().unwrap().tag(),
        None,
        "the tag is empty"
    );
}

#[test]
fn a_2xx_without_contact_is_acknowledged_to_where_the_call_went() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let mut ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    ok.headers.remove(HeaderName::Contact);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(last(&net, bob, "ACK").uri, request.uri);
    assert!(phone(&net, alice).notices()[0].starts_with("a 2xx without Contact"));
}

#[test]
fn a_bye_without_to_tag_ends_the_call_visibly() {
    let (mut net, alice, bob, request, to) = answered(OFFER);
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "ACK", "ack", 7).to_bytes(),
    );
    wait(&mut net, 10);
    let mut bye = follow(
        &request,
        request.headers.get(HeaderName::To).unwrap(),
        "BYE",
        "bye",
        8,
    );
    bye.headers.push(HeaderName::Reason, "Q.850;cause=16");
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "BYE")[0].status, StatusCode::OK);
    let reason = Some("Q.850;cause=16".into());
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PeerHungUp { reason })
    );
    assert!(
        phone(&net, alice)
            .notices()
            .iter()
            .any(|notice| notice.contains("missing To tag"))
    );
}

#[test]
fn rfc3261_12_2_2_who_does_not_know_our_tag_is_not_in_the_dialog() {
    let (mut net, alice, bob, request, to) = answered(OFFER);
    let ack = follow(&request, &to, "ACK", "ack", 7);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    let untagged = request.headers.get(HeaderName::To).unwrap();
    // Carol was rung for the same call, so she knows all but the tag.
    let carol = add_script(&mut net, CAROL);
    for (who, method, branch) in [
        (carol, "BYE", "one"),
        (carol, "UPDATE", "two"),
        (carol, "INFO", "three"),
        (bob, "UPDATE", "four"),
    ] {
        let stray = follow(&request, untagged, method, branch, 1_000);
        say(&mut net, who, ALICE, stray.to_bytes());
        wait(&mut net, 10);
        let status = answers(&net, who, method).pop().map(|a| a.status.code());
        assert_eq!(status, Some(481), "{method}");
    }
    assert_eq!(phone(&net, alice).ended(), None);
    // Nor did it move the count: the peer goes on where it was.
    let bye = follow(&request, &to, "BYE", "bye", 8);
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "BYE")[0].status, StatusCode::OK);
}

#[test]
fn a_bye_with_a_foreign_tag_is_told_that_there_is_no_such_call() {
    let (mut net, alice, bob, request, to) = answered(OFFER);
    say(
        &mut net,
        bob,
        ALICE,
        follow(&request, &to, "ACK", "ack", 7).to_bytes(),
    );
    wait(&mut net, 10);
    for (to, from) in [
        (format!("<sip:alice@{ALICE}>;tag=foreign"), None),
        (to, Some("<sip:x@y>;tag=stranger")),
    ] {
        let mut bye = follow(&request, &to, "BYE", &format!("bye{}", from.is_some()), 8);
        if let Some(from) = from {
            bye.headers.set(HeaderName::From, from);
        }
        say(&mut net, bob, ALICE, bye.to_bytes());
        wait(&mut net, 10);
        assert_eq!(answers(&net, bob, "BYE").pop().unwrap().status.code(), 481);
    }
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn an_ack_with_an_invented_tag_is_taken_visibly() {
    let (mut net, alice, bob, request, _) = answered(OFFER);
    let ack = follow(
        &request,
        &format!("<sip:alice@{ALICE}>;tag=invented"),
        "ACK",
        "ack",
        7,
    );
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    assert!(phone(&net, alice).notices()[0].contains("wrong To tag"));
}

#[test]
fn the_invite_goes_to_the_next_path_on_a_closed_port_on_503_and_on_silence() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let (busy, silent) = (add_script(&mut net, BOB), add_script(&mut net, CAROL));
    let good = add_script(&mut net, "192.0.2.4:5060");
    act(&mut net, alice, |phone, _| {
        let at = |text: &str| text.parse().unwrap();
        let all = vec![
            at("192.0.2.9:5060"),
            at(BOB),
            at(CAROL),
            at("192.0.2.4:5060"),
        ];
        phone.names.insert("example.com".to_owned(), all);
        phone.closed.push(at("192.0.2.9:5060"));
    });
    dial(&mut net, alice, "sip:bob@example.com", Some(OFFER));
    wait(&mut net, 10);
    let first = last(&net, busy, "INVITE");
    say(&mut net, busy, ALICE, response(&first, 503, "x").to_bytes());
    wait(&mut net, 10);
    assert_eq!(heard(&net, busy, "ACK").len(), 1);
    assert_eq!(heard(&net, silent, "INVITE").len(), 1);
    wait(&mut net, 32_000);
    let request = last(&net, good, "INVITE");
    say(
        &mut net,
        good,
        ALICE,
        answer(&request, 200, "b", "sip:bob@example.com", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    let tried: Vec<_> = phone(&net, alice)
        .events
        .iter()
        .filter_map(|event| match event {
            CallEvent::Tried(tried) => Some((tried.path.remote.to_string(), tried.fault.clone())),
            _ => None,
        })
        .collect();
    let refused = locate::Fault::Transport(TransportError::Refused);
    // The 503 is the word on this call, and no reason to leave the server alone.
    assert_eq!(
        tried,
        [
            ("192.0.2.9:5060".to_owned(), refused),
            (CAROL.to_owned(), locate::Fault::Silence),
        ]
    );
    // The server that answered is asked first from now on, without a new question.
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    assert_eq!(heard(&net, good, "BYE").len(), 1);
}

#[test]
fn a_503_of_the_last_path_is_the_end() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let mut refusal = response(&request, 503, "x");
    refusal.headers.push(HeaderName::RetryAfter, "120");
    say(&mut net, bob, ALICE, refusal.to_bytes());
    wait(&mut net, 10);
    let end = phone(&net, alice).ended().unwrap();
    assert!(
        matches!(end, EndKind::Status { code: 503, remark: Some(remark), .. } if remark.reveal().contains("120")),
        "{end:?}"
    );
    let events = &phone(&net, alice).events;
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, CallEvent::Tried(_)))
    );
}

#[test]
fn a_closed_port_on_every_path_is_a_network_fault() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    act(&mut net, alice, |phone, _| {
        phone.closed.push(BOB.parse().unwrap());
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    let fault = crate::call::NetworkFault::Transport(TransportError::Refused);
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::Network { fault })
    );
    assert!(phone(&net, alice).call.as_ref().unwrap().is_drained());
}

#[test]
fn an_info_to_a_peer_that_lost_the_call_ends_it() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    say(
        &mut net,
        bob,
        ALICE,
        answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| {
        phone.call().info(now, "text/plain", b"x".to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let info = last(&net, bob, "INFO");
    say(&mut net, bob, ALICE, response(&info, 481, "b").to_bytes());
    wait(&mut net, 10);
    assert!(matches!(
        phone(&net, alice).ended(),
        Some(EndKind::Status { code: 481, .. })
    ));
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn requests_to_a_private_contact_go_to_where_the_peer_was_heard() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let ok = answer(&request, 200, "b", "sip:bob@10.1.1.1", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    let ack = last(&net, bob, "ACK");
    assert_eq!(ack.uri.to_string(), "sip:bob@10.1.1.1");
    assert!(phone(&net, alice).notices()[0].contains("private address"));
}

#[test]
fn case_45_byes_that_cross_are_both_answered() {
    let (mut net, alice, bob) = talking(4);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    act(&mut net, bob, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 50);
    let codes: Vec<_> = responses(&net, "BYE")
        .iter()
        .map(|response| response.status.code())
        .collect();
    assert_eq!(codes, [200, 200]);
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn a_call_whose_owner_died_is_ended_from_its_card() {
    let (mut net, alice, bob) = talking(5);
    let card = phone(&net, alice)
        .call
        .as_ref()
        .unwrap()
        .bye_card()
        .unwrap();
    assert_eq!(
        &card.owner_key(),
        phone(&net, alice).call.as_ref().unwrap().owner_key()
    );
    // Requests the card does not know of.
    act(&mut net, alice, |phone, now| {
        phone.call().info(now, "text/plain", b"x".to_vec())
    })
    .unwrap();
    wait(&mut net, 50);
    act(&mut net, alice, |phone, now| {
        let config = phone.config.clone();
        phone.events.clear();
        let bye = card.into_bye(now, config, &Seed::from_number(77));
        phone.begin(bye, true);
    });
    wait(&mut net, 50);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::WeHungUp));
    assert_eq!(
        phone(&net, bob).ended(),
        Some(&EndKind::PeerHungUp { reason: None })
    );
    assert_eq!(responses(&net, "BYE")[0].status, StatusCode::OK);
    assert_all_gone(&mut net, &[alice, bob]);
}

/// The owner of this call dies, and its card takes over.
fn die(net: &mut Net, node: NodeId) {
    let call = phone(net, node).call.as_ref().unwrap();
    let card = call.bye_card().expect("something was said");
    assert_eq!(&card.owner_key(), call.owner_key());
    act(net, node, |phone, now| {
        let config = phone.config.clone();
        phone.events.clear();
        let bye = card.into_bye(now, config, &Seed::from_number(78));
        phone.begin(bye, true);
    });
    wait(net, 50);
}

#[test]
fn a_call_that_rings_there_when_its_owner_dies_is_cancelled_from_its_card() {
    let (mut net, alice, bob, invite) = calling(Some(OFFER));
    let ringing = response(&invite, 180, "b");
    say(&mut net, bob, ALICE, ringing.to_bytes());
    wait(&mut net, 10);
    die(&mut net, alice);
    let cancel = last(&net, bob, "CANCEL");
    assert_eq!(
        cancel.headers.get(HeaderName::Via),
        invite.headers.get(HeaderName::Via),
        "RFC 3261 §9.1"
    );
    say(&mut net, bob, ALICE, response(&cancel, 200, "b").to_bytes());
    say(&mut net, bob, ALICE, response(&invite, 487, "b").to_bytes());
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "ACK").len(), 1);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_call_that_nobody_heard_of_yet_when_its_owner_dies_is_cancelled_as_soon_as_somebody_does() {
    let (mut net, alice, bob, invite) = calling(Some(OFFER));
    die(&mut net, alice);
    assert!(heard(&net, bob, "CANCEL").is_empty(), "RFC 3261 §9.1");
    say(&mut net, bob, ALICE, response(&invite, 180, "b").to_bytes());
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "CANCEL").len(), 1);
    // The peer has picked up meanwhile: it is acknowledged, and told goodbye.
    let ok = answer(&invite, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "ACK").len(), 1);
    let bye = last(&net, bob, "BYE");
    say(&mut net, bob, ALICE, response(&bye, 200, "b").to_bytes());
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_call_that_rings_here_when_its_owner_dies_is_refused_from_its_card() {
    let mut net = Net::new(6);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_phone(&mut net, BOB, "bob");
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 50);
    act(&mut net, bob, |phone, now| phone.call().ring(now, None)).unwrap();
    wait(&mut net, 50);
    let card = phone(&net, bob).call.as_ref().unwrap().bye_card().unwrap();
    assert!(card.server_key().is_some(), "for repeats and the CANCEL");
    die(&mut net, bob);
    assert!(matches!(
        phone(&net, alice).ended(),
        Some(EndKind::Status { code: 500, .. })
    ));
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn a_call_of_which_nothing_is_on_the_wire_has_no_card() {
    let (mut net, alice, ..) = calling(Some(OFFER));
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    let call = phone(&net, alice).call.as_ref().unwrap();
    assert!(call.bye_card().is_none(), "it has ended");
}

#[test]
fn an_answer_with_a_foreign_branch_is_counted_and_dropped() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let mut forged = request.clone();
    let mut via = forged.headers.via_top().unwrap();
    via.params.set("branch", "z9hG4bKforged");
    forged.headers.set(HeaderName::Via, via);
    say(
        &mut net,
        bob,
        ALICE,
        answer(&forged, 200, "b", "sip:evil@192.0.2.2", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(phone(&net, alice).call.as_ref().unwrap().ignored(), 1);
    assert!(phone(&net, alice).events.is_empty());
}

/// RFC 3261 §17.2.2 keeps a non-INVITE transaction for 64·T1 after its answer; a call that is polled, or dialled through
/// by INFO, has dozens of them by then.
#[test]
fn a_flood_of_requests_neither_grows_the_call_nor_keeps_a_bye_out() {
    let (mut net, alice, bob, request, to) = answered(OFFER);
    let ack = follow(&request, &to, "ACK", "ack", 7);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    for number in 0..300 {
        let info = follow(&request, &to, "INFO", &format!("i{number}"), 8 + number);
        say(&mut net, bob, ALICE, info.to_bytes());
    }
    wait(&mut net, 10);
    let counts = phone(&net, alice).call.as_ref().unwrap().counts();
    assert_eq!(counts[1], Call::SERVER_LIMIT);
    let codes = |net: &Net, method| -> Vec<u16> {
        let all = answers(net, bob, method);
        all.iter().map(|response| response.status.code()).collect()
    };
    assert_eq!(codes(&net, "INFO"), [200; 300]);
    // One that comes again after its place was given away is behind, and changes nothing.
    let late = follow(&request, &to, "INFO", "i0", 8);
    say(&mut net, bob, ALICE, late.to_bytes());
    wait(&mut net, 10);
    assert_eq!(codes(&net, "INFO").last(), Some(&500));
    let bye = follow(&request, &to, "BYE", "bye", 400);
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    assert_eq!(codes(&net, "BYE"), [200]);
    assert_all_gone(&mut net, &[alice]);
}

/// Who may not decide at once holds a place: past the limit others are refused, and a BYE is not.
#[test]
fn requests_that_wait_for_a_person_are_bounded_and_a_bye_ends_them_all() {
    let (mut net, alice, bob, request, to) = answered(OFFER);
    let ack = follow(&request, &to, "ACK", "ack", 7);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    for number in 0..40 {
        let mut refer = follow(&request, &to, "REFER", &format!("r{number}"), 8 + number);
        let target = format!("<sip:desk{number}@192.0.2.9>");
        refer.headers.set(HeaderName::ReferTo, target);
        say(&mut net, bob, ALICE, refer.to_bytes());
    }
    wait(&mut net, 10);
    let counts = phone(&net, alice).call.as_ref().unwrap().counts();
    assert!(counts[1] <= Call::SERVER_LIMIT, "{counts:?}");
    let bye = follow(&request, &to, "BYE", "bye", 400);
    say(&mut net, bob, ALICE, bye.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "BYE").pop().unwrap().status.code(), 200);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_path_that_answers_after_it_was_given_up_is_acknowledged_and_ended() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let (slow, good) = (add_script(&mut net, BOB), add_script(&mut net, CAROL));
    act(&mut net, alice, |phone, _| {
        let all = vec![BOB.parse().unwrap(), CAROL.parse().unwrap()];
        phone.names.insert("example.com".to_owned(), all);
    });
    dial(&mut net, alice, "sip:bob@example.com", Some(OFFER));
    wait(&mut net, 33_000);
    let late = last(&net, slow, "INVITE");
    let ok = answer(&late, 200, "slow", "sip:slow@192.0.2.2", ANSWER);
    for _ in 0..2 {
        say(&mut net, slow, ALICE, ok.to_bytes());
        wait(&mut net, 10);
    }
    assert_eq!(heard(&net, slow, "ACK").len(), 2);
    assert_eq!(heard(&net, slow, "BYE").len(), 1);
    assert_eq!(
        phone(&net, alice).ended(),
        None,
        "the other path still rings"
    );
    let request = last(&net, good, "INVITE");
    let ok = answer(&request, 200, "good", "sip:good@192.0.2.3", ANSWER);
    say(&mut net, good, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_request_too_large_for_udp_tries_tcp_and_comes_back_where_there_is_none() {
    for error in [
        TransportError::Refused,
        TransportError::TimedOut,
        TransportError::Unreachable,
        TransportError::NoTcp,
    ] {
        comes_back(&error);
    }
}

fn comes_back(error: &TransportError) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    act(&mut net, alice, |phone, _| {
        phone.no_tcp = Some(error.clone());
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(&[b'x'; 1400]));
    wait(&mut net, 10);
    let via = last(&net, bob, "INVITE")
        .headers
        .via_top()
        .unwrap()
        .to_string();
    assert!(via.starts_with("SIP/2.0/UDP"), "{via}");
    let notices = phone(&net, alice).notices();
    assert!(
        notices[0].contains("too many for UDP: TCP to 192.0.2.2:5060 comes first"),
        "{notices:?}"
    );
    assert_eq!(notices[1], format!("{error}, trying udp:192.0.2.2:5060"));
    assert_eq!(notices.len(), 2);
    assert_eq!(phone(&net, alice).for_size, ["INVITE"]);
}

#[test]
fn what_neither_tcp_nor_a_datagram_carries_is_tried_once_by_each() {
    for largest in [1_000, 1_600] {
        let mut net = Net::new(1);
        let alice = add_phone(&mut net, ALICE, "alice");
        act(&mut net, alice, |phone, _| {
            phone.no_tcp = Some(TransportError::TimedOut);
            phone.largest = Some(largest);
        });
        dial(&mut net, alice, "sip:bob@192.0.2.2", Some(&[b'x'; 1400]));
        let fault = crate::call::NetworkFault::Transport(TransportError::TooLarge);
        let end = EndKind::Network { fault };
        assert_eq!(phone(&net, alice).ended(), Some(&end), "{largest}");
        assert_eq!(phone(&net, alice).for_size, ["INVITE"], "{largest}");
    }
}

#[test]
fn case_28_a_large_invite_goes_by_tcp_and_says_so_and_nothing_small_follows_it_there() {
    // RFC 3261 §18.1.1.
    let transport = |request: &Request| request.headers.via_top().unwrap().transport.to_string();
    let (mut net, alice, bob, request) = calling(Some(&[b'x'; 1400]));
    assert_eq!(transport(&request), "TCP");
    assert_eq!(phone(&net, alice).notices().len(), 1);
    let ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.info(now, "text/plain", b"x".to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(transport(&last(&net, bob, "ACK")), "UDP");
    assert_eq!(transport(&last(&net, bob, "INFO")), "UDP");
    assert_eq!(phone(&net, alice).for_size, ["INVITE"]);
    let notices = phone(&net, alice).notices();
    assert_eq!(notices.len(), 1, "one fallback, one notice: {notices:?}");

    // A connection that was there and broke may have carried the request: it is not sent a second time as a datagram that
    // the network would have to cut, and the call ends with what failed.
    let (mut net, alice, bob, request) = calling(Some(&[b'x'; 1400]));
    act(&mut net, alice, |phone, now| {
        let via = request.headers.via_top().unwrap();
        phone
            .call()
            .handle_transport_error(now, via.branch().unwrap(), TransportError::Closed);
    });
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "INVITE").len(), 1);
    let end = phone(&net, alice).ended();
    assert!(matches!(end, Some(EndKind::Network { .. })), "{end:?}");
}

#[test]
fn a_session_description_beside_isup_is_an_offer() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let mut request = invite(&net, bob, ALICE, "first", 7, OFFER);
    let body = "--b\r\nContent-Type: application/isup\r\n\r\n\u{1}\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0 x\r\n--b--";
    request.set_body("multipart/mixed;boundary=b", body.into());
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).events,
        [CallEvent::Offer {
            body: b"v=0 x".to_vec()
        }]
    );
}

#[test]
fn a_request_that_breaks_the_syntax_within_the_call_gets_400() {
    let (mut net, alice, bob, request, to) = answered(OFFER);
    let mut info = follow(&request, &to, "INFO", "i", 8);
    info.headers.set(HeaderName::CSeq, "8 BYE");
    say(&mut net, bob, ALICE, info.to_bytes());
    wait(&mut net, 10);
    // The response copies the CSeq, the wrong method included.
    assert_eq!(answers(&net, bob, "BYE")[0].status, StatusCode::BAD_REQUEST);
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn a_path_that_failed_is_tried_again_when_the_good_one_fails() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let (first, second) = (add_script(&mut net, BOB), add_script(&mut net, CAROL));
    act(&mut net, alice, |phone, _| {
        let all = vec![BOB.parse().unwrap(), CAROL.parse().unwrap()];
        phone.names.insert("example.com".to_owned(), all);
        phone.closed.push(BOB.parse().unwrap());
    });
    dial(&mut net, alice, "sip:bob@example.com", Some(OFFER));
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).notices(),
        ["connection refused, trying udp:192.0.2.3:5060"]
    );
    let request = last(&net, second, "INVITE");
    let ok = answer(&request, 200, "b", "sip:bob@example.com", ANSWER);
    say(&mut net, second, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    act(&mut net, alice, |phone, _| {
        phone.closed = vec![CAROL.parse().unwrap()];
    });
    act(&mut net, alice, |phone, now| {
        phone.call().info(now, "text/plain", b"x".to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(heard(&net, first, "INFO").len(), 1);
}

#[test]
fn an_answer_that_could_not_be_sent_is_told_and_the_call_goes_on() {
    let (mut net, alice, _, request, _) = answered(OFFER);
    act(&mut net, alice, |phone, now| {
        let branch = request
            .headers
            .via_top()
            .unwrap()
            .branch()
            .unwrap()
            .to_owned();
        phone
            .call()
            .handle_transport_error(now, &branch, TransportError::Unreachable);
    });
    assert!(phone(&net, alice).notices()[0].contains("answer could not be sent"));
    assert_eq!(phone(&net, alice).ended(), None);
}
