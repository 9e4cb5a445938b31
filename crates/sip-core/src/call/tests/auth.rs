//! Logins asked for on the way.

use super::peer::{answer, answers, heard, last, response, say, within};
use super::*;
use crate::auth::Strength;
use crate::call::WrongState;
use sip_message::StatusCode;

const REALM: &str = "pbx.example";

fn calling(with_login: bool) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let server = add_script(&mut net, BOB);
    if with_login {
        act(&mut net, alice, |phone, _| login(&mut phone.config));
    }
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    (net, alice, server)
}

/// A 401 to the last request with this method, with this nonce.
fn challenge(net: &mut Net, server: NodeId, method: &str, nonce: &str) {
    let request = last(net, server, method);
    let mut refusal = response(&request, 401, "c");
    let value = format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"");
    refusal.headers.push(HeaderName::WwwAuthenticate, value);
    say(net, server, ALICE, refusal.to_bytes());
    wait(net, 10);
}

/// Says yes to the last request with this method.
fn accept(net: &mut Net, server: NodeId, method: &str) {
    let request = last(net, server, method);
    let ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    say(net, server, ALICE, ok.to_bytes());
    wait(net, 10);
}

fn number(request: &Request) -> u32 {
    request.headers.cseq().unwrap().number
}

#[test]
fn case_18_a_401_after_100_and_180_is_answered_with_credentials() {
    let (mut net, alice, server) = calling(true);
    let first = last(&net, server, "INVITE");
    for code in [100, 180] {
        let tag = if code == 100 { "" } else { "early" };
        say(
            &mut net,
            server,
            ALICE,
            response(&first, code, tag).to_bytes(),
        );
        wait(&mut net, 10);
    }
    challenge(&mut net, server, "INVITE", "n1");
    let second = last(&net, server, "INVITE");
    assert_eq!(number(&second), number(&first) + 1);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(second.headers.from(), first.headers.from(), "same tag");
    assert_eq!(second.headers.to().unwrap().tag(), None);
    assert!(
        second
            .headers
            .get(HeaderName::Authorization)
            .unwrap()
            .contains("nonce=\"n1\"")
    );
    let branch = |request: &Request| {
        request
            .headers
            .via_top()
            .unwrap()
            .branch()
            .map(str::to_owned)
    };
    assert_ne!(branch(&second), branch(&first));
    accept(&mut net, server, "INVITE");
    assert!(phone(&net, alice).established());
}

#[test]
fn case_20_the_ack_to_a_401_has_its_own_invites_number_and_branch() {
    let (mut net, _, server) = calling(true);
    let first = last(&net, server, "INVITE");
    challenge(&mut net, server, "INVITE", "n1");
    let ack = last(&net, server, "ACK");
    assert_eq!(number(&ack), number(&first));
    assert_eq!(
        ack.headers.get_all(HeaderName::Via).collect::<Vec<_>>(),
        first.headers.get_all(HeaderName::Via).collect::<Vec<_>>()
    );
    // The 401 comes again although the next INVITE is out: the same ACK again.
    let mut again = response(&first, 401, "c");
    again.headers.push(
        HeaderName::WwwAuthenticate,
        "Digest realm=\"x\", nonce=\"n1\"",
    );
    say(&mut net, server, ALICE, again.to_bytes());
    wait(&mut net, 10);
    let acks = heard(&net, server, "ACK");
    assert_eq!(acks.len(), 2);
    assert_eq!(acks[0], acks[1]);
    assert_eq!(heard(&net, server, "INVITE").len(), 2);
}

#[test]
fn case_20_the_dialog_counts_on_from_the_number_after_the_retry() {
    let (mut net, alice, server) = calling(true);
    challenge(&mut net, server, "INVITE", "n1");
    accept(&mut net, server, "INVITE");
    let base = number(&last(&net, server, "INVITE"));
    let ack = last(&net, server, "ACK");
    assert_eq!(number(&ack), base);
    assert!(ack.headers.has(HeaderName::Authorization), "RFC 3261 §22.1");
    act(&mut net, alice, |phone, now| {
        phone.call().info(now, "text/plain", b"x".to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(number(&last(&net, server, "INFO")), base + 1);
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, OFFER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    assert_eq!(number(&last(&net, server, "INVITE")), base + 2);
}

#[test]
fn a_407_to_the_bye_is_answered_although_the_call_is_over() {
    let (mut net, alice, server) = calling(true);
    accept(&mut net, server, "INVITE");
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    wait(&mut net, 10);
    let first = last(&net, server, "BYE");
    let mut refusal = response(&first, 407, "");
    refusal.headers.push(
        HeaderName::ProxyAuthenticate,
        "Digest realm=\"proxy\", nonce=\"p\", qop=\"auth\"",
    );
    say(&mut net, server, ALICE, refusal.to_bytes());
    wait(&mut net, 10);
    let second = last(&net, server, "BYE");
    assert_eq!(number(&second), number(&first) + 1);
    assert!(second.headers.has(HeaderName::ProxyAuthorization));
    say(
        &mut net,
        server,
        ALICE,
        response(&second, 200, "").to_bytes(),
    );
    assert_all_gone(&mut net, &[alice]);
    assert_eq!(heard(&net, server, "BYE").len(), 2);
}

#[test]
fn a_challenged_reinvite_is_sent_again() {
    let (mut net, alice, server) = calling(true);
    accept(&mut net, server, "INVITE");
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, b"v=0 hold".to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    challenge(&mut net, server, "INVITE", "n9");
    let again = last(&net, server, "INVITE");
    assert!(again.headers.has(HeaderName::Authorization));
    assert_eq!(again.body, b"v=0 hold");
    accept(&mut net, server, "INVITE");
    let answers = phone(&net, alice)
        .events
        .iter()
        .filter(|event| matches!(event, CallEvent::Answer { .. }));
    assert_eq!(answers.count(), 2);
}

#[test]
fn a_refused_password_ends_the_call_with_the_realm() {
    let (mut net, alice, server) = calling(true);
    challenge(&mut net, server, "INVITE", "n1");
    challenge(&mut net, server, "INVITE", "n2");
    let realm = REALM.to_owned();
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PasswordRefused { realm })
    );
    assert_eq!(heard(&net, server, "INVITE").len(), 2, "no third try");
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_missing_password_ends_the_call_with_the_realm() {
    let (mut net, alice, server) = calling(false);
    challenge(&mut net, server, "INVITE", "n1");
    let realm = REALM.to_owned();
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PasswordMissing { realm })
    );
    assert_eq!(heard(&net, server, "INVITE").len(), 1);
    assert_all_gone(&mut net, &[alice]);
}

/// Alice without a login, who waits for one as long as a minute.
fn calling_with_a_person() -> (Net, NodeId, NodeId) {
    calling_with_a_person_for(60)
}

/// The same, who waits for so many seconds.
fn calling_with_a_person_for(seconds: u64) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let server = add_script(&mut net, BOB);
    act(&mut net, alice, |phone, _| {
        phone.config.login_wait = Some(Duration::from_secs(seconds));
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    (net, alice, server)
}

fn questions(net: &Net, alice: NodeId) -> Vec<(String, bool)> {
    let wanted = phone(net, alice)
        .events
        .iter()
        .filter_map(|event| match event {
            CallEvent::LoginWanted(wanted) => Some((wanted.realm.clone(), wanted.refused)),
            _ => None,
        });
    wanted.collect()
}

fn give(net: &mut Net, alice: NodeId, password: &str) -> Result<(), WrongState> {
    let login = Credentials::new("alice", password).for_realm(REALM);
    let given = act(net, alice, |phone, now| phone.call().login(now, login));
    wait(net, 10);
    given
}

#[test]
fn rfc3261_22_2_a_call_waits_for_its_login_and_goes_on_with_it() {
    let (mut net, alice, server) = calling_with_a_person();
    challenge(&mut net, server, "INVITE", "n1");
    assert_eq!(phone(&net, alice).ended(), None);
    assert_eq!(questions(&net, alice), [(REALM.to_owned(), false)]);
    // Longer than the refused transaction keeps itself (Timer D).
    wait(&mut net, 40_000);
    give(&mut net, alice, "secret").unwrap();
    let retry = last(&net, server, "INVITE");
    let shown = retry.headers.get(HeaderName::Authorization).unwrap();
    assert!(shown.contains("username=\"alice\"") && shown.contains("nonce=\"n1\""));
    // The nonce has grown old meanwhile, which a server need not say: that is no refusal.
    challenge(&mut net, server, "INVITE", "n2");
    let again = last(&net, server, "INVITE");
    assert!(
        again
            .headers
            .get(HeaderName::Authorization)
            .unwrap()
            .contains("nonce=\"n2\"")
    );
    assert_eq!(questions(&net, alice).len(), 1);
    accept(&mut net, server, "INVITE");
    assert!(phone(&net, alice).established());
    assert_eq!(give(&mut net, alice, "x"), Err(WrongState::NothingDue));
}

#[test]
fn a_person_is_asked_three_times_and_then_the_call_has_failed() {
    let (mut net, alice, server) = calling_with_a_person();
    challenge(&mut net, server, "INVITE", "n0");
    for round in 1..=3 {
        assert_eq!(phone(&net, alice).ended(), None);
        assert_eq!(questions(&net, alice).len(), round);
        give(&mut net, alice, "mistyped").unwrap();
        for nonce in ["a", "b"] {
            challenge(&mut net, server, "INVITE", &format!("{nonce}{round}"));
        }
    }
    let realm = REALM.to_owned();
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PasswordRefused { realm })
    );
    assert!(
        questions(&net, alice)[1..]
            .iter()
            .all(|(_, refused)| *refused)
    );
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn nobody_waits_for_a_login_for_ever_nor_after_hanging_up() {
    for case in 0..3 {
        let (mut net, alice, server) = calling_with_a_person();
        challenge(&mut net, server, "INVITE", "n1");
        let realm = REALM.to_owned();
        let end = match case {
            0 => {
                wait(&mut net, 61_000);
                EndKind::PasswordMissing { realm }
            }
            1 => {
                act(&mut net, alice, |phone, now| {
                    phone.call().give_up_login(now)
                })
                .unwrap();
                EndKind::PasswordMissing { realm }
            }
            _ => {
                act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
                EndKind::WeHungUp
            }
        };
        assert_eq!(phone(&net, alice).ended(), Some(&end));
        let settled = |event: &&CallEvent| matches!(event, CallEvent::LoginSettled { .. });
        assert_eq!(phone(&net, alice).events.iter().filter(settled).count(), 1);
        assert_eq!(give(&mut net, alice, "late"), Err(WrongState::NothingDue));
        assert_eq!(heard(&net, server, "INVITE").len(), 1);
        assert_all_gone(&mut net, &[alice]);
    }
}

#[test]
fn rfc3261_14_2_a_change_that_waits_for_its_login_is_under_way_all_the_while() {
    let (mut net, alice, server) = calling_with_a_person_for(300);
    let first = last(&net, server, "INVITE");
    accept(&mut net, server, "INVITE");
    let offer = |net: &mut Net, body: &[u8]| {
        let offered = act(net, alice, |phone, now| {
            phone.call().reoffer(now, body.to_vec())
        });
        offered.unwrap();
        wait(net, 10);
    };
    offer(&mut net, b"v=0 hold");
    challenge(&mut net, server, "INVITE", "n1");
    assert_eq!(questions(&net, alice).len(), 1);
    // An offer of ours stands: whoever makes another one now is to try again later.
    for method in ["INVITE", "UPDATE"] {
        let cseq = if method == "INVITE" { 1 } else { 2 };
        let mut theirs = within(&first, "b", method, method, cseq);
        theirs.set_body("application/sdp", b"v=0 theirs".to_vec());
        say(&mut net, server, ALICE, theirs.to_bytes());
        wait(&mut net, 10);
        let refusal = answers(&net, server, method).pop().unwrap();
        assert_eq!(refusal.status, StatusCode::REQUEST_PENDING, "{method}");
    }
    // So is our own next one, and longer than a peer may take to answer.
    let sent = heard(&net, server, "INVITE").len();
    offer(&mut net, b"v=0 resume");
    wait(&mut net, 100_000);
    assert_eq!(heard(&net, server, "INVITE").len(), sent);
    let failed = |event: &CallEvent| matches!(event, CallEvent::ReofferFailed { .. });
    assert!(!phone(&net, alice).events.iter().any(failed));
    give(&mut net, alice, "secret").unwrap();
    let retry = last(&net, server, "INVITE");
    assert!(retry.headers.has(HeaderName::Authorization));
    assert_eq!(retry.body, b"v=0 hold");
    accept(&mut net, server, "INVITE");
    assert_eq!(phone(&net, alice).answers_told().len(), 2);
    assert_eq!(last(&net, server, "INVITE").body, b"v=0 resume");
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn what_a_peer_may_take_to_answer_runs_anew_with_the_login() {
    let (mut net, alice, server) = calling_with_a_person_for(300);
    accept(&mut net, server, "INVITE");
    let offered = act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, b"v=0 hold".to_vec())
    });
    offered.unwrap();
    wait(&mut net, 10);
    challenge(&mut net, server, "INVITE", "n1");
    wait(&mut net, 100_000);
    give(&mut net, alice, "secret").unwrap();
    let trying = response(&last(&net, server, "INVITE"), 100, "");
    say(&mut net, server, ALICE, trying.to_bytes());
    let failed = |net: &Net| {
        let failed = |event: &CallEvent| matches!(event, CallEvent::ReofferFailed { .. });
        phone(net, alice).events.iter().any(failed)
    };
    wait(&mut net, 60_000);
    assert!(!failed(&net));
    wait(&mut net, 10_000);
    assert!(failed(&net));
    assert_eq!(phone(&net, alice).ended(), None);
}

#[test]
fn a_realm_that_nobody_can_read_is_no_question() {
    let (mut net, alice, server) = calling_with_a_person();
    let request = last(&net, server, "INVITE");
    let mut refusal = response(&request, 401, "c");
    let value = format!("Digest realm=\"{}\", nonce=\"n\"", "r".repeat(500));
    refusal.headers.push(HeaderName::WwwAuthenticate, value);
    say(&mut net, server, ALICE, refusal.to_bytes());
    wait(&mut net, 10);
    assert!(matches!(
        phone(&net, alice).ended(),
        Some(EndKind::PasswordMissing { .. })
    ));
    assert_eq!(questions(&net, alice), []);
}

#[test]
fn case_19_a_refusal_of_one_request_says_nothing_about_the_next() {
    let (mut net, alice, server) = calling(true);
    accept(&mut net, server, "INVITE");
    act(&mut net, alice, |phone, now| {
        phone.call().info(now, "text/plain", b"x".to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    challenge(&mut net, server, "INFO", "n1");
    challenge(&mut net, server, "INFO", "n2");
    assert_eq!(
        heard(&net, server, "INFO").len(),
        2,
        "refused twice is refused"
    );
    assert_eq!(phone(&net, alice).ended(), None, "the call goes on");
    assert!(
        phone(&net, alice)
            .notices()
            .contains(&"the peer answered an INFO with 401")
    );
    act(&mut net, alice, |phone, now| {
        phone.call().reoffer(now, OFFER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    challenge(&mut net, server, "INVITE", "n3");
    assert!(
        last(&net, server, "INVITE")
            .headers
            .get(HeaderName::Authorization)
            .unwrap()
            .contains("n3")
    );
}

#[test]
fn a_cancelled_call_does_not_log_in() {
    let (mut net, alice, server) = calling(true);
    act(&mut net, alice, |phone, now| phone.call().hang_up(now)).unwrap();
    challenge(&mut net, server, "INVITE", "n1");
    assert_eq!(heard(&net, server, "INVITE").len(), 1);
    assert_all_gone(&mut net, &[alice]);
}

/// Alice, whose server is this one, calls Bob.
fn calling_from(home: Home) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let server = add_script(&mut net, BOB);
    act(&mut net, alice, |phone, _| {
        login(&mut phone.config);
        phone.config.home = home;
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    (net, alice, server)
}

fn somewhere_else() -> Home {
    Home::new(vec![Uri::parse("sip:example.com").unwrap()])
}

#[test]
fn a_stranger_that_is_called_straight_gets_no_credentials() {
    let (mut net, alice, server) = calling_from(somewhere_else());
    challenge(&mut net, server, "INVITE", "n1");
    let realm = REALM.to_owned();
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PasswordMissing { realm })
    );
    assert_eq!(heard(&net, server, "INVITE").len(), 1);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_stranger_in_the_dialog_gets_no_credentials_either() {
    let (mut net, alice, server) = calling_from(somewhere_else());
    accept(&mut net, server, "INVITE");
    for (method, verb) in [("INFO", 0), ("INVITE", 1), ("BYE", 2)] {
        act(&mut net, alice, |phone, now| match verb {
            0 => phone.call().info(now, "text/plain", b"x".to_vec()),
            1 => phone.call().reoffer(now, OFFER.to_vec()),
            _ => phone.call().hang_up(now),
        })
        .unwrap();
        wait(&mut net, 10);
        let before = heard(&net, server, method).len();
        challenge(&mut net, server, method, "n1");
        assert_eq!(heard(&net, server, method).len(), before, "{method}");
    }
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_stranger_who_names_the_realm_that_the_account_signed_in_to_gets_nothing() {
    let mut home = somewhere_else();
    home.add_realm(REALM);
    let (mut net, alice, server) = calling_from(home);
    challenge(&mut net, server, "INVITE", "n1");
    let realm = REALM.to_owned();
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::PasswordMissing { realm })
    );
}

#[test]
fn a_weaker_login_than_that_of_the_registration_is_not_given_to_who_is_called() {
    let mut home = somewhere_else();
    home.add_address(BOB.parse().unwrap());
    home.set_floor(Some(Strength { hash: 2, qop: true }));
    let (mut net, alice, server) = calling_from(home);
    challenge(&mut net, server, "INVITE", "n1");
    let realm = REALM.to_owned();
    assert_eq!(
        phone(&net, alice).ended(),
        Some(&EndKind::LoginWeaker { realm })
    );
    assert_eq!(heard(&net, server, "INVITE").len(), 1);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_server_that_was_met_under_another_name_is_still_ours() {
    let mut home = somewhere_else();
    home.add_address(BOB.parse().unwrap());
    let (mut net, _, server) = calling_from(home);
    challenge(&mut net, server, "INVITE", "n1");
    assert!(
        last(&net, server, "INVITE")
            .headers
            .has(HeaderName::Authorization)
    );
}
