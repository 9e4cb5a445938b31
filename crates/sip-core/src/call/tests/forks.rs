//! One INVITE, several answers.

use super::peer::{answer, answers, calling, heard, last, response, say, within};
use super::*;

fn tag_of(request: &Request) -> String {
    request
        .headers
        .to()
        .unwrap()
        .tag()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn case_1_each_fork_that_answers_gets_its_own_ack_and_the_losers_a_bye_behind_it() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    for (tag, contact) in [
        ("desk", "sip:desk@192.0.2.2"),
        ("cell", "sip:cell@192.0.2.2"),
        ("home", "sip:home@192.0.2.2"),
    ] {
        let ok = answer(&request, 200, tag, contact, ANSWER);
        say(&mut net, proxy, ALICE, ok.to_bytes());
    }
    wait(&mut net, 50);
    let to_proxy: Vec<_> = wire(&net)
        .into_iter()
        .filter(|line| line.starts_with(".1"))
        .collect();
    assert_eq!(
        to_proxy,
        [
            ".1>.2 INVITE",
            ".1>.2 ACK",
            ".1>.2 ACK",
            ".1>.2 BYE",
            ".1>.2 ACK",
            ".1>.2 BYE",
        ]
    );
    let acks: Vec<_> = heard(&net, proxy, "ACK")
        .iter()
        .map(|ack| (tag_of(ack), ack.uri.to_string()))
        .collect();
    assert_eq!(
        acks,
        [
            ("desk".to_owned(), "sip:desk@192.0.2.2".to_owned()),
            ("cell".to_owned(), "sip:cell@192.0.2.2".to_owned()),
            ("home".to_owned(), "sip:home@192.0.2.2".to_owned()),
        ]
    );
    let byes: Vec<_> = heard(&net, proxy, "BYE").iter().map(tag_of).collect();
    assert_eq!(byes, ["cell", "home"]);
    assert_eq!(phone(&net, alice).ended(), None, "the first one talks on");
    // A loser repeats its 2xx: its own ACK again, no second BYE transaction.
    say(
        &mut net,
        proxy,
        ALICE,
        answer(&request, 200, "cell", "sip:cell@192.0.2.2", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(tag_of(&last(&net, proxy, "ACK")), "cell");
    assert_eq!(heard(&net, proxy, "BYE").len(), 2);
}

#[test]
fn each_fork_that_rings_has_its_own_early_dialog() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    for (code, tag) in [(180, "desk"), (183, "cell"), (180, "desk")] {
        let ringing = answer(&request, code, tag, "sip:x@192.0.2.2", b"");
        say(&mut net, proxy, ALICE, ringing.to_bytes());
        wait(&mut net, 10);
    }
    let dialogs: Vec<_> = phone(&net, alice)
        .events
        .iter()
        .filter_map(|event| match event {
            CallEvent::Progress { dialog, .. } => dialog.as_ref().map(|id| id.remote_tag.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(dialogs, ["desk", "cell", "desk"]);
    assert_eq!(phone(&net, alice).call.as_ref().unwrap().counts()[2], 2);
}

#[test]
fn the_answer_of_the_fork_that_wins_is_told_when_another_was_heard_last() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    for tag in ["desk", "cell"] {
        let body = format!("v=0 {tag}");
        let early = answer(&request, 183, tag, "sip:x@192.0.2.2", body.as_bytes());
        say(&mut net, proxy, ALICE, early.to_bytes());
        wait(&mut net, 10);
    }
    let ok = answer(&request, 200, "desk", "sip:x@192.0.2.2", b"v=0 desk");
    say(&mut net, proxy, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    let answers: Vec<_> = phone(&net, alice)
        .events
        .iter()
        .filter_map(|event| match event {
            CallEvent::Answer { body, early } => {
                Some((String::from_utf8(body.clone()).unwrap(), *early))
            }
            _ => None,
        })
        .collect();
    let expected = [("v=0 desk", true), ("v=0 cell", true), ("v=0 desk", false)];
    assert_eq!(
        answers,
        expected.map(|(body, early)| (body.to_owned(), early))
    );
    assert!(phone(&net, alice).established());
}

#[test]
fn a_fork_that_answers_after_the_call_is_over_is_acknowledged_and_ended() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    say(
        &mut net,
        proxy,
        ALICE,
        answer(&request, 200, "desk", "sip:desk@192.0.2.2", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    let bye = last(&net, proxy, "BYE");
    say(&mut net, proxy, ALICE, response(&bye, 200, "").to_bytes());
    wait(&mut net, 10);
    say(
        &mut net,
        proxy,
        ALICE,
        answer(&request, 200, "cell", "sip:cell@192.0.2.2", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    assert_eq!(tag_of(&last(&net, proxy, "ACK")), "cell");
    assert_eq!(tag_of(&last(&net, proxy, "BYE")), "cell");
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn more_forks_than_the_limit_do_not_grow_the_call() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    for number in 0..200 {
        let ringing = answer(
            &request,
            180,
            &format!("t{number}"),
            "sip:x@192.0.2.2",
            ANSWER,
        );
        say(&mut net, proxy, ALICE, ringing.to_bytes());
    }
    wait(&mut net, 10);
    let counts = phone(&net, alice).call.as_ref().unwrap().counts();
    assert_eq!(counts[2], crate::dialog::DialogSet::LIMIT);
    assert!(
        phone(&net, alice)
            .notices()
            .contains(&"more forks answer than are kept apart")
    );
    // Those that were kept apart still work.
    say(
        &mut net,
        proxy,
        ALICE,
        answer(&request, 200, "t3", "sip:x@192.0.2.2", ANSWER).to_bytes(),
    );
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn more_2xx_than_forks_are_kept_apart_are_all_acknowledged_and_ended() {
    // RFC 3261 §13.2.2.4: each 2xx makes a dialog at its sender, which rings for ever without the BYE.
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    for number in 0..40 {
        let tag = format!("early{number}");
        let ringing = answer(&request, 180, &tag, "sip:x@192.0.2.2", b"");
        say(&mut net, proxy, ALICE, ringing.to_bytes());
    }
    wait(&mut net, 10);
    // One of those that found no room among the early ones is the first to answer: it has the call.
    let tags: Vec<String> = (0..100)
        .rev()
        .map(|number| format!("early{number}"))
        .collect();
    let mut ended: Vec<String> = Vec::new();
    // Each repeats its 2xx until its ACK comes.
    for _ in 0..8 {
        for tag in &tags {
            let acked = heard(&net, proxy, "ACK")
                .iter()
                .any(|ack| tag_of(ack) == *tag);
            if !acked {
                let ok = answer(&request, 200, tag, "sip:x@192.0.2.2", ANSWER);
                say(&mut net, proxy, ALICE, ok.to_bytes());
            }
        }
        wait(&mut net, 200);
        for bye in heard(&net, proxy, "BYE") {
            if !ended.contains(&tag_of(&bye)) {
                ended.push(tag_of(&bye));
                say(&mut net, proxy, ALICE, response(&bye, 200, "").to_bytes());
            }
        }
        wait(&mut net, 200);
    }
    let acks = heard(&net, proxy, "ACK");
    for tag in &tags {
        assert!(
            acks.iter().any(|ack| tag_of(ack) == *tag),
            "{tag} has its ACK"
        );
    }
    assert!(phone(&net, alice).established());
    assert!(
        !ended.contains(&"early99".to_owned()),
        "the first one talks on"
    );
    assert_eq!(ended.len(), 99, "every other one has its BYE");
    let counts = phone(&net, alice).call.as_ref().unwrap().counts();
    assert!(counts[2] <= crate::dialog::DialogSet::LIMIT + 1);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_peer_that_forks_without_end_is_not_answered_without_end() {
    let (mut net, alice, proxy, request) = calling(Some(OFFER));
    for number in 0..2000 {
        let tag = format!("fork{number}");
        let ok = answer(&request, 200, &tag, "sip:x@192.0.2.2", ANSWER);
        say(&mut net, proxy, ALICE, ok.to_bytes());
        wait(&mut net, 5);
        for bye in heard(&net, proxy, "BYE").iter().rev().take(1) {
            say(&mut net, proxy, ALICE, response(bye, 200, "").to_bytes());
        }
    }
    let counts = phone(&net, alice).call.as_ref().unwrap().counts();
    assert!(counts[0] <= Call::FORK_LIMIT + crate::dialog::DialogSet::LIMIT + 2);
    assert!(phone(&net, alice).established());
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    assert_all_gone(&mut net, &[alice]);
}

/// RFC 3261 §12 and §13.2.2.4: each fork is a dialog of its own. One that has lost may have rung only, or have answered
/// too; it may hang up, and can neither end the call of the one that won nor change it.
#[test]
fn a_fork_that_has_lost_ends_itself_and_nothing_else() {
    for answered in [false, true] {
        let (mut net, alice, proxy, request) = calling(Some(OFFER));
        let at = |tag: &str| format!("sip:{tag}@192.0.2.2");
        for (code, tag) in [(180, "lost"), (200, "won")] {
            let body: &[u8] = if code == 200 { ANSWER } else { b"" };
            let said = answer(&request, code, tag, &at(tag), body);
            say(&mut net, proxy, ALICE, said.to_bytes());
        }
        if answered {
            let said = answer(&request, 200, "lost", &at("lost"), ANSWER);
            say(&mut net, proxy, ALICE, said.to_bytes());
        }
        wait(&mut net, 50);
        let before = phone(&net, alice).events.len();
        let mut expected = Vec::new();
        for (cseq, method) in (50..).zip(["INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "BYE"]) {
            let mut asked = within(&request, "lost", method, &format!("lost{cseq}"), cseq);
            match method {
                "INVITE" | "UPDATE" => asked.set_body("application/sdp", OFFER.to_vec()),
                "INFO" => asked.set_body("application/dtmf-relay", b"Signal=5\r\n".to_vec()),
                "REFER" => asked
                    .headers
                    .push(HeaderName::ReferTo, "<sip:eve@192.0.2.66>"),
                _ => {}
            }
            say(&mut net, proxy, ALICE, asked.to_bytes());
            wait(&mut net, 10);
            let status = answers(&net, proxy, method).pop().map(|a| a.status.code());
            expected.push((method, status));
        }
        let refused = ["INVITE", "UPDATE", "INFO", "REFER", "NOTIFY"].map(|m| (m, Some(481)));
        assert_eq!(expected[..5], refused);
        assert_eq!(expected[5], ("BYE", Some(200)));
        let told = &phone(&net, alice).events[before..];
        let silent = told
            .iter()
            .all(|event| matches!(event, CallEvent::Notice(_)));
        assert!(silent, "{told:?}");
        assert_eq!(phone(&net, alice).ended(), None);
        act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
        wait(&mut net, 10);
        let bye = last(&net, proxy, "BYE");
        assert_eq!(
            (tag_of(&bye), bye.uri.to_string()),
            ("won".to_owned(), at("won"))
        );
    }
}
